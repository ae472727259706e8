//! The tasks that run, as a sheet to try on which of them could make room for another.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rustc_hash::FxHashMap;

use super::RunningTask;
use crate::allocator::DrfAllocator;
use crate::allocator::agents::{Agent, AgentSlot, Amounts};
use crate::allocator::demand::Demand;
use crate::allocator::tree::{Claim, Leaf, Ledger, Member, Standing};
use crate::protocol::{DemandGroup, TaskId};
use crate::resources::{Kind, Quantities, Resource, Resources, Scalar};
use crate::time::Time;

/// Room for one task.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) agent: AgentSlot,
    pub(super) amounts: Quantities,
    /// The tasks that end for it, by index.
    pub(super) victims: Vec<usize>,
}

/// A task that runs, with what is asked of it again and again.
#[derive(Clone, Debug)]
struct Entry {
    leaf: Leaf,
    amounts: Amounts,
    /// It ends anyway.
    ends: bool,
}

/// See the module's documentation.
#[derive(Clone, Debug)]
pub(super) struct Sheet<'a> {
    allocator: &'a DrfAllocator,
    now: Time,
    running: &'a [RunningTask],
    entries: Vec<Option<Entry>>,
    by_agent: FxHashMap<AgentSlot, Vec<usize>>,
    /// What is to be had on agents by those for whom room is made.
    promised: FxHashMap<AgentSlot, Quantities>,
    ledger: Ledger,
    /// What of the cluster is not allocated, that quotas are about.
    unallocated: Quantities,
}

/// What one more task of a framework needs.
struct Need<'a> {
    leaf: Leaf,
    member: &'a Member,
    shape: &'a Quantities,
    /// What counts of it for shares and quotas.
    amounts: Amounts,
    claim: Claim,
    /// How its role stands before anything is taken for it.
    before: Standing,
}

/// In which order tasks are taken: those of the role furthest above its fair share, the revocable, those of the lowest priority,
/// the youngest.
type Turn<'a> = (Reverse<i64>, bool, i32, Reverse<Time>, &'a TaskId);

/// How good an agent is for a task: on how few others have to end, which, and who joined first.
type Rank<'a> = (usize, Vec<Turn<'a>>, u64, AgentSlot);

/// The agents where a task can get room by some right, the best first, as they once were. Each is looked at again before it is used:
/// what has been taken since can only have made it worse.
#[derive(Debug)]
struct Ranking<'a> {
    claim: Claim,
    ranks: BinaryHeap<Reverse<Rank<'a>>>,
}

impl<'a> Sheet<'a> {
    pub(super) fn new(allocator: &'a DrfAllocator, now: Time, running: &'a [RunningTask]) -> Self {
        let ledger = allocator.entitlements();
        let unallocated = allocator.chargeable.minus_clamped(&allocator.tree.unexempt());
        let mut sheet = Sheet {
            allocator,
            now,
            running,
            entries: Vec::with_capacity(running.len()),
            by_agent: FxHashMap::default(),
            promised: FxHashMap::default(),
            ledger,
            unallocated,
        };
        for (index, task) in running.iter().enumerate() {
            let leaf = allocator.leaf(&task.framework, &task.role);
            let place = leaf.zip(allocator.agents.slot(&task.agent));
            sheet.entries.push(place.map(|(leaf, agent)| {
                sheet.by_agent.entry(agent).or_default().push(index);
                Entry { leaf, amounts: Amounts::of(&task.resources), ends: false }
            }));
            if task.ending {
                sheet.end(index);
            }
        }
        for (agent, earmark) in allocator.earmarks.iter() {
            sheet.promise(agent, earmark.leaf, &earmark.amounts);
        }
        sheet
    }

