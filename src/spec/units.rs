//! Values with units: read from what people write, written back in one canonical way.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::resources::{Scalar, ScalarError};

/// A value that can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not {what}: {problem}; write for example {example}")]
pub struct UnitError {
    /// What was written.
    pub text: String,
    /// What it should have been.
    pub what: &'static str,
    /// What is wrong with it.
    pub problem: UnitProblem,
    /// What it could be.
    pub example: &'static str,
}

/// What is wrong with a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitProblem {
    /// There is no number where one has to be.
    #[error("a number is missing")]
    NoNumber,
    /// A number without unit.
    #[error("a unit is missing ({units})")]
    NoUnit {
        /// The units there are.
        units: &'static str,
    },
    /// A unit that there is not.
    #[error("unknown unit '{unit}' (known: {units})")]
    UnknownUnit {
        /// The unit as written.
        unit: String,
        /// The units there are.
        units: &'static str,
    },
    /// Units go from large to small, each once.
    #[error("units must go from large to small")]
    Order,
    /// More than can be represented.
    #[error("it is too large")]
    TooLarge,
    /// A name that is not known.
    #[error("unknown name")]
    UnknownName,
    /// A number outside what is allowed.
    #[error("it is out of range")]
    OutOfRange,
    /// Not an amount in thousandths.
    #[error(transparent)]
    Scalar(#[from] ScalarError),
}

/// Implements serde by `FromStr` and `Display`, as a string.
macro_rules! serde_as_text {
    ($type:ty, $expecting:literal) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl Visitor<'_> for Text {
                    type Value = $type;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expecting)
                    }
                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Text)
            }
        }
    };
}

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

/// An amount of memory or disk space in whole MiB: `"512MiB"`, `"1.5GiB"`; `"128MB"` is rounded up.
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
        let scalar: Scalar = number.parse().map_err(|problem: ScalarError| error(problem.into()))?;
        let thousandths = u128::from(scalar.milli().unsigned_abs()) * size;
        let mib = thousandths.div_ceil(1000 << 20);
        u32::try_from(mib).map(Memory).map_err(|_| error(UnitProblem::TooLarge))
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

/// An amount of processor cores in thousandths: `0.5`, `4`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cpus(u32);

impl Cpus {
    /// So many thousandths of a core.
    pub const fn from_milli(milli: u32) -> Self {
        Cpus(milli)
    }

    /// The amount in thousandths of a core.
    pub const fn milli(self) -> u32 {
        self.0
    }

    fn error(cores: impl fmt::Display, problem: UnitProblem) -> UnitError {
        UnitError { text: cores.to_string(), what: "a number of cores", problem, example: "0.5 or 4" }
    }
}

impl TryFrom<f64> for Cpus {
    type Error = UnitError;

    /// Cores, rounded half away from zero to thousandths.
    fn try_from(cores: f64) -> Result<Self, UnitError> {
        let scalar = Scalar::try_from(cores).map_err(|problem| Cpus::error(cores, problem.into()))?;
        u32::try_from(scalar.milli()).map(Cpus).map_err(|_| Cpus::error(cores, UnitProblem::TooLarge))
    }
}

impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", f64::from(self.0) / 1000.0)
    }
}

impl Serialize for Cpus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            milli if milli % 1000 == 0 => serializer.serialize_u32(milli / 1000),
            milli => serializer.serialize_f64(f64::from(milli) / 1000.0),
        }
    }
}

impl<'de> Deserialize<'de> for Cpus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;
        impl Visitor<'_> for Number {
            type Value = Cpus;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of cores such as 0.5")
            }

            fn visit_f64<E: de::Error>(self, cores: f64) -> Result<Cpus, E> {
                Cpus::try_from(cores).map_err(E::custom)
            }

            // Integers beyond a float's 53 bits are far too large anyway.
            fn visit_i64<E: de::Error>(self, cores: i64) -> Result<Cpus, E> {
                self.visit_f64(cores as f64)
            }

            fn visit_u64<E: de::Error>(self, cores: u64) -> Result<Cpus, E> {
                self.visit_f64(cores as f64)
            }
        }
        deserializer.deserialize_any(Number)
    }
}

/// A Unix signal: `"TERM"`, `"SIGINT"` or a number from 1 to 64.
///
/// ```
/// use apportion::spec::StopSignal;
///
/// let signal: StopSignal = "SIGINT".parse()?;
/// assert_eq!((signal.number(), signal.to_string().as_str()), (2, "INT"));
/// # Ok::<(), apportion::spec::UnitError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StopSignal(i32);

/// The signals that have names here; those that a program may want to be stopped by. Numbers as on Linux, signal(7).
const SIGNALS: [(&str, i32); 10] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ABRT", 6),
    ("KILL", 9),
    ("USR1", 10),
    ("USR2", 12),
    ("ALRM", 14),
    ("TERM", 15),
    ("WINCH", 28),
];

