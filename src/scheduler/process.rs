//! The state machine around a scheduler: it speaks the protocol with the master.

use std::time::Duration;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::{Ack, Driver, MAX_HOLD, Offer, Scheduler, Subscription};
use crate::protocol::{
    FrameworkId, OfferId, RequestId, SchedulerCall, SchedulerEvent, TaskId, TaskStatus, UpdateNumber,
};
use crate::time::{Time, Timers};

/// Requests of the program around the scheduler carry this bit, so that their numbers never meet those of the master.
const LOCAL_REQUEST: u64 = 1 << 63;

/// What happens to a scheduler.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum SchedulerInput {
    /// The master can be reached.
    Connected,
    /// The master can't be reached any more.
    Disconnected,
    /// The master speaks.
    Event(SchedulerEvent),
    /// The program around the scheduler asks something; its numbers are below 2^63.
    LocalRequest {
        /// To answer it by.
        request: RequestId,
        /// Only the scheduler knows its meaning.
        data: Vec<u8>,
    },
    /// Time has passed.
    Tick,
}

/// What a scheduler wants done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum SchedulerOutput {
    /// Tell the master.
    Send(SchedulerCall),
    /// Answer the program around the scheduler.
    LocalReply {
        /// Which request.
        request: RequestId,
        /// The answer.
        data: Vec<u8>,
        /// Whether no further one follows.
        last: bool,
    },
    /// The framework has ended; disconnect when everything is sent.
    Stop,
}

/// What a timer is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// A held offer is to be declined.
    Hold(OfferId),
    /// The scheduler's own.
    Own(u64),
}

/// A scheduler with what the protocol asks of it: subscription, offers that end in exactly one way, updates told once.
pub struct SchedulerProcess<S> {
    scheduler: S,
    framework: Option<FrameworkId>,
    connected: bool,
    held: Vec<Offer>,
    /// The newest update of each task that was told and may come again.
    told: FxHashMap<TaskId, UpdateNumber>,
    timers: Timers<Timer>,
}

impl<S: Scheduler> SchedulerProcess<S> {
    /// A scheduler that is not connected yet.
    pub fn new(scheduler: S) -> Self {
        SchedulerProcess {
            scheduler,
            framework: None,
            connected: false,
            held: Vec::new(),
            told: FxHashMap::default(),
            timers: Timers::default(),
        }
    }

    /// The scheduler.
    pub fn scheduler(&self) -> &S {
        &self.scheduler
    }

    /// When [`SchedulerInput::Tick`] is due.
    pub fn next_deadline(&self) -> Option<Time> {
        self.timers.next_deadline()
    }

    /// Takes note of what happened, and appends what is to be done.
    pub fn handle(&mut self, now: Time, input: SchedulerInput, out: &mut Vec<SchedulerOutput>) {
        let mut driver = Driver::new(now, self.framework.clone());
        match input {
            SchedulerInput::Connected => {
                let framework = self.scheduler.framework_info();
                let subscribe = SchedulerCall::Subscribe { framework, suppressed: Vec::new() };
                out.push(SchedulerOutput::Send(subscribe));
                return;
            }
            SchedulerInput::Disconnected => self.disconnected(&mut driver),
            SchedulerInput::Event(event) => self.event(now, event, &mut driver, out),
            SchedulerInput::LocalRequest { request, data } => {
                self.scheduler.request(&mut driver, RequestId(request.0 | LOCAL_REQUEST), &data);
            }
            SchedulerInput::Tick => {
                while let Some(timer) = self.timers.pop_due(now) {
                    match timer {
                        Timer::Own(id) => self.scheduler.timer(&mut driver, id),
                        Timer::Hold(id) => self.end_hold(id, &mut driver),
                    }
                }
            }
        }
        self.carry_out(driver, out);
    }

    fn disconnected(&mut self, driver: &mut Driver) {
        self.connected = false;
        for offer in std::mem::take(&mut self.held) {
            self.timers.cancel(&Timer::Hold(offer.id()));
        }
        self.scheduler.disconnected(driver);
    }

