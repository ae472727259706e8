//! A step of a run: its indexes, their attempts, and what may start next.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use apportion::time::Time;
use serde::{Deserialize, Serialize};

use crate::request::{StepProgress, StepState};

/// So many tasks of a step wait for offers at most; the rest of an array is queued as these start.
pub(crate) const WINDOW: u32 = 4096;

/// The wait before an index is started again that ended for no fault of its own; doubled each time, up to
/// [`MAX_MISHAP_BACKOFF`].
const MISHAP_BACKOFF: Duration = Duration::from_millis(100);
const MAX_MISHAP_BACKOFF: Duration = Duration::from_secs(10);

/// How often and when a failed index is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Retry {
    /// So many failures of an index are followed by another try.
    pub(crate) limit: u32,
    /// The wait after the first failure, doubled with each further one.
    pub(crate) backoff: Duration,
    /// The longest wait.
    pub(crate) max_backoff: Duration,
}

/// What happened to an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// It is on an agent.
    Launched,
    /// The program ended with success.
    Succeeded,
    /// The program failed.
    Failed,
    /// The task as described can't run: another try would not help.
    Refused,
    /// It ended, or is out of reach, for no fault of the program.
    Mishap,
}

/// What an event meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It changes nothing: it is a repetition, or of an attempt that was given up.
    Stale,
    /// The attempt goes on.
    Alive,
    /// The attempt is over.
    Ended,
    /// The attempt is over, and because of it no index is started any more.
    Closing,
    /// The attempt is over, and because of it the rest of its gang starts again, too.
    Restarting,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Fresh,
    Queued,
    Launched,
    BackingOff,
    Succeeded,
    Failed,
    Stopped,
}

/// What is known of one index; an array is one allocation of these.
#[derive(Clone, Copy, Debug)]
struct Index {
    phase: Phase,
    /// It has been asked to stop: however it ends, it is not tried again.
    stopping: bool,
    mishaps: u16,
    attempt: u32,
    failures: u32,
}

/// How the newest attempt at an index ended, and what came of the others: what a framework that starts anew must know of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IndexRecord {
    pub(crate) attempt: u32,
    failures: u32,
    mishaps: u16,
    ending: Ending,
}

/// What an ended attempt means for its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Ending {
    Succeeded,
    Failed,
    Stopped,
    /// It is tried again.
    Again,
}

/// What an index is doing, for explanations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doing {
    /// It waits for others of the step to end.
    Waiting,
    /// It is queued for offers.
    Queued,
    /// It is on an agent.
    Launched,
    /// It is tried again at that time.
    BackingOff(Time),
    /// Nothing any more.
    Ended,
}

/// A step of a run.
#[derive(Debug)]
pub(crate) struct Step {
    state: StepState,
    parallel: u32,
    retry: Retry,
    /// All indexes that have not succeeded start together.
    gang: bool,
    /// What runs of the gang has been asked to stop, to start again.
    restarting: bool,
    indexes: Vec<Index>,
    /// Indexes from here on were never started.
    fresh: u32,
    backing_off: BTreeSet<(Time, u32)>,
    due: VecDeque<u32>,
    /// No index is started any more, and how the step ends once nothing of it runs.
    closing: Option<StepState>,
    queued: u32,
    launched: u32,
    succeeded: u32,
    failed: u32,
    retries: u32,
}

impl Step {
    /// So many tasks of which so many may be queued or running together.
    pub(crate) fn new(count: u32, parallel: u32, retry: Retry) -> Self {
        let fresh = Index { phase: Phase::Fresh, stopping: false, mishaps: 0, attempt: 0, failures: 0 };
        Step {
            state: StepState::Waiting,
            parallel,
            retry,
            gang: false,
            restarting: false,
            indexes: vec![fresh; count as usize],
            fresh: 0,
            backing_off: BTreeSet::new(),
            due: VecDeque::new(),
            closing: None,
            queued: 0,
            launched: 0,
            succeeded: 0,
            failed: 0,
            retries: 0,
        }
    }

