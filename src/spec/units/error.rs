//! Why a value with a unit can't be read.

use crate::resources::ScalarError;

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
    /// A fraction of a unit that has smaller ones.
    #[error("fractions are not read")]
    Fraction,
    /// A name that is not known.
    #[error("unknown name (known: {known})")]
    UnknownName {
        /// The names there are.
        known: String,
    },
    /// A number outside what is allowed.
    #[error("it is out of range")]
    OutOfRange,
    /// Shares of GPUs that differ from device to device.
    #[error("it can't be split into equal thousandths of {devices} devices")]
    Uneven {
        /// As few devices as there can be.
        devices: u32,
    },
    /// Not a decimal number.
    #[error("it is not a decimal number")]
    NotDecimal,
    /// Not an amount in thousandths.
    #[error(transparent)]
    Scalar(#[from] ScalarError),
}
