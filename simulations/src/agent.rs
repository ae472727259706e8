//! An agent whose tasks are timers: it speaks the protocol of an agent, and each task ends after the time that it carries.

use std::collections::BTreeMap;
use std::time::Duration;

use apportion::protocol::{
    AgentCall, AgentEvent, AgentId, AgentInfo, Attributes, ExecutorId, ExecutorInfo, Exit, FrameworkId,
    Reason, TaskId, TaskInfo, TaskState, TaskStatus, UpdateNumber, Work,
};
use apportion::resources::Resources;
use apportion::time::{Time, Timers};

/// The work of a task that takes so long.
pub fn timer_work(duration: Duration) -> Work {
    let executor = ExecutorInfo {
        id: ExecutorId::command(),
        command: apportion::protocol::Command::Argv(Vec::new()),
        env: BTreeMap::new(),
        resources: Resources::new(),
    };
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    Work::Custom { executor: executor.into(), data: nanos.to_le_bytes().to_vec() }
}

/// How long a task takes: what [`timer_work`] says, and no time at all for other work.
fn duration_of(task: &TaskInfo) -> Duration {
    match &task.work {
        Work::Custom { data, .. } => data
            .as_slice()
            .try_into()
            .map_or(Duration::ZERO, |nanos| Duration::from_nanos(u64::from_le_bytes(nanos))),
        Work::Command(_) => Duration::ZERO,
    }
}

/// An agent that plays its tasks.
#[derive(Debug)]
pub struct TimerAgent {
    id: AgentId,
    resources: Resources,
    running: BTreeMap<(FrameworkId, TaskId), UpdateNumber>,
    ends: Timers<(FrameworkId, TaskId)>,
}

impl TimerAgent {
    /// An agent with nothing running.
    pub fn new(id: AgentId, resources: Resources) -> Self {
        TimerAgent { id, resources, running: BTreeMap::new(), ends: Timers::default() }
    }

    /// Its name.
    pub fn id(&self) -> &AgentId {
        &self.id
    }

    /// What it says first.
    pub fn register(&self) -> AgentCall {
        AgentCall::Register {
            info: AgentInfo {
                hostname: self.id.to_string(),
                address: None,
                resources: self.resources.clone(),
                attributes: Attributes::new(),
            },
            tasks: Vec::new(),
        }
    }

    /// Takes note of what the master says.
    pub fn handle(&mut self, now: Time, event: AgentEvent, out: &mut Vec<AgentCall>) {
        match event {
            AgentEvent::Launch { framework, tasks, .. } => {
                for task in tasks {
                    let key = (framework.clone(), task.id.clone());
                    self.ends.set(key.clone(), now + duration_of(&task));
                    self.running.insert(key, UpdateNumber::FIRST);
                    out.push(self.update(&framework, task.id, TaskState::Running, UpdateNumber::FIRST, now));
                }
            }
            AgentEvent::Kill { framework, task, .. } => {
                let key = (framework.clone(), task.clone());
                self.ends.cancel(&key);
                if let Some(last) = self.running.remove(&key) {
                    out.push(self.update(&framework, task, TaskState::Killed, last.next(), now));
                }
            }
            AgentEvent::ShutdownFramework(framework) => {
                let tasks: Vec<_> =
                    self.running.keys().filter(|(owner, _)| *owner == framework).cloned().collect();
                for (framework, task) in tasks {
                    self.handle(now, AgentEvent::Kill { framework, task, stop: None }, out);
                }
            }
            AgentEvent::Ping => out.push(AgentCall::Pong),
            AgentEvent::Registered { .. } | AgentEvent::Acknowledge { .. } | AgentEvent::Message { .. } => {}
        }
    }

    /// Ends the tasks whose time is over.
    pub fn tick(&mut self, now: Time, out: &mut Vec<AgentCall>) {
        while let Some((framework, task)) = self.ends.pop_due(now) {
            if let Some(last) = self.running.remove(&(framework.clone(), task.clone())) {
                out.push(self.update(&framework, task, TaskState::Finished, last.next(), now));
            }
        }
    }

    /// When the next task ends.
    pub fn next_deadline(&self) -> Option<Time> {
        self.ends.next_deadline()
    }

    fn update(
        &self,
        framework: &FrameworkId,
        task: TaskId,
        state: TaskState,
        number: UpdateNumber,
        at: Time,
    ) -> AgentCall {
        let mut status = TaskStatus::new(task, state, at);
        status.number = Some(number);
        status.agent = Some(self.id.clone());
        status.ready = state == TaskState::Running;
        if state == TaskState::Finished {
            status.reason = Some(Reason::Exited(Exit::Code(0)));
        }
        AgentCall::Update { framework: framework.clone(), status, latest: state }
    }
}
