//! Runs a scheduler: turns the master's events into callbacks, and what the callbacks ask into calls.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::{Ack, DamagedRecord, Driver, MAX_HOLD, Offer, RecordChange, Records, Scheduler, Subscription};
use crate::protocol::epoch::NewestEpoch;
use crate::protocol::{
    Deposed, Epoch, FrameworkId, FrameworkInfo, OfferId, OfferInfo, OfferSetId, Operation, RequestId,
    SchedulerCall, SchedulerEvent, TaskId, TaskStatus, UpdateNumber,
};
use crate::resources::Role;
use crate::time::{Time, Timers};

/// Marks the requests of the program around the scheduler; the master counts its own from 1 and never gets here.
const LOCAL: u64 = 1 << 63;

/// What happens to a scheduler.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum SchedulerInput {
    /// There is a connection with the master.
    Connected,
    /// There is none any more. What was sent and not answered may be lost.
    Disconnected,
    /// The master speaks.
    Event(SchedulerEvent),
    /// The program around the scheduler asks something.
    LocalRequest {
        /// To be answered by. Below 2^63.
        request: RequestId,
        /// Opaque to everyone but the scheduler.
        data: Vec<u8>,
    },
    /// The program does not wait for answers to that request any more.
    LocalCancel(RequestId),
    /// Time has passed, or a batch of inputs is complete.
    Tick,
}

/// What a scheduler wants done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum SchedulerOutput {
    /// Make this durable before anything that follows is done. Whoever keeps no records leaves it.
    Record(Vec<RecordChange>),
    /// Tell the master.
    Send(SchedulerCall),
    /// End the master's connection, and seek the master that leads.
    RefuseMaster(Deposed),
    /// Answer the program around the scheduler.
    LocalReply {
        /// Which request.
        request: RequestId,
        /// The answer.
        data: Vec<u8>,
        /// Whether no further one follows.
        last: bool,
    },
    /// The framework has ended: say what was said before this, then go.
    Stop,
}

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// A held offer is declined.
    Hold(OfferId),
    /// The scheduler's own.
    Scheduler(u64),
}

/// An offer that was held when the callback returned.
#[derive(Debug)]
struct Held {
    offer: Offer,
    /// Not held any longer than until then.
    limit: Time,
}

/// What becomes of a set of offers when the callback has returned.
#[derive(Debug, Default)]
struct SetUse {
    /// Something is launched on one of them.
    is_used: bool,
    seen: bool,
    /// Until when all are held; `None` when not all are.
    until: Option<Time>,
    parts: Vec<(OfferId, Vec<Operation>)>,
    refuse: Duration,
}

impl SetUse {
    fn note(&mut self, offer: &Offer, limit: Time) {
        let until = offer.held_until().map(|until| until.min(limit));
        self.is_used |= offer.is_used();
        self.until = if self.seen { self.until.zip(until).map(|(a, b)| a.min(b)) } else { until };
        self.seen = true;
    }
}

/// Room for so many calls is kept from one callback to the next: most make fewer.
const CALLS_KEPT: usize = 64;

/// So many tasks that have ended are remembered, so that what was told before their end is not told after it.
const ENDED_TASKS_REMEMBERED: usize = 10_000;

/// The tasks whose ends were acknowledged last, with the numbers of their last updates.
#[derive(Debug, Default)]
struct Ended {
    last: FxHashMap<TaskId, UpdateNumber>,
    order: VecDeque<TaskId>,
}

impl Ended {
    fn remember(&mut self, task: &TaskId, number: UpdateNumber) {
        if self.last.insert(task.clone(), number).is_some() {
            return;
        }
        self.order.push_back(task.clone());
        if self.order.len() > ENDED_TASKS_REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.last.remove(&oldest);
        }
    }

    /// Whether an update of a task is its last one, or one before.
    fn covers(&self, task: &TaskId, number: UpdateNumber) -> bool {
        self.last.get(task).is_some_and(|last| number <= *last)
    }
}

/// How far a task's updates have come.
#[derive(Debug)]
struct Delivery {
    acknowledged: UpdateNumber,
    /// The master said something without a number since then, such as that the agent can't be reached: then even an old
    /// update is news.
    superseded: bool,
}

