//! Who is in which role, and what is taken by and comes back from whom.

use super::agents::Agent;
use super::frameworks::{FrameworkSlot, Membership};
use super::tree::Leaf;
use super::{Allocation, DrfAllocator};
use crate::protocol::FrameworkId;
use crate::resources::{Resources, Role};
use crate::time::Time;

impl DrfAllocator {
    pub(super) fn leaf(&self, framework: &FrameworkId, role: &Role) -> Option<Leaf> {
        Some(self.frameworks.find(framework)?.membership(role)?.leaf)
    }

    /// Puts a framework into a role; it wants nothing there yet.
    pub(super) fn join(&mut self, slot: FrameworkSlot, role: &Role, left: bool) -> Option<Leaf> {
        let framework = self.frameworks.get_mut(slot)?;
        let leaf = self.tree.add_leaf(role, &framework.id, slot);
        self.tree.set_offer_mode(leaf, self.optimistic.mode(role));
        let membership = Membership { role: role.clone(), leaf, suppressed: false, left, held_on: 0 };
        framework.memberships.push(membership);
        Some(leaf)
    }

    /// Takes what is in use already off what is available. Its framework may come later, and its role be one that the
    /// framework has left: the resources are not free all the same.
    pub(super) fn note_used(&mut self, allocation: &Allocation) {
        let Some(agent) = self.agents.slot(&allocation.agent) else { return };
        let slot = self.frameworks.slot_or_new(&allocation.framework);
        let leaf = self.leaf(&allocation.framework, &allocation.role);
        let Some(leaf) = leaf.or_else(|| self.join(slot, &allocation.role, true)) else { return };
        let Some(change) = self.agents.change(agent, |agent| agent.take(leaf, &allocation.resources)) else {
            return;
        };
        let framework = self.frameworks.get_mut(slot);
        if let Some(membership) = framework.and_then(|framework| framework.membership_at(leaf)) {
            membership.held_on += usize::from(change.is_first_or_last);
        }
        self.tree.note(leaf, &change);
    }

    /// A leaf has nothing on some agent any more.
    pub(super) fn note_emptied(&mut self, leaf: Leaf) {
        let Some(slot) = self.tree.member(leaf).map(|member| member.slot) else { return };
        let Some(framework) = self.frameworks.get_mut(slot) else { return };
        if let Some(membership) = framework.membership_at(leaf) {
            membership.held_on -= 1;
            if membership.left && membership.held_on == 0 {
                self.forget_left(slot);
            }
        }
    }

    /// What was offered came back: whoever waits for it does so again.
    pub(super) fn take_back(&mut self, leaf: Leaf, resources: &Resources) {
        if self.tree.change_demand(leaf, |demand| demand.take_back(|| resources.quantities())).is_some() {
            let slot = self.tree.member(leaf).map(|member| member.slot);
            if let Some(framework) = slot.and_then(|slot| self.frameworks.get(slot)) {
                framework.tell_wants(&mut self.tree);
                self.waiting.add_all();
            }
            // More may be missing of the gang that gathers than it gathers for.
            self.settle_turn();
        }
    }

    /// Forgets roles that the framework has left and has nothing in any more.
    pub(super) fn forget_left(&mut self, slot: FrameworkSlot) {
        let Some(framework) = self.frameworks.get_mut(slot) else { return };
        let left: Vec<_> =
            framework.memberships.extract_if(.., |each| each.left && each.held_on == 0).collect();
        for membership in left {
            self.remove_leaf(membership.leaf);
        }
    }

    /// Forgets a leaf, which has nothing any more, with all that concerns it.
    pub(super) fn remove_leaf(&mut self, leaf: Leaf) {
        self.filters.clear_leaf(leaf);
        self.optimistic.forget_leaf(leaf);
        self.gangs.forget(leaf);
        for agent in self.earmarks.drop_stale(Time::ZERO, |other| other != leaf) {
            self.agent_freed(agent);
        }
        self.tree.remove_leaf(leaf);
    }

    /// The framework's leaves in these roles, in all when none is named, with offers wanted or not from now on.
    pub(super) fn set_suppressed(
        &mut self,
        framework: &FrameworkId,
        roles: &[Role],
        suppressed: bool,
    ) -> Vec<Leaf> {
        let slot = self.frameworks.slot(framework);
        let Some(framework) = slot.and_then(|slot| self.frameworks.get_mut(slot)) else { return Vec::new() };
        let named = |membership: &&mut Membership| roles.is_empty() || roles.contains(&membership.role);
        let mut leaves = Vec::new();
        for membership in framework.memberships.iter_mut().filter(named) {
            membership.suppressed = suppressed;
            leaves.push(membership.leaf);
        }
        framework.tell_wants(&mut self.tree);
        leaves
    }

    /// Takes back all that a leaf has.
    pub(super) fn release_everywhere(&mut self, leaf: Leaf) {
        let holds = |(slot, agent): (_, &Agent)| agent.held_by(leaf).map(|held| (slot, held.clone()));
        let holdings: Vec<_> = self.agents.iter().filter_map(holds).collect();
        for (slot, held) in holdings {
            if let Some(change) = self.agents.change(slot, |agent| agent.release(leaf, &held)).flatten() {
                self.tree.subtract(leaf, &change);
            }
            self.agent_freed(slot);
        }
    }
}
