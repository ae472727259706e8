//! What executors have said and is not dealt with: each has to wait for its own.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

/// How many batches of one executor are taken that are not dealt with.
pub(super) const BATCHES_OF_EXECUTOR: usize = 2;

/// How often it is looked whether the way to the master is free again.
pub(super) const LOOK: Duration = Duration::from_millis(5);

/// Batches of executors that were taken: their executors are read on when their records are durable, and the way to the master is free.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    durable: u64,
    /// With the number of the write that each waits for.
    batches: VecDeque<(u64, OwnedSemaphorePermit)>,
}

impl Backlog {
    /// Takes note of a batch that waits for this write and all before it.
    pub(super) fn add(&mut self, number: u64, permit: OwnedSemaphorePermit) {
        let number = self.batches.back().map_or(number, |(last, _)| number.max(*last));
        self.batches.push_back((number, permit));
    }

    /// All up to this write is durable.
    pub(super) fn stored(&mut self, number: u64) {
        self.durable = self.durable.max(number);
    }

    /// Whether something waits for the way to the master alone.
    pub(super) fn waits_for_the_way(&self) -> bool {
        self.batches.front().is_some_and(|(number, _)| *number <= self.durable)
    }

    /// The way to the master is free.
    pub(super) fn release(&mut self) {
        while self.waits_for_the_way() {
            self.batches.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;

    use super::*;

    #[test]
    fn a_batch_is_dealt_with_when_its_records_are_durable_and_the_way_is_free() {
        let executor = Arc::new(Semaphore::new(3));
        let mut backlog = Backlog::default();
        for number in [0, 2, 0] {
            backlog.add(number, executor.clone().try_acquire_owned().expect("one is left"));
        }
        assert_eq!(executor.available_permits(), 0);
        assert!(backlog.waits_for_the_way(), "the first has written nothing");
        backlog.release();
        assert_eq!(executor.available_permits(), 1);
        backlog.stored(1);
        backlog.release();
        assert_eq!(executor.available_permits(), 1, "what came after a write waits for it, too");
        backlog.stored(2);
        assert_eq!(executor.available_permits(), 1, "the way is not free");
        backlog.release();
        assert_eq!(executor.available_permits(), 3);
    }
}
