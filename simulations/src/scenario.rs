//! What people write: a cluster and its workload, as TOML or JSON.

use apportion::protocol::Weight;
use apportion::resources::{Resources, Role};
use apportion::spec::{Delay, Document, SpecErrors};
use serde::{Deserialize, Serialize};

use crate::queue::{Job, QueueFramework};
use crate::simulation::Simulation;
use crate::summary::Summary;

/// The schema of scenarios that this version reads.
pub const SCHEMA: u32 = 1;

/// A cluster and its workload.
///
/// ```
/// use apportion::spec::Document;
/// use apportion_simulations::Scenario;
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
/// let summary = scenario.run();
/// assert_eq!(summary.frameworks["A"].running_max, 3);
/// assert_eq!(summary.frameworks["B"].running_max, 2);
/// # Ok::<(), apportion::spec::SpecErrors>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// [`SCHEMA`].
    pub schema: u32,
    /// For people.
    pub name: String,
    /// When the run ends at the latest; by default, when all jobs have ended.
    #[serde(default)]
    pub until: Option<Delay>,
    /// How long each message takes.
    #[serde(default)]
    pub latency: Option<Delay>,
    /// The machines.
    pub agents: Vec<AgentGroup>,
    /// Weights of roles.
    #[serde(default)]
    pub roles: Vec<RoleWeight>,
    /// Who uses them.
    pub frameworks: Vec<FrameworkScenario>,
}

/// Machines that are alike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentGroup {
    /// How many.
    #[serde(default = "one")]
    pub count: u64,
    /// What each has, as Mesos writes it.
    pub resources: String,
}

/// A role's weight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleWeight {
    /// The role.
    pub name: Role,
    /// Its weight, with up to three decimals.
    pub weight: f64,
}

/// A framework and what it runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrameworkScenario {
    /// Its name.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// What it runs, first in, first out.
    pub jobs: Vec<JobScenario>,
}

/// Tasks that arrive together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobScenario {
    /// When, from the start.
    #[serde(default)]
    pub at: Option<Delay>,
    /// How many.
    #[serde(default = "one")]
    pub tasks: u64,
    /// What each needs, as Mesos writes it.
    pub resources: String,
    /// How long each takes.
    pub duration: Delay,
}

fn one() -> u64 {
    1
}

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    /// All that is wrong with it, each with its place in the file.
    pub fn parse(document: &Document) -> Result<Self, SpecErrors> {
        let scenario: Scenario = document.parse()?;
        let errors = scenario.mistakes(document);
        if errors.is_empty() { Ok(scenario) } else { Err(SpecErrors(errors)) }
    }

    fn mistakes(&self, document: &Document) -> Vec<apportion::spec::SpecError> {
        let mut errors = Vec::new();
        if self.schema != SCHEMA {
            errors.push(document.error_at(&["schema"], format!("only schema {SCHEMA} is known")));
        }
        for (place, group) in self.agents.iter().enumerate() {
            if let Err(error) = group.resources.parse::<Resources>() {
                let path = ["agents", &place.to_string(), "resources"];
                errors.push(document.error_at(&path, error.to_string()));
            }
        }
        for (place, role) in self.roles.iter().enumerate() {
            if weight(role.weight).is_none() {
                let path = ["roles", &place.to_string(), "weight"];
                errors.push(document.error_at(&path, "a weight is at least 0.001 and below 4294967"));
            }
        }
        for (place, framework) in self.frameworks.iter().enumerate() {
            for (job_place, job) in framework.jobs.iter().enumerate() {
                let path = ["frameworks", &place.to_string(), "jobs", &job_place.to_string(), "resources"];
                match job.resources.parse::<Resources>() {
                    Err(error) => errors.push(document.error_at(&path, error.to_string())),
                    Ok(resources) if resources.is_empty() => {
                        errors.push(document.error_at(&path, "a task needs some resources"));
                    }
                    Ok(_) => {}
                }
            }
            if self.frameworks[..place].iter().any(|other| other.name == framework.name) {
                let path = ["frameworks", &place.to_string(), "name"];
                errors
                    .push(document.error_at(&path, format!("two frameworks are named {:?}", framework.name)));
            }
            if let Err(error) = framework.name.parse::<apportion::protocol::FrameworkId>() {
                let path = ["frameworks", &place.to_string(), "name"];
                errors.push(document.error_at(&path, error.to_string()));
            }
        }
        errors
    }

    /// Runs the scenario. What was wrong with it has been told by [`Scenario::parse`]; parts that are still wrong in one that
    /// was built by hand are left out.
    pub fn run(&self) -> Summary {
        let mut simulation =
            Simulation::new(self.latency.map_or(std::time::Duration::ZERO, |delay| delay.duration()));
        for role in &self.roles {
            if let Some(weight) = weight(role.weight) {
                simulation.set_weight(role.name.clone(), weight);
            }
        }
        for group in &self.agents {
            if let Ok(resources) = group.resources.parse::<Resources>() {
                for _ in 0..group.count {
                    simulation.add_agent(resources.clone());
                }
            }
        }
        for framework in &self.frameworks {
            let jobs = framework.jobs.iter().filter_map(|job| {
                Some(Job {
                    at: job.at.map_or(std::time::Duration::ZERO, |delay| delay.duration()),
                    tasks: job.tasks,
                    resources: job.resources.parse().ok()?,
                    duration: job.duration.duration(),
                })
            });
            let queue = QueueFramework::new(&framework.name, framework.role.clone(), jobs.collect());
            if let Ok(id) = framework.name.parse() {
                simulation.add_framework(id, queue);
            }
        }
        simulation.run(self.until.map(|delay| delay.duration()));
        Summary::of(&self.name, &simulation)
    }
}

fn weight(weight: f64) -> Option<Weight> {
    let milli = (weight * 1000.0).round();
    // The comparison is false for NaN too.
    (1.0..4_294_967_000.0).contains(&milli).then(|| Weight::from_milli(milli as u32).ok()).flatten()
}
