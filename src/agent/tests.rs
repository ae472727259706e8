//! Scenarios of an agent's life, without a network.

use std::time::Duration;

use super::*;
use crate::protocol::codec::{MAX_FRAME_BYTES, encoded_len};
use crate::protocol::rules::Rule;
use crate::protocol::{
    Action, AgentCall, AgentEvent, AgentInfo, Command, CommandInfo, ConnectionId, Deposed, Epoch,
    ExecutorCall, ExecutorEvent, ExecutorId, FrameworkId, Reason, Rules, TaskInfo, TaskState, TaskStatus,
    UpdateNumber, Work,
};
use crate::resources::Resources;
use crate::time::Time;

pub(super) const FIRST: ConnectionId = ConnectionId(1);
pub(super) const SECOND: ConnectionId = ConnectionId(2);

pub(super) fn framework() -> FrameworkId {
    "f1".parse().unwrap()
}

pub(super) fn task() -> TaskInfo {
    let command = CommandInfo::new(Command::Shell("true".to_owned()));
    TaskInfo::new("t1".parse().unwrap(), Resources::cpus_mem(100, 32), Work::Command(command.into()))
}

pub(super) fn status(state: TaskState, number: u32) -> TaskStatus {
    let mut status = TaskStatus::new(task().id, state, Time::ZERO);
    status.number = Some(UpdateNumber(number));
    status
}

struct Scenario {
    agent: Agent,
    now: Time,
}

impl Scenario {
    /// An agent that is connected with its master.
    fn new() -> Self {
        let info = AgentInfo::new("here", Resources::cpus_mem(1000, 1024));
        let mut scenario = Scenario { agent: Agent::new("a1".parse().unwrap(), info), now: Time::ZERO };
        scenario.step(AgentInput::MasterConnected);
        scenario
    }

    /// The same, with a task whose executor has registered.
    fn with_task() -> Self {
        let mut scenario = Scenario::new();
        scenario.launch();
        scenario.register(FIRST, Vec::new());
        scenario
    }

    fn step(&mut self, input: AgentInput) -> Vec<AgentOutput> {
        let mut out = Vec::new();
        self.agent.handle(self.now, input, &mut out);
        out
    }

    fn launch(&mut self) -> Vec<AgentOutput> {
        let role = "web".parse().unwrap();
        self.step(AgentInput::Master(AgentEvent::Launch {
            framework: framework(),
            role,
            tasks: vec![task()],
        }))
    }

    fn register(&mut self, connection: ConnectionId, unacknowledged: Vec<TaskStatus>) -> Vec<AgentOutput> {
        let (framework, executor) = (framework(), ExecutorId::command());
        self.step(AgentInput::ExecutorConnected {
            connection,
            framework: framework.clone(),
            executor: executor.clone(),
        });
        let call = ExecutorCall::Register { framework, executor, unacknowledged };
        self.step(AgentInput::ExecutorCall { connection, call })
    }

    fn update(&mut self, state: TaskState, number: u32) -> Vec<AgentOutput> {
        let call = ExecutorCall::Update(status(state, number));
        self.step(AgentInput::ExecutorCall { connection: FIRST, call })
    }

    fn exited(&mut self) -> Vec<AgentOutput> {
        let (framework, executor) = (framework(), ExecutorId::command());
        self.step(AgentInput::ExecutorExited { framework, executor, message: "signal 9".to_owned() })
    }
}

/// The updates for the master.
pub(super) fn updates(out: &[AgentOutput]) -> Vec<(TaskState, u32)> {
    let update = |output: &AgentOutput| match output {
        AgentOutput::ToMaster(AgentCall::Update { status, .. }) => Some((status.state, status.number?.0)),
        _ => None,
    };
    out.iter().filter_map(update).collect()
}

/// What executors are told.
pub(super) fn told(out: Vec<AgentOutput>) -> Vec<ExecutorEvent> {
    let event = |output| match output {
        AgentOutput::ToExecutor { event, .. } => Some(event),
        _ => None,
    };
    out.into_iter().filter_map(event).collect()
}

