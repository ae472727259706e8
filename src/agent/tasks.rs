//! Tasks on their way down, and their updates on their way up.

use std::collections::VecDeque;

use super::checkpoint::Record;
use super::executors::Executor;
use super::machine::{Agent, AgentOutput, ExecutorKey};
use crate::protocol::{
    AgentCall, AgentId, ExecutorEvent, ExecutorId, FrameworkId, HeldTask, Reason, StopPolicy, TaskId,
    TaskInfo, TaskState, TaskStatus, UpdateNumber, Work,
};
use crate::resources::Role;
use crate::time::Time;

/// So many updates of a task are on their way to the scheduler at most. Of those beyond them only the newest is kept, and sent when the
/// scheduler has acknowledged some: an executor that says more than its scheduler takes costs nobody else anything.
pub const UPDATES_UNDER_WAY: usize = 32;

/// A task that the agent has.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Task {
    pub(super) info: TaskInfo,
    pub(super) role: Role,
    pub(super) executor: ExecutorId,
    /// Its newest update; a status without number before the first.
    pub(super) status: TaskStatus,
    /// A kill that the executor is to hear of again after a reconnection.
    pub(super) kill: Option<Option<StopPolicy>>,
    /// Updates that the scheduler has not acknowledged: those under way, and one that waits for them.
    pub(super) pending: VecDeque<TaskStatus>,
}

impl Task {
    /// A task that was launched, and has not started yet.
    pub(super) fn launched(info: TaskInfo, role: Role, agent: &AgentId, at: Time) -> Self {
        let status = TaskStatus {
            agent: Some(agent.clone()),
            ..TaskStatus::new(info.id.clone(), TaskState::Staging, at)
        };
        Task { executor: info.executor_id(), info, role, status, kill: None, pending: VecDeque::new() }
    }

    pub(super) fn is_live(&self) -> bool {
        !self.status.state.is_terminal()
    }

    /// Takes note of a numbered update. It takes the place of one that waits.
    pub(super) fn updated(&mut self, status: TaskStatus) {
        if self.has_one_waiting() {
            self.pending.pop_back();
        }
        self.status = status.clone();
        self.pending.push_back(status);
    }

    /// Whether the newest update waits until fewer are under way. A last one is sent at once.
    pub(super) fn has_one_waiting(&self) -> bool {
        self.pending.len() > UPDATES_UNDER_WAY && self.is_live()
    }

    /// Takes note of what the scheduler has recorded. Returns whether that was news.
    pub(super) fn acknowledged(&mut self, number: UpdateNumber) -> bool {
        let before = self.pending.len();
        while self.pending.pop_front_if(|status| status.number.is_some_and(|first| first <= number)).is_some()
        {
        }
        self.pending.len() < before
    }

    /// Whether nobody needs to hear of it any more.
    pub(super) fn is_settled(&self) -> bool {
        !self.is_live() && self.pending.is_empty()
    }

    /// How long it may take to stop when it is asked to.
    pub(super) fn grace(&self) -> std::time::Duration {
        match &self.info.work {
            Work::Command(command) => command.stop.grace,
            Work::Custom { .. } => StopPolicy::default().grace,
        }
    }
}

impl Agent {
    /// The newest update of each task, for the master.
    pub(super) fn held_tasks(&self) -> Vec<HeldTask> {
        let of_framework = |(id, framework): (&FrameworkId, &super::machine::Framework)| {
            let held = framework.tasks.values().map(|task| HeldTask {
                framework: id.clone(),
                role: task.role.clone(),
                task: task.info.clone(),
                status: task.status.clone(),
            });
            held.collect::<Vec<_>>()
        };
        let mut held: Vec<_> = self.frameworks.iter().flat_map(of_framework).collect();
        held.sort_by(|a, b| (&a.framework, &a.task.id).cmp(&(&b.framework, &b.task.id)));
        held
    }

    /// Tells the master again what no scheduler has acknowledged.
    pub(super) fn resend_updates(&self, out: &mut Vec<AgentOutput>) {
        let mut pending = Vec::new();
        for (framework, known) in &self.frameworks {
            for task in known.tasks.values() {
                pending.extend(task.pending.iter().map(|status| (framework, status, task.status.state)));
            }
        }
        pending.sort_by(|a, b| (a.0, &a.1.task, a.1.number).cmp(&(b.0, &b.1.task, b.1.number)));
        out.extend(pending.into_iter().map(|(framework, status, latest)| {
            AgentOutput::ToMaster(AgentCall::Update {
                framework: framework.clone(),
                status: status.clone(),
                latest,
            })
        }));
    }

    pub(super) fn launch(
        &mut self,
        now: Time,
        framework_id: FrameworkId,
        role: &Role,
        tasks: Vec<TaskInfo>,
        out: &mut Vec<AgentOutput>,
    ) {
        let framework = self.frameworks.entry(framework_id.clone()).or_default();
        let mut groups: Vec<(ExecutorId, Vec<TaskInfo>)> = Vec::new();
        for info in tasks {
            if framework.tasks.contains_key(&info.id) {
                tracing::warn!(framework = %framework_id, task = %info.id, "a known task is launched again");
                continue;
            }
            let task = Task::launched(info.clone(), role.clone(), &self.id, now);
            let executor = task.executor.clone();
            framework.tasks.insert(info.id.clone(), task);
            match groups.iter_mut().find(|(known, _)| *known == executor) {
                Some((_, group)) => group.push(info),
                None => groups.push((executor, vec![info])),
            }
        }
        for (executor, group) in groups {
            let key = ExecutorKey { framework: framework_id.clone(), executor };
            let launched = Record::Launched {
                framework: framework_id.clone(),
                role: role.clone(),
                at: now,
                tasks: group.clone(),
            };
            if self.ending {
                self.records.note(launched);
                for task in group {
                    let status = TaskStatus::new(task.id, TaskState::Dropped, now);
                    let status = status.because(Reason::ExecutorGone, "its agent is ending");
                    self.own_update(&key.framework, status, out);
                }
            } else {
                self.launch_in(now, key, role, group, launched, out);
            }
        }
    }

