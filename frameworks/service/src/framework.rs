//! The framework: services by name, tasks by service, requests from operators.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use apportion::protocol::{
    Explanation, FrameworkInfo, InverseOfferInfo, RequestId, TaskId, TaskState, TaskStatus,
};
use apportion::resources::Role;
use apportion::scheduler::{DamagedRecord, Plan, Reconciler, Records, View};
use apportion::time::{Time, Timers};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::request::{ServiceProgress, ServiceReply, ServiceRequest};
use crate::service::{Action, Numbers, Service};
use crate::spec::{InvalidSpec, MAX_REPLICAS, ServiceSpec, name_of};

/// Progress is told to a follower at most once in so long.
pub const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// What runs is kept for so long when the framework and the master have lost each other.
pub const FAILOVER_TIMEOUT: Duration = Duration::from_secs(600);

/// The keys of the records of services begin with this, those of the numbers of stopped ones with [`RETIRED`].
const SERVICE: &str = "service/";
const RETIRED: &str = "retired/";

/// The service framework, to be run on the library's reconciler layer.
///
/// Its state is kept up to date by each status update; a reconciliation looks at the services that something happened to, or
/// whose time has come, and at nothing else. Where records are kept, one that starts anew goes on with all services.
#[derive(Debug)]
pub struct ServiceFramework {
    info: FrameworkInfo,
    first: Numbers,
    services: BTreeMap<String, Service>,
    /// The numbers of services that were stopped.
    retired: HashMap<String, Numbers>,
    /// What is recorded of each service.
    recorded: HashMap<String, Vec<u8>>,
    dirty: BTreeSet<String>,
    wakes: Timers<String>,
    followers: BTreeMap<RequestId, Follower>,
    /// Tasks that have ended, whose records are not needed.
    ended: Vec<TaskId>,
    actions: Vec<Action>,
}

/// Somebody who wants to know how a deployment goes.
#[derive(Debug)]
struct Follower {
    service: String,
    told_revision: Option<u64>,
    next_at: Time,
}

/// Why a spec is not applied.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ApplyError {
    /// The spec does not pass its checks.
    #[error(transparent)]
    Invalid(#[from] InvalidSpec),
    /// The framework does not use that role.
    #[error("the framework does not run services of role '{role}'; its roles are {}", list(roles))]
    UnknownRole {
        /// The service's.
        role: Role,
        /// The framework's.
        roles: Vec<Role>,
    },
}

fn list(roles: &[Role]) -> String {
    let names: Vec<String> = roles.iter().map(|role| format!("'{role}'")).collect();
    names.join(", ")
}

impl ServiceFramework {
    /// A framework of that name that runs services of these roles; of any role when none are given.
    pub fn new(name: impl Into<String>, roles: Vec<Role>) -> Self {
        let mut info = FrameworkInfo::new(name, Role::default()).with_failover_timeout(FAILOVER_TIMEOUT);
        info.roles = roles;
        ServiceFramework {
            info,
            first: Numbers { version: 1, instance: 1 },
            services: BTreeMap::new(),
            retired: HashMap::new(),
            recorded: HashMap::new(),
            dirty: BTreeSet::new(),
            wakes: Timers::default(),
            followers: BTreeMap::new(),
            ended: Vec::new(),
            actions: Vec::new(),
        }
    }

    /// Numbers instances from `first` on instead of from 1. Ids of tasks, which hold the number, must never come again under
    /// the same framework id; so a framework that starts anew goes on above the instances that it had before.
    #[must_use]
    pub fn numbering_from(mut self, first: u64) -> Self {
        self.first.instance = first;
        self
    }

    /// Makes a service be as the spec says, or begins to; returns the version that it is brought to.
    ///
    /// # Errors
    /// When the spec does not pass its checks or is of a role that the framework does not have.
    pub fn apply(&mut self, now: Time, spec: ServiceSpec) -> Result<u32, ApplyError> {
        spec.check()?;
        if !self.info.roles.is_empty() && !self.info.roles.contains(&spec.role) {
            return Err(ApplyError::UnknownRole { role: spec.role, roles: self.info.roles.clone() });
        }
        let name = spec.name();
        let numbers = self.retired.remove(&name).unwrap_or(self.first);
        let service = match self.services.entry(name.clone()) {
            std::collections::btree_map::Entry::Occupied(known) => {
                let service = known.into_mut();
                service.apply(now, spec);
                service
            }
            std::collections::btree_map::Entry::Vacant(new) => new.insert(Service::new(now, spec, numbers)),
        };
        let version = service.version();
        tracing::info!(service = %name, version, "spec applied");
        self.dirty.insert(name);
        Ok(version)
    }

