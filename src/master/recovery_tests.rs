//! What a master that crashes and starts anew has kept, and what it does with that.

use std::time::Duration;

use super::tests::{
    AGENT, FRAMEWORK, OPERATOR, World, agent_events, events, held, offers, role, task, updates,
};
use super::{Input, Master, Output, RECOVERED_FRAMEWORK_GRACE, RECOVERY_TIMEOUT};
use crate::allocator::DrfAllocator;
use crate::protocol::operator::OperatorRequest;
use crate::protocol::{
    AgentCall, AgentEvent, ConnectionId, HeldTask, IdentityKind, OfferMode, Operation, OperatorCall, Quota,
    RequestId, SchedulerCall, SchedulerEvent, TaskState, Unavailability, Weight,
};
use crate::resources::{Reservation, Resources};
use crate::store::{Change, MemoryStore, Store};

/// A master whose store is as slow as the test wants it.
struct Durable {
    world: World,
    store: MemoryStore,
    /// Handed out and not durable.
    writes: Vec<(u64, Vec<Change>)>,
}

impl Durable {
    fn new() -> Self {
        let mut durable = Durable { world: World::new(), store: MemoryStore::default(), writes: Vec::new() };
        durable.crash();
        durable
    }

    /// What of `out` is to be carried out; writes begin.
    fn take(&mut self, out: Vec<Output>) -> Vec<Output> {
        let mut others = Vec::new();
        for output in out {
            match output {
                Output::Store { number, changes } => self.writes.push((number, changes)),
                output => others.push(output),
            }
        }
        others
    }

    /// All that was handed out becomes durable.
    fn sync(&mut self) -> Vec<Output> {
        let mut out = Vec::new();
        for (number, changes) in std::mem::take(&mut self.writes) {
            self.store.commit(&changes).unwrap();
            let stored = self.world.input(Input::Stored { number });
            out.extend(self.take(stored));
        }
        out
    }

    /// The master dies, and with it what was not durable; another starts.
    fn crash(&mut self) {
        self.writes.clear();
        let records = self.store.load().unwrap();
        let epoch = self.store.begin_term().unwrap();
        let master = Master::new(DrfAllocator::default()).in_epoch(epoch);
        self.world.master = master.with_registry(self.world.now, records);
    }

    fn agent(&mut self, connection: ConnectionId, name: &str, tasks: Vec<HeldTask>) -> Vec<Output> {
        let out = self.world.agent_registers_as(connection, name, tasks);
        self.take(out)
    }

    fn framework(&mut self) -> Vec<Output> {
        let out = self.world.framework_subscribes(FRAMEWORK, Duration::from_secs(10));
        self.take(out)
    }

    fn pass(&mut self, delay: Duration) -> Vec<Output> {
        let out = self.world.pass(delay);
        self.take(out)
    }

    fn set_weight(&mut self) -> Vec<Output> {
        self.world.connect(OPERATOR, IdentityKind::Operator, "me");
        let call = OperatorCall::SetWeight { role: role(), weight: heavy() };
        let request = OperatorRequest { request: RequestId(1), call };
        let out = self.world.input(Input::Operator { connection: OPERATOR, request });
        self.take(out)
    }

    fn weight(&self) -> Option<Weight> {
        let roles = self.world.master.cluster_state(self.world.now).roles;
        roles.iter().find(|known| known.role == role()).map(|known| known.weight)
    }
}

fn heavy() -> Weight {
    Weight::try_from(2500).unwrap()
}

#[test]
fn nobody_sees_the_effect_of_what_a_crash_could_undo() {
    let mut durable = Durable::new();
    assert_eq!(durable.set_weight(), [], "not before it is durable");
    durable.crash();
    assert_eq!(durable.weight(), None);
    durable.set_weight();
    assert!(matches!(durable.sync()[..], [Output::ToOperator { .. }]));
    durable.crash();
    assert_eq!(durable.weight(), Some(heavy()));
}

#[test]
fn rules_of_operators_outlive_the_master() {
    let mut durable = Durable::new();
    durable.agent(AGENT, "a1", Vec::new());
    durable.world.connect(OPERATOR, IdentityKind::Operator, "me");
    let quota = Quota { guarantee: "cpus:2".parse().unwrap(), ..Quota::default() };
    let window = Unavailability { start: durable.world.now + Duration::from_secs(600), duration: None };
    for call in [
        OperatorCall::SetQuota { role: role(), quota: quota.clone(), force: false },
        OperatorCall::SetOfferMode { role: role(), mode: OfferMode::Optimistic },
        OperatorCall::SetMaintenance { agent: "a1".parse().unwrap(), unavailability: Some(window) },
        OperatorCall::SetAllowList { hostnames: Some(["host1".to_owned()].into()) },
    ] {
        let request = OperatorRequest { request: RequestId(1), call };
        let out = durable.world.input(Input::Operator { connection: OPERATOR, request });
        durable.take(out);
    }
    durable.sync();
    durable.crash();
    let state = durable.world.master.cluster_state(durable.world.now);
    let known = state.roles.iter().find(|known| known.role == role()).unwrap();
    assert_eq!((&known.quota, known.offers), (&quota, OfferMode::Optimistic));
    assert_eq!(state.agents[0].unavailability, Some(window));
    assert_eq!(state.allow_list, Some(["host1".to_owned()].into()));
}

