//! What operators ask the framework and what it answers, as JSON in the master's opaque requests.

use std::fmt;

use apportion::protocol::{AgentId, TaskId};
use apportion::time::Time;
use serde::{Deserialize, Serialize};

use crate::spec::BatchSpec;

/// What an operator asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum BatchRequest {
    /// Runs a job. Answered by [`BatchReply::Accepted`].
    Submit {
        /// The job.
        spec: Box<BatchSpec>,
    },
    /// Tells how a run goes: [`BatchReply::Progress`] whenever something changed, at most ten times a second, and
    /// [`BatchReply::Finished`] at its end.
    Follow {
        /// The run.
        run: String,
    },
    /// Lists the runs. Answered by [`BatchReply::Runs`].
    List,
    /// Stops a run and what runs of it. Answered by [`BatchReply::Accepted`] at once; the run ends when its tasks have.
    Cancel {
        /// The run.
        run: String,
    },
    /// How did a run end? Answered by [`BatchReply::Finished`], or by [`BatchReply::Progress`] when it goes on.
    Results {
        /// The run.
        run: String,
    },
}

/// What the framework answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BatchReply {
    /// The request is done, or on its way.
    Accepted {
        /// The run.
        run: String,
    },
    /// How a run goes.
    Progress(RunProgress),
    /// How a run ended.
    Finished(RunResult),
    /// All runs that are remembered, oldest first; ended ones before those that go on.
    Runs(Vec<RunSummary>),
    /// The request can't be done, and why.
    Refused(String),
}

/// A message that is not JSON of the expected form.
#[derive(Debug, thiserror::Error)]
#[error("not a message of the batch framework: {0}")]
pub struct MessageError(#[from] serde_json::Error);

/// Implements the two directions of JSON for a message.
macro_rules! json_message {
    ($type:ty) => {
        impl $type {
            /// The message as JSON.
            pub fn encode(&self) -> Vec<u8> {
                // Maps have string keys and nothing fails to serialize, so that this can't fail.
                serde_json::to_vec(self).unwrap_or_default()
            }

            /// The message that JSON holds.
            ///
            /// # Errors
            /// When it is not JSON of such a message.
            pub fn decode(data: &[u8]) -> Result<Self, MessageError> {
                Ok(serde_json::from_slice(data)?)
            }
        }
    };
}

json_message!(BatchRequest);
json_message!(BatchReply);

/// Where a step is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepState {
    /// It waits for other steps.
    Waiting,
    /// Its tasks are queued or running.
    Running,
    /// All its indexes succeeded.
    Succeeded,
    /// An index failed for good.
    Failed,
    /// What it waits for can't happen any more.
    Skipped,
    /// The run was cancelled before it ended.
    Cancelled,
}

impl StepState {
    /// Whether nothing further will happen to the step.
    pub fn is_ended(self) -> bool {
        !matches!(self, StepState::Waiting | StepState::Running)
    }
}

/// How a run goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunProgress {
    /// The run.
    pub run: String,
    /// Its steps, as in the spec.
    pub steps: Vec<StepProgress>,
    /// Tasks that are on agents now, by step and index, at most [`MAX_TASKS_SHOWN`](crate::MAX_TASKS_SHOWN).
    pub tasks: Vec<TaskPlace>,
}

/// How a step goes. The rest of `total` was not started yet, or waits to be tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepProgress {
    /// The step.
    pub name: String,
    /// Where it is in its life.
    pub state: StepState,
    /// How many indexes it has.
    pub total: u32,
    /// How many of them wait for an offer.
    pub queued: u32,
    /// How many are on an agent.
    pub running: u32,
    /// How many succeeded.
    pub succeeded: u32,
    /// How many failed for good.
    pub failed: u32,
    /// How many attempts were second ones or later.
    pub retries: u32,
}

/// A task and where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskPlace {
    /// The task.
    pub task: TaskId,
    /// Its agent, when it has one.
    pub agent: Option<AgentId>,
}

/// Whether and how a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunState {
    /// It goes on.
    Running,
    /// No step failed.
    Succeeded,
    /// A step failed, whether or not another step took care of that.
    Failed,
    /// It was cancelled.
    Cancelled,
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            RunState::Running => "running",
            RunState::Succeeded => "succeeded",
            RunState::Failed => "failed",
            RunState::Cancelled => "cancelled",
        })
    }
}

/// A run in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    /// The run.
    pub run: String,
    /// The job.
    pub job: String,
    /// Whether and how it ended.
    pub state: RunState,
    /// When it was submitted.
    pub submitted_at: Time,
    /// How many tasks it has.
    pub total: u64,
    /// How many of them succeeded.
    pub succeeded: u64,
}

/// How a run ended, in detail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// The run.
    pub run: String,
    /// The job.
    pub job: String,
    /// How it ended.
    pub state: RunState,
    /// When it was submitted.
    pub submitted_at: Time,
    /// When it ended.
    pub ended_at: Time,
    /// Its steps, as in the spec.
    pub steps: Vec<StepResult>,
    /// Failed attempts, the first ones, at most [`MAX_FAILURES_KEPT`](crate::MAX_FAILURES_KEPT).
    pub failures: Vec<Failure>,
    /// Successful tasks of the steps that no other one waits for: what they printed is the run's answer. At most
    /// [`MAX_TASKS_SHOWN`](crate::MAX_TASKS_SHOWN).
    pub outputs: Vec<TaskPlace>,
}

impl RunResult {
    /// The run as it is listed.
    pub fn summary(&self) -> RunSummary {
        let steps = || self.steps.iter().map(|step| &step.progress);
        RunSummary {
            run: self.run.clone(),
            job: self.job.clone(),
            state: self.state,
            submitted_at: self.submitted_at,
            total: steps().map(|step| u64::from(step.total)).sum(),
            succeeded: steps().map(|step| u64::from(step.succeeded)).sum(),
        }
    }
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepResult {
    /// Its state and counts.
    pub progress: StepProgress,
    /// The indexes that failed for good, as ranges from first to last.
    pub failed_indexes: Vec<(u32, u32)>,
}

/// An attempt that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The task and where it ran.
    #[serde(flatten)]
    pub place: TaskPlace,
    /// What its last status said.
    pub message: String,
}
