//! Runs a reconciler as a scheduler: carries out its plans.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::time::Duration;

use super::demand::{Breadth, Demand};
use super::matching::{Launched, Matcher};
use super::placement::{Filter, Score};
use super::queue::Queue;
use super::{
    Ack, DamagedRecord, Driver, Offer, Plan, Reconciler, RecordChange, Records, Scheduler, Subscription,
    TaskRecord, TaskRequest, View,
};
use crate::protocol::framework::DEFAULT_REFUSE;
use crate::protocol::{
    AgentId, Conflict, Explanation, FrameworkInfo, InverseOfferInfo, PreemptionNotice, RequestId, StopPolicy,
    TaskId, TaskState, TaskStatus,
};
use crate::time::Time;

/// So often in a row a reconciler is asked for more before it is taken to contradict itself.
pub const MAX_PASSES: usize = 64;

/// For how long a reconciler that contradicts itself is left alone.
pub const OVERRUN_PAUSE: Duration = Duration::from_secs(1);

/// How often the master is asked about tasks that it did not know: their agents may yet come back.
pub const UNKNOWN_RECHECK: Duration = Duration::from_secs(30);

/// The timer for the next reconciliation.
const RECONCILE: u64 = 0;

/// The timer for asking about unknown tasks.
const RECHECK: u64 = 1;

/// The keys of the records of launched tasks begin with this, those of the reconciler with [`OWN`].
const TASK: &str = "task/";
const OWN: &str = "own/";

/// A [`Reconciler`] as a [`Scheduler`]: keeps the records of its tasks and the queue of those to be launched, and matches
/// that to offers.
///
/// A task that is launched for a role which the framework did not have so far makes it join that role.
///
/// A task whose optimistic offer others were faster to accept goes back into the queue; its reconciler, to which it is staging,
/// is told nothing.
///
/// Where records are kept, each launch is recorded before it is sent, until its end is: a framework that starts anew asks the master about
/// those tasks.
///
/// Events of one batch cost one reconciliation. Offers are not held: what no waiting task fits is declined.
#[derive(Debug)]
pub struct Planned<R> {
    reconciler: R,
    info: FrameworkInfo,
    tasks: BTreeMap<TaskId, TaskRecord>,
    queue: Queue,
    matcher: Matcher,
    demand: Demand,
    /// Tasks that the master was asked about and has not said anything of.
    unanswered: BTreeSet<TaskId>,
    /// Kills that were asked for and are not done.
    killing: BTreeMap<TaskId, Option<StopPolicy>>,
    /// It will look again after those, and at what it knows nothing of.
    rechecks: bool,
    /// Tasks that were launched on optimistic offers, and of which nothing has been heard yet.
    unconfirmed: BTreeMap<TaskId, TaskRequest>,
    /// Statuses that arise here: of launches, and of tasks that end in the queue.
    own: Vec<TaskStatus>,
    due: bool,
    /// Somebody keeps records.
    records: bool,
    /// When it last reconciled; explanations are as of then.
    reconciled_at: Time,
    overruns: u64,
}

impl<R: Reconciler> Planned<R> {
    /// The scheduler of a reconciler.
    pub fn new(reconciler: R) -> Self {
        let info = reconciler.framework_info();
        Planned {
            reconciler,
            demand: Demand::new(info.roles.clone()),
            info,
            tasks: BTreeMap::new(),
            queue: Queue::default(),
            matcher: Matcher::default(),
            unanswered: BTreeSet::new(),
            killing: BTreeMap::new(),
            rechecks: false,
            unconfirmed: BTreeMap::new(),
            own: Vec::new(),
            due: false,
            records: false,
            reconciled_at: Time::ZERO,
            overruns: 0,
        }
    }

    /// With a rule of where tasks may go.
    #[must_use]
    pub fn filter(mut self, filter: impl Filter + Send + 'static) -> Self {
        self.matcher.add_filter(filter);
        self
    }

    /// With a preference among the offers that a task may use. Without any, the first that fits is taken.
    #[must_use]
    pub fn score(mut self, score: impl Score + Send + 'static) -> Self {
        self.matcher.add_score(score);
        self
    }