    /// How a service is; `None` when there is none of that id.
    pub fn service(&self, now: Time, id: &str) -> Option<ServiceProgress> {
        self.services.get(&name_of(id)).map(|service| service.progress(now, true))
    }

    /// How all services are, by name; without their single instances.
    pub fn services(&self, now: Time) -> Vec<ServiceProgress> {
        self.services.values().map(|service| service.progress(now, false)).collect()
    }

    /// What is to be answered at once; a follower gets its answers later.
    fn answer(&mut self, now: Time, request: RequestId, asked: ServiceRequest) -> Option<ServiceReply> {
        let id = match asked {
            ServiceRequest::List => return Some(ServiceReply::Services(self.services(now))),
            ServiceRequest::Apply { spec } => {
                let id = spec.id.clone();
                return Some(match self.apply(now, *spec) {
                    Ok(version) => ServiceReply::Accepted { id, version },
                    Err(error) => ServiceReply::Refused(error.to_string()),
                });
            }
            ServiceRequest::Follow { ref id }
            | ServiceRequest::Scale { ref id, .. }
            | ServiceRequest::Stop { ref id }
            | ServiceRequest::Rollback { ref id } => id,
        };
        let name = name_of(id);
        let Some(service) = self.services.get_mut(&name) else {
            return Some(ServiceReply::Refused(format!(
                "there is no service '{id}'; 'list' tells those that are"
            )));
        };
        match asked {
            ServiceRequest::Follow { .. } => {
                let follower = Follower { service: name, told_revision: None, next_at: now };
                self.followers.insert(request, follower);
                return None;
            }
            ServiceRequest::Scale { replicas, .. } if replicas > MAX_REPLICAS => {
                let message = format!("a service has at most {MAX_REPLICAS} instances, not {replicas}");
                return Some(ServiceReply::Refused(message));
            }
            _ if service.is_stopping() && !matches!(asked, ServiceRequest::Stop { .. }) => {
                return Some(ServiceReply::Refused(format!("service '{}' is being stopped", service.id())));
            }
            ServiceRequest::Scale { replicas, .. } => service.scale(now, replicas),
            ServiceRequest::Stop { .. } => service.stop(),
            ServiceRequest::Rollback { .. } if service.roll_back(now).is_none() => {
                let message = format!("no other version of service '{}' has succeeded", service.id());
                return Some(ServiceReply::Refused(message));
            }
            ServiceRequest::Rollback { .. } | ServiceRequest::List | ServiceRequest::Apply { .. } => {}
        }
        let reply = ServiceReply::Accepted { id: service.id().to_owned(), version: service.version() };
        self.dirty.insert(name);
        Some(reply)
    }

    /// Lets a service take its next step, and forgets it when nothing of it is left.
    fn advance(&mut self, now: Time, name: String, plan: &mut Plan) {
        let Some(service) = self.services.get_mut(&name) else { return };
        let before = service.phase();
        service.advance(now, &mut self.actions);
        if service.phase() != before {
            tracing::info!(service = %name, version = service.version(), phase = %service.phase(), "deployment");
        }
        for action in self.actions.drain(..) {
            let (Action::Launch { version, number } | Action::Stop { version, number }) = action;
            let Ok(id) = TaskId::new(service.task_name(version, number)) else {
                tracing::error!(task = service.task_name(version, number), "not a valid task id");
                continue;
            };
            match action {
                Action::Stop { .. } => plan.kill(id),
                Action::Launch { .. } => match service.template(version) {
                    Some(template) => plan.launch(template.request(id, number)),
                    None => tracing::error!(task = %id, "its version is forgotten"),
                },
            }
        }
        if service.is_gone() {
            self.retire(now, &name, plan);
            return;
        }
        record(&name, service, &mut self.recorded, plan);
        match service.next_deadline(now) {
            Some(at) => self.wakes.set(name, at),
            None => self.wakes.cancel(&name),
        }
    }

