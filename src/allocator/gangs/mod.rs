//! Gangs: tasks that start together or not at all.
//!
//! A gang gets an [`OfferSet`]: resources for all tasks that have to start together, on one agent or several, accepted or declined
//! whole. There are two ways to one:
//!
//! - *At once.* After each cycle, every gang is given its set that finds all of it among what is left free.
//! - *By a turn.* One gang at a time, in the whole cluster, gathers: it takes part in the cycles as its framework's share and quota
//!   allow, but keeps what it gets until that suffices. What it keeps counts as its framework's.
//!
//! Turns go in rounds. In each round every framework that waits for a gang in a role gets one, furthest below its fair share first;
//! newcomers join the next round. A turn ends when the set is complete, when nobody waits for it any more, or when its time is over
//! ([`DrfOptions::gang_hold`](super::DrfOptions::gang_hold)): then all that was gathered is free again, and that framework begins no
//! turn of its own for as long as its last one took. A gang gets no turn while all agents together, empty, could not hold it, or its
//! role's limits leave too little.
//!
//! A turn does not change who is how far below its fair share: a gang that needs more than its framework's share waits for as long as
//! others want theirs.
//!
//! So gangs can't deadlock: whatever is kept while something is missing is kept by one gang, which waits for no other gang, and not
//! for longer than a turn; and every gang that waits has its turn after at most one of each other. (Compare the hoarding of offers by
//! schedulers of two-level systems, in Schwarzkopf et al., EuroSys 2013.)

mod gather;
mod search;

use std::collections::BTreeMap;

use super::Allocation;
use super::agents::AgentSlot;
use super::tree::Leaf;
use crate::protocol::DemandGroup;
use crate::resources::Resources;
use crate::time::Time;

#[cfg(test)]
pub(super) use self::search::fit;
pub(super) use self::search::{Part, Scope};

/// Resources for a gang, on one agent or several, for one role of one framework: accepted or declined whole.
#[derive(Clone, Debug, PartialEq)]
pub struct OfferSet {
    /// What is wanted together.
    pub group: DemandGroup,
    /// One of each agent, with what some of the tasks take.
    pub allocations: Vec<Allocation>,
}

/// Whose turn it is, and when it is whose.
#[derive(Debug, Default)]
pub(super) struct Gangs {
    /// Of all that have ever waited for a gang.
    turns: BTreeMap<Leaf, Turn>,
    /// The round of the last turn.
    round: u64,
    holder: Option<Holder>,
    /// Sets that are not handed out yet.
    complete: Vec<OfferSet>,
}

/// When it is someone's turn.
#[derive(Debug)]
struct Turn {
    /// In which round.
    round: u64,
    /// Not before then.
    rests_until: Option<Time>,
}

/// The gang that gathers.
#[derive(Debug)]
pub(super) struct Holder {
    pub(super) leaf: Leaf,
    pub(super) group: DemandGroup,
    /// The group's place in the framework's demand.
    pub(super) place: usize,
    /// How many tasks start together.
    pub(super) size: u32,
    since: Time,
    /// When the turn is over.
    pub(super) until: Time,
    parts: BTreeMap<AgentSlot, Part>,
}

impl Holder {
    /// For how many tasks it has gathered.
    pub(super) fn gathered(&self) -> u32 {
        self.parts.values().map(|part| part.tasks).sum()
    }

    pub(super) fn lacking(&self) -> u32 {
        self.size.saturating_sub(self.gathered())
    }
}

impl Gangs {
    /// The gang that gathers.
    pub(super) fn holder(&self) -> Option<&Holder> {
        self.holder.as_ref()
    }

    /// The gang that gathers, when it is this leaf's.
    pub(super) fn holder_at(&self, leaf: Leaf) -> Option<&Holder> {
        self.holder.as_ref().filter(|holder| holder.leaf == leaf)
    }

    /// What is kept on each agent.
    pub(super) fn kept(&self) -> impl Iterator<Item = (Leaf, AgentSlot, &Resources)> {
        self.holder.iter().flat_map(|holder| {
            holder.parts.iter().map(|(agent, part)| (holder.leaf, *agent, &part.resources))
        })
    }

    /// Takes the complete sets.
    pub(super) fn take_complete(&mut self) -> impl Iterator<Item = OfferSet> {
        self.complete.drain(..)
    }

    pub(super) fn count_complete(&self) -> usize {
        self.complete.len()
    }

    /// A leaf waits for a gang.
    pub(super) fn join(&mut self, leaf: Leaf) {
        let round = self.round + 1;
        self.turns.entry(leaf).or_insert(Turn { round, rests_until: None });
    }

    /// A leaf is gone: its place may become another's.
    pub(super) fn forget(&mut self, leaf: Leaf) {
        self.turns.remove(&leaf);
    }

    /// When a turn is over, or someone has rested, and another can begin.
    pub(super) fn next_deadline(&self) -> Option<Time> {
        let over = self.holder.as_ref().map(|holder| holder.until);
        over.into_iter().chain(self.turns.values().filter_map(|turn| turn.rests_until)).min()
    }

    /// Until when a leaf begins no turn of its own, if it has had one lately.
    pub(super) fn rests_until(&self, leaf: Leaf) -> Option<Time> {
        self.turns.get(&leaf)?.rests_until
    }
}
