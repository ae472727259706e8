//! Hierarchical dominant-resource fairness, driven by what changed.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::agents::{Agent, AgentSlot, Agents, Amounts, Measured};
use super::candidates::{Batches, Candidates};
use super::demand::Demand;
use super::filters::Filters;
use super::frameworks::Frameworks;
use super::gangs::{Gangs, OfferSet};
use super::maintenance::{InverseOffer, Maintenance};
use super::optimistic::{ClaimError, Optimistic};
use super::options::DrfOptions;
use super::preemption::{Deprived, Earmarks, Preemption, RunningTask};
use super::profile::needed_of;
use super::quota::check_quota;
use super::random::Random;
use super::tree::{Leaf, RoleTree, RoleView};
use super::{
    AgentProfile, Allocation, Allocator, DemandGroup, FrameworkProfile, Quota, QuotaError, RoleShare,
    Unavailability,
};
use crate::protocol::framework::MAX_REFUSE;
use crate::protocol::{AgentId, Explanation, FrameworkId, OfferMode, Waiting, Weight};
use crate::resources::{Kind, Quantities, Resources, Role, Scalar, Share};
use crate::time::Time;

/// Offers an agent's free resources to the framework that is furthest below its fair share of the cluster.
///
/// Semantics are those of Mesos' hierarchical allocator: the role with the lowest weighted dominant share is served first,
/// then its child or framework with the lowest, and so on; among equals the one with fewer allocations, then by name. The
/// frameworks of a role that has child roles too compete with these as one. A framework gets all that is free on the
/// agent for its role, as far as quotas allow; roles whose guarantee is not met come before all others. Only agents that
/// changed are looked at.
///
/// ```
/// use apportion::allocator::{AgentProfile, Allocator, DrfAllocator, DrfOptions, FrameworkProfile};
/// use apportion::protocol::{AgentId, FrameworkId};
/// use apportion::resources::Resources;
/// use apportion::time::Time;
///
/// let mut allocator = DrfAllocator::new(DrfOptions::default());
/// let resources = Resources::cpus_mem(4000, 1024);
/// allocator.add_agent(&AgentId::new("agent1")?, &AgentProfile::default(), &resources, &[]);
/// allocator.add_framework(&FrameworkId::new("batch")?, &FrameworkProfile::new(&["eng".parse()?]));
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
    pub(super) optimistic: Optimistic,
    pub(super) earmarks: Earmarks,
    pub(super) deprived: Deprived,
    /// Agents to look at in the next cycle.
    pub(super) urgent: Candidates,
    /// Agents to look at in the next batch.
    pub(super) waiting: Candidates,
    pub(super) batches: Batches,
    pub(super) maintenance: Maintenance,
    pub(super) gangs: Gangs,
    /// What is waited for, as a cycle lists it; used again by the next.
    pub(super) demanded: Vec<Quantities>,
    /// Since all agents were looked at last, someone could not have something because of a limit or others' guarantees. As long as
    /// that is not so, whatever becomes free makes no difference for agents that nobody wanted. Noted while only looking: atomic,
    /// so that the allocator can be shared.
    pub(super) quotas_bind: AtomicBool,
    pub(super) paused: bool,
    /// Shuffles agents, when that is wanted.
    pub(super) agent_order: Option<Random>,
    /// Shuffles roles and frameworks, when that is wanted.
    pub(super) role_order: Option<Random>,
    /// All scalars of the cluster.
    pub(super) total: Quantities,
    /// Those of which quotas are charged when they are allocated: neither reserved nor revocable.
    pub(super) chargeable: Quantities,
    allow_list: Option<BTreeSet<String>>,
    /// The master's region.
    region: Option<String>,
}

impl DrfAllocator {
    /// An allocator of an empty cluster.
    #[must_use]
    pub fn new(options: DrfOptions) -> Self {
        DrfAllocator {
            batches: Batches::every(options.allocation_interval),
            agent_order: options.shuffle_agents.map(Random::new),
            role_order: options.sorter.seed().map(Random::new),
            region: options.region.clone(),
            tree: RoleTree::new(options.ties),
            options,
            ..DrfAllocator::default()
        }
    }