    fn launch_in(
        &mut self,
        now: Time,
        key: ExecutorKey,
        role: &Role,
        group: Vec<TaskInfo>,
        launched: Record,
        out: &mut Vec<AgentOutput>,
    ) {
        let framework = self.frameworks.entry(key.framework.clone()).or_default();
        let is_new = !framework.executors.contains_key(&key.executor);
        let executor = framework
            .executors
            .entry(key.executor.clone())
            .or_insert_with(|| Executor::of(group.first(), role.clone()));
        executor.live += group.len();
        if is_new {
            self.start_executor(now, &key, out);
        }
        // After its executor: wherever a write is torn, no task is known without one.
        self.records.note(launched);
        self.tell_executor(&key, ExecutorEvent::Launch(group), out);
    }

    pub(super) fn kill(
        &mut self,
        framework_id: &FrameworkId,
        id: TaskId,
        stop: Option<StopPolicy>,
        out: &mut Vec<AgentOutput>,
    ) {
        let task = self.frameworks.get_mut(framework_id).and_then(|framework| framework.tasks.get_mut(&id));
        // A task that has just ended: its last update is on its way.
        let Some(task) = task.filter(|task| task.is_live()) else { return };
        task.kill = Some(stop);
        let key = ExecutorKey { framework: framework_id.clone(), executor: task.executor.clone() };
        self.tell_executor(&key, ExecutorEvent::Kill { task: id, stop }, out);
    }

    pub(super) fn acknowledged(
        &mut self,
        framework_id: &FrameworkId,
        id: &TaskId,
        number: UpdateNumber,
        out: &mut Vec<AgentOutput>,
    ) {
        let Some(framework) = self.frameworks.get_mut(framework_id) else { return };
        let Some(task) = framework.tasks.get_mut(id) else { return };
        let one_waited = task.has_one_waiting();
        if !task.acknowledged(number) {
            return;
        }
        let next = task.pending.back().filter(|_| one_waited && !task.has_one_waiting()).cloned();
        let (framework_id, task_id) = (framework_id.clone(), id.clone());
        // When it is forgotten the update is told again, and acknowledged again.
        let record = Record::Acknowledged { framework: framework_id.clone(), task: task_id, number };
        self.records.note_in_passing(record);
        let is_settled = task.is_settled();
        if let Some(status) = next {
            self.send_update(framework_id, status, out);
        } else if is_settled && let Some(framework) = self.frameworks.get_mut(&framework_id) {
            framework.tasks.remove(id);
            self.forget_if_empty(&framework_id);
        }
    }

    /// An update by the task's executor. Returns whether it was well-formed: then it is safe here, or was before.
    pub(super) fn executor_update(
        &mut self,
        now: Time,
        key: &ExecutorKey,
        mut status: TaskStatus,
        out: &mut Vec<AgentOutput>,
    ) -> bool {
        let Some(number) = status.number else { return false };
        let Some(framework) = self.frameworks.get_mut(&key.framework) else { return true };
        // An unknown task is one whose end was acknowledged before the executor heard that we had it.
        let Some(task) = framework.tasks.get_mut(&status.task) else { return true };
        if task.executor != key.executor {
            return false;
        }
        if !task.is_live() || task.status.number.is_some_and(|last| number <= last) {
            return true;
        }
        status.agent = Some(self.id.clone());
        let status = status.bounded();
        task.updated(status.clone());
        let waits = task.has_one_waiting();
        if status.state.is_terminal()
            && let Some(executor) = framework.executors.get_mut(&key.executor)
        {
            executor.task_ended(now);
        }
        self.forward(key.framework.clone(), status, waits, out);
        true
    }

    /// An update that the agent itself makes; it takes the task's next number.
    pub(super) fn own_update(
        &mut self,
        framework: &FrameworkId,
        mut status: TaskStatus,
        out: &mut Vec<AgentOutput>,
    ) {
        let known = self.frameworks.get_mut(framework);
        let Some(task) = known.and_then(|known| known.tasks.get_mut(&status.task)) else { return };
        let number = task.status.number.map_or(UpdateNumber::FIRST, UpdateNumber::next);
        status.number = Some(number);
        status.agent = Some(self.id.clone());
        task.updated(status.clone());
        let waits = task.has_one_waiting();
        self.forward(framework.clone(), status, waits, out);
    }

    fn forward(
        &mut self,
        framework: FrameworkId,
        status: TaskStatus,
        waits: bool,
        out: &mut Vec<AgentOutput>,
    ) {
        self.records.note(Record::Updated { framework: framework.clone(), status: status.clone() });
        if !waits {
            self.send_update(framework, status, out);
        }
    }

    fn send_update(&self, framework: FrameworkId, status: TaskStatus, out: &mut Vec<AgentOutput>) {
        if self.master_connected {
            let latest = status.state;
            out.push(AgentOutput::ToMaster(AgentCall::Update { framework, status, latest }));
        }
    }

    pub(super) fn forget_if_empty(&mut self, id: &FrameworkId) {
        let empty = |known: &super::machine::Framework| known.tasks.is_empty() && known.executors.is_empty();
        if self.frameworks.get(id).is_some_and(empty) {
            self.frameworks.remove(id);
        }
    }
}
