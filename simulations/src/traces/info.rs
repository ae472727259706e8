//! What a trace holds, at a glance.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::{LineError, Trace, TraceJob, TraceNode};
use crate::metrics::Spread;

/// What a trace of jobs holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct JobsInfo {
    /// How many jobs.
    pub jobs: usize,
    /// How many tasks.
    pub tasks: u64,
    /// How many jobs start all their tasks together.
    pub gangs: usize,
    /// When the first one arrives, in seconds.
    pub first_submit_s: f64,
    /// When the last one arrives, in seconds.
    pub last_submit_s: f64,
    /// How long tasks run, by job, in seconds.
    pub runtime_s: Spread,
    /// Jobs of which it is not known how long they run.
    pub without_runtime: usize,
    /// Tasks per job.
    pub tasks_per_job: Spread,
    /// Cores per task, by job.
    pub cpus: Spread,
    /// MiB per task, by job.
    pub mem_mib: Spread,
    /// GPUs per task, by job.
    pub gpus: Spread,
    /// What all tasks that end use together, in core seconds.
    pub cpu_s: f64,
    /// Jobs by role or queue.
    pub roles: BTreeMap<String, usize>,
    /// Lines that could not be read.
    pub malformed: usize,
    /// The first of them.
    pub first_malformed: Vec<String>,
}

/// What a trace of nodes holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NodesInfo {
    /// How many nodes.
    pub nodes: usize,
    /// Cores of all.
    pub cpus: f64,
    /// MiB of all.
    pub mem_mib: f64,
    /// GPUs of all.
    pub gpus: u64,
    /// GPUs by model.
    pub gpu_models: BTreeMap<String, u64>,
    /// Lines that could not be read.
    pub malformed: usize,
    /// The first of them.
    pub first_malformed: Vec<String>,
}

/// So many malformed lines are told.
const TOLD: usize = 10;

fn told(skipped: &[LineError]) -> Vec<String> {
    skipped.iter().take(TOLD).map(LineError::to_string).collect()
}

impl JobsInfo {
    /// What a trace holds.
    pub fn of(trace: &Trace<TraceJob>) -> Self {
        let jobs = &trace.rows;
        let spread = |of: &dyn Fn(&TraceJob) -> f64| Spread::of(jobs.iter().map(of).collect());
        let submits = || jobs.iter().map(|job| job.submit);
        let mut roles = BTreeMap::new();
        for job in jobs {
            *roles.entry(job.queue.clone()).or_insert(0) += 1;
        }
        let used = |job: &TraceJob| {
            f64::from(job.tasks) * job.cpus.as_f64() * job.runtime.map_or(0.0, |span| span.secs())
        };
        JobsInfo {
            jobs: jobs.len(),
            tasks: jobs.iter().map(|job| u64::from(job.tasks)).sum(),
            gangs: jobs.iter().filter(|job| job.gang).count(),
            first_submit_s: submits().min().unwrap_or_default().secs(),
            last_submit_s: submits().max().unwrap_or_default().secs(),
            runtime_s: Spread::of(jobs.iter().filter_map(|job| Some(job.runtime?.secs())).collect()),
            without_runtime: jobs.iter().filter(|job| job.runtime.is_none()).count(),
            tasks_per_job: spread(&|job| f64::from(job.tasks)),
            cpus: spread(&|job| job.cpus.as_f64()),
            mem_mib: spread(&|job| job.mem.as_f64()),
            gpus: spread(&|job| job.gpus.total().as_f64()),
            // Not a sum, which of nothing is minus zero.
            cpu_s: jobs.iter().map(used).fold(0.0, |sum, used| sum + used),
            roles,
            malformed: trace.skipped.len(),
            first_malformed: told(&trace.skipped),
        }
    }
}

impl NodesInfo {
    /// What a trace holds.
    pub fn of(trace: &Trace<TraceNode>) -> Self {
        let nodes = &trace.rows;
        let mut gpu_models = BTreeMap::new();
        for node in nodes.iter().filter(|node| node.gpus > 0) {
            *gpu_models.entry(node.gpu_model.clone()).or_insert(0) += u64::from(node.gpus);
        }
        NodesInfo {
            nodes: nodes.len(),
            cpus: nodes.iter().map(|node| node.cpus.as_f64()).sum(),
            mem_mib: nodes.iter().map(|node| node.mem.as_f64()).sum(),
            gpus: nodes.iter().map(|node| u64::from(node.gpus)).sum(),
            gpu_models,
            malformed: trace.skipped.len(),
            first_malformed: told(&trace.skipped),
        }
    }
}

fn malformed(f: &mut fmt::Formatter<'_>, count: usize, first: &[String]) -> fmt::Result {
    if count > 0 {
        writeln!(f, "{count} lines can't be read:")?;
        first.iter().try_for_each(|line| writeln!(f, "  {line}"))?;
    }
    Ok(())
}

impl fmt::Display for JobsInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} jobs with {} tasks, {} of them gangs", self.jobs, self.tasks, self.gangs)?;
        writeln!(
            f,
            "arrive from {:.3} s to {:.3} s; use {:.0} core seconds",
            self.first_submit_s, self.last_submit_s, self.cpu_s
        )?;
        if self.without_runtime > 0 {
            writeln!(f, "{} don't say how long they run", self.without_runtime)?;
        }
        writeln!(f, "{:<15} {:>12} {:>12} {:>12} {:>12} {:>12}", "", "mean", "p50", "p90", "p99", "max")?;
        for (name, spread) in [
            ("run time in s", &self.runtime_s),
            ("tasks per job", &self.tasks_per_job),
            ("cores per task", &self.cpus),
            ("MiB per task", &self.mem_mib),
            ("GPUs per task", &self.gpus),
        ] {
            writeln!(
                f,
                "{name:<15} {:>12.3} {:>12.3} {:>12.3} {:>12.3} {:>12.3}",
                spread.mean, spread.p50, spread.p90, spread.p99, spread.max
            )?;
        }
        if self.roles.len() > 1 {
            let roles: Vec<String> =
                self.roles.iter().map(|(role, jobs)| format!("{role} ({jobs})")).collect();
            writeln!(f, "roles: {}", roles.join(", "))?;
        }
        malformed(f, self.malformed, &self.first_malformed)
    }
}

impl fmt::Display for NodesInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} nodes with {} cores, {} MiB and {} GPUs",
            self.nodes, self.cpus, self.mem_mib, self.gpus
        )?;
        for (model, gpus) in &self.gpu_models {
            writeln!(f, "  {gpus} GPUs of model {model}")?;
        }
        malformed(f, self.malformed, &self.first_malformed)
    }
}
