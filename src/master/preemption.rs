//! Preemption: warns frameworks whose tasks are to make room for others, and stops these when the time is over.

use std::collections::BTreeMap;

use super::machine::{Master, Output, Timer};
use crate::allocator::{Preemption, RunningTask};
use crate::protocol::{FrameworkId, PreemptionNotice, Reason, SchedulerEvent, TaskId, TaskState, TaskStatus};
use crate::time::Time;

/// Tasks that are to end, each with what for.
#[derive(Debug, Default)]
pub(super) struct Preempted(BTreeMap<(FrameworkId, TaskId), Preemption>);

impl Master {
    /// Asks the allocator, after it has offered what it can, who else is to make room.
    pub(super) fn preempt(&mut self, now: Time, out: &mut Vec<Output>) {
        if self.allocator.preemption_due(now).is_some_and(|due| due <= now) {
            let running = self.running_tasks();
            for preemption in self.allocator.preempt(now, &running) {
                self.warn(&preemption, out);
            }
        }
        if let Some(due) = self.allocator.preemption_due(now) {
            self.timers.set(Timer::Preemption, due);
        }
    }

    /// All tasks that take something, in no order that matters.
    fn running_tasks(&self) -> Vec<RunningTask> {
        let mut running = Vec::new();
        for (framework, known) in &self.frameworks {
            for (id, task) in known.tasks.iter().filter(|(_, task)| !task.state.is_terminal()) {
                running.push(RunningTask {
                    framework: framework.clone(),
                    task: id.clone(),
                    role: task.role.clone(),
                    agent: task.agent.clone(),
                    resources: task.info.resources.clone(),
                    priority: task.info.priority,
                    started: task.started,
                    ending: self.preempted.0.contains_key(&(framework.clone(), id.clone())),
                });
            }
        }
        running
    }

    fn warn(&mut self, preemption: &Preemption, out: &mut Vec<Output>) {
        let Preemption { role, agent, deadline, victims, .. } = preemption;
        for (framework, task) in victims {
            tracing::info!(%framework, %task, %agent, %role, "a task is to make room");
            self.preempted.0.insert((framework.clone(), task.clone()), preemption.clone());
            self.timers.set(Timer::Reclaim(framework.clone(), task.clone()), *deadline);
            let (task, agent, role) = (task.clone(), agent.clone(), role.clone());
            let notice = PreemptionNotice { task, agent, role, deadline: *deadline };
            self.tell(framework, SchedulerEvent::Preemption(notice), out);
        }
    }

    /// The time that a task was given is over: it is stopped, unless nobody waits for its room any more.
    pub(super) fn reclaim(&mut self, now: Time, framework: FrameworkId, task: TaskId, out: &mut Vec<Output>) {
        let key = (framework, task);
        let Some(preemption) = self.preempted.0.get(&key) else { return };
        if self.allocator.is_room_awaited(preemption) {
            return self.kill(now, &key.0, key.1, None, out);
        }
        self.preempted.0.remove(&key);
        self.tell(&key.0, SchedulerEvent::PreemptionCancelled(key.1), out);
    }

    /// The status as its framework is told it: a task that was stopped to make room says so.
    pub(super) fn with_preemption_told(&self, framework: &FrameworkId, status: TaskStatus) -> TaskStatus {
        let is_preempted = status.state == TaskState::Killed
            && self.preempted.0.contains_key(&(framework.clone(), status.task.clone()));
        if is_preempted { TaskStatus { reason: Some(Reason::Preempted), ..status } } else { status }
    }

    /// The task has ended, whatever by.
    pub(super) fn forget_preemption(&mut self, framework: &FrameworkId, task: &TaskId) {
        if self.preempted.0.is_empty() {
            return;
        }
        let key = (framework.clone(), task.clone());
        if self.preempted.0.remove(&key).is_some() {
            self.timers.cancel(&Timer::Reclaim(key.0, key.1));
        }
    }
}
