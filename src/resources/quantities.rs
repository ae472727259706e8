//! How much of each kind, without identity: a dense vector for hot paths.

use std::fmt;
use std::ops::AddAssign;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::cursor::Cursor;
use super::error::ParseReason;
use super::{InsufficientQuantity, Kind, ParseError, ResourcesError, Scalar, Share};

/// Borrowed by iterators; the constant itself can't be, since a kind may own memory.
static WELL_KNOWN: [Kind; 5] = Kind::WELL_KNOWN;

/// Amounts per kind; an absent kind is zero. Ranges and sets are counted by their items.
///
/// Well-known kinds live in an array, so that the usual arithmetic neither hashes, compares names nor
/// allocates.
///
/// ```
/// use apportion::resources::{Kind, Quantities, Scalar};
///
/// let total: Quantities = "cpus:9;mem:18".parse()?;
/// let used: Quantities = "cpus:3;mem:1".parse()?;
/// assert_eq!(used.dominant_share(&total).as_f64(), 1.0 / 3.0);
/// assert_eq!(total.checked_sub(&used)?.get(&Kind::Mem), Scalar::whole(17));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<(Kind, Scalar)>", into = "Vec<(Kind, Scalar)>")]
pub struct Quantities {
    well_known: [i64; WELL_KNOWN.len()],
    // Sorted by kind, without zeros; normally empty, and then not allocated.
    others: Vec<(Kind, i64)>,
}

impl Clone for Quantities {
    // Written out because hot paths copy: a copy of an empty list is a call, a new one is none.
    #[inline]
    fn clone(&self) -> Self {
        let others = if self.others.is_empty() { Vec::new() } else { self.others.clone() };
        Self { well_known: self.well_known, others }
    }
}

