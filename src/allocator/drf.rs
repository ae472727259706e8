//! Hierarchical dominant-resource fairness, driven by what changed.

use std::collections::BTreeSet;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::filters::Filters;
use super::tree::{Name, RoleTree};
use super::{Allocation, Allocator, RoleShare};
use crate::protocol::framework::MAX_REFUSE;
use crate::protocol::{AgentId, Attributes, Explanation, FrameworkId, Weight};
use crate::resources::{Kind, Quantities, Resources, Role, Scalar};
use crate::time::Time;

/// What can be set about a [`DrfAllocator`].
#[derive(Clone, Debug, PartialEq)]
pub struct DrfOptions {
    /// Less than this is not offered: one of these amounts suffices. Mesos' default: 0.01 cpus or 32 MiB.
    pub min_allocatable: Vec<Quantities>,
}

impl Default for DrfOptions {
    fn default() -> Self {
        let small = Resources::cpus_mem(10, 0).quantities();
        let memory = Resources::cpus_mem(0, 32).quantities();
        DrfOptions { min_allocatable: vec![small, memory] }
    }
}

/// Offers an agent's free resources to the framework that is furthest below its fair share of the cluster.
///
/// Semantics are those of Mesos' hierarchical allocator: the role with the lowest weighted dominant share is served first,
/// then its child or framework with the lowest, and so on; among equals the one with fewer allocations, then by name. A
/// framework gets all that is free on the agent for its role. Only agents that changed are looked at.
#[derive(Debug, Default)]
pub struct DrfAllocator {
    options: DrfOptions,
    pub(super) agents: Vec<Agent>,
    agent_slots: FxHashMap<AgentId, usize>,
    pub(super) frameworks: Vec<Framework>,
    framework_slots: FxHashMap<FrameworkId, usize>,
    pub(super) tree: RoleTree,
    pub(super) filters: Filters,
    /// All scalars of the cluster; what shares are of.
    pub(super) total: Quantities,
    /// Agents to look at, in the order of their slots.
    candidates: BTreeSet<usize>,
}

#[derive(Debug)]
pub(super) struct Agent {
    id: AgentId,
    pub(super) total: Resources,
    pub(super) available: Resources,
    pub(super) active: bool,
    pub(super) gone: bool,
}

#[derive(Debug)]
pub(super) struct Framework {
    pub(super) id: FrameworkId,
    pub(super) active: bool,
    gone: bool,
    pub(super) roles: Vec<FrameworkRole>,
}

/// A framework's place in one of its roles.
#[derive(Debug)]
pub(super) struct FrameworkRole {
    pub(super) role: Role,
    /// Its leaf in the tree.
    leaf: usize,
    /// The role's node in the tree.
    pub(super) node: usize,
    pub(super) suppressed: bool,
    /// The framework has left the role; what it has there is still counted.
    left: bool,
}

/// The amounts that shares are of. Mesos counts scalars only: ports are not shared fairly.
fn scalars(resources: &Resources) -> Quantities {
    let mut quantities = resources.quantities();
    quantities.set(&Kind::Ports, Scalar::ZERO);
    quantities
}

impl DrfAllocator {
    /// An allocator of an empty cluster.
    pub fn new(options: DrfOptions) -> Self {
        DrfAllocator { options, ..DrfAllocator::default() }
    }

    /// Checks what must always hold: on every agent, what is allocated and what is available are all that it has.
    ///
    /// # Errors
    /// What does not hold, for people.
    pub fn check_invariants(&self) -> Result<(), String> {
        let mut cluster = Quantities::new();
        for agent in self.agents.iter().filter(|agent| !agent.gone) {
            if !agent.total.contains(&agent.available) {
                return Err(format!("agent {}: {} available of {}", agent.id, agent.available, agent.total));
            }
            cluster.add(&scalars(&agent.total));
        }
        if cluster != self.total {
            return Err(format!("the cluster's total is {cluster}, not {}", self.total));
        }
        let mut free = Quantities::new();
        for agent in self.agents.iter().filter(|agent| !agent.gone) {
            free.add(&scalars(&agent.available));
        }
        let mut allocated = Quantities::new();
        for (role, node) in self.tree.roles() {
            if role.parent().is_none() {
                allocated.add(&node.allocated);
            }
        }
        free.add(&allocated);
        if free != self.total {
            return Err(format!("free and allocated are {free} together, of {}", self.total));
        }
        Ok(())
    }

