//! The built-in executor: each task is a process.
//!
//! [`CommandExecutor`] decides what is started, signalled and probed, and what a process' end means; whoever drives it carries out its
//! [`CommandAction`]s and reports [`CommandEvent`]s. A task goes this way:
//!
//! ```text
//! launch -> Start -> Started -> Running -> Exited -> Finished | Failed
//!                       |          |
//!                       |          +- a probe: ready or not; startup or liveness failed: stop
//!                       +- a kill, a time limit: stop = Signal, then KillAll after the grace period
//! ```
//!
//! | file | its idea |
//! | --- | --- |
//! | `action` | what is wanted of the world, and what it reports |
//! | `plan` | from a task to the process to start: environment, arguments, limits, probes |
//! | `checks` | when to probe, and what the results amount to |
//! | `task` | one task's life |

mod action;
mod checks;
mod plan;
mod task;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use rustc_hash::FxHashMap;

use self::plan::Plan;
use self::task::Task;
use super::{Executor, ExecutorDriver};
use crate::protocol::{Reason, StopPolicy, TaskId, TaskInfo, TaskState, TaskStatus};

pub use action::{
    CheckKind, CommandAction, CommandEvent, ProbePlan, ProcessLimits, ProcessPlan, VolumeMount,
};
pub use plan::DEFAULT_PATH;
#[cfg(feature = "runtime")]
pub(crate) use plan::SANDBOX_VARIABLE;

/// Runs tasks as processes.
#[derive(Debug)]
pub struct CommandExecutor {
    sandboxes: PathBuf,
    volumes: Option<PathBuf>,
    tasks: FxHashMap<TaskId, Task>,
    /// The tasks by the number that their timers carry.
    by_number: FxHashMap<u64, TaskId>,
    last_number: u64,
}

impl CommandExecutor {
    /// An executor whose tasks have their sandboxes in `sandboxes`, an absolute path: each its own, named after the task.
    pub fn new(sandboxes: impl Into<PathBuf>) -> Self {
        CommandExecutor {
            sandboxes: sandboxes.into(),
            volumes: None,
            tasks: FxHashMap::default(),
            by_number: FxHashMap::default(),
            last_number: 0,
        }
    }

    /// The same, with the agent's persistent volumes in a folder. Without one, tasks with volumes are refused.
    #[must_use]
    pub fn with_volumes(mut self, folder: impl Into<PathBuf>) -> Self {
        self.volumes = Some(folder.into());
        self
    }

    fn forget(&mut self, id: &TaskId) {
        if let Some(task) = self.tasks.remove(id) {
            self.by_number.remove(&task.number());
        }
    }
}

impl Executor for CommandExecutor {
    type Action = CommandAction;
    type Event = CommandEvent;

    fn launch(&mut self, driver: &mut ExecutorDriver<CommandAction>, task: TaskInfo) {
        let id = task.id.clone();
        match Plan::of(task, &self.sandboxes, self.volumes.as_deref()) {
            Ok(plan) => {
                self.last_number += 1;
                self.by_number.insert(self.last_number, id.clone());
                self.tasks.insert(id, Task::start(self.last_number, plan, driver));
            }
            Err(problem) => {
                let status = TaskStatus::new(id, TaskState::Error, driver.now());
                driver.update(status.because(Reason::Invalid, problem.to_string()));
            }
        }
    }

    fn kill(&mut self, driver: &mut ExecutorDriver<CommandAction>, task: &TaskId, stop: Option<StopPolicy>) {
        if let Some(task) = self.tasks.get_mut(task) {
            task.kill(stop, driver);
        }
    }

    fn event(&mut self, driver: &mut ExecutorDriver<CommandAction>, event: CommandEvent) {
        let Some(task) = self.tasks.get_mut(event.task()) else { return };
        match event {
            CommandEvent::Started { .. } => task.started(driver),
            CommandEvent::Probed { check, result, .. } => task.probed(check, result, driver),
            CommandEvent::NotStarted { task: id, error } => {
                task.not_started(error, driver);
                self.forget(&id);
            }
            CommandEvent::Exited { task: id, exit, oom_killed } => {
                task.exited(exit, oom_killed, driver);
                self.forget(&id);
            }
        }
    }

    fn timer(&mut self, driver: &mut ExecutorDriver<CommandAction>, id: u64) {
        let (number, timer) = task::Timer::of_id(id);
        let task = self.by_number.get(&number).and_then(|id| self.tasks.get_mut(id));
        if let (Some(task), Some(timer)) = (task, timer) {
            task.timer(timer, driver);
        }
    }

    fn shutdown(&mut self, driver: &mut ExecutorDriver<CommandAction>) {
        let mut ids: Vec<_> = self.tasks.keys().cloned().collect();
        ids.sort();
        for id in ids {
            self.kill(driver, &id, None);
        }
    }
}
