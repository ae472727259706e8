//! Whole deployments, driven by hand: what the service wants done is answered with states of tasks.

use std::time::Duration;

use apportion::protocol::TaskState;
use apportion::spec::Document;
use proptest::prelude::*;

use super::*;

/// A service and its tasks, by number: version and whether it is on an agent, ready, or asked to stop.
struct World {
    service: Service,
    now: Time,
    tasks: BTreeMap<u64, (u32, TaskState, bool)>,
    launched: Vec<(u32, u64)>,
}

fn spec(cmd: &str, replicas: u32, rest: &str) -> ServiceSpec {
    let text = format!(
        "schema = 1\nkind = 'service'\nid = '/shop/web'\nrole = 'shop'\nreplicas = {replicas}\n[task]\ncmd = ['{cmd}']\n{rest}"
    );
    ServiceSpec::parse(&Document::new("web.toml", text)).unwrap()
}

impl World {
    fn new(spec: ServiceSpec) -> Self {
        let service = Service::new(Time::ZERO, spec, Numbers { version: 1, instance: 1 });
        let mut world = World { service, now: Time::ZERO, tasks: BTreeMap::new(), launched: Vec::new() };
        world.step();
        world
    }

    /// Lets the service plan until it plans nothing more.
    fn step(&mut self) {
        loop {
            let mut actions = Vec::new();
            self.service.advance(self.now, &mut actions);
            if actions.is_empty() {
                return;
            }
            for action in actions {
                match action {
                    Action::Launch { version, number } => {
                        self.launched.push((version, number));
                        let before = self.tasks.insert(number, (version, TaskState::Staging, false));
                        assert_eq!(before, None, "a number came again");
                    }
                    Action::Stop { number, .. } => {
                        if let Some((_, state, ready)) = self.tasks.get_mut(&number) {
                            (*state, *ready) = (TaskState::Killing, false);
                        }
                        if self.service.instances.get(number).is_none() {
                            self.tasks.remove(&number);
                        }
                    }
                }
            }
        }
    }

    fn tell(&mut self, number: u64, state: TaskState, ready: bool) {
        let Some(task) = self.tasks.get_mut(&number) else { return };
        let id = TaskId::new(self.service.task_name(task.0, number)).unwrap();
        (task.1, task.2) = (state, ready);
        let mut status = TaskStatus::new(id, state, self.now);
        status.ready = ready;
        let version = task.0;
        self.service.update(self.now, number, &status);
        if !self.service.has_instance(version, number) {
            // Should it come back, the framework stops it.
            self.tasks.remove(&number);
        }
    }

    fn numbers(&self, wanted: impl Fn(&(u32, TaskState, bool)) -> bool) -> Vec<u64> {
        self.tasks.iter().filter(|(_, task)| wanted(task)).map(|(number, _)| *number).collect()
    }

    /// What was launched of a version that works becomes ready; what was asked to stop ends; then time passes.
    fn settle(&mut self, works: impl Fn(u32) -> bool, seconds: u64) {
        for number in self.numbers(|task| task.1 == TaskState::Staging) {
            let version = self.tasks[&number].0;
            self.tell(number, TaskState::Running, works(version));
        }
        for number in self.numbers(|task| task.1 == TaskState::Killing) {
            self.tell(number, TaskState::Killed, false);
        }
        self.step();
        self.now = self.now + Duration::from_secs(seconds);
        self.step();
    }

    fn versions(&self) -> Vec<u32> {
        self.tasks.values().map(|task| task.0).collect()
    }

    fn ready(&self) -> u32 {
        self.numbers(|task| task.2).len() as u32
    }
}

