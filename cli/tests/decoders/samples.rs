//! Messages and records of every kind, to be damaged.

use std::time::Duration;

use apportion::agent::Record as AgentRecord;
use apportion::protocol::framework::Conflict;
use apportion::protocol::operator::{
    AgentState, ClusterState, FrameworkState, OperatorAnswer, OperatorRequest, RoleState, TaskSummary,
};
use apportion::protocol::{
    AgentCall, AgentEvent, AgentId, AgentInfo, AttributeConstraint, Check, Checks, Command, CommandInfo,
    DemandGroup, Epoch, ExecutorCall, ExecutorEvent, ExecutorInfo, Explanation, FaultDomain, FrameworkId,
    FrameworkInfo, HeldExecutor, HeldTask, IdentityKind, InverseOfferInfo, Obstacle, OfferConstraints,
    OfferId, OfferInfo, OfferMode, OfferSetId, Operation, OperatorCall, OperatorEvent, Predicate, Probe,
    Quota, Reason, RequestId, Rules, SchedulerCall, SchedulerEvent, Selector, StopPolicy, TaskId, TaskInfo,
    TaskState, TaskStatus, Unavailability, UpdateNumber, Waiting, Weight, Work,
};
use apportion::resources::{Reservation, Resources, Role};
use apportion::spec::Document;
use apportion::store::{Record, Secret};
use apportion::time::Time;

pub(crate) const RULES: &str = "[[allow]]\nprincipals = [\"operator/admin\", \"framework/team-*\"]\n\
    actions = [\"view\", \"operate\", \"kill\"]\nroles = [\"web\", \"eng/ads\"]\n\
    [[limit]]\nprincipals = [\"*\"]\ncalls_per_s = 100\n";

fn parsed<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("a sample")
}

fn rules() -> Rules {
    Document::new("rules.toml", RULES).parse().expect("a sample")
}

fn agent() -> AgentId {
    parsed("a1")
}

fn framework() -> FrameworkId {
    parsed("f1")
}

fn task_id() -> TaskId {
    parsed("t1")
}

fn role() -> Role {
    parsed("eng/ads")
}

fn resources() -> Resources {
    parsed("cpus:2;mem:1024;ports:[31000-31003];cpus(eng):1")
}

fn second() -> Duration {
    Duration::from_secs(1)
}

fn task() -> TaskInfo {
    let mut command = CommandInfo::new(Command::Argv(vec!["sleep".to_owned(), "1".to_owned()]));
    let probe = Probe::Http { port: Some("http".to_owned()), path: "/".to_owned() };
    let check = Check { probe, every: second(), timeout: second(), failures: 3 };
    command.checks = Checks { liveness: Some(check), ..Checks::default() };
    let mut task = TaskInfo::new(task_id(), resources(), Work::Command(command.into()));
    task.env.insert("A".to_owned(), "b".to_owned());
    task
}

fn executor() -> ExecutorInfo {
    ExecutorInfo {
        id: parsed("e1"),
        command: Command::Shell("serve".to_owned()),
        env: Default::default(),
        resources: parsed("cpus:0.1"),
    }
}

fn custom_task() -> TaskInfo {
    let work = Work::Custom { executor: executor().into(), data: vec![1, 2, 3] };
    TaskInfo::new(parsed("t2"), resources(), work)
}

fn status() -> TaskStatus {
    TaskStatus {
        agent: Some(agent()),
        number: Some(UpdateNumber(3)),
        reason: Some(Reason::AgentGone),
        message: "it went".to_owned(),
        ..TaskStatus::new(task_id(), TaskState::Failed, Time::from_secs(7))
    }
}

fn framework_info() -> FrameworkInfo {
    let constraint =
        |predicate| AttributeConstraint { selector: Selector::Attribute("rack".to_owned()), predicate };
    let predicates = [Predicate::Exists, Predicate::TextMatches(parsed("r[0-9]+"))];
    let constraints = OfferConstraints { groups: vec![predicates.map(constraint).to_vec()] };
    FrameworkInfo {
        constraints: [(role(), constraints)].into(),
        min_allocatable: [(role(), vec![parsed("cpus:1;mem:64")])].into(),
        ..FrameworkInfo::new("batch", role()).with_failover_timeout(second())
    }
}

