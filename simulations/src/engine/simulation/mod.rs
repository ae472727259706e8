//! The clock, and who is told what when.

mod setup;
mod tasks;

use std::collections::VecDeque;

use apportion::allocator::QuotaError;
use apportion::master::{Input, Master, Output};
use apportion::protocol::{AgentEvent, ConnectionId, FrameworkId, SchedulerCall, SchedulerEvent, TaskState};
use apportion::resources::Role;
use apportion::scheduler::SchedulerInput;
use apportion::time::Time;
use rustc_hash::FxHashMap;

use super::agent::{Deed, RunId, TimerAgent};
use super::calendar::{Calendar, Class};
use super::contention::Contention;
use super::failures::{Failure, Failures};
use super::observer::Observer;
use super::offers::OfferHistory;
use super::placement::{Effect, PlacementCluster};
use super::post::{Edge, Post};
use super::record::{Ending, GpuParts, Record, TaskRun};
use super::seat::Seat;
use crate::digest::Digester;
use crate::scenario::Batch;
use crate::values::Span;

pub(crate) use setup::drf;

/// The connection of whoever sets weights.
const OPERATOR: ConnectionId = ConnectionId(0);

/// When nothing has run or arrived for so long, what waits will never be placed.
const STALL: Span = Span::from_nanos(3600 * 1_000_000_000);

/// So many events at one time mean that somebody answers himself for ever.
const MAX_EVENTS_AT_ONCE: u64 = 100_000_000;

/// How often progress is told, in events.
const PROGRESS_EVERY: u64 = 4096;

/// Something that happens at a time.
#[derive(Debug)]
pub(super) enum Event {
    /// A task's time is over.
    End(RunId),
    /// A machine fails, at random or as it is said.
    Failure(Box<Failure>),
    /// The master gets to know of it.
    Detected(u32),
    /// The machine is repaired.
    Repair { machine: u32, drawn: bool },
    /// The framework's next job arrives.
    Arrival(u32),
    /// A message arrives.
    Message(Box<Message>),
    /// The framework has decided.
    Decided(u32),
    /// The framework's timer may be due.
    Wake(u32),
}

/// What is said, by whom it is said to.
#[derive(Debug)]
pub(super) enum Message {
    /// Boxed, as it is larger than all others.
    Master(Box<Input>),
    Agent(u32, AgentEvent),
    Framework(u32, SchedulerEvent),
    /// A framework to the cluster of fidelity `placement`.
    Call(u32, SchedulerCall),
    /// A task to that cluster.
    Ended(RunId, TaskState),
}

/// What is between frameworks and tasks.
pub(super) enum Core {
    /// As in production.
    Full { master: Box<Master>, agents: Vec<TimerAgent> },
    /// The allocator alone.
    Placement(Box<PlacementCluster>),
}

/// Whom to tell how a run goes.
pub struct Progress<'a>(Option<Box<dyn FnMut(Time, u64) + 'a>>);

impl<'a> Progress<'a> {
    /// Nobody.
    pub fn silent() -> Self {
        Progress(None)
    }

    /// Tells the virtual time and the number of events, every few thousand events.
    pub fn new(tell: impl FnMut(Time, u64) + 'a) -> Self {
        Progress(Some(Box::new(tell)))
    }
}

/// Why a run can't go on.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RunError {
    /// Time stands still.
    #[error(
        "at {at} s more than {MAX_EVENTS_AT_ONCE} events happen without time going on: some framework asks for what it refuses"
    )]
    Endless {
        /// When.
        at: Time,
    },
    /// A name can't be an identity.
    #[error("'{0}' can't be the name of a party")]
    Name(String),
    /// A role's quota contradicts itself or another role's.
    #[error("quota of role '{role}': {error}")]
    Quota {
        /// The role.
        role: Role,
        /// What is wrong.
        error: QuotaError,
    },
}

