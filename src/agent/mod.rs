//! Agents: they own machines, start executors, and see that every task's updates reach its scheduler.
//!
//! [`Agent`] is a state machine between the master and the executors. Tasks come down: an executor is started when the first task
//! for it comes, and tasks wait until it has registered. Updates go up: the agent acknowledges an executor's updates at once and
//! keeps each until the scheduler has acknowledged it, so that neither a lost connection nor a dead executor loses one. Of a task that
//! tells more than its scheduler takes, it keeps [`UPDATES_UNDER_WAY`] and the newest.
//!
//! ```text
//! master  -- AgentEvent -->  Agent  -- ExecutorEvent -->  executor
//!         <-- AgentCall ---         <-- ExecutorCall ---
//! ```
//!
//! An agent that keeps records ([`Record`]) lets nobody see the effect of what its death could undo: what it puts out waits until the
//! records behind it are durable. What they add up to, a [`Checkpoint`], is what the next life of the agent goes on with; executors
//! live through its death, and connect again.
//!
//! Each message costs a few look-ups by id; only the end of an executor or of a connection costs by the number of tasks.

mod checkpoint;
mod encoding;
mod executors;
mod machine;
#[cfg(test)]
mod recovery_tests;
mod registration;
mod tasks;
#[cfg(test)]
mod tests;

pub use checkpoint::{Checkpoint, Record};
pub use encoding::RecordsError;
#[cfg(feature = "runtime")]
pub(crate) use encoding::encode as encode_records;
pub use executors::{
    EXECUTOR_IDLE_TIMEOUT, EXECUTOR_REGISTRATION_TIMEOUT, EXECUTOR_STOP_MARGIN, MESSAGE_BYTES_WAITING,
};
pub use machine::{Agent, AgentInput, AgentOutput};
pub use tasks::UPDATES_UNDER_WAY;
