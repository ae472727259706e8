//! Whoever says too much, or listens too little, slows only itself.
#![cfg(feature = "runtime")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use apportion::agent::UPDATES_UNDER_WAY;
use apportion::allocator::PreemptionOptions;
use apportion::executor::{Executor, ExecutorDriver};
use apportion::isolation::IsolationPreference;
use apportion::net::{Accepted, CertificateAuthority, Endpoint, Settings};
use apportion::protocol::{
    AgentCall, AgentEvent, AgentId, Command, CommandInfo, Epoch, ExecutorId, ExecutorInfo, FrameworkInfo,
    Identity, IdentityKind, SchedulerCall, SchedulerEvent, StopPolicy, TaskId, TaskInfo, TaskState,
    TaskStatus, Work,
};
use apportion::resources::{Resources, Role};
use apportion::runtime::{
    AgentConfig, ExecutorLauncher, FrameworkConfig, InProgram, LocalCluster, LocalConfig, ShutdownHandle,
    run_agent, run_command_executor, run_executor, run_scheduler,
};
use apportion::scheduler::{Ack, Driver, Offer, Scheduler, Subscription};
use tokio::sync::mpsc;

/// Nothing here takes long; a test that hangs says so.
const PATIENCE: Duration = Duration::from_secs(120);

const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// What a flooding executor says with each breath, and how often it breathes.
const UPDATES: usize = 200;
const UPDATE_BYTES: usize = 4 << 10;
const MESSAGE_BYTES: usize = 64 << 10;
const BREATHS: usize = 25;

/// An executor whose task says the same over and over, without a pause: 20 MB of updates and 1.6 MB of messages.
#[derive(Default)]
struct Chatterbox {
    task: Option<TaskId>,
    breaths: usize,
}

impl Executor for Chatterbox {
    type Action = ();
    type Event = ();

    fn launch(&mut self, driver: &mut ExecutorDriver<()>, task: TaskInfo) {
        self.task = Some(task.id);
        driver.act(());
    }

    fn kill(&mut self, driver: &mut ExecutorDriver<()>, task: &TaskId, _stop: Option<StopPolicy>) {
        driver.update(TaskStatus::new(task.clone(), TaskState::Killed, driver.now()));
        self.task = None;
    }

    fn event(&mut self, driver: &mut ExecutorDriver<()>, (): ()) {
        let Some(task) = self.task.clone() else { return };
        if self.breaths == BREATHS {
            self.task = None;
            return driver.update(TaskStatus::new(task, TaskState::Finished, driver.now()));
        }
        self.breaths += 1;
        for _ in 0..UPDATES {
            let status = TaskStatus::new(task.clone(), TaskState::Running, driver.now());
            driver.update(TaskStatus { data: vec![7; UPDATE_BYTES], ..status });
        }
        driver.message(vec![7; MESSAGE_BYTES]);
        driver.act(());
    }

    fn shutdown(&mut self, driver: &mut ExecutorDriver<()>) {
        if let Some(task) = self.task.clone() {
            self.kill(driver, &task, None);
        }
    }
}

/// What a scheduler was told.
#[derive(Debug, PartialEq)]
enum Told {
    Subscribed(Subscription),
    Update(TaskState),
    AgentLost,
}

/// Launches some tasks, one on each offer, and acknowledges their updates if it is told to.
struct Launcher {
    role: Role,
    waiting: Vec<TaskInfo>,
    acknowledges: Ack,
    told: mpsc::UnboundedSender<Told>,
}

impl Launcher {
    fn tell(&self, told: Told) {
        // The test may be over.
        let _ = self.told.send(told);
    }
}

impl Scheduler for Launcher {
    fn framework_info(&self) -> FrameworkInfo {
        FrameworkInfo::new("launcher", self.role.clone()).with_failover_timeout(PATIENCE)
    }

    fn resource_offers(&mut self, _: &mut Driver, offers: &mut [Offer]) {
        for offer in offers {
            if let Some(task) = self.waiting.pop() {
                offer.launch(task).expect("it fits");
            }
        }
    }

    fn status_update(&mut self, _: &mut Driver, status: &TaskStatus) -> Ack {
        self.tell(Told::Update(status.state));
        self.acknowledges
    }

    fn subscribed(&mut self, _: &mut Driver, how: Subscription) {
        self.tell(Told::Subscribed(how));
    }

    fn agent_lost(&mut self, _: &mut Driver, _: &AgentId) {
        self.tell(Told::AgentLost);
    }
}

fn task(id: &str, work: Work) -> TaskInfo {
    TaskInfo::new(id.parse().expect("a valid id"), Resources::cpus_mem(100, 32), work)
}

fn custom(id: &str) -> Arc<ExecutorInfo> {
    Arc::new(ExecutorInfo {
        id: id.parse().expect("a valid id"),
        command: Command::Argv(Vec::new()),
        env: Default::default(),
        resources: Resources::cpus_mem(100, 32),
    })
}

fn chatter() -> TaskInfo {
    task("chatter", Work::Custom { executor: custom("chatterbox"), data: Vec::new() })
}

