//! Tasks without processes: what the protocol costs from one end to the other.
//!
//! `cargo bench -p apportion --bench lifecycles [-- tasks]`. A master, two agents and a framework talk over real QUIC in this program; the
//! executors finish each task as soon as they hear of it. Every message of the protocol is there: offers, accepts, launches, two updates per
//! task on three connections, and their acknowledgements. First as many tasks as go, then one at a time on the idle cluster.

use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use apportion::allocator::PreemptionOptions;
use apportion::executor::{Executor, ExecutorDriver};
use apportion::isolation::IsolationPreference;
use apportion::protocol::{
    Command, ExecutorId, ExecutorInfo, FrameworkInfo, RequestId, StopPolicy, TaskId, TaskInfo, TaskState,
    TaskStatus, Work,
};
use apportion::resources::{Resources, Role};
use apportion::runtime::{
    ExecutorLauncher, FrameworkHandle, InProgram, LocalCluster, LocalConfig, Reporter, run_command_executor,
    run_executor,
};
use apportion::scheduler::{Ack, Driver, Offer, Scheduler};

/// As in the command.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 5;
const AGENTS: usize = 2;

/// Tasks that fit on an agent at a time.
const AT_ONCE: u32 = 2_000;

/// Single tasks whose latency is measured.
const SINGLES: usize = 300;

type Failed = Box<dyn Error>;

/// Finishes every task at once.
struct Instantly;

impl Executor for Instantly {
    type Action = ();
    type Event = ();

    fn launch(&mut self, driver: &mut ExecutorDriver<()>, task: TaskInfo) {
        driver.update(TaskStatus::new(task.id.clone(), TaskState::Running, driver.now()));
        driver.update(TaskStatus::new(task.id, TaskState::Finished, driver.now()));
    }

    fn kill(&mut self, _: &mut ExecutorDriver<()>, _: &TaskId, _: Option<StopPolicy>) {}

    fn event(&mut self, _: &mut ExecutorDriver<()>, (): ()) {}

    fn shutdown(&mut self, _: &mut ExecutorDriver<()>) {}
}

/// Runs as many tasks as it is asked to, and answers when the first runs and when all have finished.
struct Flood {
    work: Work,
    todo: u64,
    left: u64,
    last: u64,
    asked: Option<RequestId>,
    told_running: bool,
}

impl Flood {
    fn new(work: Work) -> Self {
        Flood { work, todo: 0, left: 0, last: 0, asked: None, told_running: false }
    }
}

impl Scheduler for Flood {
    fn framework_info(&self) -> FrameworkInfo {
        FrameworkInfo::new("flood", Role::any())
    }

    fn resource_offers(&mut self, driver: &mut Driver, offers: &mut [Offer]) {
        for offer in offers {
            offer.refuse_for(Duration::ZERO);
            while self.todo > 0 {
                let id = TaskId::new(format!("t{}", self.last)).expect("a valid id");
                let task = TaskInfo::new(id, Resources::cpus_mem(1, 1), self.work.clone());
                if offer.launch(task).is_err() {
                    break;
                }
                self.last += 1;
                self.todo -= 1;
            }
        }
        if self.todo == 0 {
            driver.suppress(&[]);
        }
    }

    fn status_update(&mut self, driver: &mut Driver, status: &TaskStatus) -> Ack {
        let Some(asked) = self.asked else { return Ack::Now };
        if !self.told_running {
            self.told_running = true;
            driver.reply(asked, Vec::new(), false);
        }
        if status.state.is_terminal() {
            assert_eq!(status.state, TaskState::Finished, "{status:?}");
            self.left -= 1;
            if self.left == 0 {
                driver.reply(asked, Vec::new(), true);
            }
        }
        Ack::Now
    }

    fn request(&mut self, driver: &mut Driver, request: RequestId, data: &[u8]) {
        let tasks = u64::from_le_bytes(data.try_into().expect("a number"));
        (self.todo, self.left, self.asked, self.told_running) = (tasks, tasks, Some(request), false);
        driver.revive(&[]);
    }
}

