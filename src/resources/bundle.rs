//! Many resources as one value that adds and subtracts exactly.

use std::borrow::Cow;
use std::iter::Sum;
use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};

use super::parts::Parts;
use super::totals::check_total;
use super::{
    InsufficientResources, Reservation, ReservationError, Resource, ResourcesBuilder, ResourcesError, Scalar,
    Value, VolumeError, VolumeName,
};

/// Why sums of [`Scalar`]s hold: see [`Scalar::LIMIT`].
pub(super) const LIMITED: &str = "sums of limited amounts fit 64 bits";

/// A multiset of resources in normal form: sorted, merged where identities agree, nothing empty.
///
/// Equal amounts are equal values. Scalars of one identity add up. Ranges and sets of one identity are
/// layered when they overlap: the first layer holds what is there at least once, the second what is there
/// at least twice, and so on. So adding and subtracting stay exact even where two machines have the same
/// ports. Volumes never merge; copies of one lie side by side.
///
/// Copies are cheap: they share memory until one of them changes.
///
/// ```
/// use apportion::resources::Resources;
///
/// let mut offered: Resources = "cpus:4;mem:1024;ports:[31000-31009]".parse()?;
/// let task: Resources = "cpus:1.5;mem:256;ports:[31000-31000]".parse()?;
/// offered.try_subtract(&task)?;
/// assert_eq!(offered.to_string(), "cpus:2.5;mem:768;ports:[31001-31009]");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Vec<Resource>")]
pub struct Resources(Parts);

impl Resources {
    /// No resources.
    #[must_use]
    pub const fn new() -> Self {
        Self(Parts::new())
    }

    /// Builds unreserved resources by kind.
    pub fn builder() -> ResourcesBuilder {
        ResourcesBuilder::default()
    }

    /// Thousandths of a core, and MiB of memory.
    #[must_use]
    pub fn cpus_mem(cpus_milli: u32, mem_mib: u32) -> Self {
        Self::builder().cpus_milli(cpus_milli).mem_mib(mem_mib).build()
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each resource, sorted by kind and then by identity.
    pub fn iter(&self) -> std::slice::Iter<'_, Resource> {
        self.0.iter()
    }

    /// Adds `other`.
    ///
    /// # Panics
    /// When an amount no longer fits 64 bits of thousandths, which takes thousands of operands of
    /// [`Scalar::LIMIT`], the most that text and wire let in.
    pub fn add(&mut self, other: &Self) {
        if self.is_empty() {
            self.clone_from(other);
            return;
        }
        if self.has_scalars(other, |_, more| more.volume().is_none()) {
            return self.change_scalars(other, |held, more| held.checked_add(more).expect(LIMITED));
        }
        for resource in other {
            self.push(Cow::Borrowed(resource));
        }
    }

    /// Takes `other` away.
    ///
    /// # Errors
    /// When it does not fit; nothing is taken then.
    pub fn try_subtract(&mut self, other: &Self) -> Result<(), InsufficientResources> {
        if self.0.is_same(&other.0) {
            *self = Self::new();
            return Ok(());
        }
        if self.has_scalars(other, |held, less| held.value().contains(less.value())) {
            self.change_scalars(other, |held, less| held.checked_sub(less).expect("checked to be in here"));
            return Ok(());
        }
        if let Some((wanted, had)) = self.shortfall(other) {
            return Err(InsufficientResources {
                wanted: Box::new(wanted.clone()),
                had: had.map(|had| Box::new(had.clone())),
            });
        }
        for resource in other {
            self.remove(resource);
        }
        Ok(())
    }

    /// What is left without `other`.
    ///
    /// # Errors
    /// When it does not fit.
    pub fn checked_sub(&self, other: &Self) -> Result<Self, InsufficientResources> {
        let mut left = self.clone();
        left.try_subtract(other)?;
        Ok(left)
    }

