//! Signals.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{UnitError, UnitProblem};

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
        if let Ok(number) = text.parse::<i64>() {
            return StopSignal::try_from(number);
        }
        let name = text.strip_prefix("SIG").unwrap_or(text);
        match SIGNALS.iter().find(|(known, _)| *known == name) {
            Some((_, number)) => Ok(StopSignal(*number)),
            None => {
                let known = SIGNALS.map(|(name, _)| name).join(", ");
                Err(StopSignal::error(text, UnitProblem::UnknownName { known }))
            }
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