/// How long it takes until the first of so many tasks runs, and until all have finished.
async fn run(flood: &FrameworkHandle, tasks: u64) -> (Duration, Duration) {
    let start = Instant::now();
    let mut answers = flood.request(tasks.to_le_bytes().to_vec());
    answers.recv().await.expect("the framework runs");
    let running = start.elapsed();
    answers.recv().await.expect("the framework runs");
    (running, start.elapsed())
}

fn cluster(folder: &Path) -> Result<LocalCluster, Failed> {
    let executors = InProgram::new(|config, info| async move {
        match info {
            Some(_) => run_executor(Instantly, config, |(), _: &Reporter<()>| ()).await,
            None => run_command_executor(config).await,
        }
    });
    Ok(LocalCluster::start(LocalConfig {
        agents: vec![Resources::cpus_mem(AT_ONCE + 100, AT_ONCE + 100); AGENTS],
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        state_dir: folder.to_owned(),
        isolation: IsolationPreference::Auto,
        recovery_timeout: None,
        launcher: ExecutorLauncher::InProgram(executors),
        preemption: PreemptionOptions::default(),
    })?)
}

#[tokio::main]
async fn main() -> Result<(), Failed> {
    // cargo passes flags such as `--bench`.
    let tasks = std::env::args().skip(1).find_map(|text| text.parse().ok()).unwrap_or(200_000);
    let custom = Work::Custom {
        executor: Arc::new(ExecutorInfo {
            id: ExecutorId::new("instantly")?,
            command: Command::Argv(Vec::new()),
            env: Default::default(),
            resources: Resources::cpus_mem(1, 1),
        }),
        data: Vec::new(),
    };
    let command = Work::Command(Arc::new(apportion::protocol::CommandInfo::new(Command::Argv(vec![
        "/bin/true".to_owned(),
    ]))));
    let folder = tempfile::tempdir()?;
    let mut first = cluster(folder.path())?;
    let flood = first.run_framework("flood", Flood::new(custom))?;
    run(&flood, 1_000).await;
    let mut rates = Vec::new();
    for _ in 0..ROUNDS {
        let (_, took) = run(&flood, tasks).await;
        rates.push(tasks as f64 / took.as_secs_f64());
    }
    tell(&format!("{tasks} tasks, life cycles per second"), &mut rates, "");
    singles("one task inside the executor", &flood).await;
    first.stop().await?;

    let folder = tempfile::tempdir()?;
    let mut second = cluster(folder.path())?;
    let flood = second.run_framework("flood", Flood::new(command))?;
    run(&flood, 10).await;
    singles("one process", &flood).await;
    second.stop().await?;
    let mut spawns: Vec<f64> = (0..SINGLES).map(|_| spawn()).collect();
    tell("std::process::Command alone, to its end", &mut spawns, " ms");
    Ok(())
}

async fn singles(what: &str, flood: &FrameworkHandle) {
    let (mut running, mut finished) = (Vec::new(), Vec::new());
    for _ in 0..SINGLES {
        let (first, last) = run(flood, 1).await;
        running.push(first.as_secs_f64() * 1e3);
        finished.push(last.as_secs_f64() * 1e3);
        // Idle again.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tell(&format!("{what}: submit to running"), &mut running, " ms");
    tell(&format!("{what}: submit to result"), &mut finished, " ms");
}

fn spawn() -> f64 {
    let start = Instant::now();
    let ended = std::process::Command::new("/bin/true").status();
    assert!(ended.is_ok_and(|status| status.success()));
    start.elapsed().as_secs_f64() * 1e3
}

fn tell(what: &str, values: &mut [f64], unit: &str) {
    values.sort_by(f64::total_cmp);
    let (median, last) = (values[values.len() / 2], values[values.len() - 1]);
    println!("{what:<48} median {median:.2}{unit} ({:.2} to {last:.2})", values[0]);
}
