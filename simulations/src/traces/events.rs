//! Tables of events, as Google publishes them: tasks that are submitted, start and end, at a line each.
//!
//! What both of Google's traces have in common is decided here:
//!
//! - Times are microseconds. 0 is before the trace, and 2^63 - 1 after it: what happened then is not known.
//! - Amounts are shares of the cluster's largest machine. A whole one is written as 100 cores, 100 GiB of memory and 1,000 GiB of
//!   disk, so that one core is a hundredth of it; amounts are rounded to the thousandth of a core or MiB.
//! - A task is a job of its own, named `<job>.<index>`: tasks of one job may differ in all that a job has.
//! - A task arrives with its first event. It runs from its last start to the end that follows; one that is not seen to end has no
//!   run time. Tasks that ended and were never seen to start are left out: they used nothing.
//! - A machine is there from the beginning, with what it had when it was added first.

use apportion::resources::{GpuRequest, Scalar};
use rustc_hash::{FxHashMap, FxHashSet};

use super::reader::Line;
use super::{LineError, Problem, TraceJob, TraceNode};
use crate::values::Span;

/// What the largest machine has, in thousandths of cores, MiB of memory and MiB of disk.
pub(super) const WHOLE_CPUS: f64 = 100_000.0;
pub(super) const WHOLE_MEM: f64 = 102_400_000.0;
pub(super) const WHOLE_DISK: f64 = 1_024_000_000.0;

/// What happens to a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// It asks for something, or asks for something else.
    Waits,
    Starts,
    Ends,
}

/// A line about a task.
#[derive(Clone, Debug)]
pub(super) struct TaskEvent {
    pub(super) line: u64,
    /// `None` after the end of the trace.
    pub(super) at: Option<Span>,
    pub(super) what: What,
    pub(super) task: String,
    /// What it asks for, where the line says so.
    pub(super) cpus: Option<Scalar>,
    pub(super) mem: Option<Scalar>,
    pub(super) disk: Option<Scalar>,
    pub(super) queue: String,
    pub(super) user: String,
}

/// A task as the lines so far tell it.
struct Life {
    job: TraceJob,
    started: Option<Span>,
    is_over: bool,
}

impl Life {
    /// Whether there is something to simulate of it.
    fn is_known(&self) -> bool {
        !self.is_over || self.job.runtime.is_some()
    }
}

/// A span of microseconds; `None` is after the end of the trace.
pub(super) fn micros(number: u64) -> Option<Span> {
    (number < i64::MAX as u64).then(|| Span::from_nanos(number.saturating_mul(1000)))
}

/// A share of the largest machine.
pub(super) fn share(share: f64, whole: f64) -> Option<Scalar> {
    let milli = libm::round(share * whole);
    // The comparison is false for NaN too.
    (0.0..=1e15).contains(&milli).then(|| Scalar::from_milli(milli as i64).ok()).flatten()
}

impl Line<'_> {
    /// A share of the largest machine, if there is one.
    pub(super) fn share(&self, column: &str, whole: f64) -> Result<Option<Scalar>, Problem> {
        self.parsed(&[column], "a share of at least 0", |text| share(text.parse().ok()?, whole))
    }
}

/// The tasks of some events, in the order in which they appear.
pub(super) fn tasks(
    events: impl IntoIterator<Item = Result<TaskEvent, LineError>>,
) -> Vec<Result<TraceJob, LineError>> {
    let (mut lives, mut errors): (Vec<Life>, Vec<LineError>) = (Vec::new(), Vec::new());
    let mut places: FxHashMap<String, usize> = FxHashMap::default();
    for event in events {
        let outcome = event.and_then(|event| {
            let line = event.line;
            note(event, &mut lives, &mut places).map_err(|problem| LineError { line, problem })
        });
        errors.extend(outcome.err());
    }
    let jobs = lives.into_iter().filter(Life::is_known).map(|life| Ok(life.job));
    jobs.chain(errors.into_iter().map(Err)).collect()
}

fn note(
    event: TaskEvent,
    lives: &mut Vec<Life>,
    places: &mut FxHashMap<String, usize>,
) -> Result<(), Problem> {
    let place = match places.get(&event.task) {
        Some(place) => *place,
        None => {
            let Some(at) = event.at else { return Ok(()) };
            let life = Life { job: begin(&event, at)?, started: None, is_over: false };
            places.insert(event.task.clone(), lives.len());
            lives.push(life);
            lives.len() - 1
        }
    };
    let life = &mut lives[place];
    match (event.what, event.at) {
        (What::Waits, _) => {
            // What is asked for anew counts while it has not started.
            if life.started.is_none() {
                let job = &mut life.job;
                job.cpus = event.cpus.unwrap_or(job.cpus);
                job.mem = event.mem.unwrap_or(job.mem);
                job.disk = event.disk.unwrap_or(job.disk);
            }
            life.is_over = false;
        }
        (What::Starts, Some(at)) => (life.started, life.is_over) = (Some(at), false),
        (What::Ends, Some(at)) => {
            if let Some(started) = life.started.take() {
                let nanos = at.nanos().checked_sub(started.nanos()).ok_or_else(|| Problem::Value {
                    column: "time".to_owned(),
                    value: at.secs().to_string(),
                    expected: "a time after the task's start",
                })?;
                life.job.runtime = Some(Span::from_nanos(nanos));
            }
            life.is_over = true;
        }
        (What::Starts | What::Ends, None) => {}
    }
    if !life.is_over {
        // It runs again, or still.
        life.job.runtime = None;
    }
    Ok(())
}

fn begin(event: &TaskEvent, at: Span) -> Result<TraceJob, Problem> {
    let needed = |amount: Option<Scalar>, column: &str| amount.ok_or_else(|| Problem::empty(column));
    Ok(TraceJob {
        id: event.task.clone(),
        submit: at,
        tasks: 1,
        cpus: needed(event.cpus, "cpu request")?,
        mem: needed(event.mem, "memory request")?,
        disk: event.disk.unwrap_or_default(),
        gpus: GpuRequest::NONE,
        queue: event.queue.clone(),
        user: event.user.clone(),
        ..TraceJob::default()
    })
}

/// A machine that was added, or another line about it.
pub(super) type MachineEvent = Option<TraceNode>;

/// Each machine once.
pub(super) fn machines(
    events: impl IntoIterator<Item = Result<MachineEvent, LineError>>,
) -> Vec<Result<TraceNode, LineError>> {
    let mut seen = FxHashSet::default();
    let first = |event: &Result<TraceNode, LineError>| {
        event.as_ref().map_or(true, |node| seen.insert(node.id.clone()))
    };
    events.into_iter().filter_map(Result::transpose).filter(first).collect()
}