/// Runs a [`Scheduler`] as a pure state machine: the master's events in, calls to the master out.
///
/// Its driver feeds [`SchedulerInput`]s, carries out the [`SchedulerOutput`]s in order, and gives a
/// [`Tick`](SchedulerInput::Tick) when [`next_deadline`](Self::next_deadline) has come, at best after a whole batch of
/// events.
#[derive(Debug)]
pub struct SchedulerProcess<S> {
    scheduler: S,
    info: FrameworkInfo,
    framework: Option<FrameworkId>,
    newest_epoch: NewestEpoch,
    /// The connection is with a master that does not lead any more.
    refused: bool,
    subscribed: bool,
    suppressed: BTreeSet<Role>,
    /// As what it asked to be subscribed last, and with which roles suppressed.
    introduced: Option<(FrameworkInfo, BTreeSet<Role>)>,
    held: BTreeMap<OfferId, Held>,
    deliveries: FxHashMap<TaskId, Delivery>,
    /// Terminal updates that the scheduler will acknowledge later.
    endings: FxHashMap<TaskId, UpdateNumber>,
    ended: Ended,
    timers: Timers<Timer>,
    /// Calls of the time without a subscription that still make sense afterwards.
    unsent: Vec<SchedulerCall>,
    /// Empty; what the next driver collects calls in.
    calls: Vec<SchedulerCall>,
}

impl<S: Scheduler> SchedulerProcess<S> {
    /// The process of a scheduler that is not connected yet.
    pub fn new(scheduler: S) -> Self {
        SchedulerProcess {
            info: scheduler.framework_info(),
            scheduler,
            framework: None,
            newest_epoch: NewestEpoch::default(),
            refused: false,
            subscribed: false,
            suppressed: BTreeSet::new(),
            introduced: None,
            held: BTreeMap::new(),
            deliveries: FxHashMap::default(),
            endings: FxHashMap::default(),
            ended: Ended::default(),
            timers: Timers::default(),
            unsent: Vec::new(),
            calls: Vec::new(),
        }
    }

    /// The scheduler.
    pub fn scheduler(&self) -> &S {
        &self.scheduler
    }

    /// Lets the scheduler go on from what an earlier life recorded; before any input.
    ///
    /// # Errors
    /// When it can't use a record.
    pub fn restore(
        &mut self,
        now: Time,
        records: &Records,
        out: &mut Vec<SchedulerOutput>,
    ) -> Result<(), DamagedRecord> {
        self.call(now, out, |scheduler, driver| scheduler.restore(driver, records))
    }

    /// When [`SchedulerInput::Tick`] is due; `None` for not before something else happens.
    pub fn next_deadline(&self) -> Option<Time> {
        self.timers.next_deadline()
    }

    /// Takes note of what happened, and appends what is to be done.
    pub fn handle(&mut self, now: Time, input: SchedulerInput, out: &mut Vec<SchedulerOutput>) {
        match input {
            SchedulerInput::Connected => self.connected(out),
            SchedulerInput::Disconnected => self.disconnected(now, out),
            SchedulerInput::Event(_) if self.refused => {}
            SchedulerInput::Event(event) => self.event(now, event, out),
            SchedulerInput::LocalRequest { request, data } => {
                let request = RequestId(request.0 | LOCAL);
                self.call(now, out, |scheduler, driver| scheduler.request(driver, request, &data));
            }
            SchedulerInput::LocalCancel(request) => {
                let request = RequestId(request.0 | LOCAL);
                self.call(now, out, |scheduler, driver| scheduler.request_cancelled(driver, request));
            }
            SchedulerInput::Tick => self.tick(now, out),
        }
    }

    fn connected(&mut self, out: &mut Vec<SchedulerOutput>) {
        self.refused = false;
        self.introduced = Some((self.info.clone(), self.suppressed.clone()));
        let (framework, suppressed) = self.introduction();
        out.push(SchedulerOutput::Send(SchedulerCall::Subscribe { framework, suppressed }));
    }

    /// What it is, and which roles want nothing.
    fn introduction(&self) -> (Box<FrameworkInfo>, Vec<Role>) {
        (Box::new(self.info.clone()), self.suppressed.iter().cloned().collect())
    }

