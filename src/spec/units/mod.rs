//! Values with units: read from what people write, written back in one canonical way.
//!
//! Each type has a file of its own. Those that are always text ([`Delay`], [`Memory`]) get serde from `text.rs`; those that
//! may also be numbers have visitors of their own, or that of `decimal.rs`. All of them fail with a [`UnitError`].

mod count;
mod cpus;
mod decimal;
mod delay;
mod error;
mod gpus;
mod memory;
mod signal;
#[cfg(test)]
mod tests;
mod text;

pub use count::CountOrPercent;
pub use cpus::Cpus;
pub use delay::Delay;
pub use error::{UnitError, UnitProblem};
pub use gpus::SharedGpus;
pub(super) use gpus::WholeGpus;
pub use memory::Memory;
pub use signal::StopSignal;
