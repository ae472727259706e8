//! Simulated agents: tasks run at once and end when they are told to.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::protocol::{
    AgentCall, AgentEvent, AgentId, AgentInfo, ConnectionId, Exit, FrameworkId, HeldTask, Reason, TaskId,
    TaskInfo, TaskState, TaskStatus, UpdateNumber,
};
use crate::resources::{Resources, Role};
use crate::time::{Time, Timers};

/// How a task ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ending {
    Finished,
    Failed,
    Killed,
}

impl Ending {
    fn verdict(self) -> (TaskState, Exit) {
        match self {
            Ending::Finished => (TaskState::Finished, Exit::Code(0)),
            Ending::Failed => (TaskState::Failed, Exit::Code(1)),
            Ending::Killed => (TaskState::Killed, Exit::Signal(15)),
        }
    }
}

#[derive(Debug)]
struct Task {
    framework: FrameworkId,
    role: Role,
    info: TaskInfo,
    state: TaskState,
    number: UpdateNumber,
}

#[derive(Debug)]
struct Agent {
    connection: ConnectionId,
    info: AgentInfo,
    tasks: BTreeMap<TaskId, Task>,
}

/// All simulated agents.
#[derive(Debug)]
pub(super) struct Agents {
    by_id: BTreeMap<AgentId, Agent>,
    task_duration: Option<Duration>,
    endings: Timers<TaskId>,
}

impl Agents {
    pub(super) fn new(task_duration: Option<Duration>) -> Self {
        Agents { by_id: BTreeMap::new(), task_duration, endings: Timers::default() }
    }

    /// A new, empty agent, and how it registers.
    pub(super) fn add(&mut self, name: &str, resources: Resources, connection: ConnectionId) -> AgentCall {
        let info = AgentInfo::new(name, resources);
        let agent = Agent { connection, info: info.clone(), tasks: BTreeMap::new() };
        self.by_id.insert(AgentId::new(name).expect("an agent's name"), agent);
        AgentCall::Register { info, tasks: Vec::new(), executors: Vec::new() }
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.by_id.keys().map(ToString::to_string).collect()
    }

    /// The agent has a new connection; how it registers there.
    pub(super) fn reconnect(&mut self, now: Time, name: &str, connection: ConnectionId) -> AgentCall {
        let agent = self.by_id.values_mut().find(|agent| agent.info.hostname == name).expect("an agent");
        agent.connection = connection;
        let id = AgentId::new(name).expect("an agent's name");
        let held = agent.tasks.values().map(|task| HeldTask {
            framework: task.framework.clone(),
            role: task.role.clone(),
            task: task.info.clone(),
            status: task.status(now, &id, None),
        });
        AgentCall::Register { info: agent.info.clone(), tasks: held.collect(), executors: Vec::new() }
    }

    /// The agent is gone with its tasks; the connection that it had.
    pub(super) fn lose(&mut self, name: &str) -> ConnectionId {
        let id = AgentId::new(name).expect("an agent's name");
        let agent = self.by_id.remove(&id).unwrap_or_else(|| panic!("there is no agent {name}"));
        for task in agent.tasks.keys() {
            self.endings.cancel(task);
        }
        agent.connection
    }

    pub(super) fn tasks(&self) -> Vec<(TaskId, AgentId, TaskState)> {
        let each = |(id, agent): (&AgentId, &Agent)| {
            let tasks = agent.tasks.iter();
            tasks.map(|(task, known)| (task.clone(), id.clone(), known.state)).collect::<Vec<_>>()
        };
        let mut tasks: Vec<_> = self.by_id.iter().flat_map(each).collect();
        tasks.sort();
        tasks
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.endings.next_deadline()
    }

    /// Ends the next task whose time has come.
    pub(super) fn tick(&mut self, now: Time) -> Option<(ConnectionId, AgentCall)> {
        let task = self.endings.pop_due(now)?;
        self.end(now, &task, Ending::Finished)
    }

    /// Ends a task, if it runs; what its agent says.
    pub(super) fn end(
        &mut self,
        now: Time,
        task: &TaskId,
        ending: Ending,
    ) -> Option<(ConnectionId, AgentCall)> {
        let (id, agent) = self.by_id.iter_mut().find(|(_, agent)| agent.tasks.contains_key(task))?;
        let known = agent.tasks.get_mut(task).filter(|known| !known.state.is_terminal())?;
        self.endings.cancel(task);
        let (state, exit) = ending.verdict();
        known.state = state;
        known.number = known.number.next();
        Some((agent.connection, known.tell(now, id, Some(Reason::Exited(exit)))))
    }

    /// What an agent answers.
    pub(super) fn handle(
        &mut self,
        now: Time,
        connection: ConnectionId,
        event: AgentEvent,
    ) -> Vec<AgentCall> {
        let Some((id, agent)) = self.by_id.iter_mut().find(|(_, agent)| agent.connection == connection)
        else {
            return Vec::new();
        };
        match event {
            AgentEvent::Launch { framework, role, tasks } => {
                let mut answers = Vec::new();
                for info in tasks {
                    let task = Task {
                        framework: framework.clone(),
                        role: role.clone(),
                        state: TaskState::Running,
                        number: UpdateNumber::FIRST,
                        info,
                    };
                    if let Some(duration) = self.task_duration {
                        self.endings.set(task.info.id.clone(), now + duration);
                    }
                    answers.push(task.tell(now, id, None));
                    agent.tasks.insert(task.info.id.clone(), task);
                }
                answers
            }
            AgentEvent::Kill { task, .. } => {
                self.end(now, &task, Ending::Killed).into_iter().map(|(_, call)| call).collect()
            }
            AgentEvent::Acknowledge { task, number, .. } => {
                let is_done = |known: &Task| known.state.is_terminal() && known.number <= number;
                if agent.tasks.get(&task).is_some_and(is_done) {
                    agent.tasks.remove(&task);
                }
                Vec::new()
            }
            AgentEvent::ShutdownFramework(framework) => {
                let its = agent.tasks.values().filter(|task| task.framework == framework);
                let ids: Vec<_> = its.map(|task| task.info.id.clone()).collect();
                let ends = ids.iter().filter_map(|task| self.end(now, task, Ending::Killed));
                ends.map(|(_, call)| call).collect()
            }
            AgentEvent::Ping => vec![AgentCall::Pong],
            AgentEvent::Registered { .. }
            | AgentEvent::SetRules(_)
            | AgentEvent::KeepVolumes(_)
            | AgentEvent::Message { .. } => Vec::new(),
        }
    }
}

impl Task {
    fn tell(&self, now: Time, agent: &AgentId, reason: Option<Reason>) -> AgentCall {
        let status = self.status(now, agent, reason);
        AgentCall::Update { framework: self.framework.clone(), status, latest: self.state }
    }

    fn status(&self, now: Time, agent: &AgentId, reason: Option<Reason>) -> TaskStatus {
        TaskStatus {
            number: Some(self.number),
            agent: Some(agent.clone()),
            ready: self.state == TaskState::Running,
            reason,
            ..TaskStatus::new(self.info.id.clone(), self.state, now)
        }
    }
}
