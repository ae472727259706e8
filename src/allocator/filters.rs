//! What frameworks refused lately.

use std::collections::BTreeMap;

use super::agents::AgentSlot;
use super::tree::Leaf;
use crate::resources::Resources;
use crate::time::Time;

/// Something refused, and until when.
#[derive(Debug)]
struct Refusal {
    leaf: Leaf,
    /// The leaf's generation when it refused: it counts only as long as that is so.
    generation: u32,
    until: Time,
    resources: Resources,
}

/// Refused offers, each until it expires, per agent and framework in a role. What is larger than, or different from, what
/// was refused passes.
///
/// Everything a leaf refused is forgotten at once by giving the leaf a new generation; what remains of it is thrown away
/// when it expires.
#[derive(Debug, Default)]
pub(super) struct Filters {
    /// By agent, each sorted by leaf.
    refused: Vec<Vec<Refusal>>,
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

impl Filters {
    /// Hides what was refused until then.
    pub(super) fn refuse(&mut self, agent: AgentSlot, leaf: Leaf, resources: &Resources, until: Time) {
        let generation = self.generation(leaf);
        if self.refused.len() <= agent {
            self.refused.resize_with(agent + 1, Vec::new);
        }
        let refused = &mut self.refused[agent];
        let first = refused.partition_point(|refusal| refusal.leaf < leaf);
        let mut end = first;
        while let Some(other) = refused.get(end).filter(|refusal| refusal.leaf == leaf) {
            let counts = other.generation == generation;
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
        refused.insert(end, Refusal { leaf, generation, until, resources: resources.clone() });
        self.kept += 1;
        self.expiries.entry(until).or_default().push((agent, leaf));
        self.expiring += 1;
        if self.expiring > FEW.max(2 * self.kept) {
            self.sort_expiries();
        }
    }

    /// Whether nothing of this agent is hidden from anyone.
    pub(super) fn none_at(&self, agent: AgentSlot) -> bool {
        self.refused.get(agent).is_none_or(Vec::is_empty)
    }

    /// Until when this is hidden; `None` when it is not.
    pub(super) fn hidden_until(&self, agent: AgentSlot, leaf: Leaf, resources: &Resources) -> Option<Time> {
        let refused = self.refused.get(agent)?;
        let first = refused.partition_point(|refusal| refusal.leaf < leaf);
        let generation = self.generation(leaf);
        refused[first..]
            .iter()
            .take_while(|refusal| refusal.leaf == leaf)
            .filter(|refusal| refusal.generation == generation && refusal.resources.contains(resources))
            .map(|refusal| refusal.until)
            .max()
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
                let mut at = refused.partition_point(|refusal| refusal.leaf < leaf);
                let before = refused.len();
                while let Some(refusal) = refused.get(at).filter(|refusal| refusal.leaf == leaf) {
                    if refusal.until <= now {
                        refused.remove(at);
                    } else {
                        at += 1;
                    }
                }
                if refused.len() < before {
                    self.kept -= before - refused.len();
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
            self.kept -= refused.len();
            refused.clear();
        }
    }

    /// Lists anew what expires when.
    fn sort_expiries(&mut self) {
        self.expiries.clear();
        self.expiring = self.kept;
        for (agent, refused) in self.refused.iter().enumerate() {
            for refusal in refused {
                self.expiries.entry(refusal.until).or_default().push((agent, refusal.leaf));
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
        assert_eq!((filters.kept, filters.refused[3].len()), (1, 1));
        assert!(filters.expiring <= FEW);
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
