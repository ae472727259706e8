//! After any events, the allocator offers what the reference does, and its books add up.

use std::time::Duration;

use proptest::prelude::*;

use super::reference::Reference;
use super::{agent, cases, framework, role};
use crate::allocator::{
    AgentProfile, Allocation, Allocator, AttributeConstraint, Capabilities, DemandGroup, DrfAllocator,
    DrfOptions, FrameworkProfile, Limits, OfferConstraints, Predicate, Quota, Selector, Unavailability,
};
use crate::protocol::{OfferMode, Weight};
use crate::resources::{Quantities, Resources, Role};
use crate::time::Time;

#[derive(Clone, Debug)]
enum Event {
    AddAgent {
        agent: u8,
        total: Resources,
        used: Option<(u8, u8, Resources)>,
    },
    UpdateAgent {
        agent: u8,
        total: Resources,
    },
    RemoveAgent {
        agent: u8,
    },
    SetAgentActive {
        agent: u8,
        active: bool,
    },
    AddFramework {
        framework: u8,
        roles: Vec<u8>,
        suppressed: Vec<u8>,
        capable: bool,
    },
    RemoveFramework {
        framework: u8,
    },
    SetFrameworkActive {
        framework: u8,
        active: bool,
    },
    Suppress {
        framework: u8,
        roles: Vec<u8>,
    },
    Revive {
        framework: u8,
        roles: Vec<u8>,
    },
    SetWeight {
        role: u8,
        milli: u32,
    },
    SetQuota {
        role: u8,
        guarantee: Quantities,
        limit: Limits,
    },
    SetDemand {
        framework: u8,
        role: u8,
        demand: Option<Vec<DemandGroup>>,
    },
    SetUnavailability {
        agent: u8,
        /// In so long, and for so long.
        window: Option<(u64, Option<u64>)>,
    },
    /// The n-th holding comes back, in whole or half.
    Recover {
        nth: prop::sample::Index,
        whole: bool,
        refuse: Option<u64>,
    },
    SetOfferMode {
        role: u8,
        optimistic: bool,
    },
    /// The n-th optimistic offer is accepted, in whole or half, or declined.
    Answer {
        nth: prop::sample::Index,
        answer: Answer,
        refuse: Option<u64>,
    },
    Allocate {
        after: u64,
    },
}

#[derive(Clone, Copy, Debug)]
enum Answer {
    Whole,
    Half,
    Nothing,
}

const ROLES: [&str; 6] = ["*", "a", "a/x", "a/y", "b", "a/x/z"];

const MORE: [&str; 7] =
    ["cpus{REV}:2", "", "cpus(a):1", "mem(a/x):64", "cpus(b):2;mem(b):32", "ports:[1-9]", "acres:3"];

fn resources() -> impl Strategy<Value = Resources> {
    let amounts = (0..6_u32, 0..6_u32).prop_map(|(cpus, mem)| Resources::cpus_mem(cpus * 500, mem * 32));
    (amounts, prop::sample::select(&MORE[..])).prop_map(|(amounts, more)| amounts + &more.parse().unwrap())
}

fn quota() -> impl Strategy<Value = (Quantities, Limits)> {
    let quotas = [
        ("", ""),
        ("cpus:1;mem:64", ""),
        ("cpus:3", "cpus:3;mem:96"),
        ("", "cpus:1"),
        ("mem:32", "cpus:0"),
        ("", "cpus:2;mem:64;disk:0"),
    ];
    prop::sample::select(quotas.to_vec())
        .prop_map(|(guarantee, limit)| (guarantee.parse().unwrap(), limit.parse().unwrap()))
}

fn group() -> impl Strategy<Value = DemandGroup> {
    let gang = prop::option::of(1..4_u32);
    let max_runtime = prop::option::weighted(0.3, (0..4_u64).prop_map(Duration::from_secs));
    (0..4_u32, 0..6_u32, 0..3_i32, gang, max_runtime, any::<bool>()).prop_map(
        |(count, cpus, priority, gang, max_runtime, choosy)| {
            let odd = AttributeConstraint {
                selector: Selector::Attribute("odd".to_owned()),
                predicate: Predicate::Exists,
            };
            DemandGroup {
                count,
                shape: Resources::cpus_mem(cpus * 500, 0).quantities(),
                constraints: OfferConstraints { groups: if choosy { vec![vec![odd]] } else { Vec::new() } },
                priority,
                max_runtime,
                gang,
            }
        },
    )
}

