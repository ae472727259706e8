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
#[derive(Debug, Default)]
struct Refused {
    /// Sorted by leaf.
    keys: Vec<Key>,
    /// In the order of the keys.
    refusals: Vec<Refusal>,
    /// What everyone refused, when that are the very same resources, so that having refused tells all.
    alike: Option<Resources>,
    marks: Marks,
}

/// Which leaves have refusals that count, a bit for each: what a cycle asks most, and mostly of leaves that have.
#[derive(Debug, Default)]
struct Marks {
    words: Vec<u64>,
    /// After how many clearings of leaves this was so; it says nothing later.
    as_of: Option<u64>,
}

impl Marks {
    fn insert(&mut self, leaf: u32) {
        let (word, bit) = (leaf as usize / 64, leaf % 64);
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= 1 << bit;
    }

    /// `None`: not known.
    fn contain(&self, leaf: Leaf, clearings: u64) -> Option<bool> {
        (self.as_of == Some(clearings))
            .then(|| self.words.get(leaf / 64).is_some_and(|word| word >> (leaf % 64) & 1 == 1))
    }
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
    /// How often a leaf got a new generation.
    clearings: u64,
    /// Where a refusal expires, or would, had it not been replaced or forgotten before.
    expiries: BTreeMap<Time, Vec<(AgentSlot, Leaf)>>,
    /// How many refusals are kept.
    kept: usize,
    /// How many places `expiries` has.
    expiring: usize,
}

/// Expiries of refusals that are gone are cleared away when they are more than those of others, and more than this.
const FEW: usize = 1024;

impl Refused {
    /// Where a leaf's refusals are, or would be.
    fn first(&self, leaf: Leaf) -> usize {
        self.keys.partition_point(|key| (key.leaf as usize) < leaf)
    }

    fn is_of(&self, at: usize, leaf: Leaf) -> bool {
        self.keys.get(at).is_some_and(|key| key.leaf as usize == leaf)
    }

    fn insert(&mut self, at: usize, key: Key, refusal: Refusal) {
        if self.refusals.is_empty() {
            self.alike = Some(refusal.resources.clone());
        } else {
            self.alike.take_if(|alike| !alike.is_same(&refusal.resources));
        }
        self.keys.insert(at, key);
        self.refusals.insert(at, refusal);
    }

    fn remove(&mut self, at: usize) {
        self.keys.remove(at);
        self.refusals.remove(at);
        self.marks.as_of = None;
    }

    /// Marks a leaf that refused, and all that did before where this is not known any more.
    fn mark(&mut self, leaf: Leaf, generations: &[u32], clearings: u64) {
        if self.marks.as_of == Some(clearings) {
            self.marks.insert(leaf as u32);
            return;
        }
        self.marks.words.clear();
        self.marks.as_of = Some(clearings);
        for key in &self.keys {
            if key.generation == generations.get(key.leaf as usize).copied().unwrap_or_default() {
                self.marks.insert(key.leaf);
            }
        }
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
        refused.mark(leaf, &self.generations, self.clearings);
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
        let marked = refused.marks.contain(leaf, self.clearings);
        if marked == Some(false) {
            return false;
        }
        let generation = self.generation(leaf);
        if refused.alike.as_ref().is_some_and(|alike| alike.is_same(resources)) {
            if let Some(marked) = marked {
                return marked;
            }
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
        self.clearings += 1;
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
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Refuse { agent: AgentSlot, leaf: Leaf, cpus: u32, until: u64 },
        ClearLeaf(Leaf),
        ClearAgent(AgentSlot),
        Expire(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let refuse = (0..2_usize, 60..70_usize, 1..3_u32, 0..20_u64);
        let step = prop_oneof![
            8 => refuse.prop_map(|(agent, leaf, cpus, until)| Step::Refuse { agent, leaf, cpus, until }),
            1 => (60..70_usize).prop_map(Step::ClearLeaf),
            1 => (0..2_usize).prop_map(Step::ClearAgent),
            1 => (0..20_u64).prop_map(Step::Expire),
        ];
        prop::collection::vec(step, 0..60)
    }

    proptest! {
        #[test]
        fn what_is_hidden_is_what_a_list_of_refusals_says(steps in steps()) {
            let offered = [1, 2, 3].map(|cpus| Resources::cpus_mem(1000 * cpus, 64));
            let (mut filters, mut refusals) = (Filters::default(), Vec::new());
            for step in steps {
                match step {
                    Step::Refuse { agent, leaf, cpus, until } => {
                        filters.refuse(agent, leaf, &offered[cpus as usize - 1], Time::from_secs(until));
                        refusals.push((agent, leaf, cpus, until));
                    }
                    Step::ClearLeaf(cleared) => {
                        filters.clear_leaf(cleared);
                        refusals.retain(|(_, leaf, ..)| *leaf != cleared);
                    }
                    Step::ClearAgent(cleared) => {
                        filters.clear_agent(cleared);
                        refusals.retain(|(agent, ..)| *agent != cleared);
                    }
                    Step::Expire(now) => {
                        filters.expire(Time::from_secs(now), |_| {});
                        refusals.retain(|(.., until)| *until > now);
                    }
                }
                for (agent, leaf, cpus) in (0..2).flat_map(|agent| {
                    (60..70).flat_map(move |leaf| (1..=3).map(move |cpus| (agent, leaf, cpus)))
                }) {
                    let hidden = refusals.iter().any(|(other, of, most, _)| (*other, *of) == (agent, leaf) && *most >= cpus);
                    prop_assert_eq!(filters.hides(agent, leaf, &offered[cpus as usize - 1]), hidden);
                }
            }
        }
    }

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