impl Quantities {
    /// Nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { well_known: [0; WELL_KNOWN.len()], others: Vec::new() }
    }

    /// Whether every kind is zero.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.well_known == [0; WELL_KNOWN.len()] && self.others.is_empty()
    }

    /// The amount of a kind.
    #[must_use]
    pub fn get(&self, kind: &Kind) -> Scalar {
        stored(self.milli(kind))
    }

    /// Makes the amount of a kind this one.
    pub fn set(&mut self, kind: &Kind, amount: Scalar) {
        let milli = amount.milli();
        if let Some(index) = kind.well_known_index() {
            self.well_known[index] = milli;
            return;
        }
        match (self.find_other(kind), milli) {
            (Ok(at), 0) => drop(self.others.remove(at)),
            (Ok(at), milli) => self.others[at].1 = milli,
            (Err(_), 0) => {}
            (Err(at), milli) => self.others.insert(at, (kind.clone(), milli)),
        }
    }

    /// Adds an amount of one kind.
    ///
    /// # Panics
    /// As [`Quantities::add`].
    pub fn push(&mut self, kind: &Kind, amount: Scalar) {
        match kind.well_known_index() {
            Some(index) => self.well_known[index] = sum(self.well_known[index], amount.milli()),
            None => self.set(kind, stored(sum(self.milli(kind), amount.milli()))),
        }
    }

    /// Adds `other`.
    ///
    /// # Panics
    /// When an amount no longer fits 64 bits of thousandths, which takes thousands of operands of
    /// [`Scalar::LIMIT`], the most that text and wire let in.
    pub fn add(&mut self, other: &Self) {
        for (held, more) in self.well_known.iter_mut().zip(other.well_known) {
            *held = sum(*held, more);
        }
        for (kind, milli) in &other.others {
            self.push(kind, stored(*milli));
        }
    }

    /// Takes `other` away.
    ///
    /// # Errors
    /// When it does not fit; nothing is taken then.
    pub fn try_subtract(&mut self, other: &Self) -> Result<(), InsufficientQuantity> {
        if !self.contains(other) {
            let (kind, wanted) = other
                .iter()
                .find(|(kind, wanted)| self.get(kind) < *wanted)
                .expect("quantities that are not contained have a kind that falls short");
            return Err(InsufficientQuantity { kind: kind.clone(), wanted, had: self.get(kind) });
        }
        self.subtract_clamped(other);
        Ok(())
    }

    /// What is left without `other`.
    ///
    /// # Errors
    /// When it does not fit.
    pub fn checked_sub(&self, other: &Self) -> Result<Self, InsufficientQuantity> {
        let mut left = self.clone();
        left.try_subtract(other)?;
        Ok(left)
    }

    /// What is left without `other`, where each kind stops at zero: how far one falls short of another.
    #[must_use]
    pub fn minus_clamped(&self, other: &Self) -> Self {
        let mut left = self.clone();
        left.subtract_clamped(other);
        left
    }

    /// Takes `shape` away as often as it fits, at most `most` times; how often that was.
    ///
    /// ```
    /// # use apportion::resources::Quantities;
    /// let mut left: Quantities = "cpus:5;mem:100".parse()?;
    /// assert_eq!(left.take_multiples(&"cpus:2;mem:10".parse()?, 9), 2);
    /// assert_eq!(left.to_string(), "cpus:1;mem:80");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn take_multiples(&mut self, shape: &Self, most: u32) -> u32 {
        let mut times = i64::from(most);
        for (held, wanted) in self.well_known.iter().zip(shape.well_known).filter(|(_, wanted)| *wanted > 0) {
            times = times.min(held / wanted);
        }
        for (kind, wanted) in shape.others.iter().filter(|(_, wanted)| *wanted > 0) {
            times = times.min(self.milli(kind) / wanted);
        }
        for (held, wanted) in
            self.well_known.iter_mut().zip(shape.well_known).filter(|(_, wanted)| *wanted > 0)
        {
            *held -= wanted * times;
        }
        for (kind, wanted) in shape.others.iter().filter(|(_, wanted)| *wanted > 0) {
            self.set(kind, stored(self.milli(kind) - wanted * times));
        }
        u32::try_from(times).unwrap_or(most)
    }

    /// Whether there is at least as much of every kind as in `other`.
    #[must_use]
    #[inline]
    pub fn contains(&self, other: &Self) -> bool {
        // All are compared, without a branch for each.
        let enough = self.well_known.iter().zip(&other.well_known).map(|(held, wanted)| held >= wanted);
        enough.fold(true, |all, enough| all & enough)
            && other.others.iter().all(|(kind, wanted)| self.milli(kind) >= *wanted)
    }

    /// The larger amount of each kind.
    #[must_use]
    pub fn max(&self, other: &Self) -> Self {
        let mut larger = self.clone();
        for (held, offered) in larger.well_known.iter_mut().zip(other.well_known) {
            *held = offered.max(*held);
        }
        for (kind, milli) in &other.others {
            larger.set(kind, stored(self.milli(kind).max(*milli)));
        }
        larger
    }

    /// Becomes the larger amount of each kind of two others; whether it was anything else before.
    pub(crate) fn become_max(&mut self, one: &Self, other: &Self) -> bool {
        if !(one.others.is_empty() && other.others.is_empty() && self.others.is_empty()) {
            let larger = one.max(other);
            let is_new = *self != larger;
            *self = larger;
            return is_new;
        }
        let mut is_new = false;
        for ((held, one), other) in self.well_known.iter_mut().zip(&one.well_known).zip(&other.well_known) {
            let larger = *one.max(other);
            is_new |= *held != larger;
            *held = larger;
        }
        is_new
    }

    /// The smaller amount of each kind.
    #[must_use]
    pub fn min(&self, other: &Self) -> Self {
        let mut smaller = Self::new();
        for (kind, amount) in self.iter() {
            smaller.set(kind, amount.min(other.get(kind)));
        }
        smaller
    }

    /// The largest fraction of `total` over the kinds that `total` has.
    #[must_use]
    pub fn dominant_share(&self, total: &Self) -> Share {
        let shares = |used: i64, total: i64| (total > 0 && used > 0).then(|| Share::new(used, total));
        let well_known = self.well_known.iter().zip(&total.well_known).filter_map(|(u, t)| shares(*u, *t));
        let others = self.others.iter().filter_map(|(kind, used)| shares(*used, total.milli(kind)));
        well_known.chain(others).max().unwrap_or(Share::ZERO)
    }

    /// The kinds that are not zero, sorted, with their amounts.
    pub fn iter(&self) -> impl Iterator<Item = (&Kind, Scalar)> + '_ {
        let well_known = WELL_KNOWN.iter().zip(self.well_known);
        let others = self.others.iter().map(|(kind, milli)| (kind, *milli));
        well_known.chain(others).filter(|(_, milli)| *milli > 0).map(|(kind, milli)| (kind, stored(milli)))
    }

    fn milli(&self, kind: &Kind) -> i64 {
        match kind.well_known_index() {
            Some(index) => self.well_known[index],
            None => self.find_other(kind).map_or(0, |at| self.others[at].1),
        }
    }

    fn find_other(&self, kind: &Kind) -> Result<usize, usize> {
        self.others.binary_search_by(|(held, _)| held.cmp(kind))
    }

    /// Takes `other` away, where each kind stops at zero.
    pub(crate) fn subtract_clamped(&mut self, other: &Self) {
        for (held, less) in self.well_known.iter_mut().zip(other.well_known) {
            *held = (*held - less).max(0);
        }
        for (kind, less) in &other.others {
            self.set(kind, stored((self.milli(kind) - less).max(0)));
        }
    }
}

