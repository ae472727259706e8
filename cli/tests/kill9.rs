//! A cluster of real processes, any of which is killed at any moment and started again, under load.
//!
//! `APPORTION_KILLS_SEED=7` repeats whom a run killed, and when.

mod common;
mod tasks;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use apportion::net::Credentials;
use apportion::protocol::{FrameworkId, OperatorCall, OperatorEvent};
use apportion::runtime::OperatorClient;
use apportion_batch::{BatchReply, BatchRequest, RunResult, RunState};
use apportion_service::{ServiceReply, ServiceRequest};
use common::{Background, apportion, printed, wait_until};
use tasks::{processes_with, write};

const AGENTS: usize = 3;
const SERVICES: usize = 3;
const REPLICAS: u32 = 4;

/// Tasks of the one step of each job, and of the other, of which the first attempt exits with 3.
const TASKS: u32 = 200;
const ODD_TASKS: u32 = 5;

/// So many tasks wait or run at least while there are kills.
const LOAD: u64 = 400;

/// How long their work may take to end when nobody is killed any more.
const PATIENCE: Duration = Duration::from_secs(180);

/// Random numbers from a seed, by SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from))
    }
}

/// The processes that are killed and started again, with what each is started by.
struct Cluster {
    folder: tempfile::TempDir,
    address: String,
    processes: Vec<(Vec<String>, Option<Background>)>,
    killed: BTreeMap<String, u32>,
    /// The processes that ran tasks.
    executors: BTreeSet<u32>,
}

impl Cluster {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut master =
            Background::start(&folder.path().join("state"), &["master", "--listen", "127.0.0.1:0"]);
        let address = master.master().to_string();
        let words = |text: String| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let processes = vec![(words(format!("master --listen {address}")), Some(master))];
        let mut cluster =
            Cluster { folder, address, processes, killed: BTreeMap::new(), executors: BTreeSet::new() };
        for number in 1..=AGENTS {
            let agent = format!("agent --name a{number} --resources cpus:4;mem:2048 --recovery-timeout 2m");
            cluster.processes.push((words(agent), None));
        }
        cluster.processes.extend([(words("batch".to_owned()), None), (words("service".to_owned()), None)]);
        (1..cluster.processes.len()).for_each(|place| cluster.start_process(place));
        wait_until("all are there", || {
            let state = printed(&cluster.state(), &["status"]) + &printed(&cluster.state(), &["frameworks"]);
            [&format!("agents      {AGENTS} connected of {AGENTS}"), "batch", "service"]
                .iter()
                .all(|part| state.contains(*part))
        });
        cluster
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn start_process(&mut self, place: usize) {
        let arguments: Vec<&str> = self.processes[place].0.iter().map(String::as_str).collect();
        self.processes[place].1 = Some(Background::start(&self.state(), &arguments));
    }

    /// Kills one of the processes with -9, or an executor; and starts it again, unless that is its agent's affair.
    fn kill_one(&mut self, random: &mut Random) {
        let place = random.below(self.processes.len() as u64 + 1) as usize;
        let executors = self.executors();
        self.executors.extend(&executors);
        let Some((arguments, process)) = self.processes.get_mut(place) else {
            if let Some(executor) = executors.iter().nth(random.below(executors.len().max(1) as u64) as usize)
            {
                kill(*executor);
                *self.killed.entry("executor".to_owned()).or_default() += 1;
            }
            return;
        };
        *self.killed.entry(arguments[0].clone()).or_default() += 1;
        // Dropping it kills it with SIGKILL.
        drop(process.take());
        sleep(random.millis(0, 400));
        self.start_process(place);
    }

    fn executors(&self) -> BTreeSet<u32> {
        let ours = processes_with(&self.state().join("agents").to_string_lossy());
        let is_executor = |process: &u32| {
            std::fs::read(format!("/proc/{process}/cmdline"))
                .is_ok_and(|line| String::from_utf8_lossy(&line).ends_with("\0executor\0"))
        };
        let alike: BTreeSet<u32> = ours.into_iter().filter(is_executor).collect();
        // A task looks like the executor that starts it until its own program begins; it is not to be killed in its place.
        let is_started_by_none =
            |process: &u32| parent_of(*process).is_some_and(|parent| !alike.contains(&parent));
        alike.iter().copied().filter(is_started_by_none).collect()
    }

    /// Asks something that may be asked again; `None` when somebody is not there to answer.
    fn ask(&self, call: OperatorCall) -> Option<OperatorEvent> {
        let asking = async {
            let credentials = Credentials::load(&self.state().join("operator.pem")).expect("the operator's");
            let address: std::net::SocketAddr = self.address.parse().expect("an address");
            let client = OperatorClient::connect(address, &credentials).await.ok()?;
            let answer = client.call(call).await.ok();
            client.close().await;
            answer
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async { tokio::time::timeout(Duration::from_secs(5), asking).await.ok().flatten() })
    }

    fn ask_framework(&self, framework: &str, data: Vec<u8>) -> Option<Vec<u8>> {
        let framework = FrameworkId::new(framework).expect("a name");
        match self.ask(OperatorCall::Request { framework, data })? {
            OperatorEvent::Reply { data, .. } => Some(data),
            _ => None,
        }
    }

