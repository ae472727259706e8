//! An agent with its executors, as one state machine.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::timers::TimerExecutor;
use crate::agent::{Agent, AgentInput, AgentOutput};
use crate::executor::{DEFAULT_RECOVERY_TIMEOUT, ExecutorInput, ExecutorOutput, ExecutorProcess};
use crate::protocol::{AgentCall, AgentId, AgentInfo, ConnectionId, Deposed, ExecutorId, FrameworkId};
use crate::time::Time;

/// What a simulated agent wants done.
#[derive(Debug, PartialEq)]
pub(super) enum Wish {
    /// Tell the master.
    Tell(AgentCall),
    /// End the master's connection, and seek the master that leads.
    Refuse(Deposed),
    /// It has ended.
    Stop,
}

/// The production agent, with production executors around tasks that are timers.
pub(super) struct SimulatedAgent {
    agent: Agent,
    task_time: Duration,
    executors: BTreeMap<ConnectionId, Played>,
    last_connection: u64,
}

struct Played {
    framework: FrameworkId,
    executor: ExecutorId,
    process: ExecutorProcess<TimerExecutor>,
}

impl SimulatedAgent {
    /// One that runs nothing. It keeps no records: its tasks end with it.
    pub(super) fn new(id: AgentId, info: AgentInfo, task_time: Duration) -> Self {
        SimulatedAgent {
            agent: Agent::new(id, info),
            task_time,
            executors: BTreeMap::new(),
            last_connection: 0,
        }
    }

    /// When [`SimulatedAgent::tick`] is due.
    pub(super) fn next_deadline(&self) -> Option<Time> {
        let executors = self.executors.values().filter_map(|played| played.process.next_deadline());
        executors.chain(self.agent.next_deadline()).min()
    }

    /// Lets time pass.
    pub(super) fn tick(&mut self, now: Time, out: &mut Vec<Wish>) {
        let is_due = |deadline: Option<Time>| deadline.is_some_and(|deadline| deadline <= now);
        let mut inputs = VecDeque::new();
        if is_due(self.agent.next_deadline()) {
            inputs.push_back(AgentInput::Tick);
        }
        let due: Vec<_> = self
            .executors
            .iter()
            .filter(|(_, played)| is_due(played.process.next_deadline()))
            .map(|(connection, _)| *connection)
            .collect();
        for connection in due {
            self.tell_executor(now, connection, ExecutorInput::Tick, &mut inputs);
        }
        self.settle(now, inputs, out);
    }

    /// Takes note of what happened, and appends what is to be done.
    pub(super) fn handle(&mut self, now: Time, input: AgentInput, out: &mut Vec<Wish>) {
        self.settle(now, VecDeque::from([input]), out);
    }

    /// Lets the agent and its executors talk until they have nothing more to say to each other.
    fn settle(&mut self, now: Time, mut inputs: VecDeque<AgentInput>, out: &mut Vec<Wish>) {
        let mut outputs = Vec::new();
        while let Some(input) = inputs.pop_front() {
            self.agent.handle(now, input, &mut outputs);
            for output in outputs.drain(..) {
                match output {
                    AgentOutput::ToMaster(call) => out.push(Wish::Tell(call)),
                    AgentOutput::RefuseMaster(deposed) => out.push(Wish::Refuse(deposed)),
                    AgentOutput::Stop => out.push(Wish::Stop),
                    AgentOutput::StartExecutor { framework, executor, .. } => {
                        self.start_executor(now, framework, executor, &mut inputs);
                    }
                    AgentOutput::ToExecutor { connection, event } => {
                        self.tell_executor(now, connection, ExecutorInput::Agent(event), &mut inputs);
                    }
                    AgentOutput::DisconnectExecutor { connection, .. } => {
                        self.executors.remove(&connection);
                    }
                    AgentOutput::StopExecutor { framework, executor } => {
                        self.executors.retain(|_, played| {
                            (&played.framework, &played.executor) != (&framework, &executor)
                        });
                        let message = "killed".to_owned();
                        inputs.push_back(AgentInput::ExecutorExited { framework, executor, message });
                    }
                    // Timers have no use for volumes.
                    AgentOutput::KeepVolumes(_) => {}
                    // Only asked of drivers that keep records.
                    AgentOutput::Store { .. } | AgentOutput::AdoptExecutor { .. } => {}
                }
            }
        }
    }