    /// Launches at most `limit` tasks on an offer and gives back the rest at once, so that the allocator decides after so many who
    /// is next. With 1 resources are shared task by task, as dominant-resource fairness is defined; without it, whoever is
    /// offered a machine may fill it.
    #[must_use]
    pub fn per_offer(mut self, limit: NonZeroU32) -> Self {
        self.matcher.set_per_offer(limit);
        self
    }

    /// The reconciler.
    pub fn reconciler(&self) -> &R {
        &self.reconciler
    }

    /// The records of tasks that were launched and not forgotten.
    pub fn tasks(&self) -> &BTreeMap<TaskId, TaskRecord> {
        &self.tasks
    }

    /// How many tasks wait for an offer.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// How often the reconciler went on planning for [`MAX_PASSES`] passes. Above zero it contradicts itself.
    pub fn overruns(&self) -> u64 {
        self.overruns
    }

    /// Tells the master what waits. Where tasks can't go just anywhere, or had better go here than there, all that fits is of interest.
    fn declare(&mut self, driver: &mut Driver) {
        let breadth = if self.matcher.is_choosy() {
            Breadth::Choice
        } else {
            Breadth::Enough(self.matcher.per_offer())
        };
        self.demand.declare(&self.queue, breadth, driver);
    }

    /// Reconciles when the batch of events is complete.
    fn reconcile_soon(&mut self, driver: &mut Driver) {
        if !self.due {
            self.due = true;
            driver.set_timer(RECONCILE, Duration::ZERO);
        }
    }

    /// Reconciles until nothing more is planned.
    fn reconcile(&mut self, driver: &mut Driver) {
        self.due = false;
        let now = driver.now();
        self.reconciled_at = now;
        for _ in 0..MAX_PASSES {
            let mut plan = Plan::default();
            for status in std::mem::take(&mut self.own) {
                self.reconciler.status_update(now, &status, &mut plan);
                self.note(status, driver);
            }
            // What was wished before this call does not count any more.
            plan.wake_at = None;
            let view = View { now, tasks: &self.tasks, queued: self.queue.len() };
            self.reconciler.reconcile(&view, &mut plan);
            let wake_at = plan.wake_at;
            let is_settled = plan.is_empty();
            self.carry_out(plan, driver);
            if is_settled && self.own.is_empty() {
                match wake_at {
                    Some(at) => driver.set_timer(RECONCILE, at.since(now)),
                    None => driver.cancel_timer(RECONCILE),
                }
                return;
            }
        }
        self.overruns += 1;
        tracing::error!(
            framework = %self.info.name, passes = MAX_PASSES, overruns = self.overruns,
            "the framework's reconcile plans something new each time; it has to plan nothing when all is as it should be"
        );
        driver.set_timer(RECONCILE, OVERRUN_PAUSE);
    }

    fn carry_out(&mut self, plan: Plan, driver: &mut Driver) {
        for RecordChange { key, value } in plan.records {
            self.record(OWN, &key, value, driver);
        }
        for request in plan.launches {
            if self.admit(&request, driver) {
                self.queue.push(request);
            }
        }
        for gang in plan.gangs {
            self.enqueue_gang(gang, driver);
        }
        for (task, stop) in plan.kills {
            self.kill(task, stop, driver);
        }
        for task in plan.forgotten {
            if self.tasks.get(&task).is_some_and(|record| record.state().is_terminal()) {
                self.tasks.remove(&task);
            }
        }
        for (request, data, last) in plan.replies {
            driver.reply(request, data, last);
        }
    }

    /// Whether a request can be queued. Joins its role, if it is a new one.
    fn admit(&mut self, request: &TaskRequest, driver: &mut Driver) -> bool {
        if self.queue.contains(&request.id) || self.tasks.contains_key(&request.id) {
            // A status would look like one of the task that has the id.
            tracing::error!(
                framework = %self.info.name, task = %request.id,
                "the framework launches a task whose id is in use; the task is left out"
            );
            return false;
        }
        if let Some(roles) = self.demand.join(&request.role) {
            self.info.roles = roles.to_vec();
            driver.update_framework(self.info.clone());
        }
        true
    }

