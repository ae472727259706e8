//! How long a cluster is without offers when its leading master is killed with -9: three masters on a real etcd of three members, simulated
//! agents with a task on each, and a framework that waits for offers.
//!
//! `cargo bench -p apportion-cli --bench failover -- --lease 5 3 1000` takes the lease in seconds and numbers of agents. It prints, from the
//! kill on, when the next master was elected, when the framework had its first offer, when it had been offered something of every
//! agent again, and how long the first offer took after the election. A killed leader's lease runs out up to its length after the kill: no
//! other master may lead before.

#[allow(dead_code, reason = "tests use more of it")]
#[path = "../tests/common/mod.rs"]
mod common;
#[allow(dead_code, reason = "tests use more of it")]
#[path = "../../tests/etcd/mod.rs"]
mod etcd;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc::{self, Sender};
use std::time::{Duration, Instant};

use apportion::net::JoinToken;
use apportion::protocol::{AgentId, Command, CommandInfo, FrameworkInfo, TaskId, TaskInfo, TaskStatus, Work};
use apportion::resources::{Resources, Role};
use apportion::runtime::simulated::TASK_TIME;
use apportion::runtime::{Addresses, FrameworkConfig, ShutdownHandle, join, run_scheduler};
use apportion::scheduler::{Ack, Driver, Offer, Scheduler};
use common::{Background, printed, wait_until};
use etcd::EtcdCluster;

const MASTERS: usize = 3;

fn main() {
    // Cargo adds `--bench`.
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench").peekable();
    let mut lease = "5".to_owned();
    if arguments.next_if(|argument| argument == "--lease").is_some() {
        lease = arguments.next().expect("seconds after --lease");
    }
    let mut numbers: Vec<usize> =
        arguments.map(|number| number.parse().expect("a number of agents")).collect();
    if numbers.is_empty() {
        numbers = vec![3, 1000];
    }
    println!("agents  lease  elected  first offer  all agents  first offer after the election");
    for agents in numbers {
        let Some(times) = Times::measure(agents, &lease) else { return };
        let [elected, first, all] =
            [times.elected, times.first_offer, times.all_agents].map(|time| time.as_secs_f64());
        let after = first - elected;
        println!("{agents:>6}  {lease:>3} s  {elected:>5.2} s  {first:>9.2} s  {all:>8.2} s  {after:>6.2} s");
    }
}

/// From the kill on.
struct Times {
    elected: Duration,
    first_offer: Duration,
    all_agents: Duration,
}

impl Times {
    /// `None` where there is no etcd.
    fn measure(agents: usize, lease: &str) -> Option<Self> {
        let etcd = EtcdCluster::start(MASTERS)?;
        let folder = tempfile::tempdir().expect("a folder");
        let state = folder.path().join("state");
        let (elections, elected) = mpsc::channel();
        let mut masters: Vec<_> = (0..MASTERS)
            .map(|number| {
                let own = folder.path().join(format!("master{number}"));
                let master = start_master(&own, &etcd.location(), lease, &elections);
                if number == 0 {
                    elected.recv_timeout(common::PATIENCE).expect("the first master leads");
                }
                master
            })
            .collect();
        let addresses: Vec<String> = masters.iter().map(|(address, _)| address.clone()).collect();
        know(&state, &folder.path().join("master0"), &addresses.join(","));

        let (number, (tell, told)) = (agents.to_string(), mpsc::channel());
        let simulated = ["agent", "--name", "sim", "--simulated-agents", &number];
        let _agents = Background::start(&state, &simulated);
        wait_until("the agents register", || {
            printed(&state, &["status"]).contains(&format!("agents      {agents} connected of {agents}"))
        });
        let token = printed(&state, &["token", "create", "framework"]);
        std::thread::spawn(move || run_watcher(&addresses.join(","), &token, agents, tell));
        while told.recv_timeout(common::PATIENCE).expect("tasks are launched") != Told::TasksRun {}
        let killed = Instant::now();
        // Dropping a process kills it with -9.
        drop(masters.remove(0));
        let elected = elected.recv_timeout(common::PATIENCE).expect("another master leads") - killed;
        let mut seen = BTreeSet::new();
        let mut first_offer = None;
        while seen.len() < agents {
            match told.recv_timeout(common::PATIENCE) {
                // What the old master had sent.
                Ok(Told::Offer { at, .. }) if at < killed + elected => {}
                Ok(Told::Offer { at, agent }) => {
                    first_offer.get_or_insert(at - killed);
                    seen.insert(agent);
                }
                Ok(Told::TasksRun) => {}
                Ok(Told::Ended(task)) => panic!("task {task} ended"),
                Err(error) => panic!("{} of {agents} agents are back: {error}", seen.len()),
            }
        }
        Some(Times { elected, first_offer: first_offer.unwrap_or_default(), all_agents: killed.elapsed() })
    }
}

