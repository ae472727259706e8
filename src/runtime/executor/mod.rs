//! Drives an executor: one task owns the [`ExecutorProcess`](crate::executor::ExecutorProcess) and keeps it connected with
//! its agent.
//!
//! | file | its idea |
//! | --- | --- |
//! | `config` | who the executor is, and where its agent is, as the agent tells it |
//! | `driver` | the task that owns the machine |
//! | `commands` | what the command executor wants of the world: processes |
//! | `probes` | trying checks |

mod commands;
mod config;
mod driver;
mod probes;

pub use commands::run_command_executor;
pub use config::{CGROUP_ROOT, ExecutorConfig};
pub use driver::{Reporter, run_executor};

pub(super) use config::{CREDENTIALS, Environment};
