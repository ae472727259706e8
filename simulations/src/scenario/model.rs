//! A scenario with its traces read and its random numbers drawn.

use std::path::PathBuf;
use std::sync::Arc;

use apportion::allocator::Quota;
use apportion::protocol::{AgentId, Attributes, FrameworkId, OfferMode, Weight};
use apportion::resources::{Resources, Role};
use apportion::scheduler::{Placement, Score};
use apportion::time::Time;

use super::failures::AgentFailures;
use super::{AllocatorTable, Decision, Fidelity, OutputTable, Scenario, Simultaneous};
use crate::digest::Digest;
use crate::frameworks::{OwnPlacement, QueueOptions};
use crate::traces::TraceError;
use crate::values::{Length, Span};
use crate::workload::Workload;

/// A scenario that is ready to run. The same model gives the same run.
#[derive(Clone, Debug)]
pub struct Model {
    /// The scenario's name.
    pub name: String,
    /// What random streams are seeded with.
    pub seed: u64,
    /// When it ends, whatever has been done by then; when all is done, by default.
    pub until: Option<Span>,
    /// What comes first of that which happens at the same time.
    pub simultaneous: Simultaneous,
    /// How much of production is simulated.
    pub fidelity: Fidelity,
    /// How long each message takes.
    pub latency: LatencyModel,
    /// What fails.
    pub failures: FailureModel,
    /// By how much tasks on one machine slow each other down; `None` for not at all.
    pub slowdown: Option<f64>,
    /// What decides who is offered what.
    pub allocator: AllocatorTable,
    /// The machines, in the order in which they register.
    pub agents: Vec<AgentModel>,
    /// Roles that something is known of.
    pub roles: Vec<RoleModel>,
    /// Who uses them, in the order in which they subscribe.
    pub frameworks: Vec<FrameworkModel>,
    /// What is written beside the summary.
    pub output: OutputTable,
    /// The hash of the scenario's text.
    pub scenario_hash: Digest,
    /// The scenario, as it was understood.
    pub scenario: Scenario,
    /// The files that were read.
    pub inputs: Vec<InputFile>,
}

impl Model {
    /// Nothing: no machines, no frameworks.
    pub fn empty(name: &str) -> Self {
        let scenario = Scenario::empty(name);
        Model {
            name: name.to_owned(),
            seed: scenario.seed,
            until: None,
            simultaneous: scenario.simultaneous,
            fidelity: scenario.fidelity,
            latency: LatencyModel::uniform(&scenario.latency),
            failures: FailureModel::default(),
            slowdown: None,
            allocator: scenario.allocator,
            agents: Vec::new(),
            roles: Vec::new(),
            frameworks: Vec::new(),
            output: scenario.output,
            scenario_hash: Digest::of(name.as_bytes()),
            scenario,
            inputs: Vec::new(),
        }
    }

    /// Lets all frameworks place their tasks by a policy of one's own. Of a machine with GPUs, tasks get the devices that best fit
    /// gives them.
    #[must_use]
    pub fn placing_by(mut self, score: impl Score + Send + Sync + 'static) -> Self {
        let own = OwnPlacement::new(score);
        for framework in &mut self.frameworks {
            // It has a choice only where it sees all that fits.
            framework.options.placement = Placement::BestFit;
            framework.own_placement = Some(own.clone());
        }
        self
    }
}

/// How long messages take, by who sends and who gets them.
#[derive(Clone, Debug, PartialEq)]
pub struct LatencyModel {
    /// From the master to an agent.
    pub to_agents: Length,
    /// From an agent to the master.
    pub from_agents: Length,
    /// From the master to a framework.
    pub to_frameworks: Length,
    /// From a framework to the master.
    pub from_frameworks: Length,
}

impl LatencyModel {
    /// The same for all.
    pub fn uniform(latency: &Length) -> Self {
        let [to_agents, from_agents, to_frameworks, from_frameworks] =
            std::array::from_fn(|_| latency.clone());
        LatencyModel { to_agents, from_agents, to_frameworks, from_frameworks }
    }
}

