//! Choosing among resources: by kind, by role, and for a task.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use super::{Kind, Quantities, Ranges, Resource, Resources, Role, Scalar, Value};

/// What a task wants: resources whose values are given, and ports of which only the number matters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Shape {
    /// Amounts and particular items. Unreserved ones may be served by reserved resources of the role.
    pub resources: Resources,
    /// How many more ports, whichever they are.
    pub ports: u32,
}

impl Shape {
    /// A shape of these resources and that many more ports.
    #[must_use]
    pub const fn new(resources: Resources, ports: u32) -> Self {
        Self { resources, ports }
    }

    /// How much it wants of each kind.
    #[must_use]
    pub fn quantities(&self) -> Quantities {
        let mut quantities = self.resources.quantities();
        quantities.push(&Kind::Ports, Scalar::whole(self.ports));
        quantities
    }
}

impl From<Resources> for Shape {
    fn from(resources: Resources) -> Self {
        Self::new(resources, 0)
    }
}

impl Resources {
    /// The amount of one kind, whatever its identity.
    #[must_use]
    pub fn quantity(&self, kind: &Kind) -> Scalar {
        self.quantities().get(kind)
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
        let ports = self.iter().filter(|resource| *resource.kind() == Kind::Ports);
        ports
            .filter_map(|resource| match resource.value() {
                Value::Ranges(ranges) => Some(ranges.iter()),
                _ => None,
            })
            .flatten()
            .collect()
    }

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

    /// The concrete resources that give `wanted` to the role, or `None` when there aren't enough.
    ///
    /// What is wanted with a reservation or a volume is taken just so. The rest is taken first from what
    /// is reserved to the role, then to the roles above it, nearest first, then from what is unreserved;
    /// never from volumes, and from revocable resources only if wanted revocable.
    #[must_use]
    pub fn find(&self, wanted: &Self, role: &Role) -> Option<Self> {
        let mut search = Search { left: self.clone(), found: Self::new(), role };
        search.take_all(wanted)?;
        Some(search.found)
    }

    /// As [`Resources::find`], with the lowest free ports for those of which only the number is wanted.
    #[must_use]
    pub fn find_shape(&self, shape: &Shape, role: &Role) -> Option<Self> {
        let mut search = Search { left: self.clone(), found: Self::new(), role };
        search.take_all(&shape.resources)?;
        search.take_ports(u64::from(shape.ports))?;
        Some(search.found)
    }

    fn filter(&self, keep: impl Fn(&Resource) -> bool) -> Self {
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
