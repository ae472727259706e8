//! For framework authors: the [`Scheduler`] contract and the comfortable [`Reconciler`] layer on it.
//!
//! - [`Scheduler`] is the whole two-level contract: offers come in, tasks go out, updates come back. No threads, no async,
//!   no clock, no IO: whatever a scheduler wants, it says through its [`Driver`].
//! - [`Reconciler`] is what most authors write: it compares what is with what should be and says in a [`Plan`] what to
//!   change. [`Planned`] makes a scheduler of it: queue, matching, suppression and explanations.
//! - [`Score`] says which offer a task had better go on; [`Placement`] names those that come with the library, and [`gpus`] has
//!   the formulas of those about GPUs.
//! - [`harness`] tests either against a real master in virtual time.
//! - [`SchedulerProcess`] runs either as a state machine between the master's events and the calls to it.
//!
//! What the next life of a framework must know, its scheduler says as [`RecordChange`]s, which are durable before anything that follows
//! from them is done; [`Scheduler::restore`] is given them again.
//!
//! Events go through the process to the scheduler's callbacks; what those ask of the driver comes back as calls.

mod contract;
mod demand;
mod driver;
mod gangs;
pub mod gpus;
pub mod harness;
mod matching;
mod offer;
mod placement;
mod planned;
mod policy;
mod process;
mod queue;
mod reconciler;
mod records;
mod view;

pub use contract::{Ack, Scheduler, Subscription};
pub use demand::MAX_STATED_SHAPES;
pub use driver::Driver;
pub use gpus::{GpuClustering, GpuPacking, GradientDescent};
pub use offer::{MAX_HOLD, Offer, OfferError};
pub use placement::{Alignment, BestFit, Filter, MaxPer, RandomFit, Score, Spread, Staying};
pub use planned::{MAX_PASSES, OVERRUN_PAUSE, Planned, UNKNOWN_RECHECK};
pub use policy::{Placement, UnknownPlacement};
pub use process::{SchedulerInput, SchedulerOutput, SchedulerProcess};
pub use reconciler::{Plan, Reconciler, TaskRequest};
pub use records::{DamagedRecord, RecordChange, Records};
pub use view::{TaskRecord, View};