#[test]
fn a_service_comes_up_and_is_scaled() {
    let mut world = World::new(spec("a", 3, ""));
    assert_eq!(world.launched, [(1, 1), (1, 2), (1, 3)]);
    assert_eq!(world.service.task_name(1, 3), "shop.web-v1-3");
    world.settle(|_| true, 9);
    assert_eq!(world.service.phase(), Phase::Progressing);
    world.settle(|_| true, 1);
    assert_eq!(world.service.phase(), Phase::Succeeded);

    world.service.scale(world.now, 5);
    world.step();
    assert_eq!(world.service.phase(), Phase::Progressing);
    assert_eq!(world.launched.len(), 5);
    world.tell(4, TaskState::Running, true);
    world.tell(2, TaskState::Running, false);
    // First what is not ready, the youngest of it first; then the youngest.
    world.service.scale(world.now, 2);
    world.step();
    assert_eq!(world.numbers(|task| task.1 == TaskState::Killing), [2, 4, 5]);
    world.settle(|_| true, 10);
    assert_eq!((world.service.phase(), world.versions()), (Phase::Succeeded, vec![1, 1]));
}

#[test]
fn an_agent_that_will_be_away_is_left_for_another_first() {
    let mut world = World::new(spec("a", 3, ""));
    world.settle(|_| true, 10);
    let agent: AgentId = "a2".parse().unwrap();
    let here = TaskStatus {
        agent: Some(agent.clone()),
        ready: true,
        ..TaskStatus::new(TaskId::new(world.service.task_name(1, 2)).unwrap(), TaskState::Running, world.now)
    };
    world.service.update(world.now, 2, &here);
    assert!(world.service.leave(&agent) && !world.service.leave(&"a3".parse().unwrap()));
    world.step();
    assert_eq!((world.launched.len(), world.ready()), (4, 3), "it serves until the other does");
    for _ in 0..3 {
        world.settle(|_| true, 10);
    }
    assert_eq!(world.tasks.keys().copied().collect::<Vec<_>>(), [1, 3, 4]);
    assert_eq!(world.service.phase(), Phase::Succeeded);
}

#[test]
fn the_same_spec_changes_nothing() {
    let mut world = World::new(spec("a", 2, ""));
    world.settle(|_| true, 10);
    world.service.apply(world.now, spec("a", 2, ""));
    world.step();
    assert_eq!((world.service.phase(), world.service.version()), (Phase::Succeeded, 1));
    // Neither does another policy, for what runs.
    world.service.apply(world.now, spec("a", 3, "[update]\nmax_surge = 3"));
    world.step();
    assert_eq!((world.service.version(), world.launched.len()), (1, 3));
}

#[test]
fn a_new_version_replaces_the_old_one() {
    let mut world = World::new(spec("a", 4, ""));
    world.settle(|_| true, 10);
    world.service.apply(world.now, spec("b", 4, ""));
    world.step();
    // A quarter more of four is one.
    assert_eq!(world.versions(), [1, 1, 1, 1, 2]);
    for _ in 0..20 {
        world.settle(|_| true, 10);
    }
    assert_eq!((world.service.phase(), world.versions()), (Phase::Succeeded, vec![2, 2, 2, 2]));
    assert!(world.service.versions.len() == 2, "the version before is remembered");
    assert_eq!(world.service.roll_back(world.now), Some(1));
    for _ in 0..20 {
        world.settle(|_| true, 10);
    }
    assert_eq!((world.service.phase(), world.versions()), (Phase::RolledBack, vec![1, 1, 1, 1]));
}

#[test]
fn what_gets_no_further_goes_back_and_stops_nothing_that_works() {
    let mut world = World::new(spec("a", 4, "[update]\nmax_surge = 2\nmax_unavailable = 1\ndeadline = '1m'"));
    world.settle(|_| true, 10);
    let old = world.numbers(|task| task.2);
    world
        .service
        .apply(world.now, spec("b", 4, "[update]\nmax_surge = 2\nmax_unavailable = 1\ndeadline = '1m'"));
    world.step();
    world.settle(|version| version == 1, 1);
    let kept = world.numbers(|task| task.2);
    assert_eq!((kept.len(), &old[..3]), (3, &kept[..]), "one may be missing, the youngest");
    for _ in 0..61 {
        world.settle(|version| version == 1, 1);
    }
    assert_eq!((world.service.phase(), world.service.version()), (Phase::RollingBack, 1));
    for _ in 0..20 {
        world.settle(|version| version == 1, 1);
        assert!(kept.iter().all(|number| world.tasks[number].2));
    }
    assert_eq!((world.service.phase(), world.versions()), (Phase::RolledBack, vec![1; 4]));
    assert!(world.service.verdict().1.starts_with("back at version 1"));
}

