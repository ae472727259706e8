//! Tasks: what runs, updates on their way to schedulers, kills, reconciliation.

use rustc_hash::FxHashMap;

use super::machine::{Master, Output};
use crate::allocator::Allocation;
use crate::protocol::operator::TaskSummary;
use crate::protocol::{
    AgentEvent, AgentId, FrameworkId, Reason, SchedulerEvent, StopPolicy, TaskId, TaskInfo, TaskState,
    TaskStatus, UpdateNumber,
};
use crate::resources::Role;
use crate::time::Time;

/// How many ended tasks of a framework are kept for operators to look at.
pub const COMPLETED_TASKS_KEPT: usize = 1000;

/// What the master knows of a task that has not ended, or whose end its scheduler has not acknowledged.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) info: TaskInfo,
    pub(super) role: Role,
    pub(super) agent: AgentId,
    /// The newest state, which can be ahead of `status`.
    pub(super) state: TaskState,
    /// The newest update that came by.
    pub(super) status: TaskStatus,
    /// Since when it has its resources, as far as is known.
    pub(super) started: Time,
    /// A kill that was asked for: the agent may not have heard of it.
    kill: Option<Option<StopPolicy>>,
}

impl Task {
    pub(super) fn new(info: TaskInfo, role: Role, agent: AgentId, status: TaskStatus) -> Self {
        Task { info, role, agent, state: status.state, started: status.at, status, kill: None }
    }

    pub(super) fn summary(&self, framework: &FrameworkId) -> TaskSummary {
        TaskSummary {
            framework: framework.clone(),
            role: self.role.clone(),
            agent: self.agent.clone(),
            resources: self.info.resources.clone(),
            state: self.state,
            status: self.status.clone(),
        }
    }
}

impl Master {
    /// An update on its way from an agent to a scheduler.
    pub(super) fn task_update(
        &mut self,
        now: Time,
        agent: &AgentId,
        framework_id: FrameworkId,
        status: TaskStatus,
        latest: TaskState,
        out: &mut Vec<Output>,
    ) {
        let status = self.with_preemption_told(&framework_id, status);
        let framework = self.frameworks.get_mut(&framework_id);
        let nobody_listens = framework.as_ref().is_none_or(|framework| framework.ending);
        if let Some(task) = framework.and_then(|framework| framework.tasks.get_mut(&status.task)) {
            let ended_before = task.state.is_terminal();
            if !ended_before {
                task.state = latest;
            }
            task.status = status.clone();
            if latest.is_terminal() && !ended_before {
                self.task_ended(now, &framework_id, &status.task);
            }
        }
        if nobody_listens {
            if let Some(number) = status.number {
                self.acknowledge(&framework_id, status.task, agent, number, out);
            }
            self.forget_framework_if_ended(&framework_id);
        } else {
            self.tell(&framework_id, SchedulerEvent::Update(status), out);
        }
    }

    /// An update that the master itself makes.
    pub(super) fn master_update(
        &mut self,
        now: Time,
        framework_id: &FrameworkId,
        status: TaskStatus,
        out: &mut Vec<Output>,
    ) {
        let Some(framework) = self.frameworks.get_mut(framework_id) else { return };
        if let Some(task) = framework.tasks.get_mut(&status.task) {
            if task.state.is_terminal() {
                return;
            }
            task.state = status.state;
            task.status = TaskStatus { agent: Some(task.agent.clone()), ..status.clone() };
            if status.state.is_terminal() {
                self.task_ended(now, framework_id, &status.task);
                self.forget_task(framework_id, &status.task);
            }
        }
        self.tell(framework_id, SchedulerEvent::Update(status), out);
        self.forget_framework_if_ended(framework_id);
    }

    /// Frees what an ended task had.
    fn task_ended(&mut self, now: Time, framework_id: &FrameworkId, id: &TaskId) {
        self.forget_preemption(framework_id, id);
        let Some(framework) = self.frameworks.get_mut(framework_id) else { return };
        let Some(task) = framework.tasks.get(id) else { return };
        let state = task.state;
        let freed = Allocation {
            framework: framework_id.clone(),
            role: task.role.clone(),
            agent: task.agent.clone(),
            resources: task.info.resources.clone(),
        };
        let agent = task.agent.clone();
        framework.count_end(state);
        let held_here = self.agents.get_mut(&agent).is_some_and(|agent| {
            agent.tasks.remove(&(framework_id.clone(), id.clone())) && agent.unreachable.is_none()
        });
        if held_here {
            self.allocator.recover(now, &freed, None);
        }
    }

    /// Moves a task whose end is acknowledged among the completed ones.
    pub(super) fn forget_task(&mut self, framework_id: &FrameworkId, id: &TaskId) {
        let Some(framework) = self.frameworks.get_mut(framework_id) else { return };
        if let Some(task) = framework.tasks.remove(id) {
            if framework.completed.len() == COMPLETED_TASKS_KEPT {
                framework.completed.pop_front();
            }
            framework.completed.push_back(task.summary(framework_id));
        }
    }