fn agent_info() -> AgentInfo {
    AgentInfo {
        address: Some(parsed("[::1]:7451")),
        attributes: [("rack".to_owned(), "r1".to_owned())].into(),
        domain: Some(FaultDomain { region: "r".to_owned(), zone: "z".to_owned() }),
        ..AgentInfo::new("host", resources())
    }
}

fn unavailability() -> Unavailability {
    Unavailability { start: Time::from_secs(9), duration: Some(second()) }
}

fn explanation() -> Explanation {
    Explanation::of("t1", Obstacle::Insufficient { agents: 3, lacking: parsed("cpus:1") })
}

pub(crate) fn scheduler_calls() -> Vec<SchedulerCall> {
    let (request, data, last) = (RequestId(1), vec![7; 20], true);
    vec![
        SchedulerCall::Subscribe { framework: Box::new(framework_info()), suppressed: vec![role()] },
        SchedulerCall::Accept {
            offers: vec![OfferId(1), OfferId(2)],
            operations: vec![
                Operation::Launch(task()),
                Operation::LaunchGroup(vec![task(), custom_task()]),
                Operation::CreateVolumes { volumes: parsed("disk(eng)[v1:data]:64") },
                Operation::Reserve {
                    resources: resources(),
                    reservation: Reservation::dynamic(role(), None),
                },
                Operation::Unreserve { resources: resources() },
            ],
            refuse: second(),
        },
        SchedulerCall::AcceptSet {
            set: OfferSetId(1),
            parts: vec![(OfferId(1), vec![Operation::Launch(task())])],
            refuse: second(),
        },
        SchedulerCall::UpdateFramework { framework: Box::new(framework_info()), suppressed: Vec::new() },
        SchedulerCall::SetDemand { role: role(), demand: Some(vec![demand()]) },
        SchedulerCall::AnswerInverseOffer { agent: agent(), accepts: true, refuse: second() },
        SchedulerCall::Decline { offers: vec![OfferId(1)], refuse: second() },
        SchedulerCall::Revive { roles: vec![role()] },
        SchedulerCall::Suppress { roles: Vec::new() },
        SchedulerCall::Kill { task: task_id(), stop: Some(StopPolicy::default()) },
        SchedulerCall::Acknowledge { task: task_id(), agent: agent(), number: UpdateNumber(1) },
        SchedulerCall::Reconcile { tasks: vec![(task_id(), Some(agent()))] },
        SchedulerCall::Message { agent: agent(), executor: parsed("e1"), data: data.clone() },
        SchedulerCall::Teardown,
        SchedulerCall::Reply { request, data, last },
        SchedulerCall::Explained { request, explanation: Box::new(explanation()) },
    ]
}

fn demand() -> DemandGroup {
    DemandGroup {
        max_runtime: Some(Duration::from_secs(60)),
        ..DemandGroup::new(3, parsed("cpus:1;mem:64")).starting_together(2)
    }
}

pub(crate) fn scheduler_events() -> Vec<SchedulerEvent> {
    let offer = OfferInfo {
        id: OfferId(1),
        role: role(),
        agent: agent(),
        hostname: "host".to_owned(),
        attributes: [("rack".to_owned(), "r1".to_owned())].into(),
        domain: None,
        unavailability: Some(unavailability()),
        mode: OfferMode::Optimistic,
        set: Some(OfferSetId(1)),
        resources: resources(),
    };
    vec![
        SchedulerEvent::Subscribed { framework: framework(), epoch: Epoch(7), resumed: true },
        SchedulerEvent::Offers(vec![offer]),
        SchedulerEvent::Rescind(vec![OfferId(1)]),
        SchedulerEvent::InverseOffers(vec![InverseOfferInfo {
            agent: agent(),
            unavailability: unavailability(),
        }]),
        SchedulerEvent::Conflict(Conflict {
            offers: vec![OfferId(1)],
            agent: agent(),
            gone: resources(),
            tasks: vec![task_id()],
        }),
        SchedulerEvent::Update(status()),
        SchedulerEvent::AgentLost(agent()),
        SchedulerEvent::ExecutorLost { agent: agent(), executor: parsed("e1"), message: "gone".to_owned() },
        SchedulerEvent::Request { request: RequestId(1), data: vec![1, 2] },
        SchedulerEvent::Explain { request: RequestId(1), task: "t1".to_owned() },
        SchedulerEvent::Error("no".to_owned()),
    ]
}

