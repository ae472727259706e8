//! What can be wrong with a resource, one enum per area.

use compact_str::CompactString;

use super::{Kind, Resource, Role, Scalar, VolumeName};

/// Why a number is not a [`Scalar`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScalarError {
    /// Amounts of resources are never negative.
    #[error("an amount can't be negative")]
    Negative,
    /// NaN and the infinities.
    #[error("an amount must be a finite number")]
    NotFinite,
    /// Not zero, but rounds to zero at three decimals.
    #[error("an amount other than zero must be at least 0.001")]
    TooSmall,
    /// Above [`Scalar::LIMIT`].
    #[error("an amount can be at most {}", Scalar::LIMIT)]
    TooLarge,
    /// Not a decimal number at all.
    #[error("expected a decimal number such as 2 or 0.5")]
    NotANumber,
}

/// Why numbers are not [`Ranges`](super::Ranges).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangesError {
    /// The first value lies after the last.
    #[error("range {begin}-{end} ends before it begins")]
    Reversed {
        /// First value.
        begin: u64,
        /// Last value.
        end: u64,
    },
}

/// Why a text does not name a [`Kind`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KindError {
    /// The empty name.
    #[error("a resource needs a name")]
    Empty,
    /// Longer than 128 bytes.
    #[error("resource name of {len} bytes is longer than {} bytes", super::KindName::MAX_LEN)]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// A character that names may not hold.
    #[error(
        "resource name {name:?} may hold only ASCII letters, digits, '_', '-', '.' and '/', and begins with a letter or digit"
    )]
    Invalid {
        /// The name as given.
        name: CompactString,
    },
}

/// Why a text is not a [`Role`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoleError {
    /// The empty name.
    #[error("a role needs a name")]
    Empty,
    /// Two slashes in a row, or one at an end.
    #[error("role {role:?} has an empty component: no '/' at its ends, and no two in a row")]
    EmptyComponent {
        /// The role as given.
        role: CompactString,
    },
    /// A component `.`, `..` or `*`, or one that begins with `-`.
    #[error(
        "role {role:?} has the component {component:?}: '.', '..', '*' and a leading '-' are not allowed"
    )]
    Component {
        /// The role as given.
        role: CompactString,
        /// The component that is not allowed.
        component: CompactString,
    },
    /// White space or a control character.
    #[error("role {role:?} holds white space or a control character")]
    Character {
        /// The role as given.
        role: CompactString,
    },
}

/// Why a reservation can't be put on, or taken off, a resource.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReservationError {
    /// `*` is everyone: reserving to it means nothing.
    #[error("resources can't be reserved to the default role '*'")]
    DefaultRole,
    /// A refinement narrows: its role must lie strictly below the one that holds the reservation.
    #[error("{resource} is reserved to {held}; only a role below that can refine it, not {wanted}")]
    NotARefinement {
        /// The resource in question.
        resource: Box<Resource>,
        /// The role it is reserved to.
        held: Role,
        /// The role that was to refine it.
        wanted: Role,
    },
    /// Static reservations come from the agent's configuration, at the bottom of the stack.
    #[error("{resource} is already reserved; only a dynamic reservation can refine it")]
    StaticOnTop {
        /// The resource in question.
        resource: Box<Resource>,
    },
    /// A static reservation changes only with the agent's configuration.
    #[error("{resource} is reserved statically; change the agent's configuration instead")]
    Static {
        /// The resource in question.
        resource: Box<Resource>,
    },
    /// There is no reservation to take off.
    #[error("{resource} is not reserved")]
    Unreserved {
        /// The resource in question.
        resource: Box<Resource>,
    },
    /// Reservations can't change underneath a persistent volume.
    #[error("{resource} is a persistent volume; destroy it first")]
    Volume {
        /// The resource in question.
        resource: Box<Resource>,
    },
    /// Revocable resources may vanish, so that no one can hold them.
    #[error("{resource} is revocable and can't be reserved dynamically")]
    Revocable {
        /// The resource in question.
        resource: Box<Resource>,
    },
}

/// Why a volume can't be made or destroyed as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VolumeError {
    /// Only volumes are made and destroyed so.
    #[error("{resource} is not a persistent volume")]
    NotAVolume {
        /// The resource in question.
        resource: Box<Resource>,
    },
    /// Volumes on one agent are told apart by role and id.
    #[error("the agent has a volume '{}' of role {} already", name.id, name.role)]
    Exists {
        /// The name that is taken.
        name: VolumeName,
    },
    /// What is in it is still needed.
    #[error("volume '{}' of role {} is in use", name.id, name.role)]
    InUse {
        /// The volume.
        name: VolumeName,
    },
}

