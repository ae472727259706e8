//! Goes on from a journal in simulation: what would have been with another weight, quota, or more agents.
//!
//! The scenario that is made of a journal begins at a time of it. It has the agents, weights and quotas that its master had then, and
//! the tasks of its frameworks: those that ran, for as long as they ran from then on; and those that were launched later, for as long as
//! they ran. A task arrives when its framework first stated, in its demand, that it waits for one more of that shape; where it stated
//! nothing, when it was launched. Tasks that did not end within the journal never end. So frameworks are played by those of the
//! simulator, and agents by timers; master and allocator are those of production.

use std::collections::{BTreeMap, VecDeque};
use std::str::FromStr;

use apportion::master::{Input, Output};
use apportion::protocol::operator::ClusterState;
use apportion::protocol::{
    AgentCall, DemandGroup, FrameworkId, OfferId, SchedulerCall, SchedulerEvent, TaskId,
};
use apportion::resources::{Kind, Quantities, Resources, Role, Scalar};
use apportion::spec::{Document, SpecErrors};
use apportion::time::Time;
use rustc_hash::FxHashMap;
use serde_json::{Map, Value, json};

use super::waiting::launches;
use super::{Journal, Replay, ReplayError};
use crate::gpus;
use crate::scenario::{AllocatorTable, Scenario};
use crate::sweep::{AxisError, set, value};

/// Why a journal can't be gone on from.
#[derive(Debug, thiserror::Error)]
pub enum TakeoverError {
    /// The journal can't be played.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The replay decides otherwise.
    #[error(
        "the replay differs from the journal after {inputs} inputs, so what it would go on from is not what was; `apportion sim replay` tells more"
    )]
    Differs {
        /// After how many.
        inputs: u64,
    },
    /// There is nothing to go on from.
    #[error("the journal has no {what} at that time")]
    Nothing {
        /// What is missing.
        what: &'static str,
    },
    /// What is to be set is not there.
    #[error(transparent)]
    Setting(#[from] AxisError),
    /// What comes of it is not right.
    #[error("{0}")]
    Scenario(#[from] SpecErrors),
}

/// What is to be otherwise, such as `roles.web.weight=2` or `agents.0.count=20`.
///
/// The path leads into the scenario, see [`Takeover::scenario_text`]; roles may be named instead of numbered, and a new one is added.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    path: String,
    value: Value,
}

/// A setting is not of its form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not of the form path=value, such as roles.web.weight=2")]
pub struct SettingError(String);

impl FromStr for Setting {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        match text.split_once('=') {
            Some((path, to)) if !path.is_empty() && !to.is_empty() => {
                Ok(Setting { path: path.to_owned(), value: value(to) })
            }
            _ => Err(SettingError(text.to_owned())),
        }
    }
}

/// What a framework ran.
#[derive(Clone, Debug)]
struct Task {
    id: TaskId,
    framework: FrameworkId,
    role: Role,
    shape: Quantities,
    arrived: Time,
    started: Option<Time>,
    ended: Option<Time>,
}

/// A cluster at a time of a journal, and what it ran from then on.
#[derive(Clone, Debug)]
pub struct Takeover {
    scenario: Value,
}

impl Takeover {
    /// The cluster so many nanoseconds from the beginning of a journal; by default just before the first task was launched, when agents
    /// have joined.
    ///
    /// # Errors
    /// When the journal can't be replayed to its end, or has no agents or tasks then.
    pub fn new(journal: &Journal, from: Option<u64>) -> Result<Self, TakeoverError> {
        let from = from.map_or_else(|| before_first_launch(journal), Ok)?;
        let mut replay = Replay::new(journal)?;
        let mut life = Life::default();
        replay.run(Some(from), |at, input, outputs| life.note(at, input, outputs))?;
        let (begin, cluster) = (Time::from_nanos(replay.begun().as_nanos() + from), replay.cluster());
        replay.run(None, |at, input, outputs| life.note(at, input, outputs))?;
        if replay.state().difference.is_some() {
            return Err(TakeoverError::Differs { inputs: replay.state().inputs });
        }
        let agents = agents(&cluster);
        if agents.is_empty() {
            return Err(TakeoverError::Nothing { what: "agents" });
        }
        let frameworks = life.frameworks(begin);
        if frameworks.is_empty() {
            return Err(TakeoverError::Nothing { what: "tasks that run or are launched later" });
        }
        let scenario = json!({
            "schema": crate::scenario::SCHEMA,
            "name": "from a journal",
            "allocator": replay.options.as_ref().map_or_else(AllocatorTable::default, AllocatorTable::like),
            "agents": agents,
            "roles": roles(&cluster),
            "frameworks": frameworks,
        });
        Ok(Takeover { scenario })
    }

    /// The scenario as it was, as JSON.
    pub fn scenario_text(&self) -> String {
        format!("{:#}\n", self.scenario)
    }

