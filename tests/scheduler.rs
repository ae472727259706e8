//! Schedulers and reconcilers against the master in virtual time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use apportion::master::{AGENT_PING_INTERVAL, AGENT_PING_LIMIT};
use apportion::protocol::{
    Command, CommandInfo, Explanation, FrameworkInfo, Obstacle, OfferId, Operation, SchedulerCall, TaskId,
    TaskInfo, TaskState, TaskStatus, Work,
};
use apportion::resources::{Resources, Role, Shape};
use apportion::scheduler::harness::{TestMaster, TestMasterBuilder};
use apportion::scheduler::{
    Ack, BestFit, Driver, MAX_HOLD, MAX_PASSES, MaxPer, Offer, Plan, Planned, Reconciler, Scheduler, Spread,
    TaskRequest, View,
};
use proptest::prelude::*;

fn parsed(resources: &str) -> Resources {
    resources.parse().unwrap()
}

fn id(name: &str) -> TaskId {
    TaskId::new(name).unwrap()
}

fn work() -> Work {
    Work::Command(Arc::new(CommandInfo::new(Command::Shell("sleep 1".into()))))
}

fn one_big() -> TestMasterBuilder {
    TestMasterBuilder::default().agent("a1", parsed("cpus:4;mem:400"))
}

fn lost() -> Duration {
    AGENT_PING_INTERVAL * (AGENT_PING_LIMIT.get() + 2)
}

/// Keeps so many tasks of one shape running. `resize N`, `kill ID` and `spin` are its requests.
struct Keep {
    wanted: usize,
    launched: usize,
    shape: Arc<Shape>,
    kill: Vec<TaskId>,
    spins: bool,
    history: Vec<(String, TaskState)>,
}

impl Keep {
    fn new(wanted: usize, shape: &str) -> Self {
        let shape = Arc::new(Shape::from(parsed(shape)));
        Keep { wanted, launched: 0, shape, kill: Vec::new(), spins: false, history: Vec::new() }
    }

    fn told(&self, task: &str) -> Vec<TaskState> {
        self.history.iter().filter(|(id, _)| id == task).map(|(_, state)| *state).collect()
    }
}

impl Reconciler for Keep {
    fn framework_info(&self) -> FrameworkInfo {
        FrameworkInfo::new("keep", Role::any()).with_failover_timeout(Duration::from_secs(3600))
    }

    fn reconcile(&mut self, view: &View<'_>, plan: &mut Plan) {
        for task in self.kill.drain(..) {
            plan.kill(task);
        }
        for (task, _) in view.terminal() {
            plan.forget(task.clone());
        }
        let serves = |state| !matches!(state, TaskState::Unreachable | TaskState::Unknown);
        let have = view.live().filter(|(_, task)| serves(task.state())).count() + view.queued();
        if self.spins || have < self.wanted {
            self.launched += 1;
            let name = id(&format!("t{}", self.launched));
            plan.launch(TaskRequest::new(name, Role::any(), self.shape.clone(), work()));
        }
    }

    fn status_update(&mut self, _: apportion::time::Time, status: &TaskStatus, _: &mut Plan) {
        self.history.push((status.task.to_string(), status.state));
    }

    fn request(
        &mut self,
        _: apportion::time::Time,
        request: apportion::protocol::RequestId,
        data: &[u8],
        plan: &mut Plan,
    ) {
        match String::from_utf8_lossy(data).split_once(' ') {
            Some(("resize", wanted)) => self.wanted = wanted.parse().unwrap(),
            Some(("kill", task)) => self.kill.push(id(task)),
            _ => self.spins = true,
        }
        plan.reply(request, b"done".to_vec(), true);
    }
}

fn declines<S: Scheduler>(test: &TestMaster<S>) -> usize {
    test.calls().iter().filter(|call| matches!(call, SchedulerCall::Decline { .. })).count()
}