    fn disconnected(&mut self, now: Time, out: &mut Vec<SchedulerOutput>) {
        self.subscribed = false;
        for offer in std::mem::take(&mut self.held).into_keys() {
            self.timers.cancel(&Timer::Hold(offer));
        }
        self.call(now, out, |scheduler, driver| scheduler.disconnected(driver));
    }

    fn event(&mut self, now: Time, event: SchedulerEvent, out: &mut Vec<SchedulerOutput>) {
        match event {
            SchedulerEvent::Subscribed { framework, epoch, resumed } => {
                self.resubscribed(now, framework, epoch, resumed, out)
            }
            SchedulerEvent::Offers(infos) => self.offers(now, infos, out),
            SchedulerEvent::Rescind(offers) => {
                for offer in offers {
                    if self.held.remove(&offer).is_some() {
                        self.timers.cancel(&Timer::Hold(offer));
                        self.call(now, out, |scheduler, driver| scheduler.offer_rescinded(driver, offer));
                    }
                }
            }
            SchedulerEvent::InverseOffers(offers) => {
                self.call(now, out, |scheduler, driver| scheduler.inverse_offers(driver, &offers));
            }
            SchedulerEvent::Conflict(conflict) => {
                self.call(now, out, |scheduler, driver| scheduler.conflict(driver, &conflict));
            }
            SchedulerEvent::Preemption(notice) => {
                self.call(now, out, |scheduler, driver| scheduler.preemption(driver, &notice));
            }
            SchedulerEvent::PreemptionCancelled(task) => {
                self.call(now, out, |scheduler, driver| scheduler.preemption_cancelled(driver, &task));
            }
            SchedulerEvent::Update(status) => self.update(now, status, out),
            SchedulerEvent::AgentLost(agent) => {
                self.call(now, out, |scheduler, driver| scheduler.agent_lost(driver, &agent));
            }
            SchedulerEvent::ExecutorLost { agent, executor, message } => {
                self.call(now, out, |scheduler, driver| {
                    scheduler.executor_lost(driver, &agent, &executor, &message);
                })
            }
            SchedulerEvent::Message { agent, executor, data } => self.call(now, out, |scheduler, driver| {
                scheduler.framework_message(driver, &agent, &executor, &data);
            }),
            SchedulerEvent::Request { request, .. } if request.0 & LOCAL != 0 => {
                tracing::warn!(framework = %self.info.name, %request, "the master's request has an id that it can't have");
            }
            SchedulerEvent::Request { request, data } => {
                self.call(now, out, |scheduler, driver| scheduler.request(driver, request, &data));
            }
            SchedulerEvent::RequestCancelled(request) => {
                self.call(now, out, |scheduler, driver| scheduler.request_cancelled(driver, request));
            }
            SchedulerEvent::Explain { request, task } => {
                let explanation = Box::new(self.scheduler.explain(&task));
                out.push(SchedulerOutput::Send(SchedulerCall::Explained { request, explanation }));
            }
            SchedulerEvent::Error(message) => {
                tracing::warn!(framework = %self.info.name, %message, "the master refused a call");
                self.call(now, out, |scheduler, driver| scheduler.error(driver, &message));
            }
        }
    }

    fn resubscribed(
        &mut self,
        now: Time,
        framework: FrameworkId,
        epoch: Epoch,
        resumed: bool,
        out: &mut Vec<SchedulerOutput>,
    ) {
        if let Err(deposed) = self.newest_epoch.admit(epoch) {
            self.refused = true;
            return out.push(SchedulerOutput::RefuseMaster(deposed));
        }
        self.framework = Some(framework);
        self.subscribed = true;
        let is_still = |(info, suppressed)| self.info == info && self.suppressed == suppressed;
        if !self.introduced.take().is_none_or(is_still) {
            // It has changed since it asked.
            let (framework, suppressed) = self.introduction();
            out.push(SchedulerOutput::Send(SchedulerCall::UpdateFramework { framework, suppressed }));
        }
        out.extend(self.unsent.drain(..).map(SchedulerOutput::Send));
        let how = if resumed { Subscription::Resumed } else { Subscription::New };
        self.call(now, out, |scheduler, driver| scheduler.subscribed(driver, how));
    }

