//! A run in numbers.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::digest::Digest;
use crate::engine::{Ending, Outcome, Record};
use crate::gpus::label;
use crate::metrics::{JobTimes, RoleUse, Spread, Timeline, Use, jobs_of};
use crate::scenario::{Model, Player};

/// A run in numbers. [`metrics`](crate::metrics) says how each is defined.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The scenario's name.
    pub name: String,
    /// Virtual time from the start to the end, in seconds.
    pub virtual_s: f64,
    /// Why it ended.
    pub ending: Ending,
    /// How many events were handled.
    pub events: u64,
    /// How long that took on the machine, in seconds.
    pub wall_s: f64,
    /// Events per second of that.
    pub events_per_s: f64,
    /// Jobs that have arrived.
    pub jobs_arrived: usize,
    /// Jobs of which all tasks ended with success.
    pub jobs_finished: usize,
    /// Jobs of which all tasks ended, some without success.
    pub jobs_failed: usize,
    /// Tasks that ended with success.
    pub tasks_finished: u64,
    /// Tasks that ended otherwise, for good.
    pub tasks_failed: u64,
    /// Tasks that arrived and wait.
    pub tasks_pending: u64,
    /// Tasks that run.
    pub tasks_running: u64,
    /// Runs of tasks that did not end well, after which the tasks run again: lost with their agents, or failed and retried.
    pub tasks_lost: u64,
    /// Runs of tasks that were ended to make room for others.
    pub preemptions: u64,
    /// When the last task ended, in seconds.
    pub makespan_s: f64,
    /// By kind of resource.
    pub utilisation: BTreeMap<String, Use>,
    /// From arrival to the first start, in seconds, of each job that started.
    pub wait_s: Spread,
    /// From arrival to the last end, in seconds, of each job that ended.
    pub jct_s: Spread,
    /// Of each job that ended.
    pub bounded_slowdown: Spread,
    /// By name.
    pub roles: BTreeMap<String, RoleUse>,
    /// By name.
    pub frameworks: BTreeMap<String, FrameworkSummary>,
    /// Mean over time.
    pub jain_index: f64,
    /// Mean over time.
    pub fragmentation: f64,
    /// The share of used core time that went to tasks that finished.
    pub goodput: f64,
    /// Allocations that the master made.
    pub allocation_cycles: u64,
    /// Offers of all frameworks.
    pub offers: u64,
    /// Offers per allocation.
    pub offers_per_cycle: f64,
    /// The part of the offers of which nothing was used.
    pub decline_ratio: f64,
    /// What random streams were seeded with.
    pub seed: u64,
    /// The hash of the scenario's text.
    pub scenario_hash: Digest,
    /// The hash of all events, in their order.
    pub events_hash: Digest,
    /// The version of this crate.
    pub version: &'static str,
}

/// What a framework went through.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct FrameworkSummary {
    /// Its role.
    pub role: String,
    /// Whose code played it.
    pub played_by: Player,
    /// The most tasks that ran at a time.
    pub running_max: u64,
    /// Jobs that ended with success.
    pub jobs_finished: usize,
    /// Tasks that ended with success.
    pub tasks_finished: u64,
    /// Tasks that ended otherwise, for good.
    pub tasks_failed: u64,
    /// Tasks that arrived and wait.
    pub tasks_pending: u64,
    /// Offers that it was made.
    pub offers: u64,
    /// Offers of which it used nothing.
    pub declines: u64,
    /// The part of the time for which it was deciding.
    pub busyness: f64,
    /// Acceptances that came too late, since others had taken what they used, per acceptance that did not.
    pub conflict_fraction: f64,
    /// Cores that were offered to it alone while it decided, on average over the run.
    pub held_cpus: f64,
    /// As of all.
    pub wait_s: Spread,
    /// As of all.
    pub jct_s: Spread,
}

/// Tasks by what became of them.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    finished: u64,
    failed: u64,
    running: u64,
    lost: u64,
    arrived: u64,
}

impl Counts {
    fn pending(self) -> u64 {
        self.arrived.saturating_sub(self.finished + self.failed + self.running)
    }
}

