//! Finds agents by what is free on them, in the order in which they joined.

use super::agents::AgentSlot;
use super::slots::SlotSet;
use crate::resources::Quantities;

/// Where agents with enough of everything are, without looking at each.
///
/// A binary tree in an array: its leaves are the agents, in the order in which they joined; each node above has the most that is
/// free below it, of each kind. It is built when it is first asked, and brought up to date when it is asked again: whoever
/// never asks pays for nothing.
#[derive(Debug, Default)]
pub(super) struct Fits {
    /// The root is at 1, the children of `n` at `2n` and `2n + 1`, the agents from `leaves` on. Empty before it is built.
    most: Vec<Quantities>,
    leaves: usize,
    /// By leaf, from the left; those of agents that are gone are empty.
    agents: Vec<Option<AgentSlot>>,
    /// By agent.
    leaf_of: Vec<usize>,
    gone: usize,
    /// Agents that changed since the tree was up to date.
    changed: SlotSet,
}

impl Fits {
    /// Something else is free on an agent, or it has just joined: after all that are known.
    pub(super) fn note_changed(&mut self, slot: AgentSlot) {
        if self.leaves > 0 {
            self.changed.insert(slot);
        }
    }

    /// Somebody joins.
    pub(super) fn note_joined(&mut self, slot: AgentSlot) {
        if self.agents.len() == self.leaves {
            // Full, or not built yet.
            return self.forget();
        }
        if self.leaf_of.len() <= slot {
            self.leaf_of.resize(slot + 1, 0);
        }
        self.leaf_of[slot] = self.agents.len();
        self.agents.push(Some(slot));
    }

    /// Somebody is gone.
    pub(super) fn note_gone(&mut self, slot: AgentSlot) {
        if self.leaves == 0 {
            return;
        }
        self.gone += 1;
        if 2 * self.gone > self.agents.len() {
            return self.forget();
        }
        self.changed.remove(slot);
        let leaf = self.leaf_of[slot];
        self.agents[leaf] = None;
        self.set(leaf, Quantities::new());
    }

    fn forget(&mut self) {
        *self = Fits::default();
    }

    /// Whether all agents have to be told by [`build`](Self::build).
    pub(super) fn is_to_be_built(&self) -> bool {
        self.leaves == 0
    }

    /// Takes in all agents, in the order in which they joined.
    pub(super) fn build(&mut self, agents: Vec<(AgentSlot, Quantities)>) {
        self.forget();
        // Room for as many again, so that each of those who join is put in place once or twice.
        self.leaves = (2 * agents.len()).next_power_of_two().max(2);
        self.most = vec![Quantities::new(); 2 * self.leaves];
        self.leaf_of = vec![0; agents.iter().map(|(slot, _)| slot + 1).max().unwrap_or(0)];
        for (leaf, (slot, free)) in agents.into_iter().enumerate() {
            self.leaf_of[slot] = leaf;
            self.agents.push(Some(slot));
            self.most[self.leaves + leaf] = free;
        }
        for node in (1..self.leaves).rev() {
            self.most[node] = self.most[2 * node].max(&self.most[2 * node + 1]);
        }
    }

    /// Brings those up to date that changed.
    pub(super) fn refresh(&mut self, free: impl Fn(AgentSlot) -> Quantities) {
        let mut changed = std::mem::take(&mut self.changed);
        for slot in changed.members() {
            self.set(self.leaf_of[*slot], free(*slot));
        }
        changed.clear();
        self.changed = changed;
    }

    fn set(&mut self, leaf: usize, free: Quantities) {
        let mut node = self.leaves + leaf;
        self.most[node] = free;
        while node > 1 {
            node /= 2;
            let (above, below) = self.most.split_at_mut(node + 1);
            let (left, right) = (&below[node - 1], &below[node]);
            if !above[node].become_max(left, right) {
                break;
            }
        }
    }

    /// The first agent from a place on where any of these amounts is free, with the place behind it.
    pub(super) fn first(&self, from: usize, any_of: &[Quantities]) -> Option<(AgentSlot, usize)> {
        let fits = |node: usize| any_of.iter().any(|wanted| self.most[node].contains(wanted));
        if from >= self.leaves {
            return None;
        }
        // The highest node below which a node is the first.
        let highest = |node: usize| node >> node.trailing_zeros();
        let mut node = highest(self.leaves + from);
        loop {
            if !fits(node) {
                // On to what is right of all below it.
                node += 1;
                if node.is_power_of_two() {
                    return None;
                }
                node = highest(node);
            } else if node < self.leaves {
                node *= 2;
            } else {
                let leaf = node - self.leaves;
                return Some(((*self.agents.get(leaf)?)?, leaf + 1));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::resources::Resources;

    #[derive(Clone, Debug)]
    enum Step {
        Join(u32),
        Leave(usize),
        Change(usize, u32),
        Ask(u32),
    }

    fn amounts(cpus: u32) -> Quantities {
        Resources::cpus_mem(cpus * 1000, 8 - cpus).quantities()
    }

    proptest! {
        #[test]
        fn the_first_that_fits_is_found(steps in prop::collection::vec(prop_oneof![
            3 => (0..8_u32).prop_map(Step::Join),
            1 => any::<prop::sample::Index>().prop_map(|at| Step::Leave(at.index(1000))),
            3 => (any::<prop::sample::Index>(), 0..8_u32).prop_map(|(at, cpus)| Step::Change(at.index(1000), cpus)),
            2 => (1..8_u32).prop_map(Step::Ask),
        ], 0..80)) {
            let (mut fits, mut model, mut unused) = (Fits::default(), BTreeMap::new(), Vec::new());
            let mut joined = 0;
            for step in steps {
                // By when they joined: slot, free.
                let chosen = |at: usize| model.keys().nth(at % model.len().max(1)).copied();
                match step {
                    Step::Join(cpus) => {
                        let slot = unused.pop().unwrap_or(model.len());
                        model.insert(joined, (slot, cpus));
                        joined += 1;
                        fits.note_joined(slot);
                        fits.note_changed(slot);
                    }
                    Step::Leave(at) => if let Some((slot, _)) = chosen(at).and_then(|at| model.remove(&at)) {
                        unused.push(slot);
                        fits.note_gone(slot);
                    }
                    Step::Change(at, cpus) => if let Some(known) = chosen(at).and_then(|at| model.get_mut(&at)) {
                        known.1 = cpus;
                        fits.note_changed(known.0);
                    }
                    Step::Ask(cpus) => {
                        let free: BTreeMap<usize, u32> = model.values().copied().collect();
                        if fits.is_to_be_built() {
                            fits.build(model.values().map(|(slot, cpus)| (*slot, amounts(*cpus))).collect());
                        }
                        fits.refresh(|slot| amounts(free[&slot]));
                        let wanted = [Resources::cpus_mem(cpus * 1000, 1).quantities()];
                        let (mut found, mut from) = (Vec::new(), 0);
                        while let Some((slot, next)) = fits.first(from, &wanted) {
                            found.push(slot);
                            from = next;
                        }
                        let fitting = model.values().filter(|(_, free)| amounts(*free).contains(&wanted[0]));
                        prop_assert_eq!(found, fitting.map(|(slot, _)| *slot).collect::<Vec<_>>());
                    }
                }
            }
        }
    }
}