    /// Shows new offers together with those that are held, and ends each in its way.
    fn offers(&mut self, now: Time, infos: Vec<OfferInfo>, out: &mut Vec<SchedulerOutput>) {
        let held = std::mem::take(&mut self.held);
        let mut offers = Vec::with_capacity(held.len() + infos.len());
        let mut limits = Vec::with_capacity(held.len());
        for Held { offer, limit } in held.into_values() {
            offers.push(offer);
            limits.push(limit);
        }
        // Of those that were held, and then of the new ones.
        let limits = || limits.iter().copied().chain(std::iter::repeat(now + MAX_HOLD));
        offers.extend(infos.into_iter().map(Offer::new));

        self.call(now, out, |scheduler, driver| scheduler.resource_offers(driver, &mut offers));

        // Those of a set are used, held and declined together.
        let mut sets: BTreeMap<OfferSetId, SetUse> = BTreeMap::new();
        for (offer, limit) in offers.iter().zip(limits()) {
            if let Some(set) = offer.set() {
                sets.entry(set).or_default().note(offer, limit);
            }
        }
        let mut declined: BTreeMap<Duration, Vec<OfferId>> = BTreeMap::new();
        for (offer, limit) in offers.into_iter().zip(limits()) {
            self.timers.cancel(&Timer::Hold(offer.id()));
            let set = offer.set().and_then(|set| sets.get_mut(&set));
            let until = match &set {
                Some(set) => set.until,
                None => offer.held_until().map(|until| until.min(limit)),
            };
            match (until, set) {
                (_, Some(set)) if set.is_used => {
                    let (id, operations, refuse) = offer.resolve();
                    set.parts.push((id, operations));
                    set.refuse = refuse;
                }
                (_, None) if offer.is_used() => {
                    let (id, operations, refuse) = offer.resolve();
                    let call = SchedulerCall::Accept { offers: vec![id], operations, refuse };
                    out.push(SchedulerOutput::Send(call));
                }
                (Some(until), _) if until > now => {
                    self.timers.set(Timer::Hold(offer.id()), until);
                    self.held.insert(offer.id(), Held { offer, limit });
                }
                _ => {
                    let (id, _, refuse) = offer.resolve();
                    declined.entry(refuse).or_default().push(id);
                }
            }
        }
        for (set, SetUse { parts, refuse, .. }) in sets.into_iter().filter(|(_, used)| used.is_used) {
            out.push(SchedulerOutput::Send(SchedulerCall::AcceptSet { set, parts, refuse }));
        }
        for (refuse, offers) in declined {
            out.push(SchedulerOutput::Send(SchedulerCall::Decline { offers, refuse }));
        }
    }

    fn update(&mut self, now: Time, status: TaskStatus, out: &mut Vec<SchedulerOutput>) {
        let delivery = self.deliveries.get_mut(&status.task);
        let Some(number) = status.number else {
            if self.ended.last.contains_key(&status.task) {
                // Its end is recorded; another master may have heard of that, but not this one.
                return;
            }
            if let Some(delivery) = delivery {
                delivery.superseded = true;
            }
            let _unnumbered = self.tell(now, &status, out);
            return;
        };
        let Some(agent) = status.agent.clone() else {
            tracing::warn!(task = %status.task, "an update has a number but no agent; it can't be acknowledged");
            let _unacknowledgeable = self.tell(now, &status, out);
            return;
        };
        let repeated = delivery.is_some_and(|known| number <= known.acknowledged && !known.superseded)
            || self.ended.covers(&status.task, number);
        if status.state.is_terminal() {
            self.endings.insert(status.task.clone(), number);
        }
        let ack = if repeated {
            self.call(now, out, |scheduler, driver| scheduler.status_repeated(driver, &status));
            Ack::Now
        } else {
            self.tell(now, &status, out)
        };
        if ack == Ack::Now {
            self.note_acknowledged(&status.task, number);
            push_acknowledgement(SchedulerCall::Acknowledge { task: status.task, agent, number }, out);
        }
    }