    /// What shares are of.
    pub(super) fn share_total(&self) -> Cow<'_, Quantities> {
        if self.options.fairness_excluded.is_empty() {
            return Cow::Borrowed(&self.total);
        }
        let mut total = self.total.clone();
        for kind in &self.options.fairness_excluded {
            total.set(kind, Scalar::ZERO);
        }
        Cow::Owned(total)
    }

    /// A framework's dominant share in a role, not divided by a weight; `None` when it is not in the role.
    pub fn framework_share(&self, framework: &FrameworkId, role: &Role) -> Option<Share> {
        let leaf = self.leaf(framework, role)?;
        Some(self.tree.allocated(leaf).dominant_share(&self.share_total()))
    }

    /// What is free on an agent; `None` when there is no such agent.
    pub fn available(&self, agent: &AgentId) -> Option<Resources> {
        Some(self.agents.get(self.agents.slot(agent)?)?.available().resources.clone())
    }

    /// Something happened to an agent that does not wait for the next batch.
    fn agent_changed(&mut self, slot: AgentSlot) {
        if self.options.allocate_on_events && !self.paused {
            self.urgent.add(slot);
        }
        self.agent_freed(slot);
    }

    /// Something happened that concerns all agents and does not wait for the next batch.
    fn all_changed(&mut self) {
        if self.options.allocate_on_events && !self.paused {
            self.urgent.add_all();
        }
        self.waiting.add_all();
        self.deprived.outdate();
    }

    /// An agent has more to offer. Where quotas bind, that can make room for offers of others.
    pub(super) fn agent_freed(&mut self, slot: AgentSlot) {
        self.waiting.add(slot);
        if self.do_quotas_bind() {
            self.waiting.add_all();
        }
    }

    /// Counts an agent's total in, or out, for shares and quotas.
    fn count(&mut self, total: &Measured, is_in: bool) {
        let amounts = Amounts::of(&total.resources);
        if is_in {
            self.total.add(&amounts.scalars);
            self.chargeable.add(&amounts.charged());
        } else {
            self.total.subtract_clamped(&amounts.scalars);
            self.chargeable.subtract_clamped(&amounts.charged());
        }
        if total.is_plain {
            return;
        }
        for (role, amounts) in total.reserved() {
            if is_in {
                self.tree.add_reserved(role, &amounts);
            } else {
                self.tree.subtract_reserved(role, &amounts);
            }
        }
    }

    /// Changes an agent's total.
    fn change_total<T>(&mut self, slot: AgentSlot, change: impl FnOnce(&mut Agent) -> T) -> Option<T> {
        let before = self.agents.get(slot)?.total().clone();
        let changed = self.agents.change(slot, change);
        let after = self.agents.get(slot)?.total().clone();
        // In this order, so that roles that are in both are not forgotten between.
        self.count(&after, true);
        self.count(&before, false);
        changed
    }

    fn set_profile(&mut self, slot: AgentSlot, profile: &AgentProfile) {
        let region = profile.domain.as_ref().map(|domain| &domain.region);
        if self.region.is_none() {
            self.region = region.cloned();
        }
        let is_remote = region.is_some_and(|region| self.region.as_ref() != Some(region));
        let is_allowed = self.allow_list.as_ref().is_none_or(|list| list.contains(&profile.hostname));
        self.agents.change(slot, |agent| {
            agent.needed = needed_of(&agent.total().resources, is_remote);
            agent.allowed = is_allowed;
            agent.profile = profile.clone();
        });
    }

    fn note_refused(
        &mut self,
        now: Time,
        slot: AgentSlot,
        leaf: Leaf,
        resources: &Resources,
        refuse: Option<Duration>,
    ) {
        if let Some(refuse) = refuse.filter(|refuse| !refuse.is_zero()) {
            let until = self.batches.hidden_until(now, refuse.min(MAX_REFUSE));
            self.filters.refuse(slot, leaf, resources, until);
        }
    }

    fn role_share(&self, view: &RoleView<'_>) -> RoleShare {
        let share = view.allocated.dominant_share(&self.share_total());
        let alone = |kind: &Kind, amount| Quantities::from_iter([(kind.clone(), amount)]);
        let is_dominant =
            |(kind, amount): &(&Kind, _)| alone(kind, *amount).dominant_share(&self.share_total()) == share;
        RoleShare {
            role: view.role.clone(),
            weight: view.weight,
            quota: view.quota.clone(),
            offers: self.optimistic.mode(view.role),
            allocated: view.allocated.clone(),
            share,
            dominant: view.allocated.iter().find(is_dominant).map(|(kind, _)| kind.clone()),
            frameworks: view.frameworks,
        }
    }
}

