//! What two bundles of resources have in common, and what one has beyond the other.

use super::{Resources, Value};

impl Resources {
    /// What is both in here and in `other`: the smaller amount of each scalar, the items in both of ranges and sets.
    ///
    /// ```
    /// use apportion::resources::Resources;
    ///
    /// let offered: Resources = "cpus:4;mem:1024;ports:[1-9]".parse()?;
    /// let free: Resources = "cpus:1;ports:[5-20]".parse()?;
    /// assert_eq!(offered.common(&free).to_string(), "cpus:1;ports:[5-9]");
    /// assert_eq!(offered.minus_clamped(&free).to_string(), "cpus:3;mem:1024;ports:[1-4]");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn common(&self, other: &Self) -> Self {
        if self.is_same(other) {
            return self.clone();
        }
        // Layers nest: the second holds what is there at least twice, so that layers meet their likes.
        let layers = other.layers().filter_map(|(layer, resource)| {
            let held = self.layer(layer, resource)?;
            Some(resource.with_value(held.value().common(resource.value())))
        });
        layers.collect()
    }

    /// What is left without as much of `other` as is in here.
    #[must_use]
    pub fn minus_clamped(&self, other: &Self) -> Self {
        // What both have in common is in here.
        self.checked_sub(&self.common(other)).unwrap_or_default()
    }
}

impl Value {
    /// What is in both; nothing across types.
    fn common(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Scalar(held), Self::Scalar(other)) => Self::Scalar(*held.min(other)),
            (Self::Ranges(held), Self::Ranges(other)) => Self::Ranges(held.intersect(other)),
            (Self::Set(held), Self::Set(other)) => Self::Set(held.intersect(other)),
            _ => Self::Scalar(super::Scalar::ZERO),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::strategies::{self, units};

    proptest! {
        #[test]
        fn every_unit_is_common_or_left(a in strategies::resources(), b in strategies::resources()) {
            let common = a.common(&b);
            let (of_a, of_b) = (units(&a), units(&b));
            let mut expected = of_a.clone();
            for (unit, count) in &mut expected {
                *count = (*count).min(of_b.get(unit).copied().unwrap_or(0));
            }
            expected.retain(|_, count| *count > 0);
            prop_assert_eq!(units(&common), expected);
            prop_assert_eq!(&common, &b.common(&a));
            prop_assert_eq!(a.minus_clamped(&b) + &common, a);
        }
    }
}
