//! What the allocator knows about agents and frameworks beyond resources.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::constraints::OfferConstraints;
use crate::protocol::{AgentInfo, Attributes};
use crate::resources::{Quantities, Resource, Resources, Role};

/// Where an agent is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FaultDomain {
    /// Far from others: what crosses regions takes long.
    pub region: String,
    /// Fails apart from other zones of its region.
    pub zone: String,
}

/// What frameworks and rules choose agents by.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AgentProfile {
    /// The machine's name; the allow-list has these.
    pub hostname: String,
    /// Free-form marks.
    pub attributes: Attributes,
    /// Where it is; `None`: where the master is.
    pub domain: Option<FaultDomain>,
}

impl From<&AgentInfo> for AgentProfile {
    fn from(info: &AgentInfo) -> Self {
        AgentProfile { hostname: info.hostname.clone(), attributes: info.attributes.clone(), domain: None }
    }
}

/// Something that a framework must say it can deal with before it is offered it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities(u8);

impl Capabilities {
    /// None.
    pub const NONE: Self = Self(0);
    /// All that there are.
    pub const ALL: Self = Self(0b1_1111);

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
    pub(super) fn allow(self, resource: &Resource) -> bool {
        self.contain(Self::needed_for(resource))
    }
}

impl FromIterator<Capability> for Capabilities {
    fn from_iter<I: IntoIterator<Item = Capability>>(capabilities: I) -> Self {
        capabilities.into_iter().fold(Self::NONE, Self::with)
    }
}

/// What a framework tells the allocator about itself.
#[derive(Clone, Debug, PartialEq)]
pub struct FrameworkProfile {
    /// The roles whose share of the cluster it uses.
    pub roles: Vec<Role>,
    /// Those of its roles that want no offers for now.
    pub suppressed: Vec<Role>,
    /// What it can deal with.
    pub capabilities: Capabilities,
    /// Per role: one of these amounts suffices for an offer, instead of the cluster's. An empty list: anything does.
    pub min_allocatable: BTreeMap<Role, Vec<Quantities>>,
    /// Per role: of which agents offers are wanted.
    pub constraints: BTreeMap<Role, OfferConstraints>,
}

impl FrameworkProfile {
    /// A framework that can deal with everything and wants offers in all of these roles.
    #[must_use]
    pub fn new(roles: &[Role]) -> Self {
        FrameworkProfile {
            roles: roles.to_vec(),
            suppressed: Vec::new(),
            capabilities: Capabilities::ALL,
            min_allocatable: BTreeMap::new(),
            constraints: BTreeMap::new(),
        }
    }

    /// The same, wanting no offers in these roles for now.
    #[must_use]
    pub fn suppressing(mut self, suppressed: &[Role]) -> Self {
        self.suppressed = suppressed.to_vec();
        self
    }
}

/// What a framework must be capable of to be offered anything of an agent.
pub(super) fn needed_of(total: &Resources, is_remote: bool) -> Capabilities {
    let mut needed = Capabilities::NONE;
    if !total.gpus().is_zero() {
        needed = needed.with(Capability::GpuResources);
    }
    if is_remote {
        needed = needed.with(Capability::RegionAware);
    }
    needed
}