    fn enqueue_gang(&mut self, mut gang: Vec<TaskRequest>, driver: &mut Driver) {
        let mut ids = BTreeSet::new();
        gang.retain(|request| ids.insert(request.id.clone()) && self.admit(request, driver));
        let Some(first) = gang.first() else { return };
        if gang.iter().all(|request| request.role == first.role && request.shape == first.shape) {
            self.queue.push_gang(gang);
            return;
        }
        for request in gang {
            let mut status = TaskStatus::new(request.id, TaskState::Error, driver.now());
            status.message = "tasks that start together have to be of one role and one shape".to_owned();
            self.own.push(status);
        }
    }

    fn kill(&mut self, task: TaskId, stop: Option<StopPolicy>, driver: &mut Driver) {
        if self.queue.remove(&task).is_some() {
            self.matcher.ended(&task);
            let mut status = TaskStatus::new(task, TaskState::Killed, driver.now());
            status.message = "it was stopped before it was launched".to_owned();
            self.own.push(status);
            return;
        }
        if self.tasks.get(&task).is_some_and(|record| record.state().is_terminal()) {
            return;
        }
        self.killing.insert(task.clone(), stop);
        driver.kill(task, stop);
        // Nobody says that a kill is lost.
        self.recheck_later(driver);
    }

    /// Notes a status that the reconciler has been told.
    fn note(&mut self, status: TaskStatus, driver: &mut Driver) {
        if status.state.is_terminal() {
            self.killing.remove(&status.task);
            self.matcher.ended(&status.task);
        }
        match self.tasks.get_mut(&status.task) {
            // What has ended stays so, whatever an answer that was on its way says. But what was only thought to be lost may turn up.
            Some(record) if record.state().is_terminal() => {
                if is_thought_over(record, &status) {
                    self.tasks.remove(&status.task);
                    self.adopt(status, driver);
                }
            }
            Some(record) => {
                record.status = status;
                if record.state().is_terminal() {
                    let task = record.status.task.clone();
                    self.record(TASK, task.as_str(), None, driver);
                }
            }
            None => self.adopt(status, driver),
        }
    }

    /// A task that was launched just now, or in an earlier life of the framework.
    fn adopt(&mut self, status: TaskStatus, driver: &mut Driver) {
        if let Some(agent) = status.agent.clone()
            && !status.state.is_terminal()
            && status.state != TaskState::Unknown
        {
            let now = driver.now();
            let launched_at = if status.state == TaskState::Staging { now } else { status.at.min(now) };
            let value = Some(agent.as_str().as_bytes().to_vec());
            self.record(TASK, status.task.as_str(), value, driver);
            self.tasks.insert(status.task.clone(), TaskRecord { agent, status, launched_at });
        }
    }

    fn record(&self, kind: &str, key: &str, value: Option<Vec<u8>>, driver: &mut Driver) {
        if self.records {
            driver.record(RecordChange { key: format!("{kind}{key}"), value });
        }
    }

    /// A task that an earlier life launched, and of whose end it was not told.
    fn restore_task(&mut self, now: Time, task: &str, agent: &[u8]) -> Result<(), String> {
        let task = TaskId::new(task).map_err(|error| error.to_string())?;
        let agent = std::str::from_utf8(agent).map_err(|error| error.to_string())?;
        let agent = AgentId::new(agent).map_err(|error| error.to_string())?;
        let status = TaskStatus {
            agent: Some(agent.clone()),
            ..TaskStatus::new(task.clone(), TaskState::Staging, now)
        };
        self.tasks.insert(task, TaskRecord { agent, status, launched_at: now });
        Ok(())
    }

    fn note_launched(&mut self, now: Time, launched: Vec<Launched>) {
        for Launched { task, agent, request } in launched {
            self.unconfirmed.extend(request.map(|request| (task.clone(), request)));
            let status = TaskStatus { agent: Some(agent), ..TaskStatus::new(task, TaskState::Staging, now) };
            self.own.push(status);
        }
    }

