//! One resource: an amount of a kind, with what makes it different from others of that kind.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize, Serializer};

use super::{
    Kind, MAX_GPUS, Range, Reservation, ReservationError, ReservationKind, ResourceError, Role, Scalar,
    Value, Volume, VolumeError, VolumeName, WHOLE_GPU,
};

/// A value of a kind with its identity: reservations, volume, revocable, shared. Valid by construction.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Resource {
    kind: Kind,
    // `None` for plain resources, which most of millions are: so they are small, and quick to copy and to compare.
    marks: Option<Box<Marks>>,
    pub(super) value: Value,
}

/// What makes a resource different from others of its kind; at least one of these does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Marks {
    reservations: Vec<Reservation>,
    volume: Option<Volume>,
    revocable: bool,
    shared: bool,
}

impl Resource {
    /// A plain resource: unreserved, without a volume, neither revocable nor shared.
    ///
    /// # Errors
    /// When the kind is well known and has another type of value, or gpus are not whole.
    pub fn new(kind: Kind, value: Value) -> Result<Self, ResourceError> {
        Self::plain(kind, value).checked()
    }

    /// As [`Resource::new`], where the caller knows that kind and value go together.
    pub(super) const fn plain(kind: Kind, value: Value) -> Self {
        Self { kind, marks: None, value }
    }

    /// The same with other marks.
    fn marked(mut self, change: impl FnOnce(&mut Marks)) -> Self {
        let mut marks = self.marks.take().map_or_else(Marks::default, |marks| *marks);
        change(&mut marks);
        self.marks = (marks != Marks::default()).then(|| Box::new(marks));
        self
    }

    /// What is measured.
    #[must_use]
    pub const fn kind(&self) -> &Kind {
        &self.kind
    }

    /// How much, or which.
    #[must_use]
    pub const fn value(&self) -> &Value {
        &self.value
    }

    /// The stack of reservations, from the bottom up.
    #[must_use]
    pub fn reservations(&self) -> &[Reservation] {
        self.marks.as_ref().map_or(&[], |marks| &marks.reservations)
    }

    /// The persistent volume on it.
    #[must_use]
    pub fn volume(&self) -> Option<&Volume> {
        self.marks.as_ref()?.volume.as_ref()
    }

    /// Whether it may be taken away again while in use.
    #[must_use]
    pub fn is_revocable(&self) -> bool {
        self.marks.as_ref().is_some_and(|marks| marks.revocable)
    }

