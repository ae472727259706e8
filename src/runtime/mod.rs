//! Drives the state machines in the real world: tokio, QUIC, processes.
//!
//! Each machine has one owner: the master a thread of its own, agents, schedulers and executors a task each. The owner hands
//! the machine what came in, in batches, and carries out what it wants. Nothing here decides anything.

pub mod addresses;
pub mod admission;
pub mod agent;
#[cfg(feature = "etcd")]
pub mod candidate;
pub mod clock;
pub mod doors;
pub mod error;
pub mod executor;
pub mod framework;
mod journal;
mod limits;
pub mod local;
pub mod master;
pub mod operator;
mod pace;
mod peer;
mod renewal;
pub mod shutdown;
pub mod simulated;

pub use addresses::{Addresses, join};
pub use admission::Admission;
pub use agent::{
    AgentConfig, ExecutorLauncher, ExecutorProgram, InProgram, machine_parts, machine_resources, run_agent,
};
#[cfg(feature = "etcd")]
pub use candidate::{Candidate, CandidateConfig};
pub use clock::Clock;
pub use error::RuntimeError;
pub use executor::{ExecutorConfig, Reporter, run_command_executor, run_executor};
pub use framework::{FrameworkConfig, FrameworkHandle, FrameworkRunner, run_scheduler};
pub use journal::JournalConfig;
pub use local::{LocalCluster, LocalConfig};
pub use master::{MasterConfig, MasterServer};
pub use operator::{LogReader, OperatorClient, OperatorError, ReplyStream, read_log};
pub use shutdown::{Shutdown, ShutdownHandle};
pub use simulated::{SimulatedAgents, run_simulated_agents};