#[test]
fn a_task_waits_for_its_executor_and_its_updates_for_their_acknowledgement() {
    let mut scenario = Scenario::new();
    let out = scenario.launch();
    assert!(matches!(&out[..], [AgentOutput::StartExecutor { info: None, .. }]), "{out:?}");
    let out = scenario.register(FIRST, Vec::new());
    assert_eq!(told(out), [ExecutorEvent::Registered, ExecutorEvent::Launch(vec![task()])]);
    let out = scenario.update(TaskState::Running, 1);
    assert_eq!(updates(&out), [(TaskState::Running, 1)]);
    assert_eq!(told(out), [ExecutorEvent::Acknowledge { task: task().id, number: UpdateNumber(1) }]);
    assert_eq!(updates(&scenario.update(TaskState::Running, 1)), [], "it was seen before");
    scenario.update(TaskState::Finished, 2);
    assert!(!scenario.agent.task_is_live(&framework(), &task().id));

    scenario.step(AgentInput::MasterDisconnected);
    let out = scenario.step(AgentInput::MasterConnected);
    let AgentOutput::ToMaster(AgentCall::Register { tasks, .. }) = &out[0] else { panic!("{out:?}") };
    assert_eq!(tasks[0].status.state, TaskState::Finished);
    assert_eq!(updates(&out), [(TaskState::Running, 1), (TaskState::Finished, 2)]);
    let number = UpdateNumber(2);
    scenario.step(AgentInput::Master(AgentEvent::Acknowledge {
        framework: framework(),
        task: task().id,
        number,
    }));
    scenario.step(AgentInput::MasterDisconnected);
    let out = scenario.step(AgentInput::MasterConnected);
    assert!(
        matches!(&out[..], [AgentOutput::ToMaster(AgentCall::Register { tasks, .. })] if tasks.is_empty())
    );
}

#[test]
fn what_is_too_much_for_a_message_is_registered_in_several() {
    let mut scenario = Scenario::new();
    let large = |number: u32| TaskInfo {
        id: format!("large-{number}").parse().unwrap(),
        labels: [("payload".to_owned(), "x".repeat(700_000))].into(),
        ..task()
    };
    let (framework, role) = (framework(), "web".parse().unwrap());
    let tasks = (0..30).map(large).collect();
    scenario.step(AgentInput::Master(AgentEvent::Launch { framework, role, tasks }));
    scenario.step(AgentInput::MasterDisconnected);
    let out = scenario.step(AgentInput::MasterConnected);
    let mut told = Vec::new();
    for output in &out {
        let AgentOutput::ToMaster(call) = output else { panic!("{output:?}") };
        assert!(encoded_len(call).unwrap() < MAX_FRAME_BYTES / 4);
        let (AgentCall::Holds { tasks, .. } | AgentCall::Register { tasks, .. }) = call else {
            panic!("it registers")
        };
        told.extend(tasks.iter().map(|held| held.task.id.to_string()));
    }
    assert_eq!(told.len(), 30);
    assert!(matches!(out.last(), Some(AgentOutput::ToMaster(AgentCall::Register { .. }))));
}

#[test]
fn tasks_are_lost_with_their_executor() {
    let mut scenario = Scenario::with_task();
    scenario.update(TaskState::Running, 1);
    let out = scenario.exited();
    assert_eq!(updates(&out), [(TaskState::Lost, 2)]);
    let AgentOutput::ToMaster(AgentCall::Update { status, .. }) = &out[0] else { panic!("{out:?}") };
    assert_eq!(status.reason, Some(Reason::ExecutorGone));
}

#[test]
fn tasks_whose_executor_never_came_are_dropped() {
    let mut scenario = Scenario::new();
    scenario.launch();
    scenario.now = Time::ZERO + EXECUTOR_REGISTRATION_TIMEOUT;
    let out = scenario.step(AgentInput::Tick);
    assert!(matches!(&out[..], [AgentOutput::StopExecutor { .. }]), "{out:?}");
    assert_eq!(updates(&scenario.exited()), [(TaskState::Dropped, 1)]);
}

#[test]
fn an_executor_that_comes_back_is_told_what_it_missed_and_tells_what_we_missed() {
    let mut scenario = Scenario::with_task();
    scenario.step(AgentInput::ExecutorDisconnected { connection: FIRST });
    let kill = AgentEvent::Kill { framework: framework(), task: task().id, stop: None };
    assert_eq!(told(scenario.step(AgentInput::Master(kill))), []);
    let out = scenario.register(SECOND, vec![status(TaskState::Running, 1)]);
    assert_eq!(updates(&out), [(TaskState::Running, 1)]);
    let told = told(out);
    assert!(told.contains(&ExecutorEvent::Kill { task: task().id, stop: None }), "{told:?}");
    assert!(!told.contains(&ExecutorEvent::Launch(vec![task()])), "it has the task: {told:?}");
}

