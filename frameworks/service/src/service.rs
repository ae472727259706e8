//! One service: its versions, its instances, its deployment.

use std::collections::BTreeMap;

use apportion::protocol::{AgentId, Obstacle, TaskId, TaskStatus};
use apportion::time::Time;
use serde::{Deserialize, Serialize};

use crate::backoff::Backoff;
use crate::deployment::{Deployment, DeploymentRecord, Phase};
use crate::instances::{Ended, Instance, InstanceState, Instances};
use crate::request::{InstanceProgress, ServiceProgress};
use crate::rollout::Goal;
use crate::spec::{OnFailure, ServiceSpec};
use crate::template::Template;

/// So many instances are shown with a service's progress.
pub const MAX_INSTANCES_SHOWN: usize = 64;

/// So many versions that succeeded are remembered, to go back to.
const MAX_SUCCEEDED: usize = 10;

/// What a service wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Queue a new instance.
    Launch { version: u32, number: u64 },
    /// Stop an instance, or take it out of the queue.
    Stop { version: u32, number: u64 },
}

/// The numbers that a service goes on from. They are kept when it is stopped, since ids of tasks must not come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Numbers {
    pub(crate) version: u32,
    pub(crate) instance: u64,
}

/// What the instances of one version run.
#[derive(Clone, Debug)]
struct Version {
    spec: ServiceSpec,
    template: Template,
    backoff: Backoff,
}

impl Version {
    fn new(number: u32, spec: &ServiceSpec) -> Self {
        Version { spec: spec.clone(), template: Template::new(spec, number), backoff: Backoff::default() }
    }
}

/// What a framework that starts anew must know of a service, beside the tasks that were launched. Instances that were asked to stop
/// are chosen anew, and backoffs begin anew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ServiceRecord {
    spec: ServiceSpec,
    versions: BTreeMap<u32, ServiceSpec>,
    succeeded: Vec<u32>,
    deployment: DeploymentRecord,
    numbers: Numbers,
    is_stopping: bool,
    failures: u64,
    last_failure: Option<String>,
}

/// A service.
#[derive(Debug)]
pub(crate) struct Service {
    /// The newest spec. After a rollback, what runs is that of another version.
    spec: ServiceSpec,
    name: String,
    versions: BTreeMap<u32, Version>,
    /// Versions that succeeded, the newest success last.
    succeeded: Vec<u32>,
    deployment: Deployment,
    instances: Instances,
    numbers: Numbers,
    is_stopping: bool,
    /// How many instances are missing that a backoff keeps from being launched.
    held_back: u32,
    failures: u64,
    last_failure: Option<String>,
    /// Grows with all that changes what is told of the service.
    revision: u64,
}

impl Service {
    /// A service that has no instance yet.
    pub(crate) fn new(now: Time, spec: ServiceSpec, mut numbers: Numbers) -> Self {
        let first = numbers.version;
        numbers.version += 1;
        let version = Version::new(first, &spec);
        Service {
            name: spec.name(),
            versions: BTreeMap::from([(first, version)]),
            succeeded: Vec::new(),
            deployment: Deployment::new(now, first, None, spec.update.patience()),
            instances: Instances::default(),
            numbers,
            is_stopping: false,
            held_back: 0,
            failures: 0,
            last_failure: None,
            revision: 0,
            spec,
        }
    }

    /// What is to be recorded of it.
    pub(crate) fn record(&self) -> ServiceRecord {
        let versions = self.versions.iter();
        ServiceRecord {
            spec: self.spec.clone(),
            versions: versions.map(|(number, version)| (*number, version.spec.clone())).collect(),
            succeeded: self.succeeded.clone(),
            deployment: self.deployment.record(),
            numbers: self.numbers,
            is_stopping: self.is_stopping,
            failures: self.failures,
            last_failure: self.last_failure.clone(),
        }
    }