#[test]
fn it_converges_and_replaces_what_fails() {
    let mut test = one_big().start(Planned::new(Keep::new(3, "cpus:1;mem:100")));
    assert_eq!(test.running(), [id("t1"), id("t2"), id("t3")]);
    test.fail("t2");
    test.advance(Duration::from_secs(6));
    assert_eq!(test.running(), [id("t1"), id("t3"), id("t4")]);
    assert_eq!(test.tasks().len(), 3, "the end of t2 is acknowledged");
    let told = test.scheduler().reconciler().told("t2");
    assert_eq!(told, [TaskState::Staging, TaskState::Running, TaskState::Failed]);
}

#[test]
fn what_is_known_is_asked_about_once() {
    let mut test = one_big().start(Planned::new(Keep::new(2, "cpus:1;mem:100")));
    test.reconnect();
    test.advance(Duration::from_secs(300));
    let asked = test.calls().iter().filter(|call| matches!(call, SchedulerCall::Reconcile { .. })).count();
    assert_eq!(asked, 1);
}

/// Runs one task of a role, without having any role at first.
struct Newcomer(Option<Role>);

impl Reconciler for Newcomer {
    fn framework_info(&self) -> FrameworkInfo {
        FrameworkInfo { roles: Vec::new(), ..FrameworkInfo::new("newcomer", Role::any()) }
    }

    fn reconcile(&mut self, _: &View<'_>, plan: &mut Plan) {
        if let Some(role) = self.0.take() {
            let shape = Arc::new(Shape::from(parsed("cpus:1")));
            plan.launch(TaskRequest::new(id("t1"), role, shape, work()));
        }
    }
}

#[test]
fn a_task_of_a_new_role_makes_its_framework_join_it() {
    let role: Role = "late".parse().unwrap();
    let test = one_big().start(Planned::new(Newcomer(Some(role.clone()))));
    assert_eq!(test.running(), [id("t1")]);
    assert!(
        test.calls()
            .iter()
            .any(|call| matches!(call, SchedulerCall::UpdateFramework { framework, .. } if framework.roles == [role.clone()]))
    );
}

#[test]
fn tasks_of_a_lost_agent_are_replaced() {
    let agents = one_big().agent("a2", parsed("cpus:4;mem:400"));
    let mut test = agents.start(Planned::new(Keep::new(4, "cpus:1")).score(Spread));
    assert_eq!(test.tasks().iter().filter(|(_, agent, _)| agent.as_str() == "a2").count(), 2);
    test.lose_agent("a2");
    assert_eq!(test.running().len(), 2);
    test.advance(lost());
    assert_eq!(test.running().len(), 4);
}

#[test]
fn an_idle_framework_suppresses_its_offers_and_revives_them_for_work() {
    let mut test = one_big().start(Planned::new(Keep::new(0, "cpus:1")));
    test.advance(Duration::from_secs(3600));
    assert!(declines(&test) <= 1);
    let suppressions = |test: &TestMaster<_>| {
        test.calls().iter().filter(|call| matches!(call, SchedulerCall::Suppress { .. })).count()
    };
    assert_eq!(suppressions(&test), 1);
    assert_eq!(test.request(b"resize 2"), [(b"done".to_vec(), true)]);
    assert_eq!(test.running().len(), 2);
    test.advance(Duration::from_secs(3600));
    assert_eq!(suppressions(&test), 2);
    let revivals = test.calls().iter().filter(|call| matches!(call, SchedulerCall::Revive { .. })).count();
    assert_eq!(revivals, 1);
}

#[test]
fn a_waiting_task_is_explained_and_can_be_killed() {
    let mut test = one_big().start(Planned::new(Keep::new(1, "cpus:8")));
    assert_eq!(test.scheduler().queued(), 1);
    let expected = Explanation {
        task: Some("t1".into()),
        wants: Some((Role::any(), parsed("cpus:8").quantities())),
        obstacles: vec![],
    };
    assert_eq!(test.scheduler().explain("t1"), expected);
    test.request(b"resize 0");
    test.request(b"kill t1");
    assert_eq!(test.scheduler().queued(), 0);
    assert_eq!(test.scheduler().reconciler().told("t1"), [TaskState::Killed]);
}

