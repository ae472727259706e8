//! Counts and percentages.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::text::split_at_first;
use super::{UnitError, UnitProblem};

/// A number of things, or a share of them: `2` or `"25%"`.
///
/// ```
/// use apportion::spec::CountOrPercent;
///
/// let quarter: CountOrPercent = "25%".parse()?;
/// assert_eq!((quarter.resolve_up(6), quarter.resolve_down(6)), (2, 1));
/// # Ok::<(), apportion::spec::UnitError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CountOrPercent {
    /// So many, of however many there are.
    Count(u32),
    /// So many of a hundred.
    Percent(u32),
}

impl CountOrPercent {
    /// How many of `n` that is, rounded up.
    pub fn resolve_up(self, n: u32) -> u32 {
        self.resolve(n, |hundredths| hundredths.div_ceil(100))
    }

    /// How many of `n` that is, rounded down.
    pub fn resolve_down(self, n: u32) -> u32 {
        self.resolve(n, |hundredths| hundredths / 100)
    }

    fn resolve(self, n: u32, round: impl Fn(u64) -> u64) -> u32 {
        match self {
            CountOrPercent::Count(count) => count,
            CountOrPercent::Percent(percent) => {
                let resolved = round(u64::from(n) * u64::from(percent));
                u32::try_from(resolved).unwrap_or(u32::MAX)
            }
        }
    }

    fn error(text: impl fmt::Display, problem: UnitProblem) -> UnitError {
        UnitError {
            text: text.to_string(),
            what: "a count or a percentage",
            problem,
            example: "2 or \"25%\"",
        }
    }
}

impl FromStr for CountOrPercent {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (digits, unit) = split_at_first(text, |c| !c.is_ascii_digit());
        if digits.is_empty() {
            return Err(Self::error(text, UnitProblem::NoNumber));
        }
        let number: u32 = digits.parse().map_err(|_| Self::error(text, UnitProblem::TooLarge))?;
        match unit {
            "" => Ok(CountOrPercent::Count(number)),
            "%" if number <= 100 => Ok(CountOrPercent::Percent(number)),
            "%" => Err(Self::error(text, UnitProblem::OutOfRange)),
            unit => Err(Self::error(text, UnitProblem::UnknownUnit { unit: unit.to_owned(), units: "%" })),
        }
    }
}

impl fmt::Display for CountOrPercent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CountOrPercent::Count(count) => write!(f, "{count}"),
            CountOrPercent::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl Serialize for CountOrPercent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            CountOrPercent::Count(count) => serializer.serialize_u32(*count),
            CountOrPercent::Percent(_) => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for CountOrPercent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = CountOrPercent;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a count or a percentage such as \"25%\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<CountOrPercent, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, count: i64) -> Result<CountOrPercent, E> {
                let out_of_range = |_| E::custom(CountOrPercent::error(count, UnitProblem::OutOfRange));
                u32::try_from(count).map(CountOrPercent::Count).map_err(out_of_range)
            }

            fn visit_u64<E: de::Error>(self, count: u64) -> Result<CountOrPercent, E> {
                let too_large = |_| E::custom(CountOrPercent::error(count, UnitProblem::TooLarge));
                u32::try_from(count).map(CountOrPercent::Count).map_err(too_large)
            }
        }
        deserializer.deserialize_any(Either)
    }
}