    pub(super) fn agent_slot(&self, id: &AgentId) -> Option<usize> {
        self.agent_slots.get(id).copied()
    }

    pub(super) fn framework_slot(&self, id: &FrameworkId) -> Option<usize> {
        self.framework_slots.get(id).copied()
    }

    fn leaf(&self, framework: &FrameworkId, role: &Role) -> Option<usize> {
        let framework = &self.frameworks[self.framework_slot(framework)?];
        framework.roles.iter().find(|entry| entry.role == *role).map(|entry| entry.leaf)
    }

    /// The framework's leaf in a role, made when it has none: its tasks may be of a role that it has left.
    fn leaf_or_left(&mut self, framework: &FrameworkId, role: &Role) -> Option<usize> {
        if let Some(leaf) = self.leaf(framework, role) {
            return Some(leaf);
        }
        let slot = self.framework_slot(framework)?;
        let entry = self.join(slot, role, true);
        let leaf = entry.leaf;
        self.frameworks[slot].roles.push(entry);
        Some(leaf)
    }

    fn join(&mut self, slot: usize, role: &Role, left: bool) -> FrameworkRole {
        let node = self.tree.role(role);
        let leaf = self.tree.add_leaf(node, self.frameworks[slot].id.clone(), slot);
        FrameworkRole { role: role.clone(), leaf, node, suppressed: false, left }
    }

    /// Brings the tree up to date with whether the framework wants offers.
    fn refresh_wants(&mut self, slot: usize) {
        let framework = &self.frameworks[slot];
        for entry in &framework.roles {
            if let Some(leaf) = self.tree.get_mut(entry.leaf) {
                leaf.wants = framework.active && !entry.suppressed && !entry.left;
            }
        }
    }

    fn all_agents_are_candidates(&mut self) {
        let free = |agent: &Agent| !agent.gone && agent.active && !agent.available.is_empty();
        self.candidates.extend((0..self.agents.len()).filter(|slot| free(&self.agents[*slot])));
    }

    fn set_suppressed(&mut self, framework: &FrameworkId, roles: &[Role], suppressed: bool) -> Option<usize> {
        let slot = self.framework_slot(framework)?;
        for entry in &mut self.frameworks[slot].roles {
            if roles.is_empty() || roles.contains(&entry.role) {
                entry.suppressed = suppressed;
            }
        }
        self.refresh_wants(slot);
        Some(slot)
    }

    fn is_allocatable(&self, resources: &Resources) -> bool {
        let amounts = resources.quantities();
        self.options.min_allocatable.is_empty()
            || self.options.min_allocatable.iter().any(|least| amounts.contains(least))
    }

    /// Takes an allocation that exists already off what is available.
    fn note_used(&mut self, allocation: &Allocation) {
        let Some(slot) = self.agent_slot(&allocation.agent) else { return };
        let Some(leaf) = self.leaf_or_left(&allocation.framework, &allocation.role) else { return };
        // An agent that has less than what is in use on it offers nothing until enough has ended.
        if self.agents[slot].available.try_subtract(&allocation.resources).is_ok() {
            self.tree.add(leaf, &scalars(&allocation.resources), true);
        }
    }