pub(crate) fn agent_calls() -> Vec<AgentCall> {
    let held = HeldTask { framework: framework(), role: role(), task: task(), status: status() };
    let executor = HeldExecutor { framework: framework(), role: role(), executor: executor().into() };
    vec![
        AgentCall::Register {
            info: agent_info(),
            tasks: vec![held.clone()],
            executors: vec![executor.clone()],
        },
        AgentCall::Update { framework: framework(), status: status(), latest: TaskState::Failed },
        AgentCall::ExecutorLost {
            framework: framework(),
            executor: parsed("e1"),
            message: "gone".to_owned(),
        },
        AgentCall::Message { framework: framework(), executor: parsed("e1"), data: vec![1] },
        AgentCall::Pong,
        AgentCall::Unregister,
        AgentCall::Holds { tasks: vec![held], executors: vec![executor] },
    ]
}

pub(crate) fn agent_events() -> Vec<AgentEvent> {
    vec![
        AgentEvent::Registered { agent: agent(), epoch: Epoch(7) },
        AgentEvent::Launch { framework: framework(), role: role(), tasks: vec![task(), custom_task()] },
        AgentEvent::Kill { framework: framework(), task: task_id(), stop: Some(StopPolicy::default()) },
        AgentEvent::Acknowledge { framework: framework(), task: task_id(), number: UpdateNumber(1) },
        AgentEvent::ShutdownFramework(framework()),
        AgentEvent::SetRules(rules()),
        AgentEvent::KeepVolumes(parsed::<Resources>("disk(eng)[v1:data]:64").volume_names().collect()),
        AgentEvent::Ping,
    ]
}

pub(crate) fn executor_calls() -> Vec<ExecutorCall> {
    let unacknowledged = vec![status()];
    vec![
        ExecutorCall::Register { framework: framework(), executor: parsed("e1"), unacknowledged },
        ExecutorCall::Update(status()),
        ExecutorCall::Message(vec![1, 2]),
    ]
}

pub(crate) fn executor_events() -> Vec<ExecutorEvent> {
    vec![
        ExecutorEvent::Registered,
        ExecutorEvent::Launch(vec![task()]),
        ExecutorEvent::Kill { task: task_id(), stop: None },
        ExecutorEvent::Acknowledge { task: task_id(), number: UpdateNumber(1) },
        ExecutorEvent::Shutdown,
    ]
}

fn quota() -> Quota {
    Quota { guarantee: parsed("cpus:1"), limit: parsed("cpus:4;gpus:0") }
}

pub(crate) fn operator_requests() -> Vec<OperatorRequest> {
    let calls = vec![
        OperatorCall::GetState,
        OperatorCall::Request { framework: framework(), data: vec![1] },
        OperatorCall::Explain { task: "t1".to_owned() },
        OperatorCall::ExplainWaiting { framework: None, role: Some(Role::any()) },
        OperatorCall::Kill { framework: Some(framework()), task: task_id() },
        OperatorCall::SetWeight { role: role(), weight: Weight::ONE },
        OperatorCall::SetQuota { role: role(), quota: quota(), force: true },
        OperatorCall::SetOfferMode { role: role(), mode: OfferMode::Optimistic },
        OperatorCall::SetMaintenance { agent: agent(), unavailability: Some(unavailability()) },
        OperatorCall::SetAllowList { hostnames: Some(["host".to_owned()].into()) },
        OperatorCall::SetRules { rules: rules() },
        OperatorCall::Teardown { framework: framework() },
        OperatorCall::CreateToken { kind: IdentityKind::Agent },
        OperatorCall::FreeName { kind: IdentityKind::Agent, name: "a1".to_owned() },
        OperatorCall::MarkGone { agent: agent() },
        OperatorCall::TakeBack { agent: agent() },
    ];
    calls.into_iter().map(|call| OperatorRequest { request: RequestId(1), call }).collect()
}

