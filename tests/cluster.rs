//! A master and a scheduler over real QUIC, with an agent played by the test.
#![cfg(feature = "runtime")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use apportion::allocator::DrfAllocator;
use apportion::master::PingOptions;
use apportion::net::{Endpoint, Expect, Outbox, Receiver, Settings};
use apportion::protocol::operator::{OperatorAnswer, OperatorRequest};
use apportion::protocol::{
    AgentCall, AgentEvent, AgentInfo, Command, CommandInfo, Exit, FrameworkInfo, IdentityKind, OperatorCall,
    OperatorEvent, Reason, RequestId, TaskId, TaskInfo, TaskState, TaskStatus, UpdateNumber, Work,
};
use apportion::resources::{Resources, Role, Shape};
use apportion::runtime::{
    Admission, FrameworkConfig, FrameworkHandle, FrameworkRunner, MasterConfig, MasterServer, ShutdownHandle,
};
use apportion::scheduler::{Plan, Planned, Reconciler, TaskRequest, View};
use apportion::time::Time;

/// Nothing here takes long; a test that hangs says so.
const PATIENCE: Duration = Duration::from_secs(30);

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// Runs one task to its end and answers requests with how many have ended.
struct Once {
    role: Role,
    queued: bool,
    ended: u32,
}

impl Reconciler for Once {
    fn framework_info(&self) -> FrameworkInfo {
        FrameworkInfo::new("once", self.role.clone())
    }

    fn reconcile(&mut self, view: &View<'_>, plan: &mut Plan) {
        if !self.queued {
            self.queued = true;
            let shape = Arc::new(Shape::from(Resources::cpus_mem(500, 64)));
            let command = CommandInfo::new(Command::Argv(vec!["true".to_owned()]));
            let id = TaskId::new("t1").expect("a valid id");
            plan.launch(TaskRequest::new(id, self.role.clone(), shape, Work::Command(command.into())));
        }
        for (task, _) in view.terminal() {
            self.ended += 1;
            plan.forget(task.clone());
        }
    }

    fn request(&mut self, _now: Time, request: RequestId, _data: &[u8], plan: &mut Plan) {
        plan.reply(request, self.ended.to_string().into_bytes(), true);
    }
}

/// The agent's side of its connection.
struct PlayedAgent {
    outbox: Outbox<AgentCall>,
    events: Receiver<AgentEvent>,
}

impl PlayedAgent {
    /// The next event that `wanted` picks.
    async fn wait_for<T>(&mut self, wanted: impl Fn(AgentEvent) -> Option<T>) -> T {
        let mut batch = Vec::new();
        loop {
            let read = tokio::time::timeout(PATIENCE, self.events.recv_batch(&mut batch));
            assert_ne!(read.await.expect("in time").expect("connected"), 0, "the master has gone");
            if let Some(found) = batch.drain(..).find_map(&wanted) {
                return found;
            }
        }
    }

    fn update(&self, task: &TaskInfo, state: TaskState, number: u32) {
        let mut status = TaskStatus::new(task.id.clone(), state, Time::ZERO);
        status.number = Some(UpdateNumber(number));
        status.agent = Some("a1".parse().expect("a valid id"));
        status.reason = state.is_terminal().then_some(Reason::Exited(Exit::Code(0)));
        let framework = "once".parse().expect("a valid id");
        self.outbox.push(AgentCall::Update { framework, status, latest: state }).expect("there is room");
    }
}

async fn ended_tasks(handle: &FrameworkHandle) -> Vec<u8> {
    let mut answers = handle.request(Vec::new());
    let answer = tokio::time::timeout(PATIENCE, answers.recv()).await.expect("in time");
    answer.expect("the framework runs").0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_goes_all_the_way_and_operators_see_it() {
    let directory = tempfile::tempdir().expect("a folder");
    let admission = Arc::new(Admission::open(directory.path(), "test").expect("an authority"));
    let (stop, shutdown) = ShutdownHandle::new();
    let config = MasterConfig {
        listen: LOOPBACK,
        credentials: admission.credentials(IdentityKind::Master, "master").expect("credentials"),
        admission: Some(admission.clone()),
        journal: None,
        pings: PingOptions::default(),
    };
    let master = MasterServer::start(config, DrfAllocator::default(), shutdown.clone()).expect("a master");
    let is_master = Expect::Kind(IdentityKind::Master);

    let agent = admission.credentials(IdentityKind::Agent, "a1").expect("credentials");
    let agent_endpoint = Endpoint::client(LOOPBACK, &agent, Settings::default()).expect("a socket");
    let connection = agent_endpoint.connect(master.address(), &is_master).await.expect("connected");
    let (outbox, sender, events) = connection.split();
    tokio::spawn(sender.drive());
    let mut agent = PlayedAgent { outbox, events };
    let info = AgentInfo::new("here", Resources::cpus_mem(1000, 1024));
    agent
        .outbox
        .push(AgentCall::Register { info, tasks: Vec::new(), executors: Vec::new() })
        .expect("there is room");
    agent.wait_for(|event| matches!(event, AgentEvent::Registered { .. }).then_some(())).await;

    let once = Once { role: "web".parse().expect("a valid role"), queued: false, ended: 0 };
    let config = FrameworkConfig {
        master: master.address().into(),
        credentials: admission.credentials(IdentityKind::Framework, "once").expect("credentials"),
    };
    let (handle, runner) = FrameworkRunner::new(Planned::new(once), config);
    let framework = tokio::spawn(runner.run(shutdown));

    let launched = |event| match event {
        AgentEvent::Launch { mut tasks, .. } => tasks.pop(),
        _ => None,
    };
    let task = agent.wait_for(launched).await;
    assert_eq!(task.resources, Resources::cpus_mem(500, 64));
    agent.update(&task, TaskState::Running, 1);
    agent.update(&task, TaskState::Finished, 2);
    let acknowledged =
        |event| matches!(event, AgentEvent::Acknowledge { number: UpdateNumber(2), .. }).then_some(());
    agent.wait_for(acknowledged).await;
    assert_eq!(ended_tasks(&handle).await, b"1");

    let operator = admission.credentials(IdentityKind::Operator, "me").expect("credentials");
    let operator_endpoint = Endpoint::client(LOOPBACK, &operator, Settings::default()).expect("a socket");
    let connection = operator_endpoint.connect(master.address(), &is_master).await.expect("connected");
    let (questions, sender, mut answers) = connection.split::<OperatorRequest, OperatorAnswer>();
    tokio::spawn(sender.drive());
    questions
        .push(OperatorRequest { request: RequestId(1), call: OperatorCall::GetState })
        .expect("there is room");
    let mut batch = Vec::new();
    let read = tokio::time::timeout(PATIENCE, answers.recv_batch(&mut batch));
    read.await.expect("in time").expect("connected");
    let OperatorEvent::State(state) = &batch[0].event else { panic!("{batch:?}") };
    assert_eq!(state.frameworks[0].tasks_finished, 1);
    assert_eq!(state.tasks[0].state, TaskState::Finished);

    stop.stop();
    tokio::time::timeout(PATIENCE, framework).await.expect("in time").expect("no panic").expect("no error");
    master.stop().await;
}
