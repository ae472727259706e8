//! What will be free when, as far as is known: what backfilling plans with.

use std::time::Duration;

use apportion::resources::Quantities;
use apportion::time::Time;

/// What is free of one agent from now on, if tasks end when their owners say: steps in time.
#[derive(Clone, Debug)]
pub(super) struct Profile {
    /// From each time on, until the next one's, so much is free. The first time is now.
    steps: Vec<(Time, Quantities)>,
}

impl Profile {
    /// A profile of what is free now and of what tasks give back when they end.
    pub(super) fn new(now: Time, free: Quantities, mut releases: Vec<(Time, Quantities)>) -> Self {
        releases.sort_by_key(|(at, _)| *at);
        let mut steps = vec![(now, free)];
        for (at, amounts) in releases {
            // A task that should have ended, and has not, may end at any moment, but not before this one.
            let at = at.max(now + Duration::from_nanos(1));
            let (last, free) = &steps[steps.len() - 1];
            let (last, mut free) = (*last, free.clone());
            free.add(&amounts);
            if last == at {
                steps.pop();
            }
            steps.push((at, free));
        }
        Profile { steps }
    }

    /// How many times so much is free from a time on for so long; at most `limit`.
    pub(super) fn count(&self, from: Time, wanted: &Quantities, length: Duration, limit: usize) -> usize {
        let end = from + length;
        // The step that holds at that time, and those that begin before the end.
        let first = self.steps.partition_point(|(at, _)| *at <= from).saturating_sub(1);
        let during =
            self.steps[first..].iter().enumerate().take_while(|(place, (at, _))| *place == 0 || *at < end);
        let times = |free: &Quantities| {
            let ratios = wanted.iter().map(|(kind, amount)| free.get(kind).milli() / amount.milli());
            ratios.min().map_or(limit, |times| usize::try_from(times).unwrap_or(0))
        };
        during.map(|(_, (_, free))| times(free)).min().unwrap_or(0).min(limit)
    }

    /// When what is free changes, from now on.
    pub(super) fn times(&self) -> impl Iterator<Item = Time> + '_ {
        self.steps.iter().map(|(at, _)| *at)
    }

    /// Sets so much aside from a time on for so long.
    pub(super) fn reserve(&mut self, from: Time, wanted: &Quantities, length: Duration) {
        let until = from + length;
        self.split(from);
        self.split(until);
        for (_, free) in self.steps.iter_mut().filter(|(at, _)| (from..until).contains(at)) {
            *free = free.minus_clamped(wanted);
        }
    }

    /// Makes a step begin at a time.
    fn split(&mut self, at: Time) {
        if let Err(place) = self.steps.binary_search_by_key(&at, |(step, _)| *step)
            && place > 0
        {
            let free = self.steps[place - 1].1.clone();
            self.steps.insert(place, (at, free));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reservations_leave_gaps_that_others_fit() {
        let cpus = |count: u32| -> Quantities { format!("cpus:{count}").parse().unwrap() };
        let (second, now) = (Duration::from_secs(1), Time::from_secs(100));
        let at = |seconds: u64| Time::from_secs(100 + seconds);
        let mut profile = Profile::new(now, cpus(1), vec![(at(10), cpus(2)), (at(20), cpus(1))]);
        let count =
            |profile: &Profile, from, wanted: u32, length| profile.count(from, &cpus(wanted), length, 9);
        assert_eq!(count(&profile, now, 1, second * 99), 1);
        assert_eq!((count(&profile, at(10), 1, second), count(&profile, at(20), 2, second)), (3, 2));
        profile.reserve(at(20), &cpus(4), second * 5);
        assert_eq!(count(&profile, now, 1, second * 20), 1);
        assert_eq!(count(&profile, now, 1, second * 21), 0, "it would delay the reservation");
        assert_eq!(count(&profile, at(10), 2, second * 10), 1);
        assert_eq!(count(&profile, at(10), 2, second * 11), 0);
        assert_eq!(count(&profile, at(25), 2, second * 11), 2);
    }
}
