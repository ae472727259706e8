//! Gathering resources for gangs: turns, what is kept during them, and sets that are complete.

use std::time::Duration;

use super::search::{Part, Scope, fit};
use super::{Holder, OfferSet, Turn};
use crate::allocator::agents::{Agent, AgentSlot};
use crate::allocator::frameworks::FrameworkSlot;
use crate::allocator::tree::{Leaf, Member};
use crate::allocator::{Allocation, DrfAllocator};
use crate::protocol::DemandGroup;
use crate::resources::Resources;
use crate::time::Time;

impl DrfAllocator {
    /// Ends a turn whose time is over, and begins another, with a batch: then all that is free can be looked at.
    pub(in crate::allocator) fn take_turns(&mut self, now: Time, is_batch: bool) {
        if self.gangs.holder().is_some_and(|holder| holder.until <= now) {
            self.end_turn(Some(now));
        }
        self.let_go_of_the_absent(now);
        let mut are_any_rested = false;
        for turn in self.gangs.turns.values_mut() {
            are_any_rested |= turn.rests_until.take_if(|until| *until <= now).is_some();
        }
        if are_any_rested {
            self.waiting.add_all();
        }
        // Without a change nobody's chances are better than when they were last looked at.
        let has_changed = !self.urgent.is_empty() || !self.waiting.is_empty();
        if is_batch && has_changed && self.gangs.holder().is_none() && self.begin_turn(now) {
            self.waiting.add_all();
        }
    }

    fn begin_turn(&mut self, now: Time) -> bool {
        let could_hold = |leaf: &Leaf| {
            let gangs = self.tree.member(*leaf)?.demand.as_ref()?.gangs();
            gangs
                .filter(|(_, group, size)| self.search(now, *leaf, group, *size, Scope::Whole).is_some())
                .map(|(place, group, size)| (*leaf, place, group.clone(), size))
                .next()
        };
        let mut rested = self.leaves_with_gangs();
        rested.retain(|leaf| self.gangs.rests_until(*leaf).is_none());
        let Some((leaf, place, group, size)) = rested.iter().find_map(could_hold) else { return false };
        if let Some(turn) = self.gangs.turns.get(&leaf) {
            self.gangs.round = self.gangs.round.max(turn.round);
        }
        let until = now + self.options.gang_hold;
        let parts = Default::default();
        self.gangs.holder = Some(Holder { leaf, group, place, size, since: now, until, parts });
        true
    }

    /// The leaves that wait for gangs, in the order of their turns.
    pub(in crate::allocator) fn leaves_with_gangs(&self) -> Vec<Leaf> {
        let total = self.share_total();
        let waits = |leaf: Leaf| {
            let demand = self.tree.member(leaf).and_then(|member| member.demand.as_ref());
            self.tree.is_wanting(leaf) && demand.is_some_and(|demand| demand.gangs().next().is_some())
        };
        let turns = self.gangs.turns.iter().filter(|(leaf, _)| waits(**leaf));
        let mut order: Vec<_> =
            turns.map(|(leaf, turn)| (turn.round, self.tree.position(*leaf, &total), *leaf)).collect();
        order.sort_unstable();
        order.into_iter().map(|(.., leaf)| leaf).collect()
    }

    /// Gives each gang its set that finds all of it among what is left.
    pub(in crate::allocator) fn gather_at_once(&mut self, now: Time) {
        let mut leaves = if self.gangs.turns.is_empty() { Vec::new() } else { self.leaves_with_gangs() };
        leaves.retain(|leaf| self.gangs.holder_at(*leaf).is_none());
        for leaf in leaves {
            let demand = self.tree.member(leaf).and_then(|member| member.demand.as_ref());
            let gangs: Vec<(usize, DemandGroup, u32)> = demand
                .into_iter()
                .flat_map(|demand| demand.gangs())
                .map(|(place, group, size)| (place, group.clone(), size))
                .collect();
            for (place, group, size) in gangs {
                let Some(parts) = self.search(now, leaf, &group, size, Scope::Free) else { continue };
                for (agent, part) in &parts {
                    self.keep(leaf, *agent, &part.resources);
                }
                self.hand_over(leaf, place, group, parts);
            }
        }
    }

