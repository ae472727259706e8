//! A plain framework for models: jobs arrive, their tasks wait in line and take the first offer that they fit.

use std::collections::VecDeque;
use std::time::Duration;

use apportion::protocol::{FrameworkInfo, TaskId, TaskInfo, TaskState, TaskStatus};
use apportion::resources::{Resources, Role};
use apportion::scheduler::{Ack, Driver, Offer, Scheduler, Subscription};
use apportion::time::Time;

use crate::agent::timer_work;

/// Tasks that arrive together.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// When, from the start of the simulation.
    pub at: Duration,
    /// How many.
    pub tasks: u64,
    /// What each needs.
    pub resources: Resources,
    /// How long each takes.
    pub duration: Duration,
}

/// What a framework has gone through.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct QueueRecord {
    /// Tasks that have ended with success.
    pub tasks_finished: u64,
    /// Tasks that have ended otherwise.
    pub tasks_failed: u64,
    /// Tasks that wait.
    pub tasks_pending: u64,
    /// Tasks that run.
    pub running: u64,
    /// The most that ran at a time.
    pub running_max: u64,
    /// Offers that came.
    pub offers: u64,
    /// Offers that were not used.
    pub declines: u64,
    /// The sum of all waits from arrival to launch, in nanoseconds.
    pub wait_ns: u128,
    /// When the last task ended, in nanoseconds.
    pub last_end_ns: u64,
}

/// A framework that runs jobs first in, first out.
#[derive(Debug)]
pub struct QueueFramework {
    name: String,
    role: Role,
    jobs: VecDeque<Job>,
    waiting: VecDeque<(Job, Time)>,
    launched: u64,
    record: QueueRecord,
}

impl QueueFramework {
    /// A framework with these jobs, in any order.
    pub fn new(name: &str, role: Role, mut jobs: Vec<Job>) -> Self {
        jobs.sort_by_key(|job| job.at);
        QueueFramework {
            name: name.to_owned(),
            role,
            jobs: jobs.into(),
            waiting: VecDeque::new(),
            launched: 0,
            record: QueueRecord::default(),
        }
    }

    /// What it has gone through so far.
    pub fn record(&self) -> QueueRecord {
        let pending = self.waiting.iter().map(|(job, _)| job.tasks).sum();
        QueueRecord { tasks_pending: pending, ..self.record.clone() }
    }

    /// Whether all its jobs have arrived and ended.
    pub fn is_done(&self) -> bool {
        self.jobs.is_empty() && self.waiting.is_empty() && self.record.running == 0
    }

    fn arrivals(&mut self, driver: &mut Driver) {
        let was_idle = self.waiting.is_empty();
        while let Some(job) = self.jobs.front() {
            let at = Time::ZERO + job.at;
            if at > driver.now() {
                driver.set_timer(0, at.since(driver.now()));
                break;
            }
            if let Some(job) = self.jobs.pop_front() {
                self.waiting.push_back((job, at));
            }
        }
        match (was_idle, self.waiting.is_empty()) {
            (true, false) => driver.revive(&[]),
            (_, true) => driver.suppress(&[]),
            (false, false) => {}
        }
    }

    /// The next task in line, when it fits.
    fn launch_next(&mut self, now: Time, offer: &mut Offer) -> bool {
        let Some((job, arrived)) = self.waiting.front_mut() else { return false };
        let Ok(id) = TaskId::new(format!("{}-{}", self.name, self.launched)) else { return false };
        let task = TaskInfo::new(id, job.resources.clone(), timer_work(job.duration));
        if offer.launch(task).is_err() {
            return false;
        }
        self.record.wait_ns += now.since(*arrived).as_nanos();
        job.tasks -= 1;
        if job.tasks == 0 {
            self.waiting.pop_front();
        }
        self.launched += 1;
        self.record.running += 1;
        self.record.running_max = self.record.running_max.max(self.record.running);
        true
    }
}

impl Scheduler for QueueFramework {
    fn framework_info(&self) -> FrameworkInfo {
        FrameworkInfo::new(&self.name, self.role.clone())
    }

    fn subscribed(&mut self, driver: &mut Driver, _how: Subscription) {
        self.jobs.retain(|job| job.tasks > 0);
        self.arrivals(driver);
    }

    fn timer(&mut self, driver: &mut Driver, _id: u64) {
        self.arrivals(driver);
    }

    fn resource_offers(&mut self, driver: &mut Driver, offers: &mut [Offer]) {
        for offer in offers {
            self.record.offers += 1;
            // One task an offer: the allocator then decides anew who is next, as in the DRF paper.
            if self.launch_next(driver.now(), offer) {
                offer.refuse_for(Duration::ZERO);
            } else {
                self.record.declines += 1;
            }
        }
        if self.waiting.is_empty() {
            driver.suppress(&[]);
        }
    }

    fn status_update(&mut self, _driver: &mut Driver, status: &TaskStatus) -> Ack {
        if status.state.is_terminal() {
            self.record.running = self.record.running.saturating_sub(1);
            self.record.last_end_ns = self.record.last_end_ns.max(status.at.as_nanos());
            match status.state {
                TaskState::Finished => self.record.tasks_finished += 1,
                _ => self.record.tasks_failed += 1,
            }
        }
        Ack::Now
    }
}
