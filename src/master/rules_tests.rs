//! What operators rule, and what frameworks ask for, reaches the allocator and whoever is concerned.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::tests::{AGENT, FRAMEWORK, OPERATOR, World, agent_events, events, offers, role, task, updates};
use super::{Input, Output};
use crate::protocol::operator::{ClusterState, OperatorRequest};
use crate::protocol::rules::Rule;
use crate::protocol::{
    Action, AgentCall, AgentEvent, AgentInfo, AttributeConstraint, Capabilities, DemandGroup, FaultDomain,
    FrameworkInfo, IdentityKind, InverseOfferInfo, OfferConstraints, OfferInfo, OfferMode, Operation,
    OperatorCall, OperatorEvent, Predicate, Quota, Reason, RequestId, Rules, SchedulerCall, SchedulerEvent,
    Selector, TaskState, Unavailability, Weight, Work,
};
use crate::resources::{Reservation, Resources};
use crate::spec::Document;

impl World {
    pub(super) fn with_operator() -> Self {
        let mut world = World::new();
        world.connect(OPERATOR, IdentityKind::Operator, "admin");
        world
    }

    pub(super) fn ask(&mut self, call: OperatorCall) -> (OperatorEvent, Vec<Output>) {
        let request = OperatorRequest { request: RequestId(1), call };
        let mut out = self.input(Input::Operator { connection: OPERATOR, request });
        let is_answer = |output: &Output| matches!(output, Output::ToOperator { .. });
        let answer = out.iter().position(is_answer).map(|index| out.remove(index));
        let Some(Output::ToOperator { answer, .. }) = answer else { panic!("no answer in {out:?}") };
        (answer.event, out)
    }

    pub(super) fn state(&mut self) -> ClusterState {
        match self.ask(OperatorCall::GetState).0 {
            OperatorEvent::State(state) => *state,
            other => panic!("{other:?}"),
        }
    }

    fn subscribe(&mut self, framework: FrameworkInfo) -> Vec<OfferInfo> {
        self.connect(FRAMEWORK, IdentityKind::Framework, "f1");
        offers(&mut self.call(
            FRAMEWORK,
            SchedulerCall::Subscribe { framework: Box::new(framework), suppressed: Vec::new() },
        ))
    }

    fn register(&mut self, info: AgentInfo) -> Vec<OfferInfo> {
        self.connect(AGENT, IdentityKind::Agent, "a1");
        let call = AgentCall::Register { info, tasks: Vec::new(), executors: Vec::new() };
        offers(&mut self.input(Input::Agent { connection: AGENT, call }))
    }

    fn set_maintenance(&mut self, start: Duration, duration: Option<Duration>) -> Vec<Output> {
        let unavailability = Some(Unavailability { start: self.now + start, duration });
        let (answer, out) =
            self.ask(OperatorCall::SetMaintenance { agent: "a1".parse().unwrap(), unavailability });
        assert_eq!(answer, OperatorEvent::Done);
        out
    }
}

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

fn rescinded(out: &[Output]) -> bool {
    events(out).iter().any(|event| matches!(event, SchedulerEvent::Rescind(_)))
}

fn inverse_offers(out: &[Output]) -> Vec<InverseOfferInfo> {
    let inverse = |event: &SchedulerEvent| match event {
        SchedulerEvent::InverseOffers(offers) => Some(offers.clone()),
        _ => None,
    };
    events(out).into_iter().filter_map(inverse).flatten().collect()
}

#[test]
fn a_quota_takes_back_offers_and_is_kept_to() {
    let mut world = World::with_operator();
    world.agent_registers(AGENT, Vec::new());
    world.framework_subscribes(FRAMEWORK, Duration::ZERO);
    let quota = Quota { limit: "cpus:1".parse().unwrap(), ..Quota::default() };
    let set = |quota: &Quota, force| OperatorCall::SetQuota { role: role(), quota: quota.clone(), force };
    let (answer, _) = world.ask(set(&quota, false));
    assert!(
        matches!(&answer, OperatorEvent::Refused(reason) if reason.starts_with("web has cpus:4")),
        "{answer:?}"
    );
    let (answer, mut out) = world.ask(set(&quota, true));
    assert_eq!(answer, OperatorEvent::Done);
    assert!(rescinded(&out));
    out.extend(world.pass(Duration::from_secs(1)));
    assert_eq!(offers(&mut out).pop().unwrap().resources.to_string(), "cpus:1;mem:4096");
    let shown = world.state().roles.into_iter().find(|shown| shown.role == role()).unwrap();
    assert_eq!(shown.quota, quota);
    let guarantee = Quota { guarantee: "cpus:9".parse().unwrap(), ..Quota::default() };
    assert!(matches!(world.ask(set(&guarantee, false)).0, OperatorEvent::Refused(_)), "there are 4 cpus");
}

