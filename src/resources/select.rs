//! Choosing among resources: by kind, by role, and for a task.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use super::gpus::fullest_gpus;
use super::{GpuRequest, Kind, Quantities, Resource, Resources, Role, Scalar, Value};

/// What a task wants: resources whose values are given, and ports and shared GPUs, whichever they are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Shape {
    /// Amounts and particular items. Unreserved ones may be served by reserved resources of the role.
    pub resources: Resources,
    /// How many more ports, whichever they are.
    pub ports: u32,
    /// Shared GPUs, whole or in part. Those that are not shared are among the resources.
    pub gpus: GpuRequest,
}

impl Shape {
    /// A shape of these resources and that many more ports.
    #[must_use]
    pub const fn new(resources: Resources, ports: u32) -> Self {
        Self { resources, ports, gpus: GpuRequest::NONE }
    }

    /// The same, with shared GPUs.
    ///
    /// ```
    /// use apportion::resources::{GpuRequest, Resources, Role, Shape};
    ///
    /// let shape = Shape::from(Resources::cpus_mem(1000, 512)).with_gpus(GpuRequest { count: 1, milli: 300 });
    /// assert_eq!(shape.quantities().to_string(), "cpus:1;mem:512;gpu_milli:300");
    /// // The first device has not enough left.
    /// let held: Resources = "cpus:4;mem:1024;gpu_milli:[800-999,1000-1999]".parse()?;
    /// let found = held.find_shape(&shape, &Role::any()).map(|found| found.to_string());
    /// assert_eq!(found.as_deref(), Some("cpus:1;mem:512;gpu_milli:[1000-1299]"));
    /// # Ok::<(), apportion::resources::ParseError>(())
    /// ```
    #[must_use]
    pub fn with_gpus(mut self, gpus: GpuRequest) -> Self {
        self.gpus = gpus;
        self
    }

    /// How much it wants of each kind.
    #[must_use]
    pub fn quantities(&self) -> Quantities {
        let mut quantities = self.resources.quantities();
        quantities.push(&Kind::Ports, Scalar::whole(self.ports));
        if !self.gpus.is_none() {
            let milli = Scalar::checked_whole(u128::from(self.gpus.total_milli()));
            quantities.push(&Kind::gpu_milli(), milli.unwrap_or(Scalar::LIMIT));
        }
        quantities
    }
}

impl From<Resources> for Shape {
    fn from(resources: Resources) -> Self {
        Self::new(resources, 0)
    }
}

impl Resources {
    /// What the role may have: unreserved, or reserved to it or to a role above it.
    #[must_use]
    pub fn allocatable_to(&self, role: &Role) -> Self {
        self.filter(|resource| resource.allocatable_to(role))
    }

    /// What no role holds.
    #[must_use]
    pub fn unreserved(&self) -> Self {
        self.filter(|resource| resource.reserved_to().is_none())
    }

    /// What exactly this role holds.
    #[must_use]
    pub fn reserved_to(&self, role: &Role) -> Self {
        self.filter(|resource| resource.reserved_to() == Some(role))
    }

    /// What may be taken away while in use.
    #[must_use]
    pub fn revocable(&self) -> Self {
        self.filter(Resource::is_revocable)
    }

    /// What stays until it is given back.
    #[must_use]
    pub fn non_revocable(&self) -> Self {
        self.filter(|resource| !resource.is_revocable())
    }

    /// What only one may hold at a time.
    #[must_use]
    pub fn unshared(&self) -> Self {
        if self.has_shared() { self.filter(|resource| !resource.is_shared()) } else { self.clone() }
    }

    /// Whether several may hold any of it at once.
    #[must_use]
    pub fn has_shared(&self) -> bool {
        self.iter().any(Resource::is_shared)
    }

    /// The concrete resources that give `wanted` to the role, or `None` when there aren't enough.
    ///
    /// What is wanted with a reservation or a volume is taken just so, if the role may have it. The rest is taken first from what
    /// is reserved to the role, then to the roles above it, nearest first, then from what is unreserved;
    /// never from volumes, and from revocable resources only if wanted revocable.
    #[must_use]
    pub fn find(&self, wanted: &Self, role: &Role) -> Option<Self> {
        if let Some(is_there) = self.has_just(wanted) {
            return is_there.then(|| wanted.clone());
        }
        let mut search = Search { left: self.clone(), found: Self::new(), role };
        search.take_all(wanted)?;
        Some(search.found)
    }

    /// As [`Resources::find`], with the lowest free ports for those of which only the number is wanted, and with the fullest of the
    /// shared GPUs that have enough left.
    #[must_use]
    pub fn find_shape(&self, shape: &Shape, role: &Role) -> Option<Self> {
        self.find_by(shape, role, |free| fullest_gpus(free, shape.gpus))
    }