#[test]
fn reservations_outlive_the_master_and_the_agent_s_own_account_of_what_it_has() {
    let mut durable = Durable::new();
    durable.agent(AGENT, "a1", Vec::new());
    durable.framework();
    let offer = offers(&mut durable.sync()).pop().unwrap();
    let resources = Resources::cpus_mem(1000, 1024);
    let reservation = Reservation::dynamic(role(), None);
    let reserved = resources.to_reserved(&reservation).unwrap();
    let operations = vec![Operation::Reserve { resources, reservation }];
    let refuse = Duration::ZERO;
    let call = SchedulerCall::Accept { offers: vec![offer.id], operations, refuse };
    let out = durable.world.input(Input::Scheduler { connection: FRAMEWORK, call });
    durable.take(out);
    durable.sync();
    durable.crash();
    durable.agent(ConnectionId(10), "a1", Vec::new());
    let state = durable.world.master.cluster_state(durable.world.now);
    assert_eq!(state.agents[0].total, Resources::cpus_mem(3000, 3072) + &reserved);
}

#[test]
fn outputs_keep_their_order_while_they_wait() {
    let mut durable = Durable::new();
    assert_eq!(durable.agent(AGENT, "a1", Vec::new()), []);
    assert_eq!(durable.framework(), [], "it would see the offer of an agent that is not admitted yet");
    let out = durable.sync();
    assert!(matches!(agent_events(&out)[..], [AgentEvent::Registered { .. }, AgentEvent::SetRules(_)]));
    assert!(matches!(events(&out)[..], [SchedulerEvent::Subscribed { .. }, SchedulerEvent::Offers(_)]));
}

#[test]
fn a_master_that_starts_anew_offers_nothing_until_enough_agents_are_back() {
    let mut durable = Durable::new();
    durable.agent(AGENT, "a1", Vec::new());
    durable.agent(ConnectionId(9), "a2", Vec::new());
    durable.framework();
    durable.sync();
    durable.crash();

    let out = durable.framework();
    let mut out = [out, durable.sync()].concat();
    assert!(events(&out).iter().any(|e| matches!(e, SchedulerEvent::Subscribed { resumed: true, .. })));
    let runs = held(task("t1", 1000, 1024), TaskState::Running, 1);
    out.extend(durable.agent(ConnectionId(10), "a1", vec![runs]));
    assert_eq!(updates(&out), [(TaskState::Running, None)], "the scheduler hears what runs");
    assert!(offers(&mut out).is_empty());
    let mut out = durable.agent(ConnectionId(11), "a2", Vec::new());
    assert_eq!(offers(&mut out).len(), 2);
}

#[test]
fn agents_that_do_not_come_back_hold_offers_up_for_a_time_only() {
    let mut durable = Durable::new();
    durable.agent(AGENT, "a1", Vec::new());
    durable.agent(ConnectionId(9), "a2", Vec::new());
    durable.sync();
    durable.crash();
    durable.agent(ConnectionId(10), "a1", Vec::new());
    durable.framework();
    assert!(offers(&mut durable.sync()).is_empty());
    assert_eq!(offers(&mut durable.pass(RECOVERY_TIMEOUT)).len(), 1);
}

#[test]
fn an_agent_that_has_left_is_not_waited_for() {
    let mut durable = Durable::new();
    durable.agent(AGENT, "a1", Vec::new());
    durable.agent(ConnectionId(9), "a2", Vec::new());
    durable.sync();
    let leaves = Input::Agent { connection: ConnectionId(9), call: AgentCall::Unregister };
    let out = durable.world.input(leaves);
    durable.take(out);
    durable.sync();
    durable.crash();
    durable.agent(ConnectionId(10), "a1", Vec::new());
    durable.framework();
    assert_eq!(offers(&mut durable.sync()).len(), 1);
}

#[test]
fn a_framework_that_does_not_come_back_is_torn_down() {
    let mut durable = Durable::new();
    durable.agent(AGENT, "a1", Vec::new());
    durable.framework();
    durable.sync();
    durable.crash();
    let runs = held(task("t1", 1000, 1024), TaskState::Running, 1);
    durable.agent(ConnectionId(10), "a1", vec![runs.clone()]);
    assert_eq!(durable.pass(RECOVERED_FRAMEWORK_GRACE), [], "its end is not durable yet");
    let out = durable.sync();
    let ended = |event: &&AgentEvent| matches!(event, AgentEvent::ShutdownFramework(_));
    assert!(agent_events(&out).iter().any(ended), "{out:?}");
    durable.crash();
    let out = durable.agent(ConnectionId(11), "a1", vec![runs]);
    assert!(agent_events(&out).iter().any(ended), "its end outlives the master: {out:?}");
}
