//! Drives the state machines in the real world: tokio, QUIC, processes.
//!
//! Each machine has one owner: the master a thread of its own, agents, schedulers and executors a task each. The owner hands
//! the machine what came in, in batches, and carries out what it wants. Nothing here decides anything.

pub mod admission;
pub mod clock;
pub mod error;
pub mod framework;
pub mod master;
pub mod operator;
pub mod shutdown;

pub use admission::Admission;
pub use clock::Clock;
pub use error::RuntimeError;
pub use framework::{FrameworkConfig, FrameworkHandle, FrameworkRunner, run_scheduler};
pub use master::{MasterConfig, MasterServer};
pub use operator::{LogReader, OperatorClient, OperatorError, ReplyStream, read_log};
pub use shutdown::{Shutdown, ShutdownHandle};