impl StopSignal {
    /// The signal that tasks get unless their spec says otherwise.
    pub const DEFAULT: StopSignal = StopSignal(crate::protocol::task::DEFAULT_STOP_SIGNAL);

    /// Its number.
    pub const fn number(self) -> i32 {
        self.0
    }

    fn error(text: impl fmt::Display, problem: UnitProblem) -> UnitError {
        UnitError { text: text.to_string(), what: "a signal", problem, example: "\"TERM\", \"INT\" or 15" }
    }
}

impl TryFrom<i64> for StopSignal {
    type Error = UnitError;

    fn try_from(number: i64) -> Result<Self, UnitError> {
        match i32::try_from(number) {
            Ok(signal @ 1..=64) => Ok(StopSignal(signal)),
            _ => Err(StopSignal::error(number, UnitProblem::OutOfRange)),
        }
    }
}

impl FromStr for StopSignal {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let name = text.strip_prefix("SIG").unwrap_or(text);
        match SIGNALS.iter().find(|(known, _)| *known == name) {
            Some((_, number)) => Ok(StopSignal(*number)),
            None => Err(StopSignal::error(text, UnitProblem::UnknownName)),
        }
    }
}

impl fmt::Display for StopSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match SIGNALS.iter().find(|(_, number)| *number == self.0) {
            Some((name, _)) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

impl Serialize for StopSignal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if SIGNALS.iter().any(|(_, number)| *number == self.0) {
            serializer.collect_str(self)
        } else {
            serializer.serialize_i32(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for StopSignal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameOrNumber;
        impl Visitor<'_> for NameOrNumber {
            type Value = StopSignal;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a signal such as \"TERM\" or 15")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<StopSignal, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<StopSignal, E> {
                StopSignal::try_from(number).map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<StopSignal, E> {
                self.visit_i64(i64::try_from(number).unwrap_or(i64::MAX))
            }
        }
        deserializer.deserialize_any(NameOrNumber)
    }
}

/// The text before the first character that `stops`, and the rest.
fn split_at_first(text: &str, stops: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(stops).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn memory_in_decimal_units_is_rounded_up() {
        assert_eq!("128MB".parse(), Ok(Memory(123)));
        assert_eq!("2GiB".parse(), Ok(Memory(2048)));
        assert_eq!("1.5GiB".parse(), Ok(Memory(1536)));
    }

    #[test]
    fn delays_are_sums_of_units() {
        assert_eq!("1h30m".parse(), Ok(Delay::from_secs(5400)));
        assert_eq!("7d".parse(), Ok(Delay::from_secs(7 * 86_400)));
        assert_eq!("500ms".parse(), Ok(Delay::from_millis(500)));
    }

    #[test]
    fn bad_values_say_what_is_wrong() {
        let delay = |text: &str| text.parse::<Delay>().unwrap_err().problem;
        assert_eq!(delay("30"), UnitProblem::NoUnit { units: "ms, s, m, h, d" });
        assert_eq!(delay("5m1h"), UnitProblem::Order);
        assert_eq!(delay(""), UnitProblem::NoNumber);
        assert_eq!(delay("400000d"), UnitProblem::TooLarge);
        assert_eq!("101%".parse::<CountOrPercent>().unwrap_err().problem, UnitProblem::OutOfRange);
        assert_eq!("STOPP".parse::<StopSignal>().unwrap_err().problem, UnitProblem::UnknownName);
        assert_eq!("5000TiB".parse::<Memory>().unwrap_err().problem, UnitProblem::TooLarge);
    }

    fn through_json<T: Serialize + de::DeserializeOwned>(value: &T) -> T {
        serde_json::from_str(&serde_json::to_string(value).unwrap()).unwrap()
    }

    proptest! {
        #[test]
        fn values_survive_being_written(millis: u32, secs: u32, mib: u32, milli: u32, n: u32, percent in 0..=100_u32, signal in 1..=64_i64) {
            for delay in [Delay::from_millis(millis), Delay::from_secs(secs)] {
                prop_assert_eq!(through_json(&delay), delay);
            }
            prop_assert_eq!(through_json(&Memory(mib)), Memory(mib));
            prop_assert_eq!(through_json(&Cpus(milli)), Cpus(milli));
            let signal = StopSignal::try_from(signal).unwrap();
            prop_assert_eq!(through_json(&signal), signal);
            for value in [CountOrPercent::Count(n), CountOrPercent::Percent(percent)] {
                prop_assert_eq!(through_json(&value), value);
                prop_assert!(value.resolve_down(n) <= value.resolve_up(n));
                prop_assert!(value.resolve_up(n) <= n || n == 0);
            }
        }

        #[test]
        fn reading_never_panics(text in "[0-9.]{0,25}[dhmsKMGTiB% ]{0,4}[0-9]{0,3}(ms)?|.{0,8}") {
            let _ = text.parse::<Delay>();
            let _ = text.parse::<Memory>();
            let _ = text.parse::<CountOrPercent>();
            let _ = text.parse::<StopSignal>();
        }
    }
}
