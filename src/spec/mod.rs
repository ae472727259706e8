//! What people write: units, located errors, and the parts that every spec shares.
//!
//! - [`Document`] is the text of a spec with its file's name. It parses into any type that derives `Deserialize` with
//!   `deny_unknown_fields`, and tells mistakes as [`SpecErrors`]: file, line, column, what to write instead.
//! - [`Header`] is what is read first, to find out whose spec it is.
//! - [`Delay`], [`Memory`], [`Cpus`], [`SharedGpus`], [`CountOrPercent`] and [`StopSignal`] are values with units.
//! - [`TaskTable`] is what a task needs, as a table of its own or, by [`WithTask`], among the keys of another one.
//! - [`expand`] fills in `${NAME}`; [`explain`] prints a spec with its defaults.
//!
//! A framework peeks at the header, parses the document into its own structs, checks what types can't say and reports that
//! with [`Document::error_at`], and turns each task table into a [`CommandInfo`](crate::protocol::CommandInfo) and a
//! [`Shape`](crate::resources::Shape). Nothing here reads files or looks at the environment.

mod document;
mod error;
mod expand;
mod explain;
mod header;
mod paths;
mod task;
#[cfg(test)]
mod tests;
mod units;
mod with_task;

pub use document::Document;
pub use error::{SpecError, SpecErrors};
pub use expand::{ExpandError, expand, references};
pub use explain::explain;
pub use header::{Header, SCHEMA};
pub use task::{DEFAULT_CPUS, DEFAULT_MEMORY, PortName, StopTable, TaskTable, port_variable};
pub use units::{CountOrPercent, Cpus, Delay, Memory, SharedGpus, StopSignal, UnitError, UnitProblem};
pub use with_task::WithTask;
