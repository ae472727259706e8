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
use apportion::protocol::{
    AgentId, Command, CommandInfo, ExecutorId, ExecutorInfo, FrameworkInfo, StopPolicy, TaskId, TaskInfo,
    TaskState, TaskStatus, Work,
};
use apportion::resources::{Resources, Role};
use apportion::runtime::{
    ExecutorLauncher, InProgram, LocalCluster, LocalConfig, run_command_executor, run_executor,
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

fn chatter() -> TaskInfo {
    let executor = ExecutorInfo {
        id: ExecutorId::new("chatterbox").expect("a valid id"),
        command: Command::Argv(Vec::new()),
        env: Default::default(),
        resources: Resources::cpus_mem(100, 32),
    };
    task("chatter", Work::Custom { executor: Arc::new(executor), data: Vec::new() })
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

/// Says more at once than its connection holds, when it subscribes for the first time.
struct Speaker {
    has_spoken: bool,
    told: mpsc::UnboundedSender<Told>,
}

impl Scheduler for Speaker {
    fn framework_info(&self) -> FrameworkInfo {
        FrameworkInfo::new("speaker", Role::any()).with_failover_timeout(PATIENCE)
    }

    fn resource_offers(&mut self, _: &mut Driver, _: &mut [Offer]) {}

    fn status_update(&mut self, _: &mut Driver, _: &TaskStatus) -> Ack {
        Ack::Now
    }

    fn subscribed(&mut self, driver: &mut Driver, how: Subscription) {
        if !std::mem::replace(&mut self.has_spoken, true) {
            let nobody = || "nobody".parse().expect("a name");
            (0..10).for_each(|_| driver.message(nobody(), ExecutorId::command(), vec![7; 10 << 20]));
        }
        // The test may be over.
        let _ = self.told.send(Told::Subscribed(how));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scheduler_that_says_too_much_at_once_subscribes_anew_and_misses_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut cluster = cluster(folder.path());
    let (tell, mut told) = mpsc::unbounded_channel();
    cluster.run_framework("speaker", Speaker { has_spoken: false, told: tell }).expect("a framework");
    assert_eq!(next(&mut told).await, Told::Subscribed(Subscription::New));
    assert_eq!(next(&mut told).await, Told::Subscribed(Subscription::Resumed));
    cluster.stop().await.expect("it ends in order");
}
