//! What people write: a cluster, who uses it and what for, as TOML or JSON.
//!
//! [`Scenario`] is the file as it is written; [`Scenario::parse`] tells all its mistakes with their places.
//! [`Scenario::resolve`] reads the traces that it names and draws what is to be drawn: a [`Model`], ready to run.

mod check;
mod cluster;
mod draw;
mod failures;
mod framework;
mod model;
mod workload;

use std::path::PathBuf;
use std::time::Duration;

use apportion::allocator::{DrfOptions, Limits, PreemptionOptions, PreemptionPolicy, Ties};
use apportion::protocol::{OfferMode, Weight};
use apportion::resources::{ParseError, Quantities, Role};
use apportion::spec::{Document, SpecErrors};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use cluster::{AgentGroup, ClusterTable, NodeFile};
pub use failures::{AgentFailures, ContentionTable, FailureTable, LatencyTable, Outage, TaskFailures};
pub use framework::{Decision, FrameworkTable, Kind, PerOffer};
pub use model::{
    AgentModel, FailureModel, FrameworkModel, GPU_COUNT, GPU_MODEL, InputFile, LatencyModel, Model,
    ModelError, OutageModel, Player, RoleModel,
};
pub use workload::{ArrivalProcess, Arrivals, JobDecision, JobTable, WorkloadTable};

use crate::digest::Digest;
use crate::values::{Length, Span};

/// The schema of scenarios that this version reads.
pub const SCHEMA: u32 = 1;

/// A cluster and its workload.
///
/// ```
/// use apportion::spec::Document;
/// use apportion_simulations::{Progress, Scenario};
///
/// let text = r#"
///     schema = 1
///     name = "two-users"
///     until = "50s"
///     [[agents]]
///     resources = "cpus:9;mem:18432"
///     [[frameworks]]
///     name = "A"
///     role = "a"
///     jobs = [{ tasks = 100, resources = "cpus:1;mem:4096", duration = "100s" }]
///     [[frameworks]]
///     name = "B"
///     role = "b"
///     jobs = [{ tasks = 100, resources = "cpus:3;mem:1024", duration = "100s" }]
/// "#;
/// let scenario = Scenario::parse(&Document::new("two-users.toml", text))?;
/// let run = scenario.resolve()?.run(&mut Progress::silent())?;
/// assert_eq!(run.summary().frameworks["A"].running_max, 3);
/// assert_eq!(run.summary().frameworks["B"].running_max, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// [`SCHEMA`].
    pub schema: u32,
    /// For people.
    pub name: String,
    /// What random streams are seeded with.
    #[serde(default = "default_seed")]
    pub seed: u64,
    /// When the run ends.
    #[serde(default)]
    pub until: Until,
    /// What comes first of that which happens at the same time.
    #[serde(default, skip_serializing_if = "Simultaneous::is_default")]
    pub simultaneous: Simultaneous,
    /// How much of production is simulated.
    #[serde(default)]
    pub fidelity: Fidelity,
    /// How long each message takes.
    #[serde(default = "no_latency")]
    pub latency: Length,
    /// How long messages of some directions take instead.
    #[serde(default)]
    pub latencies: LatencyTable,
    /// What fails.
    #[serde(default)]
    pub failures: FailureTable,
    /// How tasks on one machine slow each other down.
    #[serde(default)]
    pub contention: ContentionTable,
    /// What decides who is offered what.
    #[serde(default)]
    pub allocator: AllocatorTable,
    /// The machines, as a trace has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterTable>,
    /// The machines, in groups that are alike.
    #[serde(default)]
    pub agents: Vec<AgentGroup>,
    /// What is known of roles. Roles of frameworks need not be among them.
    #[serde(default)]
    pub roles: Vec<RoleTable>,
    /// Who uses the machines.
    pub frameworks: Vec<FrameworkTable>,
    /// What is written beside the summary.
    #[serde(default)]
    pub output: OutputTable,
    /// The folder that names of files are relative to.
    #[serde(skip)]
    pub folder: PathBuf,
    /// The hash of the text that it was parsed from.
    #[serde(skip)]
    pub hash: Option<Digest>,
}

fn default_seed() -> u64 {
    1
}

fn no_latency() -> Length {
    Length::Same(Span::ZERO)
}

/// When a run ends: when all jobs that end have ended, or at a time, even if nothing is left to do before. Written `"all-done"` or `"50s"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Until {
    /// When every task that ends by itself has ended.
    #[default]
    AllDone,
    /// Then.
    At(Span),
}

impl Serialize for Until {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Until::AllDone => serializer.serialize_str("all-done"),
            Until::At(span) => span.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Until {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TimeOrAllDone;
        impl serde::de::Visitor<'_> for TimeOrAllDone {
            type Value = Until;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a length of time such as \"100s\", or \"all-done\"")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Until, E> {
                if text == "all-done" {
                    return Ok(Until::AllDone);
                }
                let until = text.parse().map(Until::At);
                until.map_err(|error| E::custom(format!("{error}, or \"all-done\"")))
            }
        }
        deserializer.deserialize_any(TimeOrAllDone)
    }
}

/// What comes first of that which happens at the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Simultaneous {
    /// Tasks end before jobs arrive, which then find room.
    #[default]
    EndsFirst,
    /// Jobs arrive before tasks end.
    ArrivalsFirst,
}

impl Simultaneous {
    fn is_default(&self) -> bool {
        *self == Simultaneous::default()
    }
}

