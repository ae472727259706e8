//! Jain's index, carried forward as shares change.

/// A share in whole units, so that sums don't depend on the order in which shares came and went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct JainShare(i64);

/// So many units are 1.
const ONE: f64 = (1_u64 << 40) as f64;

impl JainShare {
    pub(super) fn of(share: f64) -> Self {
        JainShare((share * ONE).round() as i64)
    }
}

/// The squared sum of shares, by their number and the sum of their squares: 1 where all are equal, and one by their number where one has all
/// (Jain, Chiu and Hawe, 1984).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct JainIndex {
    count: u32,
    sum: i128,
    squares: i128,
}

impl JainIndex {
    /// One of the shares is no more as it was.
    pub(super) fn replace(&mut self, before: Option<JainShare>, after: Option<JainShare>) {
        if let Some(JainShare(before)) = before {
            self.count -= 1;
            self.sum -= i128::from(before);
            self.squares -= i128::from(before) * i128::from(before);
        }
        if let Some(JainShare(after)) = after {
            self.count += 1;
            self.sum += i128::from(after);
            self.squares += i128::from(after) * i128::from(after);
        }
    }

    /// The index; `None` where there are no shares. Where all are nothing, they are equal.
    pub(super) fn get(&self) -> Option<f64> {
        match (self.count, self.squares) {
            (0, _) => None,
            (_, 0) => Some(1.0),
            (count, squares) => {
                let sum = self.sum as f64;
                Some(sum * sum / (f64::from(count) * squares as f64))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(shares: &[f64]) -> Option<f64> {
        let mut index = JainIndex::default();
        shares.iter().for_each(|share| index.replace(None, Some(JainShare::of(*share))));
        index.get()
    }

    #[test]
    fn it_tells_equals_from_hogs() {
        assert_eq!(index(&[]), None);
        assert_eq!(index(&[0.0, 0.0]), Some(1.0));
        assert_eq!(index(&[0.25, 0.25, 0.25]), Some(1.0));
        assert_eq!(index(&[0.5, 0.0, 0.0, 0.0]), Some(0.25));
        let four_to_one = index(&[0.8, 0.2]).unwrap();
        assert!((four_to_one - 25.0 / 34.0).abs() < 1e-11, "{four_to_one}");
    }

    #[test]
    fn what_came_and_went_leaves_no_trace() {
        let (third, tenth) = (JainShare::of(1.0 / 3.0), JainShare::of(0.1));
        let mut index = JainIndex::default();
        index.replace(None, Some(third));
        let alone = index.get();
        index.replace(None, Some(tenth));
        index.replace(Some(tenth), None);
        assert_eq!(index.get(), alone);
    }
}
