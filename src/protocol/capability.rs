//! Capabilities: what a framework must say it can deal with before it is offered it.

use serde::{Deserialize, Serialize};

use crate::resources::Resource;

/// Something that a framework must say it can deal with before it is offered it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Capability {
    /// Agents that have gpus.
    GpuResources,
    /// Resources that may be taken away again while in use.
    RevocableResources,
    /// Agents in other regions than the master's.
    RegionAware,
    /// Volumes that several tasks use at once.
    SharedResources,
    /// Resources that are reserved more than once.
    ReservationRefinement,
}

/// A set of [`Capability`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities(u8);

impl Capabilities {
    /// None.
    pub const NONE: Self = Self(0);
    /// All that there are.
    pub const ALL: Self = Self(0b1_1111);
    /// What most can deal with: all but resources that are taken away while in use, and other regions.
    pub const USUAL: Self = Self::NONE
        .with(Capability::GpuResources)
        .with(Capability::SharedResources)
        .with(Capability::ReservationRefinement);

    /// These and one more.
    #[must_use]
    pub const fn with(self, capability: Capability) -> Self {
        Self(self.0 | 1 << capability as u8)
    }

    /// Whether one is among these.
    #[must_use]
    pub const fn has(self, capability: Capability) -> bool {
        self.0 & (1 << capability as u8) != 0
    }

    /// Whether all of `other` are among these.
    #[must_use]
    pub const fn contain(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// What it takes to be offered a resource.
    fn needed_for(resource: &Resource) -> Self {
        let mut needed = Self::NONE;
        if resource.is_revocable() {
            needed = needed.with(Capability::RevocableResources);
        }
        if resource.is_shared() {
            needed = needed.with(Capability::SharedResources);
        }
        if resource.reservations().len() > 1 {
            needed = needed.with(Capability::ReservationRefinement);
        }
        needed
    }

    /// Whether whoever has these may be offered the resource.
    #[must_use]
    pub fn allow(self, resource: &Resource) -> bool {
        self.contain(Self::needed_for(resource))
    }
}

impl FromIterator<Capability> for Capabilities {
    fn from_iter<I: IntoIterator<Item = Capability>>(capabilities: I) -> Self {
        capabilities.into_iter().fold(Self::NONE, Self::with)
    }
}
