//! The frameworks of a simulation: those of [`production`], and one for models of workloads.
//!
//! A [`Party`] is a framework as the simulation drives it; [`Plugged`] makes one of any scheduler.
//!
//! [`QueueFramework`] is an ordinary [`Scheduler`](apportion::scheduler::Scheduler) that plays the jobs of a
//! [`Workload`](crate::workload::Workload): its [`QueuePolicy`] says who is next, its [`Placement`](apportion::scheduler::Placement)
//! where a task goes.
//!
//! The simulation tells it of an arrival by a request that holds the job's number; it launches tasks whose work tells the
//! simulated agents, and whoever measures, which task of which job it is and how long it runs ([`TimerTask`]).

mod backfill;
mod demand;
mod devices;
mod fair;
mod line;
mod options;
mod own;
mod party;
mod plan;
pub mod production;
mod queue;
mod refusals;
mod shelf;
mod timer;

pub use options::{QueueOptions, QueuePolicy};
pub use own::OwnPlacement;
pub use party::{Effort, Party, Plugged};
pub use queue::QueueFramework;
pub use timer::TimerTask;