    /// Forgets a service that was stopped, except for its numbers.
    fn retire(&mut self, now: Time, name: &str, plan: &mut Plan) {
        let Some(service) = self.services.remove(name) else { return };
        tracing::info!(service = %name, "service stopped");
        self.retired.insert(name.to_owned(), service.numbers());
        self.recorded.remove(name);
        plan.record(format!("{SERVICE}{name}"), None);
        plan.record(format!("{RETIRED}{name}"), encode(&service.numbers()));
        self.wakes.cancel(&name.to_owned());
        let message = "the service was stopped".to_owned();
        let reply = ServiceReply::Finished { ok: true, message, progress: service.progress(now, true) };
        self.followers.retain(|request, follower| {
            let follows = follower.service == name;
            if follows {
                plan.reply(*request, reply.encode(), true);
            }
            !follows
        });
    }

    fn tell_followers(&mut self, now: Time, plan: &mut Plan) {
        self.followers.retain(|request, follower| {
            let Some(service) = self.services.get(&follower.service) else { return false };
            if service.phase().is_ended() && !service.is_stopping() {
                let (ok, message) = service.verdict();
                let reply = ServiceReply::Finished { ok, message, progress: service.progress(now, true) };
                plan.reply(*request, reply.encode(), true);
                return false;
            }
            if follower.told_revision == Some(service.revision()) {
                return true;
            }
            if follower.next_at > now {
                plan.wake_at(follower.next_at);
                return true;
            }
            plan.reply(*request, ServiceReply::Progress(service.progress(now, true)).encode(), false);
            follower.told_revision = Some(service.revision());
            follower.next_at = now + PROGRESS_INTERVAL;
            true
        });
    }
}

/// Records what changed of a service.
fn record(name: &str, service: &Service, recorded: &mut HashMap<String, Vec<u8>>, plan: &mut Plan) {
    let record = encode(&service.record());
    if record.as_ref() != recorded.get(name) {
        recorded.extend(record.clone().map(|record| (name.to_owned(), record)));
        plan.record(format!("{SERVICE}{name}"), record);
    }
}

fn encode(record: &impl Serialize) -> Option<Vec<u8>> {
    // Maps have string keys or numbers and nothing fails to serialize, so that this can't fail.
    serde_json::to_vec(record).ok()
}

fn decode<T: DeserializeOwned>(key: &str, bytes: &[u8]) -> Result<T, DamagedRecord> {
    serde_json::from_slice(bytes).map_err(|error| DamagedRecord::new(key, error))
}

impl Reconciler for ServiceFramework {
    fn framework_info(&self) -> FrameworkInfo {
        self.info.clone()
    }

    fn restore(&mut self, view: &View<'_>, records: &Records, plan: &mut Plan) -> Result<(), DamagedRecord> {
        let now = view.now();
        for (key, bytes) in records {
            if let Some(name) = key.strip_prefix(SERVICE) {
                self.services.insert(name.to_owned(), Service::restore(now, decode(key, bytes)?));
                self.recorded.insert(name.to_owned(), bytes.clone());
                self.dirty.insert(name.to_owned());
            } else if let Some(name) = key.strip_prefix(RETIRED) {
                self.retired.insert(name.to_owned(), decode(key, bytes)?);
            } else {
                return Err(DamagedRecord::new(key, "nothing is recorded under such a key"));
            }
        }
        for (task, launched) in view.live() {
            let is_known = task_parts(task.as_str()).is_some_and(|(name, version, number)| {
                let service = self.services.get_mut(name);
                service
                    .is_some_and(|known| known.restore_instance(now, version, number, launched.agent.clone()))
            });
            if !is_known {
                plan.kill(task.clone());
            }
        }
        tracing::info!(services = self.services.len(), "services restored");
        Ok(())
    }

    fn reconcile(&mut self, view: &View<'_>, plan: &mut Plan) {
        let now = view.now();
        for task in self.ended.drain(..) {
            plan.forget(task);
        }
        while let Some(name) = self.wakes.pop_due(now) {
            self.dirty.insert(name);
        }
        let mut due: Vec<String> = std::mem::take(&mut self.dirty).into_iter().collect();
        // What is queued first is launched first.
        due.sort_by_key(|name| Reverse(self.services.get(name).map(Service::priority)));
        for name in due {
            self.advance(now, name, plan);
        }
        self.tell_followers(now, plan);
        if let Some(at) = self.wakes.next_deadline() {
            plan.wake_at(at);
        }
    }

