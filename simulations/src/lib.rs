//! Simulates apportion clusters in virtual time, on the production code.
//!
//! The master, its allocator and the schedulers are the very state machines that run in production; agents are played by
//! [`agent::TimerAgent`]s, whose tasks are timers. They exchange the protocol's own messages, which arrive after a modelled
//! latency. Time is an integer that jumps from event to event; simultaneous events are handled in the order in which they
//! were caused. The same scenario gives the same run, on any machine.
//!
//! | file | idea |
//! | --- | --- |
//! | [`simulation`] | the world: parties, messages under way, the clock |
//! | [`agent`] | an agent whose tasks are timers |
//! | [`queue`] | a plain first-in-first-out framework, for models |
//! | [`scenario`] | what people write: clusters and workloads as TOML |
//! | [`summary`] | what comes out |

pub mod agent;
pub mod queue;
pub mod scenario;
pub mod simulation;
pub mod summary;

pub use scenario::Scenario;
pub use simulation::Simulation;
pub use summary::Summary;