    /// Makes room for what a framework has stated, as far as its role is entitled to it; for at most so many tasks. Where there is
    /// room already, that is offered first, and nobody makes any.
    pub(super) fn make_room_for(&mut self, leaf: Leaf, most: usize) -> Vec<Room> {
        let allocator = self.allocator;
        let Some(member) = allocator.tree.member(leaf) else { return Vec::new() };
        let mut rooms = Vec::new();
        for (group, open) in member.demand.iter().flat_map(Demand::open_tasks) {
            let mine = allocator.earmarks.iter().filter(|(_, earmark)| earmark.leaf == leaf);
            let awaited = mine.filter(|(_, earmark)| earmark.amounts == group.shape).count();
            let count = usize::try_from(open).unwrap_or(usize::MAX).saturating_sub(awaited);
            let mut ranking = None;
            for _ in 0..count.min(most - rooms.len()) {
                let Some(room) = self.room_for(leaf, member, group, &mut ranking) else { break };
                if room.victims.is_empty() {
                    return rooms;
                }
                self.take(leaf, &room);
                rooms.push(room);
            }
        }
        for (_, group, size) in member.demand.iter().flat_map(Demand::gangs) {
            let is_awaited = allocator
                .earmarks
                .iter()
                .any(|(_, earmark)| earmark.leaf == leaf && earmark.amounts == group.shape);
            let fits = usize::try_from(size).is_ok_and(|size| size <= most - rooms.len());
            if !is_awaited && fits {
                rooms.extend(self.room_for_gang(leaf, member, group, size));
            }
        }
        rooms
    }

    /// Room for so many tasks that start together, some of it perhaps free already; none when there can't be room for all of them, or
    /// is already.
    fn room_for_gang(
        &mut self,
        leaf: Leaf,
        member: &'a Member,
        group: &'a DemandGroup,
        size: u32,
    ) -> Vec<Room> {
        let before = self.clone();
        let (allocator, mut lacking) = (self.allocator, size);
        if let Some(holder) = allocator.gangs.holder_at(leaf).filter(|holder| holder.group.is_alike(group)) {
            lacking = holder.lacking();
            for (_, _, kept) in allocator.gangs.kept() {
                self.ledger.give(allocator.tree.group_of(leaf), &Amounts::of(kept));
            }
        }
        let (mut rooms, mut ranking) = (Vec::new(), None);
        for _ in 0..lacking {
            let Some(room) = self.room_for(leaf, member, group, &mut ranking) else {
                *self = before;
                return Vec::new();
            };
            self.take(leaf, &room);
            rooms.push(room);
        }
        let is_there_already = rooms.iter().all(|room| room.victims.is_empty());
        if is_there_already || !before.clone().can_be_gathered(leaf, &rooms) {
            *self = before;
            rooms.clear();
        }
        rooms
    }

    /// Whether what is kept back for guarantees leaves enough for all of it at once, when the victims have ended.
    fn can_be_gathered(mut self, leaf: Leaf, rooms: &[Room]) -> bool {
        let mut needed = Quantities::new();
        for room in rooms {
            needed.add(&scalars(&room.amounts));
            for victim in &room.victims {
                self.end(*victim);
            }
        }
        if self.ledger.kept_back().is_empty() {
            return true;
        }
        let mut reach = self.unallocated.minus_clamped(self.ledger.kept_back());
        reach.add(&self.ledger.lacking(self.allocator.tree.group_of(leaf)));
        reach.contains(&needed)
    }

    /// The room will be the leaf's.
    fn take(&mut self, leaf: Leaf, room: &Room) {
        for victim in &room.victims {
            self.end(*victim);
        }
        self.promise(room.agent, leaf, &room.amounts);
    }

    /// Room for one more such task, on the agent that is best for that.
    fn room_for(
        &mut self,
        leaf: Leaf,
        member: &'a Member,
        asked: &'a DemandGroup,
        ranking: &mut Option<Ranking<'a>>,
    ) -> Option<Room> {
        let need = self.need(leaf, member, asked)?;
        let ranking = match ranking.take().filter(|ranking| ranking.claim == need.claim) {
            Some(found) => ranking.insert(found),
            None => ranking.insert(self.rank_all(&need, asked)),
        };
        while let Some(Reverse((.., slot))) = ranking.ranks.pop() {
            let Some((rank, victims)) = self.rank(slot, &need) else { continue };
            let is_best = ranking.ranks.peek().is_none_or(|Reverse(next)| rank <= *next);
            ranking.ranks.push(Reverse(rank));
            if is_best {
                return Some(Room { agent: slot, amounts: need.shape.clone(), victims });
            }
        }
        None
    }