    /// Whether all of `other` can be taken away.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        self.0.is_same(&other.0) || self.shortfall(other).is_none()
    }

    /// The same, all reserved once more.
    ///
    /// # Errors
    /// When any of it can't be reserved so: see [`Resource::push_reservation`].
    pub fn to_reserved(&self, reservation: &Reservation) -> Result<Self, ReservationError> {
        self.iter().cloned().map(|resource| resource.push_reservation(reservation.clone())).collect()
    }

    /// The same, each without its topmost reservation.
    ///
    /// # Errors
    /// When any of it has no dynamic reservation on top: see [`Resource::pop_reservation`].
    pub fn pop_reservation(&self) -> Result<Self, ReservationError> {
        self.iter().cloned().map(Resource::pop_reservation).collect()
    }

    /// The same, each without the volume that it is: what volumes are made of.
    ///
    /// # Errors
    /// When any of it is no volume.
    pub fn without_volumes(&self) -> Result<Self, VolumeError> {
        self.iter().cloned().map(Resource::without_volume).collect()
    }

    /// The names of the volumes.
    pub fn volume_names(&self) -> impl Iterator<Item = VolumeName> {
        self.iter().filter_map(Resource::volume_name)
    }

    /// Whether both are copies of the same, unchanged since; if so they are equal, which is cheap to ask so.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.0.is_same(&other.0)
    }

    /// Merges parts from outside.
    pub(super) fn try_from_parts(parts: Vec<Resource>) -> Result<Self, ResourcesError> {
        check_total(parts.iter().map(|part| (part.kind(), part.value().amount())))?;
        Ok(parts.into_iter().collect())
    }

    /// Whether `other` is all scalars, each of a pile that is in here and so that `fits` holds. Such piles are one resource each, or
    /// copies of a volume: one walk through both, which are sorted, finds them.
    fn has_scalars(&self, other: &Self, fits: impl Fn(&Resource, &Resource) -> bool) -> bool {
        let mut held = self.iter();
        other.iter().all(|resource| {
            matches!(resource.value(), Value::Scalar(_))
                && held.find(|held| held.is_of_pile(resource)).is_some_and(|held| fits(held, resource))
        })
    }

    /// Changes the scalars in here by those of `other`, which are [known](Self::has_scalars) to have their piles in here.
    fn change_scalars(&mut self, other: &Self, change: impl Fn(Scalar, Scalar) -> Scalar) {
        let parts = self.0.to_mut();
        let (mut rest, mut is_any_empty) = (parts.iter_mut(), false);
        for resource in other {
            let held = rest.find(|held| held.is_of_pile(resource));
            if let (Some(Value::Scalar(held)), Value::Scalar(by)) =
                (held.map(|held| &mut held.value), resource.value())
            {
                *held = change(*held, *by);
                is_any_empty |= held.is_zero();
            }
        }
        if is_any_empty {
            parts.retain(|part| !part.is_empty());
        }
    }

    /// Where the resource's pile begins, or would.
    fn pile(&self, resource: &Resource) -> usize {
        self.0.partition_point(|held| held.pile_cmp(resource).is_lt())
    }

    /// The resource at `at`, if it still belongs to the pile of `resource`.
    fn in_pile(&self, at: usize, resource: &Resource) -> Option<&Resource> {
        self.0.get(at).filter(|held| held.pile_cmp(resource).is_eq())
    }

    fn push(&mut self, resource: Cow<'_, Resource>) {
        if resource.is_empty() {
            return;
        }
        let mut at = self.pile(&resource);
        if resource.volume().is_some() {
            return self.0.to_mut().insert(at, resource.into_owned());
        }
        let mut above = resource;
        // What a layer already has rises to the next one.
        let parts = self.0.to_mut();
        while let Some(held) = parts.get_mut(at).filter(|held| held.pile_cmp(&above).is_eq()) {
            let rest = match (&mut held.value, above.value()) {
                (Value::Scalar(held), Value::Scalar(more)) => {
                    *held = held.checked_add(*more).expect(LIMITED);
                    return;
                }
                (Value::Ranges(held), Value::Ranges(more)) => {
                    let rest = held.intersect(more);
                    *held = held.union(more);
                    Value::Ranges(rest)
                }
                (Value::Set(held), Value::Set(more)) => {
                    let rest = held.intersect(more);
                    *held = held.union(more);
                    Value::Set(rest)
                }
                _ => unreachable!("a pile has one type of value"),
            };
            if rest.is_empty() {
                return;
            }
            above = Cow::Owned(above.with_value(rest));
            at += 1;
        }
        parts.insert(at, above.into_owned());
    }

    /// Each resource, and which layer of its pile it is, from 0.
    pub(super) fn layers(&self) -> impl Iterator<Item = (usize, &Resource)> {
        let mut layer = 0;
        let mut before: Option<&Resource> = None;
        self.iter().map(move |resource| {
            let same_pile = before.is_some_and(|before| before.pile_cmp(resource).is_eq());
            layer = if same_pile { layer + 1 } else { 0 };
            before = Some(resource);
            (layer, resource)
        })
    }

    /// That layer of the pile that a resource belongs to, or would.
    pub(super) fn layer(&self, layer: usize, resource: &Resource) -> Option<&Resource> {
        self.in_pile(self.pile(resource) + layer, resource)
    }

    /// The first resource of `wanted` that is not in here, and what is in here in its place.
    fn shortfall<'a>(&'a self, wanted: &'a Self) -> Option<(&'a Resource, Option<&'a Resource>)> {
        wanted.layers().find_map(|(layer, resource)| {
            let held = self.layer(layer, resource);
            let fits = held.is_some_and(|held| held.value().contains(resource.value()));
            (!fits).then_some((resource, held))
        })
    }

    /// Takes away one resource that is known to be in here.
    fn remove(&mut self, resource: &Resource) {
        let first = self.pile(resource);
        let parts = self.0.to_mut();
        if resource.volume().is_some() {
            parts.remove(first);
            return;
        }
        let layers = parts[first..].iter().take_while(|held| held.pile_cmp(resource).is_eq()).count();
        let mut wanted = Cow::Borrowed(resource.value());
        // Taken from the top layer down, so that what is left is still there often enough below.
        for at in (first..first + layers).rev() {
            let rest = match (&mut parts[at].value, wanted.as_ref()) {
                (Value::Scalar(held), Value::Scalar(less)) => {
                    *held = held.checked_sub(*less).expect("checked to be in here");
                    Value::Scalar(Scalar::ZERO)
                }
                (Value::Ranges(held), Value::Ranges(less)) => {
                    let rest = less.subtract(held);
                    *held = held.subtract(less);
                    Value::Ranges(rest)
                }
                (Value::Set(held), Value::Set(less)) => {
                    let rest = less.subtract(held);
                    *held = held.subtract(less);
                    Value::Set(rest)
                }
                _ => unreachable!("a pile has one type of value"),
            };
            if parts[at].is_empty() {
                parts.remove(at);
            }
            if rest.is_empty() {
                return;
            }
            wanted = Cow::Owned(rest);
        }
    }
}