#[test]
fn frameworks_are_asked_to_leave_agents_that_will_be_away() {
    let mut world = World::with_operator();
    world.agent_registers(AGENT, Vec::new());
    world.framework_subscribes(FRAMEWORK, Duration::ZERO);
    let mut out = world.set_maintenance(minutes(10), Some(minutes(5)));
    let unavailability = Unavailability { start: world.now + minutes(10), duration: Some(minutes(5)) };
    assert!(rescinded(&out), "the offer did not tell of it");
    out.extend(world.pass(Duration::from_secs(1)));
    let offer = offers(&mut out).pop().unwrap();
    assert_eq!(offer.unavailability, Some(unavailability));
    let agent = offer.agent.clone();
    assert_eq!(inverse_offers(&out), [InverseOfferInfo { agent: agent.clone(), unavailability }]);
    let (accepts, refuse) = (true, Duration::from_secs(5));
    world.call(FRAMEWORK, SchedulerCall::AnswerInverseOffer { agent, accepts, refuse });
    let shown = world.state().agents.remove(0);
    assert_eq!(
        (shown.unavailability, shown.answers),
        (Some(unavailability), vec![("f1".parse().unwrap(), true)])
    );

    assert!(rescinded(&world.pass(minutes(10))), "it begins");
    assert!(offers(&mut world.pass(minutes(1))).is_empty());
    assert_eq!(offers(&mut world.pass(minutes(5))).len(), 1, "it is over");
    assert_eq!(world.state().agents.remove(0).unavailability, None);
}

#[test]
fn maintenance_outlives_the_agents_connection() {
    let mut world = World::with_operator();
    world.framework_subscribes(FRAMEWORK, Duration::ZERO);
    world.agent_registers(AGENT, Vec::new());
    world.set_maintenance(Duration::ZERO, None);
    world.input(Input::Disconnected { connection: AGENT });
    assert!(offers(&mut world.agent_registers(AGENT, Vec::new())).is_empty(), "it is away");
    let cancel = OperatorCall::SetMaintenance { agent: "a1".parse().unwrap(), unavailability: None };
    let (_, mut out) = world.ask(cancel);
    out.extend(world.pass(Duration::from_secs(1)));
    assert_eq!(offers(&mut out).len(), 1);
    let unknown = OperatorCall::SetMaintenance { agent: "a2".parse().unwrap(), unavailability: None };
    assert_eq!(world.ask(unknown).0, OperatorEvent::Refused("there is no agent a2".to_owned()));
}

#[test]
fn only_machines_on_the_list_are_offered() {
    let mut world = World::with_operator();
    world.agent_registers(AGENT, Vec::new());
    world.framework_subscribes(FRAMEWORK, Duration::ZERO);
    let allow = |names: &[&str]| {
        let names: BTreeSet<String> = names.iter().map(ToString::to_string).collect();
        OperatorCall::SetAllowList { hostnames: Some(names) }
    };
    assert!(rescinded(&world.ask(allow(&["host2"])).1));
    assert!(offers(&mut world.pass(Duration::from_secs(1))).is_empty());
    let mut out = world.ask(allow(&["host1", "host2"])).1;
    out.extend(world.pass(Duration::from_secs(1)));
    assert_eq!(offers(&mut out).len(), 1);
}

#[test]
fn frameworks_are_offered_what_they_can_deal_with_and_want() {
    let gpus = || AgentInfo::new("h1", "cpus:4;mem:64;gpus:1".parse().unwrap());
    let remote = || {
        let domain = FaultDomain { region: "far".to_owned(), zone: "z1".to_owned() };
        AgentInfo { domain: Some(domain), ..AgentInfo::new("h2", Resources::cpus_mem(1000, 64)) }
    };
    let rack = |predicate| {
        let constraint = AttributeConstraint { selector: Selector::Attribute("rack".to_owned()), predicate };
        [(role(), OfferConstraints { groups: vec![vec![constraint]] })].into()
    };
    let usual = FrameworkInfo::new("f1", role());
    let plain = FrameworkInfo { capabilities: Capabilities::NONE, ..usual.clone() };
    let racked = FrameworkInfo { constraints: rack(Predicate::Exists), ..usual.clone() };
    let unracked = FrameworkInfo { constraints: rack(Predicate::NotExists), ..usual.clone() };
    for (framework, agent, expected) in [
        (&usual, gpus(), 1),
        (&plain, gpus(), 0),
        (&usual, remote(), 1),
        (&racked, gpus(), 0),
        (&unracked, gpus(), 1),
    ] {
        let mut world = World::new();
        let mut found = world.register(agent.clone());
        found.extend(world.subscribe(framework.clone()));
        assert_eq!(found.len(), expected, "{framework:?} {agent:?}");
    }
}

