//! A framework's seat in the simulation: its scheduler's process, and the time that it takes to decide.

use std::collections::VecDeque;

use apportion::protocol::{OfferInfo, OfferMode, SchedulerCall, SchedulerEvent, TaskState};
use apportion::resources::Kind;
use apportion::scheduler::{SchedulerInput, SchedulerOutput};
use apportion::time::Time;

use super::record::FrameworkRecord;
use crate::frameworks::Party;
use crate::scenario::Decision;

/// A framework in the simulation. While it decides it hears nothing: what it is told waits in its inbox, and what it says
/// leaves when it has decided.
pub(super) struct Seat {
    party: Box<dyn Party>,
    decision: Decision,
    deciding_until: Option<Time>,
    /// Whether its tasks are not of a workload, but its own.
    pub(super) free: bool,
    /// Whether it ever takes time to decide.
    pub(super) thinks: bool,
    /// The cores that it holds for the present decision, in thousandths.
    held: u64,
    /// What it was told while it decided, and when.
    inbox: VecDeque<(Time, SchedulerInput)>,
    outbox: Vec<SchedulerCall>,
    /// When its timer is to be looked at; so that it is woken once.
    pub(super) woken_at: Option<Time>,
    /// Whether the end of its decision is in the calendar.
    pub(super) end_is_noted: bool,
    pub(super) record: FrameworkRecord,
    scratch: Vec<SchedulerOutput>,
}

impl Seat {
    pub(super) fn new(party: Box<dyn Party>, decision: Decision) -> Self {
        Seat {
            party,
            decision,
            deciding_until: None,
            free: false,
            thinks: decision.per_job.nanos() + decision.per_task.nanos() > 0,
            held: 0,
            inbox: VecDeque::new(),
            outbox: Vec::new(),
            woken_at: None,
            end_is_noted: false,
            record: FrameworkRecord::default(),
            scratch: Vec::new(),
        }
    }

    /// Tells the framework something, at once or when it has decided. Appends what it says at once.
    pub(super) fn tell(&mut self, now: Time, input: SchedulerInput, said: &mut Vec<SchedulerCall>) {
        if self.is_deciding() {
            self.keep(now, input);
        } else {
            self.hear(now, now, input, said);
        }
    }

    /// Keeps what it is told while it decides. Optimistic offers it looks at together when it decides next: all that is free then, as
    /// Omega's schedulers do.
    fn keep(&mut self, now: Time, input: SchedulerInput) {
        let SchedulerInput::Event(SchedulerEvent::Offers(mut offers)) = input else {
            return self.inbox.push_back((now, input));
        };
        let is_optimistic =
            |offers: &[OfferInfo]| offers.iter().all(|offer| offer.mode == OfferMode::Optimistic);
        let waiting = self.inbox.iter_mut().find_map(|(_, waiting)| match waiting {
            SchedulerInput::Event(SchedulerEvent::Offers(waiting)) if is_optimistic(waiting) => Some(waiting),
            _ => None,
        });
        match waiting {
            Some(waiting) if is_optimistic(&offers) => waiting.append(&mut offers),
            _ => self.inbox.push_back((now, SchedulerInput::Event(SchedulerEvent::Offers(offers)))),
        }
    }

    /// It has decided: says what it decided, and hears what has waited until it has to decide again.
    pub(super) fn decided(&mut self, now: Time, said: &mut Vec<SchedulerCall>) {
        (self.deciding_until, self.end_is_noted) = (None, false);
        said.append(&mut self.outbox);
        while !self.is_deciding()
            && let Some((told_at, input)) = self.inbox.pop_front()
        {
            self.hear(now, told_at, input, said);
        }
    }

    /// Whether it does anything about a task that is in this state.
    pub(super) fn heeds(&self, state: TaskState) -> bool {
        self.party.heeds(state)
    }

    /// The request that tells it that a job has arrived.
    pub(super) fn arrival(&self, job: u32) -> Vec<u8> {
        self.party.arrival(job)
    }

    pub(super) fn is_deciding(&self) -> bool {
        self.deciding_until.is_some()
    }

    /// Until when it decides.
    pub(super) fn deciding_until(&self) -> Option<Time> {
        self.deciding_until
    }

    /// When its timer is due; while it decides, not before it has decided.
    pub(super) fn next_deadline(&self) -> Option<Time> {
        if self.is_deciding() { None } else { self.party.next_deadline() }
    }

    /// What happened, as of the end of the run: a decision or an offer that is under way counts for as long as it went on.
    pub(super) fn record_at(&self, end: Time) -> FrameworkRecord {
        let rest = self.deciding_until.map_or(0, |until| until.since(end).as_nanos() as u64);
        let waiting = self.inbox.iter().map(|(told_at, input)| cores_held(input) * nanos(*told_at, end));
        FrameworkRecord {
            busy_ns: self.record.busy_ns - rest,
            held_cpu_ns: self.record.held_cpu_ns + waiting.sum::<u128>()
                - u128::from(self.held) * u128::from(rest),
            ..self.record
        }
    }

    fn hear(&mut self, now: Time, told_at: Time, input: SchedulerInput, said: &mut Vec<SchedulerCall>) {
        let held = if self.thinks { cores_held(&input) } else { 0 };
        let before = self.party.effort();
        self.party.handle(now, input, &mut self.scratch);
        let after = self.party.effort();
        let thought_ns = self.decision.per_job.nanos() * (after.jobs - before.jobs)
            + self.decision.per_task.nanos() * (after.tasks - before.tasks)
            + (after.own_ns - before.own_ns);
        self.record.held_cpu_ns += held * (nanos(told_at, now) + u128::from(thought_ns));
        self.held = held as u64;
        let calls = if thought_ns == 0 {
            said
        } else {
            self.record.busy_ns += thought_ns;
            self.deciding_until = Some(now + std::time::Duration::from_nanos(thought_ns));
            &mut self.outbox
        };
        for output in self.scratch.drain(..) {
            match output {
                SchedulerOutput::Send(call) => calls.push(call),
                SchedulerOutput::Record(_)
                | SchedulerOutput::LocalReply { .. }
                | SchedulerOutput::RefuseMaster(_)
                | SchedulerOutput::Stop => {}
            }
        }
    }
}

fn nanos(since: Time, until: Time) -> u128 {
    until.since(since).as_nanos()
}

/// The cores that others do without while offers are not answered, in thousandths.
fn cores_held(input: &SchedulerInput) -> u128 {
    let SchedulerInput::Event(SchedulerEvent::Offers(offers)) = input else { return 0 };
    let exclusive = offers.iter().filter(|offer| offer.mode == OfferMode::Exclusive);
    exclusive
        .map(|offer| u128::from(offer.resources.quantities().get(&Kind::Cpus).milli().unsigned_abs()))
        .sum()
}
