//! Faults: the production machines in virtual time, under an adversary that a seed makes.
//!
//! A [`Trial`] is one seed. It draws a cluster (a master with a disk, agents, the service and the batch framework, and what an
//! operator asks of them) and a plan of faults. Every process is the production state machine; the world around it loses what was
//! not durable when it crashes, cuts connections with their last messages, parts networks in one direction, slows and fills disks,
//! stops processes for a while, and turns clocks. Connections are ordered and reliable while they live, as QUIC streams are;
//! what is duplicated and reordered, is so by reconnections.
//!
//! Safety is checked with each step ([`Rule`]): against what is true of the tasks' processes, which the world knows, never against
//! a second opinion of the machines themselves. After the last fault everything is repaired and has to come to rest in bounded time;
//! then all is stopped, and nothing may be left.
//!
//! | file | idea |
//! | --- | --- |
//! | `trial`, `tally` | one seed, minimising a failure; the sum of many |
//! | `plan`, `workload` | what goes wrong, and what is to run: drawn before the run |
//! | `world`, `connections` | processes and their alarms, what connects them, and the calendar that drives all |
//! | `masters`, `agents`, `executors`, `frameworks` | each machine, and how its outputs are carried out |
//! | `network`, `packet`, `disk`, `clock`, `node` | what is between machines |
//! | `adversary` | faults strike |
//! | `ledger`, `witness` | safety: what is true, and what frameworks were told |
//! | `settling` | liveness |
//! | `record` | counts, coverage, traces |
//!
//! ```
//! use apportion_simulations::faults::Trial;
//!
//! let outcome = Trial::of(1).run();
//! assert_eq!(outcome.violation, None);
//! assert_eq!(outcome.digest, Trial::of(1).run().digest, "the same seed is the same run");
//! ```

mod adversary;
mod agents;
mod clock;
mod connections;
mod disk;
mod executors;
mod frameworks;
mod ledger;
mod masters;
mod network;
mod node;
mod packet;
mod plan;
mod record;
mod settling;
mod tally;
mod trial;
mod witness;
mod workload;
mod world;

pub use ledger::{Rule, Violation};
pub use plan::FaultKind;
pub use record::Coverage;
pub use tally::Tally;
pub use trial::{Failure, Outcome, Trial, run_all};
pub use world::Sabotage;
