//! What a queue tells the master that it waits for, so that it is offered what it can use and nothing else.

use apportion::protocol::DemandGroup;
use apportion::scheduler::{Driver, MAX_STATED_SHAPES, Placement};

use super::line::Entry;
use super::queue::QueueFramework;

/// What the master was told.
#[derive(Debug, Default)]
pub(super) struct Stated {
    demand: Option<Vec<DemandGroup>>,
    /// Offers came since: they count as what was asked for, whether they were used or not.
    is_spent: bool,
}

impl Stated {
    /// Offers came.
    pub(super) fn spend(&mut self) {
        self.is_spent = true;
    }

    /// A new subscription begins with everything wanted.
    pub(super) fn reset(&mut self) {
        *self = Stated::default();
    }
}

impl QueueFramework {
    /// Tells the master what it waits for, if that has changed.
    pub(super) fn state_demand(&mut self, driver: &mut Driver) {
        let demand = self.demand();
        if self.stated.is_spent && !(demand.is_none() && self.stated.demand.is_none())
            || demand != self.stated.demand
        {
            driver.set_demand(&self.role, demand.clone());
            self.stated.demand = demand;
        }
        self.stated.is_spent = false;
    }

    /// What it waits for; `None` when it has to see all that is free: to plan, to gather a gang, or because it is to be simulated
    /// so.
    fn demand(&self) -> Option<Vec<DemandGroup>> {
        if self.line.is_empty() {
            return Some(Vec::new());
        }
        let sees_all = self.options.policy.is_planned() || !self.options.states_demand || self.awaits_gang();
        if sees_all {
            return None;
        }
        let mut heads: Vec<(Entry, u32)> = if self.is_strict() {
            self.line.head().into_iter().collect()
        } else {
            self.line.heads().collect()
        };
        heads.sort_unstable();
        if heads.len() > MAX_STATED_SHAPES {
            heads = self.smallest(&heads);
        }
        (heads.len() <= MAX_STATED_SHAPES).then(|| heads.iter().map(|head| self.group(*head)).collect())
    }

    /// One of the groups that it waits for.
    fn group(&self, (entry, class): (Entry, u32)) -> DemandGroup {
        let count = match (self.options.placement, self.options.per_offer) {
            // After each task the allocator decides anew who is next.
            (Placement::FirstFit, 1) => 1,
            (Placement::FirstFit, _) if self.is_strict() => self.waiting_tasks(entry.job),
            (Placement::FirstFit, _) => self.line.tasks(class),
            // Others choose among all that fits.
            _ => DemandGroup::ANY_NUMBER,
        };
        DemandGroup::new(count, self.requests[class as usize].class.amounts.clone())
    }

    /// Of many, the first, and those that need no more than another: where any of the others fits, one of these does.
    fn smallest(&self, heads: &[(Entry, u32)]) -> Vec<(Entry, u32)> {
        let shape = |class: u32| &self.requests[class as usize].class.amounts;
        let mut smallest: Vec<(Entry, u32)> = Vec::new();
        for head in &heads[1..] {
            if !smallest.iter().any(|(_, known)| shape(head.1).contains(shape(*known))) {
                smallest.retain(|(_, known)| !shape(*known).contains(shape(head.1)));
                smallest.push(*head);
            }
        }
        smallest.insert(0, heads[0]);
        smallest
    }
}
