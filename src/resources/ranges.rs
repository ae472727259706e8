//! Sets of numbers, as inclusive ranges: ports above all.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::cursor::Cursor;
use super::{ParseError, RangesError};

/// The numbers from `begin` to `end`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "(u64, u64)", into = "(u64, u64)")]
pub struct Range {
    begin: u64,
    end: u64,
}

impl Range {
    /// The numbers from `begin` to `end`, both included.
    ///
    /// # Errors
    /// When it ends before it begins.
    pub const fn new(begin: u64, end: u64) -> Result<Self, RangesError> {
        if begin > end { Err(RangesError::Reversed { begin, end }) } else { Ok(Self { begin, end }) }
    }

    /// One number.
    #[must_use]
    pub const fn single(value: u64) -> Self {
        Self { begin: value, end: value }
    }

    /// The first number.
    #[must_use]
    pub const fn begin(self) -> u64 {
        self.begin
    }

    /// The last number.
    #[must_use]
    pub const fn end(self) -> u64 {
        self.end
    }
}

impl TryFrom<(u64, u64)> for Range {
    type Error = RangesError;

    fn try_from((begin, end): (u64, u64)) -> Result<Self, RangesError> {
        Self::new(begin, end)
    }
}

impl From<Range> for (u64, u64) {
    fn from(range: Range) -> Self {
        (range.begin, range.end)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.begin, self.end)
    }
}

/// A set of numbers, kept as the fewest ranges: sorted, disjoint, never adjacent.
///
/// ```
/// use apportion::resources::Ranges;
///
/// let ports: Ranges = "[31000-31004,31005-31009]".parse()?;
/// assert_eq!(ports.to_string(), "[31000-31009]");
/// assert_eq!(ports.subtract(&ports.first_n(2)).to_string(), "[31002-31009]");
/// # Ok::<(), apportion::resources::ParseError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "Vec<Range>")]
pub struct Ranges(Vec<Range>);

impl Ranges {
    /// No numbers.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Whether there are no numbers.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many numbers there are; wider than a number, since all of them are 2^64.
    #[must_use]
    pub fn count(&self) -> u128 {
        self.0.iter().map(|range| u128::from(range.end - range.begin) + 1).sum()
    }

    /// The ranges, ascending.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Range> + '_ {
        self.0.iter().copied()
    }

    /// The numbers, ascending.
    pub fn values(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.iter().flat_map(|range| range.begin..=range.end)
    }

    /// Whether all of `other`'s numbers are in here.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        other.0.iter().all(|inner| {
            let at = self.0.partition_point(|outer| outer.end < inner.begin);
            self.0.get(at).is_some_and(|outer| outer.begin <= inner.begin && inner.end <= outer.end)
        })
    }

    /// The numbers in either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        self.iter().chain(other.iter()).collect()
    }

    /// The numbers in both.
    #[must_use]
    pub fn intersect(&self, other: &Self) -> Self {
        let (mut left, mut right) = (self.0.as_slice(), other.0.as_slice());
        let mut both = Vec::new();
        while let ([a, left_rest @ ..], [b, right_rest @ ..]) = (left, right) {
            let (begin, end) = (a.begin.max(b.begin), a.end.min(b.end));
            if begin <= end {
                both.push(Range { begin, end });
            }
            if a.end < b.end {
                left = left_rest;
            } else {
                right = right_rest;
            }
        }
        Self(both)
    }

    /// The numbers in here that are not in `removes`.
    #[must_use]
    pub fn subtract(&self, removes: &Self) -> Self {
        let mut left = Vec::with_capacity(self.0.len());
        for range in &self.0 {
            let first = removes.0.partition_point(|removed| removed.end < range.begin);
            // `None` once the removed ranges have reached the end, where the next number may not exist.
            let mut begin = Some(range.begin);
            for removed in removes.0[first..].iter().take_while(|removed| removed.begin <= range.end) {
                if let Some(begin) = begin.filter(|begin| *begin < removed.begin) {
                    left.push(Range { begin, end: removed.begin - 1 });
                }
                begin = removed.end.checked_add(1).filter(|begin| *begin <= range.end);
            }
            left.extend(begin.map(|begin| Range { begin, end: range.end }));
        }
        Self(left)
    }

    /// The lowest `n` numbers, or all when there are fewer.
    #[must_use]
    pub fn first_n(&self, n: u64) -> Self {
        let mut wanted = n;
        let mut first = Vec::new();
        for range in &self.0 {
            let Some(beyond_begin) = wanted.checked_sub(1) else { break };
            let end = range.begin.saturating_add(beyond_begin).min(range.end);
            first.push(Range { begin: range.begin, end });
            wanted = beyond_begin - (end - range.begin);
        }
        Self(first)
    }
}