fn command(id: &str, line: &str) -> TaskInfo {
    task(id, Work::Command(CommandInfo::new(Command::Shell(line.to_owned())).into()))
}

/// A cluster of one agent that keeps checkpoints.
fn cluster(folder: &Path) -> LocalCluster {
    let executors = InProgram::new(|config, info| async move {
        match info {
            None => run_command_executor(config).await,
            Some(_) => run_executor(Chatterbox::default(), config, |(), reporter| reporter.report(())).await,
        }
    });
    LocalCluster::start(LocalConfig {
        agents: vec![Resources::cpus_mem(4000, 1024)],
        listen: LOOPBACK,
        state_dir: folder.to_owned(),
        isolation: IsolationPreference::Plain,
        recovery_timeout: Some(PATIENCE),
        launcher: ExecutorLauncher::InProgram(executors),
        preemption: PreemptionOptions::default(),
    })
    .expect("a cluster")
}

async fn next(told: &mut mpsc::UnboundedReceiver<Told>) -> Told {
    tokio::time::timeout(PATIENCE, told.recv()).await.expect("it hangs").expect("the framework runs")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_executor_that_floods_whose_scheduler_acknowledges_nothing_disturbs_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut cluster = cluster(folder.path());
    let mut start = |name: &str, waiting, acknowledges| {
        let (tell, told) = mpsc::unbounded_channel();
        let role = name.parse().expect("a role");
        cluster
            .run_framework(name, Launcher { role, waiting, acknowledges, told: tell })
            .expect("a framework");
        told
    };
    let mut flooded = start("flooded", vec![chatter()], Ack::Later);
    assert_eq!(next(&mut flooded).await, Told::Subscribed(Subscription::New));
    assert_eq!(next(&mut flooded).await, Told::Update(TaskState::Running));

    // Meanwhile others' tasks run on the same agent, which stays.
    let tasks: Vec<TaskInfo> = (0..20).map(|number| command(&format!("t{number}"), "true")).collect();
    let mut others = start("others", tasks, Ack::Now);
    let mut left = 20;
    while left > 0 {
        match next(&mut others).await {
            Told::Update(state) if state.is_terminal() => {
                assert_eq!(state, TaskState::Finished);
                left -= 1;
            }
            Told::Update(_) | Told::Subscribed(Subscription::New) => {}
            wrong => panic!("{wrong:?}"),
        }
    }

    // Of 5,000 updates so many were sent on; and the last, whatever came before.
    let mut updates = 1;
    loop {
        match next(&mut flooded).await {
            Told::Update(TaskState::Running) => updates += 1,
            Told::Update(TaskState::Finished) => break,
            wrong => panic!("{wrong:?}"),
        }
    }
    assert_eq!(updates, UPDATES_UNDER_WAY);
    cluster.stop().await.expect("it ends in order");
}

/// Each of its tasks says as much as may be on its way.
struct Verbose;

const LARGE_UPDATE_BYTES: usize = 60 << 10;

impl Executor for Verbose {
    type Action = ();
    type Event = ();

    fn launch(&mut self, driver: &mut ExecutorDriver<()>, task: TaskInfo) {
        for _ in 0..UPDATES_UNDER_WAY {
            let status = TaskStatus::new(task.id.clone(), TaskState::Running, driver.now());
            driver.update(TaskStatus { data: vec![7; LARGE_UPDATE_BYTES], ..status });
        }
    }

    fn kill(&mut self, driver: &mut ExecutorDriver<()>, task: &TaskId, _stop: Option<StopPolicy>) {
        driver.update(TaskStatus::new(task.clone(), TaskState::Killed, driver.now()));
    }

    fn event(&mut self, _: &mut ExecutorDriver<()>, (): ()) {}

    fn shutdown(&mut self, _: &mut ExecutorDriver<()>) {}
}

