//! Shares of a total, compared exactly.

use std::cmp::Ordering;

/// A fraction of some total: what dominant-resource fairness orders by.
///
/// Shares are compared by cross multiplication, so that equal fractions of different totals are equal.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    used: i64,
    total: i64,
}

impl Share {
    /// No share.
    pub const ZERO: Self = Self { used: 0, total: 1 };

    /// `total` is positive and neither is negative: callers take them from non-negative amounts.
    pub(super) const fn new(used: i64, total: i64) -> Self {
        Self { used, total }
    }

    /// The nearest float.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        self.used as f64 / self.total as f64
    }

    /// The share divided by its weight, in units of 2^-52 and rounded down: a key to order by. Equal shares have equal
    /// keys, and where two keys differ, [`cmp_weighted`](Self::cmp_weighted) orders the same way.
    #[must_use]
    pub fn weighted_key(self, weight: u32) -> u64 {
        let (used, total) = (u128::from(self.used.unsigned_abs()), u128::from(self.total.unsigned_abs()));
        // A divisor of 64 bits is divided by much faster, and almost all weights are 1.
        let key = match weight {
            1000 => (used << 52) / total,
            weight => (used << 52) * 1000 / (total * u128::from(weight.max(1))),
        };
        u64::try_from(key).unwrap_or(u64::MAX)
    }

    /// Compares the shares after each is divided by its weight. Exact for any weights.
    #[must_use]
    pub fn cmp_weighted(self, weight: u32, other: Self, other_weight: u32) -> Ordering {
        // share / weight < other / other_weight, multiplied out by both weights: whole parts first, so that nothing overflows.
        let parts = |share: Self, factor: u32| {
            let scaled = i128::from(share.used) * i128::from(factor);
            let total = i128::from(share.total);
            (scaled / total, scaled % total)
        };
        let (whole, rest) = parts(self, other_weight);
        let (other_whole, other_rest) = parts(other, weight);
        whole
            .cmp(&other_whole)
            .then_with(|| (rest * i128::from(other.total)).cmp(&(other_rest * i128::from(self.total))))
    }
}

impl Ord for Share {
    fn cmp(&self, other: &Self) -> Ordering {
        let left = i128::from(self.used) * i128::from(other.total);
        left.cmp(&(i128::from(other.used) * i128::from(self.total)))
    }
}

impl PartialOrd for Share {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Share {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Share {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn shares_are_compared_exactly() {
        assert_eq!(Share::new(1, 3), Share::new(1 << 40, 3 << 40));
        assert!(Share::new(i64::MAX - 1, i64::MAX) < Share::new(1, 1));
        assert!(Share::ZERO < Share::new(1, i64::MAX));
    }

    #[test]
    fn weights_divide_shares_exactly() {
        let third = Share::new(1, 3);
        assert!(Share::new(2, 3).cmp_weighted(2000, third, 1000).is_eq());
        assert!(Share::new(2, 3).cmp_weighted(2001, third, 1000).is_lt());
        let most = Share::new(i64::MAX, i64::MAX);
        assert!(most.cmp_weighted(u32::MAX, most, u32::MAX - 1).is_lt());
    }

    proptest! {
        #[test]
        fn keys_order_as_shares_do(
            (a, b) in (0..1_000_i64, 0..1_000_i64), (x, y) in (1..1_000_i64, 1..1_000_i64),
            (v, w) in (1..5_000_u32, 1..5_000_u32), scale in 1..1_000_000_000_i64,
        ) {
            let (one, other) = (Share::new(a * scale, x * scale), Share::new(b, y));
            let order = one.weighted_key(v).cmp(&other.weighted_key(w));
            prop_assert_eq!(order, one.cmp_weighted(v, other, w));
        }
    }
}
