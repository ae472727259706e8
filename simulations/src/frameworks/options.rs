//! How a queue queues and places.

use serde::{Deserialize, Serialize};

use crate::values::Span;

/// Who is next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QueuePolicy {
    /// First in, first out, strictly: what does not fit holds up all behind it.
    #[default]
    Fifo,
    /// First in, first out; what does not fit is skipped.
    Skip,
    /// Those of shortest declared (or else actual) run time first; what does not fit is skipped.
    ShortestFirst,
    /// Those of highest priority first, then first in, first out; what does not fit is skipped.
    Priority,
}

/// Which of the offers that a task fits it is launched on. Among equals, the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Placement {
    /// The first.
    #[default]
    FirstFit,
    /// The one in which the least is left.
    BestFit,
    /// The one in which the most is left.
    #[serde(alias = "spread")]
    WorstFit,
}

/// How a queue queues and places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueOptions {
    /// Who is next.
    pub policy: QueuePolicy,
    /// Where a task goes.
    pub placement: Placement,
    /// How many tasks are launched on an offer before the rest is given back; at least 1.
    pub per_offer: u32,
    /// How long what can't be used is refused.
    pub refuse: Span,
}

impl Default for QueueOptions {
    fn default() -> Self {
        let refuse = Span::from_nanos(3600 * 1_000_000_000);
        QueueOptions { policy: QueuePolicy::default(), placement: Placement::default(), per_offer: 1, refuse }
    }
}