    /// As [`Resources::find_shape`], with these shared GPUs, by their numbers.
    #[must_use]
    pub fn find_shape_on(&self, shape: &Shape, role: &Role, devices: &[usize]) -> Option<Self> {
        self.find_by(shape, role, |_| (devices.len() == shape.gpus.count as usize).then(|| devices.to_vec()))
    }

    fn find_by(
        &self,
        shape: &Shape,
        role: &Role,
        choose: impl FnOnce(&[u32]) -> Option<Vec<usize>>,
    ) -> Option<Self> {
        if shape.ports == 0 && shape.gpus.is_none() {
            return self.find(&shape.resources, role);
        }
        let mut search = Search { left: self.clone(), found: Self::new(), role };
        search.take_all(&shape.resources)?;
        search.take_ports(u64::from(shape.ports))?;
        if !shape.gpus.is_none() {
            search.take_gpus(shape.gpus, choose)?;
        }
        Some(search.found)
    }

    /// Whether all that is wanted is there, where nothing is to be chosen: each is an unreserved scalar, and all there is of its kind
    /// is of the same identity. `None` where there is a choice.
    fn has_just(&self, wanted: &Self) -> Option<bool> {
        for wanted in wanted {
            let is_plain = wanted.reserved_to().is_none() && wanted.volume().is_none();
            let mut of_kind = self.iter().filter(|held| held.kind() == wanted.kind());
            match (of_kind.next(), of_kind.next(), wanted.value()) {
                (Some(held), None, Value::Scalar(_)) if is_plain && held.is_of_pile(wanted) => {
                    if !held.value().contains(wanted.value()) {
                        return Some(false);
                    }
                }
                _ => return None,
            }
        }
        Some(true)
    }

    pub(crate) fn filter(&self, keep: impl Fn(&Resource) -> bool) -> Self {
        self.iter().filter(|resource| keep(resource)).cloned().collect()
    }
}

/// A search under way: what is left to choose from, and what was chosen.
struct Search<'a> {
    left: Resources,
    found: Resources,
    role: &'a Role,
}