    fn event(
        &mut self,
        now: Time,
        event: SchedulerEvent,
        driver: &mut Driver,
        out: &mut Vec<SchedulerOutput>,
    ) {
        let scheduler = &mut self.scheduler;
        match event {
            SchedulerEvent::Subscribed { framework, resumed } => {
                *driver = Driver::new(now, Some(framework.clone()));
                self.framework = Some(framework);
                self.connected = true;
                let how = if resumed { Subscription::Resumed } else { Subscription::New };
                scheduler.subscribed(driver, how);
            }
            SchedulerEvent::Offers(offers) => {
                let offers = offers.into_iter().map(Offer::new).collect();
                self.offers(now, offers, driver, out);
            }
            SchedulerEvent::Rescind(offers) => {
                for id in offers {
                    if let Some(place) = self.held.iter().position(|offer| offer.id() == id) {
                        self.held.remove(place);
                        self.timers.cancel(&Timer::Hold(id));
                        self.scheduler.offer_rescinded(driver, id);
                    }
                }
            }
            SchedulerEvent::Update(status) => self.update(&status, driver),
            SchedulerEvent::AgentLost(agent) => scheduler.agent_lost(driver, &agent),
            SchedulerEvent::ExecutorLost { agent, executor, message } => {
                scheduler.executor_lost(driver, &agent, &executor, &message);
            }
            SchedulerEvent::Message { agent, executor, data } => {
                scheduler.framework_message(driver, &agent, &executor, &data);
            }
            SchedulerEvent::Request { request, data } => scheduler.request(driver, request, &data),
            SchedulerEvent::RequestCancelled(request) => scheduler.request_cancelled(driver, request),
            SchedulerEvent::Explain { request, task } => {
                let explanation = scheduler.explain(driver, &task);
                driver.calls.push(SchedulerCall::Explained { request, explanation });
            }
            SchedulerEvent::Error(message) => {
                tracing::warn!(%message, "refused by the master");
                scheduler.error(driver, &message);
            }
        }
    }

    /// Shows new offers together with those that are held, and ends each in exactly one way.
    fn offers(&mut self, now: Time, new: Vec<Offer>, driver: &mut Driver, out: &mut Vec<SchedulerOutput>) {
        let mut offers = std::mem::take(&mut self.held);
        let held_before = offers.len();
        offers.extend(new);
        self.scheduler.resource_offers(driver, &mut offers);
        let mut declined: Vec<(Duration, Vec<OfferId>)> = Vec::new();
        for (place, mut offer) in offers.into_iter().enumerate() {
            let hold = offer.take_held();
            let was_held = place < held_before;
            if offer.is_used() {
                self.timers.cancel(&Timer::Hold(offer.id()));
                let (id, operations, refuse) = offer.resolve();
                let accept = SchedulerCall::Accept { offers: vec![id], operations, refuse };
                out.push(SchedulerOutput::Send(accept));
            } else if let Some(until) = hold {
                // A hold is bounded from its beginning: asking again does not stretch it.
                if !was_held {
                    self.timers.set(Timer::Hold(offer.id()), until.min(now + MAX_HOLD));
                }
                self.held.push(offer);
            } else {
                self.timers.cancel(&Timer::Hold(offer.id()));
                let (id, _, refuse) = offer.resolve();
                match declined.iter_mut().find(|(same, _)| *same == refuse) {
                    Some((_, ids)) => ids.push(id),
                    None => declined.push((refuse, vec![id])),
                }
            }
        }
        for (refuse, offers) in declined {
            out.push(SchedulerOutput::Send(SchedulerCall::Decline { offers, refuse }));
        }
    }

    fn end_hold(&mut self, id: OfferId, driver: &mut Driver) {
        if let Some(place) = self.held.iter().position(|offer| offer.id() == id) {
            let (id, _, refuse) = self.held.remove(place).resolve();
            driver.calls.push(SchedulerCall::Decline { offers: vec![id], refuse });
        }
    }

    /// Tells an update once; what was told before is acknowledged again only.
    fn update(&mut self, status: &TaskStatus, driver: &mut Driver) {
        let (Some(number), Some(agent)) = (status.number, &status.agent) else {
            // The master's own word is not repeated.
            let _ = self.scheduler.status_update(driver, status);
            return;
        };
        let repeated = self.told.get(&status.task).is_some_and(|told| *told >= number);
        let ack = if repeated { Ack::Now } else { self.scheduler.status_update(driver, status) };
        match ack {
            Ack::Now => {
                driver.acknowledge(status.task.clone(), agent.clone(), number);
                if status.state.is_terminal() {
                    self.told.remove(&status.task);
                } else {
                    self.told.insert(status.task.clone(), number);
                }
            }
            Ack::Later => {
                self.told.insert(status.task.clone(), number);
            }
        }
    }

    fn carry_out(&mut self, driver: Driver, out: &mut Vec<SchedulerOutput>) {
        for (id, at) in driver.timers {
            match at {
                Some(at) => self.timers.set(Timer::Own(id), at),
                None => self.timers.cancel(&Timer::Own(id)),
            }
        }
        for call in driver.calls {
            match call {
                SchedulerCall::Reply { request, data, last } if request.0 & LOCAL_REQUEST != 0 => {
                    let request = RequestId(request.0 & !LOCAL_REQUEST);
                    out.push(SchedulerOutput::LocalReply { request, data, last });
                }
                // Without a subscription there is nobody to tell; what matters is said again when there is one.
                _ if !self.connected => {}
                call => out.push(SchedulerOutput::Send(call)),
            }
        }
        if driver.stop {
            out.push(SchedulerOutput::Stop);
        }
    }
}
