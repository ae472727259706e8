//! Sweeps: one scenario, run for every combination of some values.
//!
//! An [`Axis`] is a path into the scenario and the values that it takes there. A [`Sweep`] runs the grid in parallel, each run on one
//! thread, and keeps the numbers of each in a file of its own; so an interrupted sweep goes on where it was, and the shards of one
//! can run on several machines. Runs that differ in their seed alone are one cell, of which mean and 95 % confidence interval are
//! told ([`Estimate`]).

mod axis;
mod estimate;
mod grid;
mod page;

pub use axis::{Axis, AxisError};
pub(crate) use axis::{set, value};
pub use estimate::Estimate;
pub use grid::{Cell, Shard, Sweep, SweepError, SweepResult, Values};
