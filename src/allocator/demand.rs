//! How much of what a framework waits for has been offered.

use std::cmp::Reverse;
use std::time::Duration;

use crate::protocol::{AgentProfile, DemandGroup};
use crate::resources::Quantities;

/// What a framework waits for in a role, and how much of it has been offered.
///
/// An offer promises as many tasks as fit it, those of the highest priority first, then those named first. What comes back takes as
/// many promises back. When all is promised, nothing is offered until the framework states its demand anew. A gang is promised as
/// a whole; what it wants beyond its least is promised as if it were none.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Demand {
    /// The highest priority first.
    groups: Vec<Group>,
}

#[derive(Clone, Debug, PartialEq)]
struct Group {
    asked: DemandGroup,
    /// For so many tasks there is room in offers.
    promised: u32,
}

/// What of an agent decides whether a task can run there, beside its resources.
#[derive(Clone, Copy, Debug)]
pub(super) struct Site<'a> {
    pub(super) profile: &'a AgentProfile,
    /// For how long the agent stays; `None`: for ever.
    pub(super) time_left: Option<Duration>,
}

impl Demand {
    pub(super) fn new(groups: &[DemandGroup]) -> Self {
        let group = |asked: &DemandGroup| Group { asked: asked.clone(), promised: 0 };
        let mut groups: Vec<Group> = groups.iter().map(group).collect();
        groups.sort_by_key(|group| Reverse(group.asked.priority));
        Demand { groups }
    }

    /// Whether it asks for anything that was not asked for before; `None`: everything was, but for gangs.
    pub(super) fn asks_more_than(&self, before: Option<&Demand>) -> bool {
        let Some(before) = before else { return self.gangs().next().is_some() };
        self.groups.iter().any(|group| {
            let alike = || before.groups.iter().filter(|other| other.asked.is_alike(&group.asked));
            let was_open = alike().map(Group::open).fold(0, u32::saturating_add);
            group.asked.count > was_open
                || (group.lacking() > 0 && !alike().any(|other| other.lacking() == group.lacking()))
        })
    }

    /// Whether it depends on more of an agent than on its resources.
    pub(super) fn is_choosy(&self) -> bool {
        let is_choosy =
            |asked: &DemandGroup| asked.max_runtime.is_some() || !asked.constraints.groups.is_empty();
        self.groups.iter().any(|group| is_choosy(&group.asked))
    }

    /// Whether everything is promised.
    pub(super) fn is_met(&self) -> bool {
        self.groups.iter().all(|group| group.open() == 0)
    }

    /// What tasks need that are not promised yet and can start for themselves.
    pub(super) fn unmet(&self) -> impl Iterator<Item = &Quantities> {
        self.groups.iter().filter(|group| group.can_start_alone()).map(|group| &group.asked.shape)
    }

    /// Whether any task fits that is not promised yet and can start for itself.
    pub(super) fn is_served_by(&self, amounts: &Quantities, site: Site<'_>) -> bool {
        self.groups.iter().any(|group| group.is_served_by(amounts, site))
    }

    /// As [`is_served_by`](Self::is_served_by), of the tasks that come before a gang.
    pub(super) fn is_served_before(&self, gang: usize, amounts: &Quantities, site: Site<'_>) -> bool {
        self.groups[..gang].iter().any(|group| group.is_served_by(amounts, site))
    }

    /// The groups of tasks that are not promised yet and can start for themselves, each with how many those are; one where the
    /// number has no bound.
    pub(super) fn open_tasks(&self) -> impl Iterator<Item = (&DemandGroup, u32)> {
        self.groups.iter().filter(|group| group.can_start_alone()).map(|group| {
            let is_bounded = group.asked.count != DemandGroup::ANY_NUMBER;
            (&group.asked, if is_bounded { group.open() } else { 1 })
        })
    }

    /// These amounts are offered.
    pub(super) fn promise(&mut self, amounts: &Quantities, site: Site<'_>) {
        let mut left = amounts.clone();
        for group in self.groups.iter_mut().filter(|group| group.is_served_by(amounts, site)) {
            let fitting = group.fitting(&mut left, group.open());
            if group.asked.count != DemandGroup::ANY_NUMBER {
                group.promised += fitting;
            }
        }
    }

