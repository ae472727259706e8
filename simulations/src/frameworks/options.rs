//! How a queue queues and places.

use apportion::scheduler::Placement;
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
    /// The next task is of the job that has the least: whose running tasks have the smallest dominant share.
    Fair,
    /// Those of shortest declared (or else actual) run time first; what does not fit is skipped.
    ShortestFirst,
    /// Those of highest priority first, then first in, first out; what does not fit is skipped.
    Priority,
    /// First in, first out; others go first where that does not delay the first that waits.
    #[serde(alias = "easy-backfill")]
    Easy,
    /// First in, first out; others go first where that delays nobody before them.
    #[serde(alias = "conservative-backfill")]
    Conservative,
}

impl QueuePolicy {
    /// Whether it plans ahead.
    pub fn is_planned(self) -> bool {
        matches!(self, QueuePolicy::Easy | QueuePolicy::Conservative)
    }
}

/// How a queue queues and places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueOptions {
    /// Who is next.
    pub policy: QueuePolicy,
    /// Which of the offers that a task fits it is launched on. Among equals, the first.
    ///
    /// Where only so many tasks go on an offer before it is given back (`per_offer`), a task that had better go on one that is used up
    /// for now waits until the rest of it is offered again, at the same time; first fit and random placements take another.
    ///
    /// Tasks that ask for GPUs get particular devices, by the [policies for devices](crate::packing); a device is given in parts only as far
    /// as it goes. A framework knows the devices of its own tasks: where several share an agent's GPUs in parts, only sums are kept apart.
    pub placement: Placement,
    /// How many tasks are launched on an offer before the rest is given back; at least 1.
    pub per_offer: u32,
    /// How long what can't be used is refused.
    pub refuse: Span,
    /// Whether it tells the master what it waits for, and is offered that; or is offered all that is free.
    pub states_demand: bool,
    /// So many jobs it decides on at a time at most.
    pub jobs_per_decision: u32,
}

impl Default for QueueOptions {
    fn default() -> Self {
        let refuse = Span::from_nanos(3600 * 1_000_000_000);
        QueueOptions {
            policy: QueuePolicy::default(),
            placement: Placement::default(),
            per_offer: 1,
            refuse,
            states_demand: true,
            jobs_per_decision: u32::MAX,
        }
    }
}