/// Amounts in here were scalars, or come from adding and comparing them.
fn stored(milli: i64) -> Scalar {
    Scalar::from_milli(milli).expect("quantities are never negative")
}

fn sum(held: i64, more: i64) -> i64 {
    held.checked_add(more).expect("sums of limited amounts fit 64 bits")
}

impl AddAssign<&Self> for Quantities {
    fn add_assign(&mut self, other: &Self) {
        self.add(other);
    }
}

impl FromIterator<(Kind, Scalar)> for Quantities {
    /// # Panics
    /// As [`Quantities::add`].
    fn from_iter<I: IntoIterator<Item = (Kind, Scalar)>>(amounts: I) -> Self {
        let mut quantities = Self::new();
        for (kind, amount) in amounts {
            quantities.push(&kind, amount);
        }
        quantities
    }
}

impl From<Quantities> for Vec<(Kind, Scalar)> {
    fn from(quantities: Quantities) -> Self {
        quantities.iter().map(|(kind, amount)| (kind.clone(), amount)).collect()
    }
}

impl TryFrom<Vec<(Kind, Scalar)>> for Quantities {
    type Error = ResourcesError;

    /// Takes amounts from the wire: each kind once, in order, none zero.
    fn try_from(amounts: Vec<(Kind, Scalar)>) -> Result<Self, ResourcesError> {
        let unordered = amounts.windows(2).position(|pair| pair[0].0 >= pair[1].0).map(|at| at + 1);
        let zero = amounts.iter().position(|(_, amount)| amount.is_zero());
        match unordered.or(zero) {
            Some(index) => Err(ResourcesError::NotNormal { index }),
            None => Ok(amounts.into_iter().collect()),
        }
    }
}

impl FromStr for Quantities {
    type Err = ParseError;

    /// Reads `cpus:1;mem:512;ports:2`; each kind at most once.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut quantities = Self::new();
        let mut named = Vec::new();
        let mut cursor = Cursor::new(text);
        while !cursor.at_end() {
            if cursor.eat(";") {
                continue;
            }
            let at = cursor.at();
            let kind = cursor.kind()?;
            cursor.expect(":")?;
            let amount = cursor.scalar()?;
            cursor.end_of_item()?;
            if named.contains(&kind) {
                return Err(ParseError { at, reason: ParseReason::Twice { kind } });
            }
            quantities.set(&kind, amount);
            named.push(kind);
        }
        Ok(quantities)
    }
}

