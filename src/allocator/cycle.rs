//! The allocation cycle: what is free on the agents that changed goes to whoever is furthest below its fair share, after
//! guarantees have been met.

use std::borrow::Cow;
use std::sync::atomic::Ordering;

use rustc_hash::FxHashMap;

use super::agents::{Agent, AgentSlot, Change, Measured, is_charged};
use super::demand::Demand;
use super::gangs::Part;
use super::options::Sorter;
use super::quota::{cut_to, cut_to_limits};
use super::tree::{Lane, Leaf, Member, Walk};
use super::{Allocation, DrfAllocator};
use crate::protocol::{Capabilities, OfferMode};
use crate::resources::{Quantities, Resources};
use crate::time::Time;

/// What a cycle has done so far.
#[derive(Debug)]
struct Cycle {
    now: Time,
    lane: Lane,
    /// Where in `offers` who was offered something of which agent.
    made: FxHashMap<(Leaf, AgentSlot), usize>,
    /// Amounts of which nobody took anything in this stage. Since rooms only shrink within a cycle, nobody will take
    /// anything of less either.
    barren: Vec<Quantities>,
    /// Shared volumes that were offered already; they are not offered twice in a cycle.
    shared_out: FxHashMap<AgentSlot, Resources>,
}

/// What a framework is given of an agent.
enum Gift {
    /// All that is free, and plain.
    All,
    Part(Resources),
    /// It stays free for others until it is claimed.
    Optimistic(Resources),
}

/// What a framework takes of an agent.
enum Taking {
    Offer(Gift),
    /// For its gang; not offered before that is complete.
    Keep(Part),
}

impl DrfAllocator {
    /// Looks at each candidate once. Those that nobody took from are candidates again when something changes.
    pub(super) fn run_cycle(&mut self, now: Time, offers: &mut Vec<Allocation>) {
        let is_batch = self.batches.begin(now);
        if self.paused {
            return;
        }
        self.filters.expire(now, |agent| self.waiting.add(agent));
        self.maintenance.expire(now, |agent| self.waiting.add(agent));
        self.take_turns(now, is_batch);
        let mut candidates = std::mem::take(&mut self.urgent);
        if is_batch {
            // What one agent gives towards a guarantee makes room for offers of others.
            if self.do_quotas_bind() && self.waiting.are_any(&self.agents) {
                self.waiting.add_all();
            }
            candidates.absorb(&mut self.waiting);
        }
        let (mut agents, mut are_sought) = (Vec::new(), false);
        let mut demanded = std::mem::take(&mut self.demanded);
        if self.tree.is_anyone_wanting() {
            let total = self.share_total().into_owned();
            self.tree.rank_for(&total);
            let is_in_order = self.agent_order.is_none() && self.role_order.is_none();
            are_sought = is_in_order && candidates.are_all() && self.list_demanded(&mut demanded);
            if !are_sought {
                agents = candidates.take(&self.agents);
            }
        }
        // What holds of agents that are not looked at holds on.
        if candidates.are_all() {
            *self.quotas_bind.get_mut() = false;
        }
        // Given back, as what it has allocated is of use again.
        candidates.clear();
        self.urgent = candidates;
        if !agents.is_empty() || are_sought {
            self.serve_all(now, agents, are_sought.then_some(&mut demanded), offers);
        }
        self.demanded = demanded;
    }

    /// Serves these agents, or all on which something fits that is demanded.
    fn serve_all(
        &mut self,
        now: Time,
        mut agents: Vec<AgentSlot>,
        mut demanded: Option<&mut Vec<Quantities>>,
        offers: &mut Vec<Allocation>,
    ) {
        let before = offers.len();
        let mut cycle = Cycle {
            now,
            lane: Lane::All,
            made: FxHashMap::default(),
            barren: Vec::new(),
            shared_out: FxHashMap::default(),
        };
        for lane in [Lane::Needy, Lane::All] {
            if lane == Lane::Needy && !self.tree.is_anyone_needy() {
                continue;
            }
            if let Some(random) = &mut self.agent_order {
                random.shuffle(&mut agents);
            }
            cycle.lane = lane;
            cycle.barren.clear();
            if let Some(demanded) = &mut demanded {
                self.serve_demands(demanded, &mut cycle, offers);
            }
            self.serve_each(&mut agents, &mut cycle, offers);
        }
        self.gather_at_once(now);
        // What was given towards a guarantee need not be kept back any more, so that there may be room for others.
        if self.do_quotas_bind() && offers.len() > before {
            self.waiting.add_all();
        }
    }

