//! A framework that queues jobs and launches their tasks.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

use apportion::protocol::{
    ExecutorInfo, FrameworkInfo, Reason, RequestId, TaskId, TaskInfo, TaskState, TaskStatus, Work,
};
use apportion::resources::{Quantities, Role};
use apportion::scheduler::gpus::typical;
use apportion::scheduler::{Ack, Alignment, Driver, Offer, Scheduler, Subscription, TaskRequest};
use apportion::time::Time;
use compact_str::{CompactString, ToCompactString};
use rustc_hash::FxHashMap;

use super::backfill::{Planned, Reservation};
use super::demand::Stated;
use super::devices::DeviceBook;
use super::fair::FairShares;
use super::line::{Entry, Line};
use super::options::{QueueOptions, QueuePolicy};
use super::own::OwnPlacement;
use super::party::Effort;
use super::refusals::Refusals;
use super::shelf::{Chooser, ClassRequest, Shelf, Spot};
use super::timer::TimerTask;
use crate::random::Stream;
use crate::workload::{Job, Workload};

/// The share of tasks that those cover which fragmentation is reckoned by.
const TYPICAL: f64 = 0.95;

/// A framework that plays the jobs of a workload.
///
/// A request whose data is the number of a job (four bytes, little-endian) makes it arrive. Tasks that are lost or dropped are
/// launched again; tasks that fail are not.
#[derive(Debug)]
pub struct QueueFramework {
    info: FrameworkInfo,
    pub(super) role: Role,
    pub(super) options: QueueOptions,
    pub(super) workload: Arc<Workload>,
    pub(super) requests: Vec<Arc<ClassRequest>>,
    executor: Arc<ExecutorInfo>,
    pub(super) line: Line,
    /// Whether any of its jobs is a gang.
    has_gangs: bool,
    /// Of each job, how many tasks were launched for the first time.
    begun: Vec<u32>,
    /// Of jobs with lost tasks, the indexes that are to be launched again.
    again: BTreeMap<u32, Vec<u32>>,
    /// How often tasks were launched that were launched more than once.
    attempts: FxHashMap<(u32, u32), u32>,
    pub(super) chooser: Chooser,
    /// Tasks that run, for policies that plan ahead.
    pub(super) running: BTreeMap<(u32, u32), Planned>,
    pub(super) shares: FairShares,
    /// What jobs that wait are to get, by conservative backfilling.
    pub(super) reservations: BTreeMap<u32, Vec<Reservation>>,
    /// Something has ended since the last plan.
    pub(super) released: bool,
    refusals: Refusals,
    pub(super) stated: Stated,
    /// Something has changed since the last plan.
    replan: bool,
    /// When the last plan was made.
    planned_at: Option<Time>,
    /// When it last asked for all offers to place a gang.
    gathered_at: Option<Time>,
    effort: Effort,
    /// Whether anything was launched on the present offers.
    has_launched: bool,
    /// So many jobs more can be decided on with the present offers.
    jobs_left: u32,
    /// The job whose task was the last to be launched: going on with it is no new decision.
    going_on: Option<u32>,
    /// By class, the first of the present offers that may fit.
    firsts: FxHashMap<u32, usize>,
}

impl QueueFramework {
    /// A framework that waits for the jobs of a workload to arrive. `largest` is the most that an agent has of each kind; `stream`
    /// is drawn from by placements that draw.
    pub fn new(
        name: &str,
        role: Role,
        options: QueueOptions,
        workload: Arc<Workload>,
        largest: Quantities,
        stream: Stream,
    ) -> Self {
        let executor = TimerTask::executor();
        let mut book = DeviceBook::default();
        let mut requests = Vec::new();
        for class in &workload.classes {
            let work = Work::Custom { executor: executor.clone(), data: Vec::new() };
            // Policies look at what is wanted, not at the name.
            let Ok(id) = TaskId::new("class") else { continue };
            let request = TaskRequest::new(id, role.clone(), Arc::new(class.shape.clone()), work);
            requests.push(Arc::new(ClassRequest {
                class: class.clone(),
                request,
                demand: book.demand(class),
            }));
        }
        let demands = workload.jobs.iter().map(|job| (requests[job.class as usize].demand, 1));
        let typical = typical(demands, TYPICAL);
        let shares = FairShares::new(&workload, &largest);
        let chooser = Chooser {
            placement: options.placement,
            own: None,
            typical,
            alignment: Alignment::new(largest),
            stream,
            book,
        };
        QueueFramework {
            info: FrameworkInfo::new(name, role.clone()),
            requests,
            chooser,
            line: Line::new(workload.classes.len()),
            has_gangs: workload.jobs.iter().any(Job::is_gang),
            begun: vec![0; workload.jobs.len()],
            role,
            options,
            workload,
            executor,
            again: BTreeMap::new(),
            attempts: FxHashMap::default(),
            running: BTreeMap::new(),
            shares,
            reservations: BTreeMap::new(),
            released: false,
            refusals: Refusals::default(),
            stated: Stated::default(),
            replan: false,
            planned_at: None,
            gathered_at: None,
            effort: Effort::default(),
            has_launched: false,
            jobs_left: u32::MAX,
            going_on: None,
            firsts: FxHashMap::default(),
        }
    }

