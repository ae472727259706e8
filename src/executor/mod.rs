//! For those who run tasks: the [`Executor`] contract.
//!
//! An executor is a state machine too. What it wants done in the world (start a process, try a check) it says as an
//! *action*; what the world reports comes back as an *event*.

mod contract;
mod driver;

pub use contract::Executor;
pub use driver::ExecutorDriver;
