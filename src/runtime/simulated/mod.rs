//! Agents whose tasks are timers, many in one program: to try frameworks on a large cluster, and to load a master.
//!
//! What speaks with the master is the production code: [`Agent`](crate::agent::Agent) machines over QUIC connections of their own, each
//! proving its own identity. Only what is below them is played: executors are in the program, and a task is a timer.
//!
//! | file | its idea |
//! | --- | --- |
//! | `driver` | a task per agent that connects it with the master |
//! | `machine` | an agent with its executors, as one state machine |
//! | `timers` | the executor whose tasks are timers |

mod driver;
mod machine;
mod timers;

pub use driver::{SimulatedAgents, run_simulated_agents};
pub use timers::{DEFAULT_TASK_TIME, TASK_TIME};
