//! How much of what a framework waits for has been offered.

use crate::protocol::DemandGroup;
use crate::resources::Quantities;

/// What a framework waits for in a role, and how much of it has been offered.
///
/// An offer promises as many tasks as fit it, those of the first group first. What comes back takes as many promises back. When
/// all is promised, nothing is offered until the framework states its demand anew.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Demand {
    groups: Vec<Group>,
}

#[derive(Clone, Debug, PartialEq)]
struct Group {
    asked: DemandGroup,
    /// For so many tasks there is room in offers.
    promised: u32,
}

impl Demand {
    pub(super) fn new(groups: &[DemandGroup]) -> Self {
        Demand { groups: groups.iter().map(|group| Group { asked: group.clone(), promised: 0 }).collect() }
    }

    /// Whether it asks for anything that was not asked for before; `None`: everything was.
    pub(super) fn asks_more_than(&self, before: Option<&Demand>) -> bool {
        let Some(before) = before else { return false };
        let was_open = |shape: &Quantities| {
            let same = before.groups.iter().filter(|group| group.asked.shape == *shape);
            same.map(Group::open).fold(0, u32::saturating_add)
        };
        self.groups.iter().any(|group| group.asked.count > was_open(&group.asked.shape))
    }

    /// Whether everything is promised.
    pub(super) fn is_met(&self) -> bool {
        self.groups.iter().all(|group| group.open() == 0)
    }

    /// What tasks that are not promised yet need.
    pub(super) fn unmet(&self) -> impl Iterator<Item = &Quantities> {
        self.groups.iter().filter(|group| group.open() > 0).map(|group| &group.asked.shape)
    }

    /// Whether any task that is not promised yet fits.
    pub(super) fn is_served_by(&self, amounts: &Quantities) -> bool {
        self.groups.iter().any(|group| group.open() > 0 && amounts.contains(&group.asked.shape))
    }

    /// These amounts are offered.
    pub(super) fn promise(&mut self, amounts: &Quantities) {
        let mut left = amounts.clone();
        for group in &mut self.groups {
            let fitting = group.fitting(&mut left, group.open());
            if group.asked.count != DemandGroup::ANY_NUMBER {
                group.promised += fitting;
            }
        }
    }

    /// These amounts came back.
    pub(super) fn take_back(&mut self, amounts: &Quantities) {
        let mut left = amounts.clone();
        for group in &mut self.groups {
            group.promised -= group.fitting(&mut left, group.promised);
        }
    }
}

impl Group {
    /// How many tasks are not promised yet.
    fn open(&self) -> u32 {
        self.asked.count.saturating_sub(self.promised)
    }

    /// How many tasks fit, at most this many; their amounts are taken from what is left.
    fn fitting(&self, left: &mut Quantities, most: u32) -> u32 {
        // One that takes nothing fits anywhere, once.
        let most = if self.asked.shape.is_empty() { most.min(1) } else { most };
        left.take_multiples(&self.asked.shape, most)
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

    #[test]
    fn any_number_is_never_met() {
        let any = [DemandGroup { count: DemandGroup::ANY_NUMBER, shape: amounts("cpus:1") }];
        let mut demand = Demand::new(&any);
        demand.promise(&amounts("cpus:1000000"));
        assert!(demand.is_served_by(&amounts("cpus:1")) && !demand.is_served_by(&amounts("cpus:0.5")));
        assert!(!Demand::new(&any).asks_more_than(Some(&demand)));
    }

    #[test]
    fn only_what_is_open_already_is_no_news() {
        let of = |count| Demand::new(&[DemandGroup { count, shape: amounts("cpus:1") }]);
        let mut before = of(5);
        before.promise(&amounts("cpus:2"));
        assert!(!of(3).asks_more_than(Some(&before)) && of(4).asks_more_than(Some(&before)));
        assert!(!of(9).asks_more_than(None), "all was offered already");
    }
}
