//! Offer sets: accepted whole, declined whole, rescinded whole.

use std::time::Duration;

use super::tests::{AGENT, FRAMEWORK, World, events, offers, role, task, updates};
use super::{Input, Output};
use crate::protocol::{
    AgentEvent, ConnectionId, DemandGroup, OfferId, OfferInfo, OfferSetId, Operation, Reason, SchedulerCall,
    SchedulerEvent, TaskInfo, TaskState,
};

const OTHER_AGENT: ConnectionId = ConnectionId(8);

/// Two agents of 4 cpus each, and a set for six tasks of one cpu.
fn with_set() -> (World, OfferSetId, Vec<OfferInfo>) {
    let mut world = World::with_operator();
    world.framework_subscribes(FRAMEWORK, Duration::ZERO);
    let gang = DemandGroup::new(6, "cpus:1;mem:100".parse().unwrap()).starting_together(6);
    world.call(FRAMEWORK, SchedulerCall::SetDemand { role: role(), demand: Some(vec![gang]) });
    assert!(offers(&mut world.agent_registers(AGENT, Vec::new())).is_empty());
    let set = offers(&mut world.agent_registers_as(OTHER_AGENT, "a2", Vec::new()));
    let id = set[0].set.expect("offers of a set");
    assert!(set.len() == 2 && set.iter().all(|offer| offer.set == Some(id)));
    (world, id, set)
}

fn launches(tasks: Vec<TaskInfo>) -> Vec<Operation> {
    tasks.into_iter().map(Operation::Launch).collect()
}

fn is_launched(out: &[Output]) -> bool {
    out.iter().any(|output| matches!(output, Output::ToAgent { event: AgentEvent::Launch { .. }, .. }))
}

/// Accepts with one task of that many tasks' size on each of these offers.
fn accept(world: &mut World, set: OfferSetId, parts: &[(OfferId, u32)]) -> Vec<Output> {
    let part = |(place, (offer, tasks)): (usize, &(OfferId, u32))| {
        let tasks: Vec<TaskInfo> =
            (0..*tasks).map(|number| task(&format!("t{place}-{number}"), 1000, 100)).collect();
        (*offer, launches(tasks))
    };
    let parts = parts.iter().enumerate().map(part).collect();
    world.call(FRAMEWORK, SchedulerCall::AcceptSet { set, parts, refuse: Duration::ZERO })
}

#[test]
fn a_set_holds_what_the_gang_needs_and_is_accepted_whole() {
    let (mut world, set, offers) = with_set();
    let sizes: Vec<_> = offers.iter().map(|offer| offer.resources.to_string()).collect();
    assert_eq!(sizes, ["cpus:4;mem:400", "cpus:2;mem:200"]);
    let out = accept(&mut world, set, &[(offers[0].id, 4), (offers[1].id, 2)]);
    assert!(is_launched(&out) && updates(&out).is_empty());
    assert_eq!(world.state().frameworks[0].tasks_active, 6);
}

#[test]
fn what_is_done_in_part_is_refused_and_the_set_comes_back() {
    for parts in [vec![(0, 4)], vec![(0, 4), (1, 0)], vec![(0, 5), (1, 2)], vec![(0, 4), (0, 4)]] {
        let (mut world, set, offers) = with_set();
        let parts: Vec<_> = parts.into_iter().map(|(place, tasks)| (offers[place].id, tasks)).collect();
        let mut out = accept(&mut world, set, &parts);
        assert!(!is_launched(&out), "{parts:?}");
        let refused = updates(&out);
        assert!(!refused.is_empty(), "each task is answered");
        assert!(refused.iter().all(|(state, _)| matches!(state, TaskState::Dropped | TaskState::Error)));
        let again = super::tests::offers(&mut out);
        assert_eq!(again.len(), 2, "it is offered again");
        assert_ne!(again[0].set, Some(set));
    }
}

#[test]
fn an_offer_of_a_set_is_not_accepted_alone() {
    let (mut world, _, offers) = with_set();
    let operations = launches(vec![task("t", 1000, 100)]);
    let refuse = Duration::ZERO;
    let out = world.call(FRAMEWORK, SchedulerCall::Accept { offers: vec![offers[0].id], operations, refuse });
    assert!(!is_launched(&out));
    assert_eq!(updates(&out), [(TaskState::Dropped, Some(Reason::InvalidOffer))]);
}

#[test]
fn one_declined_is_all_declined() {
    let (mut world, _, offers) = with_set();
    let decline = SchedulerCall::Decline { offers: vec![offers[1].id], refuse: Duration::ZERO };
    let again = super::tests::offers(&mut world.call(FRAMEWORK, decline));
    assert_eq!(again.len(), 2);
}

#[test]
fn a_set_goes_with_any_of_its_agents() {
    let (mut world, _, offers) = with_set();
    let out = world.input(Input::Disconnected { connection: OTHER_AGENT });
    let rescinded: Vec<OfferId> = events(&out)
        .into_iter()
        .filter_map(|event| match event {
            SchedulerEvent::Rescind(offers) => Some(offers.clone()),
            _ => None,
        })
        .flatten()
        .collect();
    assert_eq!(rescinded, offers.iter().map(|offer| offer.id).collect::<Vec<_>>());
    assert_eq!(world.state().agents[0].offered, "".parse().unwrap());
}
