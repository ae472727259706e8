//! What a queue tells the master that it waits for, so that it is offered what it can use and nothing else.

use apportion::protocol::DemandGroup;
use apportion::resources::Quantities;
use apportion::scheduler::{Driver, MAX_STATED_SHAPES, Placement};

use super::line::Entry;
use super::queue::QueueFramework;

/// A class that tasks are wanted of, and how many.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    class: u32,
    count: u32,
}

/// What the master was told.
#[derive(Debug, Default)]
pub(super) struct Stated {
    demand: Option<Vec<Wanted>>,
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
        let is_stated = match (&demand, &self.stated.demand) {
            (None, None) => true,
            (Some(demand), Some(stated)) => !self.stated.is_spent && self.are_alike(demand, stated),
            _ => false,
        };
        if !is_stated {
            let group = |wanted: &Wanted| DemandGroup::new(wanted.count, self.shape(wanted.class).clone());
            driver.set_demand(&self.role, demand.as_ref().map(|all| all.iter().map(group).collect()));
            self.stated.demand = demand;
        }
        self.stated.is_spent = false;
    }

    /// Whether the master would be told the same: it knows shapes, and of classes nothing else.
    fn are_alike(&self, some: &[Wanted], others: &[Wanted]) -> bool {
        let is_alike = |(one, other): (&Wanted, &Wanted)| {
            one.count == other.count
                && (one.class == other.class || self.shape(one.class) == self.shape(other.class))
        };
        some.len() == others.len() && some.iter().zip(others).all(is_alike)
    }

    fn shape(&self, class: u32) -> &Quantities {
        &self.requests[class as usize].class.amounts
    }

    /// What it waits for; `None` when it has to see all that is free: to plan, to gather a gang, or because it is to be simulated
    /// so.
    fn demand(&self) -> Option<Vec<Wanted>> {
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
        (heads.len() <= MAX_STATED_SHAPES).then(|| heads.iter().map(|head| self.wanted(*head)).collect())
    }

    /// What it waits for of a class.
    fn wanted(&self, (entry, class): (Entry, u32)) -> Wanted {
        let count = match (self.options.placement, self.options.per_offer) {
            // After each task the allocator decides anew who is next.
            (Placement::FirstFit, 1) => 1,
            (Placement::FirstFit, _) if self.is_strict() => self.waiting_tasks(entry.job),
            (Placement::FirstFit, _) => self.line.tasks(class),
            // Others choose among all that fits.
            _ => DemandGroup::ANY_NUMBER,
        };
        Wanted { class, count }
    }

    /// Of many, the first, and those that need no more than another: where any of the others fits, one of these does.
    fn smallest(&self, heads: &[(Entry, u32)]) -> Vec<(Entry, u32)> {
        let mut smallest: Vec<(Entry, u32)> = Vec::new();
        for head in &heads[1..] {
            if !smallest.iter().any(|(_, known)| self.shape(head.1).contains(self.shape(*known))) {
                smallest.retain(|(_, known)| !self.shape(*known).contains(self.shape(head.1)));
                smallest.push(*head);
            }
        }
        smallest.insert(0, heads[0]);
        smallest
    }
}