    /// Serves agents one after the other. When a gang's set gets complete, its framework may want what it did not want before: then all
    /// later agents are served.
    fn serve_each(&mut self, agents: &mut Vec<AgentSlot>, cycle: &mut Cycle, offers: &mut Vec<Allocation>) {
        let mut served = 0;
        while let Some(agent) = agents.get(served).copied() {
            let complete = self.gangs.count_complete();
            self.serve(agent, cycle, offers);
            served += 1;
            if self.gangs.count_complete() > complete && self.agent_order.is_none() {
                agents.truncate(served);
                agents.extend(self.agents.offering_after(agent));
            }
        }
    }

    /// Serves all agents on which something fits that is demanded, which is kept up to date; the others have nothing for anyone.
    fn serve_demands(
        &mut self,
        demanded: &mut Vec<Quantities>,
        cycle: &mut Cycle,
        offers: &mut Vec<Allocation>,
    ) {
        let mut from = 0;
        while let Some((slot, behind)) = self.agents.first_with(from, demanded) {
            from = behind;
            if self.serve(slot, cycle, offers) {
                self.list_demanded(demanded);
            }
        }
    }

    /// Lists what agents must have for any of those who want offers; `false`, and nothing is listed, when someone has not said that.
    fn list_demanded(&self, shapes: &mut Vec<Quantities>) -> bool {
        shapes.clear();
        let is_known = self.tree.list_demanded(shapes);
        if is_known {
            shapes.extend(self.gangs.holder().map(|holder| holder.group.shape.clone()));
        } else {
            shapes.clear();
        }
        is_known
    }

    /// Gives what is free on an agent to those who can have any of it, one after the other. Whether anyone took something.
    fn serve(&mut self, slot: AgentSlot, cycle: &mut Cycle, offers: &mut Vec<Allocation>) -> bool {
        let Some(agent) = self.agents.get(slot).filter(|agent| agent.can_offer()) else { return false };
        let free = agent.available();
        // Nothing about the agent itself decides about who can have it.
        let is_ordinary = free.is_plain
            && agent.needed == Capabilities::NONE
            && !self.tree.is_anyone_choosy()
            && self.filters.none_at(slot)
            && self.optimistic.none_at(slot)
            && self.earmarks.none_at(slot);
        if is_ordinary && cycle.barren.iter().any(|barren| barren.contains(&free.quantities)) {
            return false;
        }
        let untaken = is_ordinary.then(|| free.quantities.clone());
        let mut walk = match &mut self.role_order {
            None => Walk::new(cycle.lane),
            Some(random) => self.tree.random_walk(cycle.lane, random),
        };
        let mut gave = false;
        while let Some((leaf, taking)) = self.next_taker(slot, cycle, &mut walk) {
            gave = true;
            match taking {
                Taking::Offer(gift) => self.give(slot, leaf, gift, &mut walk, cycle, offers),
                Taking::Keep(part) => {
                    self.tree.took(&mut walk, leaf);
                    self.keep(leaf, slot, &part.resources);
                    self.note_kept(slot, part);
                    // With its gang complete, the framework may want what it did not want before.
                    cycle.barren.clear();
                }
            }
            if !self.agents.get(slot).is_some_and(Agent::can_offer) {
                break;
            }
        }
        if !gave {
            cycle.barren.extend(untaken);
        }
        gave
    }

    fn next_taker(&self, slot: AgentSlot, cycle: &Cycle, walk: &mut Walk) -> Option<(Leaf, Taking)> {
        let agent = self.agents.get(slot)?;
        let mut taking = None;
        let leaf = self.tree.next(walk, |leaf| {
            taking = self.tree.member(leaf).and_then(|member| self.taking(slot, agent, leaf, member, cycle));
            taking.is_some()
        })?;
        Some((leaf, taking?))
    }

    /// What a framework takes of what is free on an agent: something for its gang, when it gathers for one and no other of its tasks
    /// that fit come before.
    fn taking(
        &self,
        slot: AgentSlot,
        agent: &Agent,
        leaf: Leaf,
        member: &Member,
        cycle: &Cycle,
    ) -> Option<Taking> {
        if !member.is_open_to(agent) {
            return None;
        }
        let gift = || self.gift(slot, agent, leaf, member, cycle);
        let Some(holder) = self.gangs.holder_at(leaf) else { return gift().map(Taking::Offer) };
        let visible = visible(agent.available(), member, cycle.shared_out.get(&slot));
        let visible = self.without_earmarked(slot, leaf, visible);
        let room = self.room(leaf, member, visible, cycle.lane)?;
        let site = self.maintenance.site(cycle.now, slot, agent);
        let is_before = |demand: &Demand| demand.is_served_before(holder.place, &room.quantities(), site);
        let first = gift().filter(|_| member.demand.as_ref().is_some_and(is_before)).map(Taking::Offer);
        let gang = || self.gang_part(cycle.now, slot, agent, member, holder, &room).map(Taking::Keep);
        first.or_else(gang).or_else(|| gift().map(Taking::Offer))
    }