    /// The service that an earlier life recorded, without its instances.
    pub(crate) fn restore(now: Time, record: ServiceRecord) -> Self {
        let versions = record.versions.iter();
        let deployment = Deployment::restore(now, record.deployment, record.spec.update.patience());
        Service {
            versions: versions.map(|(number, spec)| (*number, Version::new(*number, spec))).collect(),
            succeeded: record.succeeded,
            deployment,
            is_stopping: record.is_stopping,
            failures: record.failures,
            last_failure: record.last_failure,
            numbers: record.numbers,
            ..Service::new(now, record.spec, record.numbers)
        }
    }

    /// An instance that an earlier life launched. Whether its version is known.
    pub(crate) fn restore_instance(&mut self, now: Time, version: u32, number: u64, agent: AgentId) -> bool {
        let is_known = self.versions.contains_key(&version);
        if is_known {
            self.instances.restore(now, number, version, agent);
        }
        is_known
    }

    pub(crate) fn id(&self) -> &str {
        &self.spec.id
    }

    pub(crate) fn priority(&self) -> u8 {
        self.spec.priority
    }

    pub(crate) fn numbers(&self) -> Numbers {
        self.numbers
    }

    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    pub(crate) fn phase(&self) -> Phase {
        self.deployment.phase()
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.is_stopping
    }

    /// Whether it was stopped, and nothing of it is left.
    pub(crate) fn is_gone(&self) -> bool {
        self.is_stopping && self.instances.is_empty()
    }

    /// The version that it is brought to.
    pub(crate) fn version(&self) -> u32 {
        self.deployment.target()
    }

    /// What makes the tasks of a version.
    pub(crate) fn template(&self, version: u32) -> Option<&Template> {
        self.versions.get(&version).map(|version| &version.template)
    }

    pub(crate) fn task_name(&self, version: u32, number: u64) -> String {
        format!("{}-v{version}-{number}", self.name)
    }

    /// Whether a task of that version and number is one of its instances.
    pub(crate) fn has_instance(&self, version: u32, number: u64) -> bool {
        self.instances.get(number).is_some_and(|instance| instance.version == version)
    }

    /// Is to be as this spec says from now on.
    pub(crate) fn apply(&mut self, now: Time, spec: ServiceSpec) {
        let runs_the_same =
            self.versions.get(&self.version()).is_some_and(|current| current.spec.runs_the_same(&spec));
        let is_rescaled = spec.replicas != self.spec.replicas;
        let was_stopping = std::mem::take(&mut self.is_stopping);
        self.spec = spec;
        self.revision += 1;
        let patience = self.spec.update.patience();
        if !runs_the_same {
            let version = self.numbers.version;
            self.numbers.version += 1;
            self.versions.insert(version, Version::new(version, &self.spec));
            let stable = self.succeeded.last().copied();
            self.deployment = Deployment::new(now, version, stable, patience);
        } else if self.phase() == Phase::Paused {
            self.deployment.resume(now, patience);
        } else if is_rescaled || was_stopping {
            self.deployment.rescale(now, patience);
        }
    }

    /// Is to have so many instances from now on.
    pub(crate) fn scale(&mut self, now: Time, replicas: u32) {
        if replicas != self.spec.replicas {
            self.spec.replicas = replicas;
            self.deployment.rescale(now, self.spec.update.patience());
            self.revision += 1;
        }
    }

    /// Goes back to the version that succeeded last before the present one; `None` when there is none.
    pub(crate) fn roll_back(&mut self, now: Time) -> Option<u32> {
        let to = *self.succeeded.iter().rev().find(|version| **version != self.version())?;
        self.deployment.roll_back(now, to, self.spec.update.patience());
        self.revision += 1;
        Some(to)
    }

    /// Stops all instances.
    pub(crate) fn stop(&mut self) {
        self.is_stopping = true;
        self.revision += 1;
    }

    /// A task has a new state.
    pub(crate) fn update(&mut self, now: Time, number: u64, status: &TaskStatus) {
        self.revision += 1;
        let Some((instance, Ended::Itself)) = self.instances.update(now, number, status) else { return };
        self.failures += 1;
        let why = match (&status.message, &status.reason) {
            (message, _) if !message.is_empty() => message.clone(),
            (_, Some(reason)) => format!("{reason:?}"),
            _ => "it did not say why".to_owned(),
        };
        let task = self.task_name(instance.version, number);
        self.last_failure = Some(format!("{task} {}: {why}", status.state));
        if let Some(version) = self.versions.get_mut(&instance.version) {
            version.backoff.failed(now, self.spec.backoff.policy());
        }
    }

