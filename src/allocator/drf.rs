//! Hierarchical dominant-resource fairness, driven by what changed.

use std::time::Duration;

use super::agents::{Agent, Agents, scalars};
use super::cycle::Candidates;
use super::filters::Filters;
use super::frameworks::{FrameworkSlot, Frameworks, Membership};
use super::tree::{Leaf, RoleTree, RoleView};
use super::{Allocation, Allocator, RoleShare};
use crate::protocol::{AgentId, Attributes, Explanation, FrameworkId, Weight};
use crate::resources::{Kind, Quantities, Resources, Role};
use crate::time::Time;

/// What can be set about a [`DrfAllocator`].
#[derive(Clone, Debug, PartialEq)]
pub struct DrfOptions {
    /// Less than this is not offered: one of these amounts suffices, and without any, everything is offered. Mesos'
    /// default: 0.01 cpus or 32 MiB.
    pub min_allocatable: Vec<Quantities>,
}

impl Default for DrfOptions {
    fn default() -> Self {
        let cpus = Resources::cpus_mem(10, 0).quantities();
        let memory = Resources::cpus_mem(0, 32).quantities();
        DrfOptions { min_allocatable: vec![cpus, memory] }
    }
}

/// Offers an agent's free resources to the framework that is furthest below its fair share of the cluster.
///
/// Semantics are those of Mesos' hierarchical allocator: the role with the lowest weighted dominant share is served first,
/// then its child or framework with the lowest, and so on; among equals the one with fewer allocations, then by name. The
/// frameworks of a role that has child roles too compete with these as one. A framework gets all that is free on the
/// agent for its role. Only agents that changed are looked at.
///
/// ```
/// use apportion::allocator::{Allocator, DrfAllocator, DrfOptions};
/// use apportion::protocol::{AgentId, Attributes, FrameworkId};
/// use apportion::resources::Resources;
/// use apportion::time::Time;
///
/// let mut allocator = DrfAllocator::new(DrfOptions::default());
/// let resources = Resources::cpus_mem(4000, 1024);
/// allocator.add_agent(&AgentId::new("agent1")?, &Attributes::new(), &resources, &[]);
/// allocator.add_framework(&FrameworkId::new("batch")?, &["eng".parse()?], &[]);
/// let mut offers = Vec::new();
/// allocator.allocate(Time::ZERO, &mut offers);
/// assert_eq!(offers[0].resources, resources);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct DrfAllocator {
    pub(super) options: DrfOptions,
    pub(super) agents: Agents,
    pub(super) frameworks: Frameworks,
    pub(super) tree: RoleTree,
    pub(super) filters: Filters,
    pub(super) candidates: Candidates,
    /// All scalars of the cluster; what shares are of.
    pub(super) total: Quantities,
}

impl DrfAllocator {
    /// An allocator of an empty cluster.
    #[must_use]
    pub fn new(options: DrfOptions) -> Self {
        DrfAllocator { options, ..DrfAllocator::default() }
    }

    fn leaf(&self, framework: &FrameworkId, role: &Role) -> Option<Leaf> {
        Some(self.frameworks.find(framework)?.membership(role)?.leaf)
    }

    /// Puts a framework into a role; it wants nothing there yet.
    fn join(&mut self, slot: FrameworkSlot, role: &Role, left: bool) -> Option<Leaf> {
        let framework = self.frameworks.get_mut(slot)?;
        let leaf = self.tree.add_leaf(role, &framework.id, slot);
        let membership = Membership { role: role.clone(), leaf, suppressed: false, left, held_on: 0 };
        framework.memberships.push(membership);
        Some(leaf)
    }

    /// Takes what is in use already off what is available. Its framework may come later, and its role be one that the
    /// framework has left: the resources are not free all the same.
    fn note_used(&mut self, allocation: &Allocation) {
        let Some(agent) = self.agents.slot(&allocation.agent) else { return };
        let slot = self.frameworks.slot_or_new(&allocation.framework);
        let leaf = self.leaf(&allocation.framework, &allocation.role);
        let Some(leaf) = leaf.or_else(|| self.join(slot, &allocation.role, true)) else { return };
        let is_new = self.agents.change(agent, |agent| agent.take(leaf, &allocation.resources));
        let framework = self.frameworks.get_mut(slot);
        if let Some(membership) = framework.and_then(|framework| framework.membership_at(leaf)) {
            membership.held_on += usize::from(is_new == Some(true));
        }
        self.tree.note(leaf, &scalars(&allocation.resources));
    }