    /// With a placement policy of one's own instead of the one in its options.
    #[must_use]
    pub fn placing_by(mut self, own: Option<OwnPlacement>) -> Self {
        self.chooser.own = own;
        self
    }

    /// How much it has decided so far.
    pub fn effort(&self) -> Effort {
        self.effort
    }

    /// The request that makes a job arrive.
    pub fn arrival(job: u32) -> Vec<u8> {
        job.to_le_bytes().to_vec()
    }

    pub(super) fn job(&self, job: u32) -> &Job {
        &self.workload.jobs[job as usize]
    }

    fn enqueue(&mut self, job: u32) {
        self.line.push(self.job(job).class, self.key(job), job);
    }

    /// What the policy orders jobs by.
    fn key(&self, job: u32) -> u64 {
        let waiting = self.job(job);
        match self.options.policy {
            QueuePolicy::Fifo | QueuePolicy::Skip | QueuePolicy::Easy | QueuePolicy::Conservative => 0,
            QueuePolicy::Fair => self.shares.of(job, waiting.class),
            QueuePolicy::ShortestFirst => {
                let declared = waiting.terms().limit.or_else(|| waiting.lengths.of(0));
                declared.map_or(u64::MAX, crate::values::Span::nanos)
            }
            // The highest priority has the lowest key.
            QueuePolicy::Priority => (i64::from(i32::MAX) - i64::from(waiting.terms().priority)) as u64,
        }
    }

    /// The next task of a job that waits for an offer.
    pub(super) fn next_index(&self, job: u32) -> Option<u32> {
        let lost = self.again.get(&job).and_then(|lost| lost.last()).copied();
        lost.or_else(|| {
            let begun = self.begun[job as usize];
            (begun < self.job(job).tasks).then_some(begun)
        })
    }

    pub(super) fn waiting_tasks(&self, job: u32) -> u32 {
        let lost = self.again.get(&job).map_or(0, Vec::len) as u32;
        lost + self.job(job).tasks - self.begun[job as usize]
    }

    /// Launches the next task of a job at a spot; the job leaves the line with its last one. Whether there was one.
    pub(super) fn launch(
        &mut self,
        entry: Entry,
        request: &ClassRequest,
        shelf: &mut Shelf<'_>,
        spot: Spot,
    ) -> bool {
        let job = entry.job;
        let (Some(index), Some((offer, resources))) = (self.next_index(job), shelf.take(&spot, request))
        else {
            return false;
        };
        let name = task_name(job, index, self.attempts.get(&(job, index)).copied());
        let length = self.job(job).lengths.of(index);
        let work = TimerTask { job, index, length }.work(&self.executor);
        // Numbers and dots make a valid name, and the resources were found in this very offer.
        let launched = TaskId::new(name).map(|id| offer.launch(TaskInfo::new(id, resources, work)).is_ok());
        debug_assert_eq!(launched, Ok(true), "a task was matched to an offer that it does not fit");
        if !spot.devices.is_empty() {
            self.chooser.book.take((job, index), offer.agent(), request.demand);
        }
        self.note_launched(job);
        true
    }

    fn note_launched(&mut self, job: u32) {
        if let Some(lost) = self.again.get_mut(&job) {
            lost.pop();
            if lost.is_empty() {
                self.again.remove(&job);
            }
        } else {
            self.begun[job as usize] += 1;
        }
        if self.going_on != Some(job) {
            self.note_decision(job);
        }
        match self.job(job).terms().decision {
            Some(own) => self.effort.own_ns += own.per_task.nanos(),
            None => self.effort.tasks += 1,
        }
        (self.going_on, self.has_launched) = (Some(job), true);
        let class = self.job(job).class;
        self.line.take_task(class);
        if self.next_index(job).is_none() {
            self.line.remove(class, self.key(job), job);
        }
        self.note_running(job, 1);
    }

