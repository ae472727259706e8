//! The master's behaviour, as scenarios.

use std::collections::BTreeMap;
use std::time::Duration;

use super::agents::HELD_BYTES_AT_MOST;
use super::{
    AGENT_PING_INTERVAL, AGENT_PING_LIMIT, AGENT_REMOVAL_BURST, AGENT_REMOVAL_INTERVAL, Input, Master,
    Output, QUESTIONS_PENDING, UNACKNOWLEDGED_ENDS, UNREACHABLE_AGENT_MAX_AGE,
};
use crate::allocator::DrfAllocator;
use crate::protocol::operator::OperatorRequest;
use crate::protocol::{
    AgentCall, AgentEvent, AgentId, AgentInfo, Command, CommandInfo, ConnectionId, DemandGroup, ExecutorId,
    ExecutorInfo, Exit, FrameworkInfo, HeldExecutor, HeldTask, Identity, IdentityKind, MAX_TASK_BYTES,
    Obstacle, OfferInfo, Operation, OperatorCall, OperatorEvent, Reason, RequestId, SchedulerCall,
    SchedulerEvent, TaskId, TaskInfo, TaskState, TaskStatus, UpdateNumber, Work,
};
use crate::resources::{Resources, Role};
use crate::time::Time;

pub(super) const AGENT: ConnectionId = ConnectionId(1);
pub(super) const FRAMEWORK: ConnectionId = ConnectionId(2);
pub(super) const OPERATOR: ConnectionId = ConnectionId(3);

/// A master with its peers played by the test.
pub(super) struct World {
    pub(super) master: Master,
    pub(super) now: Time,
}

impl World {
    pub(super) fn new() -> Self {
        World { master: Master::new(DrfAllocator::default()), now: Time::from_secs(1000) }
    }

    /// With one agent of 4 cpus and 4096 MiB, and one framework that has its offer.
    fn with_offer() -> (Self, OfferInfo) {
        let mut world = World::new();
        world.agent_registers(AGENT, Vec::new());
        let mut out = world.framework_subscribes(FRAMEWORK, Duration::ZERO);
        let offer = offers(&mut out).pop().expect("an offer");
        (world, offer)
    }

    pub(super) fn input(&mut self, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        self.master.handle(self.now, input, &mut out);
        if self.master.next_deadline().is_some_and(|deadline| deadline <= self.now) {
            self.master.handle(self.now, Input::Tick, &mut out);
        }
        out
    }

    pub(super) fn pass(&mut self, delay: Duration) -> Vec<Output> {
        self.now = self.now + delay;
        self.input(Input::Tick)
    }

    pub(super) fn connect(
        &mut self,
        connection: ConnectionId,
        kind: IdentityKind,
        name: &str,
    ) -> Vec<Output> {
        let peer = Identity::new("test", kind, name).unwrap();
        self.input(Input::Connected { connection, peer })
    }

    pub(super) fn agent_registers(&mut self, connection: ConnectionId, tasks: Vec<HeldTask>) -> Vec<Output> {
        self.agent_registers_as(connection, "a1", tasks)
    }

    pub(super) fn agent_registers_as(
        &mut self,
        connection: ConnectionId,
        name: &str,
        tasks: Vec<HeldTask>,
    ) -> Vec<Output> {
        self.agent_registers_with(connection, name, tasks, Vec::new())
    }

    fn agent_registers_with(
        &mut self,
        connection: ConnectionId,
        name: &str,
        tasks: Vec<HeldTask>,
        executors: Vec<HeldExecutor>,
    ) -> Vec<Output> {
        self.connect(connection, IdentityKind::Agent, name);
        let info = AgentInfo::new("host1", Resources::cpus_mem(4000, 4096));
        self.input(Input::Agent { connection, call: AgentCall::Register { info, tasks, executors } })
    }

    /// The agent is away until it counts as unreachable; what its framework is told.
    fn agent_goes_silent(&mut self) -> Vec<(TaskState, Option<Reason>)> {
        self.input(Input::Disconnected { connection: AGENT });
        (0..=AGENT_PING_LIMIT.get()).flat_map(|_| updates(&self.pass(AGENT_PING_INTERVAL))).collect()
    }