impl From<Resource> for Resources {
    fn from(resource: Resource) -> Self {
        Self::from_iter([resource])
    }
}

impl FromIterator<Resource> for Resources {
    /// # Panics
    /// As [`Resources::add`].
    fn from_iter<I: IntoIterator<Item = Resource>>(resources: I) -> Self {
        let mut all = Self::new();
        all.extend(resources);
        all
    }
}

impl Extend<Resource> for Resources {
    fn extend<I: IntoIterator<Item = Resource>>(&mut self, resources: I) {
        for resource in resources {
            self.push(Cow::Owned(resource));
        }
    }
}

impl<'a> IntoIterator for &'a Resources {
    type Item = &'a Resource;
    type IntoIter = std::slice::Iter<'a, Resource>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl IntoIterator for Resources {
    type Item = Resource;
    type IntoIter = std::vec::IntoIter<Resource>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_vec().into_iter()
    }
}

impl AddAssign<&Self> for Resources {
    fn add_assign(&mut self, other: &Self) {
        self.add(other);
    }
}

impl AddAssign for Resources {
    fn add_assign(&mut self, other: Self) {
        self.extend(other);
    }
}

impl Add<&Resources> for Resources {
    type Output = Self;

    fn add(mut self, other: &Self) -> Self {
        self += other;
        self
    }
}

impl<'a> Sum<&'a Self> for Resources {
    fn sum<I: Iterator<Item = &'a Self>>(all: I) -> Self {
        all.fold(Self::new(), |sum, each| sum + each)
    }
}

impl TryFrom<Vec<Resource>> for Resources {
    type Error = ResourcesError;