impl From<Vec<Range>> for Ranges {
    fn from(mut ranges: Vec<Range>) -> Self {
        ranges.sort_unstable();
        ranges.dedup_by(|next, last| {
            // Saturating is right at the largest number: no range begins after it.
            let joins = next.begin <= last.end.saturating_add(1);
            if joins {
                last.end = last.end.max(next.end);
            }
            joins
        });
        Self(ranges)
    }
}

impl From<Range> for Ranges {
    fn from(range: Range) -> Self {
        Self(vec![range])
    }
}

impl FromIterator<Range> for Ranges {
    fn from_iter<I: IntoIterator<Item = Range>>(ranges: I) -> Self {
        Self::from(ranges.into_iter().collect::<Vec<_>>())
    }
}

impl FromIterator<u64> for Ranges {
    fn from_iter<I: IntoIterator<Item = u64>>(values: I) -> Self {
        values.into_iter().map(Range::single).collect()
    }
}

impl FromStr for Ranges {
    type Err = ParseError;

    /// Reads `[31000-32000,33000]`.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        Cursor::whole(text, Cursor::ranges)
    }
}

impl fmt::Display for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (index, range) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{range}")?;
        }
        f.write_str("]")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::super::strategies;
    use super::*;

    fn model(ranges: &Ranges) -> BTreeSet<u64> {
        ranges.values().collect()
    }

    #[test]
    fn the_largest_numbers_are_handled() {
        let all = Ranges::from(Range::new(0, u64::MAX).unwrap());
        let last = Ranges::from(Range::single(u64::MAX));
        assert_eq!(all.count(), 1 << 64);
        assert_eq!(all.subtract(&last).to_string(), format!("[0-{}]", u64::MAX - 1));
        assert_eq!(all.subtract(&last).union(&last), all);
        assert_eq!(all.first_n(u64::MAX), all.subtract(&last));
        assert!(all.subtract(&all).is_empty());
    }

    #[test]
    fn text_is_read_with_the_place_of_what_is_wrong() {
        assert_eq!("[ 5 - 6 , 7,1-2 ]".parse::<Ranges>().unwrap().to_string(), "[1-2,5-7]");
        assert_eq!("[]".parse(), Ok(Ranges::new()));
        for (text, error) in [
            ("[3-1]", "at byte 1: range 3-1 ends before it begins"),
            ("[1-2", "at byte 4: expected ,"),
            ("[1-]", "at byte 3: expected a number below 2^64"),
            ("[18446744073709551616]", "at byte 1: expected a number below 2^64"),
            ("1-2", "at byte 0: expected ["),
            ("[1] x", "at byte 4: expected the end"),
        ] {
            assert_eq!(text.parse::<Ranges>().unwrap_err().to_string(), error);
        }
    }

    proptest! {
        #[test]
        fn operations_are_those_of_sets(a in strategies::ranges(), b in strategies::ranges(), n in 0_u64..30) {
            let (left, right) = (model(&a), model(&b));
            prop_assert_eq!(model(&a.union(&b)), &left | &right);
            prop_assert_eq!(model(&a.intersect(&b)), &left & &right);
            prop_assert_eq!(model(&a.subtract(&b)), &left - &right);
            prop_assert_eq!(a.contains(&b), left.is_superset(&right));
            prop_assert_eq!(a.count(), left.len() as u128);
            prop_assert_eq!(model(&a.first_n(n)), left.iter().copied().take(n as usize).collect());
        }

        #[test]
        fn equal_sets_are_equal_values(a in strategies::ranges(), b in strategies::ranges(), n in 0_u64..30) {
            for ranges in [a.union(&b), a.intersect(&b), a.subtract(&b), a.first_n(n)] {
                prop_assert_eq!(&ranges, &ranges.values().collect::<Ranges>());
            }
        }

        #[test]
        fn printing_and_the_wire_bring_back_the_same(a in strategies::ranges()) {
            prop_assert_eq!(a.to_string().parse(), Ok(a.clone()));
            prop_assert_eq!(&serde_json::from_str::<Ranges>(&serde_json::to_string(&a).unwrap()).unwrap(), &a);
        }

        #[test]
        fn the_wire_brings_only_normal_form(pairs in prop::collection::vec((0_u64..20, 0_u64..20), 0..5)) {
            let ranges = serde_json::from_value::<Ranges>(serde_json::json!(pairs));
            let expected = pairs.iter().all(|(begin, end)| begin <= end)
                .then(|| pairs.iter().flat_map(|(begin, end)| *begin..=*end).collect::<Ranges>());
            prop_assert_eq!(ranges.ok(), expected);
        }
    }
}