#[test]
fn a_framework_can_go_on_with_other_wishes() {
    let mut world = World::new();
    world.register(AgentInfo::new("h1", "cpus:4;mem:64;gpus:1".parse().unwrap()));
    let plain = FrameworkInfo { capabilities: Capabilities::NONE, ..FrameworkInfo::new("f1", role()) };
    assert!(world.subscribe(plain).is_empty());
    let framework = FrameworkInfo::new("f1", role());
    let update = SchedulerCall::UpdateFramework { framework: Box::new(framework), suppressed: Vec::new() };
    let mut out = world.call(FRAMEWORK, update);
    out.extend(world.pass(Duration::from_secs(1)));
    assert_eq!(offers(&mut out).len(), 1);
}

#[test]
fn demand_keeps_useless_offers_away_until_the_connection_ends() {
    let mut world = World::new();
    world.subscribe(FrameworkInfo::new("f1", role()).with_failover_timeout(minutes(1)));
    let demand = |count, shape: &str| {
        let group = DemandGroup::new(count, shape.parse().unwrap());
        SchedulerCall::SetDemand { role: role(), demand: Some(vec![group]) }
    };
    world.call(FRAMEWORK, demand(1, "cpus:8"));
    assert!(
        world.agent_registers(AGENT, Vec::new()).iter().all(|output| {
            !matches!(output, Output::ToScheduler { event: SchedulerEvent::Offers(_), .. })
        })
    );
    assert_eq!(offers(&mut world.call(FRAMEWORK, demand(1, "cpus:2"))).len(), 1);
    world.call(FRAMEWORK, demand(1, "cpus:8"));
    world.input(Input::Disconnected { connection: FRAMEWORK });
    assert_eq!(world.subscribe(FrameworkInfo::new("f1", role())).len(), 1, "nothing is stated any more");
}

/// Rules under which the framework may use role web and admin may view and operate, and nobody anything else.
fn strict() -> Rules {
    let text = "[[allow]]\nprincipals = ['framework/f1']\nactions = ['register']\nroles = ['web']\n\
                [[allow]]\nprincipals = ['operator/admin']\nactions = ['view', 'operate']\n\
                [[allow]]\nprincipals = ['operator/*']\nactions = ['kill']\nroles = ['web']\n";
    Document::new("rules.toml", text).parse().unwrap()
}

#[test]
fn what_no_rule_allows_is_refused() {
    let mut world = World::with_operator();
    assert_eq!(world.ask(OperatorCall::SetRules { rules: strict() }).0, OperatorEvent::Done);
    let weight = OperatorCall::SetWeight { role: role(), weight: Weight::ONE };
    let denied = "operator/admin may not set-weight in role web: no rule allows it".to_owned();
    assert_eq!(world.ask(weight).0, OperatorEvent::Refused(denied));
    assert_eq!(world.ask(OperatorCall::GetRules).0, OperatorEvent::Rules(strict()));
    let nobody = Rules { allow: strict().allow[..1].to_vec(), limit: Vec::new() };
    let answer = world.ask(OperatorCall::SetRules { rules: nobody }).0;
    assert!(
        matches!(&answer, OperatorEvent::Refused(why) if why.contains("lock themselves out")),
        "{answer:?}"
    );
    world.ask(OperatorCall::SetRules { rules: Rules::default() });
    let weight = OperatorCall::SetWeight { role: role(), weight: Weight::ONE };
    assert_eq!(world.ask(weight).0, OperatorEvent::Done);
}

#[test]
fn frameworks_get_the_roles_that_they_may_use_and_reserve_only_if_they_may() {
    let mut world = World::with_operator();
    world.ask(OperatorCall::SetRules { rules: strict() });
    world.agent_registers(AGENT, Vec::new());
    world.connect(FRAMEWORK, IdentityKind::Framework, "f1");
    let mut framework = FrameworkInfo::new("f1", role());
    framework.roles.push("research".parse().unwrap());
    let mut out = world
        .call(FRAMEWORK, SchedulerCall::Subscribe { framework: Box::new(framework), suppressed: Vec::new() });
    let denied =
        SchedulerEvent::Error("framework/f1 may not register in role research: no rule allows it".to_owned());
    assert!(events(&out).contains(&&denied), "{out:?}");
    let offer = offers(&mut out).pop().unwrap();
    assert_eq!(offer.role, role());
    assert_eq!(world.state().frameworks[0].roles, [role()]);

    let operations = vec![
        Operation::Reserve {
            resources: Resources::cpus_mem(1000, 64),
            reservation: Reservation::dynamic(role(), None),
        },
        Operation::Launch(task("t1", 1000, 64)),
    ];
    let accept = SchedulerCall::Accept { offers: vec![offer.id], operations, refuse: Duration::ZERO };
    let out = world.call(FRAMEWORK, accept);
    assert_eq!(updates(&out), [(TaskState::Error, Some(Reason::Invalid))], "{out:?}");
}

