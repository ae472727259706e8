//! What frameworks refused lately.

use std::collections::BTreeMap;

use super::agents::AgentSlot;
use super::tree::Leaf;
use crate::resources::Resources;
use crate::time::Time;

/// Whose a refusal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    leaf: u32,
    /// The leaf's generation when it refused: the refusal counts only as long as that is so.
    generation: u32,
}

/// What is refused, and until when.
#[derive(Debug)]
struct Refusal {
    until: Time,
    resources: Resources,
}

/// What was refused of one agent. The keys lie apart from the rest, close together: a cycle asks for many and finds few.
#[derive(Debug)]
struct Refused {
    /// Sorted by leaf.
    keys: Vec<Key>,
    /// In the order of the keys.
    refusals: Vec<Refusal>,
    /// All refused the very same resources, so that having refused tells all.
    alike: bool,
}

/// Refused offers, each until it expires, per agent and framework in a role. What is larger than, or different from, what
/// was refused passes.
///
/// Everything a leaf refused is forgotten at once by giving the leaf a new generation; what remains of it is thrown away
/// when it expires.
#[derive(Debug, Default)]
pub(super) struct Filters {
    /// By agent.
    refused: Vec<Refused>,
    /// By leaf.
    generations: Vec<u32>,
    /// Where a refusal expires, or would, had it not been replaced or forgotten before.
    expiries: BTreeMap<Time, Vec<(AgentSlot, Leaf)>>,
    /// How many refusals are kept.
    kept: usize,
    /// How many places `expiries` has.
    expiring: usize,
}

/// Expiries of refusals that are gone are cleared away when they are more than those of others, and more than this.
const FEW: usize = 1024;

impl Default for Refused {
    fn default() -> Self {
        Refused { keys: Vec::new(), refusals: Vec::new(), alike: true }
    }
}

impl Refused {
    /// Where a leaf's refusals are, or would be.
    fn first(&self, leaf: Leaf) -> usize {
        self.keys.partition_point(|key| (key.leaf as usize) < leaf)
    }

    fn is_of(&self, at: usize, leaf: Leaf) -> bool {
        self.keys.get(at).is_some_and(|key| key.leaf as usize == leaf)
    }

    fn insert(&mut self, at: usize, key: Key, refusal: Refusal) {
        self.alike = match self.refusals.first() {
            Some(first) => self.alike && first.resources.is_same(&refusal.resources),
            None => true,
        };
        self.keys.insert(at, key);
        self.refusals.insert(at, refusal);
    }

    fn remove(&mut self, at: usize) {
        self.keys.remove(at);
        self.refusals.remove(at);
    }

    /// A leaf's refusals that count.
    fn of(&self, leaf: Leaf, generation: u32) -> impl Iterator<Item = &Refusal> {
        let first = self.first(leaf);
        let keys = self.keys[first..].iter().take_while(move |key| key.leaf as usize == leaf);
        keys.zip(&self.refusals[first..])
            .filter(move |(key, _)| key.generation == generation)
            .map(|(_, refusal)| refusal)
    }
}

impl Filters {
    /// Hides what was refused until then.
    pub(super) fn refuse(&mut self, agent: AgentSlot, leaf: Leaf, resources: &Resources, until: Time) {
        let generation = self.generation(leaf);
        if self.refused.len() <= agent {
            self.refused.resize_with(agent + 1, Refused::default);
        }
        let refused = &mut self.refused[agent];
        let mut end = refused.first(leaf);
        while refused.is_of(end, leaf) {
            let (counts, other) = (refused.keys[end].generation == generation, &refused.refusals[end]);
            if counts && other.until >= until && other.resources.contains(resources) {
                return;
            }
            // What the new refusal hides for longer is not kept, so that a framework that refuses often costs no more.
            if !counts || (other.until <= until && resources.contains(&other.resources)) {
                refused.remove(end);
                self.kept -= 1;
            } else {
                end += 1;
            }
        }
        let key = Key { leaf: leaf as u32, generation };
        refused.insert(end, key, Refusal { until, resources: resources.clone() });
        self.kept += 1;
        self.expiries.entry(until).or_default().push((agent, leaf));
        self.expiring += 1;
        if self.expiring > FEW.max(2 * self.kept) {
            self.sort_expiries();
        }
    }

    /// Whether nothing of this agent is hidden from anyone.
    pub(super) fn none_at(&self, agent: AgentSlot) -> bool {
        self.refused.get(agent).is_none_or(|refused| refused.keys.is_empty())
    }

    /// Whether this is hidden.
    pub(super) fn hides(&self, agent: AgentSlot, leaf: Leaf, resources: &Resources) -> bool {
        let Some(refused) = self.refused.get(agent).filter(|refused| !refused.keys.is_empty()) else {
            return false;
        };
        let generation = self.generation(leaf);
        if refused.alike && refused.refusals[0].resources.is_same(resources) {
            let keys = &refused.keys[refused.first(leaf)..];
            return keys
                .iter()
                .take_while(|key| key.leaf as usize == leaf)
                .any(|key| key.generation == generation);
        }
        refused.of(leaf, generation).any(|refusal| refusal.resources.contains(resources))
    }