    pub(super) fn framework_subscribes(
        &mut self,
        connection: ConnectionId,
        failover: Duration,
    ) -> Vec<Output> {
        self.connect(connection, IdentityKind::Framework, "f1");
        let framework = FrameworkInfo::new("f1", role()).with_failover_timeout(failover);
        self.call(
            connection,
            SchedulerCall::Subscribe { framework: Box::new(framework), suppressed: Vec::new() },
        )
    }

    pub(super) fn call(&mut self, connection: ConnectionId, call: SchedulerCall) -> Vec<Output> {
        self.input(Input::Scheduler { connection, call })
    }

    fn launch(&mut self, offer: &OfferInfo, tasks: Vec<TaskInfo>) -> Vec<Output> {
        let operations = tasks.into_iter().map(Operation::Launch).collect();
        self.call(
            FRAMEWORK,
            SchedulerCall::Accept { offers: vec![offer.id], operations, refuse: Duration::from_secs(5) },
        )
    }

    fn update(&mut self, connection: ConnectionId, state: TaskState, number: u32) -> Vec<Output> {
        let mut status = status("t1", state, number);
        if state == TaskState::Finished {
            status.reason = Some(Reason::Exited(Exit::Code(0)));
        }
        let framework = "f1".parse().unwrap();
        self.input(Input::Agent { connection, call: AgentCall::Update { framework, status, latest: state } })
    }
}

pub(super) fn role() -> Role {
    "web".parse().unwrap()
}

fn task_id(id: &str) -> TaskId {
    TaskId::new(id).unwrap()
}

pub(super) fn task(id: &str, cpus_milli: u32, mem_mib: u32) -> TaskInfo {
    let command = CommandInfo::new(Command::Argv(vec!["true".to_owned()]));
    TaskInfo::new(task_id(id), Resources::cpus_mem(cpus_milli, mem_mib), Work::Command(command.into()))
}

fn status(id: &str, state: TaskState, number: u32) -> TaskStatus {
    let agent = Some(AgentId::new("a1").unwrap());
    TaskStatus {
        number: Some(UpdateNumber(number)),
        agent,
        ..TaskStatus::new(task_id(id), state, Time::ZERO)
    }
}

pub(super) fn held(task: TaskInfo, state: TaskState, number: u32) -> HeldTask {
    let status = status(task.id.as_str(), state, number);
    HeldTask { framework: "f1".parse().unwrap(), role: role(), task, status }
}

pub(super) fn events(out: &[Output]) -> Vec<&SchedulerEvent> {
    out.iter()
        .filter_map(|output| match output {
            Output::ToScheduler { event, .. } => Some(event),
            _ => None,
        })
        .collect()
}

pub(super) fn agent_events(out: &[Output]) -> Vec<&AgentEvent> {
    out.iter()
        .filter_map(|output| match output {
            Output::ToAgent { event, .. } => Some(event),
            _ => None,
        })
        .collect()
}

pub(super) fn offers(out: &mut [Output]) -> Vec<OfferInfo> {
    events(out)
        .into_iter()
        .filter_map(|event| match event {
            SchedulerEvent::Offers(offers) => Some(offers.clone()),
            _ => None,
        })
        .flatten()
        .collect()
}

pub(super) fn updates(out: &[Output]) -> Vec<(TaskState, Option<Reason>)> {
    events(out)
        .into_iter()
        .filter_map(|event| match event {
            SchedulerEvent::Update(status) => Some((status.state, status.reason.clone())),
            _ => None,
        })
        .collect()
}

#[test]
fn a_task_lives_from_offer_to_acknowledged_end() {
    let (mut world, offer) = World::with_offer();
    assert_eq!(offer.resources, Resources::cpus_mem(4000, 4096));

    let out = world.launch(&offer, vec![task("t1", 1000, 1024)]);
    assert!(matches!(agent_events(&out)[..], [AgentEvent::Launch { .. }]));
    assert_eq!(world.master.cluster_state(world.now).agents[0].allocated, Resources::cpus_mem(1000, 1024));

    let out = world.update(AGENT, TaskState::Running, 1);
    assert_eq!(updates(&out), [(TaskState::Running, None)]);
    let mut out = world.update(AGENT, TaskState::Finished, 2);
    assert_eq!(updates(&out), [(TaskState::Finished, Some(Reason::Exited(Exit::Code(0))))]);
    let freed = offers(&mut out);
    assert_eq!(freed.len(), 1, "freed resources are offered at once: more than what was refused");

    let acknowledge =
        SchedulerCall::Acknowledge { task: task_id("t1"), agent: offer.agent, number: UpdateNumber(2) };
    let out = world.call(FRAMEWORK, acknowledge);
    assert!(matches!(agent_events(&out)[..], [AgentEvent::Acknowledge { number: UpdateNumber(2), .. }]));
    let state = world.master.cluster_state(world.now);
    assert_eq!(state.frameworks[0].tasks_finished, 1);
    assert_eq!(state.agents[0].allocated, Resources::new());
}

