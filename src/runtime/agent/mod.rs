//! Drives an agent: one task owns the [`Agent`] and talks with the master, the executors and the operators who read logs.
//!
//! | file | its idea |
//! | --- | --- |
//! | `checkpoints` | an agent's records on disk |
//! | `config` | what an agent needs to run |
//! | `driver` | the task that owns the machine |
//! | `executors` | executors' connections |
//! | `launcher` | how executors are started and killed |
//! | `logs` | operators who read what tasks wrote |
//! | `machine` | what this machine has to give |
//! | `sandboxes` | how long sandboxes are kept |
//! | `work_dir` | where everything of an agent lies on disk |
//!
//! An agent listens at two addresses. Operators come to the one that the master knows, with certificates of the cluster.
//! Executors come to one on the loopback interface, with certificates that the agent makes for them: an executor can
//! prove to its agent who it is, and to nobody else.

mod backlog;
mod checkpoints;
mod config;
mod driver;
mod executors;
mod launcher;
mod logs;
mod machine;
mod sandboxes;
mod work_dir;

pub use config::AgentConfig;
pub use driver::run_agent;
pub use launcher::{ExecutorLauncher, ExecutorProgram, InProgram};
pub use machine::{DEFAULT_PORTS, machine_parts, machine_resources};

#[cfg(doc)]
use crate::agent::Agent;