fn event() -> impl Strategy<Value = Event> {
    let (agent, framework, role) = (|| 0..4_u8, || 0..4_u8, || 0..ROLES.len() as u8);
    let roles = || prop::collection::vec(0..ROLES.len() as u8, 0..3);
    let used = prop::option::weighted(0.3, (framework(), role(), resources()));
    prop_oneof![
        3 => (agent(), resources(), used)
            .prop_map(|(agent, total, used)| Event::AddAgent { agent, total, used }),
        1 => (agent(), resources()).prop_map(|(agent, total)| Event::UpdateAgent { agent, total }),
        1 => agent().prop_map(|agent| Event::RemoveAgent { agent }),
        1 => (agent(), any::<bool>()).prop_map(|(agent, active)| Event::SetAgentActive { agent, active }),
        4 => (framework(), roles(), roles(), any::<bool>()).prop_map(|(framework, roles, suppressed, capable)| {
            Event::AddFramework { framework, roles, suppressed, capable }
        }),
        1 => framework().prop_map(|framework| Event::RemoveFramework { framework }),
        1 => (framework(), any::<bool>())
            .prop_map(|(framework, active)| Event::SetFrameworkActive { framework, active }),
        1 => (framework(), roles()).prop_map(|(framework, roles)| Event::Suppress { framework, roles }),
        1 => (framework(), roles()).prop_map(|(framework, roles)| Event::Revive { framework, roles }),
        1 => (role(), prop::sample::select(&[500_u32, 1000, 2000, 3000][..]))
            .prop_map(|(role, milli)| Event::SetWeight { role, milli }),
        2 => (role(), quota()).prop_map(|(role, (guarantee, limit))| Event::SetQuota { role, guarantee, limit }),
        1 => (agent(), prop::option::of((0..4_u64, prop::option::of(1..4_u64))))
            .prop_map(|(agent, window)| Event::SetUnavailability { agent, window }),
        6 => (framework(), role(), prop::option::weighted(0.9, prop::collection::vec(group(), 0..3)))
            .prop_map(|(framework, role, demand)| Event::SetDemand { framework, role, demand }),
        8 => (any::<prop::sample::Index>(), any::<bool>(), prop::option::of(0..4_u64))
            .prop_map(|(nth, whole, refuse)| Event::Recover { nth, whole, refuse }),
        2 => (role(), any::<bool>()).prop_map(|(role, optimistic)| Event::SetOfferMode { role, optimistic }),
        4 => (
            any::<prop::sample::Index>(),
            prop::sample::select(&[Answer::Whole, Answer::Half, Answer::Nothing][..]),
            prop::option::of(0..4_u64),
        )
            .prop_map(|(nth, answer, refuse)| Event::Answer { nth, answer, refuse }),
        6 => (0..3_u64).prop_map(|after| Event::Allocate { after }),
    ]
}

/// Frameworks that all say what they wait for, mostly gangs, on agents that have room for some of it.
fn crowded() -> impl Strategy<Value = Vec<Event>> {
    let agents = (0..4_u8).map(|agent| {
        let total = Resources::cpus_mem(2000, 256);
        Event::AddAgent { agent, total, used: None }
    });
    let frameworks = (0..4_u8).map(|framework| {
        let roles = vec![framework % 3, 4];
        Event::AddFramework { framework, roles, suppressed: vec![4], capable: true }
    });
    let gang = || {
        (1..7_u32, 1..4_u32, group()).prop_map(|(count, cpus, group)| DemandGroup {
            count,
            gang: group.gang.map(|least| least + count / 2),
            shape: Resources::cpus_mem(cpus * 500, 0).quantities(),
            ..group
        })
    };
    let state = || {
        (0..4_u8, prop::collection::vec(gang(), 1..3)).prop_map(|(framework, demand)| Event::SetDemand {
            framework,
            role: framework % 3,
            demand: Some(demand),
        })
    };
    let back = (any::<prop::sample::Index>(), prop::option::of(0..4_u64))
        .prop_map(|(nth, refuse)| Event::Recover { nth, whole: true, refuse });
    let allocate = (0..3_u64).prop_map(|after| Event::Allocate { after });
    let events =
        prop::collection::vec(prop_oneof![2 => state(), 6 => back, 4 => allocate, 2 => event()], 1..60);
    let first: Vec<Event> = agents.chain(frameworks).collect();
    (prop::collection::vec(state(), 6), events)
        .prop_map(move |(states, events)| first.iter().cloned().chain(states).chain(events).collect())
}

