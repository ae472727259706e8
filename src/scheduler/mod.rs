//! For framework authors: the [`Scheduler`] contract and the comfortable [`Reconciler`] layer on it.
//!
//! - [`Scheduler`] is the whole two-level contract: offers come in, tasks go out, updates come back. No threads, no async,
//!   no clock, no IO: whatever a scheduler wants, it says through its [`Driver`].
//! - [`Reconciler`] is what most authors write: it compares what is with what should be and says in a [`Plan`] what to
//!   change; [`Planned`] makes a scheduler of it: it matches tasks with offers, suppresses and revives.
//! - [`SchedulerProcess`] is the state machine around a scheduler: it speaks the protocol with the master. The runtime and
//!   the simulator drive the same one.

mod contract;
mod driver;
mod offer;
mod planned;
mod process;
mod queue;
mod reconciler;
mod view;

pub use contract::{Ack, Scheduler, Subscription};
pub use driver::Driver;
pub use offer::{MAX_HOLD, Offer, OfferError};
pub use planned::Planned;
pub use process::{SchedulerInput, SchedulerOutput, SchedulerProcess};
pub use reconciler::{Plan, Reconciler, TaskRequest};
pub use view::{TaskRecord, View};