    /// The scenario with some settings.
    ///
    /// # Errors
    /// When a setting leads nowhere, or what comes of it is not right.
    pub fn scenario(&self, settings: &[Setting]) -> Result<Scenario, TakeoverError> {
        let mut tree = self.scenario.clone();
        for Setting { path, value } in settings {
            let path = numbered(&mut tree, path);
            set(&mut tree, &path, value.clone())?;
        }
        Ok(Scenario::parse(&Document::new("whatif.json", tree.to_string()))?)
    }
}

/// The last nanosecond before a task is launched; the beginning of a journal in which none is.
fn before_first_launch(journal: &Journal) -> Result<u64, TakeoverError> {
    let (mut replay, mut first) = (Replay::new(journal)?, None);
    replay.run(None, |at, input, _| {
        if first.is_none() && launches(input).next().is_some() {
            first = Some(at);
        }
    })?;
    Ok(first.map_or(0, |first| (first.since(replay.begun()).as_nanos() as u64).saturating_sub(1)))
}

/// The path with the number of a role for its name; the role is added when it is not there.
fn numbered(scenario: &mut Value, path: &str) -> String {
    let (Some(rest), Some(roles)) = (path.strip_prefix("roles."), scenario["roles"].as_array_mut()) else {
        return path.to_owned();
    };
    let is_it = |role: &Value| {
        let name = role["name"].as_str().unwrap_or_default();
        rest.strip_prefix(name).is_some_and(|key| key.starts_with('.'))
    };
    if let Some(place) = roles.iter().position(is_it) {
        let name = roles[place]["name"].as_str().unwrap_or_default();
        return format!("roles.{place}{}", &rest[name.len()..]);
    }
    match rest.split_once('.') {
        Some((name, key)) if name.parse::<usize>().is_err() => {
            roles.push(json!({ "name": name, "quota": {} }));
            format!("roles.{}.{key}", roles.len() - 1)
        }
        _ => path.to_owned(),
    }
}

/// Agents that are alike are one group.
fn agents(cluster: &ClusterState) -> Vec<Value> {
    let mut groups: Vec<(String, &BTreeMap<_, _>, u32)> = Vec::new();
    for agent in cluster.agents.iter().filter(|agent| agent.connected) {
        let resources = agent.total.to_string();
        match groups.iter_mut().find(|group| group.0 == resources && *group.1 == agent.attributes) {
            Some(group) => group.2 += 1,
            None => groups.push((resources, &agent.attributes, 1)),
        }
    }
    let group = |(resources, attributes, count)| json!({ "count": count, "resources": resources, "attributes": attributes });
    groups.into_iter().map(group).collect()
}

fn roles(cluster: &ClusterState) -> Vec<Value> {
    let role = |role: &apportion::protocol::operator::RoleState| {
        let mut quota = Map::new();
        for (key, text) in
            [("guarantee", role.quota.guarantee.to_string()), ("limit", role.quota.limit.to_string())]
        {
            if !text.is_empty() {
                quota.insert(key.to_owned(), Value::from(text));
            }
        }
        json!({
            "name": role.role,
            "weight": f64::from(role.weight.milli()) / 1000.0,
            "quota": quota,
            "offers": role.offers,
        })
    };
    cluster.roles.iter().map(role).collect()
}

/// Tasks of one framework in one role that take the same.
type Shape = (FrameworkId, Role, String);

/// What is known of tasks.
#[derive(Default)]
struct Life {
    tasks: Vec<Task>,
    places: FxHashMap<(FrameworkId, TaskId), usize>,
    offers: FxHashMap<OfferId, Role>,
    connections: FxHashMap<apportion::protocol::ConnectionId, FrameworkId>,
    /// Since when each task that was stated to wait does.
    waiting: BTreeMap<Shape, VecDeque<Time>>,
}

impl Life {
    fn note(&mut self, at: Time, input: &Input, outputs: &[Output]) {
        match input {
            Input::Connected { connection, peer } => {
                if let Ok(framework) = FrameworkId::new(peer.name()) {
                    self.connections.insert(*connection, framework);
                }
            }
            Input::Scheduler { connection, call } => {
                if let Some(framework) = self.connections.get(connection).cloned() {
                    self.scheduler(at, &framework, call);
                    let launched: Vec<_> =
                        launches(input).map(|(_, task)| (task.id.clone(), shape(&task.resources))).collect();
                    let role = self.role_of(call);
                    for (id, shape) in launched {
                        self.launched(at, &framework, role.clone(), id, shape);
                    }
                }
            }
            Input::Agent { call: AgentCall::Update { framework, status, .. }, .. } => {
                let place = self.places.get(&(framework.clone(), status.task.clone())).copied();
                if let Some(task) = place.map(|place| &mut self.tasks[place]) {
                    if status.state.is_terminal() {
                        task.ended.get_or_insert(at);
                    } else {
                        task.started.get_or_insert(at);
                    }
                }
            }
            _ => {}
        }
        for output in outputs {
            if let Output::ToScheduler { event: SchedulerEvent::Offers(offers), .. } = output {
                self.offers.extend(offers.iter().map(|offer| (offer.id, offer.role.clone())));
            }
        }
    }

