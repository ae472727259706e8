//! A two-level resource scheduler: dominant-resource-fair offers, pluggable frameworks, executors over QUIC.

pub mod allocator;
pub mod executor;
#[cfg(feature = "runtime")]
pub mod isolation;
pub mod master;
#[cfg(feature = "runtime")]
pub mod net;
pub mod protocol;
pub mod resources;
#[cfg(feature = "runtime")]
pub mod runtime;
pub mod scheduler;
pub mod spec;
pub mod time;
