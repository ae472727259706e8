//! What the allocator knows about frameworks beyond what they have.

use std::collections::BTreeMap;

use crate::protocol::{Capabilities, Capability, FrameworkInfo, OfferConstraints};
use crate::resources::{Quantities, Resources, Role};

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

    /// A framework as it introduced itself.
    #[must_use]
    pub fn of(info: &FrameworkInfo) -> Self {
        FrameworkProfile {
            roles: info.roles.clone(),
            suppressed: Vec::new(),
            capabilities: info.capabilities,
            min_allocatable: info.min_allocatable.clone(),
            constraints: info.constraints.clone(),
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