#[test]
fn running_as_someone_else_must_be_allowed() {
    let mut world = World::with_operator();
    world.ask(OperatorCall::SetRules { rules: strict() });
    world.agent_registers(AGENT, Vec::new());
    let mut out = world.framework_subscribes(FRAMEWORK, Duration::ZERO);
    let offer = offers(&mut out).pop().unwrap();
    let mut someone_else = task("t1", 1000, 64);
    let Work::Command(command) = &mut someone_else.work else { unreachable!("it is a command") };
    Arc::make_mut(command).user = Some("root".to_owned());
    let operations = vec![Operation::Launch(someone_else)];
    let accept = SchedulerCall::Accept { offers: vec![offer.id], operations, refuse: Duration::ZERO };
    assert_eq!(updates(&world.call(FRAMEWORK, accept)), [(TaskState::Error, Some(Reason::Invalid))]);
}

#[test]
fn a_task_of_another_role_may_not_be_killed() {
    let mut world = World::with_operator();
    world.agent_registers(AGENT, Vec::new());
    let mut out = world.framework_subscribes(FRAMEWORK, Duration::ZERO);
    let offer = offers(&mut out).pop().unwrap();
    let operations = vec![Operation::Launch(task("t1", 1000, 64))];
    world.call(
        FRAMEWORK,
        SchedulerCall::Accept { offers: vec![offer.id], operations, refuse: Duration::ZERO },
    );
    let kill = || OperatorCall::Kill { framework: None, task: "t1".parse().unwrap() };
    world.ask(OperatorCall::SetRules { rules: strict() });
    assert_eq!(world.ask(kill()).0, OperatorEvent::Done);
    let mut others = strict();
    others.allow[2].roles = Some(vec!["research".parse().unwrap()]);
    world.ask(OperatorCall::SetRules { rules: others });
    assert!(matches!(world.ask(kill()).0, OperatorEvent::Refused(_)));
}

#[test]
fn each_call_needs_its_action_and_no_other() {
    let (framework, agent) = (|| "f1".parse().unwrap(), || "a1".parse().unwrap());
    let (task, kind) = ("t1".parse().unwrap(), IdentityKind::Agent);
    let quota = Quota::default();
    let calls = [
        (OperatorCall::GetState, Action::View),
        (OperatorCall::GetRules, Action::View),
        (OperatorCall::Explain { task: "t1".to_owned() }, Action::View),
        (OperatorCall::ExplainWaiting { framework: None, role: None }, Action::View),
        (OperatorCall::Request { framework: framework(), data: Vec::new() }, Action::Submit),
        (OperatorCall::Kill { framework: None, task }, Action::Kill),
        (OperatorCall::SetWeight { role: role(), weight: Weight::ONE }, Action::SetWeight),
        (OperatorCall::SetQuota { role: role(), quota, force: true }, Action::SetQuota),
        (OperatorCall::SetOfferMode { role: role(), mode: OfferMode::Optimistic }, Action::Operate),
        (OperatorCall::SetMaintenance { agent: agent(), unavailability: None }, Action::Operate),
        (OperatorCall::SetAllowList { hostnames: None }, Action::Operate),
        (OperatorCall::SetRules { rules: Rules::default() }, Action::Operate),
        (OperatorCall::Teardown { framework: framework() }, Action::Operate),
        (OperatorCall::CreateToken { kind }, Action::Operate),
        (OperatorCall::FreeName { kind, name: "a1".to_owned() }, Action::Operate),
        (OperatorCall::MarkGone { agent: agent() }, Action::Operate),
        (OperatorCall::TakeBack { agent: agent() }, Action::Operate),
    ];
    for (call, action) in calls {
        let is_permitted = |actions: Vec<Action>| {
            let mut world = World::with_operator();
            let rule = Rule { principals: vec!["operator/*".parse().unwrap()], actions, roles: None };
            world.master.rules = Arc::new(Rules { allow: vec![rule], limit: Vec::new() });
            let answer = world.ask(call.clone()).0;
            !matches!(&answer, OperatorEvent::Refused(why) if why.contains("may not"))
        };
        assert!(is_permitted(vec![action]), "{call:?}");
        let others = Action::ALL.into_iter().filter(|other| *other != action);
        assert!(!is_permitted(others.collect()), "{call:?}");
    }
}

#[test]
fn agents_hear_of_the_rules() {
    let mut world = World::with_operator();
    let told =
        |out: &[Output], rules: &Rules| agent_events(out).contains(&&AgentEvent::SetRules(rules.clone()));
    assert!(told(&world.agent_registers(AGENT, Vec::new()), &Rules::default()));
    assert!(told(&world.ask(OperatorCall::SetRules { rules: strict() }).1, &strict()));
}