#[test]
fn what_gets_no_further_pauses_if_that_is_wanted() {
    let update = "[update]\ndeadline = '1m'\non_failure = 'pause'";
    let mut world = World::new(spec("a", 4, update));
    world.settle(|_| true, 10);
    world.service.apply(world.now, spec("b", 4, update));
    for _ in 0..65 {
        world.settle(|version| version == 1, 1);
    }
    assert_eq!((world.service.phase(), world.versions()), (Phase::Paused, vec![1, 1, 1, 1, 2]));
    world.tell(1, TaskState::Lost, false);
    world.tell(2, TaskState::Lost, false);
    world.step();
    assert_eq!(world.versions(), [1, 1, 2, 1], "missing ones are of the version that works");
    world.service.apply(world.now, spec("b", 4, update));
    for _ in 0..100 {
        world.settle(|_| true, 1);
        for number in world.numbers(|task| task.1 == TaskState::Running && !task.2) {
            world.tell(number, TaskState::Running, true);
        }
    }
    assert_eq!((world.service.phase(), world.versions()), (Phase::Succeeded, vec![2; 4]));
}

#[test]
fn what_crashes_is_launched_ever_less_often() {
    let mut world = World::new(spec("a", 1, ""));
    let mut gaps = Vec::new();
    for number in 1..60 {
        assert_eq!(world.launched.len(), number);
        world.tell(number as u64, TaskState::Failed, false);
        world.step();
        let until = world.service.progress(world.now, false).backoff_until.unwrap();
        assert!(world.service.next_deadline(world.now).unwrap() <= until);
        gaps.push(until.since(world.now).as_millis());
        world.now = until;
        world.step();
    }
    assert_eq!(gaps[..3], [1000, 1150, 1322]);
    assert_eq!(gaps[58], 300_000);
    assert_eq!(world.service.phase(), Phase::Failed);
    assert_eq!(world.service.progress(world.now, false).failures, 59);
    world.settle(|_| true, 10);
    assert_eq!(world.service.phase(), Phase::Succeeded);
}

#[test]
fn what_its_checks_stopped_has_failed_and_what_we_stopped_has_not() {
    let mut world = World::new(spec("a", 2, ""));
    world.settle(|_| true, 10);
    world.tell(1, TaskState::Killing, false);
    world.tell(1, TaskState::Failed, false);
    world.step();
    assert_eq!((world.service.failures, world.launched.len()), (1, 2));
    world.now = world.now + Duration::from_secs(1);
    world.service.scale(world.now, 1);
    world.service.scale(world.now, 0);
    world.step();
    world.tell(2, TaskState::Failed, false);
    assert_eq!(world.service.failures, 1);
    // Somebody else stopped it: no failure either, and it is replaced at once.
    world.service.scale(world.now, 1);
    world.step();
    world.tell(3, TaskState::Killed, false);
    world.step();
    assert_eq!((world.service.failures, world.launched.len()), (1, 4));
}

#[test]
fn what_the_platform_lost_is_replaced_at_once() {
    let mut world = World::new(spec("a", 2, ""));
    world.settle(|_| true, 10);
    for (number, state) in [(1, TaskState::Lost), (2, TaskState::Gone), (3, TaskState::Dropped)] {
        world.tell(number, state, false);
        world.step();
    }
    assert_eq!(world.numbers(|_| true), [4, 5]);
    world.settle(|_| true, 10);
    world.tell(4, TaskState::Unreachable, false);
    world.now = world.now + Duration::from_secs(299);
    world.step();
    assert_eq!(world.launched.len(), 5);
    world.now = world.now + Duration::from_secs(1);
    world.step();
    assert_eq!(world.launched.len(), 6);
}