    /// Whether several may hold it at once.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.marks.as_ref().is_some_and(|marks| marks.shared)
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.value.is_empty()
    }

    /// The role that holds it: the topmost reservation's. `None` when unreserved.
    #[must_use]
    pub fn reserved_to(&self) -> Option<&Role> {
        self.reservations().last().map(|reservation| &reservation.role)
    }

    /// Whether `role` may have it: it is unreserved, or reserved to the role or to one above it.
    #[must_use]
    pub fn allocatable_to(&self, role: &Role) -> bool {
        self.reserved_to().is_none_or(|holder| holder == role || holder.is_ancestor_of(role))
    }

    /// The same, revocable.
    ///
    /// # Errors
    /// When it carries a volume or is reserved dynamically.
    pub fn into_revocable(self) -> Result<Self, ResourceError> {
        self.marked(|marks| marks.revocable = true).checked()
    }

    /// The same disk with a persistent volume on it; `shared` lets several tasks use it at once.
    ///
    /// # Errors
    /// When it isn't reserved, non-revocable disk.
    pub fn with_volume(self, volume: Volume, shared: bool) -> Result<Self, ResourceError> {
        self.marked(|marks| (marks.volume, marks.shared) = (Some(volume), shared)).checked()
    }

    /// The name of the volume that it is.
    #[must_use]
    pub fn volume_name(&self) -> Option<VolumeName> {
        let (role, volume) = (self.reserved_to()?, self.volume()?);
        Some(VolumeName { role: role.clone(), id: volume.id.clone() })
    }

    /// The disk without the volume on it.
    ///
    /// # Errors
    /// When there is none.
    pub fn without_volume(self) -> Result<Self, VolumeError> {
        if self.volume().is_none() {
            return Err(VolumeError::NotAVolume { resource: Box::new(self) });
        }
        Ok(self.marked(|marks| (marks.volume, marks.shared) = (None, false)))
    }

    /// The same, with one more reservation on top.
    ///
    /// # Errors
    /// When the reservation does not refine the one below, or the resource can't be reserved at all.
    pub fn push_reservation(self, reservation: Reservation) -> Result<Self, ReservationError> {
        if self.volume().is_some() {
            return Err(ReservationError::Volume { resource: Box::new(self) });
        }
        self.check_reservation(&reservation, self.reservations().last())?;
        Ok(self.marked(|marks| marks.reservations.push(reservation)))
    }

    /// The same, without the topmost reservation.
    ///
    /// # Errors
    /// When that is static, there is none, or there is a volume.
    pub fn pop_reservation(self) -> Result<Self, ReservationError> {
        if self.volume().is_some() {
            return Err(ReservationError::Volume { resource: Box::new(self) });
        }
        match self.reservations().last().map(|top| top.kind) {
            None => Err(ReservationError::Unreserved { resource: Box::new(self) }),
            Some(ReservationKind::Static) => Err(ReservationError::Static { resource: Box::new(self) }),
            Some(ReservationKind::Dynamic) => Ok(self.marked(|marks| drop(marks.reservations.pop()))),
        }
    }

    /// How much it is where it counts for fair shares and quotas: scalars and parts of shared GPUs do. Ports and other ranges do not,
    /// as in Mesos.
    #[must_use]
    pub fn fair_amount(&self) -> Option<Scalar> {
        self.is_fair().then(|| self.value.amount()).flatten()
    }

    /// Whether it counts for fair shares and quotas.
    #[must_use]
    pub fn is_fair(&self) -> bool {
        matches!(self.value, Value::Scalar(_)) || self.kind.is_gpu_milli()
    }

    /// The same identity with another value of the same type.
    pub(super) fn with_value(&self, value: Value) -> Self {
        Self { value, ..self.clone() }
    }

    /// Orders by everything that keeps two resources from adding up. Equal ones form a pile: a merged
    /// scalar, layers of ranges or sets, or copies of one volume (which neither merges nor splits).
    pub(super) fn pile_cmp(&self, other: &Self) -> Ordering {
        self.kind.cmp(&other.kind).then_with(|| self.marks.cmp(&other.marks)).then_with(|| {
            match self.volume() {
                Some(_) => self.value.cmp(&other.value),
                None => self.value.type_rank().cmp(&other.value.type_rank()),
            }
        })
    }

    /// Whether both belong to one pile: as [`pile_cmp`](Self::pile_cmp) has it, but sooner known.
    #[inline]
    pub(super) fn is_of_pile(&self, other: &Self) -> bool {
        self.kind == other.kind
            && match (&self.marks, &other.marks) {
                (None, None) => self.value.type_rank() == other.value.type_rank(),
                _ => self.pile_cmp(other).is_eq(),
            }
    }

    fn checked(self) -> Result<Self, ResourceError> {
        self.check_value()?;
        if let Some(volume) = self.volume() {
            let id = || volume.id.clone();
            volume.check()?;
            if self.kind != Kind::Disk {
                return Err(ResourceError::VolumeNotOnDisk { kind: self.kind.clone() });
            }
            if self.reservations().is_empty() {
                return Err(ResourceError::VolumeUnreserved { id: id() });
            }
            if self.is_revocable() {
                return Err(ResourceError::VolumeRevocable { id: id() });
            }
        } else if self.is_shared() {
            return Err(ResourceError::SharedWithoutVolume { kind: self.kind });
        }
        let below = std::iter::once(None).chain(self.reservations().iter().map(Some));
        for (reservation, below) in self.reservations().iter().zip(below) {
            self.check_reservation(reservation, below)?;
        }
        Ok(self)
    }

    fn check_value(&self) -> Result<(), ResourceError> {
        let expected = match (&self.kind, &self.value) {
            (Kind::Cpus | Kind::Mem | Kind::Disk | Kind::Gpus, Value::Ranges(_) | Value::Set(_)) => {
                Some("a scalar")
            }
            (Kind::Ports, Value::Scalar(_) | Value::Set(_)) => Some("ranges"),
            (kind, Value::Scalar(_) | Value::Set(_)) if kind.is_gpu_milli() => {
                Some("ranges of thousandths, such as [0-999] for the first device")
            }
            _ => None,
        };
        if let Some(expected) = expected {
            let given = self.value.type_name();
            return Err(ResourceError::Type { kind: self.kind.clone(), expected, given });
        }
        match self.value {
            Value::Scalar(given) if self.kind == Kind::Gpus && !given.is_whole() => {
                Err(ResourceError::FractionalGpus { given })
            }
            Value::Ranges(ref ranges) if self.kind.is_gpu_milli() => {
                let last = ranges.iter().last().map_or(0, Range::end);
                let is_there = last < u64::from(MAX_GPUS) * u64::from(WHOLE_GPU);
                is_there.then_some(()).ok_or(ResourceError::TooManyGpus { last })
            }
            _ if self.value.amount().is_none_or(|amount| amount > Scalar::LIMIT) => {
                Err(ResourceError::TooMany { kind: self.kind.clone() })
            }
            _ => Ok(()),
        }
    }

    fn check_reservation(
        &self,
        wanted: &Reservation,
        below: Option<&Reservation>,
    ) -> Result<(), ReservationError> {
        let resource = || Box::new(self.clone());
        if wanted.role.is_any() {
            return Err(ReservationError::DefaultRole);
        }
        if wanted.kind == ReservationKind::Dynamic && self.is_revocable() {
            return Err(ReservationError::Revocable { resource: resource() });
        }
        let Some(held) = below else { return Ok(()) };
        if wanted.kind == ReservationKind::Static {
            return Err(ReservationError::StaticOnTop { resource: resource() });
        }
        if !held.role.is_ancestor_of(&wanted.role) {
            let (held, wanted) = (held.role.clone(), wanted.role.clone());
            return Err(ReservationError::NotARefinement { resource: resource(), held, wanted });
        }
        Ok(())
    }
}

