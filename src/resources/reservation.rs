//! Who holds a resource, and on whose word.

use std::collections::BTreeMap;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::Role;

/// Free-form notes on a reservation; different labels make different reservations.
pub type Labels = BTreeMap<CompactString, CompactString>;

/// Where a reservation comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ReservationKind {
    /// The agent's configuration.
    Static,
    /// An operation of a framework or an operator.
    Dynamic,
}

/// One level of a resource's stack of reservations.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reservation {
    /// Where it comes from.
    pub kind: ReservationKind,
    /// For whom.
    pub role: Role,
    /// Who made it, when known.
    pub principal: Option<CompactString>,
    /// Free-form notes.
    pub labels: Labels,
}

impl Reservation {
    /// As an agent's configuration makes it.
    #[must_use]
    pub const fn fixed(role: Role) -> Self {
        Self { kind: ReservationKind::Static, role, principal: None, labels: Labels::new() }
    }

    /// As a framework or operator makes it.
    #[must_use]
    pub const fn dynamic(role: Role, principal: Option<CompactString>) -> Self {
        Self { kind: ReservationKind::Dynamic, role, principal, labels: Labels::new() }
    }
}