#[test]
fn an_accept_is_applied_whole_or_not_at_all() {
    let (mut world, offer) = World::with_offer();
    let out = world.launch(&offer, vec![task("t1", 1000, 1024), task("t2", 4000, 1024)]);
    assert!(agent_events(&out).is_empty());
    assert_eq!(updates(&out), vec![(TaskState::Error, Some(Reason::Invalid)); 2]);
    assert_eq!(world.master.cluster_state(world.now).agents[0].allocated, Resources::new());
}

#[test]
fn an_offer_is_used_once() {
    let (mut world, offer) = World::with_offer();
    world.launch(&offer, vec![task("t1", 1000, 1024)]);
    let out = world.launch(&offer, vec![task("t2", 1000, 1024)]);
    assert_eq!(updates(&out), [(TaskState::Dropped, Some(Reason::InvalidOffer))]);
}

#[test]
fn offers_are_rescinded_when_their_agent_disconnects() {
    let (mut world, offer) = World::with_offer();
    let out = world.input(Input::Disconnected { connection: AGENT });
    assert!(events(&out).contains(&&SchedulerEvent::Rescind(vec![offer.id])));
}

#[test]
fn an_agent_that_stays_away_is_unreachable_and_its_tasks_come_back_with_it() {
    let (mut world, offer) = World::with_offer();
    world.launch(&offer, vec![task("t1", 1000, 1024)]);
    world.update(AGENT, TaskState::Running, 1);
    assert_eq!(world.agent_goes_silent(), [(TaskState::Unreachable, Some(Reason::AgentUnreachable))]);

    let held = held(task("t1", 1000, 1024), TaskState::Running, 1);
    let out = world.agent_registers(ConnectionId(9), vec![held]);
    assert_eq!(updates(&out), [(TaskState::Running, None)], "its scheduler believes it unreachable");
    assert_eq!(world.master.cluster_state(world.now).agents[0].allocated, Resources::cpus_mem(1000, 1024));
}

#[test]
fn a_scheduler_is_not_told_again_what_it_knows_when_an_agent_reconnects() {
    let (mut world, offer) = World::with_offer();
    world.launch(&offer, vec![task("t1", 1000, 1024)]);
    world.update(AGENT, TaskState::Running, 1);
    world.input(Input::Disconnected { connection: AGENT });
    let held = held(task("t1", 1000, 1024), TaskState::Running, 1);
    assert_eq!(updates(&world.agent_registers(ConnectionId(9), vec![held])), []);
}

#[test]
fn a_scheduler_hears_of_its_tasks_from_a_master_that_is_told_of_them_after_it_subscribed() {
    let mut world = World::new();
    world.framework_subscribes(FRAMEWORK, Duration::from_secs(60));
    let held = held(task("t1", 1000, 1024), TaskState::Running, 3);
    assert_eq!(updates(&world.agent_registers(AGENT, vec![held])), [(TaskState::Running, None)]);
}

