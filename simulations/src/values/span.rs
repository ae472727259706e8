//! Lengths of virtual time.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A length of virtual time in whole nanoseconds: `"100s"`, `"1.5s"`, `"250us"`, `"1h30m"`, `"0s"`.
///
/// ```
/// use apportion_simulations::values::Span;
///
/// let span: Span = "1h0.5s".parse()?;
/// assert_eq!(span.nanos(), 3_600_500_000_000);
/// assert_eq!(span.to_string(), "1h500ms");
/// # Ok::<(), apportion_simulations::values::SpanError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(u64);

/// Why a text is not a length of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpanError {
    /// A number is missing where one has to be.
    #[error(
        "'{0}' is not a length of time: a number is missing; write for example \"100s\", \"1.5s\" or \"1h30m\""
    )]
    NoNumber(String),
    /// A number has no unit, or one that there is not.
    #[error(
        "'{text}' is not a length of time: '{unit}' is no unit of time; there are ns, us, ms, s, m, h and d"
    )]
    Unit {
        /// The text.
        text: String,
        /// What stands where a unit should.
        unit: String,
    },
    /// Units go from large to small, each once.
    #[error("'{0}' is not a length of time: units go from large to small, each once")]
    Order(String),
    /// More than 292 years.
    #[error("'{0}' is too long: at most 292 years can be simulated")]
    TooLong(String),
}

const UNITS: [(&str, u64); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1000),
    ("ns", 1),
];

impl Span {
    /// No time.
    pub const ZERO: Span = Span(0);

    /// The longest: 292 years, so that the sum of two still is a time.
    pub const MAX: Span = Span(i64::MAX as u64);

    /// So many nanoseconds; at most [`Span::MAX`].
    pub const fn from_nanos(nanos: u64) -> Self {
        if nanos > Self::MAX.0 { Self::MAX } else { Span(nanos) }
    }

    /// So many seconds, rounded to nanoseconds; [`Span::MAX`] for more than that, and none for what is below zero.
    pub fn from_secs_f64(seconds: f64) -> Self {
        // Casts of floats stop at the bounds of the integer.
        Span::from_nanos((seconds * 1e9).round() as u64)
    }

    /// In nanoseconds.
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// In seconds.
    pub fn secs(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// As the standard library has it.
    pub const fn duration(self) -> Duration {
        Duration::from_nanos(self.0)
    }
}

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let mut rest = text.trim();
        let mut units = UNITS.iter();
        let mut total = 0_u64;
        loop {
            let number = leading(&mut rest, |c| c.is_ascii_digit() || c == '.');
            let unit = leading(&mut rest, |c| !c.is_ascii_digit() && c != '.');
            if !number.bytes().any(|byte| byte.is_ascii_digit()) {
                return Err(SpanError::NoNumber(text.to_owned()));
            }
            if UNITS.iter().all(|(name, _)| *name != unit) {
                return Err(SpanError::Unit { text: text.to_owned(), unit: unit.to_owned() });
            }
            let size =
                units.find(|(name, _)| *name == unit).ok_or_else(|| SpanError::Order(text.to_owned()))?.1;
            let part = scaled(number, size).ok_or_else(|| SpanError::TooLong(text.to_owned()))?;
            total = total
                .checked_add(part)
                .filter(|total| *total <= Self::MAX.0)
                .ok_or_else(|| SpanError::TooLong(text.to_owned()))?;
            if rest.is_empty() {
                return Ok(Span(total));
            }
        }
    }
}

/// Splits off the beginning of which every character matches.
fn leading<'t>(text: &mut &'t str, matches: impl Fn(char) -> bool) -> &'t str {
    let (start, rest) = text.split_at(text.find(|c| !matches(c)).unwrap_or(text.len()));
    *text = rest;
    start
}

/// A decimal number of units, exact to the nanosecond; what is finer is cut off. `None` when it is too large.
fn scaled(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut nanos = whole.checked_mul(unit)?;
    let mut digit_size = unit;
    for digit in fraction.bytes().take_while(u8::is_ascii_digit) {
        digit_size /= 10;
        nanos = nanos.checked_add(u64::from(digit - b'0') * digit_size)?;
    }
    Some(nanos)
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let mut rest = self.0;
        for (name, size) in UNITS {
            if rest >= size {
                write!(f, "{}{name}", rest / size)?;
                rest %= size;
            }
        }
        Ok(())
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Span;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a length of time such as \"100s\"")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Span, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lengths_are_read_to_the_nanosecond() {
        for (text, nanos) in [
            ("0s", 0),
            ("100s", 100_000_000_000),
            ("1.5s", 1_500_000_000),
            (".25ms", 250_000),
            ("250us", 250_000),
            ("1h30m", 5_400_000_000_000),
            ("1.000000001s", 1_000_000_001),
            ("0.5d", 43_200_000_000_000),
        ] {
            assert_eq!(text.parse(), Ok(Span(nanos)), "{text}");
        }
    }

    #[test]
    fn what_is_no_length_says_why() {
        for (text, part) in [
            ("", "a number is missing"),
            ("s", "a number is missing"),
            ("100", "'' is no unit"),
            ("100 sec", "' sec' is no unit"),
            ("1s2h", "from large to small"),
            ("1s1s", "from large to small"),
            ("-1s", "a number is missing"),
            ("9999999d", "292 years"),
            ("1.2.3x", "'x' is no unit"),
        ] {
            let error = text.parse::<Span>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn printing_parses_back(nanos in 0..=Span::MAX.0) {
            prop_assert_eq!(Span(nanos).to_string().parse(), Ok(Span(nanos)));
        }

        #[test]
        fn reading_never_panics(text in "[0-9.dhmsun]{0,12}|.{0,6}") {
            let _read_or_refused = text.parse::<Span>();
        }
    }
}
