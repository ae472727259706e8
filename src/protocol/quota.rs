//! Quota: how much a role is guaranteed, and how much it may have at most.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::resources::{Kind, ParseError, Quantities, Scalar};

/// What a role and its children are guaranteed together, and the most that they may have.
///
/// Charged are the scalars that they have of what is neither reserved nor revocable, offered or in use, and all that is
/// reserved to them, used or not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quota {
    /// Set aside for the role until it has as much.
    pub guarantee: Quantities,
    /// Never exceeded.
    pub limit: Limits,
}

impl Quota {
    /// Whether nothing is guaranteed and nothing limited.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.guarantee.is_empty() && self.limit.is_none()
    }
}

/// The most of each kind; kinds that are not named are not limited, and nothing of a kind may be the limit.
///
/// ```
/// use apportion::protocol::Limits;
/// use apportion::resources::{Kind, Scalar};
///
/// let limits: Limits = "cpus:4;gpus:0".parse()?;
/// assert_eq!(limits.get(&Kind::Gpus), Some(Scalar::ZERO));
/// assert_eq!(limits.get(&Kind::Mem), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Limits(BTreeMap<Kind, Scalar>);

impl Limits {
    /// Whether no kind is limited.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// The most of a kind; `None` when it is not limited.
    #[must_use]
    pub fn get(&self, kind: &Kind) -> Option<Scalar> {
        self.0.get(kind).copied()
    }

    /// The kinds that are limited, with their limits.
    pub fn iter(&self) -> impl Iterator<Item = (&Kind, Scalar)> {
        self.0.iter().map(|(kind, most)| (kind, *most))
    }

    /// What may still be had by whoever has `held`.
    #[must_use]
    pub fn minus(&self, held: &Quantities) -> Self {
        let left = |(kind, most): (&Kind, &Scalar)| {
            (kind.clone(), most.checked_sub(held.get(kind)).unwrap_or_default())
        };
        Limits(self.0.iter().map(left).collect())
    }

    /// The narrower limit of each kind.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        for (kind, most) in other.0 {
            let narrower = self.0.entry(kind).or_insert(most);
            *narrower = most.min(*narrower);
        }
        self
    }
}

impl FromIterator<(Kind, Scalar)> for Limits {
    fn from_iter<I: IntoIterator<Item = (Kind, Scalar)>>(limits: I) -> Self {
        Limits(limits.into_iter().collect())
    }
}

impl FromStr for Limits {
    type Err = ParseError;

    /// Reads `cpus:1;mem:512;gpus:0`; each kind at most once.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let amounts: Quantities = text.parse()?;
        let named = text.split(';').filter_map(|item| item.split_once(':'));
        let limit = |(kind, _): (&str, &str)| {
            let kind: Kind = kind.trim().parse().ok()?;
            let most = amounts.get(&kind);
            Some((kind, most))
        };
        Ok(named.filter_map(limit).collect())
    }
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (kind, most)) in self.0.iter().enumerate() {
            let semicolon = if index == 0 { "" } else { ";" };
            write!(f, "{semicolon}{kind}:{most}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_nothing_is_a_limit() {
        let limits: Limits = "cpus:1; mem:0".parse().unwrap();
        assert_eq!(limits.to_string(), "cpus:1;mem:0");
        assert_eq!(limits.minus(&"cpus:3".parse().unwrap()).to_string(), "cpus:0;mem:0");
        let narrower = limits.and("cpus:0.5;disk:3".parse().unwrap());
        assert_eq!(narrower.to_string(), "cpus:0.5;mem:0;disk:3");
    }
}