    fn ask_batch(&self, request: &BatchRequest) -> Option<BatchReply> {
        self.ask_framework("batch", request.encode()).and_then(|data| BatchReply::decode(&data).ok())
    }

    fn ask_service(&self, request: &ServiceRequest) -> Option<ServiceReply> {
        self.ask_framework("service", request.encode()).and_then(|data| ServiceReply::decode(&data).ok())
    }

    /// How many tasks of jobs are still to succeed; `None` when the framework can't tell.
    fn load(&self) -> Option<u64> {
        let Some(BatchReply::Runs(runs)) = self.ask_batch(&BatchRequest::List) else { return None };
        let open = runs.iter().filter(|run| run.state == RunState::Running);
        Some(open.map(|run| run.total - run.succeeded).sum())
    }

    /// The services that are as they should be.
    fn healthy_services(&self) -> usize {
        let Some(ServiceReply::Services(services)) = self.ask_service(&ServiceRequest::List) else {
            return 0;
        };
        services.iter().filter(|service| service.healthy == REPLICAS && service.outdated == 0).count()
    }

    fn submit(&self, spec: &str) -> bool {
        apportion(&self.state(), &["run", spec, "--detach"]).status.success()
    }

    /// Submits a job of short tasks, and one whose only task fails.
    fn submit_jobs(&self) {
        let runs = self.folder.path().join("runs");
        let line = format!(
            "d={}/$RUN; mkdir -p $d; exec 9>>$d/$STEP.$INDEX; flock -n 9 || echo overlap $STEP $INDEX $ATTEMPT >> $d/lines; \
             echo begun $STEP $INDEX $ATTEMPT >> $d/lines; sleep 0.1; ",
            runs.display()
        );
        let step = |name: &str, count, more: &str, end: &str| {
            format!(
                "[[step]]\nname = \"{name}\"\ncount = {count}\ncpus = 0.1\nmemory = \"8MiB\"\n{more}\n\
                 shell = '''{line}{end} echo ended $STEP $INDEX $ATTEMPT >> $d/lines'''\n"
            )
        };
        let job = |id: &str, steps: &str| {
            write(
                self.folder.path(),
                id,
                &format!("schema = 1\nkind = \"batch\"\nid = \"/{id}\"\nrole = \"research\"\n{steps}"),
            )
        };
        let retry = "needs = [\"work\"]\nretry = { limit = 50, backoff = \"10ms\" }";
        let steps =
            step("work", TASKS, "", "") + &step("odd", ODD_TASKS, retry, "[ $ATTEMPT -gt 1 ] || exit 3;");
        self.submit(&job("good", &steps));
        self.submit(&job("wrong", &step("work", 1, "", "exit 7;")));
    }

    fn submit_services(&self) {
        for number in 0..SERVICES {
            let name = format!("web{number}");
            let mark = self.mark();
            let spec = format!(
                "schema = 1\nkind = \"service\"\nid = \"/{name}\"\nrole = \"web\"\nreplicas = {REPLICAS}\n[task]\n\
                 cmd = [\"sleep\", \"3600\"]\ncpus = 0.1\nmemory = \"8MiB\"\nenv = {{ MARK = \"{mark}\" }}\n\
                 [update]\nmin_healthy = \"0s\"\n"
            );
            let spec = write(self.folder.path(), &name, &spec);
            wait_until("a service is submitted", || self.submit(&spec));
        }
    }

    /// What instances of services have in their environment.
    fn mark(&self) -> String {
        self.folder.path().join("instance").display().to_string()
    }

    /// How all runs ended.
    fn results(&self) -> Vec<RunResult> {
        let Some(BatchReply::Runs(runs)) = self.ask_batch(&BatchRequest::List) else { panic!("no runs") };
        let result = |run: &apportion_batch::RunSummary| match self
            .ask_batch(&BatchRequest::Results { run: run.run.clone() })
        {
            Some(BatchReply::Finished(result)) => result,
            other => panic!("{}: {other:?}", run.run),
        };
        runs.iter().map(result).collect()
    }

    fn check(&self, result: &RunResult) {
        let succeeded: u32 = result.steps.iter().map(|step| step.progress.succeeded).sum();
        let lines = Lines::read(&self.folder.path().join("runs").join(&result.run));
        if result.job == "/wrong" {
            assert_eq!((result.state, succeeded), (RunState::Failed, 0), "{result:?}");
            assert_eq!(result.failures.len(), 1, "{result:?}");
            assert!(result.failures[0].message.contains('7'), "{result:?}");
            assert_eq!(lines.ended.len(), 0, "{result:?}");
            return;
        }
        assert_eq!((result.state, succeeded), (RunState::Succeeded, TASKS + ODD_TASKS), "{result:?}");
        assert!(result.failures.iter().all(|failure| failure.message.contains('3')), "{result:?}");
        assert!(result.failures.len() <= ODD_TASKS as usize, "{result:?}");
        for (index, attempts) in &lines.begun {
            let last = attempts.iter().max();
            let ended = lines.ended.get(index);
            assert_eq!(ended.and_then(|ended| ended.iter().max()), last, "{} {index:?}", result.run);
        }
        assert_eq!(lines.ended.len(), (TASKS + ODD_TASKS) as usize, "{}", result.run);
    }

