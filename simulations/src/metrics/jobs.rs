//! When jobs waited, ran and ended.

use apportion::time::Time;

use crate::engine::{Outcome, Record};
use crate::scenario::Model;

/// So short jobs count as this long in the bounded slowdown.
const TAU_S: f64 = 10.0;

/// The life of a job that has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobTimes {
    /// The place of its framework.
    pub framework: usize,
    /// Its place in the framework's workload.
    pub job: usize,
    /// When it arrived.
    pub arrived: Time,
    /// When its first task started.
    pub first_start: Option<Time>,
    /// When the last of its tasks had started for the first time; `None` unless all have.
    pub last_start: Option<Time>,
    /// When the last of its tasks ended; `None` unless all have.
    pub ended: Option<Time>,
    /// How many of its tasks ended with success.
    pub finished: u32,
    /// How many ended otherwise, for good.
    pub failed: u32,
}

impl JobTimes {
    /// From its arrival to its first start, in seconds.
    pub fn wait_s(&self) -> Option<f64> {
        self.first_start.map(|start| seconds(start, self.arrived))
    }

    /// From its arrival to its last end, in seconds.
    pub fn jct_s(&self) -> Option<f64> {
        self.ended.map(|end| seconds(end, self.arrived))
    }

    /// The bounded slowdown.
    pub fn slowdown(&self) -> Option<f64> {
        let run = seconds(self.ended?, self.first_start?);
        Some((self.jct_s()? / run.max(TAU_S)).max(1.0))
    }
}

fn seconds(later: Time, earlier: Time) -> f64 {
    later.since(earlier).as_nanos() as f64 / 1e9
}

/// The lives of all jobs that arrived, by framework, then in the order of arrival.
pub fn job_times(model: &Model, record: &Record) -> Vec<JobTimes> {
    let mut times = Vec::new();
    let mut bases = Vec::new();
    for (framework, (known, seen)) in model.frameworks.iter().zip(&record.frameworks).enumerate() {
        bases.push((times.len(), seen.arrived));
        times.extend(known.workload.jobs.iter().take(seen.arrived).enumerate().map(|(job, known)| {
            JobTimes {
                framework,
                job,
                arrived: known.at,
                first_start: None,
                last_start: None,
                ended: None,
                finished: 0,
                failed: 0,
            }
        }));
    }
    let mut started: Vec<u32> = vec![0; times.len()];
    for run in &record.tasks {
        let Some((base, count)) = bases.get(run.framework as usize) else { continue };
        if run.job as usize >= *count {
            continue;
        }
        let place = base + run.job as usize;
        let job = &mut times[place];
        let tasks = model.frameworks[job.framework].workload.jobs[job.job].tasks;
        job.first_start.get_or_insert(run.start);
        // Starts of tasks that are launched again come after all first starts, or are counted for tasks that never end.
        if started[place] < tasks {
            started[place] += 1;
            if started[place] == tasks {
                job.last_start = Some(run.start);
            }
        }
        match run.outcome {
            Outcome::Finished => job.finished += 1,
            Outcome::Running => continue,
            outcome if record.frameworks[job.framework].runs_again(outcome) => continue,
            Outcome::Failed | Outcome::Killed | Outcome::Preempted | Outcome::Lost => job.failed += 1,
        }
        job.ended = job.ended.max(Some(run.end));
    }
    for job in &mut times {
        if job.finished + job.failed < model.frameworks[job.framework].workload.jobs[job.job].tasks {
            job.ended = None;
        }
    }
    times
}
