//! The world of a simulation: parties, messages under way, the clock.
//!
//! [`Simulation`] drives the production [`Master`](apportion::master::Master) with its allocator, and the production process of
//! each scheduler, against agents whose tasks are timers. They exchange the protocol's own messages. Everything runs on one
//! thread; nothing reads a clock or draws a random number that is not of a named stream.
//!
//! Agents are timers, not the production [`Agent`](apportion::agent::Agent): that one supervises executors, and has with each of
//! them a conversation of its own about every task (start, registration, launch, updates, acknowledgements), which would be most of
//! the events of a run. None of it decides who is offered what or where a task goes. What the timers say to the master is what an
//! agent says.
//!
//! With fidelity `placement` the allocator and the frameworks work on a model of the machines instead, without master and messages.
//!
//! Agents are not pinged: their connections tell when they are gone, and answers that always come would be most of the events.
//!
//! # The order of events
//!
//! Time is a whole number of nanoseconds. Events are handled in the order of
//!
//! 1. their time;
//! 2. their class: tasks end, machines fail or are repaired, jobs arrive, messages arrive, frameworks have decided or their timers are due;
//!    with [`ArrivalsFirst`](crate::scenario::Simultaneous), jobs arrive before all others;
//! 3. the order in which they were caused. Arrivals are caused in the order of the scenario's frameworks, and within one
//!    framework in the order of its jobs: those of a trace that arrive together, in the order of their names (numbers by value).
//!
//! Messages that take no time are delivered, first sent first, after the events of their time; then timers that are due now;
//! then the master allocates. What follows from that at the same time goes through the same order again. So all events of one
//! time cost one allocation ([`Batch::Instant`](crate::scenario::Batch)), as a batch of inputs does in production. With
//! [`Batch::Event`](crate::scenario::Batch) each event is followed by its messages, timers and allocation before the next.
//!
//! Ties elsewhere: the allocator prefers, of equal shares, the client with fewer allocations, then the first by name
//! (or only the latter, see [`Ties`](apportion::allocator::Ties)); agents are
//! offered in the order in which they registered, which is the scenario's; a placement prefers, of equal scores, the first offer.

mod agent;
mod calendar;
mod contention;
mod failures;
mod observer;
mod offers;
mod placement;
mod post;
mod record;
mod runs;
mod seat;
mod simulation;

pub use crate::frameworks::{Party, Plugged};
pub use calendar::{Calendar, Class};
pub use observer::Observer;
pub use offers::{OfferCount, OfferHistory};
pub use record::{Ending, FrameworkRecord, GpuParts, Outcome, Record, TaskRun};
pub(crate) use simulation::drf;
pub use simulation::{Progress, RunError, Simulation};