/// Why a [`Resource`] is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResourceError {
    /// A well-known kind with another type of value.
    #[error("{kind} is given as {expected}, not as {given}")]
    Type {
        /// The kind in question.
        kind: Kind,
        /// The type of value that this kind has.
        expected: &'static str,
        /// The type of value that was given.
        given: &'static str,
    },
    /// GPUs are whole.
    #[error(
        "gpus must be a whole number, not {given}; shared ones are given by device, as gpu_milli:[0-999]"
    )]
    FractionalGpus {
        /// The amount that was given.
        given: Scalar,
    },
    /// A thousandth of a GPU that no agent can have.
    #[error(
        "gpu_milli goes up to {last}, but an agent has {} GPUs at most, of 1000 each: [0-{}]",
        super::MAX_GPUS,
        super::MAX_GPUS * super::WHOLE_GPU - 1
    )]
    TooManyGpus {
        /// The last that was given.
        last: u64,
    },
    /// More items than can be counted as a [`Scalar`].
    #[error("{kind} holds more than {} items", Scalar::LIMIT)]
    TooMany {
        /// The kind in question.
        kind: Kind,
    },
    /// A volume's id that can't name a directory.
    #[error(
        "volume id {id:?} must be one path component of at most {} bytes, without control characters",
        super::Volume::MAX_ID_LEN
    )]
    VolumeId {
        /// The id as given.
        id: CompactString,
    },
    /// A volume's path that is empty or leads upwards.
    #[error("container path {path:?} must not be empty, nor hold '..' or control characters")]
    VolumePath {
        /// The path as given.
        path: CompactString,
    },
    /// A volume on something other than disk.
    #[error("{kind} can't carry a volume; only disk can")]
    VolumeNotOnDisk {
        /// The kind in question.
        kind: Kind,
    },
    /// A persistent volume outlives its task, so that someone must hold its space.
    #[error("volume {id:?} needs disk that is reserved")]
    VolumeUnreserved {
        /// The volume's id.
        id: CompactString,
    },
    /// A persistent volume on disk that may be taken away.
    #[error("volume {id:?} can't be on revocable disk")]
    VolumeRevocable {
        /// The volume's id.
        id: CompactString,
    },
    /// Only volumes may be shared.
    #[error("{kind} without a volume can't be shared")]
    SharedWithoutVolume {
        /// The kind in question.
        kind: Kind,
    },
    /// The stack of reservations is not valid.
    #[error(transparent)]
    Reservation(#[from] ReservationError),
}

/// Why a list of resources is not [`Resources`](super::Resources).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResourcesError {
    /// The amounts of one kind add up to more than [`Scalar::LIMIT`].
    #[error("{kind} adds up to more than {}", Scalar::LIMIT)]
    TooMuch {
        /// The kind in question.
        kind: Kind,
    },
    /// A list from the wire that is not sorted, merged and without empty resources.
    #[error("resource {index} of the list is not in normal form: empty, out of order, or not merged")]
    NotNormal {
        /// Its place in the list, from zero.
        index: usize,
    },
}

/// A subtraction that does not fit: what was wanted, and what was there of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("wanted {wanted}, but had {}", had.as_ref().map_or_else(|| "none of it".to_owned(), ToString::to_string))]
pub struct InsufficientResources {
    /// The resource that was to be taken.
    pub wanted: Box<Resource>,
    /// What there was with the same identity (reservations, volume, revocable), if anything.
    pub had: Option<Box<Resource>>,
}

impl InsufficientResources {
    /// The kind that fell short.
    #[must_use]
    pub fn kind(&self) -> &Kind {
        self.wanted.kind()
    }
}

/// A subtraction of quantities that does not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("wanted {kind}:{wanted}, but had {kind}:{had}")]
pub struct InsufficientQuantity {
    /// The kind that fell short.
    pub kind: Kind,
    /// How much was to be taken.
    pub wanted: Scalar,
    /// How much there was.
    pub had: Scalar,
}

/// Why a text is not a list of resources, and where in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {at}: {reason}")]
pub struct ParseError {
    /// Byte offset into the text.
    pub at: usize,
    /// What is wrong there.
    pub reason: ParseReason,
}

/// What is wrong at a place in the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseReason {
    /// Something else should stand here.
    #[error("expected {expected}")]
    Expected {
        /// What should stand here.
        expected: &'static str,
    },
    /// One name with two types of value.
    #[error("{kind} is given with two types of value")]
    TwoTypes {
        /// The kind in question.
        kind: Kind,
    },
    /// One kind twice where it may stand only once.
    #[error("{kind} is given twice")]
    Twice {
        /// The kind in question.
        kind: Kind,
    },
    /// Not a valid amount.
    #[error(transparent)]
    Scalar(#[from] ScalarError),
    /// Not a valid range.
    #[error(transparent)]
    Ranges(#[from] RangesError),
    /// Not a valid resource name.
    #[error(transparent)]
    Kind(#[from] KindError),
    /// Not a valid role.
    #[error(transparent)]
    Role(#[from] RoleError),
    /// Not a valid resource.
    #[error(transparent)]
    Resource(#[from] ResourceError),
    /// Not a valid list.
    #[error(transparent)]
    Resources(#[from] ResourcesError),
}