    fn tell(&mut self, now: Time, status: &TaskStatus, out: &mut Vec<SchedulerOutput>) -> Ack {
        self.call(now, out, |scheduler, driver| scheduler.status_update(driver, status))
    }

    /// Remembers up to where a task's updates are recorded.
    fn note_acknowledged(&mut self, task: &TaskId, number: UpdateNumber) {
        if let Some(last) = self.endings.get(task).copied().filter(|last| *last <= number) {
            self.endings.remove(task);
            self.deliveries.remove(task);
            self.ended.remember(task, last);
            return;
        }
        match self.deliveries.get_mut(task) {
            Some(known) => {
                known.acknowledged = known.acknowledged.max(number);
                known.superseded = false;
            }
            None => {
                let delivery = Delivery { acknowledged: number, superseded: false };
                self.deliveries.insert(task.clone(), delivery);
            }
        }
    }

    /// Fires what is due, but not what that sets anew for now: so a tick always ends.
    fn tick(&mut self, now: Time, out: &mut Vec<SchedulerOutput>) {
        let due: Vec<_> = std::iter::from_fn(|| self.timers.pop_due(now)).collect();
        let mut expired = BTreeMap::<Duration, Vec<OfferId>>::new();
        for timer in due {
            match timer {
                Timer::Scheduler(id) => self.call(now, out, |scheduler, driver| scheduler.timer(driver, id)),
                Timer::Hold(offer) => {
                    if let Some(held) = self.held.remove(&offer) {
                        let (id, _, refuse) = held.offer.resolve();
                        expired.entry(refuse).or_default().push(id);
                    }
                }
            }
        }
        for (refuse, offers) in expired {
            out.push(SchedulerOutput::Send(SchedulerCall::Decline { offers, refuse }));
        }
    }

    /// Calls the scheduler, and passes on what it asked its driver for.
    fn call<T>(
        &mut self,
        now: Time,
        out: &mut Vec<SchedulerOutput>,
        callback: impl FnOnce(&mut S, &mut Driver) -> T,
    ) -> T {
        let mut driver = Driver::new(now, self.framework.clone(), std::mem::take(&mut self.calls));
        let answer = callback(&mut self.scheduler, &mut driver);
        if !driver.records.is_empty() {
            out.push(SchedulerOutput::Record(driver.records));
        }
        for (id, at) in driver.timers {
            match at {
                Some(at) => self.timers.set(Timer::Scheduler(id), at),
                None => self.timers.cancel(&Timer::Scheduler(id)),
            }
        }
        for call in driver.calls.drain(..) {
            self.send(call, out);
        }
        if driver.calls.capacity() <= CALLS_KEPT {
            self.calls = driver.calls;
        }
        if driver.stop {
            out.push(SchedulerOutput::Stop);
        }
        answer
    }

    fn send(&mut self, mut call: SchedulerCall, out: &mut Vec<SchedulerOutput>) {
        match &mut call {
            SchedulerCall::UpdateFramework { framework, suppressed } => {
                self.suppressed.retain(|role| framework.roles.contains(role));
                suppressed.extend(self.suppressed.iter().cloned());
                self.info.clone_from(framework.as_ref());
            }
            SchedulerCall::Reply { request, .. } if request.0 & LOCAL != 0 => {
                let SchedulerCall::Reply { request, data, last } = call else { return };
                let request = RequestId(request.0 & !LOCAL);
                return out.push(SchedulerOutput::LocalReply { request, data, last });
            }
            SchedulerCall::Suppress { roles } if roles.is_empty() => {
                self.suppressed.extend(self.info.roles.iter().cloned());
            }
            SchedulerCall::Suppress { roles } => self.suppressed.extend(roles.iter().cloned()),
            SchedulerCall::Revive { roles } if roles.is_empty() => self.suppressed.clear(),
            SchedulerCall::Revive { roles } => self.suppressed.retain(|role| !roles.contains(role)),
            SchedulerCall::Acknowledge { task, number, .. } => self.note_acknowledged(task, *number),
            _ => {}
        }
        if self.subscribed {
            out.push(SchedulerOutput::Send(call));
        } else if outlives_connection(&call) {
            self.unsent.push(call);
        }
    }
}