#[test]
fn a_rule_limits_tasks_per_host_and_explains_itself() {
    let agents = one_big().agent("a2", parsed("cpus:4;mem:400"));
    let mut test = agents.start(Planned::new(Keep::new(3, "cpus:1")).filter(MaxPer::host(1)));
    assert_eq!(test.running().len(), 2);
    let obstacle = Obstacle::Constraint { name: "max_per(host, 1)".into(), agents: 2 };
    assert_eq!(test.scheduler().explain("t3").obstacles, [obstacle]);
    test.finish("t1");
    test.advance(Duration::from_secs(6));
    assert_eq!(test.running(), [id("t2"), id("t3")]);
}

#[test]
fn best_fit_fills_the_fullest_agent() {
    let agents = one_big().agent("a2", parsed("cpus:2;mem:200"));
    let test = agents.start(Planned::new(Keep::new(2, "cpus:1;mem:100")).score(BestFit));
    assert!(test.tasks().iter().all(|(_, agent, _)| agent.as_str() == "a2"));
}

#[test]
fn a_rejected_launch_is_tried_again() {
    let mut test = TestMasterBuilder::default().start(Planned::new(Keep::new(1, "cpus:1")));
    test.reject_next("the agent has just gone");
    test.add_agent("a1", parsed("cpus:4"));
    assert_eq!(test.scheduler().reconciler().told("t1"), [TaskState::Staging, TaskState::Dropped]);
    test.advance(Duration::from_secs(10));
    assert_eq!(test.running(), [id("t2")]);
}

#[test]
fn nothing_is_lost_when_the_connection_is() {
    let mut test = one_big().start(Planned::new(Keep::new(3, "cpus:1")));
    test.disconnect();
    test.fail("t1");
    test.request(b"resize 1");
    test.request(b"kill t2");
    assert_eq!(test.running(), [id("t2"), id("t3")]);
    test.reconnect();
    test.advance(Duration::from_secs(10));
    assert_eq!(test.running(), [id("t3")]);
    assert_eq!(test.tasks().len(), 1, "all ends are acknowledged");
}

#[test]
fn a_reconciler_that_never_settles_is_stopped_and_counted() {
    let mut test = TestMasterBuilder::default().start(Planned::new(Keep::new(0, "cpus:1")));
    test.request(b"spin");
    assert_eq!(test.scheduler().overruns(), 1);
    assert_eq!(test.scheduler().queued(), MAX_PASSES);
}

#[test]
fn a_finished_run_tells_the_same_journal_again() {
    let run = || {
        let agents = one_big().agent("a2", parsed("cpus:3;mem:100"));
        let mut test =
            agents.tasks_finish_after(Duration::from_secs(7)).start(Planned::new(Keep::new(5, "cpus:1")));
        test.advance(Duration::from_secs(20));
        test.lose_agent("a1");
        test.advance(lost());
        test.calls().to_vec()
    };
    assert_eq!(run(), run());
}

/// Does with each offer what its script says; afterwards it declines.
struct Scripted {
    script: Vec<Step>,
    position: usize,
    shown: BTreeMap<OfferId, Resources>,
    rescinded: BTreeSet<OfferId>,
    statuses: Vec<TaskState>,
}

#[derive(Clone, Debug)]
enum Step {
    Decline,
    Hold(u64),
    Launch(u32),
    Gang(usize),
}

impl Scripted {
    fn new(script: Vec<Step>) -> Self {
        let (shown, rescinded) = Default::default();
        Scripted { script, position: 0, shown, rescinded, statuses: Vec::new() }
    }

    fn task(&self, part: usize, cpus: u32) -> TaskInfo {
        let name = format!("s{}.{part}", self.position);
        TaskInfo::new(id(&name), Resources::builder().cpus(cpus).build(), work())
    }
}

impl Scheduler for Scripted {
    fn framework_info(&self) -> FrameworkInfo {
        FrameworkInfo::new("scripted", Role::any())
    }