impl fmt::Display for Quantities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (kind, amount)) in self.iter().enumerate() {
            let semicolon = if index == 0 { "" } else { ";" };
            write!(f, "{semicolon}{kind}:{amount}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Resources, strategies};
    use super::*;

    fn parsed(text: &str) -> Quantities {
        text.parse().unwrap()
    }

    #[test]
    fn text_names_each_kind_once() {
        assert_eq!(parsed(" mem : 512 ; cpus:0.5;;disk:0").to_string(), "cpus:0.5;mem:512");
        for (text, error) in [
            ("cpus:1;cpus:2", "at byte 7: cpus is given twice"),
            ("cpus:0;cpus:2", "at byte 7: cpus is given twice"),
            ("cpus", "at byte 4: expected :"),
            ("cpus:", "at byte 5: expected a decimal number such as 2 or 0.5"),
            ("cpus:1 mem:2", "at byte 7: expected ';' or the end"),
            (
                "c!:1",
                "at byte 0: resource name \"c!\" may hold only ASCII letters, digits, '_', '-', '.' and '/', and begins with a letter or digit",
            ),
        ] {
            assert_eq!(text.parse::<Quantities>().unwrap_err().to_string(), error);
        }
    }

    #[test]
    fn a_subtraction_that_does_not_fit_says_what_is_missing() {
        let error = parsed("cpus:1;acres:2").checked_sub(&parsed("cpus:1;acres:3")).unwrap_err();
        assert_eq!(error.to_string(), "wanted acres:3, but had acres:2");
    }

    #[test]
    fn the_dominant_share_is_over_kinds_that_there_are() {
        let total = parsed("cpus:10;mem:100;acres:4");
        assert_eq!(parsed("cpus:5;mem:20;acres:3").dominant_share(&total).as_f64(), 0.75);
        assert_eq!(parsed("gpus:5").dominant_share(&total), Share::ZERO);
        assert_eq!(Quantities::new().dominant_share(&total), Share::ZERO);
    }

    #[test]
    fn the_wire_brings_only_normal_form() {
        let from = |json: &str| serde_json::from_str::<Quantities>(json).ok();
        assert_eq!(from(r#"[["cpus",500],["acres",1]]"#), Some(parsed("cpus:0.5;acres:0.001")));
        assert_eq!(from(r#"[["acres",1],["cpus",500]]"#), None);
        assert_eq!(from(r#"[["cpus",1],["cpus",1]]"#), None);
        assert_eq!(from(r#"[["cpus",0]]"#), None);
        assert_eq!(from(r#"[["cpus",-1]]"#), None);
    }

    proptest! {
        #[test]
        fn every_kind_is_computed_alone(a in strategies::quantities(), b in strategies::quantities()) {
            let mut sum = a.clone();
            sum += &b;
            let left = a.checked_sub(&b);
            prop_assert_eq!(left.is_ok(), a.contains(&b));
            let mut larger = b.clone();
            prop_assert_eq!(larger.become_max(&a, &b), b != a.max(&b));
            prop_assert_eq!(larger, a.max(&b));
            for kind in Kind::WELL_KNOWN.iter().chain(a.iter().map(|(kind, _)| kind)).chain(b.iter().map(|(kind, _)| kind)) {
                let (x, y) = (a.get(kind), b.get(kind));
                prop_assert_eq!(Some(sum.get(kind)), x.checked_add(y));
                prop_assert_eq!(a.max(&b).get(kind), x.max(y));
                prop_assert_eq!(a.min(&b).get(kind), x.min(y));
                prop_assert_eq!(a.minus_clamped(&b).get(kind), x.checked_sub(y).unwrap_or_default());
                if let Ok(left) = &left {
                    prop_assert_eq!(Some(left.get(kind)), x.checked_sub(y));
                }
            }
            prop_assert_eq!(sum.checked_sub(&b), Ok(a));
        }

        #[test]
        fn printing_and_the_wire_bring_back_the_same(a in strategies::quantities()) {
            prop_assert_eq!(a.to_string().parse(), Ok(a.clone()));
            prop_assert_eq!(&serde_json::from_str::<Quantities>(&serde_json::to_string(&a).unwrap()).unwrap(), &a);
        }

        #[test]
        fn quantities_of_sums_are_sums(a in strategies::resources(), b in strategies::resources()) {
            // Copies of a shared volume count once, and so are left out.
            let own = |all: Resources| all.into_iter().filter(|each| !each.is_shared()).collect::<Resources>();
            let (a, b) = (own(a), own(b));
            let mut sum = a.quantities();
            sum += &b.quantities();
            prop_assert_eq!((a + &b).quantities(), sum);
        }
    }
}