impl Allocator for DrfAllocator {
    fn add_agent(&mut self, id: &AgentId, profile: &AgentProfile, total: &Resources, used: &[Allocation]) {
        self.remove_agent(id);
        let slot = self.agents.insert(id, total.clone());
        self.set_profile(slot, profile);
        self.count(&Measured::from(total.clone()), true);
        for allocation in used {
            if allocation.agent == *id {
                self.note_used(allocation);
            } else {
                tracing::warn!(agent = %id, other = %allocation.agent, "in use on another agent than the one added");
            }
        }
        self.agent_changed(slot);
    }

    fn update_agent(&mut self, id: &AgentId, total: &Resources) {
        let Some(slot) = self.agents.slot(id) else { return };
        self.let_go_of(slot);
        self.change_total(slot, |agent| agent.set_total(total.clone()));
        let profile = self.agents.get(slot).map(|agent| agent.profile.clone()).unwrap_or_default();
        self.set_profile(slot, &profile);
        self.agent_changed(slot);
    }

    fn update_agent_profile(&mut self, id: &AgentId, profile: &AgentProfile) {
        let Some(slot) = self.agents.slot(id) else { return };
        if self.agents.get(slot).is_some_and(|agent| agent.profile != *profile) {
            self.let_go_of(slot);
            self.set_profile(slot, profile);
            self.filters.clear_agent(slot);
            self.agent_changed(slot);
        }
    }

    fn remove_agent(&mut self, id: &AgentId) {
        if let Some(slot) = self.agents.slot(id) {
            self.let_go_of(slot);
        }
        let Some((slot, mut agent)) = self.agents.remove(id) else { return };
        self.filters.clear_agent(slot);
        self.maintenance.set(slot, None);
        self.count(agent.total(), false);
        for (leaf, held) in agent.allocated().to_vec() {
            if let Some(change) = agent.release(leaf, &held) {
                self.tree.subtract(leaf, &change);
            }
            self.take_back(leaf, &held);
            self.note_emptied(leaf);
        }
        self.earmarks.forget_agent(slot);
        for (leaf, out) in self.optimistic.forget_agent(slot) {
            self.take_back(leaf, &out);
        }
        self.agent_freed(slot);
    }

    fn set_agent_active(&mut self, id: &AgentId, active: bool) {
        let Some(slot) = self.agents.slot(id) else { return };
        self.let_go_of(slot);
        self.agents.change(slot, |agent| agent.active = active);
        self.agent_freed(slot);
    }

    fn add_framework(&mut self, id: &FrameworkId, profile: &FrameworkProfile) {
        let slot = self.frameworks.slot_or_new(id);
        if let Some(framework) = self.frameworks.get_mut(slot) {
            framework.active = true;
        }
        self.update_framework(id, profile);
        self.all_changed();
    }

    fn update_framework(&mut self, id: &FrameworkId, profile: &FrameworkProfile) {
        let Some(slot) = self.frameworks.slot(id) else { return };
        self.end_turn_of(slot);
        for role in &profile.roles {
            if self.leaf(id, role).is_none() {
                self.join(slot, role, false);
            }
        }
        if let Some(framework) = self.frameworks.get_mut(slot) {
            for membership in &mut framework.memberships {
                membership.left = !profile.roles.contains(&membership.role);
                membership.suppressed = profile.suppressed.contains(&membership.role);
                self.tree.set_profile(membership.leaf, profile);
            }
            framework.tell_wants(&mut self.tree);
        }
        self.forget_left(slot);
        self.waiting.add_all();
    }

    fn remove_framework(&mut self, id: &FrameworkId) {
        if let Some(slot) = self.frameworks.slot(id) {
            self.end_turn_of(slot);
        }
        let Some((slot, framework)) = self.frameworks.remove(id) else { return };
        self.maintenance.forget(slot);
        for membership in &framework.memberships {
            if membership.held_on > 0 {
                self.release_everywhere(membership.leaf);
            }
            self.remove_leaf(membership.leaf);
        }
    }