    /// Until when this is hidden; `None` when it is not.
    pub(super) fn hidden_until(&self, agent: AgentSlot, leaf: Leaf, resources: &Resources) -> Option<Time> {
        let refused = self.refused.get(agent)?.of(leaf, self.generation(leaf));
        refused.filter(|refusal| refusal.resources.contains(resources)).map(|refusal| refusal.until).max()
    }

    /// When the first refusal expires.
    pub(super) fn next_expiry(&self) -> Option<Time> {
        self.expiries.first_key_value().map(|(until, _)| *until)
    }

    /// Drops what has expired, and calls `freed` with the agents of which more can be offered.
    pub(super) fn expire(&mut self, now: Time, mut freed: impl FnMut(AgentSlot)) {
        while let Some(entry) = self.expiries.first_entry().filter(|entry| *entry.key() <= now) {
            let expired = entry.remove();
            self.expiring -= expired.len();
            for (agent, leaf) in expired {
                let Some(refused) = self.refused.get_mut(agent) else { continue };
                let mut at = refused.first(leaf);
                let before = refused.keys.len();
                while refused.is_of(at, leaf) {
                    if refused.refusals[at].until <= now {
                        refused.remove(at);
                    } else {
                        at += 1;
                    }
                }
                if refused.keys.len() < before {
                    self.kept -= before - refused.keys.len();
                    freed(agent);
                }
            }
        }
    }

    /// Forgets what a framework refused in a role.
    pub(super) fn clear_leaf(&mut self, leaf: Leaf) {
        if self.generations.len() <= leaf {
            self.generations.resize(leaf + 1, 0);
        }
        self.generations[leaf] = self.generations[leaf].wrapping_add(1);
    }

    /// Forgets what was refused of an agent.
    pub(super) fn clear_agent(&mut self, agent: AgentSlot) {
        if let Some(refused) = self.refused.get_mut(agent) {
            self.kept -= refused.keys.len();
            *refused = Refused::default();
        }
    }

    /// Lists anew what expires when.
    fn sort_expiries(&mut self) {
        self.expiries.clear();
        self.expiring = self.kept;
        for (agent, refused) in self.refused.iter().enumerate() {
            for (key, refusal) in refused.keys.iter().zip(&refused.refusals) {
                self.expiries.entry(refusal.until).or_default().push((agent, key.leaf as usize));
            }
        }
    }

    fn generation(&self, leaf: Leaf) -> u32 {
        self.generations.get(leaf).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusing_and_reviving_for_ever_keeps_little() {
        let mut filters = Filters::default();
        let resources = Resources::cpus_mem(1000, 64);
        for round in 0..10 * FEW as u64 {
            filters.refuse(3, 7, &resources, Time::from_nanos(round + 1_000_000));
            assert!(filters.hidden_until(3, 7, &resources).is_some());
            filters.clear_leaf(7);
            assert_eq!(filters.hidden_until(3, 7, &resources), None);
        }
        assert_eq!((filters.kept, filters.refused[3].keys.len()), (1, 1));
        assert!(filters.expiring <= FEW);
    }

    #[test]
    fn whether_refusals_are_alike_makes_no_difference() {
        let (one, two) = (Resources::cpus_mem(1000, 64), Resources::cpus_mem(2000, 64));
        let mut filters = Filters::default();
        for leaf in [5, 3, 9] {
            filters.refuse(0, leaf, &one, Time::from_secs(9));
        }
        for leaf in 0..10 {
            assert_eq!(filters.hides(0, leaf, &one), [3, 5, 9].contains(&leaf));
            assert_eq!(filters.hides(0, leaf, &Resources::cpus_mem(1000, 64)), [3, 5, 9].contains(&leaf));
            assert!(!filters.hides(0, leaf, &two));
        }
        filters.refuse(0, 4, &two, Time::from_secs(9));
        filters.clear_leaf(5);
        for leaf in 0..10 {
            assert_eq!(filters.hides(0, leaf, &one), [3, 4, 9].contains(&leaf));
            assert_eq!(filters.hides(0, leaf, &two), leaf == 4);
        }
    }

    #[test]
    fn an_agent_is_free_again_when_its_refusals_expire() {
        let mut filters = Filters::default();
        let (little, much) = (Resources::cpus_mem(1000, 64), Resources::cpus_mem(2000, 64));
        filters.refuse(0, 1, &much, Time::from_secs(1));
        filters.refuse(0, 1, &little, Time::from_secs(2));
        assert_eq!(filters.hidden_until(0, 1, &little), Some(Time::from_secs(2)));
        let mut freed = Vec::new();
        filters.expire(Time::from_secs(1), |agent| freed.push(agent));
        assert_eq!(freed, [0]);
        assert_eq!(filters.hidden_until(0, 1, &much), None);
        assert_eq!(filters.hidden_until(0, 1, &little), Some(Time::from_secs(2)));
        assert_eq!(filters.next_expiry(), Some(Time::from_secs(2)));
    }
}
