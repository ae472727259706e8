//! An agent whose tasks are timers: it speaks the protocol of an agent; its driver tells it when a task's time is over.

use apportion::protocol::{
    AgentCall, AgentEvent, AgentId, AgentInfo, Exit, FrameworkId, Reason, TaskId, TaskInfo, TaskState,
    TaskStatus, UpdateNumber,
};
use apportion::time::Time;
use rustc_hash::{FxHashMap, FxHashSet};

use super::record::Outcome;
use crate::scenario::AgentModel;

/// A task that runs, as its agent calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct RunId(pub(super) u32);

/// What an agent does.
#[derive(Debug)]
pub(super) enum Deed {
    /// Speaks to the master.
    Say(AgentCall),
    /// Starts a task; its driver gives the run its number by [`TimerAgent::started`].
    Start(FrameworkId, TaskInfo),
    /// Stops a run that was to go on.
    Stopped(RunId, Outcome),
}

#[derive(Debug)]
struct Running {
    framework: FrameworkId,
    task: TaskId,
}

/// An agent that plays its tasks.
#[derive(Debug)]
pub(super) struct TimerAgent {
    id: AgentId,
    running: FxHashMap<RunId, Running>,
    by_task: FxHashMap<(FrameworkId, TaskId), RunId>,
    /// Those that are to make room for others, if they are stopped.
    to_make_room: FxHashSet<RunId>,
    /// It has failed: it hears nothing.
    is_down: bool,
}

impl TimerAgent {
    /// An agent with nothing running.
    pub(super) fn new(id: AgentId) -> Self {
        TimerAgent {
            id,
            running: FxHashMap::default(),
            by_task: FxHashMap::default(),
            to_make_room: FxHashSet::default(),
            is_down: false,
        }
    }

    /// Whether a task, if it runs here, is to make room for others.
    pub(super) fn make_room(&mut self, task: &(FrameworkId, TaskId), makes_room: bool) {
        if let Some(run) = self.by_task.get(task) {
            if makes_room {
                self.to_make_room.insert(*run);
            } else {
                self.to_make_room.remove(run);
            }
        }
    }

    /// It fails; returns what ran on it.
    pub(super) fn fail(&mut self) -> Vec<RunId> {
        self.is_down = true;
        self.by_task.clear();
        self.to_make_room.clear();
        let mut lost: Vec<RunId> = self.running.drain().map(|(run, _)| run).collect();
        lost.sort_unstable_by_key(|run| run.0);
        lost
    }

    /// It can be used again.
    pub(super) fn repair(&mut self) {
        self.is_down = false;
    }

    /// What it says first.
    pub(super) fn register(&self, model: &AgentModel) -> AgentCall {
        AgentCall::Register {
            info: AgentInfo {
                attributes: model.attributes.clone(),
                ..AgentInfo::new(self.id.as_str(), model.resources.clone())
            },
            tasks: Vec::new(),
            executors: Vec::new(),
        }
    }

    /// Takes note of what the master says.
    pub(super) fn handle(&mut self, now: Time, event: AgentEvent, out: &mut Vec<Deed>) {
        if self.is_down {
            return;
        }
        match event {
            AgentEvent::Launch { framework, tasks, .. } => {
                for task in tasks {
                    let running = self.update(&framework, &task.id, TaskState::Running, now);
                    out.push(Deed::Start(framework.clone(), task));
                    out.push(Deed::Say(running));
                }
            }
            AgentEvent::Kill { framework, task, .. } => {
                let run = self.by_task.get(&(framework, task)).copied();
                if let Some(run) = run {
                    let makes_room = self.to_make_room.remove(&run);
                    let outcome = if makes_room { Outcome::Preempted } else { Outcome::Killed };
                    out.push(Deed::Stopped(run, outcome));
                    out.extend(self.end(now, run, TaskState::Killed).map(Deed::Say));
                }
            }
            AgentEvent::ShutdownFramework(framework) => {
                let of_it = self.running.iter().filter(|(_, running)| running.framework == framework);
                let mut runs: Vec<RunId> = of_it.map(|(run, _)| *run).collect();
                runs.sort_unstable_by_key(|run| run.0);
                for run in runs {
                    out.push(Deed::Stopped(run, Outcome::Killed));
                    out.extend(self.end(now, run, TaskState::Killed).map(Deed::Say));
                }
            }
            AgentEvent::Ping => out.push(Deed::Say(AgentCall::Pong)),
            AgentEvent::Registered { .. }
            | AgentEvent::SetRules(_)
            | AgentEvent::KeepVolumes(_)
            | AgentEvent::Acknowledge { .. }
            | AgentEvent::Message { .. } => {}
        }
    }

    /// A task has started as this run.
    pub(super) fn started(&mut self, run: RunId, framework: FrameworkId, task: TaskId) {
        self.by_task.insert((framework.clone(), task.clone()), run);
        self.running.insert(run, Running { framework, task });
    }

    /// A run ends; what is told of it, unless it has ended already.
    pub(super) fn end(&mut self, now: Time, run: RunId, state: TaskState) -> Option<AgentCall> {
        let Running { framework, task } = self.running.remove(&run)?;
        let update = self.update(&framework, &task, state, now);
        self.by_task.remove(&(framework, task));
        Some(update)
    }

    fn update(&self, framework: &FrameworkId, task: &TaskId, state: TaskState, at: Time) -> AgentCall {
        let status = status(task, &self.id, state, at);
        AgentCall::Update { framework: framework.clone(), status, latest: state }
    }
}

/// What an agent says of a task that runs or has ended: that it runs is the first thing that it says, its end the second.
pub(super) fn status(task: &TaskId, agent: &AgentId, state: TaskState, at: Time) -> TaskStatus {
    let first = UpdateNumber::FIRST;
    let mut status = TaskStatus::new(task.clone(), state, at);
    status.number = Some(if state.is_terminal() { first.next() } else { first });
    status.agent = Some(agent.clone());
    status.ready = state == TaskState::Running;
    if state == TaskState::Finished {
        status.reason = Some(Reason::Exited(Exit::Code(0)));
    }
    status
}
