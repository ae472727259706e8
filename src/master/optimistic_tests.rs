//! Optimistic offers, from the operator who wants them to the framework that comes too late.

use std::time::Duration;

use super::Output;
use super::tests::{AGENT, FRAMEWORK, World, events, offers, role, task};
use crate::protocol::{
    AgentEvent, Conflict, ConnectionId, FrameworkInfo, IdentityKind, OfferInfo, OfferMode, Operation,
    OperatorCall, SchedulerCall, SchedulerEvent, TaskInfo,
};
use crate::resources::{Reservation, Scalar};

const OTHER: ConnectionId = ConnectionId(9);

/// One agent of 4 cpus and 4096 MiB, and two frameworks that have been offered all of it.
fn two_offers() -> (World, OfferInfo, OfferInfo) {
    let mut world = World::with_operator();
    world.ask(OperatorCall::SetOfferMode { role: role(), mode: OfferMode::Optimistic });
    world.agent_registers(AGENT, Vec::new());
    let first = offers(&mut world.framework_subscribes(FRAMEWORK, Duration::ZERO)).pop().unwrap();
    world.connect(OTHER, IdentityKind::Framework, "f2");
    let framework = FrameworkInfo::new("f2", role());
    let mut out = world
        .call(OTHER, SchedulerCall::Subscribe { framework: Box::new(framework), suppressed: Vec::new() });
    let second = offers(&mut out).pop().unwrap();
    assert_eq!((&first.resources, first.mode), (&second.resources, OfferMode::Optimistic));
    (world, first, second)
}

fn accept(world: &mut World, connection: ConnectionId, offer: &OfferInfo, tasks: &[TaskInfo]) -> Vec<Output> {
    let operations = tasks.iter().cloned().map(Operation::Launch).collect();
    let refuse = Duration::ZERO;
    world.call(connection, SchedulerCall::Accept { offers: vec![offer.id], operations, refuse })
}

fn conflict(out: &[Output]) -> Option<Conflict> {
    events(out).into_iter().find_map(|event| match event {
        SchedulerEvent::Conflict(conflict) => Some(conflict.clone()),
        _ => None,
    })
}

fn is_launched(out: &[Output]) -> bool {
    out.iter().any(|output| matches!(output, Output::ToAgent { event: AgentEvent::Launch { .. }, .. }))
}

#[test]
fn the_first_accept_wins_and_the_later_one_is_told_what_is_gone() {
    let (mut world, first, second) = two_offers();
    assert!(is_launched(&accept(&mut world, FRAMEWORK, &first, &[task("t1", 3000, 1000)])));
    let mut out = accept(&mut world, OTHER, &second, &[task("t2", 500, 1000), task("t3", 1500, 1000)]);
    assert!(!is_launched(&out), "all or nothing");
    let expected = Conflict {
        offers: vec![second.id],
        agent: second.agent.clone(),
        gone: "cpus:1".parse().unwrap(),
        tasks: vec!["t2".parse().unwrap(), "t3".parse().unwrap()],
    };
    assert_eq!(conflict(&out), Some(expected));
    let again = offers(&mut out).into_iter().find(|offer| offer.id != second.id).unwrap();
    assert_eq!(again.resources, "cpus:1;mem:3096".parse().unwrap());
    let state = world.state();
    assert_eq!(state.agents[0].allocated, "cpus:3;mem:1000".parse().unwrap());
    assert_eq!(state.agents[0].offered, "".parse().unwrap());
}

#[test]
fn accepts_that_fit_beside_each_other_both_hold() {
    let (mut world, first, second) = two_offers();
    assert!(is_launched(&accept(&mut world, FRAMEWORK, &first, &[task("t1", 2000, 1000)])));
    let out = accept(&mut world, OTHER, &second, &[task("t2", 2000, 1000)]);
    assert!(is_launched(&out) && conflict(&out).is_none());
    assert_eq!(world.state().agents[0].allocated, "cpus:4;mem:2000".parse().unwrap());
}

#[test]
fn what_is_reserved_of_an_optimistic_offer_is_claimed() {
    let (mut world, first, second) = two_offers();
    let resources = "cpus:3".parse().unwrap();
    let reservation = Reservation::dynamic(role(), None);
    let operations = vec![Operation::Reserve { resources, reservation }];
    let refuse = Duration::from_secs(60);
    world.call(FRAMEWORK, SchedulerCall::Accept { offers: vec![first.id], operations, refuse });
    let out = accept(&mut world, OTHER, &second, &[task("t2", 2000, 1000)]);
    assert_eq!(conflict(&out).unwrap().gone, "cpus:1".parse().unwrap());
    let total = world.state().agents[0].total.clone();
    assert_eq!(total.reserved_to(&role()).cpus(), Scalar::whole(3));
}

#[test]
fn optimistic_offers_are_rescinded_with_their_agent() {
    let (mut world, first, second) = two_offers();
    let out = world.input(super::Input::Disconnected { connection: AGENT });
    for offer in [&first, &second] {
        let rescinds = |event: &&SchedulerEvent| matches!(event, SchedulerEvent::Rescind(offers) if offers.contains(&offer.id));
        assert!(events(&out).iter().any(rescinds));
    }
}
