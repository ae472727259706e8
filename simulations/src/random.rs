//! Random numbers that depend on the seed and a name alone.
//!
//! Each component draws from a [`Stream`] of its own, named after it (`framework/web/arrivals`). So a framework that is added
//! shifts nobody else's numbers. Generators and functions are spelled out here, and logarithms come from a portable library:
//! the numbers are the same on every machine.

use siphasher::sip::SipHasher24;

use std::hash::Hasher;

/// A stream of random numbers: xoshiro256++ (Blackman and Vigna, 2019), seeded by SipHash-2-4 of the stream's name.
#[derive(Clone, Debug)]
pub struct Stream {
    state: [u64; 4],
}

impl Stream {
    /// The stream of that name.
    pub fn named(seed: u64, name: &str) -> Self {
        let mut state = [0; 4];
        for (place, word) in (0..).zip(&mut state) {
            let mut hasher = SipHasher24::new_with_keys(seed, place);
            hasher.write(name.as_bytes());
            *word = hasher.finish();
        }
        // All zeros is the one state that the generator never leaves.
        state[0] |= u64::from(state == [0; 4]);
        Stream { state }
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let result = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        result
    }

    /// A number from 0 (inclusive) to 1 (exclusive), uniform.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    /// A whole number below `bound`, uniform; 0 when `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        // The bias of the multiplication is below 2^-32 for bounds of 32 bits: far below what any run could show.
        ((u128::from(self.bits()) * bound as u128) >> 64) as usize
    }

    /// A number of the standard normal distribution.
    pub fn normal(&mut self) -> f64 {
        // Box and Muller's transformation; its second number is not kept, so that each draw stands alone.
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - self.unit()));
        radius * libm::cos(2.0 * std::f64::consts::PI * self.unit())
    }

    /// A number of the exponential distribution with mean 1.
    pub fn exponential(&mut self) -> f64 {
        -libm::log(1.0 - self.unit())
    }

    /// Puts items in a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_told_apart_by_seed_and_name() {
        let first = |seed, name| Stream::named(seed, name).bits();
        assert_eq!(first(1, "a"), first(1, "a"));
        assert_ne!(first(1, "a"), first(1, "b"));
        assert_ne!(first(1, "a"), first(2, "a"));
    }

    #[test]
    fn numbers_stay_what_they_are() {
        // A change of these changes every published result.
        let mut stream = Stream::named(42, "pinned");
        let drawn: Vec<u64> = (0..3).map(|_| stream.bits()).collect();
        assert_eq!(drawn, [10764846969314183674, 12065529635692917527, 14623728547661838241]);
    }

    #[test]
    fn moments_are_those_of_the_distributions() {
        const N: u32 = 100_000;
        let mut stream = Stream::named(7, "moments");
        let mut mean =
            |draw: fn(&mut Stream) -> f64| (0..N).map(|_| draw(&mut stream)).sum::<f64>() / f64::from(N);
        assert!((mean(Stream::unit) - 0.5).abs() < 0.005);
        assert!((mean(Stream::exponential) - 1.0).abs() < 0.015);
        assert!(mean(Stream::normal).abs() < 0.015);
        assert!((mean(|stream| stream.normal().powi(2)) - 1.0).abs() < 0.02);
        assert!((mean(|stream| stream.below(10) as f64) - 4.5).abs() < 0.05);
    }

    #[test]
    fn shuffling_keeps_all_items() {
        let mut items: Vec<u32> = (0..100).collect();
        Stream::named(1, "shuffle").shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