    fn need(&self, leaf: Leaf, member: &'a Member, asked: &'a DemandGroup) -> Option<Need<'a>> {
        let shape = &asked.shape;
        let amounts = Amounts { scalars: scalars(shape), ..Amounts::default() };
        let group = self.allocator.tree.group_of(leaf);
        let claim = self.ledger.claim(group, &amounts, self.allocator.counts_fair())?;
        let before = self.ledger.standing(group);
        Some(Need { leaf, member, shape, amounts, claim, before })
    }

    fn rank_all(&mut self, need: &Need<'a>, asked: &DemandGroup) -> Ranking<'a> {
        let allocator = self.allocator;
        let suits = |(slot, agent): &(AgentSlot, &Agent)| {
            let site = allocator.maintenance.site(self.now, *slot, agent);
            agent.active
                && agent.allowed
                && need.member.is_open_to(agent)
                && asked.can_use(site.profile, site.time_left)
        };
        let suitable: Vec<AgentSlot> = allocator.agents.iter().filter(suits).map(|(slot, _)| slot).collect();
        let ranks = suitable.into_iter().filter_map(|slot| Some(Reverse(self.rank(slot, need)?.0)));
        Ranking { claim: need.claim, ranks: ranks.collect() }
    }

    /// How good an agent is, and the tasks that would have to end there.
    fn rank(&mut self, slot: AgentSlot, need: &Need<'a>) -> Option<(Rank<'a>, Vec<usize>)> {
        let agent = self.allocator.agents.get(slot)?;
        let victims = self.victims(slot, agent, need)?;
        let turns = victims.iter().map(|index| self.turn(*index, need.leaf)).collect();
        Some(((victims.len(), turns, agent.joined, slot), victims))
    }

    /// The tasks that would have to end on an agent; `None` when even all that may would not suffice.
    ///
    /// Each is the one that leaves the least to be lacking, the first in turn among equals; those that turn out not to be needed
    /// are spared in the end. So they are as few as can be where one kind of resource is short, and nearly so else.
    fn victims(&mut self, slot: AgentSlot, agent: &Agent, need: &Need<'a>) -> Option<Vec<usize>> {
        let mut room = self.usable(&agent.available().resources, need);
        let here = self.by_agent.get(&slot).cloned().unwrap_or_default();
        for ended in here.iter().filter(|index| self.entry(**index).is_some_and(|entry| entry.ends)) {
            room.add(&self.usable(&self.running[*ended].resources, need));
        }
        room = room.minus_clamped(self.promised.get(&slot).unwrap_or(&Quantities::new()));
        let mut left: Vec<(Turn<'a>, usize, Quantities)> = here
            .iter()
            .filter(|index| self.entry(**index).is_some_and(|entry| !entry.ends))
            .map(|index| {
                let freed = self.usable(&self.running[*index].resources, need);
                (self.turn(*index, need.leaf), *index, freed)
            })
            .collect();
        left.sort_by_key(|(turn, ..)| *turn);
        let mut chosen: Vec<(usize, Quantities)> = Vec::new();
        while !room.contains(need.shape) {
            let lacking = need.shape.minus_clamped(&room);
            let helps = |freed: &Quantities| lacking.minus_clamped(freed) != lacking;
            let candidates = left
                .iter()
                .enumerate()
                .filter(|(_, (_, index, freed))| helps(freed) && self.may_end(*index, need));
            let best = candidates
                .min_by_key(|(place, (.., freed))| (lacking_part(need.shape, &room, freed), *place));
            let Some(place) = best.map(|(place, _)| place) else { break };
            let (_, index, freed) = left.remove(place);
            self.try_end(index);
            room.add(&freed);
            chosen.push((index, freed));
        }
        let suffices = room.contains(need.shape);
        for place in (0..chosen.len()).rev() {
            let without = room.minus_clamped(&chosen[place].1);
            if suffices && without.contains(need.shape) {
                room = without;
                self.undo_end(chosen.remove(place).0);
            }
        }
        let mut victims: Vec<usize> = chosen.into_iter().map(|(index, _)| index).collect();
        let suffices = suffices && self.can_be_offered(slot, agent, &victims, need);
        for index in &victims {
            self.undo_end(*index);
        }
        victims.sort_by_key(|index| self.turn(*index, need.leaf));
        suffices.then_some(victims)
    }

    /// Whether neither a refusal nor what is kept back for guarantees would keep the room from being offered, once the victims have
    /// ended.
    fn can_be_offered(&self, slot: AgentSlot, agent: &Agent, victims: &[usize], need: &Need<'_>) -> bool {
        let freed = victims.iter().map(|index| &self.running[*index].resources);
        let room: Resources = freed.fold(agent.available().resources.clone(), |room, freed| room + freed);
        if self.allocator.filters.hides(slot, need.leaf, &room) {
            return false;
        }
        let kept_back = self.ledger.kept_back();
        if kept_back.is_empty() {
            return true;
        }
        let beside_guarantee = match need.claim {
            Claim::Guarantee => {
                let group = self.allocator.tree.group_of(need.leaf);
                need.amounts.scalars.minus_clamped(&self.ledger.lacking(group))
            }
            Claim::FairShare => need.amounts.scalars.clone(),
        };
        let mut unallocated = self.unallocated.clone();
        for entry in victims.iter().filter_map(|index| self.entry(*index)) {
            unallocated.add(&entry.amounts.charged());
        }
        unallocated.minus_clamped(kept_back).contains(&beside_guarantee)
    }

    /// How much the framework can use of some resources. A guarantee is met only by what quotas are charged for.
    fn usable(&self, resources: &Resources, need: &Need<'_>) -> Quantities {
        let is_usable = |resource: &Resource| {
            let is_exempt = resource.is_revocable() || resource.reserved_to().is_some();
            let counts = need.claim == Claim::FairShare || !is_exempt;
            counts && resource.allocatable_to(&need.member.role) && need.member.capabilities.allow(resource)
        };
        resources.filter(is_usable).quantities()
    }

    fn may_end(&mut self, index: usize, need: &Need<'_>) -> bool {
        let Some(entry) = self.entries.get(index).and_then(Option::as_ref) else { return false };
        let group = |leaf| self.allocator.tree.group_of(leaf);
        let (to, from) = (group(need.leaf), group(entry.leaf));
        self.ledger.may_pass(need.claim, &need.before, (to, &need.amounts), (from, &entry.amounts))
    }

    fn turn(&self, index: usize, beside: Leaf) -> Turn<'a> {
        let task = &self.running[index];
        let group = |leaf| self.allocator.tree.group_of(leaf);
        let excess =
            self.entry(index).map_or(0, |entry| self.ledger.excess(group(entry.leaf), group(beside)));
        let is_revocable = task.resources.iter().any(Resource::is_revocable);
        (Reverse(excess), !is_revocable, task.priority, Reverse(task.started), &task.task)
    }

    fn entry(&self, index: usize) -> Option<&Entry> {
        self.entries.get(index)?.as_ref()
    }

    fn try_end(&mut self, index: usize) {
        if let Some(entry) = &self.entries[index] {
            self.ledger.take(self.allocator.tree.group_of(entry.leaf), &entry.amounts);
        }
    }

    fn undo_end(&mut self, index: usize) {
        if let Some(entry) = &self.entries[index] {
            self.ledger.give(self.allocator.tree.group_of(entry.leaf), &entry.amounts);
        }
    }

    /// The task will end.
    fn end(&mut self, index: usize) {
        self.try_end(index);
        if let Some(entry) = &mut self.entries[index] {
            self.unallocated.add(&entry.amounts.charged());
            entry.ends = true;
        }
    }

    /// So much will go to a leaf.
    fn promise(&mut self, agent: AgentSlot, leaf: Leaf, shape: &Quantities) {
        self.promised.entry(agent).or_default().add(shape);
        let scalars = scalars(shape);
        self.unallocated.subtract_clamped(&scalars);
        self.ledger.give(self.allocator.tree.group_of(leaf), &Amounts { scalars, ..Amounts::default() });
    }
}

/// What counts for shares and quotas.
fn scalars(shape: &Quantities) -> Quantities {
    let mut scalars = shape.clone();
    scalars.set(&Kind::Ports, Scalar::ZERO);
    scalars
}

/// How much would still be lacking, as the sum over kinds of the part that is, in thousandths.
fn lacking_part(shape: &Quantities, room: &Quantities, freed: &Quantities) -> i64 {
    let mut room = room.clone();
    room.add(freed);
    let lacking = shape.minus_clamped(&room);
    let part = |(kind, lacking): (&Kind, Scalar)| lacking.milli() * 1000 / shape.get(kind).milli().max(1);
    lacking.iter().map(part).sum()
}