    /// Asks where tasks are that should run, and again after a while of which nothing was heard: the master can't say before their
    /// agents are back.
    fn ask_about(&mut self, which: impl Fn(&TaskId, TaskState) -> bool, driver: &mut Driver) {
        let is_asked =
            |id: &TaskId, task: &TaskRecord| !task.state().is_terminal() && which(id, task.state());
        let live = self.tasks.iter().filter(|(id, task)| is_asked(id, task));
        let asked: Vec<_> = live.map(|(id, task)| (id.clone(), Some(task.agent.clone()))).collect();
        self.unanswered = asked.iter().map(|(id, _)| id.clone()).collect();
        if !asked.is_empty() {
            driver.reconcile(asked);
            self.recheck_later(driver);
        }
    }

    fn recheck_later(&mut self, driver: &mut Driver) {
        if !self.rechecks {
            self.rechecks = true;
            driver.set_timer(RECHECK, UNKNOWN_RECHECK);
        }
    }

    /// Asks once more about what is not known, and to stop what was to be stopped and goes on.
    fn ask_again(&mut self, driver: &mut Driver) {
        self.rechecks = false;
        let goes_on =
            |task: &TaskId| self.tasks.get(task).is_some_and(|task| task.state() != TaskState::Killing);
        let going_on: Vec<_> = self.killing.iter().filter(|(task, _)| goes_on(task)).collect();
        let is_any = !going_on.is_empty();
        for (task, stop) in going_on {
            driver.kill(task.clone(), *stop);
        }
        if is_any {
            self.recheck_later(driver);
        }
        let unanswered = std::mem::take(&mut self.unanswered);
        self.ask_about(|id, state| may_change_unsaid(state) || unanswered.contains(id), driver);
    }
}

/// Whether a task's end was the verdict of someone who could not know, and this is its agent's word that it lives.
fn is_thought_over(record: &TaskRecord, status: &TaskStatus) -> bool {
    record.status.number.is_none() && status.number.is_some() && !status.state.is_terminal()
}

/// Whether a task may be elsewhere without anybody saying so: a master that does not know it only answers what it is asked.
fn may_change_unsaid(state: TaskState) -> bool {
    matches!(state, TaskState::Unknown | TaskState::Unreachable)
}

impl<R: Reconciler> Scheduler for Planned<R> {
    fn framework_info(&self) -> FrameworkInfo {
        self.reconciler.framework_info()
    }

    fn restore(&mut self, driver: &mut Driver, records: &Records) -> Result<(), DamagedRecord> {
        self.records = true;
        let now = driver.now();
        let mut own = Records::new();
        for (key, value) in records {
            if let Some(task) = key.strip_prefix(TASK) {
                self.restore_task(now, task, value).map_err(|problem| DamagedRecord::new(key, problem))?;
            } else if let Some(key) = key.strip_prefix(OWN) {
                own.insert(key.to_owned(), value.clone());
            } else {
                return Err(DamagedRecord::new(key, "nothing is recorded under such a key"));
            }
        }
        let mut plan = Plan::default();
        let view = View { now, tasks: &self.tasks, queued: 0 };
        self.reconciler.restore(&view, &own, &mut plan)?;
        self.carry_out(plan, driver);
        Ok(())
    }

    fn resource_offers(&mut self, driver: &mut Driver, offers: &mut [Offer]) {
        self.reconcile(driver);
        // A launch may lead to further ones that fit beside it.
        for _ in 0..MAX_PASSES {
            let mut launched = self.matcher.launch_gangs(&mut self.queue, offers);
            launched.extend(self.matcher.launch(&mut self.queue, offers));
            if launched.is_empty() {
                break;
            }
            self.note_launched(driver.now(), launched);
            self.reconcile(driver);
        }
        let mut leaves_any = false;
        for offer in offers.iter_mut() {
            if self.matcher.is_used_up(offer) || self.matcher.puts_off() {
                // The rest is for whoever is next, which may be this framework again.
                offer.refuse_for(Duration::ZERO);
            } else {
                leaves_any |= !offer.remaining().is_empty();
            }
        }
        if leaves_any {
            self.demand.refused(driver.now());
        }
        self.demand.forget_stated();
        self.declare(driver);
    }