/// A master that says when it leads, and its address.
fn start_master(state: &Path, store: &str, lease: &str, elections: &Sender<Instant>) -> (String, Background) {
    let arguments = ["-v", "master", "--store", store, "--listen", "127.0.0.1:0", "--lease", lease];
    let mut command = common::command(state, &arguments);
    let process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
    let mut master = Background(process);
    let log = BufReader::new(master.0.stderr.take().expect("it is piped"));
    let elections = elections.clone();
    std::thread::spawn(move || {
        for _ in log.lines().map_while(Result::ok).filter(|line| line.contains("master leads")) {
            // Nobody waits for it in the end.
            let _ = elections.send(Instant::now());
        }
    });
    (master.master().to_string(), master)
}

/// Makes an operator who knows all masters.
fn know(state: &Path, master: &Path, addresses: &str) {
    std::fs::create_dir_all(state).expect("a folder");
    std::fs::copy(master.join("operator.pem"), state.join("operator.pem")).expect("it can be copied");
    let context = format!("master = {addresses:?}\ncredentials = \"operator.pem\"\n");
    std::fs::write(state.join("operator.toml"), context).expect("it can be written");
}

/// What the framework tells.
#[derive(Debug, PartialEq)]
enum Told {
    /// Every agent runs a task.
    TasksRun,
    /// Something of an agent was offered.
    Offer { at: Instant, agent: AgentId },
    /// A task ended, which none should.
    Ended(TaskId),
}

/// Runs a task on each agent, and tells of offers.
struct Watcher {
    agents: usize,
    running: BTreeSet<TaskId>,
    tell: Sender<Told>,
}

fn run_watcher(masters: &str, token: &str, agents: usize, tell: Sender<Told>) {
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let masters: Addresses = masters.parse().expect("addresses");
    let token: JoinToken = token.trim().parse().expect("a token");
    let outcome = runtime.block_on(async {
        let credentials = join(&masters, &token, "watcher").await.expect("the token is good");
        let (_stop, shutdown) = ShutdownHandle::new();
        let watcher = Watcher { agents, running: BTreeSet::new(), tell };
        run_scheduler(watcher, FrameworkConfig { master: masters, credentials }, shutdown).await
    });
    outcome.expect("it runs until the program ends");
}

impl Watcher {
    fn tell(&self, told: Told) {
        // The measurement may be over.
        let _ = self.tell.send(told);
    }
}

impl Scheduler for Watcher {
    fn framework_info(&self) -> FrameworkInfo {
        FrameworkInfo::new("watcher", Role::any()).with_failover_timeout(Duration::from_secs(3600))
    }

    fn resource_offers(&mut self, _: &mut Driver, offers: &mut [Offer]) {
        for offer in offers {
            self.tell(Told::Offer { at: Instant::now(), agent: offer.agent().clone() });
            let id: TaskId = format!("on-{}", offer.agent()).parse().expect("a valid id");
            if self.running.contains(&id) {
                continue;
            }
            let command = CommandInfo::new(Command::Shell("true".to_owned()));
            let mut task = TaskInfo::new(id, Resources::cpus_mem(100, 32), Work::Command(command.into()));
            task.env.insert(TASK_TIME.to_owned(), "1h".to_owned());
            offer.launch(task).expect("it fits");
        }
    }

    fn status_update(&mut self, _: &mut Driver, status: &TaskStatus) -> Ack {
        if status.state.is_terminal() {
            self.tell(Told::Ended(status.task.clone()));
        } else if self.running.insert(status.task.clone()) && self.running.len() == self.agents {
            self.tell(Told::TasksRun);
        }
        Ack::Now
    }
}
