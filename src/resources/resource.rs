//! One resource: an amount of a kind, with what makes it different from others of that kind.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::{
    ItemSet, Kind, Ranges, Reservation, ReservationError, ReservationKind, ResourceError, Role, Scalar,
};

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
}

/// A persistent volume on reserved disk. It is known by its id: where a task mounts it is not part of
/// its identity, so that tasks may mount a shared volume at different paths.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Volume {
    /// Unique per role and agent.
    pub id: CompactString,
    /// Where the task sees it.
    pub container_path: CompactString,
}

impl PartialEq for Volume {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Volume {}

impl Hash for Volume {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

impl Ord for Volume {
    fn cmp(&self, other: &Self) -> Ordering {
        self.id.cmp(&other.id)
    }
}

impl PartialOrd for Volume {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A value of a kind with its identity: reservations, volume, revocable, shared. Valid by construction.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Resource {
    kind: Kind,
    reservations: Vec<Reservation>,
    // Boxed, since few resources have one and there are millions of resources.
    volume: Option<Box<Volume>>,
    revocable: bool,
    shared: bool,
    pub(super) value: Value,
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
        Self { kind, reservations: Vec::new(), volume: None, revocable: false, shared: false, value }
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
        &self.reservations
    }

    /// The persistent volume on it.
    #[must_use]
    pub fn volume(&self) -> Option<&Volume> {
        self.volume.as_deref()
    }

    /// Whether it may be taken away again while in use.
    #[must_use]
    pub const fn is_revocable(&self) -> bool {
        self.revocable
    }

    /// Whether several may hold it at once.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        self.shared
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.value.is_empty()
    }

    /// The role that holds it: the topmost reservation's. `None` when unreserved.
    #[must_use]
    pub fn reserved_to(&self) -> Option<&Role> {
        self.reservations.last().map(|reservation| &reservation.role)
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
    pub fn into_revocable(mut self) -> Result<Self, ResourceError> {
        self.revocable = true;
        self.checked()
    }

    /// The same disk with a persistent volume on it; `shared` lets several tasks use it at once.
    ///
    /// # Errors
    /// When it isn't reserved, non-revocable disk.
    pub fn with_volume(mut self, volume: Volume, shared: bool) -> Result<Self, ResourceError> {
        self.volume = Some(Box::new(volume));
        self.shared = shared;
        self.checked()
    }

    /// The same, with one more reservation on top.
    ///
    /// # Errors
    /// When the reservation does not refine the one below, or the resource can't be reserved at all.
    pub fn push_reservation(mut self, reservation: Reservation) -> Result<Self, ReservationError> {
        if self.volume.is_some() {
            return Err(ReservationError::Volume { resource: Box::new(self) });
        }
        self.check_reservation(&reservation, self.reservations.last())?;
        self.reservations.push(reservation);
        Ok(self)
    }

    /// The same, without the topmost reservation.
    ///
    /// # Errors
    /// When that is static, there is none, or there is a volume.
    pub fn pop_reservation(mut self) -> Result<Self, ReservationError> {
        if self.volume.is_some() {
            return Err(ReservationError::Volume { resource: Box::new(self) });
        }
        match self.reservations.last().map(|top| top.kind) {
            None => Err(ReservationError::Unreserved { resource: Box::new(self) }),
            Some(ReservationKind::Static) => Err(ReservationError::Static { resource: Box::new(self) }),
            Some(ReservationKind::Dynamic) => {
                self.reservations.pop();
                Ok(self)
            }
        }
    }

    /// The same identity with another value of the same type.
    pub(super) fn with_value(&self, value: Value) -> Self {
        Self { value, ..self.clone() }
    }

    /// Orders by everything that keeps two resources from adding up. Equal ones form a pile: a merged
    /// scalar, layers of ranges or sets, or copies of one volume (which neither merges nor splits).
    pub(super) fn pile_cmp(&self, other: &Self) -> Ordering {
        let value_type = |value: &Value| match value {
            Value::Scalar(_) => 0,
            Value::Ranges(_) => 1,
            Value::Set(_) => 2,
        };
        self.kind
            .cmp(&other.kind)
            .then_with(|| self.reservations.cmp(&other.reservations))
            .then_with(|| self.volume.cmp(&other.volume))
            .then_with(|| self.revocable.cmp(&other.revocable))
            .then_with(|| self.shared.cmp(&other.shared))
            .then_with(|| match &self.volume {
                Some(_) => self.value.cmp(&other.value),
                None => value_type(&self.value).cmp(&value_type(&other.value)),
            })
    }

    fn checked(self) -> Result<Self, ResourceError> {
        self.check_value()?;
        if let Some(volume) = &self.volume {
            let id = || volume.id.clone();
            if self.kind != Kind::Disk {
                return Err(ResourceError::VolumeNotOnDisk { kind: self.kind });
            }
            if self.reservations.is_empty() {
                return Err(ResourceError::VolumeUnreserved { id: id() });
            }
            if self.revocable {
                return Err(ResourceError::VolumeRevocable { id: id() });
            }
        } else if self.shared {
            return Err(ResourceError::SharedWithoutVolume { kind: self.kind });
        }
        let below = std::iter::once(None).chain(self.reservations.iter().map(Some));
        for (reservation, below) in self.reservations.iter().zip(below) {
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
        if wanted.kind == ReservationKind::Dynamic && self.revocable {
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

/// A resource as it comes from the wire.
#[derive(Deserialize)]
struct Unchecked {
    kind: Kind,
    reservations: Vec<Reservation>,
    volume: Option<Box<Volume>>,
    revocable: bool,
    shared: bool,
    value: Value,
}

impl TryFrom<Unchecked> for Resource {
    type Error = ResourceError;

    fn try_from(unchecked: Unchecked) -> Result<Self, ResourceError> {
        let Unchecked { kind, reservations, volume, revocable, shared, value } = unchecked;
        Self { kind, reservations, volume, revocable, shared, value }.checked()
    }
}
