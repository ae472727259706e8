//! What fails in a scenario.

use std::path::PathBuf;

use apportion::protocol::AgentId;
use apportion::time::Time;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::{AgentModel, FailureModel, InputFile, LatencyModel, ModelError, OutageModel, Scenario};
use crate::digest::Digest;
use crate::values::{Length, Span};

/// Failures of machines and tasks, and what tasks do to each other.
///
/// A machine that fails stops at once, and all that runs on it is lost; `detection` later the master knows. When it is repaired it
/// registers again, empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailureTable {
    /// Machines fail and are repaired at random, each by a stream of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agents: Option<AgentFailures>,
    /// Runs of tasks fail at random.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks: Option<TaskFailures>,
    /// Machines that fail at given times.
    #[serde(default)]
    pub schedule: Vec<Outage>,
    /// The same as a CSV file, from the scenario's folder: columns `agent`, `at_s` and `repair_after_s` (empty for never).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<PathBuf>,
    /// How long it takes until the master knows that a machine has failed.
    #[serde(default)]
    pub detection: Span,
}

/// How often machines fail, and for how long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentFailures {
    /// From the start or a repair to the next failure, such as `{ distribution = "exponential", mean = "30d" }`.
    pub time_to_failure: Length,
    /// From a failure to the repair.
    pub time_to_repair: Length,
}

/// How often tasks fail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskFailures {
    /// After so long a run fails, unless it has ended before. `batch` and `service` run it again; a queue does not.
    pub time_to_failure: Length,
}

/// A machine that fails at a given time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outage {
    /// The machine's name.
    pub agent: String,
    /// When it fails.
    pub at: Span,
    /// After so long it is repaired; never, by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repair_after: Option<Span>,
}

/// How tasks on one machine slow each other down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContentionTable {
    /// Among n tasks on its machine a task gets on 1 / (1 + slowdown · (n - 1)) times as quickly as alone.
    pub slowdown: f64,
}

/// How long messages take, by who sends and who gets them, where that is not the scenario's `latency`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatencyTable {
    /// From the master to an agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_agents: Option<Length>,
    /// From an agent to the master.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_agents: Option<Length>,
    /// From the master to a framework.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_frameworks: Option<Length>,
    /// From a framework to the master.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_frameworks: Option<Length>,
}

impl LatencyTable {
    /// These, and `otherwise` where there are none.
    pub(super) fn over(&self, otherwise: &Length) -> LatencyModel {
        let of = |length: &Option<Length>| length.as_ref().unwrap_or(otherwise).clone();
        LatencyModel {
            to_agents: of(&self.to_agents),
            from_agents: of(&self.from_agents),
            to_frameworks: of(&self.to_frameworks),
            from_frameworks: of(&self.from_frameworks),
        }
    }
}

/// A line of a trace of failures.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    agent: String,
    at_s: f64,
    repair_after_s: Option<f64>,
}

impl Scenario {
    /// Looks up the machines that fail, and reads the trace of failures.
    pub(super) fn draw_failures(
        &self,
        agents: &[AgentModel],
        inputs: &mut Vec<InputFile>,
    ) -> Result<FailureModel, ModelError> {
        let table = &self.failures;
        let mut outages = table.schedule.clone();
        if let Some(file) = &table.trace {
            let wrong = |problem: String| ModelError::Incomplete {
                whose: format!("failures.trace, {}", file.display()),
                problem,
            };
            let text = std::fs::read(self.folder.join(file)).map_err(|error| wrong(error.to_string()))?;
            for row in csv::Reader::from_reader(text.as_slice()).deserialize::<Row>() {
                // The error tells the line.
                let row = row.map_err(|error| wrong(error.to_string()))?;
                let is_time = |seconds: f64| seconds >= 0.0 && seconds.is_finite();
                if !is_time(row.at_s) || !row.repair_after_s.is_none_or(is_time) {
                    return Err(wrong(format!("machine '{}' has a time below 0", row.agent)));
                }
                outages.push(Outage {
                    agent: row.agent,
                    at: Span::from_secs_f64(row.at_s),
                    repair_after: row.repair_after_s.map(Span::from_secs_f64),
                });
            }
            inputs.push(InputFile { file: file.clone(), hash: Digest::of(&text), skipped_lines: 0 });
        }
        let places: FxHashMap<&AgentId, u32> = agents.iter().map(|agent| &agent.id).zip(0..).collect();
        let outage = |outage: &Outage| {
            let place = outage.agent.parse().ok().and_then(|id: AgentId| places.get(&id).copied());
            let machine = place.ok_or_else(|| ModelError::Name {
                whose: "failures".to_owned(),
                problem: format!("there is no agent '{}'", outage.agent),
            })?;
            let at = Time::from_nanos(outage.at.nanos());
            Ok(OutageModel { machine, at, repair_after: outage.repair_after })
        };
        Ok(FailureModel {
            agents: table.agents.clone(),
            tasks: table.tasks.as_ref().map(|tasks| tasks.time_to_failure.clone()),
            outages: outages.iter().map(outage).collect::<Result<_, ModelError>>()?,
            detection: table.detection,
        })
    }
}
