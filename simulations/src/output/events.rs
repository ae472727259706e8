//! `events.jsonl`: what happened to jobs and tasks, a line each.
//!
//! | `event` | other keys |
//! | --- | --- |
//! | `arrival` | `framework`, `job`, `tasks` |
//! | `start` | `framework`, `job`, `task`, `agent` |
//! | `end` | `framework`, `job`, `task`, `agent`, `outcome` |
//!
//! Each has its time as `at_ns`, in nanoseconds from the start. Lines are in the order of time; of one time, ends come first, then
//! arrivals, then starts, each in the order in which tasks started and jobs are listed.

use std::io::{self, Write};

use serde_json::json;

use crate::engine::{Outcome, Record};
use crate::scenario::Model;

/// Of one time, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    End(usize),
    Arrival(usize, usize),
    Start(usize),
}

/// Writes `events.jsonl`.
///
/// # Errors
/// When the writer fails.
pub fn write(mut out: impl Write, model: &Model, record: &Record) -> io::Result<()> {
    let mut events = Vec::with_capacity(record.tasks.len() * 2);
    for (place, task) in record.tasks.iter().enumerate() {
        events.push((task.start, What::Start(place)));
        if task.outcome != Outcome::Running {
            events.push((task.end, What::End(place)));
        }
    }
    for (place, (known, seen)) in model.frameworks.iter().zip(&record.frameworks).enumerate() {
        let arrived = known.workload.jobs.iter().take(seen.arrived).enumerate();
        events.extend(arrived.map(|(job, known)| (known.at, What::Arrival(place, job))));
    }
    events.sort_unstable();
    for (at, what) in events {
        let at_ns = at.as_nanos();
        let line = match what {
            What::Arrival(framework, job) => {
                let framework = &model.frameworks[framework];
                let job = &framework.workload.jobs[job];
                json!({ "at_ns": at_ns, "event": "arrival", "framework": framework.id, "job": &*job.id, "tasks": job.tasks })
            }
            What::Start(place) | What::End(place) => {
                let task = &record.tasks[place];
                let framework = model.frameworks.get(task.framework as usize);
                let job = framework.and_then(|known| known.workload.jobs.get(task.job as usize));
                let mut line = json!({
                    "at_ns": at_ns,
                    "event": "start",
                    "framework": framework.map(|known| &known.id),
                    "job": job.map(|job| &*job.id),
                    "task": task.index,
                    "agent": model.agents[task.agent as usize].id,
                });
                if matches!(what, What::End(_)) {
                    line["event"] = "end".into();
                    line["outcome"] = task.outcome.as_str().into();
                }
                line
            }
        };
        writeln!(out, "{line}")?;
    }
    out.flush()
}
