//! Randomness that only depends on its seed.

/// A small generator (SplitMix64): good enough for shuffling, and the same on every machine.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Above 0, at most 1.
    fn fraction(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// Any order, each as likely as any other.
    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let below = (self.next() % (last as u64 + 1)) as usize;
            items.swap(last, below);
        }
    }

    /// An order in which items come early in proportion to their weights (Efraimidis and Spirakis, 2006).
    pub(super) fn shuffle_weighted<T>(&mut self, items: Vec<(f64, T)>) -> Vec<T> {
        let mut keyed: Vec<(f64, T)> =
            items.into_iter().map(|(weight, item)| (self.fraction().ln() / weight, item)).collect();
        keyed.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        keyed.into_iter().map(|(_, item)| item).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mesos' own figures for weights 1 to 5: how likely each comes first.
    #[test]
    fn heavy_ones_come_first_more_often() {
        let mut random = Random::new(1);
        let mut first = [0_u32; 5];
        for _ in 0..10_000 {
            let items: Vec<(f64, usize)> = (0..5).map(|item| (item as f64 + 1.0, item)).collect();
            first[random.shuffle_weighted(items)[0]] += 1;
        }
        for (item, expected) in [0.07, 0.13, 0.20, 0.27, 0.33].into_iter().enumerate() {
            let found = f64::from(first[item]) / 10_000.0;
            assert!((found - expected).abs() < 0.02, "{item} came first in {found}, not {expected}");
        }
    }

    #[test]
    fn shuffling_depends_on_the_seed_alone() {
        let shuffled = |seed| {
            let mut items: Vec<u32> = (0..20).collect();
            Random::new(seed).shuffle(&mut items);
            items
        };
        assert_eq!(shuffled(7), shuffled(7));
        assert_ne!(shuffled(7), shuffled(8));
    }
}
