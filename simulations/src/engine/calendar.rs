//! What happens later, in a total order.

use std::cmp::Reverse;

use apportion::time::Time;
use dary_heap::QuaternaryHeap;

/// The order of events of one time, before the order in which they were caused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Jobs arrive, where that is to come first.
    EarlyArrival,
    /// Tasks end.
    End,
    /// Machines fail, are known to have failed, or are repaired.
    Failure,
    /// Jobs arrive.
    Arrival,
    /// Messages arrive.
    Message,
    /// Frameworks have decided, or their timers are due.
    Framework,
}

/// Something that happens at its time: in the order of time, then class, then of being caused.
#[derive(Debug)]
struct Entry<E> {
    at: Time,
    /// The class, above the number of what was caused before. In one word, since a heap moves entries about.
    turn: u64,
    event: E,
}

/// How many bits of a turn are below the class.
const NUMBER_BITS: u32 = 56;

impl<E> Entry<E> {
    /// Time, then turn: one number, which compares in one step.
    fn key(&self) -> u128 {
        u128::from(self.at.as_nanos()) << 64 | u128::from(self.turn)
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<E> Eq for Entry<E> {}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

/// Events that are to happen, each of a class that orders those of one time.
#[derive(Debug)]
pub struct Calendar<E> {
    heap: QuaternaryHeap<Reverse<Entry<E>>>,
    caused: u64,
}

impl<E> Default for Calendar<E> {
    fn default() -> Self {
        Calendar { heap: QuaternaryHeap::new(), caused: 0 }
    }
}

impl<E> Calendar<E> {
    /// Something is to happen.
    pub fn push(&mut self, at: Time, class: Class, event: E) {
        self.caused += 1;
        let turn = (class as u64) << NUMBER_BITS | self.caused;
        self.heap.push(Reverse(Entry { at, turn, event }));
    }

    /// When the next thing happens.
    pub fn next_time(&self) -> Option<Time> {
        self.heap.peek().map(|entry| entry.0.at)
    }

    /// The next thing, if it happens now or has been due.
    pub fn pop_due(&mut self, now: Time) -> Option<E> {
        if self.next_time()? > now {
            return None;
        }
        self.heap.pop().map(|entry| entry.0.event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_ordered_by_time_then_class_then_cause() {
        let mut calendar = Calendar::default();
        let (one, two) = (Time::from_secs(1), Time::from_secs(2));
        calendar.push(two, Class::End, "later");
        calendar.push(one, Class::Framework, "framework");
        calendar.push(one, Class::Message, "message");
        calendar.push(one, Class::Arrival, "arrival");
        calendar.push(one, Class::End, "first end");
        calendar.push(one, Class::End, "second end");
        let order: Vec<_> = std::iter::from_fn(|| calendar.pop_due(one)).collect();
        assert_eq!(order, ["first end", "second end", "arrival", "message", "framework"]);
        assert_eq!(calendar.next_time(), Some(two));
    }
}
