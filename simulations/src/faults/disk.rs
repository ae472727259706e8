//! Disks: writes take time, fail, and are lost in crashes until they are durable.

use std::time::Duration;

use apportion::agent::{Checkpoint, Record};
use apportion::store::{Change, MemoryStore, Store};
use apportion::time::Time;

use crate::random::Stream;

/// The disk of a framework, which waits for each write.
#[derive(Debug, Default)]
pub(super) struct RecordDisk {
    slow_until: Time,
    fails_next: bool,
}

/// What becomes of a write that is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Write {
    Done,
    Takes(Duration),
    Fails,
}

impl RecordDisk {
    pub(super) fn write(&mut self, now: Time, chance: &mut Stream) -> Write {
        if std::mem::take(&mut self.fails_next) {
            Write::Fails
        } else if self.slow_until > now {
            Write::Takes(Duration::from_secs_f64(2.0 * chance.exponential()))
        } else {
            Write::Done
        }
    }

    pub(super) fn slow_down(&mut self, until: Time) {
        self.slow_until = until;
    }

    pub(super) fn fail_next(&mut self) {
        self.fails_next = true;
    }

    /// All is as it should be.
    pub(super) fn heal(&mut self) {
        *self = RecordDisk::default();
    }
}

/// What writes add up to.
pub(super) trait Kept {
    /// What is written.
    type Change;

    /// Applies changes, in their order.
    fn apply(&mut self, changes: Vec<Self::Change>);

    /// How many of so many changes that were being written a crash leaves.
    fn survive(changes: usize, chance: &mut Stream) -> usize;
}

/// A registry: all of a commit survives, or nothing.
impl Kept for MemoryStore {
    type Change = Change;

    fn apply(&mut self, changes: Vec<Change>) {
        // Records that can't be encoded fail in production, too; here they are missing, which shows.
        let _ = self.commit(&changes);
    }

    fn survive(changes: usize, chance: &mut Stream) -> usize {
        changes * chance.below(2)
    }
}

/// An agent's journal: its tail may be torn off anywhere.
impl Kept for Checkpoint {
    type Change = Record;

    fn apply(&mut self, changes: Vec<Record>) {
        changes.into_iter().for_each(|record| Checkpoint::apply(self, record));
    }

    fn survive(changes: usize, chance: &mut Stream) -> usize {
        chance.below(changes + 1)
    }
}

/// A file and the thread that writes it, as the runtime has them: all that waits is written together.
#[derive(Debug)]
pub(super) struct Disk<K: Kept> {
    pub(super) durable: K,
    waiting: Vec<(u64, Vec<K::Change>)>,
    under_way: Vec<(u64, Vec<K::Change>)>,
    slow_until: Time,
    full_until: Time,
    fails_next: bool,
}

impl<K: Kept> Disk<K> {
    pub(super) fn new(durable: K) -> Self {
        Disk {
            durable,
            waiting: Vec::new(),
            under_way: Vec::new(),
            slow_until: Time::ZERO,
            full_until: Time::ZERO,
            fails_next: false,
        }
    }

    /// Takes a write.
    pub(super) fn write(&mut self, number: u64, changes: Vec<K::Change>) {
        self.waiting.push((number, changes));
    }

    /// Begins to write what waits, unless that is under way; how long it takes.
    pub(super) fn begin(&mut self, now: Time, chance: &mut Stream) -> Option<Duration> {
        if self.waiting.is_empty() || !self.under_way.is_empty() {
            return None;
        }
        self.under_way = std::mem::take(&mut self.waiting);
        let mean_s = if self.slow_until > now { 2.0 } else { 0.004 };
        Some(Duration::from_secs_f64(mean_s * chance.exponential()))
    }

    /// Ends the write; up to which number all is durable. `None` when it failed, and nobody knows whether it is.
    pub(super) fn finish(&mut self, now: Time, chance: &mut Stream) -> Option<u64> {
        let last = self.under_way.last().map(|(number, _)| *number);
        if std::mem::take(&mut self.fails_next) || self.full_until > now {
            self.crash(chance);
            return None;
        }
        self.keep(usize::MAX);
        last
    }

    /// The writer is gone: what waits is lost, and what was being written may be.
    pub(super) fn crash(&mut self, chance: &mut Stream) {
        self.waiting.clear();
        let changes = self.under_way.iter().map(|(_, changes)| changes.len()).sum();
        self.keep(K::survive(changes, chance));
    }

    fn keep(&mut self, first: usize) {
        let changes = self.under_way.drain(..).flat_map(|(_, changes)| changes);
        self.durable.apply(changes.take(first).collect());
    }

    /// Whether something that was handed over is not durable.
    pub(super) fn is_writing(&self) -> bool {
        !self.waiting.is_empty() || !self.under_way.is_empty()
    }

    pub(super) fn slow_down(&mut self, until: Time) {
        self.slow_until = until;
    }

    pub(super) fn fill(&mut self, until: Time) {
        self.full_until = until;
    }

    pub(super) fn fail_next(&mut self) {
        self.fails_next = true;
    }

    /// All is as it should be.
    pub(super) fn heal(&mut self) {
        (self.slow_until, self.full_until, self.fails_next) = (Time::ZERO, Time::ZERO, false);
    }
}
