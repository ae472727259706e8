//! Things in numbered slots, found by id, and sets of slots.

use std::hash::Hash;

use rustc_hash::FxHashMap;

/// Things that are found by id once and by slot from then on. The slot of something gone is given to the next newcomer.
#[derive(Debug)]
pub(super) struct Slots<I, T> {
    things: Vec<Option<T>>,
    unused: Vec<usize>,
    by_id: FxHashMap<I, usize>,
}

impl<I, T> Default for Slots<I, T> {
    fn default() -> Self {
        Slots { things: Vec::new(), unused: Vec::new(), by_id: FxHashMap::default() }
    }
}

impl<I: Clone + Eq + Hash, T> Slots<I, T> {
    pub(super) fn slot(&self, id: &I) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    pub(super) fn get(&self, slot: usize) -> Option<&T> {
        self.things.get(slot).and_then(Option::as_ref)
    }

    pub(super) fn get_mut(&mut self, slot: usize) -> Option<&mut T> {
        self.things.get_mut(slot).and_then(Option::as_mut)
    }

    /// Puts something under an id that is not in here, and returns its slot.
    pub(super) fn insert(&mut self, id: &I, thing: T) -> usize {
        let slot = match self.unused.pop() {
            Some(slot) => {
                self.things[slot] = Some(thing);
                slot
            }
            None => {
                self.things.push(Some(thing));
                self.things.len() - 1
            }
        };
        self.by_id.insert(id.clone(), slot);
        slot
    }

    pub(super) fn remove(&mut self, id: &I) -> Option<(usize, T)> {
        let slot = self.by_id.remove(id)?;
        let thing = self.things.get_mut(slot)?.take()?;
        self.unused.push(slot);
        Some((slot, thing))
    }

    /// All of them, by slot.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        self.things.iter().enumerate().filter_map(|(slot, thing)| Some((slot, thing.as_ref()?)))
    }
}

/// A set of slots where adding, removing and looking up take constant time, and listing them as long as they are many.
#[derive(Clone, Debug, Default)]
pub(super) struct SlotSet {
    members: Vec<usize>,
    /// Where in `members` a slot is, one up; zero when it is not.
    places: Vec<u32>,
}

impl SlotSet {
    pub(super) fn insert(&mut self, slot: usize) {
        if self.places.len() <= slot {
            self.places.resize(slot + 1, 0);
        }
        if self.places[slot] == 0 {
            self.members.push(slot);
            self.places[slot] = self.members.len() as u32;
        }
    }

    pub(super) fn remove(&mut self, slot: usize) {
        let Some(place) = self.places.get_mut(slot).filter(|place| **place > 0) else { return };
        let place = std::mem::take(place) as usize - 1;
        self.members.swap_remove(place);
        if let Some(moved) = self.members.get(place) {
            self.places[*moved] = place as u32 + 1;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(super) fn members(&self) -> &[usize] {
        &self.members
    }

    pub(super) fn clear(&mut self) {
        for slot in self.members.drain(..) {
            self.places[slot] = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_slot_set_is_a_set(changes in prop::collection::vec((0..20_usize, any::<bool>()), 0..60)) {
            let (mut set, mut model) = (SlotSet::default(), BTreeSet::new());
            for (slot, insert) in changes {
                if insert {
                    set.insert(slot);
                    model.insert(slot);
                } else {
                    set.remove(slot);
                    model.remove(&slot);
                }
                prop_assert_eq!(set.members().iter().copied().collect::<BTreeSet<_>>(), model.clone());
                prop_assert_eq!(set.members().len(), model.len());
            }
        }
    }

    #[test]
    fn slots_are_used_again() {
        let mut slots = Slots::default();
        assert_eq!([slots.insert(&"a", 1), slots.insert(&"b", 2)], [0, 1]);
        assert_eq!(slots.remove(&"a"), Some((0, 1)));
        assert_eq!(slots.slot(&"a"), None);
        assert_eq!(slots.insert(&"c", 3), 0);
        assert_eq!(slots.get(0), Some(&3));
    }
}
