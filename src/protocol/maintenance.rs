//! Maintenance: when agents will be away, and frameworks that are asked to leave them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ids::AgentId;
use crate::time::Time;

/// When an agent will be away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unavailability {
    /// From when on.
    pub start: Time,
    /// For how long; `None`: for ever.
    pub duration: Option<Duration>,
}

impl Unavailability {
    /// When the agent is back; `None`: never.
    #[must_use]
    pub fn end(&self) -> Option<Time> {
        self.duration.map(|duration| self.start + duration)
    }

    /// Whether the agent is back at `now`.
    #[must_use]
    pub fn is_over(&self, now: Time) -> bool {
        self.end().is_some_and(|end| end <= now)
    }

    /// Whether the agent is away at `now`.
    #[must_use]
    pub fn covers(&self, now: Time) -> bool {
        self.start <= now && !self.is_over(now)
    }
}

/// A framework is asked to give back what it has on an agent by the time that this will be away. It is advice: whoever stays has its
/// tasks end with the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InverseOfferInfo {
    /// Where.
    pub agent: AgentId,
    /// When the agent will be away.
    pub unavailability: Unavailability,
}