/// A cluster in virtual time.
pub struct Simulation<'a> {
    pub(super) now: Time,
    events: u64,
    events_at_once: u64,
    cycles: u64,
    digester: Digester,
    pub(super) calendar: Calendar<Event>,
    /// Messages that take no time.
    instant: VecDeque<Message>,
    post: Post,
    batch: Batch,
    /// How far batches of offers are apart; 0 when nothing waits for them.
    interval_ns: u64,
    pub(super) core: Core,
    seats: Vec<Seat>,
    workloads: Vec<std::sync::Arc<crate::workload::Workload>>,
    by_name: FxHashMap<FrameworkId, u32>,
    /// Frameworks whose timer is due now.
    due: VecDeque<u32>,
    tasks: Vec<TaskRun>,
    /// `None` where no agent has GPUs that are shared.
    gpu_parts: Option<GpuParts>,
    /// Tasks of all workloads that end by themselves and have not yet.
    to_end: u64,
    /// How many of them run.
    running: u64,
    arrivals_to_come: usize,
    /// What arrivals are among events of one time.
    arrivals: Class,
    /// Whether some framework runs tasks that are not of its workload: nobody knows when it has done all.
    open_ended: bool,
    /// When a task last started or ended, or a job arrived.
    active_at: Time,
    /// What a framework says at once; used again, as the following are.
    said: Vec<SchedulerCall>,
    outputs: Vec<Output>,
    deeds: Vec<Deed>,
    pub(super) effects: Vec<Effect>,
    pub(super) failures: Failures,
    contention: Option<Contention>,
    /// Ends that contention has moved, and are to be noted.
    moved: Vec<(RunId, Time)>,
    /// Frameworks' names, by place.
    names: Vec<FrameworkId>,
    offer_history: OfferHistory,
    observers: Vec<&'a mut dyn Observer>,
}

impl<'a> Simulation<'a> {
    fn tell_observers(&mut self, tell: impl Fn(&mut dyn Observer)) {
        self.observers.iter_mut().for_each(|observer| tell(*observer));
    }

    /// Runs until `until`, or else until all tasks that end by themselves have ended, or nothing can happen any more.
    ///
    /// # Errors
    /// When time does not go on.
    pub fn run(&mut self, until: Option<Span>, progress: &mut Progress<'_>) -> Result<Record, RunError> {
        let end = until.map_or(Time::MAX, |span| Time::ZERO + span.duration());
        // Most tasks run once.
        self.tasks.reserve_exact(self.to_end as usize);
        let ending = loop {
            if until.is_none() && self.to_end == 0 && !self.open_ended {
                break Ending::AllDone;
            }
            if self.step()? {
                self.note_event(progress)?;
                continue;
            }
            let Some(next) = self.next_time() else {
                break if self.to_end == 0 { Ending::AllDone } else { Ending::Stalled };
            };
            if next > end {
                self.now = end;
                break Ending::Until;
            }
            if until.is_none() && self.is_stalled(next) {
                self.now = self.active_at;
                break Ending::Stalled;
            }
            (self.now, self.events_at_once) = (next, 0);
        };
        if until.is_none() {
            return Ok(self.record(ending));
        }
        // Nothing happens in the rest of the time, but it is part of the run.
        self.now = end;
        Ok(self.record(Ending::Until))
    }

    fn record(&mut self, ending: Ending) -> Record {
        let end = self.now;
        Record {
            tasks: std::mem::take(&mut self.tasks),
            gpu_parts: self.gpu_parts.take().unwrap_or_default(),
            frameworks: self.seats.iter().map(|seat| seat.record_at(end)).collect(),
            cycles: self.cycles,
            offers: std::mem::take(&mut self.offer_history),
            end,
            ending,
            events: self.events,
            digest: self.digester.finish(),
        }
    }

    fn note_event(&mut self, progress: &mut Progress<'_>) -> Result<(), RunError> {
        self.events += 1;
        self.events_at_once += 1;
        if self.events_at_once > MAX_EVENTS_AT_ONCE {
            return Err(RunError::Endless { at: self.now });
        }
        if self.events.is_multiple_of(PROGRESS_EVERY)
            && let Some(tell) = &mut progress.0
        {
            tell(self.now, self.events);
        }
        Ok(())
    }

    /// Whether what waits will wait for ever: nothing arrives, runs or is being decided, and has not for long.
    fn is_stalled(&self, next: Time) -> bool {
        self.arrivals_to_come == 0
            && self.running == 0
            && next.since(self.active_at) > STALL.duration()
            && !self.seats.iter().any(Seat::is_deciding)
    }

    fn next_time(&self) -> Option<Time> {
        [self.calendar.next_time(), self.next_allocation()].into_iter().flatten().min()
    }

    /// When the master, or the allocator alone, has something to do. A batch that nobody waited for when it was due is over: what
    /// has come since waits for the next one.
    fn next_allocation(&self) -> Option<Time> {
        let due = match &self.core {
            Core::Full { master, .. } => master.next_deadline(),
            Core::Placement(cluster) => cluster.next_deadline(),
        }?;
        let is_at_once = due == Time::ZERO || due >= self.now || self.interval_ns == 0;
        let next = || Time::from_nanos(self.now.as_nanos().next_multiple_of(self.interval_ns));
        Some(if is_at_once { due } else { next() })
    }