    fn resource_offers(&mut self, driver: &mut Driver, offers: &mut [Offer]) {
        for offer in offers {
            self.shown.insert(offer.id(), offer.remaining().clone());
            let Some(step) = self.script.get(self.position).cloned() else {
                offer.hold_until(driver.now());
                continue;
            };
            self.position += 1;
            // What does not fit is refused, and leaves the offer as it was.
            let before = offer.remaining().clone();
            let refused = match step {
                Step::Decline => false,
                Step::Hold(secs) => {
                    offer.hold_until(driver.now() + Duration::from_secs(secs));
                    false
                }
                Step::Launch(cpus) => offer.launch(self.task(0, cpus)).is_err(),
                Step::Gang(size) => {
                    offer.launch_group((0..size).map(|rank| self.task(rank, 1)).collect()).is_err()
                }
            };
            assert!(!refused || *offer.remaining() == before);
        }
    }

    fn status_update(&mut self, _: &mut Driver, status: &TaskStatus) -> Ack {
        self.statuses.push(status.state);
        Ack::Now
    }

    fn offer_rescinded(&mut self, _: &mut Driver, offer: OfferId) {
        assert!(self.rescinded.insert(offer));
    }
}

#[test]
fn a_held_offer_is_declined_in_the_end_or_rescinded() {
    let mut test = one_big().start(Scripted::new(vec![Step::Hold(10)]));
    assert_eq!(declines(&test), 0);
    test.advance(Duration::from_secs(10));
    assert_eq!(declines(&test), 1);

    let mut test = one_big().start(Scripted::new(vec![Step::Hold(1_000_000)]));
    test.advance(MAX_HOLD - Duration::from_secs(1));
    assert_eq!(declines(&test), 0);
    test.advance(Duration::from_secs(1));
    assert_eq!(declines(&test), 1);

    let mut test = one_big().start(Scripted::new(vec![Step::Hold(10), Step::Launch(1)]));
    test.rescind_all();
    assert_eq!(test.scheduler().rescinded.len(), 1);
    assert_eq!(test.running().len(), 1);
}

#[test]
fn a_gang_starts_whole_or_not_at_all() {
    let test = one_big().start(Scripted::new(vec![Step::Gang(5)]));
    assert_eq!(test.running(), []);
    let test = one_big().start(Scripted::new(vec![Step::Gang(4)]));
    assert_eq!(test.running().len(), 4);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_offer_ends_once_and_no_more_is_launched_than_offered(
        script in prop::collection::vec(
            prop_oneof![
                Just(Step::Decline),
                (0_u64..90).prop_map(Step::Hold),
                (1_u32..6).prop_map(Step::Launch),
                (1_usize..6).prop_map(Step::Gang),
            ],
            0..12,
        ),
        rescind_after in prop::option::of(0_u64..40),
    ) {
        let agents = one_big().agent("a2", parsed("cpus:2"));
        let mut test = agents.tasks_finish_after(Duration::from_secs(3)).start(Scripted::new(script));
        if let Some(secs) = rescind_after {
            test.advance(Duration::from_secs(secs));
            test.rescind_all();
        }
        test.advance(Duration::from_secs(1800));
        let mut ended = BTreeSet::new();
        for call in test.calls() {
            let (offers, operations) = match call {
                SchedulerCall::Accept { offers, operations, .. } => (offers, operations.as_slice()),
                SchedulerCall::Decline { offers, .. } => (offers, [].as_slice()),
                _ => continue,
            };
            for offer in offers {
                prop_assert!(ended.insert(*offer), "offer {} ends twice", offer);
            }
            let tasks = operations.iter().flat_map(|operation| match operation {
                Operation::Launch(task) => std::slice::from_ref(task),
                Operation::LaunchGroup(tasks) => tasks,
                _ => &[],
            });
            let used: Resources = tasks.map(|task| &task.resources).sum();
            let offered: Resources = offers.iter().map(|offer| &test.scheduler().shown[offer]).sum();
            prop_assert!(offered.contains(&used));
        }
        let scheduler = test.scheduler();
        prop_assert!(ended.is_disjoint(&scheduler.rescinded));
        prop_assert!(scheduler.shown.keys().all(|id| ended.contains(id) || scheduler.rescinded.contains(id)));
        let wrong = [TaskState::Error, TaskState::Dropped, TaskState::Lost];
        prop_assert!(!scheduler.statuses.iter().any(|state| wrong.contains(state)));
    }
}