    fn status_update(&mut self, driver: &mut Driver, status: &TaskStatus) -> Ack {
        let mut status = status.clone();
        self.unconfirmed.remove(&status.task);
        self.unanswered.remove(&status.task);
        if status.state == TaskState::Unknown && self.killing.contains_key(&status.task) {
            // Nobody will ever say that it ended.
            status.state = TaskState::Lost;
        }
        if may_change_unsaid(status.state) {
            self.recheck_later(driver);
        }
        let mut plan = Plan::default();
        self.reconciler.status_update(driver.now(), &status, &mut plan);
        self.note(status, driver);
        self.carry_out(plan, driver);
        self.reconcile_soon(driver);
        Ack::Now
    }

    fn status_repeated(&mut self, _driver: &mut Driver, status: &TaskStatus) {
        self.unanswered.remove(&status.task);
    }

    fn conflict(&mut self, driver: &mut Driver, conflict: &Conflict) {
        for task in &conflict.tasks {
            // One that is to be stopped is told to be unknown, and over with that.
            if let Some(request) = self.unconfirmed.remove(task).filter(|_| !self.killing.contains_key(task))
            {
                self.tasks.remove(task);
                self.record(TASK, task.as_str(), None, driver);
                self.matcher.ended(task);
                self.queue.push(request);
            }
        }
        self.demand.forget_stated();
        self.reconcile_soon(driver);
    }

    fn subscribed(&mut self, driver: &mut Driver, _how: Subscription) {
        // What was sent or told before may be lost.
        self.ask_about(|_, _| true, driver);
        for (task, stop) in &self.killing {
            driver.kill(task.clone(), *stop);
        }
        self.reconcile(driver);
        self.demand.forget_stated();
        self.declare(driver);
    }

    fn inverse_offers(&mut self, driver: &mut Driver, offers: &[InverseOfferInfo]) {
        let mut plan = Plan::default();
        for offer in offers {
            let accepts = self.reconciler.inverse_offer(driver.now(), offer, &mut plan);
            driver.answer_inverse_offer(offer.agent.clone(), accepts, DEFAULT_REFUSE);
        }
        self.carry_out(plan, driver);
        self.reconcile_soon(driver);
    }

    fn preemption(&mut self, driver: &mut Driver, notice: &PreemptionNotice) {
        let mut plan = Plan::default();
        self.reconciler.preemption(driver.now(), notice, &mut plan);
        self.carry_out(plan, driver);
        self.reconcile_soon(driver);
    }

    fn preemption_cancelled(&mut self, driver: &mut Driver, task: &TaskId) {
        let mut plan = Plan::default();
        self.reconciler.preemption_cancelled(driver.now(), task, &mut plan);
        self.carry_out(plan, driver);
        self.reconcile_soon(driver);
    }

    fn timer(&mut self, driver: &mut Driver, id: u64) {
        if id == RECHECK {
            return self.ask_again(driver);
        }
        self.reconcile(driver);
        self.declare(driver);
    }

    fn request(&mut self, driver: &mut Driver, request: RequestId, data: &[u8]) {
        let mut plan = Plan::default();
        self.reconciler.request(driver.now(), request, data, &mut plan);
        self.carry_out(plan, driver);
        self.reconcile_soon(driver);
    }

    fn request_cancelled(&mut self, driver: &mut Driver, request: RequestId) {
        self.reconciler.request_cancelled(request);
        self.reconcile_soon(driver);
    }