/// Both allocators, told the same.
struct Both {
    fast: DrfAllocator,
    reference: Reference,
    now: Time,
}

impl Default for Both {
    fn default() -> Self {
        let options = DrfOptions { gang_hold: Duration::from_secs(3), ..DrfOptions::default() };
        let reference = Reference::new(options.clone());
        Both { fast: DrfAllocator::new(options), reference, now: Time::ZERO }
    }
}

impl Both {
    fn tell(&mut self, event: Event) -> Result<(), TestCaseError> {
        let (fast, reference) = (&mut self.fast, &mut self.reference);
        let agent = |number: u8| agent(&format!("agent{number}"));
        let framework = |number: u8| framework(&format!("framework{number}"));
        let role = |number: u8| role(ROLES[usize::from(number)]);
        let roles = |numbers: Vec<u8>| numbers.into_iter().map(role).collect::<Vec<_>>();
        match event {
            Event::AddAgent { agent: id, total, used } => {
                let used = used.map(|(by, for_role, resources)| Allocation {
                    framework: framework(by),
                    role: role(for_role),
                    agent: agent(id),
                    resources,
                });
                let used: Vec<_> = used.into_iter().filter(|used| !used.resources.is_empty()).collect();
                let mut profile = AgentProfile::default();
                if id % 2 == 1 {
                    profile.attributes.insert("odd".to_owned(), String::new());
                }
                fast.add_agent(&agent(id), &profile, &total, &used);
                reference.add_agent(&agent(id), &profile, &total, &used);
            }
            Event::UpdateAgent { agent: id, total } => {
                fast.update_agent(&agent(id), &total);
                reference.update_agent(&agent(id), &total);
            }
            Event::RemoveAgent { agent: id } => {
                fast.remove_agent(&agent(id));
                reference.remove_agent(&agent(id));
            }
            Event::SetAgentActive { agent: id, active } => {
                fast.set_agent_active(&agent(id), active);
                reference.set_agent_active(&agent(id), active);
            }
            Event::AddFramework { framework: id, roles: used, suppressed, capable } => {
                let (used, suppressed) = (roles(used), roles(suppressed));
                let mut profile = FrameworkProfile::new(&used).suppressing(&suppressed);
                if !capable {
                    profile.capabilities = Capabilities::NONE;
                }
                fast.add_framework(&framework(id), &profile);
                reference.add_framework(&framework(id), &profile);
            }
            Event::RemoveFramework { framework: id } => {
                fast.remove_framework(&framework(id));
                reference.remove_framework(&framework(id));
            }
            Event::SetFrameworkActive { framework: id, active } => {
                fast.set_framework_active(&framework(id), active);
                reference.set_framework_active(&framework(id), active);
            }
            Event::Suppress { framework: id, roles: named } => {
                let named = roles(named);
                fast.suppress(&framework(id), &named);
                reference.suppress(&framework(id), &named);
            }
            Event::Revive { framework: id, roles: named } => {
                let named = roles(named);
                fast.revive(&framework(id), &named);
                reference.revive(&framework(id), &named);
            }
            Event::SetWeight { role: of, milli } => {
                let weight = Weight::from_milli(milli).unwrap();
                fast.set_weight(&role(of), weight);
                reference.set_weight(&role(of), weight);
            }
            Event::SetQuota { role: of, guarantee, limit } => {
                let quota = Quota { guarantee, limit };
                if fast.set_quota(&role(of), &quota, true).is_ok() {
                    reference.set_quota(&role(of), &quota);
                }
            }
            Event::SetDemand { framework: id, role: of, demand } => {
                fast.set_demand(&framework(id), &role(of), demand.as_deref());
                reference.set_demand(&framework(id), &role(of), demand.as_deref());
            }
            Event::SetUnavailability { agent: id, window } => {
                let unavailability = window.map(|(after, duration)| Unavailability {
                    start: self.now + Duration::from_secs(after),
                    duration: duration.map(Duration::from_secs),
                });
                fast.set_unavailability(&agent(id), unavailability);
                reference.set_unavailability(&agent(id), unavailability);
            }
            Event::Recover { nth, whole, refuse } => {
                let holdings = reference.holdings();
                if holdings.is_empty() {
                    return Ok(());
                }
                let mut back = nth.get(&holdings).clone();
                if !whole {
                    back.resources = half(&back.resources);
                }
                let refuse = refuse.map(Duration::from_secs);
                if !back.resources.is_empty() {
                    fast.recover(self.now, &back, refuse);
                    reference.recover(self.now, &back, refuse);
                }
            }
            Event::SetOfferMode { role: of, optimistic } => {
                let mode = if optimistic { OfferMode::Optimistic } else { OfferMode::Exclusive };
                fast.set_offer_mode(&role(of), mode);
                reference.set_offer_mode(&role(of), mode);
            }
            Event::Answer { nth, answer, refuse } => {
                if reference.out().is_empty() {
                    return Ok(());
                }
                let mut rest = nth.get(reference.out()).clone();
                let claimed = match answer {
                    Answer::Whole => rest.resources.clone(),
                    Answer::Half => half(&rest.resources),
                    Answer::Nothing => Resources::new(),
                };
                let claim = Allocation { resources: claimed, ..rest.clone() };
                if !claim.resources.is_empty() {
                    let limited = reference.charges_of_limited();
                    let holds = reference.claim(&claim);
                    prop_assert_eq!(fast.claim(&claim).is_ok(), holds);
                    keeps_limits(&limited, &reference.charges_of_limited())?;
                    if holds {
                        rest.resources.try_subtract(&claim.resources).unwrap();
                    }
                }
                let refuse = refuse.map(Duration::from_secs);
                if !rest.resources.is_empty() {
                    fast.withdraw(self.now, &rest, refuse);
                    reference.withdraw(self.now, &rest, refuse);
                }
            }
            Event::Allocate { after } => {
                self.now = self.now + Duration::from_secs(after);
                let before = reference.charges_of_limited();
                let (expected, expected_sets) = reference.allocate(self.now);
                keeps_limits(&before, &reference.charges_of_limited())?;
                let due = fast.next_deadline().is_some_and(|deadline| deadline <= self.now);
                let mut offers = Vec::new();
                fast.allocate(self.now, &mut offers);
                prop_assert_eq!(&offers, &expected);
                let mut sets = Vec::new();
                fast.offer_sets(&mut sets);
                let by_agent = |mut allocations: Vec<Allocation>| {
                    allocations.sort_by(|a, b| a.agent.cmp(&b.agent));
                    allocations
                };
                let sets: Vec<_> = sets.into_iter().map(|set| by_agent(set.allocations)).collect();
                let expected_sets: Vec<_> = expected_sets.into_iter().map(by_agent).collect();
                prop_assert_eq!(&sets, &expected_sets);
                let is_idle = offers.is_empty() && sets.is_empty();
                prop_assert!(due || is_idle, "nobody would have asked for these offers");
            }
        }
        self.fast.check_invariants().map_err(|wrong| TestCaseError::fail(wrong.to_string()))
    }
}

fn half(resources: &Resources) -> Resources {
    resources.filter(|resource| resource.kind().as_str() == "cpus")
}

/// Nobody above its limit has more than before.
fn keeps_limits(
    before: &[(Role, Limits, Quantities)],
    after: &[(Role, Limits, Quantities)],
) -> Result<(), TestCaseError> {
    for ((role, limit, before), (.., after)) in before.iter().zip(after) {
        for (kind, most) in limit.iter() {
            let most = most.max(before.get(kind));
            prop_assert!(after.get(kind) <= most, "{role} has {after}, limited to {limit}");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(3000))]

    #[test]
    fn it_offers_what_the_reference_offers(events in prop::collection::vec(event(), 1..60)) {
        let mut both = Both::default();
        for event in events {
            both.tell(event)?;
        }
        both.tell(Event::Allocate { after: 1 })?;
    }

    #[test]
    fn it_gathers_gangs_as_the_reference_does(events in crowded()) {
        let mut both = Both::default();
        for event in events {
            both.tell(event)?;
        }
        both.tell(Event::Allocate { after: 1 })?;
    }
}
