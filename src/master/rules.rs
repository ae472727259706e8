//! Rules that operators set for the whole cluster: quotas, how offers are made, and the machines that are used.

use std::collections::BTreeSet;

use super::machine::{Master, Output};
use crate::allocator::QuotaError;
use crate::protocol::{OfferMode, Quota};
use crate::resources::Role;
use crate::store::{Change, Key, Record};
use crate::time::Time;

impl Master {
    /// Sets a role's quota.
    pub(super) fn set_quota(
        &mut self,
        now: Time,
        role: Role,
        quota: Quota,
        force: bool,
        out: &mut Vec<Output>,
    ) -> Result<(), QuotaError> {
        self.allocator.set_quota(&role, &quota, force)?;
        // Offers that are out may be above the new limit, or hold what the new guarantee needs.
        self.rescind_all(now, out);
        self.registry.note(if quota.is_default() {
            Change::Delete(Key::Quota(role))
        } else {
            Change::Put(Record::Quota { role, quota })
        });
        Ok(())
    }

    /// Sets how a role's resources are offered.
    pub(super) fn set_offer_mode(&mut self, role: Role, mode: OfferMode) {
        self.allocator.set_offer_mode(&role, mode);
        self.registry.note(match mode {
            OfferMode::Exclusive => Change::Delete(Key::OfferMode(role)),
            OfferMode::Optimistic => Change::Put(Record::OfferMode { role, mode }),
        });
    }

    /// Sets the machines of which alone something is offered; `None`: all.
    pub(super) fn set_allow_list(
        &mut self,
        now: Time,
        hostnames: Option<BTreeSet<String>>,
        out: &mut Vec<Output>,
    ) {
        self.allow_only(hostnames.clone());
        self.rescind_all(now, out);
        self.registry.note(match hostnames {
            Some(hostnames) => Change::Put(Record::AllowList { hostnames }),
            None => Change::Delete(Key::AllowList),
        });
    }

    pub(super) fn allow_only(&mut self, hostnames: Option<BTreeSet<String>>) {
        self.allocator.set_allow_list(hostnames.clone());
        self.allow_list = hostnames;
    }
}