    fn set_framework_active(&mut self, id: &FrameworkId, active: bool) {
        let slot = self.frameworks.slot(id);
        let Some(framework) = slot.and_then(|slot| self.frameworks.get_mut(slot)) else { return };
        framework.active = active;
        framework.tell_wants(&mut self.tree);
        if active {
            self.all_changed();
        } else {
            for membership in &framework.memberships {
                self.filters.clear_leaf(membership.leaf);
            }
            self.settle_turn();
        }
    }

    fn suppress(&mut self, framework: &FrameworkId, roles: &[Role]) {
        self.set_suppressed(framework, roles, true);
        self.settle_turn();
    }

    fn revive(&mut self, framework: &FrameworkId, roles: &[Role]) {
        let leaves = self.set_suppressed(framework, roles, false);
        if leaves.is_empty() {
            return;
        }
        for leaf in leaves {
            self.filters.clear_leaf(leaf);
        }
        self.all_changed();
    }

    fn set_demand(&mut self, framework: &FrameworkId, role: &Role, demand: Option<&[DemandGroup]>) {
        let Some(framework) = self.frameworks.find(framework) else { return };
        let Some(leaf) = framework.membership(role).map(|membership| membership.leaf) else { return };
        if demand.is_some_and(|groups| groups.iter().any(DemandGroup::is_gang)) {
            self.gangs.join(leaf);
        }
        let asks_more = self.tree.set_demand(leaf, demand.map(Demand::new));
        framework.tell_wants(&mut self.tree);
        self.settle_turn();
        if asks_more {
            self.all_changed();
        }
        self.deprived.outdate();
    }

    fn set_weight(&mut self, role: &Role, weight: Weight) {
        self.tree.set_weight(role, weight);
        self.waiting.add_all();
        self.deprived.outdate();
    }

    fn set_quota(&mut self, role: &Role, quota: &Quota, force: bool) -> Result<(), QuotaError> {
        let mut capacity = Quantities::new();
        for (_, agent) in self.agents.iter() {
            capacity.add(&Amounts::of(&agent.total().resources.non_revocable()).scalars);
        }
        check_quota(&self.tree, role, quota, (!force).then_some(&capacity))?;
        self.tree.set_quota(role, quota.clone());
        self.waiting.add_all();
        self.deprived.outdate();
        Ok(())
    }

    fn set_offer_mode(&mut self, role: &Role, mode: OfferMode) {
        self.change_offer_mode(role, mode);
    }

    fn offer_mode(&self, role: &Role) -> OfferMode {
        self.optimistic.mode(role)
    }

    fn claim(&mut self, claim: &Allocation) -> Result<(), ClaimError> {
        self.claim_offered(claim)
    }

    fn withdraw(&mut self, now: Time, offer: &Allocation, refuse: Option<Duration>) {
        let Some(slot) = self.agents.slot(&offer.agent) else { return };
        let Some(leaf) = self.leaf(&offer.framework, &offer.role) else { return };
        self.note_refused(now, slot, leaf, &offer.resources, refuse);
        self.take_back_offered(slot, leaf, &offer.resources);
    }

    fn set_allow_list(&mut self, hostnames: Option<BTreeSet<String>>) {
        let is_allowed =
            |agent: &Agent| hostnames.as_ref().is_none_or(|list| list.contains(&agent.profile.hostname));
        let allowed: Vec<_> = self.agents.iter().map(|(slot, agent)| (slot, is_allowed(agent))).collect();
        for (slot, allowed) in allowed {
            if !allowed {
                self.let_go_of(slot);
            }
            self.agents.change(slot, |agent| agent.allowed = allowed);
        }
        self.allow_list = hostnames;
        self.waiting.add_all();
    }

    fn pause(&mut self) {
        self.paused = true;
    }

    fn resume(&mut self) {
        self.paused = false;
    }

    fn add_allocation(&mut self, allocation: &Allocation) {
        self.note_used(allocation);
    }