#[test]
fn an_executor_takes_resources_until_it_has_ended_with_and_without_tasks() {
    let mut world = World::new();
    let executor: std::sync::Arc<_> = ExecutorInfo {
        id: ExecutorId::new("e1").unwrap(),
        command: Command::Argv(vec!["true".to_owned()]),
        env: BTreeMap::new(),
        resources: Resources::cpus_mem(1000, 1024),
    }
    .into();
    let work = Work::Custom { executor: executor.clone(), data: Vec::new() };
    let custom = |id| TaskInfo::new(task_id(id), Resources::cpus_mem(1000, 1024), work.clone());
    let ended = held(custom("t1"), TaskState::Finished, 2);
    let alive = vec![HeldExecutor { framework: "f1".parse().unwrap(), role: role(), executor }];
    world.agent_registers(AGENT, vec![ended.clone()]);
    let mut out = world.framework_subscribes(FRAMEWORK, Duration::from_secs(60));
    assert_eq!(offers(&mut out)[0].resources, Resources::cpus_mem(4000, 4096), "both have ended");
    world.input(Input::Disconnected { connection: AGENT });
    let again = ConnectionId(9);
    let mut out = world.agent_registers_with(again, "a1", vec![ended.clone()], alive.clone());
    assert_eq!(offers(&mut out)[0].resources, Resources::cpus_mem(3000, 3072), "it waits for tasks");
    world.input(Input::Disconnected { connection: again });
    let runs = held(custom("t2"), TaskState::Running, 1);
    let mut out = world.agent_registers_with(ConnectionId(10), "a1", vec![ended, runs], alive);
    assert_eq!(offers(&mut out)[0].resources, Resources::cpus_mem(2000, 2048), "the task and the executor");
}

#[test]
fn an_agent_that_is_unreachable_for_too_long_is_forgotten_with_its_tasks() {
    let (mut world, offer) = World::with_offer();
    world.launch(&offer, vec![task("t1", 1000, 1024)]);
    world.update(AGENT, TaskState::Running, 1);
    world.agent_goes_silent();
    assert_eq!(updates(&world.pass(UNREACHABLE_AGENT_MAX_AGE - Duration::from_secs(1))), []);
    let out = world.pass(Duration::from_secs(1));
    assert_eq!(updates(&out), [(TaskState::Unknown, Some(Reason::AgentGone))]);
    let state = world.master.cluster_state(world.now);
    assert!(state.agents.is_empty());
    assert_eq!(state.frameworks[0].tasks_active, 0);
    assert_eq!(world.master.next_deadline(), None, "nothing is left to wait for");
}

#[test]
fn a_network_that_fails_does_not_cost_the_cluster() {
    let mut world = World::new();
    let agents = u64::from(AGENT_REMOVAL_BURST) + 3;
    for number in 0..agents {
        world.agent_registers_as(ConnectionId(100 + number), &format!("a{number:02}"), Vec::new());
    }
    let connected = |world: &World| {
        world.master.cluster_state(world.now).agents.iter().filter(|agent| agent.connected).count()
    };
    for _ in 0..=AGENT_PING_LIMIT.get() {
        world.pass(AGENT_PING_INTERVAL);
    }
    assert_eq!(connected(&world), 3, "no more than the burst at once");
    let last = ConnectionId(100 + agents - 1);
    world.input(Input::Agent { connection: last, call: AgentCall::Pong });
    world.pass(AGENT_REMOVAL_INTERVAL);
    assert_eq!(connected(&world), 2);
    world.pass(AGENT_REMOVAL_INTERVAL);
    world.pass(AGENT_REMOVAL_INTERVAL);
    assert_eq!(connected(&world), 1, "the one that has answered stays");
}

#[test]
fn of_too_many_unreachable_agents_the_latest_are_kept() {
    let mut world = World::new();
    world.master.unreachable.keep(1);
    for (connection, name) in [(AGENT, "a1"), (ConnectionId(9), "a2")] {
        world.agent_registers_as(connection, name, Vec::new());
        world.input(Input::Disconnected { connection });
        for _ in 0..=AGENT_PING_LIMIT.get() {
            world.pass(AGENT_PING_INTERVAL);
        }
    }
    let known = world.master.cluster_state(world.now).agents;
    assert_eq!(known.iter().map(|agent| agent.id.as_str()).collect::<Vec<_>>(), ["a2"]);
}

#[test]
fn a_task_that_its_agent_never_got_is_dropped() {
    let (mut world, offer) = World::with_offer();
    world.launch(&offer, vec![task("t1", 1000, 1024)]);
    world.input(Input::Disconnected { connection: AGENT });
    let out = world.agent_registers(ConnectionId(9), Vec::new());
    assert_eq!(updates(&out), [(TaskState::Dropped, Some(Reason::AgentGone))]);
}