/// How much of production is simulated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fidelity {
    /// Master, allocator, schedulers' processes and messages.
    #[default]
    Full,
    /// Allocator and frameworks straight against a model of the machines: what is decided and when, without the master, agents and
    /// their messages, and so without latencies, whatever the scenario says of them. With latencies of zero both give the same
    /// schedule.
    Placement,
}

/// What decides who is offered what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllocatorTable {
    /// When offers are made among simultaneous events.
    #[serde(default)]
    pub batch: Batch,
    /// What comes back waits for the next multiple of this, as Mesos' allocation interval has it; with zero, nothing waits.
    #[serde(default)]
    pub interval: Span,
    /// Whether newcomers, revivals and new demands wait for it too; otherwise they are served at once.
    #[serde(default)]
    pub batches_only: bool,
    /// Who of those that are equally far below their fair share is served first.
    #[serde(default)]
    pub ties: Ties,
    /// Whether tasks of roles that have too much make room for others, after a warning. Of fidelity `full`.
    #[serde(default)]
    pub preemption: PreemptionPolicy,
    /// How long a role must have had too little before; a minute unless it is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preemption_after: Option<Span>,
    /// From the warning to the end; half a minute unless it is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preemption_grace: Option<Span>,
}

impl AllocatorTable {
    /// As an allocator was made, as far as scenarios tell it.
    pub fn like(options: &DrfOptions) -> Self {
        let span =
            |duration: Duration| Span::from_nanos(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
        AllocatorTable {
            batch: Batch::default(),
            interval: span(options.allocation_interval),
            batches_only: !options.allocate_on_events,
            ties: options.ties,
            preemption: options.preemption.policy,
            preemption_after: Some(span(options.preemption.after)),
            preemption_grace: Some(span(options.preemption.grace)),
        }
    }

    /// What is set about preemption.
    pub fn preemption(&self) -> PreemptionOptions {
        let defaults = PreemptionOptions::default();
        PreemptionOptions {
            policy: self.preemption,
            after: self.preemption_after.map_or(defaults.after, Span::duration),
            grace: self.preemption_grace.map_or(defaults.grace, Span::duration),
        }
    }
}

/// When offers are made among events of one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Batch {
    /// After all of them: as in production, a batch of inputs costs one allocation.
    #[default]
    Instant,
    /// After each of them, with all that follows from it.
    Event,
}

/// What is known of a role.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleTable {
    /// The role.
    pub name: Role,
    /// Its weight, with up to three decimals; 1 by default.
    #[serde(default = "default_weight")]
    pub weight: f64,
    /// What it is guaranteed and limited to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<QuotaTable>,
    /// How its resources are offered: `"exclusive"` by default, or `"optimistic"`: to several frameworks at once, the first that
    /// accepts gets them.
    #[serde(default, skip_serializing_if = "is_exclusive")]
    pub offers: OfferMode,
}

fn is_exclusive(mode: &OfferMode) -> bool {
    *mode == OfferMode::Exclusive
}

fn default_weight() -> f64 {
    1.0
}

impl RoleTable {
    /// The weight, if it is one.
    pub fn weight(&self) -> Option<Weight> {
        let milli = (self.weight * 1000.0).round();
        // The comparison is false for NaN too.
        let fits = (1.0..=f64::from(u32::MAX)).contains(&milli);
        fits.then(|| Weight::from_milli(milli as u32).ok()).flatten()
    }
}

/// What a role is guaranteed and limited to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuotaTable {
    /// At least so much is kept for it, such as `"cpus:1"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guarantee: Option<String>,
    /// At most so much is given to it, such as `"cpus:4"`; kinds that are not named are not limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
}

impl QuotaTable {
    /// The guarantee, if it is right.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn guarantee(&self) -> Result<Quantities, ParseError> {
        self.guarantee.as_deref().map_or(Ok(Quantities::new()), str::parse)
    }

    /// The limits, if they are right.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn limit(&self) -> Result<Limits, ParseError> {
        self.limit.as_deref().map_or(Ok(Limits::default()), str::parse)
    }
}

/// What is written beside the summary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputTable {
    /// The length of the intervals of time series; by default about a two-hundredth of the run, in round numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Span>,
}

impl Scenario {
    /// A scenario in which there is nothing yet.
    pub fn empty(name: &str) -> Self {
        Scenario {
            schema: SCHEMA,
            name: name.to_owned(),
            seed: default_seed(),
            until: Until::default(),
            simultaneous: Simultaneous::default(),
            fidelity: Fidelity::default(),
            latency: no_latency(),
            latencies: LatencyTable::default(),
            failures: FailureTable::default(),
            contention: ContentionTable::default(),
            allocator: AllocatorTable::default(),
            cluster: None,
            agents: Vec::new(),
            roles: Vec::new(),
            frameworks: Vec::new(),
            output: OutputTable::default(),
            folder: PathBuf::new(),
            hash: None,
        }
    }

    /// Reads a scenario.
    ///
    /// # Errors
    /// All that is wrong with it, each with its place in the file.
    pub fn parse(document: &Document) -> Result<Self, SpecErrors> {
        let mut scenario: Scenario = document.parse()?;
        let mistakes = check::mistakes(&scenario, document);
        if !mistakes.is_empty() {
            return Err(SpecErrors(mistakes));
        }
        let folder = std::path::Path::new(document.file_name()).parent();
        scenario.folder = folder.map(PathBuf::from).unwrap_or_default();
        scenario.hash = Some(Digest::of(document.text().as_bytes()));
        Ok(scenario)
    }
}
