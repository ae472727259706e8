//! For those who run tasks: the [`Executor`] contract and the state machine around an executor.
//!
//! An executor is a state machine too. What it wants done in the world (start a process, try a check) it says as an
//! *action*; what the world reports comes back as an *event*. [`ExecutorProcess`] speaks the protocol with the agent: it numbers
//! the updates and repeats what was not acknowledged. [`CommandExecutor`] is the one that is built in: its tasks are processes.

pub mod command;
mod contract;
mod driver;
mod process;

pub use command::CommandExecutor;
pub use contract::Executor;
pub use driver::ExecutorDriver;
pub use process::{DEFAULT_RECOVERY_TIMEOUT, ExecutorInput, ExecutorOutput, ExecutorProcess};
