//! Frameworks for models of workloads.
//!
//! [`QueueFramework`] is an ordinary [`Scheduler`](apportion::scheduler::Scheduler) that plays the jobs of a
//! [`Workload`](crate::workload::Workload): its [`QueuePolicy`] says who is next, its [`Placement`] where a task goes.
//!
//! The simulation tells it of an arrival by a request that holds the job's number; it launches tasks whose work tells the
//! simulated agents, and whoever measures, which task of which job it is and how long it runs ([`TimerTask`]).

mod backfill;
mod demand;
mod devices;
mod fair;
mod line;
mod options;
mod plan;
mod queue;
mod refusals;
mod shelf;
mod timer;

pub use options::{Placement, QueueOptions, QueuePolicy};
pub use queue::{Effort, QueueFramework};
pub use timer::TimerTask;