    fn start_executor(
        &mut self,
        now: Time,
        framework: FrameworkId,
        executor: ExecutorId,
        inputs: &mut VecDeque<AgentInput>,
    ) {
        self.last_connection += 1;
        let connection = ConnectionId(self.last_connection);
        let process = ExecutorProcess::new(
            TimerExecutor::new(self.task_time),
            framework.clone(),
            executor.clone(),
            DEFAULT_RECOVERY_TIMEOUT,
        );
        let played = Played { framework: framework.clone(), executor: executor.clone(), process };
        self.executors.insert(connection, played);
        inputs.push_back(AgentInput::ExecutorConnected { connection, framework, executor });
        self.tell_executor(now, connection, ExecutorInput::Connected, inputs);
    }

    fn tell_executor(
        &mut self,
        now: Time,
        connection: ConnectionId,
        input: ExecutorInput<std::convert::Infallible>,
        inputs: &mut VecDeque<AgentInput>,
    ) {
        let Some(played) = self.executors.get_mut(&connection) else { return };
        let mut outputs = Vec::new();
        played.process.handle(now, input, &mut outputs);
        for output in outputs {
            match output {
                ExecutorOutput::Send(call) => {
                    inputs.push_back(AgentInput::ExecutorCall { connection, call });
                }
                ExecutorOutput::Act(never) => match never {},
                ExecutorOutput::Stop => {
                    let Some(Played { framework, executor, .. }) = self.executors.remove(&connection) else {
                        continue;
                    };
                    inputs.push_back(AgentInput::ExecutorDisconnected { connection });
                    let message = "it ended".to_owned();
                    inputs.push_back(AgentInput::ExecutorExited { framework, executor, message });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::timers::TASK_TIME;
    use super::*;
    use crate::protocol::{AgentEvent, Command, CommandInfo, Epoch, TaskInfo, TaskState, Work};
    use crate::resources::Resources;

    fn registered() -> SimulatedAgent {
        let id = AgentId::new("a1").unwrap();
        let info = AgentInfo::new("machine", Resources::cpus_mem(1000, 1024));
        let mut agent = SimulatedAgent::new(id.clone(), info, Duration::from_secs(10));
        let mut out = Vec::new();
        agent.handle(Time::ZERO, AgentInput::MasterConnected, &mut out);
        assert!(matches!(&out[..], [Wish::Tell(AgentCall::Register { .. })]), "{out:?}");
        let registered = AgentEvent::Registered { agent: id, epoch: Epoch::FIRST };
        agent.handle(Time::ZERO, AgentInput::Master(registered), &mut out);
        agent
    }

    fn task(id: &str, time: Option<&str>) -> TaskInfo {
        let command = CommandInfo::new(Command::Shell("not run".to_owned()));
        let mut task =
            TaskInfo::new(id.parse().unwrap(), Resources::cpus_mem(100, 32), Work::Command(command.into()));
        task.env.extend(time.map(|time| (TASK_TIME.to_owned(), time.to_owned())));
        task
    }

    fn launch(agent: &mut SimulatedAgent, tasks: Vec<TaskInfo>) -> Vec<TaskState> {
        let (framework, role) = ("f1".parse().unwrap(), "web".parse().unwrap());
        let mut out = Vec::new();
        let launch = AgentEvent::Launch { framework, role, tasks };
        agent.handle(Time::ZERO, AgentInput::Master(launch), &mut out);
        states(&out)
    }

    fn states(out: &[Wish]) -> Vec<TaskState> {
        let state = |wish: &Wish| match wish {
            Wish::Tell(AgentCall::Update { status, .. }) => Some(status.state),
            _ => None,
        };
        out.iter().filter_map(state).collect()
    }

    #[test]
    fn tasks_run_for_as_long_as_they_say() {
        let mut agent = registered();
        let tasks = vec![task("t1", None), task("t2", Some("1m"))];
        assert_eq!(launch(&mut agent, tasks), [TaskState::Running, TaskState::Running]);
        for (at, ended) in [(10, "t1"), (60, "t2")] {
            assert_eq!(agent.next_deadline(), Some(Time::from_secs(at)));
            let mut out = Vec::new();
            agent.tick(Time::from_secs(at), &mut out);
            assert_eq!(states(&out), [TaskState::Finished], "{ended}");
        }
    }

    #[test]
    fn it_ends_with_its_tasks() {
        let mut agent = registered();
        launch(&mut agent, vec![task("t1", None)]);
        let mut out = Vec::new();
        agent.handle(Time::from_secs(1), AgentInput::Shutdown, &mut out);
        assert_eq!(states(&out), [TaskState::Killed]);
        assert_eq!(out.last(), Some(&Wish::Stop));
    }
}
