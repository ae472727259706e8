//! Executors and their agent.

use serde::{Deserialize, Serialize};

use super::ids::{ExecutorId, FrameworkId, TaskId};
use super::task::{StopPolicy, TaskInfo, TaskStatus, UpdateNumber};

/// What an executor tells its agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ExecutorCall {
    /// The first call on a connection.
    Register {
        /// Whose executor it is.
        framework: FrameworkId,
        /// Which.
        executor: ExecutorId,
        /// Updates that the agent has not acknowledged: after a reconnection they are told again.
        unacknowledged: Vec<TaskStatus>,
    },
    /// A task's update. Its number is the executor's.
    Update(TaskStatus),
    /// Speaks to the scheduler.
    Message(Vec<u8>),
}

/// What an agent tells an executor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ExecutorEvent {
    /// The registration holds.
    Registered,
    /// Runs tasks; several of one call are one group.
    Launch(Vec<TaskInfo>),
    /// Stops a task.
    Kill {
        /// Which.
        task: TaskId,
        /// Instead of the task's own policy.
        stop: Option<StopPolicy>,
    },
    /// The agent has an update safe, and all before it.
    Acknowledge {
        /// Of which task.
        task: TaskId,
        /// The newest one that is safe.
        number: UpdateNumber,
    },
    /// The scheduler speaks.
    Message(Vec<u8>),
    /// Stop all tasks, then end.
    Shutdown,
}