    fn explain(&self, task: &str) -> Explanation {
        if let Some(request) = TaskId::new(task).ok().and_then(|id| self.queue.get(&id)) {
            return Explanation {
                task: Some(task.to_owned()),
                wants: Some((request.role.clone(), request.shape.quantities())),
                obstacles: self.matcher.obstacles(&request.id),
            };
        }
        self.reconciler.explain(self.reconciled_at, task).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::protocol::{
        AgentId, Attributes, Command, CommandInfo, Epoch, FrameworkId, OfferId, OfferInfo, OfferMode,
        SchedulerCall, SchedulerEvent, Work,
    };
    use crate::resources::{Resources, Role, Shape};
    use crate::scheduler::{SchedulerInput, SchedulerOutput, SchedulerProcess};

    /// Wants one task, once, and notes what it is told of it.
    #[derive(Default)]
    struct OneTask {
        asked: bool,
        told: Vec<TaskState>,
    }

    impl Reconciler for OneTask {
        fn framework_info(&self) -> FrameworkInfo {
            FrameworkInfo::new("one", Role::any())
        }

        fn reconcile(&mut self, _: &View<'_>, plan: &mut Plan) {
            if !std::mem::replace(&mut self.asked, true) {
                let work = Work::Command(Arc::new(CommandInfo::new(Command::Shell("true".to_owned()))));
                let shape = Arc::new(Shape::from(Resources::cpus_mem(1000, 0)));
                plan.launch(TaskRequest::new(TaskId::new("t").unwrap(), Role::any(), shape, work));
            }
        }

        fn status_update(&mut self, _: Time, status: &TaskStatus, _: &mut Plan) {
            self.told.push(status.state);
        }
    }

    fn handle(process: &mut SchedulerProcess<Planned<OneTask>>, input: SchedulerInput) -> Vec<SchedulerCall> {
        let mut out = Vec::new();
        process.handle(Time::ZERO, input, &mut out);
        process.handle(Time::ZERO, SchedulerInput::Tick, &mut out);
        let calls = out.into_iter().filter_map(|output| match output {
            SchedulerOutput::Send(call) => Some(call),
            _ => None,
        });
        calls.collect()
    }

    fn offer(id: u64) -> SchedulerInput {
        let offer = OfferInfo {
            id: OfferId(id),
            role: Role::any(),
            agent: AgentId::new("a").unwrap(),
            hostname: String::new(),
            attributes: Attributes::new(),
            domain: None,
            unavailability: None,
            resources: Resources::cpus_mem(1000, 0),
            mode: OfferMode::Optimistic,
            set: None,
        };
        SchedulerInput::Event(SchedulerEvent::Offers(vec![offer]))
    }

    fn accepts(calls: &[SchedulerCall]) -> usize {
        calls.iter().filter(|call| matches!(call, SchedulerCall::Accept { .. })).count()
    }

    #[test]
    fn a_task_whose_offer_others_took_is_launched_on_another() {
        let mut process = SchedulerProcess::new(Planned::new(OneTask::default()));
        handle(&mut process, SchedulerInput::Connected);
        let framework = FrameworkId::new("one").unwrap();
        handle(
            &mut process,
            SchedulerInput::Event(SchedulerEvent::Subscribed {
                framework,
                epoch: Epoch::FIRST,
                resumed: false,
            }),
        );
        assert_eq!(accepts(&handle(&mut process, offer(1))), 1);
        let conflict = Conflict {
            offers: vec![OfferId(1)],
            agent: AgentId::new("a").unwrap(),
            gone: Resources::cpus_mem(1000, 0),
            tasks: vec![TaskId::new("t").unwrap()],
        };
        let calls = handle(&mut process, SchedulerInput::Event(SchedulerEvent::Conflict(conflict)));
        assert!(calls.iter().any(|call| matches!(call, SchedulerCall::SetDemand { .. })), "{calls:?}");
        let scheduler = process.scheduler();
        assert_eq!((scheduler.queued(), scheduler.tasks().len()), (1, 0));
        assert_eq!(accepts(&handle(&mut process, offer(2))), 1);
        assert_eq!(process.scheduler().reconciler().told, [TaskState::Staging, TaskState::Staging]);
        assert_eq!(accepts(&handle(&mut process, offer(3))), 0);
    }
}