    /// A job is decided on.
    fn note_decision(&mut self, job: u32) {
        self.jobs_left = self.jobs_left.saturating_sub(1);
        match self.job(job).terms().decision {
            Some(own) => self.effort.own_ns += own.per_job.nanos(),
            None => self.effort.jobs += 1,
        }
    }

    /// Launches as many waiting tasks of a job as fit; whether none is left.
    fn place(&mut self, entry: Entry, class: u32, shelf: &mut Shelf<'_>, first: &mut usize) -> bool {
        while self.next_index(entry.job).is_some() {
            if !self.place_next(entry, class, shelf, first) {
                return false;
            }
        }
        true
    }

    /// Launches the next task of a job, or all of a gang; whether that was possible.
    pub(super) fn place_next(
        &mut self,
        entry: Entry,
        class: u32,
        shelf: &mut Shelf<'_>,
        first: &mut usize,
    ) -> bool {
        if self.jobs_left == 0 && self.going_on != Some(entry.job) {
            return false;
        }
        let request = self.requests[class as usize].clone();
        if self.job(entry.job).is_gang() {
            let count = self.waiting_tasks(entry.job);
            let Some(spots) = shelf.choose_all(&request, &mut self.chooser, count) else { return false };
            return spots.into_iter().all(|spot| self.launch(entry, &request, shelf, spot));
        }
        let spot = shelf.choose(&request, &mut self.chooser, first);
        spot.is_some_and(|spot| self.launch(entry, &request, shelf, spot))
    }

    /// First in, first out: stops at the first job that does not fit.
    fn serve_in_order(&mut self, shelf: &mut Shelf<'_>) {
        let mut firsts = std::mem::take(&mut self.firsts);
        firsts.clear();
        while let Some((entry, class)) = self.line.head() {
            if !self.place(entry, class, shelf, firsts.entry(class).or_default()) {
                break;
            }
        }
        self.firsts = firsts;
    }

    /// Goes through all classes in order; leaves one alone as soon as a job of it does not fit. Another gang of the class may be
    /// smaller, so those are all tried.
    fn serve_what_fits(&mut self, shelf: &mut Shelf<'_>) {
        // Each with the first offer that may fit.
        let mut turns: BinaryHeap<_> =
            self.line.heads().map(|(entry, class)| Reverse((entry, class, 0))).collect();
        while let Some(Reverse((entry, class, mut first))) = turns.pop() {
            let following = self.line.after(class, entry);
            let placed = self.place(entry, class, shelf, &mut first);
            if placed || self.job(entry.job).is_gang() {
                turns.extend(following.map(|next| Reverse((next, class, first))));
            }
        }
    }

    pub(super) fn is_strict(&self) -> bool {
        self.options.policy == QueuePolicy::Fifo
    }

    /// The classes of which a task could be launched next, if it fitted.
    fn candidates(&self) -> Vec<u32> {
        if self.is_strict() {
            self.line.head().map(|(_, class)| class).into_iter().collect()
        } else {
            self.line.heads().map(|(_, class)| class).collect()
        }
    }

    /// Says what it waits for; asks for those offers again that it refused and now may use.
    fn declare(&mut self, driver: &mut Driver) {
        self.state_demand(driver);
        // Plans are made anew whenever something has changed, on all that is free.
        let may_use_refused = if self.options.policy.is_planned() {
            self.replan && self.refusals.any() && !self.line.is_empty()
        } else {
            self.refusals.any()
                && self.candidates().iter().any(|class| self.refusals.may_fit(*class, &self.requests))
        };
        if may_use_refused {
            self.revive(driver);
        }
    }

    fn revive(&mut self, driver: &mut Driver) {
        self.refusals.clear();
        driver.revive(&[]);
    }

    /// Whether a gang is among those that are next.
    pub(super) fn awaits_gang(&self) -> bool {
        self.has_gangs && self.line.heads().any(|(entry, _)| self.job(entry.job).is_gang())
    }

    /// Whether a gang waits for which all that is free has not been asked for at this time. It needs offers of several agents at
    /// once, which are refused one by one.
    fn has_to_gather(&self, now: Time) -> bool {
        !self.options.policy.is_planned() && self.gathered_at != Some(now) && self.awaits_gang()
    }

    fn gather(&mut self, driver: &mut Driver) {
        self.gathered_at = Some(driver.now());
        self.revive(driver);
    }