/// Takes an agent as a master does, has it launch these tasks, and hears so many updates of it.
async fn hear(server: &Endpoint, tasks: Vec<TaskInfo>, updates: usize) {
    let incoming = server.accept().await.expect("it is open");
    let Ok(Accepted::Member(connection)) = incoming.establish().await else { panic!("an agent comes") };
    let agent = AgentId::new(connection.peer().name()).expect("a name");
    let (events, sender, mut calls) = connection.split::<AgentEvent, AgentCall>();
    tokio::spawn(sender.drive());
    let (mut heard, mut updated) = (Vec::new(), 0);
    let mut launch =
        Some(AgentEvent::Launch { framework: "verbose".parse().expect("a name"), role: Role::any(), tasks });
    while updated < updates {
        calls.recv_batch(&mut heard).await.expect("it goes on");
        for call in heard.drain(..) {
            match call {
                AgentCall::Holds { .. } => {}
                AgentCall::Register { .. } => {
                    let registered = AgentEvent::Registered { agent: agent.clone(), epoch: Epoch::FIRST };
                    events
                        .push_all([registered, launch.take().expect("it registers once")])
                        .expect("it is there");
                }
                AgentCall::Update { .. } => updated += 1,
                wrong => panic!("{wrong:?}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_has_more_to_say_than_a_connection_holds_says_it_bit_by_bit() {
    const TASKS: usize = 40;
    let folder = tempfile::tempdir().expect("a folder");
    let authority = CertificateAuthority::create("test").expect("an authority");
    let issue = |kind, name| {
        authority.issue(&Identity::new("test", kind, name).expect("a name")).expect("credentials")
    };
    let server = Endpoint::server(LOOPBACK, &issue(IdentityKind::Master, "master"), Settings::default());
    let server = server.expect("a socket");
    let executors = InProgram::new(|config, _| run_executor(Verbose, config, |(), _| {}));
    let config = AgentConfig {
        credentials: issue(IdentityKind::Agent, "a1"),
        master: server.local_address().into(),
        listen: LOOPBACK,
        advertise: None,
        work_dir: folder.path().to_owned(),
        resources: Resources::cpus_mem(64_000, 4096),
        attributes: Default::default(),
        domain: None,
        isolation: IsolationPreference::Plain,
        recovery_timeout: None,
        keep_sandboxes: AgentConfig::KEEP_SANDBOXES,
        launcher: ExecutorLauncher::InProgram(executors),
    };
    let (_stop, shutdown) = ShutdownHandle::new();
    let agent = tokio::spawn(run_agent(config, shutdown));
    let executor = custom("verbose");
    let verbose = |number: usize| {
        let work = Work::Custom { executor: executor.clone(), data: Vec::new() };
        // Large, as what is said of it is.
        let labels = [("payload".to_owned(), "x".repeat(500_000))].into();
        TaskInfo { labels, ..task(&format!("t{number}"), work) }
    };
    // A message holds few of these at a time.
    let tasks: Vec<TaskInfo> = (0..TASKS / 2).map(verbose).collect();
    let told = async {
        hear(&server, tasks, TASKS / 2 * UPDATES_UNDER_WAY).await;
        let tasks = (TASKS / 2..TASKS).map(verbose).collect();
        hear(&server, tasks, TASKS * UPDATES_UNDER_WAY).await;
        // All of it at once is more than a connection holds.
        hear(&server, Vec::new(), TASKS * UPDATES_UNDER_WAY).await;
    };
    tokio::time::timeout(PATIENCE, told).await.expect("it hangs");
    agent.abort();
}

/// Says more at once than its connection holds when it subscribes.
struct Speaker;

impl Scheduler for Speaker {
    fn framework_info(&self) -> FrameworkInfo {
        FrameworkInfo::new("speaker", Role::any())
    }

    fn resource_offers(&mut self, _: &mut Driver, _: &mut [Offer]) {}

    fn status_update(&mut self, _: &mut Driver, _: &TaskStatus) -> Ack {
        Ack::Now
    }

    fn subscribed(&mut self, driver: &mut Driver, _: Subscription) {
        let nobody = || "nobody".parse().expect("a name");
        (0..20).for_each(|_| driver.message(nobody(), ExecutorId::command(), vec![7; 10 << 20]));
    }
}

/// Takes a framework's subscription as a master does, and reads no further. Returns why the connection ended.
async fn subscribe_and_fall_silent(server: &Endpoint) -> String {
    let incoming = server.accept().await.expect("it is open");
    let Ok(Accepted::Member(connection)) = incoming.establish().await else { panic!("a framework comes") };
    let link = connection.link().clone();
    let (events, sender, mut calls) = connection.split::<SchedulerEvent, SchedulerCall>();
    tokio::spawn(sender.drive());
    let mut heard = Vec::new();
    calls.recv_batch(&mut heard).await.expect("it subscribes");
    assert!(matches!(heard[..], [SchedulerCall::Subscribe { .. }]), "{heard:?}");
    let framework = "speaker".parse().expect("a name");
    events
        .push(SchedulerEvent::Subscribed { framework, epoch: Epoch::FIRST, resumed: false })
        .expect("it is connected");
    link.closed().await.to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scheduler_that_says_more_than_its_master_takes_subscribes_anew() {
    let authority = CertificateAuthority::create("test").expect("an authority");
    let issue = |kind, name| {
        authority.issue(&Identity::new("test", kind, name).expect("a name")).expect("credentials")
    };
    let server = Endpoint::server(LOOPBACK, &issue(IdentityKind::Master, "master"), Settings::default());
    let server = server.expect("a socket");
    let config = FrameworkConfig {
        master: server.local_address().into(),
        credentials: issue(IdentityKind::Framework, "speaker"),
    };
    let (_stop, shutdown) = ShutdownHandle::new();
    tokio::spawn(run_scheduler(Speaker, config, shutdown));
    for _ in 0..2 {
        let ended = tokio::time::timeout(PATIENCE, subscribe_and_fall_silent(&server)).await;
        let reason = ended.expect("it does not go on with less than it said");
        assert!(reason.contains("takes them too slowly"), "{reason}");
    }
}
