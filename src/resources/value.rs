//! The three types of value.

use serde::{Deserialize, Serialize};

use super::{ItemSet, Ranges, Scalar};

/// How much of a resource, or which.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Value {
    /// An amount.
    Scalar(Scalar),
    /// Numbers, such as ports.
    Ranges(Ranges),
    /// Names.
    Set(ItemSet),
}

impl Value {
    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Scalar(scalar) => scalar.is_zero(),
            Self::Ranges(ranges) => ranges.is_empty(),
            Self::Set(items) => items.is_empty(),
        }
    }

    /// The amount; ranges and sets count their items. `None` beyond what a scalar holds.
    #[must_use]
    pub fn amount(&self) -> Option<Scalar> {
        match self {
            Self::Scalar(scalar) => Some(*scalar),
            Self::Ranges(ranges) => Scalar::checked_whole(ranges.count()),
            Self::Set(items) => Scalar::checked_whole(items.len() as u128),
        }
    }

    /// Whether all of `other` is in here; never across types.
    #[must_use]
    #[inline]
    pub fn contains(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Scalar(held), Self::Scalar(wanted)) => held >= wanted,
            (Self::Ranges(held), Self::Ranges(wanted)) => held.contains(wanted),
            (Self::Set(held), Self::Set(wanted)) => held.contains(wanted),
            _ => false,
        }
    }

    /// The name of its type.
    #[must_use]
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::Scalar(_) => "a scalar",
            Self::Ranges(_) => "ranges",
            Self::Set(_) => "a set",
        }
    }

    /// Orders the types as values are ordered.
    pub(super) const fn type_rank(&self) -> u8 {
        match self {
            Self::Scalar(_) => 0,
            Self::Ranges(_) => 1,
            Self::Set(_) => 2,
        }
    }
}