    fn role_of(&self, call: &SchedulerCall) -> Option<Role> {
        let offer = match call {
            SchedulerCall::Accept { offers, .. } => offers.first(),
            SchedulerCall::AcceptSet { parts, .. } => parts.first().map(|(offer, _)| offer),
            _ => None,
        };
        self.offers.get(offer?).cloned()
    }

    fn scheduler(&mut self, at: Time, framework: &FrameworkId, call: &SchedulerCall) {
        let SchedulerCall::SetDemand { role, demand } = call else { return };
        let mut counts: BTreeMap<String, u32> = BTreeMap::new();
        for group in demand.iter().flatten().filter(|group| group.count != DemandGroup::ANY_NUMBER) {
            *counts.entry(text(&group.shape)).or_default() += group.count;
        }
        for ((whose, of, shape), since) in &mut self.waiting {
            if whose == framework && of == role {
                let count = counts.remove(shape).unwrap_or(0) as usize;
                let gone = since.len().saturating_sub(count);
                since.drain(..gone);
                since.resize(count, at);
            }
        }
        for (shape, count) in counts {
            self.waiting.insert((framework.clone(), role.clone(), shape), vec![at; count as usize].into());
        }
    }

    fn launched(
        &mut self,
        at: Time,
        framework: &FrameworkId,
        role: Option<Role>,
        id: TaskId,
        shape: Quantities,
    ) {
        let Some(role) = role else { return };
        let waited = self.waiting.get_mut(&(framework.clone(), role.clone(), text(&shape)));
        let arrived = waited.and_then(VecDeque::pop_front).unwrap_or(at);
        self.places.insert((framework.clone(), id.clone()), self.tasks.len());
        let framework = framework.clone();
        self.tasks.push(Task { id, framework, role, shape, arrived, started: None, ended: None });
    }

    /// Frameworks with their tasks that have not ended at a time.
    fn frameworks(&self, begin: Time) -> Vec<Value> {
        let mut by_role: BTreeMap<(&FrameworkId, &Role), Vec<&Task>> = BTreeMap::new();
        for task in self.tasks.iter().filter(|task| task.ended.is_none_or(|ended| ended > begin)) {
            by_role.entry((&task.framework, &task.role)).or_default().push(task);
        }
        let mut roles: BTreeMap<&FrameworkId, usize> = BTreeMap::new();
        by_role.keys().for_each(|(framework, _)| *roles.entry(framework).or_default() += 1);
        let framework = |((name, role), mut tasks): ((&FrameworkId, &Role), Vec<&Task>)| {
            tasks.sort_by_key(|task| task.arrived);
            let all_end = tasks.iter().all(|task| task.ended.is_some());
            let jobs: Vec<Value> = tasks.iter().map(|task| task.job(begin)).collect();
            json!({
                // A framework in several roles is played as several.
                "name": if roles[name] == 1 { name.to_string() } else { format!("{name}.{}", role.as_str().replace('/', ".")) },
                "role": role,
                "kind": if all_end { "batch" } else { "service" },
                "jobs": jobs,
            })
        };
        by_role.into_iter().map(framework).collect()
    }
}

impl Task {
    fn job(&self, begin: Time) -> Value {
        let seconds = |later: Time, earlier: Time| format!("{}ns", later.since(earlier).as_nanos());
        let mut job = json!({
            "name": self.id,
            "at": seconds(self.arrived, begin),
            "resources": text(&self.shape),
        });
        if let Some(ended) = self.ended {
            let from = self.started.unwrap_or(ended).max(begin);
            job["duration"] = Value::from(seconds(ended, from));
        }
        job
    }
}

/// What the simulator plays of what a task takes.
fn shape(resources: &Resources) -> Quantities {
    resources.quantities()
}

/// Amounts of a scenario; ports are not simulated.
fn text(shape: &Quantities) -> String {
    let amounts = shape.iter().filter(|(kind, _)| **kind != Kind::Ports);
    let text = |(kind, amount): (&Kind, Scalar)| match kind {
        kind if kind.is_gpu_milli() => format!("{}:{}", Kind::Gpus, gpus::in_devices(amount)),
        kind => format!("{kind}:{amount}"),
    };
    amounts.map(text).collect::<Vec<_>>().join(";")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_gpus_are_told_in_devices() {
        let shape: Resources = "cpus:1;gpu_milli:[500-959];ports:[1-2]".parse().unwrap();
        assert_eq!(text(&shape.quantities()), "cpus:1;gpus:0.46");
    }

    #[test]
    fn roles_are_found_by_name() {
        let mut scenario = json!({ "roles": [{ "name": "web" }, { "name": "web/a" }] });
        assert_eq!(numbered(&mut scenario, "roles.web/a.weight"), "roles.1.weight");
        assert_eq!(numbered(&mut scenario, "roles.web.quota.limit"), "roles.0.quota.limit");
        assert_eq!(numbered(&mut scenario, "roles.new.weight"), "roles.2.weight");
        assert_eq!(numbered(&mut scenario, "roles.1.weight"), "roles.1.weight");
        assert_eq!(numbered(&mut scenario, "agents.0.count"), "agents.0.count");
        assert!("roles.web.weight".parse::<Setting>().is_err());
    }
}
