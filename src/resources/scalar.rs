//! Amounts with three decimals, exact.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::ScalarError;

/// A non-negative amount in thousandths, exact where floats are not.
///
/// ```
/// use apportion::resources::Scalar;
///
/// let half: Scalar = "0.5".parse()?;
/// assert_eq!(half.milli(), 500);
/// assert_eq!(half.checked_add(half), Some(Scalar::whole(1)));
/// assert_eq!(half.checked_sub(Scalar::whole(1)), None);
/// # Ok::<(), apportion::resources::ScalarError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Scalar(i64);

impl Scalar {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// The largest amount accepted from outside (text, floats, the wire): 10^12, an exbibyte in MiB.
    ///
    /// It lies far below what the integer holds, so that sums over a cluster can't overflow.
    pub const LIMIT: Self = Self(1_000_000_000_000_000);

    /// That many thousandths.
    ///
    /// # Errors
    /// When it is negative.
    pub const fn from_milli(milli: i64) -> Result<Self, ScalarError> {
        if milli < 0 { Err(ScalarError::Negative) } else { Ok(Self(milli)) }
    }

    /// That many whole units.
    #[must_use]
    pub const fn whole(units: u32) -> Self {
        Self(units as i64 * 1000)
    }

    /// That many thousandths, of which 32 bits are never too many.
    pub(super) const fn from_u32_milli(milli: u32) -> Self {
        Self(milli as i64)
    }

    /// That many whole units, unless that is more than a scalar holds.
    #[must_use]
    pub fn checked_whole(units: u128) -> Option<Self> {
        units.checked_mul(1000).and_then(|milli| i64::try_from(milli).ok()).map(Self)
    }

    /// The amount in thousandths.
    #[must_use]
    pub const fn milli(self) -> i64 {
        self.0
    }

    /// Whether it is nothing.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Whether there is no fraction.
    #[must_use]
    pub const fn is_whole(self) -> bool {
        self.0 % 1000 == 0
    }

    /// The sum, unless it is more than a scalar holds.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The difference, unless `other` is larger.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        (self.0 >= other.0).then(|| Self(self.0 - other.0))
    }

    /// The nearest float: for display and shares, never for keeping accounts.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    fn limited(self) -> Result<Self, ScalarError> {
        if self > Self::LIMIT { Err(ScalarError::TooLarge) } else { Ok(self) }
    }
}

impl TryFrom<i64> for Scalar {
    type Error = ScalarError;

    /// Thousandths from outside: neither negative nor above [`Scalar::LIMIT`].
    fn try_from(milli: i64) -> Result<Self, ScalarError> {
        Self::from_milli(milli)?.limited()
    }
}

impl From<Scalar> for i64 {
    fn from(scalar: Scalar) -> Self {
        scalar.0
    }
}

impl TryFrom<f64> for Scalar {
    type Error = ScalarError;

    /// Units, rounded half away from zero to three decimals.
    fn try_from(units: f64) -> Result<Self, ScalarError> {
        if !units.is_finite() {
            return Err(ScalarError::NotFinite);
        }
        if units < 0.0 {
            return Err(ScalarError::Negative);
        }
        if units > Self::LIMIT.as_f64() {
            return Err(ScalarError::TooLarge);
        }
        let milli = (units * 1000.0).round();
        if milli == 0.0 && units != 0.0 {
            return Err(ScalarError::TooSmall);
        }
        Self(milli as i64).limited()
    }
}

impl FromStr for Scalar {
    type Err = ScalarError;

