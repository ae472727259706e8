//! Processor cores.

use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{UnitError, UnitProblem};
use crate::resources::Scalar;

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

    fn error(text: String, problem: UnitProblem) -> UnitError {
        UnitError { text, what: "a number of cores", problem, example: "0.5 or 4" }
    }
}

impl TryFrom<f64> for Cpus {
    type Error = UnitError;

    /// Cores, rounded half away from zero to thousandths.
    fn try_from(cores: f64) -> Result<Self, UnitError> {
        // Otherwise the message could have hundreds of digits.
        let written = || if cores.abs() < 1e15 { cores.to_string() } else { format!("{cores:e}") };
        let scalar = Scalar::try_from(cores).map_err(|problem| Cpus::error(written(), problem.into()))?;
        u32::try_from(scalar.milli()).map(Cpus).map_err(|_| Cpus::error(written(), UnitProblem::TooLarge))
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
