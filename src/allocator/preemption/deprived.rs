//! Since when which roles have had less than what they are entitled to.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::resources::Role;
use crate::time::Time;

/// Roles that have too little, each since a time; that begins anew with each preemption for the role.
#[derive(Debug, Default)]
pub(in crate::allocator) struct Deprived {
    since: BTreeMap<Role, Time>,
    /// Something happened by which others may have too little.
    is_outdated: bool,
}

impl Deprived {
    /// Something happened that offers need not follow on.
    pub(in crate::allocator) fn outdate(&mut self) {
        self.is_outdated = true;
    }

    pub(in crate::allocator) fn is_outdated(&self) -> bool {
        self.is_outdated
    }

    /// These, and no others, have too little now.
    pub(super) fn observe(&mut self, now: Time, roles: BTreeSet<Role>) {
        self.is_outdated = false;
        self.since.retain(|role, _| roles.contains(role));
        for role in roles {
            self.since.entry(role).or_insert(now);
        }
    }

    /// Since when a role has had too little, if it does.
    pub(super) fn since(&self, role: &Role) -> Option<Time> {
        self.since.get(role).copied()
    }

    /// Since when the first has.
    pub(super) fn oldest(&self) -> Option<Time> {
        self.since.values().min().copied()
    }

    /// Those that have had too little for so long; each waits as long again.
    pub(super) fn take_due(&mut self, now: Time, after: Duration) -> BTreeSet<Role> {
        let mut due = BTreeSet::new();
        for (role, since) in self.since.iter_mut().filter(|(_, since)| **since + after <= now) {
            *since = now;
            due.insert(role.clone());
        }
        due
    }
}
