//! How much of what a framework waits for has been offered.

use crate::protocol::DemandGroup;
use crate::resources::Quantities;

/// What a framework waits for in a role, and how much of it has been offered.
///
/// An offer promises as many tasks as fit it, those of the first group first. What comes back takes as many promises back. When
/// all is promised, nothing is offered until the framework states its demand anew.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Demand {
    groups: Vec<(DemandGroup, u32)>,
}

impl Demand {
    pub(super) fn new(groups: &[DemandGroup]) -> Self {
        Demand { groups: groups.iter().map(|group| (group.clone(), 0)).collect() }
    }

    /// Whether it asks for anything that was not asked for before; `None`: everything was.
    pub(super) fn asks_more_than(&self, before: Option<&Demand>) -> bool {
        let Some(before) = before else { return false };
        let was_open = |shape: &Quantities| {
            let same = before.groups.iter().filter(|(group, _)| group.shape == *shape);
            same.map(|(group, promised)| group.count.saturating_sub(*promised)).sum::<u32>()
        };
        self.groups.iter().any(|(group, _)| group.count > was_open(&group.shape))
    }

    /// Whether everything is promised.
    pub(super) fn is_met(&self) -> bool {
        self.groups.iter().all(|(group, promised)| *promised >= group.count)
    }

    /// Whether any task that is not promised yet fits.
    pub(super) fn is_served_by(&self, amounts: &Quantities) -> bool {
        self.groups.iter().any(|(group, promised)| *promised < group.count && amounts.contains(&group.shape))
    }

    /// These amounts are offered.
    pub(super) fn promise(&mut self, amounts: &Quantities) {
        let mut left = amounts.clone();
        for (group, promised) in &mut self.groups {
            while *promised < group.count && left.contains(&group.shape) {
                *promised += 1;
                left.subtract_clamped(&group.shape);
                if group.shape.is_empty() {
                    break;
                }
            }
        }
    }

    /// These amounts came back.
    pub(super) fn take_back(&mut self, amounts: &Quantities) {
        let mut left = amounts.clone();
        for (group, promised) in &mut self.groups {
            while *promised > 0 && left.contains(&group.shape) {
                *promised -= 1;
                left.subtract_clamped(&group.shape);
                if group.shape.is_empty() {
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amounts(text: &str) -> Quantities {
        text.parse().unwrap()
    }

    #[test]
    fn offers_promise_as_many_tasks_as_fit() {
        let group = |count, shape: &str| DemandGroup { count, shape: amounts(shape) };
        let mut demand = Demand::new(&[group(1, "cpus:4"), group(3, "cpus:1;mem:10")]);
        assert!(demand.is_served_by(&amounts("cpus:1;mem:10")));
        assert!(!demand.is_served_by(&amounts("cpus:3")));
        demand.promise(&amounts("cpus:6;mem:100"));
        assert!(!demand.is_served_by(&amounts("cpus:8")), "the large one is promised");
        assert!(!demand.is_met());
        demand.promise(&amounts("cpus:8;mem:100"));
        assert!(demand.is_met() && !demand.is_served_by(&amounts("cpus:8;mem:100")));
        demand.take_back(&amounts("cpus:1;mem:10"));
        assert!(demand.is_served_by(&amounts("cpus:1;mem:10")) && !demand.is_met());
        assert!(Demand::new(&[]).is_met());
    }
}
