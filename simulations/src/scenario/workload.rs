//! What the frameworks of a scenario run.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::traces::{Format, Malformed};
use crate::values::{Count, Length, Span};

/// Tasks that arrive together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobTable {
    /// Its name; by default the framework's with a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// When, from the start.
    #[serde(default)]
    pub at: Span,
    /// How many tasks.
    #[serde(default = "one")]
    pub tasks: Count,
    /// What each needs, as Mesos writes it.
    pub resources: String,
    /// How long each takes; a service's task runs on without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<Length>,
    /// How long each takes at most, as its owner says: what backfilling plans with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Span>,
    /// Whether all tasks start together or none does.
    #[serde(default)]
    pub gang: bool,
    /// The higher, the earlier, where the queue's policy looks at it.
    #[serde(default)]
    pub priority: i32,
    /// How long it takes to decide on it; instead of the framework's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<JobDecision>,
}

/// How long it takes to decide on a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobDecision {
    /// When it is begun, or tried again after it could not be placed.
    #[serde(default)]
    pub per_job: Span,
    /// For each task that is launched.
    #[serde(default)]
    pub per_task: Span,
}

fn one() -> Count {
    Count::Same(1)
}

/// Jobs from a trace, or from a random process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkloadTable {
    /// The format of a trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// Where the trace is, from the scenario's folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// Only rows whose columns have these texts, such as `{ role = "r0" }`.
    #[serde(default, rename = "where", skip_serializing_if = "BTreeMap::is_empty")]
    pub filter: BTreeMap<String, String>,
    /// What becomes of lines that can't be read.
    #[serde(default)]
    pub malformed: Malformed,
    /// What submit times are multiplied by; 0.5 doubles the load.
    #[serde(default = "unscaled")]
    pub time_scale: f64,
    /// When jobs arrive, by a random process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrivals: Option<Arrivals>,
    /// Only so many jobs, from the first on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// How many tasks each job has; instead of the trace's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks: Option<Count>,
    /// What each task needs; instead of the trace's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<String>,
    /// How long each task takes; instead of the trace's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<Length>,
    /// How long it takes to decide on each of these jobs; instead of the framework's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<JobDecision>,
    /// Whether all tasks of a job start together; instead of what the trace says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gang: Option<bool>,
}

fn unscaled() -> f64 {
    1.0
}

/// When jobs arrive.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arrivals {
    /// How the gaps between them are distributed.
    pub distribution: ArrivalProcess,
    /// How many arrive per second, in the long run.
    pub rate_per_s: f64,
    /// When the first gap begins.
    #[serde(default)]
    pub from: Span,
    /// None arrives later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Span>,
}

/// How the gaps between arrivals are distributed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArrivalProcess {
    /// Exponentially: each moment is as likely as any other.
    #[serde(alias = "exponential")]
    Poisson,
    /// All alike.
    #[serde(alias = "regular")]
    Constant,
    /// Uniformly, from nothing to twice the mean.
    Uniform,
}