#[test]
fn a_task_that_ran_on_an_agent_that_comes_back_without_it_is_lost() {
    let (mut world, offer) = World::with_offer();
    world.launch(&offer, vec![task("t1", 1000, 1024)]);
    world.update(AGENT, TaskState::Running, 1);
    world.input(Input::Disconnected { connection: AGENT });
    let out = world.agent_registers(ConnectionId(9), Vec::new());
    assert_eq!(updates(&out), [(TaskState::Lost, Some(Reason::AgentGone))]);
}

#[test]
fn a_framework_without_failover_timeout_ends_with_its_connection() {
    let (mut world, offer) = World::with_offer();
    world.launch(&offer, vec![task("t1", 1000, 1024)]);
    let out = world.input(Input::Disconnected { connection: FRAMEWORK });
    assert!(agent_events(&out).iter().any(|event| matches!(event, AgentEvent::ShutdownFramework(_))));
    let allocated = |world: &World| world.master.cluster_state(world.now).agents[0].allocated.clone();
    assert_eq!(allocated(&world), Resources::cpus_mem(1000, 1024), "until the task has ended");
    let out = world.update(AGENT, TaskState::Killed, 1);
    assert!(matches!(agent_events(&out)[..], [AgentEvent::Acknowledge { .. }]), "nobody else does");
    assert_eq!(allocated(&world), Resources::new());
    assert!(world.master.cluster_state(world.now).frameworks.is_empty());
}

#[test]
fn a_framework_that_comes_back_in_time_keeps_its_tasks_and_hears_what_it_missed() {
    let mut world = World::new();
    world.agent_registers(AGENT, Vec::new());
    let mut out = world.framework_subscribes(FRAMEWORK, Duration::from_secs(60));
    let offer = offers(&mut out).pop().unwrap();
    world.launch(&offer, vec![task("t1", 1000, 1024)]);
    world.input(Input::Disconnected { connection: FRAMEWORK });
    world.update(AGENT, TaskState::Finished, 1);
    let out = world.framework_subscribes(ConnectionId(9), Duration::from_secs(60));
    assert!(
        events(&out).iter().any(|event| matches!(event, SchedulerEvent::Subscribed { resumed: true, .. }))
    );
    assert_eq!(updates(&out).len(), 1);
}

#[test]
fn killing_an_unknown_task_is_answered() {
    let (mut world, _) = World::with_offer();
    let out = world.call(FRAMEWORK, SchedulerCall::Kill { task: task_id("no"), stop: None });
    assert_eq!(updates(&out), [(TaskState::Unknown, Some(Reason::Reconciliation))]);
}

#[test]
fn nobody_says_that_a_task_is_unknown_that_an_absent_agent_may_have() {
    let (mut world, _) = World::with_offer();
    world.input(Input::Disconnected { connection: AGENT });
    let kill = SchedulerCall::Kill { task: task_id("t9"), stop: None };
    assert_eq!(updates(&world.call(FRAMEWORK, kill)), []);
}

#[test]
fn requests_are_relayed_and_answered_once_their_framework_is_gone() {
    let (mut world, _) = World::with_offer();
    world.connect(OPERATOR, IdentityKind::Operator, "me");
    let call = OperatorCall::Request { framework: "f1".parse().unwrap(), data: b"ask".to_vec() };
    let request = OperatorRequest { request: RequestId(7), call };
    let out = world.input(Input::Operator { connection: OPERATOR, request });
    let [SchedulerEvent::Request { request, data }] = events(&out)[..] else { panic!("{out:?}") };
    assert_eq!(data, b"ask");

    let reply = SchedulerCall::Reply { request: *request, data: b"yes".to_vec(), last: false };
    let out = world.call(FRAMEWORK, reply);
    let [Output::ToOperator { answer, .. }] = &out[..] else { panic!("{out:?}") };
    assert_eq!(answer.request, RequestId(7));
    assert_eq!(answer.event, OperatorEvent::Reply { data: b"yes".to_vec(), last: false });

    let out = world.input(Input::Disconnected { connection: FRAMEWORK });
    assert!(out.iter().any(|output| matches!(
        output,
        Output::ToOperator { answer, .. } if matches!(answer.event, OperatorEvent::Refused(_))
    )));
}