    /// Offers what is free on an agent, role by role, until nobody takes any.
    fn allocate_agent(&mut self, slot: usize, offers: &mut Vec<Allocation>) {
        loop {
            let agent = &self.agents[slot];
            if agent.gone || !agent.active || agent.available.is_empty() {
                return;
            }
            let mut found = None;
            self.tree.find(&self.total, |node| {
                let Name::Framework(_, framework) = &node.name else { return false };
                let entry = self.frameworks[*framework]
                    .roles
                    .iter()
                    .find(|entry| self.tree.get(entry.leaf).is_some_and(|leaf| std::ptr::eq(leaf, node)));
                let Some(entry) = entry else { return false };
                let offered = agent.available.allocatable_to(&entry.role);
                let key = (*framework, entry.node, slot);
                if !self.is_allocatable(&offered) || self.filters.hides(key, &offered) {
                    return false;
                }
                found = Some((*framework, entry.role.clone(), entry.leaf, offered));
                true
            });
            let Some((framework, role, leaf, resources)) = found else { return };
            let agent = &mut self.agents[slot];
            if agent.available.try_subtract(&resources).is_err() {
                return;
            }
            self.tree.add(leaf, &scalars(&resources), true);
            let framework = self.frameworks[framework].id.clone();
            offers.push(Allocation { framework, role, agent: agent.id.clone(), resources });
        }
    }
}

impl Allocator for DrfAllocator {
    fn add_agent(&mut self, id: &AgentId, _attributes: &Attributes, total: &Resources, used: &[Allocation]) {
        self.remove_agent(id);
        let slot = self.agents.len();
        self.agents.push(Agent {
            id: id.clone(),
            total: total.clone(),
            available: total.clone(),
            active: true,
            gone: false,
        });
        self.agent_slots.insert(id.clone(), slot);
        self.total.add(&scalars(total));
        for allocation in used {
            self.note_used(allocation);
        }
        self.candidates.insert(slot);
    }

    fn update_agent(&mut self, id: &AgentId, total: &Resources) {
        let Some(slot) = self.agent_slot(id) else { return };
        let agent = &mut self.agents[slot];
        // What is in use of kinds that the agent has lost is recovered later, into nothing.
        let used = agent.total.checked_sub(&agent.available).unwrap_or_default();
        self.total = self.total.minus_clamped(&scalars(&agent.total));
        self.total.add(&scalars(total));
        agent.available = total.checked_sub(&used).unwrap_or_default();
        agent.total = total.clone();
        self.candidates.insert(slot);
    }

    fn remove_agent(&mut self, id: &AgentId) {
        let Some(slot) = self.agent_slots.remove(id) else { return };
        let agent = &mut self.agents[slot];
        agent.gone = true;
        self.total = self.total.minus_clamped(&scalars(&agent.total));
        self.filters.clear(|key| key.2 == slot);
        self.candidates.remove(&slot);
    }

    fn set_agent_active(&mut self, id: &AgentId, active: bool) {
        let Some(slot) = self.agent_slot(id) else { return };
        self.agents[slot].active = active;
        if active {
            self.candidates.insert(slot);
        }
    }

    fn add_framework(&mut self, id: &FrameworkId, roles: &[Role], suppressed: &[Role]) {
        if self.framework_slot(id).is_some() {
            return self.update_framework(id, roles, suppressed);
        }
        let slot = self.frameworks.len();
        self.frameworks.push(Framework { id: id.clone(), active: true, gone: false, roles: Vec::new() });
        self.framework_slots.insert(id.clone(), slot);
        self.update_framework(id, roles, suppressed);
    }

    fn update_framework(&mut self, id: &FrameworkId, roles: &[Role], suppressed: &[Role]) {
        let Some(slot) = self.framework_slot(id) else { return };
        for role in roles {
            if !self.frameworks[slot].roles.iter().any(|entry| entry.role == *role) {
                let entry = self.join(slot, role, false);
                self.frameworks[slot].roles.push(entry);
            }
        }
        for entry in &mut self.frameworks[slot].roles {
            entry.left = !roles.contains(&entry.role);
            entry.suppressed = suppressed.contains(&entry.role);
        }
        self.refresh_wants(slot);
        self.all_agents_are_candidates();
    }

    fn remove_framework(&mut self, id: &FrameworkId) {
        let Some(slot) = self.framework_slots.remove(id) else { return };
        let framework = &mut self.frameworks[slot];
        (framework.active, framework.gone) = (false, true);
        for entry in std::mem::take(&mut framework.roles) {
            self.tree.remove_leaf(entry.leaf);
        }
        self.filters.clear(|key| key.0 == slot);
    }

