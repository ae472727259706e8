//! Simulates apportion clusters in virtual time, on the production code.
//!
//! The master, its allocator and the schedulers' processes are the very state machines that run in production; agents are played
//! by timers. They exchange the protocol's own messages, which arrive after a modelled latency; or, where only placement matters,
//! allocator and schedulers work straight on a model of the machines. Time is an integer that jumps from
//! event to event, in a total order that [`engine`] spells out. The same scenario and seed give the same run, on any machine.
//!
//! | room | what is in it |
//! | --- | --- |
//! | [`scenario`] | what people write, its mistakes, and the [`scenario::Model`] that is made of it |
//! | [`script`] | the allocator alone, driven step by step |
//! | [`traces`] | clusters and workloads of the real world: openb, SWF, SWIM, Philly, Batsim, and a table of our own |
//! | [`gpus`] | GPUs, whole and in parts |
//! | [`workload`] | jobs, ready to be played |
//! | [`frameworks`] | the scheduler that plays them: queue policies and placements |
//! | [`engine`] | the world: parties, messages under way, the clock |
//! | [`faults`] | the production machines under crashes, cut connections and failing disks |
//! | [`metrics`] | what is measured, and how |
//! | [`packing`] | where tasks with GPUs go: nodes by device, policies, the FGD paper's experiment |
//! | [`output`] | summary, manifest, tables |
//! | [`sweep`] | one scenario for every combination of some values |
//! | [`replay`] | masters of production, played again from their journals |
//! | [`validate`] | cases whose right answers are known |
//! | [`values`], [`random`], [`digest`] | lengths of time and distributions; named random streams; 128-bit hashes |
//!
//! A [`Scenario`] is resolved to a model, which is [run](scenario::Model::run) to a [`Run`], which has a summary and writes tables.
//! [`SimulationBuilder`] adds to that, or to nothing, schedulers, an allocator, a placement policy and observers of one's own; the examples
//! `own_placement` and `observer` are such programs.

mod builder;
mod charts;
#[cfg(feature = "parquet")]
pub mod columnar;
pub mod digest;
pub mod engine;
pub mod faults;
pub mod frameworks;
pub mod gpus;
pub mod metrics;
pub mod output;
pub mod packing;
pub mod random;
pub mod replay;
mod run;
pub mod scenario;
pub mod script;
pub mod sweep;
pub mod traces;
pub mod validate;
pub mod values;
pub mod workload;

pub use builder::{BuildError, SimulationBuilder};
pub use engine::{Progress, Simulation};
pub use output::Summary;
pub use run::Run;
pub use scenario::Scenario;
