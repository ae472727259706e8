//! A whole cluster with real processes: tasks run, fail, are killed, and leave nothing behind.
#![cfg(feature = "runtime")]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use apportion::allocator::PreemptionOptions;
use apportion::isolation::IsolationPreference;
use apportion::protocol::logs::{OutputName, ReadLog};
use apportion::protocol::{
    Command, CommandInfo, Exit, FrameworkInfo, IdentityKind, OperatorCall, Reason, RequestId, StopPolicy,
    TaskId, TaskState, TaskStatus, Work,
};
use apportion::resources::{Resources, Role, Shape};
use apportion::runtime::{
    ExecutorLauncher, FrameworkHandle, InProgram, LocalCluster, LocalConfig, OperatorClient, read_log,
};
use apportion::scheduler::{Plan, Planned, Reconciler, TaskRequest, View};
use apportion::time::Time;
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;

/// Nothing here takes long; a test that hangs says so.
const PATIENCE: Duration = Duration::from_secs(60);

const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Runs the shell lines that it is asked to run, and tells each update of them.
struct Shells {
    role: Role,
    updates: mpsc::UnboundedSender<TaskStatus>,
    last: u32,
    waiting: Vec<(TaskId, CommandInfo)>,
}

impl Reconciler for Shells {
    fn framework_info(&self) -> FrameworkInfo {
        FrameworkInfo::new("shells", self.role.clone())
    }

    fn reconcile(&mut self, _view: &View<'_>, plan: &mut Plan) {
        for (id, command) in self.waiting.drain(..) {
            let shape = Arc::new(Shape::from(Resources::cpus_mem(100, 32)));
            plan.launch(TaskRequest::new(id, self.role.clone(), shape, Work::Command(command.into())));
        }
    }

    fn status_update(&mut self, _now: Time, status: &TaskStatus, _plan: &mut Plan) {
        self.updates.send(status.clone()).expect("the test goes on");
    }

    fn request(&mut self, _now: Time, request: RequestId, data: &[u8], plan: &mut Plan) {
        self.last += 1;
        let id = TaskId::new(format!("t{}", self.last)).expect("a valid id");
        let line = String::from_utf8(data.to_vec()).expect("a line");
        let mut command = CommandInfo::new(Command::Shell(line));
        command.stop = StopPolicy { grace: Duration::from_millis(200), ..StopPolicy::default() };
        self.waiting.push((id.clone(), command));
        plan.reply(request, id.as_str().as_bytes().to_vec(), true);
    }
}

/// A cluster of one agent with a framework that runs shell lines.
struct Scene {
    cluster: LocalCluster,
    framework: FrameworkHandle,
    updates: mpsc::UnboundedReceiver<TaskStatus>,
    seen: BTreeMap<TaskId, Vec<TaskStatus>>,
}

impl Scene {
    async fn new(folder: &Path) -> Self {
        let config = LocalConfig {
            agents: vec![Resources::cpus_mem(4000, 1024)],
            listen: LOOPBACK,
            state_dir: folder.to_owned(),
            isolation: IsolationPreference::Auto,
            recovery_timeout: None,
            launcher: ExecutorLauncher::InProgram(InProgram::commands()),
            preemption: PreemptionOptions::default(),
        };
        let mut cluster = LocalCluster::start(config).expect("a cluster");
        let (sender, updates) = mpsc::unbounded_channel();
        let role = "test".parse().expect("a valid role");
        let shells = Shells { role, updates: sender, last: 0, waiting: Vec::new() };
        let framework = cluster.run_framework("shells", Planned::new(shells)).expect("a framework");
        cluster.ready().await.expect("all parts come");
        Scene { cluster, framework, updates, seen: BTreeMap::new() }
    }

    async fn run(&self, line: &str) -> TaskId {
        let mut answers = self.framework.request(line.as_bytes().to_vec());
        let answer = tokio::time::timeout(PATIENCE, answers.recv()).await.expect("in time");
        TaskId::new(String::from_utf8(answer.expect("an answer").0).expect("an id")).expect("an id")
    }

    /// Waits until the task has this state, and returns the status with it.
    async fn until(&mut self, task: &TaskId, is_wanted: impl Fn(TaskState) -> bool) -> TaskStatus {
        let wanted = |status: &&TaskStatus| is_wanted(status.state);
        loop {
            if let Some(status) = self.seen.get(task).and_then(|seen| seen.iter().find(wanted)) {
                return status.clone();
            }
            let update = tokio::time::timeout(PATIENCE, self.updates.recv()).await;
            let update = update.unwrap_or_else(|_| panic!("{task} hangs: {:?}", self.seen));
            let update = update.expect("the framework runs");
            self.seen.entry(update.task.clone()).or_default().push(update);
        }
    }