impl Search<'_> {
    fn take_all(&mut self, wanted: &Resources) -> Option<()> {
        let is_exact = |wanted: &&Resource| wanted.reserved_to().is_some();
        for wanted in wanted.iter().filter(is_exact) {
            if !wanted.allocatable_to(self.role) {
                return None;
            }
            self.take(wanted.clone())?;
        }
        wanted.iter().filter(|wanted| !is_exact(wanted)).try_for_each(|wanted| self.take_like(wanted))
    }

    /// Takes the value of `wanted` from whatever may serve it.
    fn take_like(&mut self, wanted: &Resource) -> Option<()> {
        let mut missing = wanted.value().clone();
        for candidate in self.candidates(wanted.kind(), wanted.is_revocable()) {
            let (part, rest) = match (candidate.value(), &missing) {
                (Value::Scalar(held), Value::Scalar(missing)) => {
                    let part = *held.min(missing);
                    (Value::Scalar(part), Value::Scalar(missing.checked_sub(part)?))
                }
                (Value::Ranges(held), Value::Ranges(missing)) => {
                    (Value::Ranges(held.intersect(missing)), Value::Ranges(missing.subtract(held)))
                }
                (Value::Set(held), Value::Set(missing)) => {
                    (Value::Set(held.intersect(missing)), Value::Set(missing.subtract(held)))
                }
                _ => continue,
            };
            self.take(candidate.with_value(part))?;
            missing = rest;
            if missing.is_empty() {
                return Some(());
            }
        }
        missing.is_empty().then_some(())
    }

    fn take_ports(&mut self, count: u64) -> Option<()> {
        let mut missing = count;
        for candidate in self.candidates(&Kind::Ports, false) {
            if missing == 0 {
                break;
            }
            if let Value::Ranges(held) = candidate.value() {
                let part = held.first_n(missing);
                missing -= u64::try_from(part.count()).ok()?;
                self.take(candidate.with_value(Value::Ranges(part)))?;
            }
        }
        (missing == 0).then_some(())
    }

    fn take_gpus(
        &mut self,
        gpus: GpuRequest,
        choose: impl FnOnce(&[u32]) -> Option<Vec<usize>>,
    ) -> Option<()> {
        let devices = choose(&self.left.gpu_devices(self.role))?;
        let part = self.left.gpu_ranges(self.role).part_of_gpus(&devices, gpus.milli)?;
        self.take_like(&Resource::plain(Kind::gpu_milli(), Value::Ranges(part)))
    }

    /// What may serve an unreserved wish of this kind, best first.
    fn candidates(&self, kind: &Kind, revocable: bool) -> Vec<Resource> {
        let serves = |resource: &&Resource| {
            resource.kind() == kind
                && resource.is_revocable() == revocable
                && resource.volume().is_none()
                && resource.allocatable_to(self.role)
        };
        let mut candidates: Vec<_> = self.left.iter().filter(serves).cloned().collect();
        // Among the role and those above it, the deeper is the more specific.
        let depth = |resource: &Resource| resource.reserved_to().map(|role| role.components().count());
        candidates.sort_by_key(|resource| Reverse(depth(resource)));
        candidates
    }

    fn take(&mut self, resource: Resource) -> Option<()> {
        let part = Resources::from(resource);
        self.left.try_subtract(&part).ok()?;
        self.found += part;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::strategies;
    use super::*;

    fn parsed(text: &str) -> Resources {
        text.parse().unwrap()
    }

    fn role(name: &str) -> Role {
        name.parse().unwrap()
    }

    #[test]
    fn reserved_resources_are_used_first_and_the_nearest_before_others() {
        let held = parsed("cpus:4;cpus(eng):2;cpus(eng/dev):1;cpus(ops):8;cpus{REV}:8");
        let find = |text: &str, name: &str| held.find(&parsed(text), &role(name));
        assert_eq!(find("cpus:2.5", "eng/dev"), Some(parsed("cpus(eng/dev):1;cpus(eng):1.5")));
        assert_eq!(find("cpus:5", "eng"), Some(parsed("cpus(eng):2;cpus:3")));
        assert_eq!(find("cpus:7", "eng/dev"), Some(parsed("cpus:4;cpus(eng):2;cpus(eng/dev):1")));
        assert_eq!(find("cpus:7.001", "eng/dev"), None);
        assert_eq!(find("cpus{REV}:8", "*"), Some(parsed("cpus{REV}:8")));
        assert_eq!(find("cpus(eng):2;cpus:1", "eng"), Some(parsed("cpus(eng):2;cpus:1")));
        assert_eq!(find("cpus(ops):1", "eng"), None);
    }

    #[test]
    fn volumes_are_taken_only_by_name() {
        let held = parsed("disk(eng)[v:data]:10;disk:5");
        assert_eq!(held.find(&parsed("disk:6"), &role("eng")), None);
        assert_eq!(held.find(&parsed("disk:10"), &role("eng")), None);
        let volume = parsed("disk(eng)[v:data]:10");
        assert_eq!(held.find(&volume, &role("eng")), Some(volume));
    }

    #[test]
    fn ports_are_found_by_number_beside_particular_ones() {
        let held = parsed("cpus:1;ports:[10-12,20-29];ports(eng):[100-101]");
        let shape = Shape::new(parsed("cpus:0.5;ports:[10-10]"), 4);
        let found = held.find_shape(&shape, &role("eng")).unwrap();
        assert_eq!(found, parsed("cpus:0.5;ports:[10-12];ports(eng):[100-101]"));
        assert_eq!(found.quantities(), shape.quantities());
        assert_eq!(held.find_shape(&Shape::new(Resources::new(), 16), &role("eng")), None);
        assert_eq!(held.find_shape(&Shape::new(Resources::new(), 14), &Role::any()), None);
    }

    #[test]
    fn filters_part_by_what_they_name() {
        let held = parsed("cpus:4;cpus(eng):2;cpus(eng/dev):1;cpus{REV}:8;ports:[1-2];ports(eng):[3-4]");
        assert_eq!(
            held.allocatable_to(&role("eng")),
            parsed("cpus:4;cpus(eng):2;cpus{REV}:8;ports:[1-2];ports(eng):[3-4]")
        );
        assert_eq!(held.unreserved(), parsed("cpus:4;cpus{REV}:8;ports:[1-2]"));
        assert_eq!(held.reserved_to(&role("eng")), parsed("cpus(eng):2;ports(eng):[3-4]"));
        assert_eq!(held.revocable(), parsed("cpus{REV}:8"));
        assert_eq!(held.revocable() + &held.non_revocable(), held);
        assert_eq!(held.ports(), "[1-4]".parse().unwrap());
        assert_eq!(held.cpus(), Scalar::whole(15));
    }

    proptest! {
        #[test]
        fn what_is_found_is_there_suffices_and_is_for_the_role(
            held in strategies::resources(), wanted in strategies::resources(), ports in 0_u32..4,
            gpus in (0_u32..3, 1_u32..4), role in strategies::role(), enough: bool,
        ) {
            let gpus = GpuRequest { count: gpus.0, milli: gpus.1 };
            let shape = Shape::new(wanted.unreserved(), ports).with_gpus(gpus);
            let held = if enough { held + &wanted } else { held };
            match held.find_shape(&shape, &role) {
                Some(found) => {
                    prop_assert!(held.contains(&found));
                    prop_assert_eq!(found.quantities(), shape.quantities());
                    prop_assert_eq!(&found.allocatable_to(&role), &found);
                }
                None => {
                    let is_open = ports > 0 || gpus.count > 0;
                    prop_assert!(!held.unreserved().contains(&shape.resources) || is_open);
                }
            }
        }

        #[test]
        fn everything_is_found_by_its_own_name(held in strategies::resources(), role in strategies::role()) {
            let mine = held.allocatable_to(&role);
            prop_assert_eq!(mine.reserved_to(&role), held.find(&mine.reserved_to(&role), &role).unwrap());
        }
    }
}
