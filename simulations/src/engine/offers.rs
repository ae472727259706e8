//! How many offers were made and declined when.

use apportion::protocol::{OfferId, OfferInfo};
use apportion::time::Time;

use super::observer::Observer;

/// Intervals are 2^20 ns long at first, about a millisecond.
const FIRST_SHIFT: u32 = 20;

/// So many intervals at most; when a run takes longer, each two become one.
const MOST: usize = 1 << 14;

/// Offers that were made to frameworks, and those that they declined, over time: by intervals that are as short as is needed to have
/// ten thousand or so of them.
#[derive(Clone, Debug)]
pub struct OfferHistory {
    shift: u32,
    /// By the place of the framework, then by interval.
    counts: Vec<Vec<OfferCount>>,
}

/// What a framework was offered in an interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OfferCount {
    /// Offers that it was made.
    pub offers: u32,
    /// Offers of which it used nothing.
    pub declines: u32,
}

impl Default for OfferHistory {
    fn default() -> Self {
        OfferHistory { shift: FIRST_SHIFT, counts: Vec::new() }
    }
}

impl OfferHistory {
    /// Each interval in which there was anything: its beginning, the place of the framework, and the counts. By framework, then by time.
    pub fn iter(&self) -> impl Iterator<Item = (Time, usize, OfferCount)> + '_ {
        self.counts.iter().enumerate().flat_map(move |(framework, counts)| {
            let some = counts.iter().enumerate().filter(|(_, count)| **count != OfferCount::default());
            some.map(move |(place, count)| {
                (Time::from_nanos((place as u64) << self.shift), framework, *count)
            })
        })
    }

    /// The interval of a framework that a time is in.
    fn at(&mut self, at: Time, framework: u32) -> &mut OfferCount {
        while at.as_nanos() >> self.shift >= MOST as u64 {
            self.coarsen();
        }
        let (framework, place) = (framework as usize, (at.as_nanos() >> self.shift) as usize);
        if self.counts.len() <= framework {
            self.counts.resize_with(framework + 1, Vec::new);
        }
        let counts = &mut self.counts[framework];
        if counts.len() <= place {
            counts.resize(place + 1, OfferCount::default());
        }
        &mut counts[place]
    }

    fn coarsen(&mut self) {
        self.shift += 1;
        for counts in &mut self.counts {
            let pair = |pair: &[OfferCount]| OfferCount {
                offers: pair.iter().map(|count| count.offers).sum(),
                declines: pair.iter().map(|count| count.declines).sum(),
            };
            *counts = counts.chunks(2).map(pair).collect();
        }
    }
}

impl Observer for OfferHistory {
    fn offered(&mut self, at: Time, framework: u32, offers: &[OfferInfo]) {
        self.at(at, framework).offers += offers.len() as u32;
    }

    fn declined(&mut self, at: Time, framework: u32, offers: &[OfferId]) {
        self.at(at, framework).declines += offers.len() as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_become_longer_and_counts_stay() {
        let mut history = OfferHistory::default();
        let declined = [OfferId(1), OfferId(2)];
        for second in [0, 1, 2, 100_000] {
            history.declined(Time::from_secs(second), 1, &declined);
        }
        let counts: Vec<_> = history.iter().collect();
        assert_eq!(counts.iter().map(|(.., count)| count.declines).sum::<u32>(), 8);
        assert!(counts.iter().all(|(_, framework, _)| *framework == 1));
        let last = counts.last().map(|(at, ..)| at.as_nanos() / 1_000_000_000);
        assert!(last.is_some_and(|last| (99_980..=100_000).contains(&last)), "{counts:?}");
    }
}
