//! Values as scenarios write them: lengths of time, and distributions of lengths and counts.

mod distribution;
mod span;

pub use distribution::{Count, Distribution, DistributionError, Length};
pub use span::{Span, SpanError};
