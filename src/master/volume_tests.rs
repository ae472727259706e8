//! Persistent volumes, from the framework that makes them to the agent that removes them.

use std::time::Duration;

use super::tests::{AGENT, FRAMEWORK, World, agent_events, events, offers, task};
use super::{Input, Output};
use crate::protocol::{
    AgentCall, AgentEvent, AgentInfo, Capabilities, Capability, ConnectionId, FrameworkInfo, IdentityKind,
    OfferInfo, Operation, SchedulerCall, SchedulerEvent, TaskInfo,
};
use crate::resources::Resources;

const SHARED: &str = "disk(eng)[v1:data]<SHARED>:64";

fn parsed(text: &str) -> Resources {
    text.parse().unwrap()
}

fn registers(world: &mut World, connection: ConnectionId) -> Vec<Output> {
    world.connect(connection, IdentityKind::Agent, "a1");
    let info = AgentInfo::new("host1", parsed("cpus:4;mem:1024;disk(eng):256"));
    let call = AgentCall::Register { info, tasks: Vec::new(), executors: Vec::new() };
    world.input(Input::Agent { connection, call })
}

fn subscribes(world: &mut World) -> Vec<Output> {
    world.connect(FRAMEWORK, IdentityKind::Framework, "f1");
    let mut framework = FrameworkInfo::new("f1", "eng".parse().unwrap());
    framework.capabilities = Capabilities::USUAL.with(Capability::SharedResources);
    world.call(FRAMEWORK, SchedulerCall::Subscribe { framework: Box::new(framework), suppressed: Vec::new() })
}

/// An agent with reserved disk, all of it offered to a framework.
fn scene() -> (World, OfferInfo) {
    let mut world = World::new();
    registers(&mut world, AGENT);
    let offer = offers(&mut subscribes(&mut world)).pop().unwrap();
    (world, offer)
}

/// The framework accepts, and wants the rest at once.
fn accept(world: &mut World, offer: &OfferInfo, operations: Vec<Operation>) -> Vec<Output> {
    let call = SchedulerCall::Accept { offers: vec![offer.id], operations, refuse: Duration::ZERO };
    world.call(FRAMEWORK, call)
}

fn create(volumes: &str) -> Operation {
    Operation::CreateVolumes { volumes: parsed(volumes) }
}

fn destroy(volumes: &str) -> Operation {
    Operation::DestroyVolumes { volumes: parsed(volumes) }
}

fn using(id: &str, volume: &str) -> TaskInfo {
    let info = task(id, 100, 32);
    TaskInfo { resources: info.resources.clone() + &parsed(volume), ..info }
}

fn kept(out: &[Output]) -> Vec<Vec<String>> {
    let kept = agent_events(out).into_iter().filter_map(|event| match event {
        AgentEvent::KeepVolumes(volumes) => Some(volumes),
        _ => None,
    });
    kept.map(|volumes| volumes.iter().map(|name| format!("{}/{}", name.role, name.id)).collect()).collect()
}

fn refusal(out: &[Output]) -> String {
    let error = events(out).into_iter().find_map(|event| match event {
        SchedulerEvent::Error(error) => Some(error.clone()),
        _ => None,
    });
    error.expect("a refusal")
}

#[test]
fn volumes_are_offered_as_such_and_destroyed_are_disk_again() {
    let (mut world, offer) = scene();
    let volume = "disk(eng)[v1:data]:64";
    let mut out = accept(&mut world, &offer, vec![create(volume)]);
    assert!(kept(&out).is_empty(), "nothing is removed");
    let offer = offers(&mut out).pop().unwrap();
    assert_eq!(offer.resources, parsed("cpus:4;mem:1024;disk(eng):192;disk(eng)[v1:data]:64"));
    let mut out = accept(&mut world, &offer, vec![destroy(volume)]);
    assert_eq!(kept(&out), [Vec::<String>::new()]);
    assert_eq!(offers(&mut out).pop().unwrap().resources, parsed("cpus:4;mem:1024;disk(eng):256"));
}

#[test]
fn a_name_is_given_once_and_again_when_it_is_free() {
    let (mut world, offer) = scene();
    let mut out = accept(&mut world, &offer, vec![create("disk(eng)[v1:a]:64")]);
    let offer = offers(&mut out).pop().unwrap();
    let mut out = accept(&mut world, &offer, vec![create("disk(eng)[v1:b]:32")]);
    assert_eq!(refusal(&out), "the agent has a volume 'v1' of role eng already");
    let offer = offers(&mut out).pop().unwrap();
    let twice = vec![create("disk(eng)[v2:a]:32"), create("disk(eng)[v2:b]:32")];
    let mut out = accept(&mut world, &offer, twice);
    assert_eq!(refusal(&out), "the agent has a volume 'v2' of role eng already");
    let offer = offers(&mut out).pop().unwrap();
    let anew = vec![destroy("disk(eng)[v1:a]:64"), create("disk(eng)[v1:a]:32")];
    let out = accept(&mut world, &offer, anew);
    assert_eq!(kept(&out), [Vec::<String>::new()], "the new one begins empty");
    let out = accept(&mut world, &offer, vec![create("disk(eng):32")]);
    assert!(!refusal(&out).is_empty());
}

#[test]
fn what_a_task_uses_is_not_destroyed_and_offers_of_what_is_destroyed_are_taken_back() {
    let (mut world, offer) = scene();
    let operations = vec![create(SHARED), Operation::Launch(using("t1", SHARED))];
    let mut out = accept(&mut world, &offer, operations);
    let offer = offers(&mut out).pop().expect("copies of it are there for others");
    let mut out = accept(&mut world, &offer, vec![destroy(SHARED)]);
    assert_eq!(refusal(&out), "volume 'v1' of role eng is in use");
    assert!(kept(&out).is_empty());
    assert_eq!(offers(&mut out).len(), 1);
}

#[test]
fn an_agent_that_comes_back_removes_what_was_destroyed_while_it_was_away() {
    let (mut world, offer) = scene();
    accept(&mut world, &offer, vec![create("disk(eng)[v1:a]:64"), create("disk(eng)[v2:a]:64")]);
    assert_eq!(kept(&registers(&mut world, ConnectionId(20))), [["eng/v1", "eng/v2"]]);
    let mut unknown = World::new();
    assert!(kept(&registers(&mut unknown, AGENT)).is_empty(), "a master that knows of none has none removed");
}