#[test]
fn a_connection_has_so_many_questions_answered_at_a_time() {
    let (mut world, _) = World::with_offer();
    world.connect(OPERATOR, IdentityKind::Operator, "me");
    world.connect(ConnectionId(4), IdentityKind::Operator, "other");
    let mut ask = |connection, number| {
        let call = OperatorCall::Request { framework: "f1".parse().unwrap(), data: Vec::new() };
        let request = OperatorRequest { request: RequestId(number), call };
        let out = world.input(Input::Operator { connection, request });
        (events(&out).len(), out)
    };
    for number in 0..QUESTIONS_PENDING as u64 {
        assert_eq!(ask(OPERATOR, number).0, 1);
    }
    let (relayed, out) = ask(OPERATOR, 5000);
    let [Output::ToOperator { answer, .. }] = &out[..] else { panic!("{out:?}") };
    assert!(relayed == 0 && matches!(answer.event, OperatorEvent::Refused(_)), "{answer:?}");
    assert_eq!(ask(ConnectionId(4), 0).0, 1, "others may ask");
    world.call(FRAMEWORK, SchedulerCall::Reply { request: RequestId(1), data: Vec::new(), last: true });
    let call = OperatorCall::Request { framework: "f1".parse().unwrap(), data: Vec::new() };
    let request = OperatorRequest { request: RequestId(5001), call };
    assert_eq!(events(&world.input(Input::Operator { connection: OPERATOR, request })).len(), 1);
}

#[test]
fn an_agent_may_say_in_pieces_what_it_holds() {
    let mut world = World::new();
    world.connect(AGENT, IdentityKind::Agent, "a1");
    let first = held(task("t1", 1000, 512), TaskState::Running, 1);
    let piece = AgentCall::Holds { tasks: vec![first], executors: Vec::new() };
    assert_eq!(world.input(Input::Agent { connection: AGENT, call: piece }), []);
    assert!(world.master.agents.is_empty(), "it has not registered yet");
    let rest = held(task("t2", 1000, 512), TaskState::Running, 1);
    let info = AgentInfo::new("host1", Resources::cpus_mem(4000, 4096));
    let call = AgentCall::Register { info, tasks: vec![rest], executors: Vec::new() };
    world.input(Input::Agent { connection: AGENT, call });
    let agent = world.master.agents.values().next().expect("it has registered");
    assert_eq!(agent.tasks.len(), 2);
}

#[test]
fn an_agent_that_says_too_much_is_refused_and_not_offered() {
    let (mut world, _offer) = World::with_offer();
    world.master.peers.get_mut(&AGENT).expect("it is connected").held.bytes = HELD_BYTES_AT_MOST;
    let tasks = vec![held(task("t1", 1000, 512), TaskState::Running, 1)];
    let call = AgentCall::Holds { tasks, executors: Vec::new() };
    let out = world.input(Input::Agent { connection: AGENT, call });
    let is_refusal =
        |output: &Output| matches!(output, Output::Disconnect { connection, .. } if *connection == AGENT);
    assert!(out.iter().any(is_refusal), "{out:?}");
    assert!(matches!(events(&out)[..], [SchedulerEvent::Rescind(_)]), "{out:?}");
    assert!(world.master.agents.values().all(|agent| agent.connection.is_none()));
}

#[test]
fn a_task_that_is_too_large_for_messages_is_an_error() {
    let (mut world, offer) = World::with_offer();
    let labels = [("payload".to_owned(), "x".repeat(MAX_TASK_BYTES))].into();
    let out = world.launch(&offer, vec![TaskInfo { labels, ..task("t1", 1000, 512) }]);
    assert_eq!(updates(&out), [(TaskState::Error, Some(Reason::Invalid))]);
    assert!(format!("{out:?}").contains("may take 1048576: have it fetch what is large"));
}