    async fn end(&mut self, task: &TaskId) -> TaskStatus {
        self.until(task, TaskState::is_terminal).await
    }

    async fn log(&self, task: &TaskId, output: OutputName, follow: bool) -> String {
        let operator = self.cluster.credentials(IdentityKind::Operator, "me").expect("credentials");
        let client = OperatorClient::connect(self.cluster.address(), &operator).await.expect("connected");
        let state = client.call(OperatorCall::GetState).await.expect("an answer");
        let apportion::protocol::OperatorEvent::State(state) = state else { panic!("{state:?}") };
        let agent = state.agents[0].address.expect("it serves logs");
        let framework = "shells".parse().expect("a valid id");
        let wanted = ReadLog { framework, task: task.clone(), output, offset: 0, follow };
        // A task that has not started has none.
        let Ok(mut bytes) = read_log(agent, &operator, &wanted).await else { return String::new() };
        let mut text = String::new();
        tokio::time::timeout(PATIENCE, bytes.read_to_string(&mut text))
            .await
            .expect("in time")
            .expect("text");
        text
    }

    async fn kill(&self, task: &TaskId) {
        let operator = self.cluster.credentials(IdentityKind::Operator, "me").expect("credentials");
        let client = OperatorClient::connect(self.cluster.address(), &operator).await.expect("connected");
        let framework = "shells".parse().ok();
        client.call(OperatorCall::Kill { framework, task: task.clone() }).await.expect("an answer");
    }
}

/// Waits until a process with this text in its arguments is there: it runs a moment before the kernel shows them.
async fn appears(marker: &str) {
    let look = async {
        while !is_running(marker) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, look).await.expect("it appears");
}

/// Whether a process with this text in its arguments is there.
fn is_running(marker: &str) -> bool {
    let processes = std::fs::read_dir("/proc").expect("procfs").flatten();
    let arguments = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    arguments.into_iter().any(|text| String::from_utf8_lossy(&text).contains(marker))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ends_are_told_exactly() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut scene = Scene::new(folder.path()).await;
    let good = scene.run("echo out; echo err >&2; pwd").await;
    let bad = scene.run("exit 7").await;
    let shot = scene.run("kill -9 $$").await;
    let status = scene.end(&good).await;
    assert_eq!((status.state, status.exit()), (TaskState::Finished, Some(Exit::Code(0))), "{status:?}");
    let status = scene.end(&bad).await;
    assert_eq!((status.state, status.exit()), (TaskState::Failed, Some(Exit::Code(7))), "{status:?}");
    let status = scene.end(&shot).await;
    assert_eq!((status.state, status.exit()), (TaskState::Failed, Some(Exit::Signal(9))), "{status:?}");
    let sandbox =
        folder.path().canonicalize().expect("a path").join("agents/agent1/tasks/shells").join(good.as_str());
    assert_eq!(scene.log(&good, OutputName::Stdout, false).await, format!("out\n{}\n", sandbox.display()));
    assert_eq!(scene.log(&good, OutputName::Stderr, false).await, "err\n");
    scene.cluster.stop().await.expect("it ends in order");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_followed_log_ends_with_its_task_and_a_stubborn_task_is_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut scene = Scene::new(folder.path()).await;
    let marker = format!("stubborn-{}", std::process::id());
    let task =
        scene.run(&format!("trap '' TERM; echo begun; : {marker}; while :; do sleep 0.05; done")).await;
    // Only then does it ignore the signal.
    while scene.log(&task, OutputName::Stdout, false).await.is_empty() {}
    let (text, ()) = tokio::join!(scene.log(&task, OutputName::Stdout, true), scene.kill(&task));
    assert_eq!(text, "begun\n");
    let status = scene.end(&task).await;
    assert_eq!((status.state, status.exit()), (TaskState::Killed, Some(Exit::Signal(9))), "{status:?}");
    assert!(!is_running(&marker));
    scene.cluster.stop().await.expect("it ends in order");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_stops_leaves_no_process_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut scene = Scene::new(folder.path()).await;
    let marker = format!("left-behind-{}", std::process::id());
    let task = scene.run(&format!("trap '' TERM; : {marker}; while :; do sleep 0.05; done")).await;
    scene.until(&task, |state| state == TaskState::Running).await;
    appears(&marker).await;
    scene.cluster.stop().await.expect("it ends in order");
    assert!(!is_running(&marker));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut scene = Scene::new(folder.path()).await;
    let task = scene.run("exec /no/such/program").await;
    let status = scene.end(&task).await;
    assert_eq!(status.reason, Some(Reason::Exited(Exit::Code(127))), "{status:?}");
    assert!(scene.log(&task, OutputName::Stderr, false).await.contains("/no/such/program"));
    scene.cluster.stop().await.expect("it ends in order");
}