    fn status_update(&mut self, now: Time, status: &TaskStatus, plan: &mut Plan) {
        if status.state.is_terminal() {
            self.ended.push(status.task.clone());
        }
        let found = task_parts(status.task.as_str()).and_then(|(name, version, number)| {
            let service = self.services.get_mut(name)?;
            service.has_instance(version, number).then_some((name, number, service))
        });
        let Some((name, number, service)) = found else {
            // Of an earlier life of this framework, or given up because its agent could not be reached.
            use TaskState::*;
            if matches!(status.state, Staging | Starting | Running) {
                plan.kill(status.task.clone());
            }
            return;
        };
        service.update(now, number, status);
        self.dirty.insert(name.to_owned());
    }

    /// Instances move elsewhere; the framework stays until the last has.
    fn inverse_offer(&mut self, _: Time, offer: &InverseOfferInfo, _: &mut Plan) -> bool {
        for (name, service) in &mut self.services {
            if service.leave(&offer.agent) {
                self.dirty.insert(name.clone());
            }
        }
        true
    }

    fn request(&mut self, now: Time, request: RequestId, data: &[u8], plan: &mut Plan) {
        let reply = match ServiceRequest::decode(data) {
            Ok(asked) => self.answer(now, request, asked),
            Err(error) => Some(ServiceReply::Refused(error.to_string())),
        };
        for name in &self.dirty {
            if let Some(service) = self.services.get(name) {
                record(name, service, &mut self.recorded, plan);
            }
        }
        if let Some(reply) = reply {
            plan.reply(request, reply.encode(), true);
        }
    }

    fn request_cancelled(&mut self, request: RequestId) {
        self.followers.remove(&request);
    }

    fn explain(&self, now: Time, task: &str) -> Option<Explanation> {
        let explained = |service: &Service, number| {
            let obstacles = service.obstacles(now, number);
            Explanation { task: Some(task.to_owned()), wants: None, obstacles }
        };
        if let Some(service) = self.services.get(&name_of(task)) {
            return Some(explained(service, None));
        }
        let (name, version, number) = task_parts(task)?;
        let service = self.services.get(name)?;
        service.has_instance(version, number).then(|| explained(service, Some(number)))
    }
}