    fn set_framework_active(&mut self, id: &FrameworkId, active: bool) {
        let Some(slot) = self.framework_slot(id) else { return };
        self.frameworks[slot].active = active;
        self.refresh_wants(slot);
        if active {
            self.all_agents_are_candidates();
        } else {
            self.filters.clear(|key| key.0 == slot);
        }
    }

    fn suppress(&mut self, framework: &FrameworkId, roles: &[Role]) {
        self.set_suppressed(framework, roles, true);
    }

    fn revive(&mut self, framework: &FrameworkId, roles: &[Role]) {
        let Some(slot) = self.set_suppressed(framework, roles, false) else { return };
        let nodes: Vec<usize> = self.frameworks[slot]
            .roles
            .iter()
            .filter(|entry| roles.is_empty() || roles.contains(&entry.role))
            .map(|entry| entry.node)
            .collect();
        self.filters.clear(|key| key.0 == slot && nodes.contains(&key.1));
        self.all_agents_are_candidates();
    }

    fn set_weight(&mut self, role: &Role, weight: Weight) {
        let place = self.tree.role(role);
        if let Some(node) = self.tree.get_mut(place) {
            node.weight = weight;
        }
        self.all_agents_are_candidates();
    }

    fn add_allocation(&mut self, allocation: &Allocation) {
        self.note_used(allocation);
    }

    fn recover(&mut self, now: Time, allocation: &Allocation, refuse: Option<Duration>) {
        let Some(leaf) = self.leaf(&allocation.framework, &allocation.role) else { return };
        self.tree.subtract(leaf, &scalars(&allocation.resources));
        let Some(slot) = self.agent_slot(&allocation.agent) else { return };
        let agent = &mut self.agents[slot];
        agent.available += &allocation.resources;
        // The agent may have less than before: no more than its total is available.
        if !agent.total.contains(&agent.available) {
            agent.available.try_subtract(&allocation.resources).unwrap_or_default();
        }
        self.candidates.insert(slot);
        if let Some(refuse) = refuse.filter(|refuse| !refuse.is_zero())
            && let Some(framework) = self.framework_slot(&allocation.framework)
        {
            let node = self.tree.role(&allocation.role);
            let key = (framework, node, slot);
            self.filters.refuse(now, key, allocation.resources.clone(), refuse.min(MAX_REFUSE));
        }
    }

    fn convert(&mut self, allocation: &Allocation, into: &Resources) {
        let Some(slot) = self.agent_slot(&allocation.agent) else { return };
        let agent = &mut self.agents[slot];
        if agent.total.try_subtract(&allocation.resources).is_ok() {
            agent.total += into;
        }
    }

    fn allocate(&mut self, now: Time, offers: &mut Vec<Allocation>) {
        let expired = self.filters.expire(now);
        self.candidates.extend(expired);
        for slot in std::mem::take(&mut self.candidates) {
            self.allocate_agent(slot, offers);
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        if self.candidates.is_empty() { self.filters.next_expiry() } else { Some(Time::ZERO) }
    }

    fn shares(&self) -> Vec<RoleShare> {
        let share = |(role, node): (&Role, &super::tree::Node)| {
            let share = node.allocated.dominant_share(&self.total);
            let of = |kind: &Kind, amount| (kind.clone(), Quantities::from_iter([(kind.clone(), amount)]));
            let dominant = node
                .allocated
                .iter()
                .map(|(kind, amount)| of(kind, amount))
                .find(|(_, alone)| alone.dominant_share(&self.total) == share);
            RoleShare {
                role: role.clone(),
                weight: node.weight,
                allocated: node.allocated.clone(),
                share,
                dominant: dominant.map(|(kind, _)| kind),
                frameworks: self.tree.frameworks_in(node),
            }
        };
        self.tree.roles().into_iter().map(share).collect()
    }

    fn explain(&self, now: Time, framework: &FrameworkId, role: &Role, wanted: &Quantities) -> Explanation {
        self.why_not(now, framework, role, wanted)
    }
}