/// What fails.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FailureModel {
    /// How often machines fail at random.
    pub agents: Option<AgentFailures>,
    /// After so long runs of tasks fail.
    pub tasks: Option<Length>,
    /// Machines that fail at given times.
    pub outages: Vec<OutageModel>,
    /// How long it takes until the master knows.
    pub detection: Span,
}

impl FailureModel {
    /// Whether any machine ever fails.
    pub(crate) fn are_of_machines(&self) -> bool {
        self.agents.is_some() || !self.outages.is_empty()
    }
}

/// A machine that fails at a given time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OutageModel {
    /// The machine's place.
    pub machine: u32,
    /// When.
    pub at: Time,
    /// After so long it is repaired.
    pub repair_after: Option<Span>,
}

/// A machine.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentModel {
    /// Its name.
    pub id: AgentId,
    /// What it has.
    pub resources: Resources,
    /// What frameworks can choose by.
    pub attributes: Attributes,
    /// How many GPUs it has.
    pub gpus: u32,
}

/// The attribute that tells the model of an agent's GPUs.
pub const GPU_MODEL: &str = "gpu_model";

/// The attribute that tells how many GPUs an agent has.
pub const GPU_COUNT: &str = "gpu_count";

/// A role.
#[derive(Clone, Debug, PartialEq)]
pub struct RoleModel {
    /// The role.
    pub role: Role,
    /// Its weight.
    pub weight: Weight,
    /// What it is guaranteed and limited to.
    pub quota: Quota,
    /// How its resources are offered.
    pub offers: OfferMode,
}

/// A framework.
#[derive(Clone, Debug, PartialEq)]
pub struct FrameworkModel {
    /// Its name.
    pub id: FrameworkId,
    /// Its role.
    pub role: Role,
    /// Whose code plays it.
    pub player: Player,
    /// How it queues and places.
    pub options: QueueOptions,
    /// A placement policy that goes before that of the options.
    pub own_placement: Option<OwnPlacement>,
    /// How long it takes to decide.
    pub decision: Decision,
    /// What it runs.
    pub workload: Arc<Workload>,
}

/// Whose code plays a framework.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub enum Player {
    /// The batch framework of production.
    #[serde(rename = "apportion-batch")]
    Batch,
    /// The service framework of production.
    #[serde(rename = "apportion-service")]
    Service,
    /// The simulator's own queue.
    #[default]
    #[serde(rename = "queue")]
    Queue,
}

/// A file that was read.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct InputFile {
    /// Its name, as the scenario has it.
    pub file: PathBuf,
    /// The hash of what is in it, decompressed.
    pub hash: Digest,
    /// Lines that could not be read and were left out.
    pub skipped_lines: usize,
}

/// Why a scenario can't be made ready.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// One of its traces can't be used.
    #[error("{whose}: {error}{}", way_out(error))]
    Trace {
        /// The part of the scenario that names it.
        whose: String,
        /// What is wrong with it.
        error: TraceError,
    },
    /// A name from a trace can't be one.
    #[error("{whose}: {problem}")]
    Name {
        /// The part of the scenario.
        whose: String,
        /// What is wrong.
        problem: String,
    },
    /// A trace does not say what a task needs or how long it takes.
    #[error("{whose}: {problem}")]
    Incomplete {
        /// The part of the scenario.
        whose: String,
        /// What is missing, and what to do.
        problem: String,
    },
    /// It has more tasks than a run has room for.
    #[error("{whose}: a run has at most {most} tasks; give a 'limit', or an earlier 'until'")]
    TooManyTasks {
        /// The part of the scenario that is too much.
        whose: String,
        /// How many tasks all frameworks may have together.
        most: u64,
    },
}

/// What to do about it, where that is in the scenario.
fn way_out(error: &TraceError) -> &'static str {
    match error {
        TraceError::Malformed { .. } => "; use malformed = \"skip\" to leave such lines out",
        _ => "",
    }
}