    pub(super) fn acknowledge(
        &mut self,
        framework: &FrameworkId,
        id: TaskId,
        agent: &AgentId,
        number: UpdateNumber,
        out: &mut Vec<Output>,
    ) {
        let task = self.frameworks.get(framework).and_then(|framework| framework.tasks.get(&id));
        let ends = task.is_some_and(|task| {
            task.status.state.is_terminal() && task.status.number.is_none_or(|last| last <= number)
        });
        if ends {
            self.forget_task(framework, &id);
        }
        let event = AgentEvent::Acknowledge { framework: framework.clone(), task: id, number };
        self.tell_agent(agent, event, out);
    }

    pub(super) fn kill(
        &mut self,
        now: Time,
        framework_id: &FrameworkId,
        id: TaskId,
        stop: Option<StopPolicy>,
        out: &mut Vec<Output>,
    ) {
        let task = self.frameworks.get_mut(framework_id).and_then(|framework| framework.tasks.get_mut(&id));
        let Some(task) = task else {
            // An agent that is not back yet, or away, may have it; whoever asked asks again.
            if self.is_recovering() || self.agents.values().any(|agent| agent.connection.is_none()) {
                return;
            }
            let status = TaskStatus::new(id, TaskState::Unknown, now)
                .because(Reason::Reconciliation, "the master does not know this task");
            return self.tell(framework_id, SchedulerEvent::Update(status), out);
        };
        if task.state.is_terminal() {
            return;
        }
        task.kill = Some(stop);
        let agent = task.agent.clone();
        self.tell_agent(&agent, AgentEvent::Kill { framework: framework_id.clone(), task: id, stop }, out);
    }

    /// An agent that comes back is told of all kills again: they may be lost, also when it was connected.
    pub(super) fn resend_kills(&mut self, agent: &AgentId, out: &mut Vec<Output>) {
        let Some(known) = self.agents.get(agent) else { return };
        let mut kills = Vec::new();
        for (framework, id) in &known.tasks {
            let task = self.frameworks.get(framework).and_then(|framework| framework.tasks.get(id));
            if let Some(stop) = task.and_then(|task| task.kill) {
                kills.push((framework.clone(), id.clone(), stop));
            }
        }
        kills.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        for (framework, task, stop) in kills {
            self.tell_agent(agent, AgentEvent::Kill { framework, task, stop }, out);
        }
    }

    /// A scheduler that comes back is told the newest update of each of its tasks; acknowledging it covers those before.
    pub(super) fn retell_updates(&mut self, id: &FrameworkId, out: &mut Vec<Output>) {
        let Some(framework) = self.frameworks.get(id) else { return };
        let mut updates: Vec<_> = framework.tasks.values().map(|task| task.status.clone()).collect();
        updates.sort_by(|a, b| a.task.cmp(&b.task));
        for status in updates {
            self.tell(id, SchedulerEvent::Update(status), out);
        }
    }

    /// Answers what is known of tasks; of all when none is named. Of a task that nobody can know of before its agent is back nothing is
    /// said: whoever asked asks again.
    pub(super) fn reconcile(
        &mut self,
        now: Time,
        id: &FrameworkId,
        asked: Vec<(TaskId, Option<AgentId>)>,
        out: &mut Vec<Output>,
    ) {
        if asked.is_empty() {
            return self.retell_updates(id, out);
        }
        let mut pinged = FxHashMap::default();
        for (task, agent) in asked {
            let known = self.frameworks.get(id).and_then(|framework| framework.tasks.get(&task));
            let status = match (known.map(|known| known.status.clone()), &agent) {
                (Some(status), _) => Some(status),
                (None, Some(agent)) if self.doubt(id, &task, agent, &mut pinged, out) => None,
                (None, _) => self.status_of_unknown(now, task, agent),
            };
            if let Some(status) = status {
                self.tell(id, SchedulerEvent::Update(status), out);
            }
        }
    }

    /// What is known of a task that is not, by its agent; `None`: that may have it, and is not there to tell.
    pub(super) fn status_of_unknown(
        &self,
        now: Time,
        task: TaskId,
        agent: Option<AgentId>,
    ) -> Option<TaskStatus> {
        let known = agent.as_ref().and_then(|agent| self.agents.get(agent));
        let (state, message) = match known {
            Some(agent) if agent.unreachable.is_some() => {
                (TaskState::Unreachable, "its agent can't be reached")
            }
            // It may well have it: also one that was launched by a master before this one, and that it has gone back to.
            Some(agent) if agent.connection.is_none() => return None,
            Some(_) => (TaskState::Gone, "its agent does not have it"),
            None if agent.as_ref().is_some_and(|agent| self.gone.contains(agent)) => {
                (TaskState::Gone, "its agent is gone for good")
            }
            None => (TaskState::Unknown, "nobody knows this task"),
        };
        let status = TaskStatus::new(task, state, now).because(Reason::Reconciliation, message);
        Some(TaskStatus { agent, ..status })
    }
}
