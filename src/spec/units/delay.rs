//! Lengths of time.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::text::{serde_as_text, split_at_first};
use super::{UnitError, UnitProblem};

/// A length of time in whole milliseconds: `"500ms"`, `"30s"`, `"1h30m"`, `"7d"`.
///
/// ```
/// use apportion::spec::Delay;
///
/// let delay: Delay = "90m".parse()?;
/// assert_eq!(delay.to_string(), "1h30m");
/// # Ok::<(), apportion::spec::UnitError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Delay(Duration);

serde_as_text!(Delay, "a duration such as \"30s\"");

/// The units of a [`Delay`] in milliseconds, from large to small.
const DELAY_UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

impl Delay {
    /// The longest delay: 1,000 years, so that adding it to a time of day can't overflow.
    pub const MAX: Delay = Delay(Duration::from_secs(365_000 * 86_400));

    /// So many seconds.
    pub const fn from_secs(seconds: u32) -> Self {
        Delay(Duration::from_secs(seconds as u64))
    }

    /// So many milliseconds.
    pub const fn from_millis(millis: u32) -> Self {
        Delay(Duration::from_millis(millis as u64))
    }

    /// The same as the standard library has it.
    pub const fn duration(self) -> Duration {
        self.0
    }
}

impl From<Delay> for Duration {
    fn from(delay: Delay) -> Self {
        delay.0
    }
}

impl FromStr for Delay {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        const UNITS: &str = "ms, s, m, h, d";
        let error = |problem| UnitError {
            text: text.to_owned(),
            what: "a duration",
            problem,
            example: "\"500ms\", \"30s\" or \"1h30m\"",
        };
        let mut rest = text;
        let mut units = DELAY_UNITS.iter();
        let mut millis = 0_u64;
        loop {
            let (digits, after) = split_at_first(rest, |c| !c.is_ascii_digit());
            let (unit, after) = split_at_first(after, |c| c.is_ascii_digit());
            if digits.is_empty() {
                return Err(error(UnitProblem::NoNumber));
            }
            if unit.starts_with('.') {
                return Err(error(UnitProblem::Fraction));
            }
            if unit.is_empty() {
                return Err(error(UnitProblem::NoUnit { units: UNITS }));
            }
            if DELAY_UNITS.iter().all(|(name, _)| *name != unit) {
                return Err(error(UnitProblem::UnknownUnit { unit: unit.to_owned(), units: UNITS }));
            }
            let (_, size) = units.find(|(name, _)| *name == unit).ok_or_else(|| error(UnitProblem::Order))?;
            let too_large = || error(UnitProblem::TooLarge);
            let number: u64 = digits.parse().map_err(|_| too_large())?;
            millis =
                number.checked_mul(*size).and_then(|part| millis.checked_add(part)).ok_or_else(too_large)?;
            rest = after;
            if rest.is_empty() {
                let delay = Delay(Duration::from_millis(millis));
                return if delay > Delay::MAX { Err(too_large()) } else { Ok(delay) };
            }
        }
    }
}

impl fmt::Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_zero() {
            return f.write_str("0s");
        }
        let mut rest = self.0.as_millis();
        for (unit, size) in DELAY_UNITS {
            let size = u128::from(size);
            if rest >= size {
                write!(f, "{}{unit}", rest / size)?;
                rest %= size;
            }
        }
        Ok(())
    }
}