    /// What of an agent's room goes to the gang that gathers.
    pub(in crate::allocator) fn gang_part(
        &self,
        now: Time,
        slot: AgentSlot,
        agent: &Agent,
        member: &Member,
        holder: &Holder,
        room: &Resources,
    ) -> Option<Part> {
        if !self.serves_group(now, slot, agent, member, &holder.group) {
            return None;
        }
        let part = fit(room, &member.role, &holder.group.shape, holder.lacking())?;
        (!self.filters.hides(slot, holder.leaf, &part.resources)).then_some(part)
    }

    /// Whether a group can run on an agent, as far as that does not depend on its resources.
    pub(in crate::allocator) fn serves_group(
        &self,
        now: Time,
        slot: AgentSlot,
        agent: &Agent,
        member: &Member,
        group: &DemandGroup,
    ) -> bool {
        let site = self.maintenance.site(now, slot, agent);
        member.is_open_to(agent) && group.can_use(site.profile, site.time_left)
    }

    /// A part that the leaf of the gang that gathers was given already is kept for the gang.
    pub(in crate::allocator) fn note_kept(&mut self, slot: AgentSlot, part: Part) {
        // The same agent may yet have something for others, of this framework too.
        self.waiting.add(slot);
        let Some(holder) = &mut self.gangs.holder else { return };
        let kept = holder.parts.entry(slot).or_default();
        kept.tasks += part.tasks;
        kept.resources.add(&part.resources);
        if holder.lacking() == 0
            && let Some(Holder { leaf, place, group, parts, .. }) = self.gangs.holder.take()
        {
            self.next_round(leaf);
            self.hand_over(leaf, place, group, parts.into_iter().collect());
        }
    }

    /// Gives a leaf something that is not offered yet.
    pub(in crate::allocator) fn keep(&mut self, leaf: Leaf, slot: AgentSlot, resources: &Resources) {
        let Some(change) = self.agents.change(slot, |agent| agent.take(leaf, resources)) else { return };
        if !self.earmarks.none_at(slot) {
            self.earmarks.offered(slot, leaf, &resources.quantities());
        }
        let framework = self.tree.member(leaf).map(|member| member.slot);
        if let Some(framework) = framework.and_then(|slot| self.frameworks.get_mut(slot))
            && let Some(membership) = framework.membership_at(leaf)
        {
            membership.held_on += usize::from(change.is_first_or_last);
        }
        self.tree.add(leaf, &change);
    }

    /// A set is complete. Its parts are the leaf's already.
    fn hand_over(&mut self, leaf: Leaf, place: usize, group: DemandGroup, parts: Vec<(AgentSlot, Part)>) {
        let tasks = parts.iter().map(|(_, part)| part.tasks).sum();
        self.tree.change_demand(leaf, |demand| demand.promise_gang(place, tasks));
        for agent in self.earmarks.gathered(leaf, &group.shape) {
            self.agent_freed(agent);
        }
        let Some(member) = self.tree.member(leaf) else { return };
        let (role, slot) = (member.role.clone(), member.slot);
        let Some(framework) = self.frameworks.get(slot) else { return };
        framework.tell_wants(&mut self.tree);
        let allocation = |(agent, part): (AgentSlot, Part)| {
            let (framework, role) = (framework.id.clone(), role.clone());
            Some(Allocation {
                framework,
                role,
                agent: self.agents.get(agent)?.id.clone(),
                resources: part.resources,
            })
        };
        let allocations = parts.into_iter().filter_map(allocation).collect();
        self.gangs.complete.push(OfferSet { group, allocations });
        // Others have their turn, and what the gang wants beyond its least can be had anywhere.
        self.waiting.add_all();
    }