    /// Takes a list in normal form, as it is always sent: checking is linear where merging what a hostile
    /// peer sends is not.
    fn try_from(resources: Vec<Resource>) -> Result<Self, ResourcesError> {
        if let Some(index) = resources.iter().position(Resource::is_empty) {
            return Err(ResourcesError::NotNormal { index });
        }
        for (index, pair) in resources.windows(2).enumerate() {
            let in_order = match pair[0].pile_cmp(&pair[1]) {
                std::cmp::Ordering::Less => true,
                std::cmp::Ordering::Equal => match pair[0].value() {
                    Value::Scalar(_) => pair[0].volume().is_some(),
                    layer => layer.contains(pair[1].value()),
                },
                std::cmp::Ordering::Greater => false,
            };
            if !in_order {
                return Err(ResourcesError::NotNormal { index: index + 1 });
            }
        }
        let resources = Self(resources.into());
        check_total(resources.amounts())?;
        Ok(resources)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Kind;
    use super::super::strategies::{self, units};
    use super::*;

    fn parsed(text: &str) -> Resources {
        text.parse().unwrap()
    }

    #[test]
    fn a_subtraction_that_does_not_fit_says_what_is_missing() {
        let error = parsed("cpus:2;mem:10").checked_sub(&parsed("cpus:1;mem:11")).unwrap_err();
        assert_eq!(error.to_string(), "wanted mem:11, but had mem:10");
        assert_eq!(error.kind(), &Kind::Mem);
        let error = parsed("cpus:2").checked_sub(&parsed("cpus(eng):1")).unwrap_err();
        assert_eq!(error.to_string(), "wanted cpus(eng):1, but had none of it");
    }

    #[test]
    fn what_is_there_twice_makes_a_second_layer() {
        let mut ports = parsed("ports:[1-10]") + &parsed("ports:[5-15]");
        assert_eq!(ports.to_string(), "ports:[1-15];ports:[5-10]");
        assert_eq!(ports.quantity(&Kind::Ports), Scalar::whole(21));
        ports.try_subtract(&parsed("ports:[1-10]")).unwrap();
        assert_eq!(ports, parsed("ports:[5-15]"));
    }

    #[test]
    fn volumes_neither_merge_nor_split() {
        let volume = parsed("disk(eng)[v:data]:10");
        let two = volume.clone() + &volume;
        assert_eq!(two.iter().count(), 2);
        assert!(!volume.contains(&two));
        assert!(!volume.contains(&parsed("disk(eng)[v:data]:5")));
        assert!(volume.contains(&parsed("disk(eng)[v:elsewhere]:10")));
        assert_eq!(two.disk(), Scalar::whole(20));
        assert_eq!(two.checked_sub(&volume), Ok(volume));
    }

    #[test]
    fn reservations_are_put_on_and_taken_off_as_a_whole() {
        let eng = Reservation::dynamic("eng".parse().unwrap(), None);
        let plain = parsed("cpus:2;mem:64;ports:[1-2]");
        let reserved = plain.to_reserved(&eng).unwrap();
        assert_eq!(reserved.reserved_to(&eng.role), reserved);
        assert_eq!(reserved.quantities(), plain.quantities());
        assert_eq!(reserved.pop_reservation(), Ok(plain.clone()));
        assert!((reserved + &plain).to_reserved(&eng).is_err());
    }

    #[test]
    fn layers_from_the_wire_must_nest() {
        let list = |layers: [&str; 2]| {
            let parts: Vec<Resource> = layers.iter().flat_map(|text| parsed(text)).collect();
            serde_json::from_value::<Resources>(serde_json::to_value(parts).unwrap()).ok()
        };
        let nested = ["ports:[1-15]", "ports:[5-10]"];
        assert_eq!(list(nested), Some(parsed(&nested.join(";"))));
        assert_eq!(list(["ports:[1-10]", "ports:[5-15]"]), None);
        assert_eq!(list(["ports:[1-10]", "ports:[12-15]"]), None);
    }

    proptest! {
        #[test]
        fn adding_adds_every_unit(a in strategies::resources(), b in strategies::resources()) {
            let mut both = units(&a);
            for (unit, count) in units(&b) {
                *both.entry(unit).or_insert(0) += count;
            }
            prop_assert_eq!(units(&(a + &b)), both);
        }

        #[test]
        fn the_same_units_have_one_form(
            a in strategies::resources(), b in strategies::resources(), c in strategies::resources(),
        ) {
            prop_assert_eq!(a.clone() + &b, b.clone() + &a);
            prop_assert_eq!((a.clone() + &b) + &c, a.clone() + &(b.clone() + &c));
            prop_assert_eq!(units(&a) == units(&b), a == b);
        }

        #[test]
        fn subtracting_undoes_adding(a in strategies::resources(), b in strategies::resources()) {
            let both = a.clone() + &b;
            prop_assert!(both.contains(&a) && both.contains(&b));
            prop_assert_eq!(both.checked_sub(&b), Ok(a));
        }

        #[test]
        fn subtracting_takes_every_unit_or_nothing(
            a in strategies::resources(), b in strategies::resources(), part in any::<prop::sample::Index>(),
        ) {
            // A part of `b` often fits, all of it seldom.
            let wanted = match b.iter().count() {
                0 => b,
                count => Resources::from(b.0[part.index(count)].clone()),
            };
            let both = units(&a);
            let fits = units(&wanted).iter().all(|(unit, count)| both.get(unit).unwrap_or(&0) >= count);
            prop_assert_eq!(a.contains(&wanted), fits);
            let mut left = a.clone();
            match left.try_subtract(&wanted) {
                Ok(()) => {
                    prop_assert!(fits);
                    prop_assert_eq!(left + &wanted, a);
                }
                Err(error) => {
                    prop_assert!(!fits);
                    prop_assert_eq!(left, a);
                    prop_assert!(wanted.iter().any(|resource| *resource == *error.wanted));
                }
            }
        }

        #[test]
        fn the_wire_brings_back_the_same(a in strategies::resources()) {
            let json = serde_json::to_string(&a).unwrap();
            prop_assert_eq!(serde_json::from_str::<Resources>(&json).unwrap(), a);
        }

        #[test]
        fn the_wire_brings_only_normal_form(parts in prop::collection::vec(strategies::resource(), 0..4)) {
            let sent = serde_json::from_value::<Resources>(serde_json::to_value(&parts).unwrap());
            let normal: Resources = parts.iter().cloned().collect();
            match sent {
                Ok(sent) => prop_assert_eq!(sent, normal),
                Err(_) => prop_assert_ne!(normal.0.into_vec(), parts),
            }
        }
    }
}
