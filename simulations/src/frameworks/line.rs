//! Jobs that wait, in the order in which a policy serves them.

use std::collections::BTreeSet;

/// A waiting job: the policy's key, then the order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    key: u64,
    pub(super) job: u32,
}

/// Jobs that wait, by the class of their tasks: where one does not fit, none of its class does.
#[derive(Debug, Default)]
pub(super) struct Line {
    classes: Vec<BTreeSet<Entry>>,
    jobs: usize,
    /// How many tasks of each class wait.
    tasks: Vec<u32>,
}

impl Line {
    pub(super) fn new(classes: usize) -> Self {
        Line { classes: vec![BTreeSet::new(); classes], jobs: 0, tasks: vec![0; classes] }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.jobs == 0
    }

    pub(super) fn push(&mut self, class: u32, key: u64, job: u32) {
        self.jobs += usize::from(self.classes[class as usize].insert(Entry { key, job }));
    }

    pub(super) fn remove(&mut self, class: u32, key: u64, job: u32) {
        self.jobs -= usize::from(self.classes[class as usize].remove(&Entry { key, job }));
    }

    /// More tasks of a class wait.
    pub(super) fn add_tasks(&mut self, class: u32, count: u32) {
        self.tasks[class as usize] += count;
    }

    /// A task of a class waits no more.
    pub(super) fn take_task(&mut self, class: u32) {
        self.tasks[class as usize] -= 1;
    }

    /// How many tasks of a class wait.
    pub(super) fn tasks(&self, class: u32) -> u32 {
        self.tasks[class as usize]
    }

    /// A job of a class moves to where another key puts it, if it waits.
    pub(super) fn rekey(&mut self, class: u32, job: u32, old: u64, new: u64) {
        let entries = &mut self.classes[class as usize];
        if entries.remove(&Entry { key: old, job }) {
            entries.insert(Entry { key: new, job });
        }
    }

    /// The first of each class that waits, with the class.
    pub(super) fn heads(&self) -> impl Iterator<Item = (Entry, u32)> + '_ {
        (0..).zip(&self.classes).filter_map(|(class, entries)| Some((*entries.first()?, class)))
    }

    /// The first of a class.
    pub(super) fn head_of(&self, class: u32) -> Option<Entry> {
        self.classes[class as usize].first().copied()
    }

    /// The first of all, with its class.
    pub(super) fn head(&self) -> Option<(Entry, u32)> {
        self.heads().min()
    }

    /// All that wait, with their classes.
    pub(super) fn all(&self) -> impl Iterator<Item = (Entry, u32)> + '_ {
        (0..).zip(&self.classes).flat_map(|(class, entries)| entries.iter().map(move |entry| (*entry, class)))
    }

    /// The one that follows in the class.
    pub(super) fn after(&self, class: u32, entry: Entry) -> Option<Entry> {
        use std::ops::Bound::{Excluded, Unbounded};
        self.classes[class as usize].range((Excluded(entry), Unbounded)).next().copied()
    }
}