    /// An agent will be away: instances there are replaced as in an update, before they are stopped where the surge allows it.
    /// Whether there are any.
    pub(crate) fn leave(&mut self, agent: &AgentId) -> bool {
        self.instances.leave(agent)
    }

    /// Takes the next step.
    pub(crate) fn advance(&mut self, now: Time, actions: &mut Vec<Action>) {
        let planned = actions.len();
        let before = self.phase();
        for (number, instance) in self.instances.give_up_unreachable(now) {
            actions.push(Action::Stop { version: instance.version, number });
        }
        if self.is_stopping {
            let kept: Vec<u64> = self.instances.kept().map(|(number, _)| number).collect();
            self.stop_instances(now, kept, actions);
        } else {
            self.judge(now);
            let step = self.goal().step(now, &self.instances);
            self.stop_instances(now, step.stop, actions);
            self.launch(now, step.launch, actions);
            self.judge(now);
        }
        self.forget_versions();
        if actions.len() > planned || self.phase() != before {
            self.revision += 1;
        }
    }

    /// When it wants to take the next step though nothing happens.
    pub(crate) fn next_deadline(&self, now: Time) -> Option<Time> {
        if self.is_stopping {
            return None;
        }
        let changes = self.instances.next_change(now, self.spec.update.min_healthy.duration());
        [changes, self.deployment.deadline(), self.backoff_until(now)].into_iter().flatten().min()
    }

    /// Lets the deployment see how far it is.
    fn judge(&mut self, now: Time) {
        let seen = self.goal().observe(now, &self.instances);
        self.deployment.observe(now, seen, self.spec.update.patience());
        if matches!(self.phase(), Phase::Succeeded | Phase::RolledBack) {
            let version = self.version();
            if self.succeeded.last() != Some(&version) {
                self.succeeded.retain(|before| *before != version);
                self.succeeded.push(version);
                let surplus = self.succeeded.len().saturating_sub(MAX_SUCCEEDED);
                self.succeeded.drain(..surplus);
            }
        }
    }

    fn goal(&self) -> Goal {
        let replicas = self.spec.replicas;
        let (surge, unavailable) = self.spec.update.limits(replicas);
        Goal {
            version: self.deployment.fill(),
            replicas,
            surge,
            unavailable,
            min_healthy: self.spec.update.min_healthy.duration(),
            is_paused: self.phase() == Phase::Paused,
        }
    }

    fn stop_instances(&mut self, now: Time, numbers: Vec<u64>, actions: &mut Vec<Action>) {
        for number in numbers {
            let Some(version) = self.instances.get(number).map(|instance| instance.version) else { continue };
            self.instances.stop(now, number);
            actions.push(Action::Stop { version, number });
        }
    }

    fn launch(&mut self, now: Time, missing: u32, actions: &mut Vec<Action>) {
        let version = self.deployment.fill();
        let is_waiting = self.versions.get(&version).is_some_and(|version| version.backoff.is_waiting(now));
        self.held_back = if is_waiting { missing } else { 0 };
        for _ in self.held_back..missing {
            let number = self.numbers.instance;
            self.numbers.instance += 1;
            self.instances.queue(now, number, version);
            actions.push(Action::Launch { version, number });
        }
    }

    /// Forgets versions that nothing needs any more.
    fn forget_versions(&mut self) {
        if self.versions.len() > 1 {
            let used: std::collections::BTreeSet<u32> =
                self.instances.iter().map(|(_, instance)| instance.version).collect();
            let (target, fill) = (self.version(), self.deployment.fill());
            let succeeded = &self.succeeded;
            self.versions.retain(|version, _| {
                [target, fill].contains(version) || used.contains(version) || succeeded.contains(version)
            });
        }
    }

    /// When missing instances are launched, if that waits for a backoff.
    fn backoff_until(&self, now: Time) -> Option<Time> {
        let version = self.versions.get(&self.deployment.fill())?;
        version.backoff.waits_until(now).filter(|_| self.held_back > 0)
    }

