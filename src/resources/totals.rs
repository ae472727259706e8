//! How much of each kind there is, whatever its identity.

use super::bundle::LIMITED;
use super::{Kind, Quantities, Ranges, Resource, Resources, ResourcesError, Scalar, Value};

/// Why items of [`Value`]s can be counted: each [`Resource`] has at most [`Scalar::LIMIT`] of them.
const COUNTABLE: &str = "sums of limited counts fit 64 bits";

impl Resources {
    /// The amounts per kind, whatever their identity; ranges and sets count their items, and copies of a
    /// shared volume count once.
    ///
    /// # Panics
    /// As [`Resources::add`].
    #[must_use]
    pub fn quantities(&self) -> Quantities {
        let mut quantities = Quantities::new();
        for (kind, amount) in self.amounts() {
            quantities.push(kind, amount.expect(COUNTABLE));
        }
        quantities
    }

    /// The amount of one kind, as [`Resources::quantities`] has it.
    ///
    /// # Panics
    /// As [`Resources::add`].
    #[must_use]
    pub fn quantity(&self, kind: &Kind) -> Scalar {
        let amounts = self.amounts().filter(|(held, _)| *held == kind).map(|(_, amount)| amount);
        amounts.fold(Scalar::ZERO, |sum, amount| sum.checked_add(amount.expect(COUNTABLE)).expect(LIMITED))
    }

    /// Processor cores.
    #[must_use]
    pub fn cpus(&self) -> Scalar {
        self.quantity(&Kind::Cpus)
    }

    /// Memory in MiB.
    #[must_use]
    pub fn mem(&self) -> Scalar {
        self.quantity(&Kind::Mem)
    }

    /// Disk space in MiB.
    #[must_use]
    pub fn disk(&self) -> Scalar {
        self.quantity(&Kind::Disk)
    }

    /// Graphics processors.
    #[must_use]
    pub fn gpus(&self) -> Scalar {
        self.quantity(&Kind::Gpus)
    }

    /// All network ports, whatever their identity.
    #[must_use]
    pub fn ports(&self) -> Ranges {
        self.ranges(|resource| *resource.kind() == Kind::Ports)
    }

    /// The ranges of those resources altogether.
    pub(super) fn ranges(&self, counts: impl Fn(&Resource) -> bool) -> Ranges {
        let ranges =
            self.iter().filter(|resource| counts(resource)).filter_map(|resource| match resource.value() {
                Value::Ranges(ranges) => Some(ranges.iter()),
                _ => None,
            });
        ranges.flatten().collect()
    }

    /// The amount of each resource, where copies of a shared volume count once; `None` beyond a scalar.
    pub(super) fn amounts(&self) -> impl Iterator<Item = (&Kind, Option<Scalar>)> + '_ {
        let before = std::iter::once(None).chain(self.iter().map(Some));
        let is_copy = |(resource, before): &(&Resource, Option<&Resource>)| {
            resource.is_shared() && *before == Some(*resource)
        };
        let counted = self.iter().zip(before).filter(move |pair| !is_copy(pair));
        counted.map(|(resource, _)| (resource.kind(), resource.value().amount()))
    }
}

/// What comes from outside must add up to at most [`Scalar::LIMIT`] per kind.
pub(super) fn check_total<'a>(
    amounts: impl Iterator<Item = (&'a Kind, Option<Scalar>)>,
) -> Result<(), ResourcesError> {
    let mut total = Quantities::new();
    for (kind, amount) in amounts {
        let sum = amount.and_then(|amount| total.get(kind).checked_add(amount));
        match sum.filter(|sum| *sum <= Scalar::LIMIT) {
            Some(sum) => total.set(kind, sum),
            None => return Err(ResourcesError::TooMuch { kind: kind.clone() }),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::strategies;
    use super::*;

    fn parsed(text: &str) -> Resources {
        text.parse().unwrap()
    }

    #[test]
    fn copies_of_a_shared_volume_take_space_once() {
        let shared = parsed("disk(eng)[v:data]<SHARED>:10");
        let two = shared.clone() + &shared;
        assert_eq!(two.disk(), Scalar::whole(10));
        assert_eq!(two.checked_sub(&shared), Ok(shared));
    }

    #[test]
    fn totals_from_outside_are_limited() {
        let limit = Scalar::LIMIT;
        let too_much = format!("mem:{limit};mem(eng):0.001");
        let error = too_much.parse::<Resources>().unwrap_err();
        assert_eq!(error.to_string(), format!("at byte 0: mem adds up to more than {limit}"));
        let sum = parsed(&format!("mem:{limit}")) + &parsed("mem(eng):1");
        assert!(serde_json::from_value::<Resources>(serde_json::to_value(&sum).unwrap()).is_err());
    }

    proptest! {
        #[test]
        fn quantities_count_the_units(a in strategies::resources()) {
            let mut expected: BTreeMap<&Kind, i64> = BTreeMap::new();
            let mut last_shared = None;
            for resource in &a {
                let copy = resource.is_shared() && last_shared == Some(resource);
                last_shared = Some(resource);
                let milli = match resource.value() {
                    _ if copy => 0,
                    Value::Scalar(amount) => amount.milli(),
                    Value::Ranges(ranges) => ranges.values().count() as i64 * 1000,
                    Value::Set(items) => items.len() as i64 * 1000,
                };
                *expected.entry(resource.kind()).or_insert(0) += milli;
            }
            for (kind, milli) in &expected {
                prop_assert_eq!(a.quantity(kind).milli(), *milli);
                prop_assert_eq!(a.quantities().get(kind).milli(), *milli);
            }
            prop_assert_eq!(a.quantities().iter().count(), expected.len());
        }
    }
}
