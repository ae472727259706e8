//! Demand: what a framework waits for, so that it is offered what it can use.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::agent::AgentProfile;
use super::constraints::OfferConstraints;
use crate::resources::Quantities;

/// Tasks of one kind that a framework waits for.
///
/// ```
/// use apportion::protocol::DemandGroup;
///
/// let workers = DemandGroup::new(10, "cpus:2;mem:4096".parse()?).with_priority(5);
/// // Sixteen that start together, or none of them.
/// let ranks = DemandGroup::new(16, "cpus:1;gpus:1".parse()?).starting_together(16);
/// assert!(ranks.is_gang() && !workers.is_gang());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DemandGroup {
    /// How many; [`ANY_NUMBER`](Self::ANY_NUMBER) has no bound.
    pub count: u32,
    /// What each of them takes. A shape of nothing fits anywhere, once. Of a gang, scalars and ports count, and volumes and
    /// revocable resources do not serve it.
    pub shape: Quantities,
    /// On which agents they can run.
    pub constraints: OfferConstraints,
    /// Groups with a higher priority are promised something first, among those of one framework in one role.
    pub priority: i32,
    /// None of them runs for longer than this. They are not offered agents that will be away before they would have ended. `None`:
    /// nobody knows, and they are offered all agents, as if none were ever away.
    pub max_runtime: Option<Duration>,
    /// At least so many of them start together, or none; those beyond may follow one by one. `None`: each starts as soon as it can.
    pub gang: Option<u32>,
}

impl DemandGroup {
    /// Tasks that run anywhere, each for itself and for as long as it likes.
    #[must_use]
    pub fn new(count: u32, shape: Quantities) -> Self {
        DemandGroup {
            count,
            shape,
            constraints: OfferConstraints::default(),
            priority: 0,
            max_runtime: None,
            gang: None,
        }
    }

    /// The same with another priority.
    #[must_use]
    pub fn with_priority(self, priority: i32) -> Self {
        DemandGroup { priority, ..self }
    }

    /// The same as a gang, of which at least so many start together.
    #[must_use]
    pub fn starting_together(self, least: u32) -> Self {
        DemandGroup { gang: Some(least), ..self }
    }

    /// How many start together at least; 0 when each starts for itself. Tasks that take nothing do.
    #[must_use]
    pub fn gang_size(&self) -> u32 {
        if self.shape.is_empty() { 0 } else { self.gang.unwrap_or(0).min(self.count) }
    }

    /// Whether several tasks have to start together.
    #[must_use]
    pub fn is_gang(&self) -> bool {
        self.gang_size() > 0
    }

    /// Whether these are the same tasks, though they may be more or fewer, and of another priority.
    #[must_use]
    pub fn is_alike(&self, other: &Self) -> bool {
        self.shape == other.shape
            && self.gang == other.gang
            && self.max_runtime == other.max_runtime
            && self.constraints == other.constraints
    }

    /// Whether they can run on an agent that is there for so long; `None`: for ever.
    #[must_use]
    pub fn can_use(&self, agent: &AgentProfile, time_left: Option<Duration>) -> bool {
        let is_in_time = match (self.max_runtime, time_left) {
            (Some(runtime), Some(left)) => runtime <= left,
            _ => true,
        };
        is_in_time && self.constraints.allow(agent)
    }
}

impl DemandGroup {
    /// A count without bound: whatever fits one task is offered, for whoever wants to choose.
    pub const ANY_NUMBER: u32 = u32::MAX;
}
