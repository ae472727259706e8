//! Gangs do not deadlock: whatever competes, each gets its set whole, and in time.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::{agent, cases, framework, role};
use crate::allocator::{
    AgentProfile, Allocation, Allocator, DemandGroup, DrfAllocator, DrfOptions, FrameworkProfile, OfferSet,
    Unavailability,
};
use crate::resources::Resources;
use crate::time::Time;

const HOLD: Duration = Duration::from_secs(10);

/// As long as that, someone takes whatever it is offered. It may have its fair share for ever, and a gang that needs more than its
/// own has to wait for that.
const GREEDY_UNTIL: u64 = 60;

/// A cluster of equal agents, gangs that want some of it each, and a framework that takes whatever it is offered for some seconds.
#[derive(Clone, Debug)]
struct Crowd {
    agents: u32,
    /// Sizes, cpus of a task, and for how long they run.
    gangs: Vec<(u32, u32, u64)>,
    greedy_for: u64,
}

const CPUS: u32 = 4;

fn crowd() -> impl Strategy<Value = Crowd> {
    let gang = (1..9_u32, 1..=CPUS, 1..20_u64);
    (1..4_u32, prop::collection::vec(gang, 1..5), 1..30_u64).prop_map(|(agents, mut gangs, greedy_for)| {
        for (size, cpus, _) in &mut gangs {
            *size = (*size).min(agents * (CPUS / *cpus));
        }
        Crowd { agents, gangs, greedy_for }
    })
}

/// The crowd, second by second. What is in use comes back at its time.
struct World {
    allocator: DrfAllocator,
    second: u64,
    in_use: BTreeMap<u64, Vec<Allocation>>,
    served: Vec<String>,
}

impl World {
    fn new(crowd: &Crowd) -> Self {
        let mut allocator = DrfAllocator::new(DrfOptions { gang_hold: HOLD, ..DrfOptions::default() });
        for number in 0..crowd.agents {
            let total = Resources::cpus_mem(CPUS * 1000, 1024);
            allocator.add_agent(&agent(&format!("a{number}")), &AgentProfile::default(), &total, &[]);
        }
        allocator.add_framework(&framework("greedy"), &FrameworkProfile::new(&[role("greedy")]));
        for (number, (size, cpus, _)) in crowd.gangs.iter().enumerate() {
            let name = format!("g{number}");
            allocator.add_framework(&framework(&name), &FrameworkProfile::new(&[role(&name)]));
            let gang = DemandGroup::new(*size, Resources::cpus_mem(cpus * 1000, 0).quantities());
            let gang = gang.starting_together(*size);
            allocator.set_demand(&framework(&name), &role(&name), Some(&[gang]));
        }
        World { allocator, second: 0, in_use: BTreeMap::new(), served: Vec::new() }
    }

    fn pass(&mut self, crowd: &Crowd) -> Result<(), TestCaseError> {
        self.second += 1;
        let now = Time::from_secs(self.second);
        if self.second == GREEDY_UNTIL {
            self.allocator.suppress(&framework("greedy"), &[]);
        }
        for back in self.in_use.remove(&self.second).into_iter().flatten() {
            self.allocator.recover(now, &back, None);
        }
        let (mut offers, mut sets) = (Vec::new(), Vec::new());
        self.allocator.allocate(now, &mut offers);
        self.allocator.offer_sets(&mut sets);
        self.in_use.entry(self.second + crowd.greedy_for).or_default().extend(offers);
        for set in sets {
            self.start(crowd, set)?;
        }
        self.allocator.check_invariants().map_err(|wrong| TestCaseError::fail(wrong.to_string()))
    }

    fn start(&mut self, crowd: &Crowd, set: OfferSet) -> Result<(), TestCaseError> {
        let name = set.allocations[0].framework.to_string();
        let (size, cpus, runs_for) = crowd.gangs[name[1..].parse::<usize>().unwrap()];
        let offered: i64 = set.allocations.iter().map(|part| part.resources.cpus().milli()).sum();
        prop_assert_eq!(offered, i64::from(size * cpus * 1000), "a set is whole");
        prop_assert!(!self.served.contains(&name), "and offered once");
        self.allocator.set_demand(&framework(&name), &role(&name), Some(&[]));
        self.in_use.entry(self.second + runs_for).or_default().extend(set.allocations);
        self.served.push(name);
        Ok(())
    }
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn every_gang_is_served_in_time(crowd in crowd()) {
        let mut world = World::new(&crowd);
        // In each round everyone has a turn, and rests for as long.
        let most = GREEDY_UNTIL + 30 + 2 * crowd.gangs.len() as u64 * (HOLD.as_secs() + 20);
        while world.served.len() < crowd.gangs.len() {
            world.pass(&crowd)?;
            prop_assert!(world.second < most, "only {:?} were served in {most} s", world.served);
        }
    }
}

