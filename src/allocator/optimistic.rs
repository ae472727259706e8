//! Optimistic offers: the same resources to several frameworks at once; the first that accepts gets them.
//!
//! An offer to a role whose [`OfferMode`] is optimistic takes nothing away from anyone: its resources stay free, so that they
//! can be offered to others too, and count for nobody's share. A framework that accepts *claims* what it uses. A claim holds
//! when all of it is still free and within what the role may have now, as limits and others' guarantees are; otherwise it is
//! told what is gone, and is offered what is left. So a framework that takes long to decide keeps nothing from others: this
//! is the shared state of Omega (Schwarzkopf et al., EuroSys 2013), one role at a time. What an exclusive role is offered is
//! its own as before, also when it is in optimistic offers that are out already.
//!
//! A framework is not offered again what it has not answered yet.

use rustc_hash::{FxHashMap, FxHashSet};

use super::agents::{Agent, AgentSlot};
use super::cycle::visible;
use super::tree::{Leaf, Member};
use super::{Allocation, DrfAllocator};
use crate::protocol::{AgentId, OfferMode};
use crate::resources::{Quantities, Resources, Role};

/// Why a claim does not hold: others were faster, or the role's quota has been used up elsewhere.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{gone} of agent {agent} is gone")]
pub struct ClaimError {
    /// Where.
    pub agent: AgentId,
    /// What of the claim can't be had any more.
    pub gone: Resources,
}

/// Which roles are offered resources optimistically, and which such offers are out.
#[derive(Debug, Default)]
pub(super) struct Optimistic {
    roles: FxHashSet<Role>,
    out: FxHashMap<AgentSlot, Vec<(Leaf, Resources)>>,
}

impl Optimistic {
    pub(super) fn mode(&self, role: &Role) -> OfferMode {
        if self.roles.contains(role) { OfferMode::Optimistic } else { OfferMode::Exclusive }
    }

    /// Whether no optimistic offer of this agent is out.
    pub(super) fn none_at(&self, agent: AgentSlot) -> bool {
        self.out.is_empty() || !self.out.contains_key(&agent)
    }

    /// What a leaf was offered of an agent and has not answered yet.
    pub(super) fn out_to(&self, agent: AgentSlot, leaf: Leaf) -> Option<&Resources> {
        self.out.get(&agent)?.iter().find(|(holder, _)| *holder == leaf).map(|(_, out)| out)
    }

    pub(super) fn offered(&mut self, agent: AgentSlot, leaf: Leaf, resources: &Resources) {
        let here = self.out.entry(agent).or_default();
        match here.iter_mut().find(|(holder, _)| *holder == leaf) {
            Some((_, out)) => *out += resources,
            None => here.push((leaf, resources.clone())),
        }
    }

    /// A leaf has answered what it was offered, or part of it.
    fn answered(&mut self, agent: AgentSlot, leaf: Leaf, resources: &Resources) {
        let Some(here) = self.out.get_mut(&agent) else { return };
        if let Some((_, out)) = here.iter_mut().find(|(holder, _)| *holder == leaf) {
            *out = out.minus_clamped(resources);
        }
        here.retain(|(_, out)| !out.is_empty());
        if here.is_empty() {
            self.out.remove(&agent);
        }
    }

    /// The leaf is gone, and can become another's.
    pub(super) fn forget_leaf(&mut self, leaf: Leaf) {
        self.out.retain(|_, here| {
            here.retain(|(holder, _)| *holder != leaf);
            !here.is_empty()
        });
    }

    /// The agent is gone. Returns what was out.
    pub(super) fn forget_agent(&mut self, agent: AgentSlot) -> Vec<(Leaf, Resources)> {
        self.out.remove(&agent).unwrap_or_default()
    }

    /// Everything that is out.
    pub(super) fn iter(&self) -> impl Iterator<Item = (AgentSlot, Leaf)> {
        self.out.iter().flat_map(|(agent, here)| here.iter().map(|(leaf, _)| (*agent, *leaf)))
    }
}

impl DrfAllocator {
    pub(super) fn change_offer_mode(&mut self, role: &Role, mode: OfferMode) {
        let changed = match mode {
            OfferMode::Exclusive => self.optimistic.roles.remove(role),
            OfferMode::Optimistic => self.optimistic.roles.insert(role.clone()),
        };
        if changed {
            let leaves = self.frameworks.memberships().filter(|(_, membership)| membership.role == *role);
            for (_, membership) in leaves {
                self.tree.set_offer_mode(membership.leaf, mode);
            }
            self.waiting.add_all();
        }
    }

    /// What a framework can be offered optimistically of an agent, besides what it has not answered yet.
    pub(super) fn optimistic_part(
        &self,
        slot: AgentSlot,
        agent: &Agent,
        leaf: Leaf,
        member: &Member,
    ) -> Resources {
        let part = self.claimable(slot, agent, leaf, member);
        match self.optimistic.out_to(slot, leaf) {
            Some(out) => part.minus_clamped(out),
            None => part,
        }
    }

    /// What a leaf would get of an agent if it accepted all that is free now. What guarantees of others leave, and what its
    /// own role lacks of its guarantee.
    fn claimable(&self, slot: AgentSlot, agent: &Agent, leaf: Leaf, member: &Member) -> Resources {
        let visible = self.without_earmarked(slot, leaf, visible(agent.available(), member, None));
        self.permitted(leaf, visible, &Quantities::new(), || self.within_reach(leaf))
    }

    /// Allocates part of an optimistic offer, if all of it can still be had.
    pub(super) fn claim_offered(&mut self, claim: &Allocation) -> Result<(), ClaimError> {
        let Allocation { framework, role, agent: id, resources } = claim;
        let all_gone = || ClaimError { agent: id.clone(), gone: resources.clone() };
        let slot = self.agents.slot(id).ok_or_else(all_gone)?;
        let leaf = self.leaf(framework, role).ok_or_else(all_gone)?;
        let (Some(agent), Some(member)) = (self.agents.get(slot), self.tree.member(leaf)) else {
            return Err(all_gone());
        };
        let claimable = self.claimable(slot, agent, leaf, member);
        // What is shared is there for everyone who asks, however often.
        let is_there = |resource: &&_| claimable.iter().any(|free| free == *resource);
        let shared = resources.iter().filter(|resource| resource.is_shared() && !is_there(resource));
        let mut gone = resources.unshared().minus_clamped(&claimable);
        gone.extend(shared.cloned());
        if !gone.is_empty() {
            return Err(ClaimError { agent: id.clone(), gone });
        }
        self.optimistic.answered(slot, leaf, resources);
        self.note_used(claim);
        // What is claimed towards a guarantee need not be kept back any more, so that there may be room for others.
        if self.do_quotas_bind() {
            self.waiting.add_all();
        }
        Ok(())
    }

    /// An optimistic offer, or what was not claimed of it, comes back: its framework can be offered it again.
    pub(super) fn take_back_offered(&mut self, slot: AgentSlot, leaf: Leaf, resources: &Resources) {
        self.optimistic.answered(slot, leaf, resources);
        self.take_back(leaf, resources);
        self.agent_freed(slot);
    }
}