    /// A task that was cut short through no fault of its own waits again.
    fn run_again(&mut self, driver: &mut Driver, job: u32, index: u32) {
        self.relaunch(job, index);
        self.declare(driver);
    }

    /// A task is to be launched again.
    fn relaunch(&mut self, job: u32, index: u32) {
        self.line.add_tasks(self.job(job).class, 1);
        *self.attempts.entry((job, index)).or_default() += 1;
        self.again.entry(job).or_default().push(index);
        self.going_on = None;
        self.enqueue(job);
    }
}

impl Scheduler for QueueFramework {
    fn framework_info(&self) -> FrameworkInfo {
        self.info.clone()
    }

    fn subscribed(&mut self, driver: &mut Driver, _how: Subscription) {
        self.stated.reset();
        self.declare(driver);
    }

    fn request(&mut self, driver: &mut Driver, _request: RequestId, data: &[u8]) {
        let number = data.try_into().map(u32::from_le_bytes);
        let Some(job) = number.ok().filter(|job| (*job as usize) < self.workload.jobs.len()) else { return };
        let waiting = self.job(job);
        self.line.add_tasks(waiting.class, waiting.tasks);
        self.enqueue(job);
        self.replan = true;
        self.declare(driver);
    }

    fn resource_offers(&mut self, driver: &mut Driver, offers: &mut [Offer]) {
        self.stated.spend();
        (self.has_launched, self.jobs_left) = (false, self.options.jobs_per_decision);
        let (role, mut puts_off) = (self.role.clone(), false);
        if self.options.policy.is_planned() {
            // What a plan left over comes back at once, and is no news.
            if std::mem::take(&mut self.replan) || self.planned_at != Some(driver.now()) {
                self.planned_at = Some(driver.now());
                self.serve_by_plan(driver.now(), offers);
            }
        } else if !self.line.is_empty() {
            let mut shelf = Shelf::new(offers, self.options.per_offer, &mut self.chooser, &role);
            if self.is_strict() {
                self.serve_in_order(&mut shelf);
            } else if self.options.policy == QueuePolicy::Fair {
                self.serve_fairly(&mut shelf);
            } else {
                self.serve_what_fits(&mut shelf);
            }
            puts_off = shelf.puts_off();
            if !self.has_launched {
                self.going_on = None;
                if let Some((entry, _)) = self.line.head() {
                    self.note_decision(entry.job);
                }
            }
        }
        let gathers = self.has_to_gather(driver.now());
        // What it did not get to is still wanted.
        let keeps_all = gathers || puts_off || self.has_launched && self.jobs_left == 0;
        let mut refused = false;
        for offer in offers {
            // What is left of an offer is for whoever is next, which may be this framework again.
            let is_refused = !keeps_all && !offer.is_used();
            offer.refuse_for(if is_refused { self.options.refuse.duration() } else { Duration::ZERO });
            refused |= is_refused;
        }
        if refused {
            self.refusals.note(&self.candidates());
        }
        if gathers {
            self.gather(driver);
        }
        self.declare(driver);
    }

    fn status_update(&mut self, driver: &mut Driver, status: &TaskStatus) -> Ack {
        if !status.state.is_terminal() {
            return Ack::Now;
        }
        if let Some((job, index)) = task_of(&status.task) {
            self.chooser.book.give((job, index));
            self.note_running(job, -1);
            if self.running.remove(&(job, index)).is_some() {
                (self.replan, self.released) = (true, true);
                self.declare(driver);
            }
            match status.state {
                TaskState::Lost | TaskState::Dropped | TaskState::Gone => self.run_again(driver, job, index),
                TaskState::Killed if status.reason == Some(Reason::Preempted) => {
                    self.run_again(driver, job, index);
                }
                _ if self.refusals.any() && self.has_to_gather(driver.now()) => self.gather(driver),
                _ => {}
            }
        }
        Ack::Now
    }
}

/// The name of a task, which tells its job, its index, and how often it was launched before, if it was.
fn task_name(job: u32, index: u32, attempt: Option<u32>) -> CompactString {
    // Put together by hand: it is made for each of millions of tasks.
    let mut name = job.to_compact_string();
    for number in [Some(index), attempt].into_iter().flatten() {
        name.push('.');
        name.push_str(&number.to_compact_string());
    }
    name
}

/// The job and index that a task's name tells.
fn task_of(task: &TaskId) -> Option<(u32, u32)> {
    let mut parts = task.as_str().split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}
