//! The contract between an executor and its agent.

use super::ExecutorDriver;
use crate::protocol::{StopPolicy, TaskId, TaskInfo};

/// Runs tasks on behalf of a framework, on one agent.
///
/// It is a state machine: it must not read a clock or do any IO. What it wants done in the world it says by
/// [`ExecutorDriver::act`]; the program around it carries the action out and reports by events.
pub trait Executor {
    /// What it wants done in the world.
    type Action: Send + 'static;
    /// What the world reports.
    type Event: Send + 'static;

    /// Runs a task. Its states are told by [`ExecutorDriver::update`], up to a terminal one.
    fn launch(&mut self, driver: &mut ExecutorDriver<Self::Action>, task: TaskInfo);

    /// Stops a task; it may have ended already. `stop`, when given, goes before the task's own policy.
    fn kill(&mut self, driver: &mut ExecutorDriver<Self::Action>, task: &TaskId, stop: Option<StopPolicy>);

    /// The world reports something.
    fn event(&mut self, driver: &mut ExecutorDriver<Self::Action>, event: Self::Event);

    /// The scheduler speaks.
    fn message(&mut self, driver: &mut ExecutorDriver<Self::Action>, data: &[u8]) {
        let _ = (driver, data);
    }

    /// A timer that was set by [`ExecutorDriver::set_timer`] is due.
    fn timer(&mut self, driver: &mut ExecutorDriver<Self::Action>, id: u64) {
        let _ = (driver, id);
    }

    /// Ends: all tasks are to be stopped. The executor's process ends when it has no task left.
    fn shutdown(&mut self, driver: &mut ExecutorDriver<Self::Action>);
}
