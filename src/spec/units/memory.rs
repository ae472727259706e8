//! Amounts of memory and disk space.

use std::fmt;
use std::str::FromStr;

use super::text::{serde_as_text, split_at_first};
use super::{UnitError, UnitProblem};

/// An amount of memory or disk space in whole MiB: `"512MiB"`, `"1.5GiB"`. What is not a whole number of
/// MiB, such as `"128MB"`, is rounded up: a task never gets less than it asked for.
///
/// ```
/// use apportion::spec::Memory;
///
/// let memory: Memory = "1.5GiB".parse()?;
/// assert_eq!((memory.mib(), memory.to_string().as_str()), (1536, "1536MiB"));
/// # Ok::<(), apportion::spec::UnitError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Memory(u32);

serde_as_text!(Memory, "an amount of memory such as \"512MiB\"");

/// The units of [`Memory`] in bytes.
const MEMORY_UNITS: [(&str, u128); 8] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

impl Memory {
    /// So many MiB.
    pub const fn from_mib(mib: u32) -> Self {
        Memory(mib)
    }

    /// The amount in MiB.
    pub const fn mib(self) -> u32 {
        self.0
    }
}

impl FromStr for Memory {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        const UNITS: &str = "MiB, GiB, TiB; also KiB, kB, MB, GB, TB";
        let error = |problem| UnitError {
            text: text.to_owned(),
            what: "an amount of memory",
            problem,
            example: "\"512MiB\" or \"1.5GiB\"",
        };
        let (number, unit) = split_at_first(text, |c| !c.is_ascii_digit() && c != '.');
        if !number.bytes().any(|byte| byte.is_ascii_digit()) {
            return Err(error(UnitProblem::NoNumber));
        }
        let unit = unit.trim_start();
        if unit.is_empty() {
            return Err(error(UnitProblem::NoUnit { units: UNITS }));
        }
        let Some((_, size)) = MEMORY_UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(error(UnitProblem::UnknownUnit { unit: unit.to_owned(), units: UNITS }));
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if fraction.contains('.') {
            return Err(error(UnitProblem::NotDecimal));
        }
        let scale = u32::try_from(fraction.len()).ok().and_then(|places| 10_u128.checked_pow(places));
        let digits = format!("{whole}{fraction}").parse::<u128>().ok();
        let bytes = digits.and_then(|digits| digits.checked_mul(*size)).zip(scale);
        bytes
            .and_then(|(scaled, scale)| u32::try_from(scaled.div_ceil(scale).div_ceil(1 << 20)).ok())
            .map(Memory)
            .ok_or_else(|| error(UnitProblem::TooLarge))
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("0MiB"),
            mib if mib % (1 << 20) == 0 => write!(f, "{}TiB", mib >> 20),
            mib if mib % (1 << 10) == 0 => write!(f, "{}GiB", mib >> 10),
            mib => write!(f, "{mib}MiB"),
        }
    }
}