#[test]
fn an_idle_executor_ends_and_a_task_that_comes_too_late_starts_another() {
    let mut scenario = Scenario::with_task();
    scenario.update(TaskState::Finished, 1);
    scenario.now = Time::ZERO + EXECUTOR_IDLE_TIMEOUT + Duration::from_secs(1);
    assert_eq!(told(scenario.step(AgentInput::Tick)), [ExecutorEvent::Shutdown]);
    let number = UpdateNumber(1);
    let acknowledge = AgentEvent::Acknowledge { framework: framework(), task: task().id, number };
    scenario.step(AgentInput::Master(acknowledge));
    assert_eq!(scenario.launch(), []);
    let out = scenario.exited();
    assert!(matches!(&out[..], [AgentOutput::StartExecutor { .. }]), "{out:?}");
}

#[test]
fn shutting_down_waits_for_the_executors_but_not_for_ever() {
    let mut scenario = Scenario::with_task();
    assert_eq!(told(scenario.step(AgentInput::Shutdown)), [ExecutorEvent::Shutdown]);
    scenario.now = scenario.agent.next_deadline().unwrap();
    let out = scenario.step(AgentInput::Tick);
    assert!(matches!(&out[..], [AgentOutput::StopExecutor { .. }]), "{out:?}");
    let out = scenario.exited();
    assert!(out.ends_with(&[AgentOutput::ToMaster(AgentCall::Unregister), AgentOutput::Stop]), "{out:?}");
}

#[test]
fn a_deposed_master_is_refused_and_not_obeyed() {
    let mut scenario = Scenario::new();
    let registered =
        |epoch| AgentInput::Master(AgentEvent::Registered { agent: "a1".parse().unwrap(), epoch });
    assert_eq!(scenario.step(registered(Epoch(2))), []);
    scenario.step(AgentInput::MasterDisconnected);
    scenario.step(AgentInput::MasterConnected);
    let deposed = Deposed { claimed: Epoch(1), newest: Epoch(2) };
    assert_eq!(scenario.step(registered(Epoch(1))), [AgentOutput::RefuseMaster(deposed)]);
    assert_eq!(scenario.launch(), []);
    scenario.step(AgentInput::MasterDisconnected);
    scenario.step(AgentInput::MasterConnected);
    assert_eq!(scenario.step(registered(Epoch(2))), []);
    assert!(matches!(&scenario.launch()[..], [AgentOutput::StartExecutor { .. }]));
}

#[test]
fn readers_are_checked_by_the_rules_that_the_master_told() {
    let mut scenario = Scenario::with_task();
    let reader = "spiffe://test/operator/alice".parse().unwrap();
    let check = |scenario: &Scenario, task: &str| {
        scenario.agent.check_reader(&reader, &framework(), &task.parse().unwrap())
    };
    assert!(
        check(&scenario, "t1").unwrap_err().starts_with("the agent has not heard of the cluster's rules")
    );
    scenario.step(AgentInput::Master(AgentEvent::SetRules(Rules::default())));
    assert_eq!(check(&scenario, "t1"), Ok(()));
    let rule = Rule {
        principals: vec!["operator/alice".parse().unwrap()],
        actions: vec![Action::ReadLogs],
        roles: Some(vec!["web".parse().unwrap()]),
    };
    let rules = Rules { allow: vec![rule], ..Rules::default() };
    scenario.step(AgentInput::Master(AgentEvent::SetRules(rules)));
    assert_eq!(check(&scenario, task().id.as_str()), Ok(()));
    assert!(check(&scenario, "old").is_err(), "its role is not known any more");
}

#[test]
fn so_many_messages_wait_for_an_executor_that_is_not_there() {
    let mut scenario = Scenario::new();
    scenario.launch();
    let message = |data: Vec<u8>| {
        let (framework, executor) = (framework(), ExecutorId::command());
        AgentInput::Master(AgentEvent::Message { framework, executor, data })
    };
    for _ in 0..100_000 {
        scenario.step(message(vec![7; 10_000]));
    }
    let heard = told(scenario.register(FIRST, Vec::new()));
    assert!(heard.contains(&ExecutorEvent::Launch(vec![task()])), "tasks wait, whatever else does");
    let bytes: usize =
        heard.iter().map(|event| if let ExecutorEvent::Message(data) = event { data.len() } else { 0 }).sum();
    assert!((MESSAGE_BYTES_WAITING / 2..=MESSAGE_BYTES_WAITING).contains(&bytes), "{bytes}");
    assert_eq!(told(scenario.step(message(vec![1]))), [ExecutorEvent::Message(vec![1])]);
}