#[test]
fn what_a_gang_wants_beyond_its_least_is_offered_in_the_cycle_that_completes_its_set() {
    let mut allocator = DrfAllocator::new(DrfOptions::default());
    let (whole, half) = (Resources::cpus_mem(2000, 256), Resources::cpus_mem(1000, 0));
    for name in ["a0", "a1"] {
        allocator.add_agent(&agent(name), &AgentProfile::default(), &whole, &[]);
    }
    allocator.add_framework(&framework("f"), &FrameworkProfile::new(&[role("r")]));
    let mut offers = Vec::new();
    allocator.allocate(Time::ZERO, &mut offers);
    // The gang's part of the second agent is hidden for longer than the first agent; more than that part is not hidden.
    allocator.recover(Time::ZERO, &offers[0], Some(Duration::from_secs(1)));
    let part = Allocation { resources: half.clone(), ..offers[1].clone() };
    allocator.recover(Time::ZERO, &part, Some(Duration::from_secs(5)));
    let rest = Allocation { resources: whole.minus_clamped(&half), ..offers[1].clone() };
    allocator.recover(Time::ZERO, &rest, None);
    let gang = DemandGroup::new(3, Resources::cpus_mem(500, 0).quantities()).starting_together(2);
    allocator.set_demand(&framework("f"), &role("r"), Some(&[gang]));
    offers.clear();
    allocator.allocate(Time::ZERO, &mut offers);
    assert_eq!(offers, []);
    allocator.allocate(Time::from_secs(1), &mut offers);
    let mut sets = Vec::new();
    allocator.offer_sets(&mut sets);
    assert_eq!(sets[0].allocations[0].agent, agent("a0"));
    let offered: Vec<_> = offers.iter().map(|offer| (offer.agent.as_str(), &offer.resources)).collect();
    assert_eq!(offered, [("a1", &whole)]);
}

#[test]
fn what_is_kept_where_the_gang_could_not_end_any_more_is_free_in_time() {
    let options = DrfOptions { allocation_interval: Duration::ZERO, ..DrfOptions::default() };
    let mut allocator = DrfAllocator::new(options);
    let whole = Resources::cpus_mem(2000, 0);
    let used = Allocation {
        framework: framework("other"),
        role: role("other"),
        agent: agent("a1"),
        resources: whole.clone(),
    };
    allocator.add_framework(&framework("other"), &FrameworkProfile::new(&[role("other")]));
    allocator.add_framework(&framework("gang"), &FrameworkProfile::new(&[role("gang")]));
    allocator.add_agent(&agent("a0"), &AgentProfile::default(), &whole, &[]);
    allocator.add_agent(&agent("a1"), &AgentProfile::default(), &whole, &[used]);
    let group = DemandGroup::new(5, Resources::cpus_mem(500, 0).quantities()).starting_together(5);
    let gang = DemandGroup { max_runtime: Some(Duration::from_secs(3)), ..group };
    allocator.set_demand(&framework("gang"), &role("gang"), Some(&[gang]));
    let mut offers = Vec::new();
    allocator.allocate(Time::ZERO, &mut offers);
    assert_eq!(offers, [], "the gang keeps the first agent");
    let away = Unavailability { start: Time::from_secs(10), duration: None };
    allocator.set_unavailability(&agent("a0"), Some(away));
    allocator.allocate(Time::ZERO, &mut offers);
    assert_eq!(offers, [], "and may: it could end before that is away");
    let due = allocator.next_deadline().expect("that can not last");
    assert_eq!(due, Time::from_secs(7) + Duration::from_nanos(1));
    allocator.allocate(due, &mut offers);
    let offered: Vec<_> = offers.iter().map(|offer| (&offer.framework, offer.agent.as_str())).collect();
    assert_eq!(offered, [(&framework("other"), "a0")]);
}

#[test]
fn what_comes_back_of_a_gang_during_its_turn_is_gathered_with_the_rest() {
    let options =
        DrfOptions { allocation_interval: Duration::ZERO, gang_hold: HOLD, ..DrfOptions::default() };
    let mut allocator = DrfAllocator::new(options);
    let whole = Resources::cpus_mem(1000, 0);
    for name in ["a0", "a1"] {
        allocator.add_agent(&agent(name), &AgentProfile::default(), &whole, &[]);
    }
    allocator.add_framework(&framework("f"), &FrameworkProfile::new(&[role("r")]));
    let pair = DemandGroup::new(2, whole.quantities()).starting_together(2);
    allocator.set_demand(&framework("f"), &role("r"), Some(&[pair]));
    let sets_at = |allocator: &mut DrfAllocator, now: Time| {
        let (mut offers, mut sets) = (Vec::new(), Vec::new());
        allocator.allocate(now, &mut offers);
        allocator.offer_sets(&mut sets);
        assert_eq!(offers, []);
        sets
    };
    let sets = sets_at(&mut allocator, Time::ZERO);
    let [set] = sets.as_slice() else { panic!("one set, not {sets:?}") };
    let [first, second] = set.allocations.as_slice() else { panic!("two parts, not {set:?}") };
    allocator.recover(Time::ZERO, second, Some(Duration::from_secs(5)));
    assert_eq!(sets_at(&mut allocator, Time::ZERO), [], "the second is looked for where it was refused");
    allocator.recover(Time::ZERO, first, None);
    assert_eq!(sets_at(&mut allocator, Time::ZERO), [], "there is room for half of the pair only");
    let sets = sets_at(&mut allocator, Time::from_secs(6));
    assert_eq!(sets.iter().map(|set| set.allocations.len()).collect::<Vec<_>>(), [2]);
}
