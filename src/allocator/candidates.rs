//! Which agents to look at, and when.

use std::time::Duration;

use super::agents::{Agent, AgentSlot, Agents};
use super::slots::SlotSet;
use crate::time::Time;

/// Agents to look at in a cycle.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    /// Something changed for everyone.
    all: bool,
    some: SlotSet,
}

impl Candidates {
    pub(super) fn add(&mut self, agent: AgentSlot) {
        self.some.insert(agent);
    }

    pub(super) fn add_all(&mut self) {
        self.all = true;
    }

    pub(super) fn clear(&mut self) {
        self.all = false;
        self.some.clear();
    }

    /// Whether none was named, not even such as have nothing to offer.
    pub(super) fn is_empty(&self) -> bool {
        !self.all && self.some.is_empty()
    }

    /// Whether all are to be looked at.
    pub(super) fn are_all(&self) -> bool {
        self.all
    }

    /// Whether any agent that has something to offer is to be looked at.
    pub(super) fn are_any(&self, agents: &Agents) -> bool {
        let offers = |slot: &AgentSlot| agents.get(*slot).is_some_and(Agent::can_offer);
        if self.all { !agents.offering().is_empty() } else { self.some.members().iter().any(offers) }
    }

    /// Those of `other`, too; `other` has none then.
    pub(super) fn absorb(&mut self, other: &mut Self) {
        self.all |= std::mem::take(&mut other.all);
        for slot in other.some.members() {
            self.some.insert(*slot);
        }
        other.some.clear();
    }

    /// Those that have something to offer, in the order in which they joined; there are none then.
    pub(super) fn take(&mut self, agents: &Agents) -> Vec<AgentSlot> {
        let slots = if self.all { agents.offering().members() } else { self.some.members() };
        let joined = |slot: &AgentSlot| {
            agents.get(*slot).filter(|agent| agent.can_offer()).map(|agent| (agent.joined, *slot))
        };
        let mut taken: Vec<_> = slots.iter().filter_map(joined).collect();
        taken.sort_unstable();
        self.clear();
        taken.into_iter().map(|(_, slot)| slot).collect()
    }
}

/// When batches are due: at every multiple of an interval. Without an interval, always.
#[derive(Debug)]
pub(super) struct Batches {
    interval: Duration,
    /// The number of the last batch.
    done: u64,
}

impl Batches {
    pub(super) fn every(interval: Duration) -> Self {
        Batches { interval, done: 0 }
    }

    fn number_at(&self, time: Time) -> u64 {
        let interval = u64::try_from(self.interval.as_nanos()).unwrap_or(u64::MAX);
        time.as_nanos().checked_div(interval).unwrap_or_default()
    }

    fn time_of(&self, number: u64) -> Time {
        let interval = u64::try_from(self.interval.as_nanos()).unwrap_or(u64::MAX);
        Time::from_nanos(interval.saturating_mul(number))
    }

    /// Whether one is due now; the next one is due later.
    pub(super) fn begin(&mut self, now: Time) -> bool {
        let number = self.number_at(now);
        let due = self.interval.is_zero() || number > self.done;
        self.done = number;
        due
    }

    /// When the next one is due, that is not before `earliest`.
    pub(super) fn next(&self, earliest: Time) -> Time {
        if self.interval.is_zero() {
            return earliest;
        }
        let earliest = self.number_at(Time::from_nanos(earliest.as_nanos().saturating_sub(1))) + 1;
        self.time_of(earliest.max(self.done + 1))
    }

    /// Until when something is hidden that was refused now, for so long: as in Mesos, at least until one batch has passed.
    pub(super) fn hidden_until(&self, now: Time, refuse: Duration) -> Time {
        if self.interval.is_zero() {
            return now + refuse;
        }
        let next = self.time_of(self.number_at(now) + 1);
        (now + refuse.max(self.interval)).max(next + Duration::from_nanos(1))
    }
}

impl Default for Batches {
    fn default() -> Self {
        Batches::every(Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_due_at_multiples_of_the_interval() {
        let mut batches = Batches::every(Duration::from_secs(2));
        assert!(!batches.begin(Time::ZERO));
        assert_eq!(batches.next(Time::ZERO), Time::from_secs(2));
        assert!(batches.begin(Time::from_secs(5)));
        assert!(!batches.begin(Time::from_secs(5)));
        assert_eq!(batches.next(Time::ZERO), Time::from_secs(6));
        assert_eq!(batches.next(Time::from_secs(7)), Time::from_secs(8));
        assert_eq!(batches.next(Time::from_secs(8)), Time::from_secs(8));
        assert!(Batches::default().begin(Time::ZERO));
    }

    #[test]
    fn refusals_outlive_the_next_batch() {
        let batches = Batches::every(Duration::from_secs(2));
        let second = Duration::from_secs(1);
        let hidden = |now: u64, refuse: u32| batches.hidden_until(Time::from_secs(now), second * refuse);
        assert!(hidden(0, 1) > Time::from_secs(2) && hidden(0, 1) < Time::from_secs(3));
        assert_eq!(hidden(1, 1), Time::from_secs(3));
        assert_eq!(hidden(0, 4), Time::from_secs(4));
        assert_eq!(Batches::default().hidden_until(Time::ZERO, second), Time::from_secs(1));
    }
}
