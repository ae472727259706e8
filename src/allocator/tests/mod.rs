//! What dominant-resource fairness promises, and what allocators of Mesos' kind do, as scenarios and laws.

mod equivalence;
mod gangs;
mod guarantees;
mod preemption;
mod reference;

use std::time::Duration;

use proptest::prelude::*;

use super::{
    AgentProfile, Allocation, Allocator, AttributeConstraint, Capabilities, DrfAllocator, FrameworkProfile,
    OfferConstraints, Predicate, Quota, Selector,
};
use crate::protocol::{AgentId, FrameworkId, Obstacle, Weight};
use crate::resources::{Quantities, Resources, Role};
use crate::time::Time;

/// As many cases of a property, or as many as the environment asks for; what fails is printed, and becomes a test of its own.
fn cases(least: u32) -> ProptestConfig {
    let config = ProptestConfig::default();
    ProptestConfig { cases: config.cases.max(least), failure_persistence: None, ..config }
}

fn agent(name: &str) -> AgentId {
    AgentId::new(name).unwrap()
}

fn framework(name: &str) -> FrameworkId {
    FrameworkId::new(name).unwrap()
}

fn role(name: &str) -> Role {
    name.parse().unwrap()
}

/// An allocator with one agent and, for each user, a framework in a role of its own.
fn cluster(total: &Resources, users: &[&str]) -> DrfAllocator {
    let mut allocator = DrfAllocator::default();
    allocator.add_agent(&agent("agent1"), &AgentProfile::default(), total, &[]);
    for user in users {
        allocator.add_framework(&framework(user), &FrameworkProfile::new(&[role(user)]));
    }
    allocator
}

/// Lets each user take one task an offer, until nobody's task fits any more. Returns how many tasks each has.
fn fill(allocator: &mut DrfAllocator, users: &[(&str, Resources)]) -> Vec<usize> {
    let mut tasks = vec![0; users.len()];
    for (user, _) in users {
        allocator.revive(&framework(user), &[]);
    }
    loop {
        let mut offers = Vec::new();
        allocator.allocate(Time::ZERO, &mut offers);
        let Some(offer) = offers.pop() else { return tasks };
        let user = users.iter().position(|(user, _)| framework(user) == offer.framework).unwrap();
        let mut rest = offer.clone();
        if rest.resources.try_subtract(&users[user].1).is_ok() {
            tasks[user] += 1;
        } else {
            allocator.suppress(&offer.framework, &[]);
        }
        if !rest.resources.is_empty() {
            allocator.recover(Time::ZERO, &rest, None);
        }
        allocator.check_invariants().unwrap();
    }
}

#[test]
fn the_worked_example_of_the_paper() {
    let total = Resources::cpus_mem(9000, 18 * 1024);
    let users = [("a", Resources::cpus_mem(1000, 4 * 1024)), ("b", Resources::cpus_mem(3000, 1024))];
    let mut allocator = cluster(&total, &["a", "b"]);
    assert_eq!(fill(&mut allocator, &users), [3, 2]);
    let shares: Vec<f64> = allocator.shares().iter().map(|share| share.share.as_f64()).collect();
    assert_eq!(shares, [2.0 / 3.0, 2.0 / 3.0]);
}

#[test]
fn a_role_of_double_weight_gets_double() {
    let total = Resources::cpus_mem(9000, 9 * 1024);
    let one = Resources::cpus_mem(1000, 1024);
    let mut allocator = cluster(&total, &["a", "b"]);
    allocator.set_weight(&role("a"), Weight::from_milli(2000).unwrap());
    assert_eq!(fill(&mut allocator, &[("a", one.clone()), ("b", one)]), [6, 3]);
}

#[test]
fn children_share_what_their_parent_is_due() {
    let total = Resources::cpus_mem(8000, 8 * 1024);
    let one = Resources::cpus_mem(1000, 1024);
    let mut allocator = DrfAllocator::default();
    allocator.add_agent(&agent("agent1"), &AgentProfile::default(), &total, &[]);
    for (name, in_role) in [("a", "eng/a"), ("b", "eng/b"), ("c", "ops")] {
        allocator.add_framework(&framework(name), &FrameworkProfile::new(&[role(in_role)]));
    }
    assert_eq!(fill(&mut allocator, &[("a", one.clone()), ("b", one.clone()), ("c", one)]), [2, 2, 4]);
}

fn offered(allocator: &mut DrfAllocator, now: Time) -> Vec<Allocation> {
    let mut offers = Vec::new();
    allocator.allocate(now, &mut offers);
    offers
}

