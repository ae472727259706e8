//! What happens later, in a total order.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use apportion::time::Time;

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
struct Entry<E, C> {
    at: Time,
    class: C,
    number: u64,
    event: E,
}

impl<E, C: Copy> Entry<E, C> {
    fn key(&self) -> (Time, C, u64) {
        (self.at, self.class, self.number)
    }
}

impl<E, C: Copy + Ord> PartialEq for Entry<E, C> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<E, C: Copy + Ord> Eq for Entry<E, C> {}

impl<E, C: Copy + Ord> PartialOrd for Entry<E, C> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<E, C: Copy + Ord> Ord for Entry<E, C> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

/// Events that are to happen, each of a class that orders those of one time.
#[derive(Debug)]
pub struct Calendar<E, C: Copy + Ord = Class> {
    heap: BinaryHeap<Reverse<Entry<E, C>>>,
    caused: u64,
}

impl<E, C: Copy + Ord> Default for Calendar<E, C> {
    fn default() -> Self {
        Calendar { heap: BinaryHeap::new(), caused: 0 }
    }
}

impl<E, C: Copy + Ord> Calendar<E, C> {
    /// Something is to happen.
    pub fn push(&mut self, at: Time, class: C, event: E) {
        self.caused += 1;
        self.heap.push(Reverse(Entry { at, class, number: self.caused, event }));
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