impl Summary {
    /// The numbers of a run.
    pub fn new(
        model: &Model,
        record: &Record,
        jobs: &[JobTimes],
        timeline: &Timeline,
        wall: Duration,
    ) -> Self {
        let counts = counts(model, record, jobs);
        let total = |of: fn(&Counts) -> u64| counts.iter().map(of).sum::<u64>();
        let virtual_s = crate::metrics::seconds_of(record.end);
        let offers = record.frameworks.iter().map(|seen| seen.offers).sum::<u64>();
        let declines = record.frameworks.iter().map(|seen| seen.declines).sum::<u64>();
        let last_end =
            record.tasks.iter().filter(|task| task.outcome != Outcome::Running).map(|task| task.end).max();
        let frameworks = model.frameworks.iter().enumerate().map(|(place, known)| {
            let own = || jobs_of(jobs, place).iter();
            let seen = &record.frameworks[place];
            let summary = FrameworkSummary {
                role: known.role.to_string(),
                played_by: known.player,
                running_max: timeline.frameworks[place].running_max,
                jobs_finished: own().filter(|job| job.ended().is_some() && job.failed == 0).count(),
                tasks_finished: counts[place].finished,
                tasks_failed: counts[place].failed,
                tasks_pending: counts[place].pending(),
                offers: seen.offers,
                declines: seen.declines,
                busyness: ratio(seen.busy_ns as f64 / 1e9, virtual_s),
                conflict_fraction: ratio(
                    seen.conflicts as f64,
                    seen.accepts.saturating_sub(seen.conflicts) as f64,
                ),
                held_cpus: ratio(seen.held_cpu_ns as f64 / 1e12, virtual_s),
                wait_s: Spread::of(own().filter_map(JobTimes::wait_s).collect()),
                jct_s: Spread::of(own().filter_map(JobTimes::jct_s).collect()),
            };
            (known.id.to_string(), summary)
        });
        let kinds = timeline.kinds.iter().map(|kind| label(kind).to_owned());
        let wall_s = wall.as_secs_f64();
        Summary {
            name: model.name.clone(),
            virtual_s,
            ending: record.ending,
            events: record.events,
            wall_s,
            events_per_s: ratio(record.events as f64, wall_s),
            jobs_arrived: jobs.len(),
            jobs_finished: jobs.iter().filter(|job| job.ended().is_some() && job.failed == 0).count(),
            jobs_failed: jobs.iter().filter(|job| job.ended().is_some() && job.failed > 0).count(),
            tasks_finished: total(|count| count.finished),
            tasks_failed: total(|count| count.failed),
            tasks_pending: total(|count| count.pending()),
            tasks_running: total(|count| count.running),
            tasks_lost: total(|count| count.lost),
            preemptions: record.tasks.iter().filter(|task| task.outcome == Outcome::Preempted).count() as u64,
            makespan_s: last_end.map_or(0.0, crate::metrics::seconds_of),
            utilisation: kinds.zip(timeline.utilisation.iter().copied()).collect(),
            wait_s: Spread::of(jobs.iter().filter_map(JobTimes::wait_s).collect()),
            jct_s: Spread::of(jobs.iter().filter_map(JobTimes::jct_s).collect()),
            bounded_slowdown: Spread::of(jobs.iter().filter_map(JobTimes::slowdown).collect()),
            roles: timeline.roles.iter().map(|(role, used)| (role.to_string(), used.clone())).collect(),
            frameworks: frameworks.collect(),
            jain_index: timeline.jain_index,
            fragmentation: timeline.fragmentation,
            goodput: goodput(model, record),
            allocation_cycles: record.cycles,
            offers,
            offers_per_cycle: ratio(offers as f64, record.cycles as f64),
            decline_ratio: ratio(declines as f64, offers as f64),
            seed: model.seed,
            scenario_hash: model.scenario_hash,
            events_hash: record.digest,
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

/// A quotient; zero when there is nothing to divide by.
fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

fn counts(model: &Model, record: &Record, jobs: &[JobTimes]) -> Vec<Counts> {
    let mut counts = vec![Counts::default(); model.frameworks.len()];
    for job in jobs {
        counts[job.framework as usize].arrived +=
            u64::from(model.frameworks[job.framework as usize].workload.jobs[job.job as usize].tasks);
    }
    for task in &record.tasks {
        let Some(count) = counts.get_mut(task.framework as usize) else { continue };
        match task.outcome {
            Outcome::Running => count.running += 1,
            Outcome::Finished => count.finished += 1,
            outcome if record.frameworks[task.framework as usize].runs_again(outcome) => count.lost += 1,
            Outcome::Failed | Outcome::Killed | Outcome::Preempted | Outcome::Lost => count.failed += 1,
        }
    }
    counts
}

fn goodput(model: &Model, record: &Record) -> f64 {
    let (mut good, mut all) = (0.0, 0.0);
    for task in record.tasks.iter().filter(|task| task.outcome != Outcome::Running) {
        let Some(workload) = model.frameworks.get(task.framework as usize).map(|known| &known.workload)
        else {
            continue;
        };
        let Some(job) = workload.jobs.get(task.job as usize) else { continue };
        let cores = workload.class_of(job).amounts.get(&apportion::resources::Kind::Cpus).as_f64();
        let time = cores * task.end.since(task.start).as_secs_f64();
        all += time;
        good += if task.outcome == Outcome::Finished { time } else { 0.0 };
    }
    if all > 0.0 { good / all } else { 1.0 }
}

/// The numbers that people look at first.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ending = match self.ending {
            Ending::AllDone => "all done",
            Ending::Until => "time is up",
            Ending::Stalled => "stalled: what waits fits nowhere",
        };
        writeln!(f, "{}: {:.3} s of virtual time ({ending}), seed {}", self.name, self.virtual_s, self.seed)?;
        writeln!(
            f,
            "{} events in {:.3} s ({:.0} per second), hash {}",
            self.events, self.wall_s, self.events_per_s, self.events_hash
        )?;
        writeln!(
            f,
            "jobs:  {} arrived, {} finished, {} failed",
            self.jobs_arrived, self.jobs_finished, self.jobs_failed
        )?;
        writeln!(
            f,
            "tasks: {} finished, {} failed, {} pending, {} running; the last ended at {:.3} s",
            self.tasks_finished, self.tasks_failed, self.tasks_pending, self.tasks_running, self.makespan_s
        )?;
        if self.tasks_lost > 0 {
            let (lost, preempted) = (self.tasks_lost, self.preemptions);
            writeln!(
                f,
                "       {lost} runs were lost or failed and made again, {preempted} of all runs were preempted"
            )?;
        }
        for (kind, used) in &self.utilisation {
            writeln!(
                f,
                "{kind:<6} used {:.2} % in the mean, {:.2} % at most",
                used.mean * 100.0,
                used.max * 100.0
            )?;
        }
        writeln!(
            f,
            "fairness {:.4} (Jain), fragmentation {:.4}, {} offers, {:.2} % declined",
            self.jain_index,
            self.fragmentation,
            self.offers,
            self.decline_ratio * 100.0
        )?;
        writeln!(
            f,
            "\n{:<17} {:>12} {:>12} {:>12} {:>12} {:>12}",
            "seconds", "mean", "p50", "p90", "p99", "max"
        )?;
        for (name, spread) in [
            ("wait", &self.wait_s),
            ("completion", &self.jct_s),
            ("bounded slowdown", &self.bounded_slowdown),
        ] {
            write!(f, "{name:<17}")?;
            for value in [spread.mean, spread.p50, spread.p90, spread.p99, spread.max] {
                // Of nothing there is no mean.
                if spread.count > 0 { write!(f, " {value:>12.3}")? } else { write!(f, " {:>12}", "-")? }
            }
            writeln!(f)?;
        }
        writeln!(
            f,
            "\n{:<16} {:>10} {:>9} {:>9} {:>10} {:>10} {:>12} {:>9}",
            "framework", "finished", "pending", "most", "offers", "declines", "mean wait s", "busy"
        )?;
        for (name, own) in &self.frameworks {
            writeln!(
                f,
                "{name:<16} {:>10} {:>9} {:>9} {:>10} {:>10} {:>12.3} {:>7.2} %",
                own.tasks_finished,
                own.tasks_pending,
                own.running_max,
                own.offers,
                own.declines,
                own.wait_s.mean,
                own.busyness * 100.0
            )?;
        }
        writeln!(f, "\n{:<16} {:>8} {:>22} {:>12}", "role", "weight", "dominant share, mean", "most")?;
        for (name, role) in &self.roles {
            let share = role.dominant_share;
            writeln!(f, "{name:<16} {:>8.3} {:>22.4} {:>12.4}", role.weight, share.mean, share.max)?;
        }
        Ok(())
    }
}
