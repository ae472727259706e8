//! Frameworks, and their places in roles.

use super::demand::Demand;
use super::slots::Slots;
use super::tree::{Leaf, RoleTree};
use crate::protocol::FrameworkId;
use crate::resources::Role;

/// A framework's place in [`Frameworks`]; given to another when the framework is gone.
pub(super) type FrameworkSlot = usize;

/// A framework as the allocator sees it.
#[derive(Debug)]
pub(super) struct Framework {
    pub(super) id: FrameworkId,
    pub(super) active: bool,
    pub(super) memberships: Vec<Membership>,
}

/// A framework in one of its roles.
#[derive(Debug)]
pub(super) struct Membership {
    pub(super) role: Role,
    pub(super) leaf: Leaf,
    pub(super) suppressed: bool,
    /// The framework has left the role; it stays here while it has something in it.
    pub(super) left: bool,
    /// On how many agents it has something in this role.
    pub(super) held_on: usize,
}

impl Framework {
    pub(super) fn membership(&self, role: &Role) -> Option<&Membership> {
        self.memberships.iter().find(|membership| membership.role == *role)
    }

    pub(super) fn membership_at(&mut self, leaf: Leaf) -> Option<&mut Membership> {
        self.memberships.iter_mut().find(|membership| membership.leaf == leaf)
    }

    /// Tells the tree in which roles the framework wants offers.
    pub(super) fn tell_wants(&self, tree: &mut RoleTree) {
        for membership in &self.memberships {
            let demand = tree.member(membership.leaf).and_then(|member| member.demand.as_ref());
            let is_met = demand.is_some_and(Demand::is_met);
            let wants = self.active && !membership.suppressed && !membership.left && !is_met;
            tree.set_wants(membership.leaf, wants);
        }
    }
}

/// All frameworks.
#[derive(Debug, Default)]
pub(super) struct Frameworks(Slots<FrameworkId, Framework>);

impl Frameworks {
    pub(super) fn slot(&self, id: &FrameworkId) -> Option<FrameworkSlot> {
        self.0.slot(id)
    }

    pub(super) fn get(&self, slot: FrameworkSlot) -> Option<&Framework> {
        self.0.get(slot)
    }

    pub(super) fn get_mut(&mut self, slot: FrameworkSlot) -> Option<&mut Framework> {
        self.0.get_mut(slot)
    }

    pub(super) fn find(&self, id: &FrameworkId) -> Option<&Framework> {
        self.get(self.slot(id)?)
    }

    /// Every framework in every of its roles.
    pub(super) fn memberships(&self) -> impl Iterator<Item = (&Framework, &Membership)> {
        self.0.iter().flat_map(|(_, framework)| {
            framework.memberships.iter().map(move |membership| (framework, membership))
        })
    }

    /// The framework's place, made when it is new; it is not active then.
    pub(super) fn slot_or_new(&mut self, id: &FrameworkId) -> FrameworkSlot {
        match self.slot(id) {
            Some(slot) => slot,
            None => self.0.insert(id, Framework { id: id.clone(), active: false, memberships: Vec::new() }),
        }
    }

    pub(super) fn remove(&mut self, id: &FrameworkId) -> Option<(FrameworkSlot, Framework)> {
        self.0.remove(id)
    }
}