/// A resource as it goes over the wire.
#[derive(Serialize)]
#[serde(rename = "Resource")]
struct Sent<'a> {
    kind: &'a Kind,
    reservations: &'a [Reservation],
    volume: Option<&'a Volume>,
    revocable: bool,
    shared: bool,
    value: &'a Value,
}

impl Serialize for Resource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let sent = Sent {
            kind: &self.kind,
            reservations: self.reservations(),
            volume: self.volume(),
            revocable: self.is_revocable(),
            shared: self.is_shared(),
            value: &self.value,
        };
        sent.serialize(serializer)
    }
}

/// A resource as it comes from the wire.
#[derive(Deserialize)]
struct Unchecked {
    kind: Kind,
    reservations: Vec<Reservation>,
    volume: Option<Volume>,
    revocable: bool,
    shared: bool,
    value: Value,
}

impl TryFrom<Unchecked> for Resource {
    type Error = ResourceError;

    fn try_from(unchecked: Unchecked) -> Result<Self, ResourceError> {
        let Unchecked { kind, reservations, volume, revocable, shared, value } = unchecked;
        let marks = Marks { reservations, volume, revocable, shared };
        Self::plain(kind, value).marked(|none| *none = marks).checked()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::strategies;
    use super::*;

    fn resource(text: &str) -> Resource {
        text.parse::<super::super::Resources>().unwrap().into_iter().next().unwrap()
    }

    fn role(name: &str) -> Role {
        name.parse().unwrap()
    }

    fn volume(id: &str) -> Volume {
        Volume { id: id.into(), container_path: "data".into() }
    }

    #[test]
    fn a_reservation_refines_the_one_below() {
        let eng = resource("cpus:1").push_reservation(Reservation::fixed(role("eng"))).unwrap();
        let dev = eng.clone().push_reservation(Reservation::dynamic(role("eng/dev"), None)).unwrap();
        assert_eq!(dev.reserved_to(), Some(&role("eng/dev")));
        assert_eq!(dev.clone().pop_reservation(), Ok(eng.clone()));

        let refused =
            |resource: &Resource, reservation| resource.clone().push_reservation(reservation).unwrap_err();
        let boxed = || Box::new(eng.clone());
        for other in ["eng", "ops", "engine"] {
            let (held, wanted) = (role("eng"), role(other));
            let error = ReservationError::NotARefinement { resource: boxed(), held, wanted: wanted.clone() };
            assert_eq!(refused(&eng, Reservation::dynamic(wanted, None)), error);
        }
        assert_eq!(
            refused(&eng, Reservation::fixed(role("eng/dev"))),
            ReservationError::StaticOnTop { resource: boxed() }
        );
        assert_eq!(refused(&eng, Reservation::dynamic(Role::any(), None)), ReservationError::DefaultRole);
        assert_eq!(eng.clone().pop_reservation(), Err(ReservationError::Static { resource: boxed() }));
        let plain = resource("cpus:1");
        let error = ReservationError::Unreserved { resource: Box::new(plain.clone()) };
        assert_eq!(plain.pop_reservation(), Err(error));
        let revocable = resource("cpus{REV}:1");
        let error = ReservationError::Revocable { resource: Box::new(revocable.clone()) };
        assert_eq!(refused(&revocable, Reservation::dynamic(role("eng"), None)), error);
    }

    #[test]
    fn a_volume_needs_reserved_disk_that_stays() {
        let disk = resource("disk(eng):10");
        let error = |resource: &str| resource_error(resource, "v");
        assert_eq!(error("disk:10"), ResourceError::VolumeUnreserved { id: "v".into() });
        assert_eq!(error("disk(eng){REV}:10"), ResourceError::VolumeRevocable { id: "v".into() });
        assert_eq!(error("mem(eng):10"), ResourceError::VolumeNotOnDisk { kind: Kind::Mem });
        assert_eq!(resource_error("disk(eng):10", ".."), ResourceError::VolumeId { id: "..".into() });
        let held = disk.with_volume(volume("v"), true).unwrap();
        let error = ReservationError::Volume { resource: Box::new(held.clone()) };
        assert_eq!(held.clone().pop_reservation(), Err(error.clone()));
        assert_eq!(held.push_reservation(Reservation::dynamic(role("eng/dev"), None)), Err(error));
    }

    fn resource_error(text: &str, id: &str) -> ResourceError {
        resource(text).with_volume(volume(id), false).unwrap_err()
    }

    #[test]
    fn well_known_kinds_have_their_type() {
        let one = Value::Scalar(Scalar::whole(1));
        let error = Resource::new(Kind::Ports, one).unwrap_err();
        assert_eq!(error.to_string(), "ports is given as ranges, not as a scalar");
        let error = Resource::new(Kind::Cpus, Value::Set(["a"].into_iter().collect())).unwrap_err();
        assert_eq!(error.to_string(), "cpus is given as a scalar, not as a set");
        let half = Scalar::from_milli(500).unwrap();
        let error = Resource::new(Kind::Gpus, Value::Scalar(half)).unwrap_err();
        assert_eq!(error, ResourceError::FractionalGpus { given: half });
        let all = Value::Ranges(super::super::Range::new(0, u64::MAX).unwrap().into());
        assert_eq!(Resource::new(Kind::Ports, all), Err(ResourceError::TooMany { kind: Kind::Ports }));
    }

    #[test]
    fn a_role_may_have_what_it_or_one_above_it_holds() {
        let dev = role("eng/dev");
        assert!(resource("cpus:1").allocatable_to(&dev));
        assert!(resource("cpus(eng/dev):1").allocatable_to(&dev));
        assert!(resource("cpus(eng):1").allocatable_to(&dev));
        assert!(!resource("cpus(eng/dev/ci):1").allocatable_to(&dev));
        assert!(!resource("cpus(ops):1").allocatable_to(&dev));
        assert!(!resource("cpus(eng):1").allocatable_to(&Role::any()));
    }

    /// Replaces what stands at a path in a JSON value.
    fn with(resource: &Resource, path: &str, value: serde_json::Value) -> serde_json::Value {
        let mut json = serde_json::to_value(resource).unwrap();
        *json.pointer_mut(path).unwrap() = value;
        json
    }

    #[test]
    fn the_wire_brings_no_invalid_resource() {
        let dev = resource("disk(reservations: [(STATIC,eng),(DYNAMIC,eng/dev)])[v:data]:10");
        for (path, value) in [
            ("/kind", "cpus".into()),
            ("/revocable", true.into()),
            ("/reservations", serde_json::json!([])),
            ("/reservations/0/role", "*".into()),
            ("/reservations/1/role", "ops".into()),
            ("/reservations/1/kind", "Static".into()),
            ("/volume/id", "../x".into()),
            ("/value", serde_json::json!({"Set": ["a"]})),
            ("/value", serde_json::json!({"Scalar": -1})),
        ] {
            let json = with(&dev, path, value);
            assert!(serde_json::from_value::<Resource>(json.clone()).is_err(), "{json}");
        }
        let shared = with(&resource("disk:1"), "/shared", true.into());
        assert!(serde_json::from_value::<Resource>(shared).is_err());
    }

    proptest! {
        #[test]
        fn the_wire_brings_back_the_same(resource in strategies::resource()) {
            let json = serde_json::to_string(&resource).unwrap();
            prop_assert_eq!(serde_json::from_str::<Resource>(&json).unwrap(), resource);
        }
    }
}
