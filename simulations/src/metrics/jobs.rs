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
    pub framework: u32,
    /// Its place in the framework's workload.
    pub job: u32,
    /// When it arrived.
    pub arrived: Time,
    // As there can be millions of jobs, what has not happened is one of the times: the last of all.
    first_start: Time,
    last_start: Time,
    ended: Time,
    /// How many of its tasks ended with success.
    pub finished: u32,
    /// How many ended otherwise, for good.
    pub failed: u32,
}

impl JobTimes {
    /// When its first task started.
    pub fn first_start(&self) -> Option<Time> {
        happened(self.first_start)
    }

    /// When the last of its tasks had started for the first time; `None` unless all have.
    pub fn last_start(&self) -> Option<Time> {
        happened(self.last_start)
    }

    /// When the last of its tasks ended; `None` unless all have.
    pub fn ended(&self) -> Option<Time> {
        happened(self.ended)
    }

    /// From its arrival to its first start, in seconds.
    pub fn wait_s(&self) -> Option<f64> {
        self.first_start().map(|start| seconds(start, self.arrived))
    }

    /// From its arrival to its last end, in seconds.
    pub fn jct_s(&self) -> Option<f64> {
        self.ended().map(|end| seconds(end, self.arrived))
    }

    /// The bounded slowdown.
    pub fn slowdown(&self) -> Option<f64> {
        let run = seconds(self.ended()?, self.first_start()?);
        Some((self.jct_s()? / run.max(TAU_S)).max(1.0))
    }
}

/// The lives of one framework's jobs, of those of all.
pub fn jobs_of(all: &[JobTimes], framework: usize) -> &[JobTimes] {
    let until = |framework: usize| all.partition_point(|job| (job.framework as usize) < framework);
    &all[until(framework)..until(framework + 1)]
}

/// It has not happened.
const NEVER: Time = Time::MAX;

fn happened(at: Time) -> Option<Time> {
    (at != NEVER).then_some(at)
}

fn seconds(later: Time, earlier: Time) -> f64 {
    later.since(earlier).as_nanos() as f64 / 1e9
}

/// The lives of all jobs that arrived, by framework, then in the order of arrival.
pub fn job_times(model: &Model, record: &Record) -> Vec<JobTimes> {
    let mut times = Vec::with_capacity(record.frameworks.iter().map(|seen| seen.arrived).sum());
    let mut bases = Vec::new();
    for (framework, (known, seen)) in (0..).zip(model.frameworks.iter().zip(&record.frameworks)) {
        bases.push((times.len(), seen.arrived));
        times.extend((0..).zip(known.workload.jobs.iter().take(seen.arrived)).map(|(job, known)| JobTimes {
            framework,
            job,
            arrived: known.at,
            first_start: NEVER,
            last_start: NEVER,
            ended: NEVER,
            finished: 0,
            failed: 0,
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
        let tasks = tasks_of(model, job);
        if job.first_start == NEVER {
            job.first_start = run.start;
        }
        // Starts of tasks that are launched again come after all first starts, or are counted for tasks that never end.
        if started[place] < tasks {
            started[place] += 1;
            if started[place] == tasks {
                job.last_start = run.start;
            }
        }
        match run.outcome {
            Outcome::Finished => job.finished += 1,
            Outcome::Running => continue,
            outcome if record.frameworks[job.framework as usize].runs_again(outcome) => continue,
            Outcome::Failed | Outcome::Killed | Outcome::Preempted | Outcome::Lost => job.failed += 1,
        }
        job.ended = happened(job.ended).unwrap_or_default().max(run.end);
    }
    for job in &mut times {
        if job.finished + job.failed < tasks_of(model, job) {
            job.ended = NEVER;
        }
    }
    times
}

fn tasks_of(model: &Model, job: &JobTimes) -> u32 {
    model.frameworks[job.framework as usize].workload.jobs[job.job as usize].tasks
}