#[test]
fn stopping_ends_with_nothing_left() {
    let mut world = World::new(spec("a", 2, ""));
    world.settle(|_| true, 10);
    world.service.stop();
    world.step();
    assert!(!world.service.is_gone());
    world.settle(|_| true, 0);
    assert!(world.service.is_gone());
}

#[derive(Clone, Debug)]
enum Event {
    Ready(usize, bool),
    End(usize, TaskState),
    Stopped(usize),
    Pass(u64),
    Apply(u8, u32),
}

fn event() -> impl Strategy<Value = Event> {
    use TaskState::*;
    let end =
        prop_oneof![Just(Failed), Just(Finished), Just(Lost), Just(Killed), Just(Error), Just(Unreachable)];
    prop_oneof![
        12 => (any::<usize>(), prop::bool::weighted(0.85)).prop_map(|(at, ready)| Event::Ready(at, ready)),
        2 => (any::<usize>(), end).prop_map(|(at, state)| Event::End(at, state)),
        6 => any::<usize>().prop_map(Event::Stopped),
        6 => (0..20_u64).prop_map(Event::Pass),
        1 => (60..400_u64).prop_map(Event::Pass),
        1 => (0..3_u8, 0..9_u32).prop_map(|(cmd, replicas)| Event::Apply(cmd, replicas)),
    ]
}

proptest! {
    /// Whatever instances do: our own actions never bring ready ones below the floor nor all of them above the ceiling.
    #[test]
    fn limits_hold_on_every_step(
        surge in 0..4_u32,
        unavailable in 0..4_u32,
        is_paused: bool,
        events in prop::collection::vec(event(), 1..150),
    ) {
        let surge = if unavailable == 0 { surge.max(1) } else { surge };
        let on_failure = if is_paused { "pause" } else { "rollback" };
        let rest = format!(
            "[update]\nmax_surge = {surge}\nmax_unavailable = {unavailable}\ndeadline = '1m'\non_failure = '{on_failure}'"
        );
        let mut world = World::new(spec("0", 4, &rest));
        let mut replicas = 4;
        for event in events {
            match event {
                Event::Ready(at, ready) => {
                    let up = world.numbers(|task| task.1 != TaskState::Killing);
                    if !up.is_empty() {
                        world.tell(up[at % up.len()], TaskState::Running, ready);
                    }
                }
                Event::End(at, state) => {
                    let all = world.numbers(|_| true);
                    if !all.is_empty() {
                        world.tell(all[at % all.len()], state, false);
                    }
                }
                Event::Stopped(at) => {
                    let stopping = world.numbers(|task| task.1 == TaskState::Killing);
                    if !stopping.is_empty() {
                        world.tell(stopping[at % stopping.len()], TaskState::Killed, false);
                    }
                }
                Event::Pass(seconds) => world.now = world.now + Duration::from_secs(seconds),
                Event::Apply(cmd, wanted) => {
                    replicas = wanted;
                    world.service.apply(world.now, spec(&cmd.to_string(), replicas, &rest));
                }
            }
            let (_, allowed) = world.service.spec.update.limits(replicas);
            let floor = replicas.saturating_sub(allowed).min(world.ready());
            let launched = world.launched.len();
            world.step();
            prop_assert!(world.ready() >= floor, "{} ready of at least {floor}", world.ready());
            if world.launched.len() > launched {
                let existing = world.service.instances.iter().count() as u32;
                prop_assert!(existing <= replicas + surge, "{existing} instances of at most {}", replicas + surge);
            }
        }
        // When all works from here on, it ends well.
        for _ in 0..200 {
            world.settle(|_| true, 10);
            for number in world.numbers(|task| task.1 != TaskState::Killing && !task.2) {
                world.tell(number, TaskState::Running, true);
            }
        }
        if world.service.phase() == Phase::Paused {
            world.service.apply(world.now, world.service.versions[&world.service.version()].spec.clone());
            replicas = world.service.spec.replicas;
            for _ in 0..200 {
                world.settle(|_| true, 10);
            }
        }
        prop_assert!(matches!(world.service.phase(), Phase::Succeeded | Phase::RolledBack), "{}", world.service.phase());
        prop_assert_eq!(world.ready(), replicas);
    }
}
