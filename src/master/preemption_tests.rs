//! Preemption, from the framework that has had too little for too long to the task that makes room for it.

use std::time::Duration;

use super::tests::{AGENT, FRAMEWORK, World, agent_events, events, offers, task, updates};
use super::{Input, Master, Output};
use crate::allocator::{DrfAllocator, DrfOptions, PreemptionOptions, PreemptionPolicy};
use crate::protocol::{
    AgentCall, AgentEvent, AgentId, ConnectionId, DemandGroup, FrameworkInfo, IdentityKind, Operation,
    PreemptionNotice, Reason, SchedulerCall, SchedulerEvent, TaskState, TaskStatus, UpdateNumber,
};
use crate::time::Time;

const HUNGRY: ConnectionId = ConnectionId(9);

/// A framework that has all of the agent's 4 cpus in two tasks, and another that waits for one.
fn full() -> World {
    let preemption =
        PreemptionOptions { policy: PreemptionPolicy::FairShare, ..PreemptionOptions::default() };
    let allocator = DrfAllocator::new(DrfOptions { preemption, ..DrfOptions::default() });
    let mut world = World { master: Master::new(allocator).without_pings(), now: Time::from_secs(1000) };
    world.agent_registers(AGENT, Vec::new());
    let offer = offers(&mut world.framework_subscribes(FRAMEWORK, Duration::ZERO)).pop().unwrap();
    let mut important = task("t1", 2000, 2000);
    important.priority = 1;
    let operations = vec![Operation::Launch(important), Operation::Launch(task("t2", 2000, 2000))];
    let refuse = Duration::from_secs(3600);
    world.call(FRAMEWORK, SchedulerCall::Accept { offers: vec![offer.id], operations, refuse });
    world.connect(HUNGRY, IdentityKind::Framework, "f2");
    let framework = FrameworkInfo::new("f2", "db".parse().unwrap());
    world.call(HUNGRY, SchedulerCall::Subscribe { framework: Box::new(framework), suppressed: Vec::new() });
    wait_for(&mut world, 1);
    world
}

fn wait_for(world: &mut World, tasks: u32) -> Vec<Output> {
    let demand = Some(vec![DemandGroup::new(tasks, "cpus:1".parse().unwrap())]);
    world.call(HUNGRY, SchedulerCall::SetDemand { role: "db".parse().unwrap(), demand })
}

fn notices(out: &[Output]) -> Vec<PreemptionNotice> {
    let notice = |event: &SchedulerEvent| match event {
        SchedulerEvent::Preemption(notice) => Some(notice.clone()),
        _ => None,
    };
    events(out).into_iter().filter_map(notice).collect()
}

fn kills(out: &[Output]) -> usize {
    agent_events(out).iter().filter(|event| matches!(event, AgentEvent::Kill { .. })).count()
}

#[test]
fn a_task_is_warned_then_stopped_and_its_room_offered_to_whom_it_is_made_for() {
    let mut world = full();
    assert_eq!(notices(&world.pass(Duration::from_secs(59))), []);
    let warned = world.pass(Duration::from_secs(1));
    let notice = PreemptionNotice {
        task: "t2".parse().unwrap(),
        agent: "a1".parse().unwrap(),
        role: "db".parse().unwrap(),
        deadline: world.now + Duration::from_secs(30),
    };
    assert_eq!((notices(&warned), kills(&warned)), (vec![notice], 0));
    assert_eq!(kills(&world.pass(Duration::from_secs(29))), 0);
    assert_eq!(kills(&world.pass(Duration::from_secs(1))), 1);
    let status = TaskStatus {
        number: Some(UpdateNumber(1)),
        agent: Some(AgentId::new("a1").unwrap()),
        ..TaskStatus::new("t2".parse().unwrap(), TaskState::Killed, world.now)
    };
    let (framework, latest) = ("f1".parse().unwrap(), TaskState::Killed);
    let mut ended = world
        .input(Input::Agent { connection: AGENT, call: AgentCall::Update { framework, status, latest } });
    assert_eq!(updates(&ended), [(TaskState::Killed, Some(Reason::Preempted))]);
    let offered = offers(&mut ended).pop().unwrap();
    assert_eq!(offered.role, "db".parse().unwrap());
    assert!(offered.resources.contains(&"cpus:2".parse().unwrap()));
}

#[test]
fn a_task_is_spared_when_nobody_waits_for_its_room_any_more() {
    let mut world = full();
    assert_eq!(notices(&world.pass(Duration::from_secs(60))).len(), 1);
    wait_for(&mut world, 0);
    let out = world.pass(Duration::from_secs(30));
    assert_eq!(kills(&out), 0);
    let spared = SchedulerEvent::PreemptionCancelled("t2".parse().unwrap());
    assert!(events(&out).contains(&&spared), "{out:?}");
}
