//! Makes a scheduler of a reconciler.

use std::collections::BTreeMap;
use std::time::Duration;

use super::queue::Queue;
use super::{Ack, Driver, Offer, Plan, Reconciler, Scheduler, Subscription, TaskRecord, View};
use crate::protocol::{Explanation, FrameworkInfo, RequestId, TaskId, TaskState, TaskStatus};
use crate::time::Time;

/// How often a reconciler is asked again while it still plans something. One that never settles is a mistake of its author.
const MAX_ROUNDS: usize = 64;

/// The timer by which a reconciler is woken.
const WAKE: u64 = 0;

/// A scheduler that does what a [`Reconciler`] plans: it queues tasks and launches them on the first offers that they fit,
/// wants offers only while some are queued, and keeps the record of what was launched.
#[derive(Debug)]
pub struct Planned<R> {
    reconciler: R,
    queue: Queue,
    tasks: BTreeMap<TaskId, TaskRecord>,
    /// Whether the master was told that offers are wanted.
    wants_offers: bool,
}

impl<R: Reconciler> Planned<R> {
    /// The reconciler, with nothing queued or launched.
    pub fn new(reconciler: R) -> Self {
        Planned { reconciler, queue: Queue::default(), tasks: BTreeMap::new(), wants_offers: true }
    }

    /// The reconciler.
    pub fn reconciler(&self) -> &R {
        &self.reconciler
    }

    /// Carries out `plan`, then asks the reconciler until it plans nothing more.
    fn settle(&mut self, driver: &mut Driver, mut plan: Plan) {
        let mut wake_at: Option<Time> = None;
        let mut new_class = false;
        for round in 0.. {
            new_class |= self.carry_out(driver, &mut plan);
            let view = View { now: driver.now(), tasks: &self.tasks, queued: self.queue.len() };
            self.reconciler.reconcile(&view, &mut plan);
            wake_at = plan.wake_at.take();
            if plan.is_empty() {
                break;
            }
            if round == MAX_ROUNDS {
                let framework = self.reconciler.framework_info().name;
                tracing::error!(%framework, rounds = MAX_ROUNDS, "its reconciler does not settle: it plans without end");
                new_class |= self.carry_out(driver, &mut plan);
                break;
            }
        }
        match wake_at {
            // A time that has passed still takes a moment, so that the wish can't spin.
            Some(at) => driver.set_timer(WAKE, at.since(driver.now()).max(Duration::from_millis(1))),
            None => driver.cancel_timer(WAKE),
        }
        self.want_offers(driver, new_class);
    }

    /// Offers are wanted while tasks are queued. Work of a new shape may fit what was refused before.
    fn want_offers(&mut self, driver: &mut Driver, new_class: bool) {
        let wanted = !self.queue.is_empty();
        match (wanted, self.wants_offers) {
            (true, false) => driver.revive(&[]),
            (true, true) if new_class => driver.revive(&[]),
            (false, true) => driver.suppress(&[]),
            (true, true) | (false, false) => {}
        }
        self.wants_offers = wanted;
    }

    /// Does what was planned. Says whether tasks of a shape that nobody waited for are queued now.
    fn carry_out(&mut self, driver: &mut Driver, plan: &mut Plan) -> bool {
        let mut new_class = false;
        for task in plan.launches.drain(..) {
            new_class |= self.queue.push(task);
        }
        let mut withdrawn = Vec::new();
        for (id, stop) in plan.kills.drain(..) {
            match self.queue.remove(&id) {
                Some(_) => withdrawn.push(id),
                None => driver.kill(id, stop),
            }
        }
        for id in plan.forgotten.drain(..) {
            self.tasks.remove(&id);
        }
        for (request, data, last) in plan.replies.drain(..) {
            driver.reply(request, data, last);
        }
        for id in withdrawn {
            let status = TaskStatus::new(id, TaskState::Killed, driver.now());
            self.reconciler.status_update(driver.now(), &status, plan);
        }
        new_class
    }
}

impl<R: Reconciler> Scheduler for Planned<R> {
    fn framework_info(&self) -> FrameworkInfo {
        self.reconciler.framework_info()
    }

    fn subscribed(&mut self, driver: &mut Driver, _how: Subscription) {
        // The master takes a new subscription as a wish for offers.
        self.wants_offers = true;
        self.settle(driver, Plan::default());
    }

    fn resource_offers(&mut self, driver: &mut Driver, offers: &mut [Offer]) {
        let now = driver.now();
        let mut launched = Vec::new();
        self.queue.launch_on(offers, |offer, task| {
            let mut status = TaskStatus::new(task, TaskState::Staging, now);
            status.agent = Some(offer.agent().clone());
            launched.push((offer.agent().clone(), status));
        });
        let mut plan = Plan::default();
        for (agent, status) in launched {
            self.reconciler.status_update(now, &status, &mut plan);
            self.tasks.insert(status.task.clone(), TaskRecord { agent, status, launched_at: now });
        }
        self.settle(driver, plan);
    }

    fn status_update(&mut self, driver: &mut Driver, status: &TaskStatus) -> Ack {
        let mut plan = Plan::default();
        self.reconciler.status_update(driver.now(), status, &mut plan);
        match self.tasks.get_mut(&status.task) {
            Some(record) => record.status = status.clone(),
            None => {
                if let Some(agent) = status.agent.clone().filter(|_| !status.state.is_terminal()) {
                    let record = TaskRecord { agent, status: status.clone(), launched_at: status.at };
                    self.tasks.insert(status.task.clone(), record);
                }
            }
        }
        self.settle(driver, plan);
        Ack::Now
    }

    fn timer(&mut self, driver: &mut Driver, _id: u64) {
        self.settle(driver, Plan::default());
    }

    fn request(&mut self, driver: &mut Driver, request: RequestId, data: &[u8]) {
        let mut plan = Plan::default();
        self.reconciler.request(driver.now(), request, data, &mut plan);
        self.settle(driver, plan);
    }

    fn request_cancelled(&mut self, driver: &mut Driver, request: RequestId) {
        self.reconciler.request_cancelled(request);
        self.settle(driver, Plan::default());
    }

    fn explain(&self, driver: &mut Driver, task: &str) -> Explanation {
        if let Some(queued) = self.queue.get(task) {
            let wants = (queued.role.clone(), queued.shape.quantities());
            return Explanation { task: Some(task.to_owned()), wants: Some(wants), obstacles: Vec::new() };
        }
        self.reconciler.explain(driver.now(), task).unwrap_or_default()
    }
}