/// Takes `<name>-v<version>-<number>` apart.
fn task_parts(task: &str) -> Option<(&str, u32, u64)> {
    let (rest, number) = task.rsplit_once('-')?;
    let (name, version) = rest.rsplit_once("-v")?;
    Some((name, version.parse().ok()?, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use apportion::protocol::Obstacle;
    use apportion::spec::Document;

    use super::*;

    fn spec(role: &str) -> ServiceSpec {
        let text = format!(
            "schema = 1\nkind = 'service'\nid = '/shop/web'\nrole = '{role}'\nreplicas = 2\n[task]\ncmd = ['web']\n\
             [update]\nmin_healthy = '0s'"
        );
        ServiceSpec::parse(&Document::new("web.toml", text)).unwrap()
    }

    fn framework() -> ServiceFramework {
        ServiceFramework::new("service", vec!["shop".parse().unwrap()])
    }

    /// Lets all services that something happened to take their next step.
    fn advance(framework: &mut ServiceFramework, now: Time) -> Plan {
        let mut plan = Plan::default();
        while let Some(name) = framework.dirty.pop_first() {
            framework.advance(now, name, &mut plan);
        }
        framework.tell_followers(now, &mut plan);
        plan
    }

    fn tell(framework: &mut ServiceFramework, task: &str, state: TaskState) -> Plan {
        let mut status = TaskStatus::new(TaskId::new(task).unwrap(), state, Time::ZERO);
        status.ready = state == TaskState::Running;
        let mut plan = Plan::default();
        framework.status_update(Time::ZERO, &status, &mut plan);
        plan
    }

    #[test]
    fn names_of_tasks_are_taken_apart_from_their_end() {
        assert_eq!(task_parts("shop.web-v2-17"), Some(("shop.web", 2, 17)));
        assert_eq!(task_parts("a-v1-1-v2-3"), Some(("a-v1-1", 2, 3)));
        for task in ["shop.web", "a-1-2", "a-v1-", "a-vx-1", ""] {
            assert_eq!(task_parts(task), None, "{task}");
        }
    }

    #[test]
    fn services_of_other_roles_are_refused() {
        let error = framework().apply(Time::ZERO, spec("ml")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the framework does not run services of role 'ml'; its roles are 'shop'"
        );
    }

    #[test]
    fn a_follower_is_told_until_the_deployment_ends() {
        let mut framework = framework();
        assert_eq!(framework.apply(Time::ZERO, spec("shop")), Ok(1));
        let follow = ServiceRequest::Follow { id: "/shop/web".to_owned() };
        assert_eq!(framework.answer(Time::ZERO, RequestId(1), follow), None);
        advance(&mut framework, Time::ZERO);
        let told = |framework: &ServiceFramework| framework.followers[&RequestId(1)].told_revision;
        let first = told(&framework);
        tell(&mut framework, "shop.web-v1-1", TaskState::Running);
        // Not yet: it was told a moment ago.
        advance(&mut framework, Time::ZERO);
        assert_eq!(told(&framework), first);
        advance(&mut framework, Time::ZERO + PROGRESS_INTERVAL);
        assert!(told(&framework) > first);
        tell(&mut framework, "shop.web-v1-2", TaskState::Running);
        advance(&mut framework, Time::ZERO + PROGRESS_INTERVAL);
        assert!(framework.followers.is_empty());
    }

    #[test]
    fn a_service_that_was_stopped_uses_no_number_again() {
        let mut framework = framework().numbering_from(7);
        framework.apply(Time::ZERO, spec("shop")).unwrap();
        advance(&mut framework, Time::ZERO);
        let stop = ServiceRequest::Stop { id: "/shop/web".to_owned() };
        assert!(matches!(
            framework.answer(Time::ZERO, RequestId(1), stop),
            Some(ServiceReply::Accepted { version: 1, .. })
        ));
        advance(&mut framework, Time::ZERO);
        for task in ["shop.web-v1-7", "shop.web-v1-8"] {
            tell(&mut framework, task, TaskState::Killed);
        }
        advance(&mut framework, Time::ZERO);
        assert_eq!(framework.services(Time::ZERO), []);
        assert_eq!(framework.apply(Time::ZERO, spec("shop")), Ok(2));
        advance(&mut framework, Time::ZERO);
        let instances = framework.service(Time::ZERO, "/shop/web").unwrap().instances;
        let tasks: Vec<&str> = instances.iter().map(|instance| instance.task.as_str()).collect();
        assert_eq!(tasks, ["shop.web-v2-9", "shop.web-v2-10"]);
    }

    #[test]
    fn running_tasks_that_belong_to_no_service_are_stopped() {
        for (task, state, stopped) in [
            ("shop.web-v1-3", TaskState::Running, true),
            ("stray", TaskState::Staging, true),
            ("shop.web-v1-3", TaskState::Lost, false),
        ] {
            assert_eq!(!tell(&mut framework(), task, state).is_empty(), stopped, "{task} {state}");
        }
    }

    #[test]
    fn a_backoff_is_explained() {
        let mut framework = framework();
        framework.apply(Time::ZERO, spec("shop")).unwrap();
        advance(&mut framework, Time::ZERO);
        tell(&mut framework, "shop.web-v1-1", TaskState::Failed);
        advance(&mut framework, Time::ZERO);
        let explained = framework.explain(Time::ZERO, "/shop/web").unwrap();
        assert_eq!(explained.obstacles[0], Obstacle::Backoff { until: Time::from_secs(1) });
        assert_eq!(framework.wakes.next_deadline(), Some(Time::from_secs(1)));
        assert!(framework.explain(Time::ZERO, "shop.web-v1-2").is_some());
        for name in ["shop.web-v1-1", "shop.web-v1-9", "/shop/db", ""] {
            assert_eq!(framework.explain(Time::ZERO, name), None, "{name}");
        }
    }

    #[test]
    fn requests_survive_json_and_what_can_not_be_done_is_refused() {
        let request = ServiceRequest::Apply { spec: Box::new(spec("shop")) };
        assert_eq!(ServiceRequest::decode(&request.encode()).unwrap(), request);
        assert!(ServiceRequest::decode(b"{\"scale\":{}}").is_err());
        let mut framework = framework();
        framework.apply(Time::ZERO, spec("shop")).unwrap();
        let reply = ServiceReply::Services(framework.services(Time::ZERO));
        assert_eq!(ServiceReply::decode(&reply.encode()).unwrap(), reply);
        for request in [
            ServiceRequest::Rollback { id: "/shop/web".to_owned() },
            ServiceRequest::Scale { id: "/shop/db".to_owned(), replicas: 1 },
            ServiceRequest::Scale { id: "/shop/web".to_owned(), replicas: MAX_REPLICAS + 1 },
        ] {
            let answer = framework.answer(Time::ZERO, RequestId(1), request);
            assert!(matches!(answer, Some(ServiceReply::Refused(_))), "{answer:?}");
        }
    }
}
