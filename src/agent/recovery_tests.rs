//! An agent that keeps records, and what its next life knows.

use super::tests::{FIRST, SECOND, framework, status, task, told, updates};
use super::*;
use crate::protocol::{
    AgentCall, AgentEvent, AgentInfo, ConnectionId, Epoch, ExecutorCall, ExecutorEvent, ExecutorId, Reason,
    TaskState, TaskStatus, UpdateNumber,
};
use crate::resources::Resources;
use crate::time::Time;

/// An agent whose disk takes what the test says.
struct Durable {
    agent: Agent,
    /// What is on the disk.
    checkpoint: Checkpoint,
    /// What the disk has not taken yet.
    writes: Vec<(u64, Vec<Record>)>,
}

impl Durable {
    fn new() -> Self {
        let (durable, out) = Durable::start(Checkpoint::new("a1".parse().unwrap()));
        assert_eq!(out, []);
        durable
    }

    fn start(checkpoint: Checkpoint) -> (Self, Vec<AgentOutput>) {
        let info = AgentInfo::new("here", Resources::cpus_mem(1000, 1024));
        let mut out = Vec::new();
        let agent = Agent::recovered(Time::ZERO, "a1".parse().unwrap(), info, checkpoint.clone(), &mut out);
        (Durable { agent, checkpoint, writes: Vec::new() }, out)
    }

    /// What it puts out at once, without the records that it wants kept.
    fn step(&mut self, input: AgentInput) -> Vec<AgentOutput> {
        let mut out = Vec::new();
        self.agent.handle(Time::ZERO, input, &mut out);
        out.retain(|output| match output {
            AgentOutput::Store { number, records } => {
                self.writes.push((*number, records.clone()));
                false
            }
            _ => true,
        });
        out
    }

    /// The disk takes everything; what is put out then.
    fn sync(&mut self) -> Vec<AgentOutput> {
        let mut out = Vec::new();
        for (number, records) in std::mem::take(&mut self.writes) {
            records.into_iter().for_each(|record| self.checkpoint.apply(record));
            out.extend(self.step(AgentInput::Stored(number)));
        }
        out
    }

    /// The agent dies, with what the disk has not taken, and starts again.
    fn crash(&mut self) -> Vec<AgentOutput> {
        let mut again = Checkpoint::new("a1".parse().unwrap());
        self.checkpoint.records().into_iter().for_each(|record| again.apply(record));
        assert_eq!(again, self.checkpoint, "fewer records, the same sum");
        let (next, out) = Durable::start(again);
        *self = next;
        out
    }