    fn give(
        &mut self,
        slot: AgentSlot,
        leaf: Leaf,
        gift: Gift,
        walk: &mut Walk,
        cycle: &mut Cycle,
        offers: &mut Vec<Allocation>,
    ) {
        let is_optimistic = matches!(gift, Gift::Optimistic(_));
        let given = match gift {
            Gift::All => self.agents.change(slot, |agent| agent.take_all(leaf)),
            Gift::Part(part) => self.agents.change(slot, |agent| {
                let change = agent.take(leaf, &part);
                (part, change)
            }),
            Gift::Optimistic(part) => {
                self.optimistic.offered(slot, leaf, &part);
                Some((part, Change::default()))
            }
        };
        let Some((resources, change)) = given else { return };
        if resources.has_shared() && !is_optimistic {
            cycle.shared_out.entry(slot).or_default().add(&resources);
        }
        let Some(agent) = self.agents.get(slot) else { return };
        let site = self.maintenance.site(cycle.now, slot, agent);
        self.tree.change_demand(leaf, |demand| demand.promise(&resources.quantities(), site));
        if !self.earmarks.none_at(slot) {
            self.earmarks.offered(slot, leaf, &resources.quantities());
        }
        let Some(member) = self.tree.member(leaf) else { return };
        let Some(framework) = self.frameworks.get_mut(member.slot) else { return };
        match cycle.made.get(&(leaf, slot)) {
            Some(offer) => offers[*offer].resources.add(&resources),
            None => {
                // The stage of fair shares is the last.
                if cycle.lane == Lane::Needy {
                    cycle.made.insert((leaf, slot), offers.len());
                }
                let (framework, role) = (framework.id.clone(), member.role.clone());
                offers.push(Allocation { framework, role, agent: agent.id.clone(), resources });
            }
        }
        // What is offered optimistically is still there for the framework's gang.
        if self.gangs.holder_at(leaf).is_some() {
            self.waiting.add(slot);
        }
        if let Some(membership) = framework.membership_at(leaf) {
            membership.held_on += usize::from(change.is_first_or_last);
        }
        let is_met = member.demand.as_ref().is_some_and(Demand::is_met);
        if agent.can_offer() {
            self.tree.took(walk, leaf);
        }
        if !is_optimistic {
            self.tree.add(leaf, &change);
        }
        if is_met {
            self.tree.set_wants(leaf, false);
        }
    }

    /// What a framework can have of what is free on an agent; `None` when that is nothing, or not worth an offer.
    fn gift(
        &self,
        slot: AgentSlot,
        agent: &Agent,
        leaf: Leaf,
        member: &Member,
        cycle: &Cycle,
    ) -> Option<Gift> {
        let free = agent.available();
        let site = self.maintenance.site(cycle.now, slot, agent);
        let is_enough = |amounts: &Quantities| {
            let demand = member.demand.as_ref();
            self.is_enough(member, amounts) && demand.is_none_or(|demand| demand.is_served_by(amounts, site))
        };
        let is_wanted = |resources: &Resources| !self.filters.hides(slot, leaf, resources);
        if member.offer_mode == OfferMode::Optimistic {
            let part = self.optimistic_part(slot, agent, leaf, member);
            return (is_enough(&part.quantities()) && is_wanted(&part)).then_some(Gift::Optimistic(part));
        }
        if free.is_plain && !self.tree.has_quota() && self.earmarks.none_at(slot) {
            let gives = is_wanted(&free.resources) && is_enough(&free.quantities);
            return gives.then_some(Gift::All);
        }
        let visible = visible(free, member, cycle.shared_out.get(&slot));
        let visible = self.without_earmarked(slot, leaf, visible);
        if !is_enough(&visible.quantities()) {
            return None;
        }
        let part = self.room(leaf, member, visible, cycle.lane)?;
        (is_enough(&part.quantities()) && is_wanted(&part)).then_some(Gift::Part(part))
    }

    /// What a framework may have of what is free on an agent in this stage.
    fn room(
        &self,
        leaf: Leaf,
        member: &Member,
        visible: Cow<'_, Resources>,
        lane: Lane,
    ) -> Option<Resources> {
        match lane {
            Lane::Needy => self.guaranteed(leaf, member, &visible),
            Lane::All => Some(self.permitted(leaf, visible, &Quantities::new(), || self.surplus(leaf))),
        }
    }