    /// These amounts came back; they are asked for only if it makes a difference.
    pub(super) fn take_back(&mut self, amounts: impl FnOnce() -> Quantities) {
        let mut promised = self.groups.iter_mut().filter(|group| group.promised > 0).peekable();
        if promised.peek().is_none() {
            return;
        }
        let mut left = amounts();
        for group in promised {
            group.promised -= group.fitting(&mut left, group.promised);
        }
    }

    /// The gangs that can't start yet, each with its place among the groups and how many of its tasks are missing.
    pub(super) fn gangs(&self) -> impl Iterator<Item = (usize, &DemandGroup, u32)> {
        let gangs = self.groups.iter().enumerate().filter(|(_, group)| group.lacking() > 0);
        gangs.map(|(place, group)| (place, &group.asked, group.lacking()))
    }

    /// The group of tasks of this shape that still waits for something, or else any of that shape, with how many are missing before
    /// it can start as a gang.
    pub(super) fn group_of(&self, shape: &Quantities) -> Option<(&DemandGroup, u32)> {
        let same = || self.groups.iter().filter(|group| group.asked.shape == *shape);
        let group = same().find(|group| group.open() > 0).or_else(|| same().next())?;
        Some((&group.asked, group.lacking()))
    }

    /// The groups of which something is not promised yet.
    pub(super) fn open_groups(&self) -> impl Iterator<Item = &DemandGroup> {
        self.groups.iter().filter(|group| group.open() > 0).map(|group| &group.asked)
    }

    /// So many tasks of a gang are offered together.
    pub(super) fn promise_gang(&mut self, place: usize, tasks: u32) {
        if let Some(group) = self.groups.get_mut(place) {
            group.promised = group.promised.saturating_add(tasks);
        }
    }
}

impl Group {
    /// How many tasks are not promised yet.
    fn open(&self) -> u32 {
        self.asked.count.saturating_sub(self.promised)
    }

    /// How many are missing before the gang can start; 0 when it has, or is none.
    fn lacking(&self) -> u32 {
        self.asked.gang_size().saturating_sub(self.promised)
    }

    fn can_start_alone(&self) -> bool {
        self.open() > 0 && self.lacking() == 0
    }

    fn is_served_by(&self, amounts: &Quantities, site: Site<'_>) -> bool {
        self.can_start_alone()
            && amounts.contains(&self.asked.shape)
            && self.asked.can_use(site.profile, site.time_left)
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
    use crate::protocol::{AttributeConstraint, OfferConstraints, Predicate, Selector};

    fn amounts(text: &str) -> Quantities {
        text.parse().unwrap()
    }

    fn group(count: u32, shape: &str) -> DemandGroup {
        DemandGroup::new(count, amounts(shape))
    }

    fn anywhere(profile: &AgentProfile) -> Site<'_> {
        Site { profile, time_left: None }
    }

    #[test]
    fn offers_promise_as_many_tasks_as_fit() {
        let profile = AgentProfile::default();
        let here = anywhere(&profile);
        let mut demand = Demand::new(&[group(1, "cpus:4"), group(3, "cpus:1;mem:10")]);
        assert!(demand.is_served_by(&amounts("cpus:1;mem:10"), here));
        assert!(!demand.is_served_by(&amounts("cpus:3"), here));
        demand.promise(&amounts("cpus:6;mem:100"), here);
        assert!(!demand.is_served_by(&amounts("cpus:8"), here), "the large one is promised");
        assert!(!demand.is_met());
        demand.promise(&amounts("cpus:8;mem:100"), here);
        assert!(demand.is_met() && !demand.is_served_by(&amounts("cpus:8;mem:100"), here));
        demand.take_back(|| amounts("cpus:1;mem:10"));
        assert!(demand.is_served_by(&amounts("cpus:1;mem:10"), here) && !demand.is_met());
        assert!(Demand::new(&[]).is_met());
    }

    #[test]
    fn any_number_is_never_met() {
        let profile = AgentProfile::default();
        let here = anywhere(&profile);
        let any = [group(DemandGroup::ANY_NUMBER, "cpus:1")];
        let mut demand = Demand::new(&any);
        demand.promise(&amounts("cpus:1000000"), here);
        assert!(demand.is_served_by(&amounts("cpus:1"), here));
        assert!(!demand.is_served_by(&amounts("cpus:0.5"), here));
        assert!(!Demand::new(&any).asks_more_than(Some(&demand)));
    }

