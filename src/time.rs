//! Time as the state machines see it: an integer that their driver hands them.
//!
//! No machine reads a clock. The runtime passes the time of day, carried forward by a monotonic clock; the
//! simulator passes virtual time. [`Timers`] is the one timer table that a machine owns: the driver asks it
//! (through the machine's `next_deadline`) when to call back.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point in time: nanoseconds since the Unix epoch, or since the start of a simulation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Time(u64);

impl Time {
    /// The epoch.
    pub const ZERO: Time = Time(0);
    /// Later than any time that a driver passes.
    pub const MAX: Time = Time(u64::MAX);

    /// The time `nanos` nanoseconds after the epoch.
    pub const fn from_nanos(nanos: u64) -> Time {
        Time(nanos)
    }

    /// The time `secs` seconds after the epoch.
    pub const fn from_secs(secs: u64) -> Time {
        Time(secs.saturating_mul(1_000_000_000))
    }

    /// Nanoseconds since the epoch.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub const fn since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The time `delay` later, or [`Time::MAX`] when that is out of range.
    pub fn after(self, delay: Duration) -> Time {
        let nanos = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
        Time(self.0.saturating_add(nanos))
    }
}

impl std::ops::Add<Duration> for Time {
    type Output = Time;

    fn add(self, delay: Duration) -> Time {
        self.after(delay)
    }
}

/// Seconds since the epoch with nanoseconds, such as `12.000000500`.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}

/// A machine's timers: at most one per key. Timers that are due at the same time fire in the order of their keys.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound(deserialize = "K: Ord + Clone + Deserialize<'de>"))]
pub struct Timers<K> {
    by_key: BTreeMap<K, Time>,
    by_time: BTreeSet<(Time, K)>,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Timers { by_key: BTreeMap::new(), by_time: BTreeSet::new() }
    }
}

impl<K: Ord + Clone> Timers<K> {
    /// Sets the timer `key` to fire at `at`, replacing the one it had.
    pub fn set(&mut self, key: K, at: Time) {
        if let Some(before) = self.by_key.insert(key.clone(), at) {
            self.by_time.remove(&(before, key.clone()));
        }
        self.by_time.insert((at, key));
    }

    /// Removes the timer `key`, if it is set.
    pub fn cancel(&mut self, key: &K) {
        if let Some(at) = self.by_key.remove(key) {
            self.by_time.remove(&(at, key.clone()));
        }
    }

    /// Whether the timer `key` is set.
    pub fn is_set(&self, key: &K) -> bool {
        self.by_key.contains_key(key)
    }

    /// When the earliest timer fires.
    pub fn next_deadline(&self) -> Option<Time> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Removes and returns the earliest timer that is due at `now`.
    pub fn pop_due(&mut self, now: Time) -> Option<K> {
        if self.next_deadline()? > now {
            return None;
        }
        let (_, key) = self.by_time.pop_first()?;
        self.by_key.remove(&key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_fire_in_order_of_time_then_key() {
        let mut timers = Timers::default();
        timers.set("b", Time::from_secs(2));
        timers.set("a", Time::from_secs(2));
        timers.set("c", Time::from_secs(1));
        assert_eq!(timers.next_deadline(), Some(Time::from_secs(1)));
        let fired: Vec<_> = std::iter::from_fn(|| timers.pop_due(Time::from_secs(2))).collect();
        assert_eq!(fired, ["c", "a", "b"]);
        assert_eq!(timers.next_deadline(), None);
    }

    #[test]
    fn a_timer_that_is_set_again_fires_once_at_its_new_time() {
        let mut timers = Timers::default();
        timers.set("a", Time::from_secs(1));
        timers.set("a", Time::from_secs(3));
        assert_eq!(timers.pop_due(Time::from_secs(2)), None);
        assert_eq!(timers.pop_due(Time::from_secs(3)), Some("a"));
        assert_eq!(timers.pop_due(Time::from_secs(9)), None);
    }

    #[test]
    fn a_cancelled_timer_does_not_fire() {
        let mut timers = Timers::default();
        timers.set("a", Time::from_secs(1));
        timers.cancel(&"a");
        assert!(!timers.is_set(&"a"));
        assert_eq!(timers.pop_due(Time::MAX), None);
    }

    #[test]
    fn time_saturates() {
        assert_eq!(Time::MAX + Duration::from_secs(1), Time::MAX);
        assert_eq!(Time::ZERO.since(Time::from_secs(1)), Duration::ZERO);
    }
}