    fn launch(&mut self) -> Vec<AgentOutput> {
        let (framework, role) = (framework(), "web".parse().unwrap());
        self.step(AgentInput::Master(AgentEvent::Launch { framework, role, tasks: vec![task()] }))
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

    fn acknowledge(&mut self, number: u32) -> Vec<AgentOutput> {
        let (framework, task, number) = (framework(), task().id, UpdateNumber(number));
        self.step(AgentInput::Master(AgentEvent::Acknowledge { framework, task, number }))
    }

    /// With a running task, all of which is durable.
    fn with_task() -> Self {
        let mut durable = Durable::new();
        durable.step(AgentInput::MasterConnected);
        durable.launch();
        durable.sync();
        durable.register(FIRST, Vec::new());
        durable.update(TaskState::Running, 1);
        durable.sync();
        durable
    }
}

fn acknowledged(number: u32) -> ExecutorEvent {
    ExecutorEvent::Acknowledge { task: task().id, number: UpdateNumber(number) }
}

#[test]
fn nobody_hears_of_what_is_not_durable() {
    let mut agent = Durable::new();
    agent.step(AgentInput::MasterConnected);
    assert_eq!(agent.launch(), []);
    assert!(matches!(&agent.sync()[..], [AgentOutput::StartExecutor { .. }]));
    agent.register(FIRST, Vec::new());
    assert_eq!(agent.update(TaskState::Running, 1), []);
    assert_eq!(agent.step(AgentInput::Master(AgentEvent::Ping)), [], "what comes later waits too");
    let out = agent.sync();
    assert_eq!(updates(&out), [(TaskState::Running, 1)]);
    assert!(out.contains(&AgentOutput::ToMaster(AgentCall::Pong)));
    assert_eq!(told(out), [acknowledged(1)]);
    agent.acknowledge(1);
    let pong = agent.step(AgentInput::Master(AgentEvent::Ping));
    assert_eq!(
        pong,
        [AgentOutput::ToMaster(AgentCall::Pong)],
        "nothing waits for an acknowledgement's record"
    );
}

#[test]
fn its_next_life_finds_the_executor_and_delivers_what_was_missed_once() {
    let mut agent = Durable::with_task();
    agent.acknowledge(1);
    agent.sync();
    agent.update(TaskState::Finished, 2);
    let out = agent.crash();
    assert_eq!(out, [AgentOutput::AdoptExecutor { framework: framework(), executor: ExecutorId::command() }]);
    let out = agent.step(AgentInput::MasterConnected);
    let [AgentOutput::ToMaster(AgentCall::Register { tasks, .. })] = &out[..] else { panic!("{out:?}") };
    assert_eq!((tasks[0].status.state, tasks[0].status.number), (TaskState::Running, Some(UpdateNumber(1))));
    let missed = status(TaskState::Finished, 2);
    assert_eq!(told(agent.register(SECOND, vec![missed])), [], "it waits for the disk");
    let out = agent.sync();
    assert_eq!(updates(&out), [(TaskState::Finished, 2)]);
    assert_eq!(told(out), [ExecutorEvent::Registered, acknowledged(2)]);
    agent.acknowledge(2);
    agent.sync();
    agent.crash();
    let out = agent.step(AgentInput::MasterConnected);
    assert!(
        matches!(&out[..], [AgentOutput::ToMaster(AgentCall::Register { tasks, .. })] if tasks.is_empty())
    );
}

#[test]
fn what_no_scheduler_has_acknowledged_is_told_again_in_the_next_life() {
    let mut agent = Durable::with_task();
    agent.crash();
    assert_eq!(updates(&agent.step(AgentInput::MasterConnected)), [(TaskState::Running, 1)]);
}

#[test]
fn a_task_that_may_not_have_reached_its_executor_is_handed_to_it_again() {
    let mut agent = Durable::new();
    agent.step(AgentInput::MasterConnected);
    agent.launch();
    agent.sync();
    agent.crash();
    let told = told(agent.register(FIRST, Vec::new()));
    assert_eq!(told, [ExecutorEvent::Registered, ExecutorEvent::Launch(vec![task()])]);
}

#[test]
fn a_launch_that_was_not_durable_never_was() {
    let mut agent = Durable::new();
    agent.launch();
    assert_eq!(agent.crash(), []);
    let out = agent.step(AgentInput::MasterConnected);
    assert!(
        matches!(&out[..], [AgentOutput::ToMaster(AgentCall::Register { tasks, .. })] if tasks.is_empty())
    );
}

#[test]
fn a_task_of_which_only_the_launch_was_written_while_the_agent_was_ending_is_dropped() {
    let mut checkpoint = Checkpoint::new("a1".parse().unwrap());
    let (framework, role) = (framework(), "web".parse().unwrap());
    checkpoint.apply(Record::Launched { framework, role, at: Time::ZERO, tasks: vec![task()] });
    let (mut durable, out) = Durable::start(checkpoint);
    assert_eq!(out, [], "nobody is there to adopt");
    assert_eq!(durable.step(AgentInput::MasterConnected), [], "it is not durable yet");
    assert_eq!(updates(&durable.sync()), [(TaskState::Dropped, 1)]);
}

#[test]
fn tasks_whose_executor_is_not_there_any_more_are_lost() {
    let mut agent = Durable::with_task();
    agent.crash();
    agent.step(AgentInput::MasterConnected);
    let (framework, executor) = (framework(), ExecutorId::command());
    let message = "the machine was restarted".to_owned();
    agent.step(AgentInput::ExecutorExited { framework, executor, message });
    let out = agent.sync();
    assert_eq!(updates(&out), [(TaskState::Lost, 2)]);
    let AgentOutput::ToMaster(AgentCall::Update { status, .. }) = &out[0] else { panic!("{out:?}") };
    assert_eq!(status.reason, Some(Reason::ExecutorGone));
}

#[test]
fn what_waits_for_a_master_that_is_gone_is_told_by_the_next_registration_alone() {
    let mut agent = Durable::with_task();
    agent.update(TaskState::Finished, 2);
    agent.step(AgentInput::MasterDisconnected);
    agent.step(AgentInput::MasterConnected);
    let out = agent.sync();
    assert!(matches!(&out[1], AgentOutput::ToMaster(AgentCall::Register { .. })), "{out:?}");
    assert_eq!(updates(&out), [(TaskState::Running, 1), (TaskState::Finished, 2)]);
}

#[test]
fn of_a_flood_of_updates_so_many_are_under_way_and_the_last_one_always_arrives() {
    let mut agent = Durable::with_task();
    agent.acknowledge(1);
    let window = UPDATES_UNDER_WAY as u32;
    let flood = |agent: &mut Durable, numbers: std::ops::RangeInclusive<u32>| {
        let mut out: Vec<_> = numbers.flat_map(|number| agent.update(TaskState::Running, number)).collect();
        out.extend(agent.sync());
        assert_eq!(told(out.clone()).len(), out.len() - updates(&out).len(), "each is safe here");
        updates(&out).into_iter().map(|(_, number)| number).collect::<Vec<_>>()
    };
    let sent = flood(&mut agent, 2..=10 * window);
    assert_eq!(sent, (2..2 + window).collect::<Vec<_>>());

    // Its next life knows as much, and no more.
    agent.crash();
    let again = updates(&agent.step(AgentInput::MasterConnected));
    let kept: Vec<u32> = again.into_iter().map(|(_, number)| number).collect();
    assert_eq!(kept, [sent.clone(), vec![10 * window]].concat());
    agent.register(SECOND, Vec::new());

    // When the scheduler has taken one, the newest goes out; nothing else of the flood ever does.
    let mut out = agent.acknowledge(2);
    out.extend(agent.sync());
    assert_eq!(updates(&out), [(TaskState::Running, 10 * window)]);
    let number = UpdateNumber(10 * window + 1);
    let end = TaskStatus { number: Some(number), ..status(TaskState::Finished, 0) };
    let mut out =
        agent.step(AgentInput::ExecutorCall { connection: SECOND, call: ExecutorCall::Update(end) });
    out.extend(agent.sync());
    assert_eq!(updates(&out), [(TaskState::Finished, number.0)], "an end waits for nothing");
    agent.acknowledge(number.0);
    agent.sync();
    assert!(agent.checkpoint.records().iter().all(|record| !matches!(record, Record::Launched { .. })));
}

#[test]
fn a_deposed_master_is_refused_at_once_however_slow_the_disk_is() {
    let mut agent = Durable::with_task();
    let registered =
        |epoch| AgentInput::Master(AgentEvent::Registered { agent: "a1".parse().unwrap(), epoch });
    agent.step(registered(Epoch(2)));
    agent.step(AgentInput::MasterDisconnected);
    agent.step(AgentInput::MasterConnected);
    agent.update(TaskState::Finished, 2);
    let out = agent.step(registered(Epoch(1)));
    assert!(matches!(&out[..], [AgentOutput::RefuseMaster(_)]), "{out:?}");
    assert_eq!(updates(&agent.sync()), [], "it is told nothing more");
}