    #[test]
    fn only_what_is_open_already_is_no_news() {
        let profile = AgentProfile::default();
        let of = |count| Demand::new(&[group(count, "cpus:1")]);
        let mut before = of(5);
        before.promise(&amounts("cpus:2"), anywhere(&profile));
        assert!(!of(3).asks_more_than(Some(&before)) && of(4).asks_more_than(Some(&before)));
        assert!(!of(9).asks_more_than(None), "all was offered already");
    }

    #[test]
    fn what_is_new_is_told_from_what_is_restated() {
        let asks_more = |before: &[DemandGroup], after: &[DemandGroup]| {
            Demand::new(after).asks_more_than(Some(&Demand::new(before)))
        };
        let (two, one) = (group(2, "cpus:1"), group(1, "cpus:1"));
        assert!(!asks_more(std::slice::from_ref(&two), std::slice::from_ref(&one)));
        assert!(asks_more(std::slice::from_ref(&one), std::slice::from_ref(&two)));
        assert!(asks_more(std::slice::from_ref(&two), &[two.clone().starting_together(2)]));
        assert!(!asks_more(std::slice::from_ref(&two), &[two.clone().with_priority(1)]));
        let gang = |count| group(count, "cpus:1").starting_together(3);
        assert!(!asks_more(&[gang(3)], &[gang(3)]));
        assert!(asks_more(&[gang(3)], &[gang(2)]), "fewer together are found sooner");
        assert!(Demand::new(&[gang(3)]).asks_more_than(None));
    }

    #[test]
    fn the_highest_priority_is_promised_first() {
        let profile = AgentProfile::default();
        let mut demand = Demand::new(&[group(1, "cpus:1"), group(1, "cpus:2").with_priority(1)]);
        demand.promise(&amounts("cpus:2"), anywhere(&profile));
        assert!(demand.is_served_by(&amounts("cpus:1"), anywhere(&profile)), "only the large one was");
    }

    #[test]
    fn agents_that_are_away_too_soon_or_have_not_what_is_asked_for_serve_nobody() {
        let mut profile = AgentProfile::default();
        let hour = Duration::from_secs(3600);
        let bounded = DemandGroup { max_runtime: Some(hour), ..group(1, "cpus:1") };
        let site = |time_left| Site { time_left, ..anywhere(&profile) };
        let demand = Demand::new(&[bounded]);
        assert!(demand.is_choosy());
        assert!(demand.is_served_by(&amounts("cpus:1"), site(None)));
        assert!(demand.is_served_by(&amounts("cpus:1"), site(Some(hour))));
        assert!(!demand.is_served_by(&amounts("cpus:1"), site(Some(hour / 2))));
        assert!(Demand::new(&[group(1, "cpus:1")]).is_served_by(&amounts("cpus:1"), site(Some(hour / 2))));

        let ssd = AttributeConstraint {
            selector: Selector::Attribute("disk".to_owned()),
            predicate: Predicate::TextEquals("ssd".to_owned()),
        };
        let constraints = OfferConstraints { groups: vec![vec![ssd]] };
        let demand = Demand::new(&[DemandGroup { constraints, ..group(1, "cpus:1") }]);
        assert!(!demand.is_served_by(&amounts("cpus:1"), anywhere(&profile)));
        profile.attributes.insert("disk".to_owned(), "ssd".to_owned());
        assert!(demand.is_served_by(&amounts("cpus:1"), anywhere(&profile)));
    }

    #[test]
    fn a_gang_is_promised_whole_and_the_rest_of_it_one_by_one() {
        let profile = AgentProfile::default();
        let here = anywhere(&profile);
        let gang = group(4, "cpus:1").starting_together(3);
        let mut demand = Demand::new(&[gang]);
        assert!(!demand.is_served_by(&amounts("cpus:8"), here) && !demand.is_met());
        assert_eq!(demand.gangs().map(|(place, _, lacking)| (place, lacking)).collect::<Vec<_>>(), [(0, 3)]);
        demand.promise_gang(0, 3);
        assert_eq!((demand.gangs().count(), demand.is_met()), (0, false));
        assert!(demand.is_served_by(&amounts("cpus:1"), here));
        demand.take_back(|| amounts("cpus:3"));
        assert_eq!(
            demand.gangs().map(|(_, _, lacking)| lacking).collect::<Vec<_>>(),
            [3],
            "to be found anew"
        );
        assert!(!Demand::new(&[group(0, "cpus:1").starting_together(3)]).gangs().any(|_| true));
    }
}
