//! Schedulers, as the simulation drives them.

use apportion::protocol::{SchedulerCall, SchedulerEvent, TaskState};
use apportion::scheduler::{Scheduler, SchedulerInput, SchedulerOutput, SchedulerProcess};
use apportion::time::Time;

use super::{QueueFramework, TimerTask};

/// How much a framework has decided so far; what decision times are reckoned from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effort {
    /// Jobs that it began to place, or tried to place again after it had failed to.
    pub jobs: u64,
    /// Tasks that it launched.
    pub tasks: u64,
    /// The time for jobs that have decision times of their own, which are not among the others, in nanoseconds.
    pub own_ns: u64,
}

/// A scheduler's process, as the simulation drives it.
pub trait Party {
    /// As [`SchedulerProcess::handle`].
    fn handle(&mut self, now: Time, input: SchedulerInput, out: &mut Vec<SchedulerOutput>);

    /// As [`SchedulerProcess::next_deadline`].
    fn next_deadline(&self) -> Option<Time>;

    /// How much it has decided so far.
    fn effort(&self) -> Effort;

    /// Whether it does anything about a task that is in this state. With fidelity `placement` it is not told what it does not heed.
    fn heeds(&self, _state: TaskState) -> bool {
        true
    }

    /// The request that tells it that a job of its workload has arrived; by default the job's number, in four bytes,
    /// little-endian.
    fn arrival(&self, job: u32) -> Vec<u8> {
        QueueFramework::arrival(job)
    }
}

impl Party for SchedulerProcess<QueueFramework> {
    fn handle(&mut self, now: Time, input: SchedulerInput, out: &mut Vec<SchedulerOutput>) {
        SchedulerProcess::handle(self, now, input, out);
    }

    fn next_deadline(&self) -> Option<Time> {
        SchedulerProcess::next_deadline(self)
    }

    fn effort(&self) -> Effort {
        self.scheduler().effort()
    }

    fn heeds(&self, state: TaskState) -> bool {
        state.is_terminal()
    }
}

/// Any scheduler, as a [`Party`]. Its effort is told by what it says: each launch is a task; launches in a row are of one job,
/// unless they are [`TimerTask`]s of several; and offers of which nothing is used are a job that it failed to place.
#[derive(Debug)]
pub struct Plugged<S> {
    process: SchedulerProcess<S>,
    effort: Effort,
    /// The job whose task was the last to be launched: going on with it is no new decision.
    going_on: Option<u32>,
}

impl<S: Scheduler> Plugged<S> {
    /// The party of a scheduler.
    pub fn new(scheduler: S) -> Self {
        Plugged { process: SchedulerProcess::new(scheduler), effort: Effort::default(), going_on: None }
    }

    /// The scheduler.
    pub fn scheduler(&self) -> &S {
        self.process.scheduler()
    }

    fn note(&mut self, said: &[SchedulerOutput]) {
        let calls = said.iter().filter_map(|output| match output {
            SchedulerOutput::Send(SchedulerCall::Accept { operations, .. }) => Some(operations),
            _ => None,
        });
        let before = self.effort.tasks;
        for task in calls.flatten().flat_map(apportion::protocol::Operation::tasks) {
            let job = TimerTask::job_of(task);
            if self.going_on.is_none() || job.is_some() && self.going_on != job {
                self.effort.jobs += 1;
            }
            self.going_on = Some(job.unwrap_or(u32::MAX));
            self.effort.tasks += 1;
        }
        if self.effort.tasks == before {
            self.effort.jobs += 1;
            self.going_on = None;
        }
    }
}

impl<S: Scheduler> Party for Plugged<S> {
    fn handle(&mut self, now: Time, input: SchedulerInput, out: &mut Vec<SchedulerOutput>) {
        let decides = matches!(&input, SchedulerInput::Event(SchedulerEvent::Offers(_)));
        let before = out.len();
        self.process.handle(now, input, out);
        if decides {
            self.note(&out[before..]);
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        self.process.next_deadline()
    }

    fn effort(&self) -> Effort {
        self.effort
    }
}
