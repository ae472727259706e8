//! Processor cores.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::decimal::{serialize_milli, written};
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
        let failed = |problem| Cpus::error(written(cores), problem);
        let scalar = Scalar::try_from(cores).map_err(|problem| failed(problem.into()))?;
        u32::try_from(scalar.milli()).map(Cpus).map_err(|_| failed(UnitProblem::TooLarge))
    }
}

impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", f64::from(self.0) / 1000.0)
    }
}

impl Serialize for Cpus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_milli(self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for Cpus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::decimal::deserialize(deserializer, "a number of cores such as 0.5")
    }
}