    /// Reads a decimal number exactly, rounding half away from zero to three decimals.
    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (units, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let decimal = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if units.len() + fraction.len() == 0 || !decimal(units) || !decimal(fraction) {
            let is = |name: &&str| digits.eq_ignore_ascii_case(name);
            let is_float = ["nan", "inf", "infinity"].iter().any(is);
            return Err(if is_float { ScalarError::NotFinite } else { ScalarError::NotANumber });
        }
        let is_zero = digits.bytes().all(|byte| matches!(byte, b'0' | b'.'));
        if is_zero {
            return Ok(Self::ZERO);
        }
        if negative {
            return Err(ScalarError::Negative);
        }
        let units: i64 =
            if units.is_empty() { Ok(0) } else { units.parse() }.map_err(|_| ScalarError::TooLarge)?;
        let digit = |place: usize| fraction.as_bytes().get(place).map_or(0, |byte| i64::from(byte - b'0'));
        let thousandths = digit(0) * 100 + digit(1) * 10 + digit(2) + i64::from(digit(3) >= 5);
        let milli = units.checked_mul(1000).and_then(|milli| milli.checked_add(thousandths));
        match milli.ok_or(ScalarError::TooLarge)? {
            0 => Err(ScalarError::TooSmall),
            milli => Self(milli).limited(),
        }
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (units, thousandths) = (self.0 / 1000, self.0 % 1000);
        match thousandths {
            0 => write!(f, "{units}"),
            t if t % 100 == 0 => write!(f, "{units}.{}", t / 100),
            t if t % 10 == 0 => write!(f, "{units}.{:02}", t / 10),
            t => write!(f, "{units}.{t:03}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_is_rounded_half_away_from_zero_at_three_decimals() {
        let printed = |text: &str| text.parse::<Scalar>().map(|scalar| scalar.to_string());
        for (text, expected) in [
            ("0.5", "0.5"),
            ("2", "2"),
            (".25", "0.25"),
            ("1.", "1"),
            ("+1.050", "1.05"),
            ("1.2345", "1.235"),
            ("1.5011", "1.501"),
            ("1.5015", "1.502"),
            ("1.0005", "1.001"),
            ("0.9995", "1"),
            ("0.0005", "0.001"),
            ("99999999999.9994", "99999999999.999"),
            ("000000000000000000000000000007", "7"),
            ("-0.0", "0"),
        ] {
            assert_eq!(printed(text), Ok(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn text_that_is_no_amount_is_refused_with_its_reason() {
        for (text, error) in [
            ("NaN", ScalarError::NotFinite),
            ("-inf", ScalarError::NotFinite),
            ("infinity", ScalarError::NotFinite),
            ("-1", ScalarError::Negative),
            ("-0.00001", ScalarError::Negative),
            ("0.00001", ScalarError::TooSmall),
            ("0.00049999", ScalarError::TooSmall),
            ("1000000000000.001", ScalarError::TooLarge),
            ("99999999999999999999999", ScalarError::TooLarge),
            ("9223372036854775.808", ScalarError::TooLarge),
            ("", ScalarError::NotANumber),
            (".", ScalarError::NotANumber),
            ("1.2.3", ScalarError::NotANumber),
            ("--1", ScalarError::NotANumber),
            ("1e3", ScalarError::NotANumber),
            ("١", ScalarError::NotANumber),
        ] {
            assert_eq!(text.parse::<Scalar>(), Err(error), "{text}");
        }
        assert_eq!("1000000000000".parse(), Ok(Scalar::LIMIT));
    }

    #[test]
    fn floats_are_refused_as_text_is() {
        assert_eq!(Scalar::try_from(f64::NAN), Err(ScalarError::NotFinite));
        assert_eq!(Scalar::try_from(f64::INFINITY), Err(ScalarError::NotFinite));
        assert_eq!(Scalar::try_from(-0.1), Err(ScalarError::Negative));
        assert_eq!(Scalar::try_from(f64::MIN_POSITIVE), Err(ScalarError::TooSmall));
        assert_eq!(Scalar::try_from(f64::MAX), Err(ScalarError::TooLarge));
        assert_eq!(Scalar::try_from(1.2345), Ok(Scalar(1235)));
    }

    proptest! {
        #[test]
        fn printing_parses_back(milli in 0..=Scalar::LIMIT.0) {
            let scalar = Scalar::from_milli(milli).unwrap();
            prop_assert_eq!(scalar.to_string().parse(), Ok(scalar));
        }

        #[test]
        fn reading_never_panics(text in "[-+.0-9eE]{0,30}|.{0,5}") {
            if let Ok(scalar) = text.parse::<Scalar>() {
                prop_assert!(scalar >= Scalar::ZERO && scalar <= Scalar::LIMIT);
            }
        }

        #[test]
        fn the_wire_brings_no_invalid_amount(milli: i64) {
            let scalar = serde_json::from_value::<Scalar>(milli.into()).ok();
            prop_assert_eq!(scalar.map(Scalar::milli), (0..=Scalar::LIMIT.0).contains(&milli).then_some(milli));
        }

        #[test]
        fn arithmetic_is_that_of_integers(a in 0..i64::MAX, b in 0..i64::MAX) {
            let (left, right) = (Scalar(a), Scalar(b));
            prop_assert_eq!(left.checked_add(right).map(Scalar::milli), a.checked_add(b));
            prop_assert_eq!(left.checked_sub(right).map(Scalar::milli), (a >= b).then(|| a - b));
        }
    }
}