    /// So many tasks that start together, at most [`WINDOW`].
    pub(crate) fn gang(count: u32, retry: Retry) -> Self {
        Step { gang: true, ..Step::new(count, u32::MAX, retry) }
    }

    pub(crate) fn is_gang(&self) -> bool {
        self.gang
    }

    pub(crate) fn state(&self) -> StepState {
        self.state
    }

    pub(crate) fn succeeded(&self) -> u32 {
        self.succeeded
    }

    /// How many tasks of it may be queued or running together.
    pub(crate) fn parallel(&self) -> u32 {
        self.parallel
    }

    /// What it waits for has happened.
    pub(crate) fn start(&mut self) {
        self.state = StepState::Running;
    }

    /// What it waits for can't happen any more.
    pub(crate) fn skip(&mut self) {
        self.state = StepState::Skipped;
    }

    /// When an index is to be tried again.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        if self.closing.is_some() {
            return None;
        }
        // A gang starts when its last task may.
        let next = if self.gang { self.backing_off.last() } else { self.backing_off.first() };
        next.map(|(at, _)| *at)
    }

    /// Queues what may start at `now`: calls `launch` with indexes and the numbers of their attempts.
    pub(crate) fn fill(&mut self, now: Time, mut launch: impl FnMut(u32, u32)) {
        if self.state != StepState::Running || self.closing.is_some() {
            return;
        }
        if self.gang {
            if self.queued + self.launched > 0 || self.next_deadline().is_some_and(|at| at > now) {
                return;
            }
            self.restarting = false;
        }
        while let Some((_, index)) = self.backing_off.first().copied().filter(|(at, _)| *at <= now) {
            self.backing_off.pop_first();
            self.due.push_back(index);
        }
        while self.queued < WINDOW && self.queued + self.launched < self.parallel {
            let Some(number) = self.due.pop_front().or_else(|| self.next_fresh()) else { break };
            let index = &mut self.indexes[number as usize];
            index.attempt += 1;
            index.phase = Phase::Queued;
            self.retries += u32::from(index.attempt > 1);
            self.queued += 1;
            launch(number, index.attempt);
        }
    }

    fn next_fresh(&mut self) -> Option<u32> {
        // Those that an earlier life started are not fresh any more.
        let rest = self.indexes.get(self.fresh as usize..)?;
        let skipped = rest.iter().take_while(|index| index.phase != Phase::Fresh).count() as u32;
        let next = self.fresh + skipped;
        self.fresh = next + u32::from((next as usize) < self.indexes.len());
        (next < self.fresh).then_some(next)
    }

    /// Takes note of what happened to an attempt.
    pub(crate) fn record(&mut self, now: Time, number: u32, attempt: u32, event: Event) -> Outcome {
        let Some(index) = self.indexes.get_mut(number as usize) else { return Outcome::Stale };
        if index.attempt != attempt || !matches!(index.phase, Phase::Queued | Phase::Launched) {
            return Outcome::Stale;
        }
        if event == Event::Launched {
            if index.phase == Phase::Queued {
                index.phase = Phase::Launched;
                self.queued -= 1;
                self.launched += 1;
            }
            return Outcome::Alive;
        }
        match index.phase {
            Phase::Queued => self.queued -= 1,
            _ => self.launched -= 1,
        }
        let again_after = match event {
            Event::Succeeded => {
                index.phase = Phase::Succeeded;
                self.succeeded += 1;
                None
            }
            _ if index.stopping => {
                index.phase = Phase::Stopped;
                None
            }
            Event::Mishap => {
                let wait = doubled(MISHAP_BACKOFF, u32::from(index.mishaps), MAX_MISHAP_BACKOFF);
                index.mishaps = index.mishaps.saturating_add(1);
                Some(wait)
            }
            Event::Failed if index.failures < self.retry.limit => {
                let wait = doubled(self.retry.backoff, index.failures, self.retry.max_backoff);
                index.failures += 1;
                Some(wait)
            }
            _ => {
                index.failures += 1;
                index.phase = Phase::Failed;
                self.failed += 1;
                if self.closing.is_none() {
                    self.closing = Some(StepState::Failed);
                    return Outcome::Closing;
                }
                None
            }
        };
        if let Some(wait) = again_after {
            index.phase = Phase::BackingOff;
            self.backing_off.insert((now + wait, number));
            if self.gang && !self.restarting {
                self.restarting = true;
                return Outcome::Restarting;
            }
        }
        Outcome::Ended
    }

    /// Stops what is queued and what runs, to start it again; calls `kill` with indexes and their attempts.
    pub(crate) fn restart(&mut self, mut kill: impl FnMut(u32, u32)) {
        for (number, index) in (0..).zip(&self.indexes) {
            if matches!(index.phase, Phase::Queued | Phase::Launched) && !index.stopping {
                kill(number, index.attempt);
            }
        }
    }

    /// Stops what is queued, and with `running` also what runs; calls `kill` with indexes and their attempts.
    pub(crate) fn stop(&mut self, running: bool, mut kill: impl FnMut(u32, u32)) {
        self.backing_off.clear();
        self.due.clear();
        for (number, index) in (0..).zip(&mut self.indexes) {
            let stops = index.phase == Phase::Queued || running && index.phase == Phase::Launched;
            if stops && !index.stopping {
                index.stopping = true;
                kill(number, index.attempt);
            }
            if index.phase == Phase::BackingOff {
                index.phase = Phase::Stopped;
            }
        }
    }

    /// Ends it on request, once nothing of it runs any more.
    pub(crate) fn cancel(&mut self, kill: impl FnMut(u32, u32)) {
        if self.state.is_ended() {
            return;
        }
        self.closing = Some(StepState::Cancelled);
        self.stop(true, kill);
        if self.state == StepState::Waiting {
            self.state = StepState::Cancelled;
        }
    }

    /// What is to be recorded of an index; `None` while an attempt at it goes on.
    pub(crate) fn index_record(&self, number: u32) -> Option<IndexRecord> {
        let index = self.indexes.get(number as usize)?;
        let ending = match index.phase {
            Phase::Fresh | Phase::Queued | Phase::Launched => return None,
            Phase::BackingOff => Ending::Again,
            Phase::Succeeded => Ending::Succeeded,
            Phase::Failed => Ending::Failed,
            Phase::Stopped => Ending::Stopped,
        };
        let Index { attempt, failures, mishaps, .. } = *index;
        Some(IndexRecord { attempt, failures, mishaps, ending })
    }

    /// The indexes of which something may be recorded.
    pub(crate) fn recorded(&self) -> impl Iterator<Item = u32> {
        let tried = (0..).zip(&self.indexes).filter(|(_, index)| index.attempt > 0);
        tried.map(|(number, _)| number)
    }

    /// An index is as an earlier life recorded it; what is tried again is tried at once. Whether there is such an index.
    pub(crate) fn restore_index(&mut self, now: Time, number: u32, record: IndexRecord) -> bool {
        let Some(index) = self.indexes.get_mut(number as usize) else { return false };
        let IndexRecord { attempt, failures, mishaps, ending } = record;
        let phase = match ending {
            Ending::Succeeded => Phase::Succeeded,
            Ending::Failed => Phase::Failed,
            Ending::Stopped => Phase::Stopped,
            Ending::Again => Phase::BackingOff,
        };
        *index = Index { phase, stopping: false, mishaps, attempt, failures };
        self.retries += attempt.saturating_sub(1);
        match ending {
            Ending::Succeeded => self.succeeded += 1,
            Ending::Failed => {
                self.failed += 1;
                self.closing = Some(StepState::Failed);
            }
            Ending::Stopped => {}
            Ending::Again => {
                self.backing_off.insert((now, number));
            }
        }
        true
    }

    /// An earlier life launched an attempt, and recorded no end. Whether it is the one that counts; another is to be stopped.
    pub(crate) fn restore_launched(&mut self, now: Time, number: u32, attempt: u32) -> bool {
        let Some(index) = self.indexes.get_mut(number as usize) else { return false };
        if attempt <= index.attempt || !matches!(index.phase, Phase::Fresh | Phase::BackingOff) {
            return false;
        }
        self.backing_off.remove(&(now, number));
        self.retries += attempt.saturating_sub(index.attempt.max(1));
        index.phase = Phase::Launched;
        index.attempt = attempt;
        self.launched += 1;
        true
    }

    /// Goes on after all was restored: stops what the earlier life may have been about to stop; calls `kill` with indexes and their
    /// attempts.
    pub(crate) fn resume(&mut self, kill: impl FnMut(u32, u32)) {
        let is_idle = |index: &Index| !matches!(index.phase, Phase::Launched | Phase::Succeeded);
        if self.closing.is_some() {
            self.stop(self.gang, kill);
        } else if self.gang && self.launched > 0 && self.indexes.iter().any(is_idle) {
            self.restarting = true;
            self.restart(kill);
        }
    }

    /// Ends it when nothing of it is left to do.
    pub(crate) fn settle(&mut self) {
        if self.state != StepState::Running || self.queued + self.launched > 0 {
            return;
        }
        if self.succeeded as usize == self.indexes.len() {
            self.state = StepState::Succeeded;
        } else if let Some(ending) = self.closing {
            self.state = ending;
        }
    }

    /// What an index is doing; `None` when there is no such index.
    pub(crate) fn doing(&self, number: u32) -> Option<Doing> {
        let index = self.indexes.get(number as usize)?;
        Some(match index.phase {
            _ if self.state.is_ended() => Doing::Ended,
            Phase::Fresh => Doing::Waiting,
            Phase::Queued => Doing::Queued,
            Phase::Launched => Doing::Launched,
            Phase::BackingOff => {
                let again = self.backing_off.iter().find(|(_, waiting)| *waiting == number);
                again.map_or(Doing::Waiting, |(at, _)| Doing::BackingOff(*at))
            }
            Phase::Succeeded | Phase::Failed | Phase::Stopped => Doing::Ended,
        })
    }

    /// Whether some indexes wait for others of the step to end.
    pub(crate) fn is_limited(&self) -> bool {
        self.state == StepState::Running
            && (!self.due.is_empty() || (self.fresh as usize) < self.indexes.len())
    }

    pub(crate) fn progress(&self, name: &str) -> StepProgress {
        StepProgress {
            name: name.to_owned(),
            state: self.state,
            total: self.indexes.len() as u32,
            queued: self.queued,
            running: self.launched,
            succeeded: self.succeeded,
            failed: self.failed,
            retries: self.retries,
        }
    }

    /// The indexes that failed for good, as ranges from first to last.
    pub(crate) fn failed_indexes(&self) -> Vec<(u32, u32)> {
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        for (number, _) in (0..).zip(&self.indexes).filter(|(_, index)| index.phase == Phase::Failed) {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == number => *last = number,
                _ => ranges.push((number, number)),
            }
        }
        ranges
    }
}

