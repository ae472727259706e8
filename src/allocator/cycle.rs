//! The allocation cycle: what is free on the agents that changed goes to whoever is furthest below its fair share.

use std::borrow::Cow;

use super::agents::{Agent, AgentSlot, Agents, Measured};
use super::slots::SlotSet;
use super::tree::Leaf;
use super::{Allocation, DrfAllocator};
use crate::resources::{Quantities, Resources, Role};
use crate::time::Time;

/// Which agents to look at in the next cycle.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    /// Something changed for everyone.
    all: bool,
    some: SlotSet,
}

impl Candidates {
    pub(super) fn add(&mut self, agent: AgentSlot) {
        self.some.insert(agent);
    }

    pub(super) fn add_all(&mut self) {
        self.all = true;
    }

    /// Whether any agent that has something to offer is to be looked at.
    pub(super) fn are_any(&self, agents: &Agents) -> bool {
        let offers = |slot: &AgentSlot| agents.get(*slot).is_some_and(Agent::can_offer);
        if self.all { !agents.offering().is_empty() } else { self.some.members().iter().any(offers) }
    }

    /// Those that have something to offer, in the order in which they joined; there are none then.
    fn take(&mut self, agents: &Agents) -> Vec<AgentSlot> {
        let slots = if self.all { agents.offering().members() } else { self.some.members() };
        let joined = |slot: &AgentSlot| {
            agents.get(*slot).filter(|agent| agent.can_offer()).map(|agent| (agent.joined, *slot))
        };
        let mut taken: Vec<_> = slots.iter().filter_map(joined).collect();
        taken.sort_unstable();
        self.all = false;
        self.some.clear();
        taken.into_iter().map(|(_, slot)| slot).collect()
    }
}

impl DrfAllocator {
    /// Looks at each candidate once. Those that nobody took from are candidates again when something changes.
    pub(super) fn run_cycle(&mut self, now: Time, offers: &mut Vec<Allocation>) {
        self.filters.expire(now, |agent| self.candidates.add(agent));
        let candidates = self.candidates.take(&self.agents);
        if candidates.is_empty() {
            return;
        }
        self.tree.rank_for(&self.total);
        for agent in candidates {
            while let Some(offer) = self.offer(agent) {
                offers.push(offer);
            }
        }
    }

    /// Gives what is free on an agent to the first who can have any of it: all that its role can have.
    fn offer(&mut self, slot: AgentSlot) -> Option<Allocation> {
        let agent = self.agents.get(slot).filter(|agent| agent.can_offer())?;
        let leaf = self.taker(slot, agent)?;
        let (framework, role) = self.tree.member(leaf)?;
        let framework = self.frameworks.get_mut(framework)?;
        let part = match for_role(agent, role) {
            Cow::Borrowed(_) => None,
            Cow::Owned(part) => Some(Measured::from(part)),
        };
        let id = agent.id.clone();
        let (taken, is_new) = self.agents.change(slot, |agent| match part {
            None => agent.take_all(leaf),
            Some(part) => {
                let is_new = agent.take(leaf, &part.resources);
                (part, is_new)
            }
        })?;
        let name = framework.id.clone();
        let membership = framework.membership_at(leaf)?;
        membership.held_on += usize::from(is_new);
        self.tree.add(leaf, &taken.scalars);
        let role = membership.role.clone();
        Some(Allocation { framework: name, role, agent: id, resources: taken.resources })
    }

    fn taker(&self, slot: AgentSlot, agent: &Agent) -> Option<Leaf> {
        let free = agent.available();
        if !self.is_allocatable(&free.amounts) {
            return None;
        }
        if !free.has_reserved && self.filters.none_at(slot) {
            return self.tree.first(|_| true);
        }
        self.tree.first(|leaf| {
            self.tree.member(leaf).is_some_and(|(_, role)| {
                let offered = for_role(agent, role);
                let enough = match &offered {
                    Cow::Borrowed(_) => true,
                    Cow::Owned(part) => self.is_allocatable(&part.quantities()),
                };
                enough && self.filters.hidden_until(slot, leaf, &offered).is_none()
            })
        })
    }

    /// Whether it is enough to be worth an offer.
    fn is_allocatable(&self, amounts: &Quantities) -> bool {
        let least = &self.options.min_allocatable;
        least.is_empty() || least.iter().any(|least| amounts.contains(least))
    }
}

/// What a role can have of what is free on an agent; borrowed when it is all.
pub(super) fn for_role<'a>(agent: &'a Agent, role: &Role) -> Cow<'a, Resources> {
    let free = agent.available();
    if free.has_reserved {
        Cow::Owned(free.resources.allocatable_to(role))
    } else {
        Cow::Borrowed(&free.resources)
    }
}