#[test]
fn what_was_refused_is_hidden_until_it_expires_grows_or_is_revived() {
    let mut allocator = cluster(&Resources::cpus_mem(2000, 1024), &["a"]);
    let refuse = Some(Duration::from_secs(5));
    let offer = offered(&mut allocator, Time::ZERO).pop().unwrap();
    let mut part = offer.clone();
    part.resources = Resources::cpus_mem(1000, 512);
    allocator.recover(Time::ZERO, &part, refuse);
    assert_eq!(offered(&mut allocator, Time::ZERO), []);
    assert_eq!(allocator.next_deadline(), Some(Time::from_secs(5)));

    allocator.recover(Time::from_secs(1), &part, None);
    let whole = offered(&mut allocator, Time::from_secs(1));
    assert_eq!(whole, [offer], "more than what was refused is offered at once");

    allocator.recover(Time::from_secs(1), &whole[0], refuse);
    assert_eq!(offered(&mut allocator, Time::from_secs(5)), []);
    assert_eq!(offered(&mut allocator, Time::from_secs(6)), whole);

    allocator.recover(Time::from_secs(6), &whole[0], refuse);
    allocator.revive(&framework("a"), &[]);
    assert_eq!(offered(&mut allocator, Time::from_secs(6)), whole);
}

#[test]
fn suppressed_and_disconnected_frameworks_are_passed_over() {
    let mut allocator = cluster(&Resources::cpus_mem(2000, 1024), &["a", "b"]);
    allocator.suppress(&framework("a"), &[]);
    let offer = offered(&mut allocator, Time::ZERO).pop().unwrap();
    assert_eq!(offer.framework, framework("b"));
    allocator.set_framework_active(&framework("b"), false);
    allocator.recover(Time::ZERO, &offer, None);
    assert_eq!(offered(&mut allocator, Time::ZERO), []);
    allocator.revive(&framework("a"), &[]);
    assert_eq!(offered(&mut allocator, Time::ZERO).pop().unwrap().framework, framework("a"));
}

#[test]
fn it_says_what_stands_in_the_way() {
    let mut allocator = cluster(&Resources::cpus_mem(2000, 1024), &["a"]);
    let explain = |allocator: &DrfAllocator, cpus| {
        let wanted = Resources::cpus_mem(cpus, 0).quantities();
        allocator.explain(Time::ZERO, &framework("a"), &role("a"), &wanted).obstacles
    };
    let lacking: Quantities = "cpus:1".parse().unwrap();
    assert_eq!(explain(&allocator, 3000), [Obstacle::LargerThanAnyAgent { lacking: lacking.clone() }]);
    let mut offer = offered(&mut allocator, Time::ZERO).pop().unwrap();
    offer.resources = Resources::cpus_mem(1000, 0);
    allocator.recover(Time::ZERO, &offer, None);
    assert_eq!(explain(&allocator, 2000), [Obstacle::Insufficient { agents: 1, lacking }]);
}

#[test]
fn it_counts_what_stands_in_the_way_where() {
    let mut allocator = DrfAllocator::default();
    for (name, total, hostname) in [
        ("tiny", "cpus:1;mem:64", "tiny"),
        ("gpu", "cpus:8;mem:1024;gpus:1", "gpu"),
        ("theirs", "cpus(b):8;mem(b):1024", "theirs"),
        ("hidden", "cpus:8;mem:1024", "hidden"),
        ("rack-b", "cpus:8;mem:1024", "rack-b"),
    ] {
        let mut profile = AgentProfile { hostname: hostname.to_owned(), ..AgentProfile::default() };
        profile.attributes.insert("rack".to_owned(), if name == "rack-b" { "b" } else { "a" }.to_owned());
        allocator.add_agent(&agent(name), &profile, &total.parse().unwrap(), &[]);
    }
    let hosts = ["tiny", "gpu", "theirs", "rack-b"].map(str::to_owned);
    allocator.set_allow_list(Some(hosts.into()));
    let mut profile = FrameworkProfile::new(&[role("a")]);
    profile.capabilities = Capabilities::NONE;
    let rack = Selector::Attribute("rack".to_owned());
    let only_a = AttributeConstraint { selector: rack, predicate: Predicate::TextEquals("a".to_owned()) };
    profile.constraints.insert(role("a"), OfferConstraints { groups: vec![vec![only_a]] });
    allocator.add_framework(&framework("a"), &profile);
    let limit = Quota { limit: "cpus:1".parse().unwrap(), ..Quota::default() };
    allocator.set_quota(&role("a"), &limit, false).unwrap();

    let wanted: Quantities = "cpus:2;mem:64".parse().unwrap();
    let explanation = allocator.explain(Time::ZERO, &framework("a"), &role("a"), &wanted);
    assert_eq!(
        explanation.obstacles,
        [
            Obstacle::QuotaLimit { role: role("a"), exceeding: "cpus:1".parse().unwrap() },
            Obstacle::Insufficient { agents: 1, lacking: "cpus:1".parse().unwrap() },
            Obstacle::ReservedToOthers { agents: 1 },
            Obstacle::Incapable { agents: 1 },
            Obstacle::NotAllowed { agents: 1 },
            Obstacle::Constraint { name: "the framework's offer constraints".to_owned(), agents: 1 },
        ]
    );
}

