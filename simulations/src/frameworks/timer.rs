//! Tasks that are timers.

use std::collections::BTreeMap;
use std::sync::Arc;

use apportion::protocol::{Command, ExecutorId, ExecutorInfo, TaskInfo, Work};
use apportion::resources::Resources;

use crate::values::Span;
use crate::workload::Workload;

/// A task that does nothing but last: what its work carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerTask {
    /// The place of its job in its framework's workload.
    pub job: u32,
    /// Which task of the job it is, from 0.
    pub index: u32,
    /// How long it runs; `None` until it is stopped.
    pub length: Option<Span>,
}

/// The program of production tasks that are timers; its argument is the job.
pub(super) const TIMER: &str = "timer";

/// How a length of no end is carried.
const FOREVER: u64 = u64::MAX;

impl TimerTask {
    /// The executor of such tasks: that of agents which play them.
    pub fn executor() -> Arc<ExecutorInfo> {
        Arc::new(ExecutorInfo {
            id: ExecutorId::command(),
            command: Command::Argv(Vec::new()),
            env: BTreeMap::new(),
            resources: Resources::new(),
        })
    }

    /// The work of the task.
    pub fn work(self, executor: &Arc<ExecutorInfo>) -> Work {
        let nanos = self.length.map_or(FOREVER, Span::nanos);
        let parts = [&self.job.to_le_bytes()[..], &self.index.to_le_bytes(), &nanos.to_le_bytes()];
        Work::Custom { executor: executor.clone(), data: parts.concat() }
    }

    /// The task of a job of that workload which a task plays; `None` when it is of nobody's job.
    pub fn played_by(task: &TaskInfo, workload: &Workload) -> Option<Self> {
        if let Work::Custom { .. } = &task.work {
            return TimerTask::of(&task.work);
        }
        let number = TimerTask::job_of(task)?;
        let job = workload.jobs.get(number as usize)?;
        // Batch tasks have an index from 0; a service's instances are numbered from 1, and those that replace others go on.
        let index = task.env.get("INDEX").and_then(|index| index.parse().ok()).or_else(|| {
            let instance: u64 = task.env.get("INSTANCE")?.parse().ok()?;
            Some((instance.saturating_sub(1) % u64::from(job.tasks)) as u32)
        })?;
        Some(TimerTask { job: number, index, length: job.lengths.of(index) })
    }

    /// The job that a task is of, if it tells.
    pub fn job_of(task: &TaskInfo) -> Option<u32> {
        match &task.work {
            Work::Custom { .. } => TimerTask::of(&task.work).map(|known| known.job),
            Work::Command(info) => match &info.command {
                Command::Argv(argv) if argv.first().is_some_and(|program| program == TIMER) => {
                    argv.get(1)?.parse().ok()
                }
                _ => None,
            },
        }
    }

    /// The task that a work stands for; `None` when it is other work.
    pub fn of(work: &Work) -> Option<Self> {
        let Work::Custom { data, .. } = work else { return None };
        let data: &[u8; 16] = data.as_slice().try_into().ok()?;
        let word = |at: usize| u32::from_le_bytes([data[at], data[at + 1], data[at + 2], data[at + 3]]);
        let nanos = u64::from(word(8)) | u64::from(word(12)) << 32;
        let length = (nanos != FOREVER).then(|| Span::from_nanos(nanos));
        Some(TimerTask { job: word(0), index: word(4), length })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_carries_the_task() {
        let executor = TimerTask::executor();
        for length in [None, Some(Span::ZERO), Some(Span::from_secs_f64(1.5))] {
            let task = TimerTask { job: 7, index: 70_000, length };
            assert_eq!(TimerTask::of(&task.work(&executor)), Some(task));
        }
        let other = Work::Custom { executor, data: vec![1] };
        assert_eq!(TimerTask::of(&other), None);
    }
}