    /// What meets a role's guarantee, with what comes with it: what is reserved to the role, what is no amount, what is
    /// revocable, and more amounts as far as its limits and other guarantees allow. As in Mesos, nothing comes alone.
    fn guaranteed(&self, leaf: Leaf, member: &Member, visible: &Resources) -> Option<Resources> {
        let charged = visible.filter(is_charged);
        let room = self.tree.room(leaf);
        let mut part = cut_to(&charged, &self.tree.lacking(leaf));
        if let Some(room) = &room {
            part = cut_to_limits(&part, room);
        }
        if part.is_empty() {
            return None;
        }
        let mut more = charged.checked_sub(&part).unwrap_or_default();
        if let Some(room) = &room {
            more = cut_to_limits(&more, &room.minus(&part.quantities()));
        }
        part.add(&cut_to(&more, &self.surplus(leaf)));
        part.add(&visible.filter(|resource| {
            resource.reserved_to() == Some(&member.role) || resource.is_revocable() || !resource.is_fair()
        }));
        Some(part)
    }

    /// All but the scalars that a role's limits keep from it, and others' guarantees, which leave it `most`, when it takes so much
    /// elsewhere.
    pub(super) fn permitted(
        &self,
        leaf: Leaf,
        visible: Cow<'_, Resources>,
        taken: &Quantities,
        most: impl FnOnce() -> Quantities,
    ) -> Resources {
        let within = self.within_limits(leaf, visible, taken);
        if self.tree.kept_back().is_empty() {
            return within.into_owned();
        }
        let charged = within.filter(is_charged);
        let mut permitted = cut_to(&charged, &most().minus_clamped(taken));
        self.note_cut(&charged, &permitted);
        permitted.add(&within.filter(|resource| !is_charged(resource)));
        permitted
    }

    /// All but the scalars that a role's limits keep from it, when it takes so much elsewhere.
    pub(super) fn within_limits<'a>(
        &self,
        leaf: Leaf,
        visible: Cow<'a, Resources>,
        taken: &Quantities,
    ) -> Cow<'a, Resources> {
        let Some(room) = self.tree.room(leaf) else { return visible };
        let charged = visible.filter(is_charged);
        let mut within = cut_to_limits(&charged, &room.minus(taken));
        self.note_cut(&charged, &within);
        within.add(&visible.filter(|resource| !is_charged(resource)));
        Cow::Owned(within)
    }

    fn note_cut(&self, whole: &Resources, part: &Resources) {
        if whole != part {
            self.quotas_bind.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn do_quotas_bind(&self) -> bool {
        self.quotas_bind.load(Ordering::Relaxed)
    }

    /// What is free in the cluster for a framework beyond what must be kept back for guarantees that are not met, and what is
    /// earmarked for others.
    pub(super) fn surplus(&self, leaf: Leaf) -> Quantities {
        let unallocated = self.chargeable.minus_clamped(&self.tree.unexempt());
        let surplus = unallocated.minus_clamped(self.tree.kept_back());
        if self.earmarks.is_empty() {
            return surplus;
        }
        surplus.minus_clamped(&self.earmarked_beside(leaf))
    }

    /// What a framework can have at most, in one stage or the other: beyond all guarantees, and towards its own.
    pub(super) fn within_reach(&self, leaf: Leaf) -> Quantities {
        let mut most = self.surplus(leaf);
        most.add(&self.tree.lacking(leaf));
        most
    }

    /// Whether it is enough to be worth an offer.
    pub(super) fn is_enough(&self, member: &Member, amounts: &Quantities) -> bool {
        let least = member.min_allocatable.as_ref().unwrap_or(&self.options.min_allocatable);
        !amounts.is_empty() && (least.is_empty() || least.iter().any(|least| amounts.contains(least)))
    }
}

/// What of an agent's resources may be shown to a framework for a role: what the role may have, and the framework can deal with,
/// without what was shared out already.
pub(super) fn visible<'a>(
    held: &'a Measured,
    member: &Member,
    out: Option<&Resources>,
) -> Cow<'a, Resources> {
    if held.is_plain {
        return Cow::Borrowed(&held.resources);
    }
    Cow::Owned(held.resources.filter(|resource| {
        let is_out = resource.is_shared() && out.is_some_and(|out| out.iter().any(|out| out == resource));
        resource.allocatable_to(&member.role) && member.capabilities.allow(resource) && !is_out
    }))
}

impl Sorter {
    /// The seed, when it has one.
    pub(super) fn seed(self) -> Option<u64> {
        match self {
            Sorter::Drf => None,
            Sorter::Random { seed } => Some(seed),
        }
    }
}