    /// Ends everything in order; nothing is left then.
    fn end(mut self) {
        self.executors.extend(self.executors());
        for (_, process) in self.processes.iter_mut().rev() {
            process.take().expect("it runs").end("-INT");
        }
        let ours = self.folder.path().to_string_lossy().into_owned();
        wait_until("no process is left", || processes_with(&ours).is_empty());
        // A control group's name begins with the number of the process that made it.
        let mut left = cgroups();
        left.retain(|cgroup| {
            let name = cgroup.file_name().unwrap_or_default().to_string_lossy().into_owned();
            name.split('-')
                .next()
                .and_then(|number| number.parse().ok())
                .is_some_and(|number| self.executors.contains(&number))
        });
        assert_eq!(left, BTreeSet::new(), "control groups are left");
    }
}

/// What the tasks of a run wrote: attempts by step and index.
#[derive(Default)]
struct Lines {
    begun: BTreeMap<(String, u32), Vec<u32>>,
    ended: BTreeMap<(String, u32), Vec<u32>>,
}

impl Lines {
    /// No attempt begins or ends twice, and no two at an index overlap.
    fn read(folder: &Path) -> Self {
        let mut lines = Lines::default();
        let text = std::fs::read_to_string(folder.join("lines")).expect("the tasks wrote it");
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let [what, step, index, attempt] = words[..] else { panic!("{}: {line}", folder.display()) };
            let number = |word: &str| word.parse().expect("a number");
            let kind = match what {
                "begun" => &mut lines.begun,
                "ended" => &mut lines.ended,
                _ => panic!("{}: {line}", folder.display()),
            };
            let attempts = kind.entry((step.to_owned(), number(index))).or_default();
            assert!(!attempts.contains(&number(attempt)), "{}: twice: {line}", folder.display());
            attempts.push(number(attempt));
        }
        lines
    }
}

fn kill(process: u32) {
    // It may have ended by itself.
    let _ = Command::new("kill").args(["-9", &process.to_string()]).status();
}

/// `None` when it has ended.
fn parent_of(process: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // After the program's name, which may hold anything, and the state.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

fn wait_long(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "{what}: it did not come about");
        sleep(Duration::from_millis(200));
    }
}

/// The control groups of all clusters on this machine.
fn cgroups() -> BTreeSet<PathBuf> {
    let found =
        Command::new("find").args(["/sys/fs/cgroup", "-type", "d", "-path", "*/apportion/*"]).output();
    let text = found.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().map(PathBuf::from).collect()
}

#[test]
fn whatever_is_killed_nothing_is_lost_and_nothing_runs_twice() {
    kill_for(Duration::from_secs(20));
}

#[test]
#[ignore = "it takes minutes; the profile `slow` runs it"]
fn whatever_is_killed_nothing_is_lost_for_a_minute() {
    kill_for(Duration::from_secs(60));
}

fn kill_for(kills: Duration) {
    let seed = variable("APPORTION_KILLS_SEED").unwrap_or_else(|| {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_millis() as u64)
    });
    eprintln!("APPORTION_KILLS_SEED={seed}");
    let mut random = Random(seed);
    let mut cluster = Cluster::start();
    cluster.submit_services();

    let begun = Instant::now();
    while begun.elapsed() < kills {
        if cluster.load().is_some_and(|load| load < LOAD) {
            cluster.submit_jobs();
        }
        sleep(random.millis(100, 800));
        cluster.kill_one(&mut random);
    }
    eprintln!("killed: {:?}", cluster.killed);

    wait_long("all jobs end", || cluster.load() == Some(0));
    let results = cluster.results();
    assert!(!results.is_empty());
    results.iter().for_each(|result| cluster.check(result));
    let retries: u32 = results.iter().flat_map(|run| &run.steps).map(|step| step.progress.retries).sum();
    eprintln!("{} jobs, {retries} tasks run again", results.len());

    wait_long("all services are healthy", || cluster.healthy_services() == SERVICES);
    let instances = SERVICES * REPLICAS as usize;
    wait_long("no instance is too many", || processes_with(&cluster.mark()).len() == instances);
    for number in 0..SERVICES {
        let stop = ServiceRequest::Stop { id: format!("/web{number}") };
        wait_until("a service is stopped", || cluster.ask_service(&stop).is_some());
    }
    wait_until(
        "no service is left",
        || matches!(cluster.ask_service(&ServiceRequest::List), Some(ServiceReply::Services(services)) if services.is_empty()),
    );
    wait_until("no resource is taken", || {
        let Some(OperatorEvent::State(state)) = cluster.ask(OperatorCall::GetState) else { return false };
        state.agents.len() == AGENTS && state.agents.iter().all(|agent| agent.allocated.is_empty())
    });
    assert_eq!(processes_with(&cluster.mark()), BTreeSet::new(), "instances are left");

    cluster.end();
}