/// Two or three users with a task shape each, and a total that holds several tasks of every user.
fn users() -> impl Strategy<Value = (Resources, Vec<Resources>)> {
    let shape = (1..=8u32, 1..=8u32).prop_map(|(cpus, mem)| Resources::cpus_mem(cpus * 100, mem * 100));
    (8..=80u32, 8..=80u32, prop::collection::vec(shape, 2..=3))
        .prop_map(|(cpus, mem, shapes)| (Resources::cpus_mem(cpus * 100, mem * 100), shapes))
}

const NAMES: [&str; 3] = ["a", "b", "c"];

fn filled(total: &Resources, shapes: &[Resources]) -> (DrfAllocator, Vec<usize>) {
    let names = &NAMES[..shapes.len()];
    let mut allocator = cluster(total, names);
    let users: Vec<_> = names.iter().copied().zip(shapes.iter().cloned()).collect();
    let tasks = fill(&mut allocator, &users);
    (allocator, tasks)
}

/// How many tasks of this shape fit in these amounts.
fn fitting(shape: &Resources, cpus_milli: i64, mem_milli: i64) -> i64 {
    (cpus_milli / shape.cpus().milli()).min(mem_milli / shape.mem().milli())
}

/// Floats in these tests are sums of a few fractions.
const ROUNDING: f64 = 1e-9;

fn task_share(total: &Resources, shape: &Resources) -> f64 {
    shape.quantities().dominant_share(&total.quantities()).as_f64()
}

fn largest_task(total: &Resources, shapes: &[Resources]) -> f64 {
    shapes.iter().map(|shape| task_share(total, shape)).fold(0.0, f64::max)
}

proptest! {
    /// Everyone's dominant share is an n-th of the cluster's, less what indivisible tasks cost: each user can be ahead of the
    /// lowest share by one task, and the last task may just not fit.
    #[test]
    fn sharing_incentive((total, shapes) in users()) {
        let (_, tasks) = filled(&total, &shapes);
        let largest = largest_task(&total, &shapes);
        for (shape, tasks) in shapes.iter().zip(&tasks) {
            let share = task_share(&total, shape) * *tasks as f64;
            prop_assert!(share + 2.0 * largest + ROUNDING >= 1.0 / shapes.len() as f64, "a share of {share}");
        }
    }

    /// Nobody would have a larger share with what another has, but for indivisible tasks: the other may be ahead by one, and
    /// one of the own may hide in what was left when none fitted any more.
    #[test]
    fn envy_freeness((total, shapes) in users()) {
        let (_, tasks) = filled(&total, &shapes);
        let largest = largest_task(&total, &shapes);
        for (own, own_tasks) in shapes.iter().zip(&tasks) {
            for (other, other_tasks) in shapes.iter().zip(&tasks) {
                let n = *other_tasks as i64;
                let there = fitting(own, other.cpus().milli() * n, other.mem().milli() * n) as f64;
                let task = task_share(&total, own);
                let (own_share, envied) = (task * *own_tasks as f64, task * there);
                prop_assert!(own_share + 2.0 * largest + ROUNDING >= envied, "{own_share} and {envied}");
            }
        }
    }

    /// Nobody can have one more task without taking from another.
    #[test]
    fn pareto_efficiency((total, shapes) in users()) {
        let (_, tasks) = filled(&total, &shapes);
        let mut free = total;
        for (shape, tasks) in shapes.iter().zip(&tasks) {
            for _ in 0..*tasks {
                free.try_subtract(shape).unwrap();
            }
        }
        for shape in &shapes {
            prop_assert!(!free.contains(shape));
        }
    }

    /// Asking for larger tasks than needed does not bring a larger share of useful work, but for indivisible tasks, as above
    /// on either side.
    #[test]
    fn strategy_proofness((total, shapes) in users(), more_cpus in 0..=4u32, more_mem in 0..=4u32) {
        let (_, honest) = filled(&total, &shapes);
        let mut lie = shapes.clone();
        lie[0] += &Resources::cpus_mem(more_cpus * 100, more_mem * 100);
        let (_, lying) = filled(&total, &lie);
        let useful = task_share(&total, &shapes[0]);
        let (honest, lying) = (useful * honest[0] as f64, useful * lying[0] as f64);
        let cost = 2.0 * (largest_task(&total, &shapes) + largest_task(&total, &lie));
        prop_assert!(lying <= honest + cost + ROUNDING, "{lying} by lying, {honest} else");
    }

    /// The same events give the same offers.
    #[test]
    fn determinism((total, shapes) in users()) {
        prop_assert_eq!(filled(&total, &shapes).1, filled(&total, &shapes).1);
    }
}