    /// Gives back what was kept for a gang, all of it; with a time, it rests from then on.
    pub(in crate::allocator) fn end_turn(&mut self, rests_from: Option<Time>) {
        let Some(holder) = self.gangs.holder.take() else { return };
        self.next_round(holder.leaf);
        if let (Some(now), Some(turn)) = (rests_from, self.gangs.turns.get_mut(&holder.leaf)) {
            turn.rests_until = Some(now + now.since(holder.since));
        }
        for (slot, part) in holder.parts {
            self.free_kept(holder.leaf, slot, &part.resources);
        }
        self.waiting.add_all();
    }

    fn next_round(&mut self, leaf: Leaf) {
        let round = self.gangs.round + 1;
        if let Some(turn) = self.gangs.turns.get_mut(&leaf) {
            *turn = Turn { round, rests_until: None };
        }
    }

    /// Gives back what is kept for a gang on an agent that changes.
    pub(in crate::allocator) fn let_go_of(&mut self, slot: AgentSlot) {
        if let Some(holder) = &mut self.gangs.holder
            && let Some(part) = holder.parts.remove(&slot)
        {
            let leaf = holder.leaf;
            self.free_kept(leaf, slot, &part.resources);
        }
    }

    /// Gives back what is kept on agents that will be away before the gang would have ended.
    fn let_go_of_the_absent(&mut self, now: Time) {
        let Some(Holder { group, parts, .. }) = &self.gangs.holder else { return };
        if group.max_runtime.is_none() {
            return;
        }
        let is_absent = |slot: &AgentSlot| {
            let agent = self.agents.get(*slot);
            agent.is_none_or(|agent| {
                !group.can_use(&agent.profile, self.maintenance.site(now, *slot, agent).time_left)
            })
        };
        let absent: Vec<AgentSlot> = parts.keys().copied().filter(is_absent).collect();
        for slot in absent {
            self.let_go_of(slot);
        }
    }

    /// When the first agent on which something is kept will be away too soon for the gang to end before.
    pub(in crate::allocator) fn next_absence(&self) -> Option<Time> {
        let holder = self.gangs.holder()?;
        let runtime = holder.group.max_runtime?;
        let start = holder.parts.keys().filter_map(|slot| self.maintenance.start(*slot)).min()?;
        Some(Time::ZERO + start.since(Time::ZERO + runtime) + Duration::from_nanos(1))
    }

    fn free_kept(&mut self, leaf: Leaf, slot: AgentSlot, resources: &Resources) {
        let Some(change) = self.agents.change(slot, |agent| agent.release(leaf, resources)).flatten() else {
            return;
        };
        self.tree.subtract(leaf, &change);
        self.agent_freed(slot);
        if change.is_first_or_last {
            self.note_emptied(leaf);
        }
    }

    /// After a framework has said something: its turn ends when it does not wait for the gang any more.
    pub(in crate::allocator) fn settle_turn(&mut self) {
        let Some(holder) = &mut self.gangs.holder else { return };
        let demand = self.tree.member(holder.leaf).and_then(|member| member.demand.as_ref());
        let gang = demand.filter(|_| self.tree.is_wanting(holder.leaf));
        let same = gang.and_then(|demand| {
            demand.gangs().find(|(_, group, size)| *size == holder.size && group.is_alike(&holder.group))
        });
        match same {
            Some((place, group, _)) => {
                holder.place = place;
                holder.group = group.clone();
            }
            None => self.end_turn(None),
        }
    }

    /// A framework is gone, or another than before: so its turn ends.
    pub(in crate::allocator) fn end_turn_of(&mut self, framework: FrameworkSlot) {
        let holder = self.gangs.holder().and_then(|holder| self.tree.member(holder.leaf));
        if holder.is_some_and(|member| member.slot == framework) {
            self.end_turn(None);
        }
    }
}