#[test]
fn who_acknowledges_no_ends_launches_nothing_more() {
    let (mut world, offer) = World::with_offer();
    let framework = world.master.frameworks.get_mut(&"f1".parse().unwrap()).expect("it has subscribed");
    let ended = |number: usize| {
        let info = task(&format!("ended-{number}"), 100, 32);
        let status = status(info.id.as_str(), TaskState::Finished, 1);
        (info.id.clone(), super::tasks::Task::new(info, role(), "a1".parse().unwrap(), status))
    };
    framework.tasks.extend((0..=UNACKNOWLEDGED_ENDS).map(ended));
    let mut out = world.launch(&offer, vec![task("t1", 1000, 512)]);
    assert_eq!(updates(&out), [(TaskState::Dropped, Some(Reason::Unacknowledged))]);

    out.extend(world.pass(Duration::from_secs(6)));
    let offer = offers(&mut out).pop().expect("it is offered again");
    let (task_0, agent, number) = (task_id("ended-0"), "a1".parse().unwrap(), UpdateNumber(1));
    world.call(FRAMEWORK, SchedulerCall::Acknowledge { task: task_0, agent, number });
    assert!(!agent_events(&world.launch(&offer, vec![task("t2", 1000, 512)])).is_empty(), "it has caught up");
}

#[test]
fn operators_learn_why_frameworks_wait() {
    let (mut world, _) = World::with_offer();
    let cpus = |cpus: u32| Resources::cpus_mem(cpus * 1000, 0).quantities();
    let demand = Some(vec![DemandGroup::new(3, cpus(8))]);
    world.call(FRAMEWORK, SchedulerCall::SetDemand { role: role(), demand });
    world.connect(OPERATOR, IdentityKind::Operator, "me");
    let mut ask = |role: Option<Role>| {
        let call = OperatorCall::ExplainWaiting { framework: None, role };
        let request = OperatorRequest { request: RequestId(7), call };
        let out = world.input(Input::Operator { connection: OPERATOR, request });
        let [Output::ToOperator { answer, .. }] = &out[..] else { panic!("{out:?}") };
        let OperatorEvent::ExplainedWaiting(waiting) = &answer.event else { panic!("{answer:?}") };
        waiting.clone()
    };
    let [waiting] = &ask(Some(role()))[..] else { panic!("one group is waited for") };
    assert_eq!(waiting.group.as_ref().map(|group| (group.count, &group.shape)), Some((3, &cpus(8))));
    assert!(waiting.explanation.obstacles.contains(&Obstacle::LargerThanAnyAgent { lacking: cpus(4) }));
    assert_eq!(ask(Some("other".parse().unwrap())), []);
    assert_eq!(ask(None).len(), 1);
}

#[test]
fn a_task_is_gone_only_when_its_agent_has_answered_since_somebody_asked() {
    let (mut world, _) = World::with_offer();
    // It has answered before, and for all that is known it is there.
    world.pass(AGENT_PING_INTERVAL);
    world.input(Input::Agent { connection: AGENT, call: AgentCall::Pong });
    let tasks = ["t1", "t2"].map(|id| (task_id(id), Some("a1".parse().unwrap()))).to_vec();
    let out = world.call(FRAMEWORK, SchedulerCall::Reconcile { tasks });
    let ping = Output::ToAgent { connection: AGENT, event: AgentEvent::Ping };
    assert_eq!(out, [ping], "one for all of them");
    let out = world.input(Input::Agent { connection: AGENT, call: AgentCall::Pong });
    let gone = || (TaskState::Gone, Some(Reason::Reconciliation));
    assert_eq!(updates(&out), [gone(), gone()]);
    let out = world.input(Input::Agent { connection: AGENT, call: AgentCall::Pong });
    assert_eq!(updates(&out), [], "it is said once");
}

#[test]
fn nobody_speaks_before_introducing_himself() {
    let mut world = World::new();
    world.connect(AGENT, IdentityKind::Agent, "a1");
    let out = world.input(Input::Agent { connection: AGENT, call: AgentCall::Pong });
    assert!(matches!(out[..], [Output::Disconnect { .. }]));
    let out = world.call(AGENT, SchedulerCall::Teardown);
    assert!(matches!(out[..], [Output::Disconnect { .. }]));
}

#[test]
fn an_agent_that_leaves_is_forgotten_with_its_offers() {
    let (mut world, offer) = World::with_offer();
    let out = world.input(Input::Agent { connection: AGENT, call: AgentCall::Unregister });
    let rescinded = |output: &Output| matches!(output, Output::ToScheduler { event: SchedulerEvent::Rescind(ids), .. } if ids.contains(&offer.id));
    assert!(out.iter().any(rescinded), "{out:?}");
    assert!(world.master.cluster_state(world.now).agents.is_empty());
    assert_eq!(world.input(Input::Disconnected { connection: AGENT }), []);
}