    /// A leaf has nothing on some agent any more.
    fn note_emptied(&mut self, leaf: Leaf) {
        let Some((slot, _)) = self.tree.member(leaf) else { return };
        let Some(framework) = self.frameworks.get_mut(slot) else { return };
        if let Some(membership) = framework.membership_at(leaf) {
            membership.held_on -= 1;
            if membership.left && membership.held_on == 0 {
                self.forget_left(slot);
            }
        }
    }

    /// Forgets roles that the framework has left and has nothing in any more.
    fn forget_left(&mut self, slot: FrameworkSlot) {
        let Some(framework) = self.frameworks.get_mut(slot) else { return };
        for membership in framework.memberships.extract_if(.., |each| each.left && each.held_on == 0) {
            self.filters.clear_leaf(membership.leaf);
            self.tree.remove_leaf(membership.leaf);
        }
    }

    /// The framework's leaves in these roles, in all when none is named, with offers wanted or not from now on.
    fn set_suppressed(&mut self, framework: &FrameworkId, roles: &[Role], suppressed: bool) -> Vec<Leaf> {
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
    fn release_everywhere(&mut self, leaf: Leaf) {
        let holds = |(slot, agent): (_, &Agent)| agent.held_by(leaf).map(|held| (slot, held.clone()));
        let holdings: Vec<_> = self.agents.iter().filter_map(holds).collect();
        for (slot, held) in holdings {
            self.agents.change(slot, |agent| agent.release(leaf, &held));
            self.candidates.add(slot);
        }
    }

    fn role_share(&self, view: &RoleView<'_>) -> RoleShare {
        let share = view.allocated.dominant_share(&self.total);
        let alone = |kind: &Kind, amount| Quantities::from_iter([(kind.clone(), amount)]);
        let is_dominant =
            |(kind, amount): &(&Kind, _)| alone(kind, *amount).dominant_share(&self.total) == share;
        RoleShare {
            role: view.role.clone(),
            weight: view.weight,
            allocated: view.allocated.clone(),
            share,
            dominant: view.allocated.iter().find(is_dominant).map(|(kind, _)| kind.clone()),
            frameworks: view.frameworks,
        }
    }
}

impl Allocator for DrfAllocator {
    fn add_agent(&mut self, id: &AgentId, _attributes: &Attributes, total: &Resources, used: &[Allocation]) {
        self.remove_agent(id);
        let slot = self.agents.insert(id, total.clone());
        self.total.add(&scalars(total));
        for allocation in used {
            if allocation.agent == *id {
                self.note_used(allocation);
            } else {
                tracing::warn!(agent = %id, other = %allocation.agent, "in use on another agent than the one added");
            }
        }
        self.candidates.add(slot);
    }

    fn update_agent(&mut self, id: &AgentId, total: &Resources) {
        let Some(slot) = self.agents.slot(id) else { return };
        let before = self.agents.get(slot).map(|agent| agent.total().scalars.clone()).unwrap_or_default();
        self.agents.change(slot, |agent| agent.set_total(total.clone()));
        self.total.subtract_clamped(&before);
        self.total.add(&scalars(total));
        self.candidates.add(slot);
    }

    fn remove_agent(&mut self, id: &AgentId) {
        let Some((slot, agent)) = self.agents.remove(id) else { return };
        self.filters.clear_agent(slot);
        self.total.subtract_clamped(&agent.total().scalars);
        for (leaf, held) in agent.allocated() {
            self.tree.subtract(*leaf, &scalars(held));
            self.note_emptied(*leaf);
        }
    }

    fn set_agent_active(&mut self, id: &AgentId, active: bool) {
        let Some(slot) = self.agents.slot(id) else { return };
        self.agents.change(slot, |agent| agent.active = active);
        self.candidates.add(slot);
    }

    fn add_framework(&mut self, id: &FrameworkId, roles: &[Role], suppressed: &[Role]) {
        let slot = self.frameworks.slot_or_new(id);
        if let Some(framework) = self.frameworks.get_mut(slot) {
            framework.active = true;
        }
        self.update_framework(id, roles, suppressed);
    }