fn state() -> ClusterState {
    ClusterState {
        at: Time::from_secs(1),
        agents: vec![AgentState {
            id: agent(),
            hostname: "host".to_owned(),
            address: None,
            connected: true,
            total: resources(),
            allocated: resources(),
            offered: Resources::new(),
            attributes: Default::default(),
            domain: None,
            unavailability: Some(unavailability()),
            answers: vec![(framework(), true)],
        }],
        frameworks: vec![FrameworkState {
            id: framework(),
            roles: vec![role()],
            connected: true,
            allocated: resources(),
            tasks_active: 1,
            tasks_finished: 2,
            tasks_failed: 3,
            offers: 4,
        }],
        roles: vec![RoleState {
            role: role(),
            weight: Weight::ONE,
            quota: quota(),
            offers: OfferMode::Exclusive,
            allocated: resources(),
            dominant_share: 0.5,
            dominant_kind: None,
            frameworks: 1,
        }],
        tasks: vec![TaskSummary {
            framework: framework(),
            role: role(),
            agent: agent(),
            resources: resources(),
            state: TaskState::Running,
            status: status(),
        }],
        allow_list: Some(["host".to_owned()].into()),
    }
}

pub(crate) fn operator_answers() -> Vec<OperatorAnswer> {
    let events = vec![
        OperatorEvent::State(Box::new(state())),
        OperatorEvent::Reply { data: vec![1], last: false },
        OperatorEvent::Explained(explanation()),
        OperatorEvent::ExplainedWaiting(vec![Waiting {
            framework: framework(),
            role: role(),
            group: Some(demand()),
            explanation: explanation(),
        }]),
        OperatorEvent::Rules(rules()),
        OperatorEvent::Done,
        OperatorEvent::Token("token".to_owned()),
        OperatorEvent::Refused("no".to_owned()),
    ];
    events.into_iter().map(|event| OperatorAnswer { request: RequestId(1), event }).collect()
}

pub(crate) fn records() -> Vec<Record> {
    vec![
        Record::Agent {
            id: agent(),
            info: agent_info(),
            resources: resources(),
            unreachable: Some(Time::ZERO),
        },
        Record::Framework { id: framework(), info: framework_info(), ending: false },
        Record::Weight { role: role(), weight: Weight::ONE },
        Record::Quota { role: role(), quota: quota() },
        Record::OfferMode { role: role(), mode: OfferMode::Optimistic },
        Record::Maintenance { agent: agent(), unavailability: unavailability() },
        Record::AllowList { hostnames: ["host".to_owned()].into() },
        Record::Rules { rules: rules() },
        Record::Authority { cluster: "apportion".to_owned(), pem: Secret("PEM".to_owned()) },
        Record::Token { digest: "ab".repeat(32), kind: IdentityKind::Agent, expires_at: 7, used: true },
        Record::Issued { identity: "spiffe://apportion/agent/a".parse().expect("an identity") },
        Record::Gone { agent: agent(), since: Time::from_secs(7) },
    ]
}

pub(crate) fn agent_records() -> Vec<AgentRecord> {
    let (framework, role) = (framework(), role());
    vec![
        AgentRecord::ExecutorStarted {
            framework: framework.clone(),
            role: role.clone(),
            executor: parsed("e1"),
            info: Some(executor().into()),
        },
        AgentRecord::Launched {
            framework: framework.clone(),
            role,
            at: Time::from_secs(7),
            tasks: vec![task(), custom_task()],
        },
        AgentRecord::Updated { framework: framework.clone(), status: status() },
        AgentRecord::Acknowledged { framework: framework.clone(), task: task_id(), number: UpdateNumber(3) },
        AgentRecord::ExecutorEnded { framework, executor: parsed("e1") },
    ]
}