/// `base`, doubled so many times, but not more than `max`.
fn doubled(base: Duration, times: u32, max: Duration) -> Duration {
    let factor = 1_u32.checked_shl(times).unwrap_or(u32::MAX);
    base.saturating_mul(factor).min(max)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETRY: Retry =
        Retry { limit: 3, backoff: Duration::from_secs(10), max_backoff: Duration::from_secs(15) };

    fn started(count: u32, parallel: u32, retry: Retry) -> Step {
        let mut step = Step::new(count, parallel, retry);
        step.start();
        step
    }

    fn fill(step: &mut Step, now: Time) -> Vec<(u32, u32)> {
        let mut launched = Vec::new();
        step.fill(now, |index, attempt| launched.push((index, attempt)));
        launched
    }

    #[test]
    fn failures_are_retried_with_growing_waits_up_to_the_limit() {
        let mut step = started(1, 1, RETRY);
        let mut now = Time::ZERO;
        let mut waits = Vec::new();
        for attempt in 1..=4 {
            assert_eq!(fill(&mut step, now), [(0, attempt)]);
            step.record(now, 0, attempt, Event::Failed);
            if let Some(at) = step.next_deadline() {
                assert_eq!(fill(&mut step, now), [], "not before its time");
                waits.push(at.since(now).as_secs());
                now = at;
            }
        }
        assert_eq!(waits, [10, 15, 15]);
        step.settle();
        assert_eq!(step.state(), StepState::Failed);
        assert_eq!(step.failed_indexes(), [(0, 0)]);
        assert_eq!(step.progress("a").retries, 3);
    }

    #[test]
    fn mishaps_do_not_use_up_the_limit() {
        let mut step = started(1, 1, Retry { limit: 0, ..RETRY });
        let mut now = Time::ZERO;
        for attempt in 1..=40 {
            assert_eq!(fill(&mut step, now), [(0, attempt)]);
            step.record(now, 0, attempt, Event::Launched);
            step.record(now, 0, attempt, Event::Mishap);
            let again = step.next_deadline().unwrap();
            assert!(again.since(now) <= MAX_MISHAP_BACKOFF);
            now = again;
        }
        assert_eq!(fill(&mut step, now), [(0, 41)]);
        step.record(now, 0, 41, Event::Succeeded);
        step.settle();
        assert_eq!(step.state(), StepState::Succeeded);
    }

    #[test]
    fn what_is_refused_is_not_retried() {
        let mut step = started(1, 1, RETRY);
        fill(&mut step, Time::ZERO);
        assert_eq!(step.record(Time::ZERO, 0, 1, Event::Refused), Outcome::Closing);
        step.settle();
        assert_eq!(step.state(), StepState::Failed);
    }

    #[test]
    fn arrays_are_queued_by_windows() {
        let mut step = started(3 * WINDOW, u32::MAX, RETRY);
        assert_eq!(fill(&mut step, Time::ZERO).len(), WINDOW as usize);
        for index in 0..100 {
            step.record(Time::ZERO, index, 1, Event::Launched);
        }
        let launched = fill(&mut step, Time::ZERO);
        assert_eq!((launched.len(), launched[0]), (100, (WINDOW, 1)));
    }

    #[test]
    fn no_more_run_together_than_may() {
        let mut step = started(5, 2, RETRY);
        assert_eq!(fill(&mut step, Time::ZERO), [(0, 1), (1, 1)]);
        step.record(Time::ZERO, 0, 1, Event::Launched);
        assert_eq!(fill(&mut step, Time::ZERO), []);
        step.record(Time::ZERO, 0, 1, Event::Succeeded);
        assert_eq!(fill(&mut step, Time::ZERO), [(2, 1)]);
    }

    #[test]
    fn a_gang_starts_together_and_again_together() {
        let mut step = Step::gang(3, RETRY);
        step.start();
        assert_eq!(fill(&mut step, Time::ZERO), [(0, 1), (1, 1), (2, 1)]);
        for index in 0..3 {
            step.record(Time::ZERO, index, 1, Event::Launched);
        }
        assert_eq!(step.record(Time::ZERO, 0, 1, Event::Succeeded), Outcome::Ended);
        assert_eq!(step.record(Time::ZERO, 1, 1, Event::Failed), Outcome::Restarting);
        let mut killed = Vec::new();
        step.restart(|index, attempt| killed.push((index, attempt)));
        assert_eq!(killed, [(2, 1)]);
        assert_eq!(fill(&mut step, Time::from_secs(60)), [], "not before all of it has ended");
        assert_eq!(step.record(Time::from_secs(1), 2, 1, Event::Mishap), Outcome::Ended);
        assert_eq!(fill(&mut step, Time::from_secs(2)), [], "not before the last may start");
        assert_eq!(step.next_deadline(), Some(Time::from_secs(10)));
        assert_eq!(fill(&mut step, Time::from_secs(10)), [(2, 2), (1, 2)], "what succeeded is not run again");
    }

    /// The step as a framework that starts anew restores it.
    fn restored(before: &Step, launched: &[(u32, u32)]) -> Step {
        let mut step = Step::new(before.indexes.len() as u32, before.parallel, before.retry);
        step.gang = before.gang;
        for number in before.recorded() {
            if let Some(record) = before.index_record(number) {
                assert!(step.restore_index(Time::ZERO, number, record));
            }
        }
        for (number, attempt) in launched {
            assert!(step.restore_launched(Time::ZERO, *number, *attempt));
        }
        step.start();
        step
    }

    #[test]
    fn what_an_earlier_life_did_is_neither_done_again_nor_left_out() {
        let mut step = started(6, 5, RETRY);
        fill(&mut step, Time::ZERO);
        for index in 0..4 {
            step.record(Time::ZERO, index, 1, Event::Launched);
        }
        step.record(Time::ZERO, 0, 1, Event::Succeeded);
        step.record(Time::ZERO, 1, 1, Event::Failed);
        step.record(Time::ZERO, 2, 1, Event::Mishap);
        let mut step = restored(&step, &[(3, 1)]);
        step.resume(|_, _| panic!("nothing is to be stopped"));
        assert!(!step.restore_launched(Time::ZERO, 0, 1), "it has ended");
        assert!(!step.restore_launched(Time::ZERO, 3, 1), "once is enough");
        assert_eq!(fill(&mut step, Time::ZERO), [(1, 2), (2, 2), (4, 1), (5, 1)]);
        assert_eq!(step.record(Time::ZERO, 3, 1, Event::Succeeded), Outcome::Ended);
        for (index, attempt) in [(1, 2), (2, 2), (4, 1), (5, 1)] {
            assert_eq!(step.record(Time::ZERO, index, attempt, Event::Succeeded), Outcome::Ended);
        }
        step.settle();
        assert_eq!((step.state(), step.progress("a").retries), (StepState::Succeeded, 2));
    }

    #[test]
    fn a_gang_that_was_stopped_halfway_is_stopped_on() {
        let mut gang = Step::gang(3, RETRY);
        gang.start();
        fill(&mut gang, Time::ZERO);
        (0..3).for_each(|index| {
            gang.record(Time::ZERO, index, 1, Event::Launched);
        });
        gang.record(Time::ZERO, 0, 1, Event::Succeeded);
        let mut whole = restored(&gang, &[(1, 1), (2, 1)]);
        whole.resume(|_, _| panic!("all that have not succeeded run"));
        gang.record(Time::ZERO, 1, 1, Event::Failed);
        let mut killed = Vec::new();
        restored(&gang, &[(2, 1)]).resume(|index, attempt| killed.push((index, attempt)));
        assert_eq!(killed, [(2, 1)]);
    }

    #[test]
    fn a_failed_index_withdraws_what_is_queued_and_lets_run_what_runs() {
        let mut step = started(4, 3, Retry { limit: 0, ..RETRY });
        fill(&mut step, Time::ZERO);
        step.record(Time::ZERO, 0, 1, Event::Launched);
        step.record(Time::ZERO, 1, 1, Event::Launched);
        assert_eq!(step.record(Time::ZERO, 0, 1, Event::Failed), Outcome::Closing);
        let mut killed = Vec::new();
        step.stop(false, |index, _| killed.push(index));
        assert_eq!(killed, [2]);
        step.record(Time::ZERO, 2, 1, Event::Mishap);
        step.settle();
        assert_eq!((step.state(), fill(&mut step, Time::ZERO)), (StepState::Running, vec![]));
        step.record(Time::ZERO, 1, 1, Event::Succeeded);
        step.settle();
        assert_eq!((step.state(), step.progress("a").succeeded), (StepState::Failed, 1));
    }
}