    fn update_framework(&mut self, id: &FrameworkId, roles: &[Role], suppressed: &[Role]) {
        let Some(slot) = self.frameworks.slot(id) else { return };
        for role in roles {
            if self.leaf(id, role).is_none() {
                self.join(slot, role, false);
            }
        }
        if let Some(framework) = self.frameworks.get_mut(slot) {
            for membership in &mut framework.memberships {
                membership.left = !roles.contains(&membership.role);
                membership.suppressed = suppressed.contains(&membership.role);
            }
            framework.tell_wants(&mut self.tree);
        }
        self.forget_left(slot);
        self.candidates.add_all();
    }

    fn remove_framework(&mut self, id: &FrameworkId) {
        let Some(framework) = self.frameworks.remove(id) else { return };
        for membership in &framework.memberships {
            if membership.held_on > 0 {
                self.release_everywhere(membership.leaf);
            }
            self.filters.clear_leaf(membership.leaf);
            self.tree.remove_leaf(membership.leaf);
        }
    }

    fn set_framework_active(&mut self, id: &FrameworkId, active: bool) {
        let slot = self.frameworks.slot(id);
        let Some(framework) = slot.and_then(|slot| self.frameworks.get_mut(slot)) else { return };
        framework.active = active;
        framework.tell_wants(&mut self.tree);
        if active {
            self.candidates.add_all();
        } else {
            for membership in &framework.memberships {
                self.filters.clear_leaf(membership.leaf);
            }
        }
    }

    fn suppress(&mut self, framework: &FrameworkId, roles: &[Role]) {
        self.set_suppressed(framework, roles, true);
    }

    fn revive(&mut self, framework: &FrameworkId, roles: &[Role]) {
        let leaves = self.set_suppressed(framework, roles, false);
        if leaves.is_empty() {
            return;
        }
        for leaf in leaves {
            self.filters.clear_leaf(leaf);
        }
        self.candidates.add_all();
    }

    fn set_weight(&mut self, role: &Role, weight: Weight) {
        self.tree.set_weight(role, weight);
        self.candidates.add_all();
    }

    fn add_allocation(&mut self, allocation: &Allocation) {
        self.note_used(allocation);
    }

    fn recover(&mut self, now: Time, allocation: &Allocation, refuse: Option<Duration>) {
        let Allocation { framework, role, agent, resources } = allocation;
        let Some(slot) = self.agents.slot(agent) else { return };
        let Some(leaf) = self.leaf(framework, role) else { return };
        let released = self.agents.change(slot, |agent| agent.release(leaf, resources)).flatten();
        let Some(is_over) = released else {
            tracing::warn!(%agent, %framework, %role, %resources, "not allocated, so not recovered");
            return;
        };
        self.tree.subtract(leaf, &scalars(resources));
        if let Some(refuse) = refuse {
            self.filters.refuse(now, slot, leaf, resources, refuse);
        }
        self.candidates.add(slot);
        if is_over {
            self.note_emptied(leaf);
        }
    }

    fn convert(&mut self, allocation: &Allocation, into: &Resources) {
        let Allocation { framework, role, agent, resources } = allocation;
        let Some(slot) = self.agents.slot(agent) else { return };
        let Some(leaf) = self.leaf(framework, role) else { return };
        if self.agents.change(slot, |agent| agent.convert(leaf, resources, into)) != Some(true) {
            tracing::warn!(%agent, %framework, %role, %resources, "not allocated, so not converted");
            return;
        }
        let (from, into) = (scalars(resources), scalars(into));
        self.total.subtract_clamped(&from);
        self.total.add(&into);
        self.tree.convert(leaf, &from, &into);
    }

    fn allocate(&mut self, now: Time, offers: &mut Vec<Allocation>) {
        self.run_cycle(now, offers);
    }

    fn next_deadline(&self) -> Option<Time> {
        if self.candidates.are_any(&self.agents) && self.tree.is_anyone_wanting() {
            Some(Time::ZERO)
        } else {
            self.filters.next_expiry()
        }
    }

    fn shares(&self) -> Vec<RoleShare> {
        self.tree.roles().iter().map(|view| self.role_share(view)).collect()
    }

    fn explain(&self, now: Time, framework: &FrameworkId, role: &Role, wanted: &Quantities) -> Explanation {
        self.why_not(now, framework, role, wanted)
    }
}