    /// Handles what is next at this time; whether there was anything.
    fn step(&mut self) -> Result<bool, RunError> {
        let handled = match self.batch {
            Batch::Instant => self.step_calendar() || self.step_follow_up(),
            Batch::Event => self.step_follow_up() || self.step_calendar(),
        };
        Ok(handled)
    }

    fn step_calendar(&mut self) -> bool {
        let Some(event) = self.calendar.pop_due(self.now) else { return false };
        match event {
            Event::End(run) => self.time_is_over(run),
            Event::Failure(failure) => self.fail(&failure),
            Event::Detected(machine) => self.detect(machine),
            Event::Repair { machine, drawn } => self.repair(machine, drawn),
            Event::Arrival(framework) => self.arrive(framework),
            Event::Message(message) => self.deliver(*message),
            Event::Decided(framework) => {
                self.note(5, framework, 0);
                let mut said = std::mem::take(&mut self.said);
                self.seats[framework as usize].decided(self.now, &mut said);
                self.after_framework(framework, said);
            }
            Event::Wake(framework) => {
                if self.seats[framework as usize].woken_at == Some(self.now) {
                    self.due.push_back(framework);
                }
            }
        }
        true
    }

    /// Messages that take no time, then timers, then the allocation.
    fn step_follow_up(&mut self) -> bool {
        if let Some(message) = self.instant.pop_front() {
            self.deliver(message);
        } else if let Some(framework) = self.due.pop_front() {
            self.note(6, framework, 0);
            self.seats[framework as usize].woken_at = None;
            if self.seats[framework as usize].next_deadline().is_some_and(|deadline| deadline <= self.now) {
                self.tell_framework(framework, SchedulerInput::Tick);
            }
        } else if self.next_allocation().is_some_and(|deadline| deadline <= self.now) {
            self.note(7, 0, 0);
            self.cycles += 1;
            match &mut self.core {
                Core::Full { .. } => self.tell_master(Input::Tick),
                Core::Placement(cluster) => {
                    cluster.allocate(self.now, &mut self.effects);
                    self.carry_out_effects();
                }
            }
        } else {
            return false;
        }
        true
    }

    /// Adds an event to the hash of the run.
    pub(super) fn note(&mut self, tag: u64, who: u32, what: u64) {
        self.digester.add([self.now.as_nanos(), tag << 32 | u64::from(who), what]);
    }

    fn deliver(&mut self, message: Message) {
        match message {
            Message::Master(input) => {
                self.note(3, 0, 0);
                self.tell_master(*input);
            }
            Message::Agent(agent, event) => {
                self.note(3, agent + 1, 1);
                let mut deeds = std::mem::take(&mut self.deeds);
                if let Core::Full { agents, .. } = &mut self.core {
                    agents[agent as usize].handle(self.now, event, &mut deeds);
                }
                for deed in deeds.drain(..) {
                    self.carry_out(agent, deed);
                }
                self.deeds = deeds;
            }
            Message::Framework(framework, event) => {
                self.note(3, framework + 1, 2);
                match &event {
                    SchedulerEvent::Offers(offers) => {
                        self.seats[framework as usize].record.offers += offers.len() as u64;
                        for offer in offers {
                            self.digester.add([offer.id.0]);
                        }
                        let now = self.now;
                        self.offer_history.offered(now, framework, offers);
                        self.tell_observers(|observer| observer.offered(now, framework, offers));
                    }
                    SchedulerEvent::Conflict(_) => {
                        self.seats[framework as usize].record.conflicts += 1;
                        let now = self.now;
                        self.tell_observers(|observer| observer.conflicted(now, framework));
                    }
                    SchedulerEvent::Rescind(offers) => {
                        self.seats[framework as usize].record.rescinds += offers.len() as u64;
                    }
                    SchedulerEvent::Preemption(notice) => self.make_room(framework, &notice.task, true),
                    SchedulerEvent::PreemptionCancelled(task) => self.make_room(framework, task, false),
                    _ => {}
                }
                self.tell_framework(framework, SchedulerInput::Event(event));
            }
            Message::Call(framework, call) => {
                self.note(3, framework + 1, 3);
                if let Core::Placement(cluster) = &mut self.core {
                    cluster.call(self.now, framework, call, &mut self.effects);
                }
                self.carry_out_effects();
            }
            Message::Ended(run, state) => {
                self.note(3, run.0, 4);
                if let Core::Placement(cluster) = &mut self.core {
                    cluster.ended(self.now, run, state, &mut self.effects);
                }
                self.carry_out_effects();
            }
        }
    }