    /// How it is, with its instances if they are wanted.
    pub(crate) fn progress(&self, now: Time, with_instances: bool) -> ServiceProgress {
        let version = self.version();
        let min_healthy = self.spec.update.min_healthy.duration();
        let mut progress = ServiceProgress {
            id: self.spec.id.clone(),
            version,
            phase: self.phase(),
            is_stopping: self.is_stopping,
            replicas: self.spec.replicas,
            ready: 0,
            healthy: 0,
            queued: 0,
            starting: 0,
            outdated: 0,
            outdated_ready: 0,
            stopping: 0,
            failures: self.failures,
            last_failure: self.last_failure.clone(),
            backoff_until: self.backoff_until(now),
            instances: Vec::new(),
        };
        for (_, instance) in self.instances.iter() {
            match instance.state {
                InstanceState::Stopping => progress.stopping += 1,
                state if instance.version != version => {
                    progress.outdated += 1;
                    progress.outdated_ready += u32::from(state == InstanceState::Ready);
                }
                InstanceState::Queued => progress.queued += 1,
                InstanceState::Ready => {
                    progress.ready += 1;
                    progress.healthy += u32::from(instance.is_healthy(now, min_healthy));
                }
                _ => progress.starting += 1,
            }
        }
        if with_instances {
            let shown = self.instances.iter().take(MAX_INSTANCES_SHOWN);
            progress.instances =
                shown.filter_map(|(number, instance)| self.shown(number, instance)).collect();
        }
        progress
    }

    fn shown(&self, number: u64, instance: &Instance) -> Option<InstanceProgress> {
        Some(InstanceProgress {
            task: TaskId::new(self.task_name(instance.version, number)).ok()?,
            version: instance.version,
            state: instance.state,
            agent: instance.agent.clone(),
        })
    }

    /// Whether the service is as it was asked to be, and what happened, once its deployment has ended.
    pub(crate) fn verdict(&self) -> (bool, String) {
        let version = self.version();
        let deadline = self.spec.update.deadline;
        let mut message = match self.phase() {
            Phase::Succeeded => {
                return (true, format!("all instances run version {version} and are healthy"));
            }
            Phase::RolledBack => return (false, self.because(format!("back at version {version}"))),
            Phase::Failed => format!(
                "no further instance of version {version} became healthy for {deadline}, and there is no version to go \
                 back to; it is tried on"
            ),
            Phase::Paused => format!(
                "no further instance of version {version} became healthy for {deadline}; the deployment is paused: apply the \
                 same spec to go on, or another one, or roll back"
            ),
            Phase::Progressing | Phase::RollingBack => format!("on its way to version {version}"),
        };
        if self.spec.update.on_failure == OnFailure::Rollback && self.phase() == Phase::Paused {
            message = format!("the rollback failed: {message}");
        }
        (false, self.because(message))
    }

    fn because(&self, message: String) -> String {
        match &self.last_failure {
            Some(failure) => format!("{message}; the last failure: {failure}"),
            None => message,
        }
    }

    /// What stands in the way of the service, or of one of its instances.
    pub(crate) fn obstacles(&self, now: Time, number: Option<u64>) -> Vec<Obstacle> {
        if let Some(instance) = number.and_then(|number| self.instances.get(number)) {
            let what = match instance.state {
                InstanceState::Queued => "it waits for an offer",
                InstanceState::Starting => "it is being started",
                InstanceState::Running => "it runs; its checks have not passed",
                InstanceState::Ready => "it runs and is ready",
                InstanceState::Unreachable => "its agent can't be reached",
                InstanceState::Stopping => "it was asked to stop",
            };
            return vec![Obstacle::InProgress { what: what.to_owned() }];
        }
        let backoff = self.backoff_until(now).map(|until| Obstacle::Backoff { until });
        let what =
            if self.is_stopping { "the service is being stopped".to_owned() } else { self.verdict().1 };
        backoff.into_iter().chain([Obstacle::InProgress { what }]).collect()
    }
}

#[cfg(test)]
mod tests;