/// Whether a call that is made without a subscription is sent with the next one. Offers, questions and messages of before
/// are void by then; roles, and which of them are suppressed, are said when subscribing.
fn outlives_connection(call: &SchedulerCall) -> bool {
    matches!(
        call,
        SchedulerCall::Kill { .. }
            | SchedulerCall::Acknowledge { .. }
            | SchedulerCall::Reconcile { .. }
            | SchedulerCall::Teardown
    )
}

/// An acknowledgement covers those before it of its task, so that a burst of updates costs one.
fn push_acknowledgement(call: SchedulerCall, out: &mut Vec<SchedulerOutput>) {
    if let SchedulerCall::Acknowledge { task, agent, number } = &call
        && let Some(SchedulerOutput::Send(SchedulerCall::Acknowledge {
            task: last_task,
            agent: last_agent,
            number: last_number,
        })) = out.last_mut()
        && task == last_task
        && agent == last_agent
    {
        *last_number = (*last_number).max(*number);
        return;
    }
    out.push(SchedulerOutput::Send(call));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{AgentId, TaskState};

    /// Notes what it is told, and acknowledges what it is told to.
    #[derive(Default)]
    struct Noting {
        told: Vec<Option<UpdateNumber>>,
        later: bool,
    }

    impl Scheduler for Noting {
        fn framework_info(&self) -> FrameworkInfo {
            FrameworkInfo::new("noting", Role::any())
        }

        fn resource_offers(&mut self, _: &mut Driver, _: &mut [Offer]) {}

        fn status_update(&mut self, _: &mut Driver, status: &TaskStatus) -> Ack {
            self.told.push(status.number);
            if self.later { Ack::Later } else { Ack::Now }
        }

        fn request(&mut self, driver: &mut Driver, request: RequestId, data: &[u8]) {
            driver.reply(request, data.to_vec(), true);
        }
    }

    fn subscribed(scheduler: Noting) -> SchedulerProcess<Noting> {
        let mut process = SchedulerProcess::new(scheduler);
        let framework = FrameworkId::new("noting").unwrap();
        handle(&mut process, SchedulerInput::Connected);
        let subscribed = SchedulerEvent::Subscribed { framework, epoch: Epoch(2), resumed: false };
        handle(&mut process, SchedulerInput::Event(subscribed));
        process
    }

    fn handle(process: &mut SchedulerProcess<Noting>, input: SchedulerInput) -> Vec<SchedulerOutput> {
        let mut out = Vec::new();
        process.handle(Time::ZERO, input, &mut out);
        out
    }

    fn update(number: Option<u32>, state: TaskState) -> SchedulerInput {
        let status = TaskStatus {
            number: number.map(UpdateNumber),
            agent: Some(AgentId::new("a").unwrap()),
            ..TaskStatus::new(TaskId::new("t").unwrap(), state, Time::ZERO)
        };
        SchedulerInput::Event(SchedulerEvent::Update(status))
    }

    fn acknowledges(number: u32) -> Vec<SchedulerOutput> {
        let (task, agent) = (TaskId::new("t").unwrap(), AgentId::new("a").unwrap());
        let number = UpdateNumber(number);
        vec![SchedulerOutput::Send(SchedulerCall::Acknowledge { task, agent, number })]
    }

    #[test]
    fn what_the_master_tells_by_itself_after_a_resumption_is_not_asked_for() {
        let mut process = subscribed(Noting::default());
        handle(&mut process, SchedulerInput::Disconnected);
        handle(&mut process, SchedulerInput::Connected);
        let framework = FrameworkId::new("noting").unwrap();
        let resumed = SchedulerEvent::Subscribed { framework, epoch: Epoch(2), resumed: true };
        assert_eq!(handle(&mut process, SchedulerInput::Event(resumed)), []);
    }

    #[test]
    fn what_changes_while_it_is_being_subscribed_is_said_afterwards() {
        let mut process = SchedulerProcess::new(Noting::default());
        process.suppressed.insert(Role::any());
        handle(&mut process, SchedulerInput::Connected);
        // Suppressed in the call that is under way.
        process.suppressed.clear();
        let framework = FrameworkId::new("noting").unwrap();
        let subscribed = SchedulerEvent::Subscribed { framework, epoch: Epoch(2), resumed: false };
        let (framework, suppressed) = (FrameworkInfo::new("noting", Role::any()), Vec::new());
        let update = SchedulerCall::UpdateFramework { framework: Box::new(framework), suppressed };
        let out = handle(&mut process, SchedulerInput::Event(subscribed));
        assert_eq!(out, [SchedulerOutput::Send(update)]);
    }

    #[test]
    fn a_deposed_master_is_refused_and_not_heard() {
        let mut process = subscribed(Noting::default());
        let again = |epoch| {
            let framework = FrameworkId::new("noting").unwrap();
            SchedulerInput::Event(SchedulerEvent::Subscribed { framework, epoch, resumed: true })
        };
        handle(&mut process, SchedulerInput::Disconnected);
        handle(&mut process, SchedulerInput::Connected);
        let deposed = Deposed { claimed: Epoch(1), newest: Epoch(2) };
        assert_eq!(handle(&mut process, again(Epoch(1))), [SchedulerOutput::RefuseMaster(deposed)]);
        assert_eq!(handle(&mut process, update(Some(1), TaskState::Running)), []);
        handle(&mut process, SchedulerInput::Disconnected);
        handle(&mut process, SchedulerInput::Connected);
        assert_eq!(handle(&mut process, again(Epoch(3))), []);
        assert_eq!(handle(&mut process, update(Some(1), TaskState::Running)), acknowledges(1));
    }

    #[test]
    fn a_repeated_update_is_acknowledged_again_but_not_told() {
        let mut process = subscribed(Noting::default());
        assert_eq!(handle(&mut process, update(Some(1), TaskState::Running)), acknowledges(1));
        assert_eq!(handle(&mut process, update(Some(1), TaskState::Running)), acknowledges(1));
        assert_eq!(process.scheduler().told.len(), 1);
    }

    #[test]
    fn an_old_update_is_news_after_one_of_the_master() {
        let mut process = subscribed(Noting::default());
        handle(&mut process, update(Some(1), TaskState::Running));
        assert_eq!(handle(&mut process, update(None, TaskState::Unreachable)), []);
        handle(&mut process, update(Some(1), TaskState::Running));
        assert_eq!(process.scheduler().told.len(), 3);
    }

    #[test]
    fn a_recorded_end_outlasts_a_master_s_ignorance() {
        let mut process = subscribed(Noting::default());
        handle(&mut process, update(Some(1), TaskState::Finished));
        assert_eq!(handle(&mut process, update(None, TaskState::Lost)), []);
        assert_eq!(process.scheduler().told, [Some(UpdateNumber(1))]);
    }

    #[test]
    fn nothing_is_remembered_of_a_task_whose_end_is_recorded() {
        let mut process = subscribed(Noting::default());
        handle(&mut process, update(Some(1), TaskState::Running));
        handle(&mut process, update(Some(2), TaskState::Finished));
        assert!(process.deliveries.is_empty() && process.endings.is_empty());
    }

    #[test]
    fn an_update_that_is_not_recorded_is_told_again() {
        let mut process = subscribed(Noting { later: true, ..Noting::default() });
        for _ in 0..2 {
            assert_eq!(handle(&mut process, update(Some(1), TaskState::Running)), []);
        }
        assert_eq!(process.scheduler().told.len(), 2);
    }

    #[test]
    fn requests_of_the_program_and_of_operators_do_not_meet() {
        let mut process = subscribed(Noting::default());
        let (request, data) = (RequestId(7), b"x".to_vec());
        let local = SchedulerInput::LocalRequest { request, data: data.clone() };
        let answer = SchedulerOutput::LocalReply { request, data: data.clone(), last: true };
        assert_eq!(handle(&mut process, local), [answer]);
        let relayed = SchedulerInput::Event(SchedulerEvent::Request { request, data: data.clone() });
        let answer = SchedulerOutput::Send(SchedulerCall::Reply { request, data, last: true });
        assert_eq!(handle(&mut process, relayed), [answer]);
    }
}