    fn tell_master(&mut self, input: Input) {
        let Core::Full { master, .. } = &mut self.core else { return };
        let mut outputs = std::mem::take(&mut self.outputs);
        master.handle(self.now, input, &mut outputs);
        for output in outputs.drain(..) {
            match output {
                Output::ToAgent { connection, event } => {
                    if let Some(agent) = agent_of(connection) {
                        self.send(Edge::ToAgent(agent), Message::Agent(agent, event));
                    }
                }
                Output::ToScheduler { connection, event } => {
                    if let Some(framework) = framework_of(connection) {
                        self.send(Edge::ToFramework(framework), Message::Framework(framework, event));
                    }
                }
                Output::ToOperator { .. } | Output::Disconnect { .. } | Output::Store { .. } => {}
            }
        }
        self.outputs = outputs;
    }

    fn tell_framework(&mut self, framework: u32, input: SchedulerInput) {
        let mut said = std::mem::take(&mut self.said);
        self.seats[framework as usize].tell(self.now, input, &mut said);
        self.after_framework(framework, said);
    }

    fn after_framework(&mut self, framework: u32, mut said: Vec<SchedulerCall>) {
        let connection = framework_connection(framework);
        for call in said.drain(..) {
            self.note_answer(framework, &call);
            match &self.core {
                Core::Full { .. } => {
                    let message = Message::Master(Box::new(Input::Scheduler { connection, call }));
                    self.send(Edge::FromFramework(framework), message);
                }
                // Nobody waits for them.
                Core::Placement(_) if matches!(call, SchedulerCall::Acknowledge { .. }) => {}
                Core::Placement(_) => self.instant.push_back(Message::Call(framework, call)),
            }
        }
        self.said = said;
        let seat = &mut self.seats[framework as usize];
        if let Some(until) = seat.deciding_until() {
            if !std::mem::replace(&mut seat.end_is_noted, true) {
                self.calendar.push(until, Class::Framework, Event::Decided(framework));
            }
        } else if let Some(deadline) = seat.next_deadline() {
            let at = deadline.max(self.now);
            if seat.woken_at.is_none_or(|woken| woken > at) {
                seat.woken_at = Some(at);
                if at == self.now {
                    self.due.push_back(framework);
                } else {
                    self.calendar.push(at, Class::Framework, Event::Wake(framework));
                }
            }
        }
    }

    /// Counts what a framework does with offers.
    fn note_answer(&mut self, framework: u32, call: &SchedulerCall) {
        let (now, record) = (self.now, &mut self.seats[framework as usize].record);
        match call {
            SchedulerCall::Decline { offers, .. } => {
                record.declines += offers.len() as u64;
                self.offer_history.declined(now, framework, offers);
                self.tell_observers(|observer| observer.declined(now, framework, offers));
            }
            SchedulerCall::Accept { offers, operations, .. } => {
                record.accepts += 1;
                self.tell_observers(|observer| observer.accepted(now, framework, offers, operations));
            }
            SchedulerCall::AcceptSet { parts, .. } => {
                for (offer, operations) in parts {
                    self.tell_observers(|observer| {
                        observer.accepted(now, framework, std::slice::from_ref(offer), operations);
                    });
                }
            }
            _ => {}
        }
    }

    pub(super) fn send(&mut self, edge: Edge, message: Message) {
        match self.post.arrival(self.now, edge) {
            None => self.instant.push_back(message),
            Some(at) => self.calendar.push(at, Class::Message, Event::Message(Box::new(message))),
        }
    }
}

/// Frameworks' connections are odd, agents' are even.
fn framework_connection(place: u32) -> ConnectionId {
    ConnectionId(u64::from(place) * 2 + 1)
}

fn framework_of(connection: ConnectionId) -> Option<u32> {
    (!connection.0.is_multiple_of(2)).then_some((connection.0 / 2) as u32)
}

pub(super) fn agent_connection(place: u32) -> ConnectionId {
    ConnectionId(u64::from(place) * 2 + 2)
}

fn agent_of(connection: ConnectionId) -> Option<u32> {
    (connection != OPERATOR && connection.0.is_multiple_of(2)).then_some((connection.0 / 2 - 1) as u32)
}