/// Starts tasks together, once, and others beside them.
struct Together {
    gangs: Vec<Vec<TaskRequest>>,
    alone: Vec<TaskRequest>,
    errors: Vec<(TaskId, String)>,
}

impl Together {
    fn new(gangs: &[(&str, usize, &str)]) -> Self {
        let gang = |(name, size, shape): &(&str, usize, &str)| {
            let shape = Arc::new(Shape::from(parsed(shape)));
            let request =
                |number| TaskRequest::new(id(&format!("{name}{number}")), Role::any(), shape.clone(), work());
            (1..=*size).map(request).collect()
        };
        Together { gangs: gangs.iter().map(gang).collect(), alone: Vec::new(), errors: Vec::new() }
    }
}

impl Reconciler for Together {
    fn framework_info(&self) -> FrameworkInfo {
        FrameworkInfo::new("together", Role::any())
    }

    fn reconcile(&mut self, _: &View<'_>, plan: &mut Plan) {
        for gang in self.gangs.drain(..) {
            plan.launch_together(gang);
        }
        for task in self.alone.drain(..) {
            plan.launch(task);
        }
    }

    fn status_update(&mut self, _: apportion::time::Time, status: &TaskStatus, _: &mut Plan) {
        if status.state == TaskState::Error {
            self.errors.push((status.task.clone(), status.message.clone()));
        }
    }
}

fn two_small() -> TestMasterBuilder {
    let shape = "cpus:2;mem:200";
    TestMasterBuilder::default().agent("a1", parsed(shape)).agent("a2", parsed(shape))
}

#[test]
fn a_gang_starts_on_one_set_of_offers() {
    let test = two_small().start(Planned::new(Together::new(&[("t", 3, "cpus:1;mem:100")])));
    assert_eq!(test.running(), [id("t1"), id("t2"), id("t3")]);
    let accepts: Vec<_> =
        test.calls().iter().filter(|call| matches!(call, SchedulerCall::AcceptSet { .. })).collect();
    let [SchedulerCall::AcceptSet { parts, .. }] = &accepts[..] else { panic!("{accepts:?}") };
    assert_eq!(parts.iter().map(|(_, operations)| operations.len()).collect::<Vec<_>>(), [2, 1]);
}

#[test]
fn a_gang_waits_until_all_of_it_has_room_and_others_run_beside_it() {
    let mut together = Together::new(&[("large", 5, "cpus:1;mem:100"), ("small", 2, "cpus:1;mem:50")]);
    let shape = Arc::new(Shape::from(parsed("cpus:1;mem:10")));
    together.alone.push(TaskRequest::new(id("alone"), Role::any(), shape, work()));
    let mut test = two_small().start(Planned::new(together));
    test.advance(Duration::from_secs(1));
    assert_eq!(test.running(), [id("alone"), id("small1"), id("small2")]);
    test.add_agent("a3", parsed("cpus:4;mem:400"));
    // What was left of an offer and declined is not offered again before that.
    test.advance(Duration::from_secs(6));
    let large = (1..=5).map(|number| id(&format!("large{number}")));
    let expected: BTreeSet<TaskId> = large.chain(["alone", "small1", "small2"].map(id)).collect();
    assert_eq!(test.running().into_iter().collect::<BTreeSet<_>>(), expected);
}

#[test]
fn tasks_of_several_shapes_do_not_start_together() {
    let mut together = Together::new(&[("t", 2, "cpus:1")]);
    together.gangs[0][1].shape = Arc::new(Shape::from(parsed("cpus:2")));
    let test = two_small().start(Planned::new(together));
    assert_eq!(test.running(), []);
    let errors = &test.scheduler().reconciler().errors;
    assert_eq!(errors.len(), 2);
    assert!(errors[0].1.contains("one role and one shape"), "{errors:?}");
}
