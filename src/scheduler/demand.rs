//! Says what each role waits for, and no more often than that helps.

use std::collections::{BTreeMap, BTreeSet};

use super::Driver;
use super::queue::Queue;
use crate::protocol::DemandGroup;
use crate::protocol::framework::DEFAULT_REFUSE;
use crate::resources::Role;
use crate::time::Time;

/// A role that waits for tasks of more shapes than this does not state them: it is offered everything.
pub const MAX_STATED_SHAPES: usize = 64;

/// How much is to be offered for what waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Breadth {
    /// Room for each task, anywhere; for so many of a shape at a time.
    Enough(u32),
    /// Wherever one of them fits, to choose from.
    Choice,
}

/// States what roles wait for, suppresses those without waiting tasks, and revives them when there are some.
///
/// A role that goes on waiting needs no revival, since what is freed is offered anyway. Tasks of another shape do: agents
/// that were refused a moment ago may fit them.
#[derive(Debug)]
pub(super) struct Demand {
    roles: Vec<Role>,
    suppressed: BTreeSet<Role>,
    /// What the master was told last, where it still counts on that.
    stated: BTreeMap<Role, Option<Vec<DemandGroup>>>,
    classes_seen: u64,
    /// Some agents are not offered until then.
    refused_until: Time,
}

impl Demand {
    /// A framework with these roles; all of them are offered resources at first.
    pub(super) fn new(roles: Vec<Role>) -> Self {
        Demand {
            roles,
            suppressed: BTreeSet::new(),
            stated: BTreeMap::new(),
            classes_seen: 0,
            refused_until: Time::ZERO,
        }
    }

    /// Uses a role from now on; all roles, when it is a new one.
    pub(super) fn join(&mut self, role: &Role) -> Option<&[Role]> {
        if self.roles.contains(role) {
            return None;
        }
        self.roles.push(role.clone());
        Some(&self.roles)
    }

    /// What was stated counts no more: offers came, or another master.
    pub(super) fn forget_stated(&mut self) {
        self.stated.clear();
    }

    /// Something was declined just now.
    pub(super) fn refused(&mut self, now: Time) {
        self.refused_until = now + DEFAULT_REFUSE;
    }

    /// Tells the master what has changed.
    pub(super) fn declare(&mut self, queue: &Queue, breadth: Breadth, driver: &mut Driver) {
        let has_new_classes = queue.classes_made() > self.classes_seen && driver.now() < self.refused_until;
        self.classes_seen = queue.classes_made();
        let (mut revive, mut suppress) = (Vec::new(), Vec::new());
        for role in &self.roles {
            let is_suppressed = self.suppressed.contains(role);
            if queue.wants(role) {
                let demand = queue.demand(role, breadth);
                if self.stated.get(role) != Some(&demand) {
                    driver.set_demand(role, demand.clone());
                    self.stated.insert(role.clone(), demand);
                }
                if is_suppressed || has_new_classes {
                    revive.push(role.clone());
                }
            } else if !is_suppressed {
                suppress.push(role.clone());
            }
        }
        if !revive.is_empty() {
            self.suppressed.retain(|role| !revive.contains(role));
            self.refused_until = Time::ZERO;
            driver.revive(&revive);
        }
        if !suppress.is_empty() {
            self.suppressed.extend(suppress.iter().cloned());
            driver.suppress(&suppress);
        }
    }
}