    fn recover(&mut self, now: Time, allocation: &Allocation, refuse: Option<Duration>) {
        let Allocation { framework, role, agent, resources } = allocation;
        let Some(slot) = self.agents.slot(agent) else { return };
        let Some(leaf) = self.leaf(framework, role) else { return };
        let released = self.agents.change(slot, |agent| agent.release(leaf, resources)).flatten();
        let Some(change) = released else {
            tracing::warn!(%agent, %framework, %role, %resources, "not allocated, so not recovered");
            return;
        };
        self.tree.subtract(leaf, &change);
        self.take_back(leaf, resources);
        self.note_refused(now, slot, leaf, resources, refuse);
        self.agent_freed(slot);
        if change.is_first_or_last {
            self.note_emptied(leaf);
        }
    }

    fn convert(&mut self, allocation: &Allocation, into: &Resources) {
        let Allocation { framework, role, agent, resources } = allocation;
        let Some(slot) = self.agents.slot(agent) else { return };
        let Some(leaf) = self.leaf(framework, role) else { return };
        let converted = self.change_total(slot, |agent| agent.convert(leaf, resources, into)).flatten();
        let Some((less, more)) = converted else {
            tracing::warn!(%agent, %framework, %role, %resources, "not allocated, so not converted");
            return;
        };
        self.tree.convert(leaf, &less, &more);
        self.agent_freed(slot);
    }

    fn convert_free(&mut self, agent: &AgentId, from: &Resources, into: &Resources) -> bool {
        let Some(slot) = self.agents.slot(agent) else { return false };
        let converted = self.change_total(slot, |agent| agent.convert_free(from, into)) == Some(true);
        self.agent_freed(slot);
        converted
    }

    fn allocate(&mut self, now: Time, offers: &mut Vec<Allocation>) {
        self.run_cycle(now, offers);
    }

    fn offer_sets(&mut self, sets: &mut Vec<OfferSet>) {
        sets.extend(self.gangs.take_complete());
    }

    fn set_unavailability(&mut self, agent: &AgentId, unavailability: Option<Unavailability>) {
        if let Some(slot) = self.agents.slot(agent) {
            self.maintenance.set(slot, unavailability);
            self.agent_changed(slot);
        }
    }

    fn inverse_offers(&mut self, now: Time, inverse_offers: &mut Vec<InverseOffer>) {
        self.ask_to_leave(now, inverse_offers);
    }

    fn answer_inverse_offer(
        &mut self,
        now: Time,
        framework: &FrameworkId,
        agent: &AgentId,
        refuse: Duration,
    ) {
        if let (Some(agent), Some(framework)) = (self.agents.slot(agent), self.frameworks.slot(framework)) {
            self.maintenance.answered(agent, framework, now + refuse.min(MAX_REFUSE));
        }
    }

    fn preemption_due(&mut self, now: Time) -> Option<Time> {
        self.watch_deprived(now)
    }

    fn preempt(&mut self, now: Time, running: &[RunningTask]) -> Vec<Preemption> {
        self.plan_preemptions(now, running)
    }

    fn is_room_awaited(&self, preemption: &Preemption) -> bool {
        self.is_awaited(preemption)
    }

    fn next_deadline(&self) -> Option<Time> {
        if self.paused {
            return None;
        }
        // An event is over with the cycle that it causes, whether that has something to offer or not.
        if !self.urgent.is_empty() || self.has_to_watch() {
            return Some(Time::ZERO);
        }
        if self.tree.is_anyone_wanting() && self.waiting.are_any(&self.agents) {
            return Some(self.batches.next(Time::ZERO));
        }
        let waited_for = [
            self.filters.next_expiry(),
            self.gangs.next_deadline(),
            self.next_absence(),
            self.maintenance.next_end(),
        ];
        waited_for.into_iter().flatten().min().map(|until| self.batches.next(until))
    }

    fn drf_options(&self) -> Option<&DrfOptions> {
        Some(&self.options)
    }

    fn shares(&self) -> Vec<RoleShare> {
        self.tree.roles().iter().map(|view| self.role_share(view)).collect()
    }

    fn explain(&self, now: Time, framework: &FrameworkId, role: &Role, wanted: &Quantities) -> Explanation {
        self.why_not(now, framework, role, wanted)
    }

    fn explain_waiting(
        &self,
        now: Time,
        framework: Option<&FrameworkId>,
        role: Option<&Role>,
    ) -> Vec<Waiting> {
        self.why_waiting(now, framework, role)
    }
}
