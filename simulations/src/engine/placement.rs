//! The cluster of fidelity `placement`: the production allocator, and machines that do nothing but hold tasks. Frameworks speak to it
//! as to a master, and are told what a master would tell them; nothing else is said, and nothing takes time.
//!
//! What it leaves out: everything that is said between master and agents, acknowledgements (so updates have no numbers), names that are
//! checked, and what comes of connections that are lost. Where latencies are zero, schedules are those of fidelity `full`: both go
//! through what happens at one time in the same order.

use std::time::Duration;

use apportion::allocator::{AgentProfile, Allocation, Allocator, ClaimError, FrameworkProfile};
use apportion::protocol::framework::MAX_REFUSE;
use apportion::protocol::{
    AgentId, Attributes, Conflict, Epoch, FrameworkId, OfferId, OfferInfo, OfferMode, OfferSetId, Operation,
    Reason, SchedulerCall, SchedulerEvent, TaskId, TaskInfo, TaskState, TaskStatus,
};
use apportion::resources::{Resources, Role};
use apportion::time::Time;
use rustc_hash::FxHashMap;

use super::agent::{RunId, status};
use super::runs::ByRun;
use crate::scenario::{AgentModel, RoleModel};

/// What comes of a call, an end or an allocation.
#[derive(Debug)]
pub(super) enum Effect {
    /// A framework is told something.
    Tell(u32, SchedulerEvent),
    /// A task starts; the run's number is given by [`PlacementCluster::started`].
    Start { framework: u32, agent: u32, task: TaskInfo, role: Role },
    /// A run was stopped.
    Stopped(RunId),
}

#[derive(Debug)]
struct Machine {
    id: AgentId,
    hostname: String,
    attributes: Attributes,
}

/// An offer that is out.
#[derive(Debug)]
struct Offer {
    allocation: Allocation,
    /// The place of its machine.
    machine: u32,
    mode: OfferMode,
}

/// A task that runs.
#[derive(Debug)]
struct Running {
    framework: u32,
    task: TaskId,
    allocation: Allocation,
}

/// The allocator, and who holds what.
pub(super) struct PlacementCluster {
    allocator: Box<dyn Allocator>,
    machines: Vec<Machine>,
    places: FxHashMap<AgentId, u32>,
    /// By place.
    frameworks: Vec<FrameworkId>,
    by_framework: FxHashMap<FrameworkId, u32>,
    /// Offers that are out.
    offers: FxHashMap<OfferId, Offer>,
    last_offer: u64,
    last_set: u64,
    running: ByRun<Box<Running>>,
    /// Only once a framework has named a task: most never do.
    by_task: Option<FxHashMap<(u32, TaskId), RunId>>,
    /// Used again for each allocation.
    scratch: Vec<Allocation>,
}

impl PlacementCluster {
    pub(super) fn new(allocator: Box<dyn Allocator>) -> Self {
        PlacementCluster {
            allocator,
            machines: Vec::new(),
            places: FxHashMap::default(),
            frameworks: Vec::new(),
            by_framework: FxHashMap::default(),
            offers: FxHashMap::default(),
            last_offer: 0,
            last_set: 0,
            running: ByRun::default(),
            by_task: None,
            scratch: Vec::new(),
        }
    }

    /// Sets what operators set of a role.
    pub(super) fn rule(&mut self, model: &RoleModel) {
        self.allocator.set_weight(&model.role, model.weight);
        self.allocator.set_offer_mode(&model.role, model.offers);
    }

    pub(super) fn add_agent(&mut self, model: &AgentModel) {
        self.introduce(model);
        self.places.insert(model.id.clone(), self.machines.len() as u32);
        let hostname = model.id.to_string();
        self.machines.push(Machine { id: model.id.clone(), hostname, attributes: model.attributes.clone() });
    }

    /// A machine comes, for the first time or again, with nothing on it.
    pub(super) fn introduce(&mut self, model: &AgentModel) {
        let profile = AgentProfile {
            hostname: model.id.to_string(),
            attributes: model.attributes.clone(),
            ..AgentProfile::default()
        };
        self.allocator.add_agent(&model.id, &profile, &model.resources, &[]);
    }

    /// A framework, which has not subscribed yet.
    pub(super) fn add_framework(&mut self, id: FrameworkId) {
        self.by_framework.insert(id.clone(), self.frameworks.len() as u32);
        self.frameworks.push(id);
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.allocator.next_deadline()
    }

    /// Offers whatever the allocator hands out.
    pub(super) fn allocate(&mut self, now: Time, out: &mut Vec<Effect>) {
        let mut allocations = std::mem::take(&mut self.scratch);
        self.allocator.allocate(now, &mut allocations);
        let mut batches: Vec<(u32, Vec<OfferInfo>)> = Vec::new();
        let mut sets = Vec::new();
        self.allocator.offer_sets(&mut sets);
        let sets = sets.into_iter().flat_map(|set| {
            self.last_set += 1;
            let id = Some(OfferSetId(self.last_set));
            set.allocations.into_iter().map(move |allocation| (id, allocation)).collect::<Vec<_>>()
        });
        let sets: Vec<_> = sets.collect();
        for (set, allocation) in allocations.drain(..).map(|allocation| (None, allocation)).chain(sets) {
            let (Some(framework), Some(machine)) =
                (self.by_framework.get(&allocation.framework), self.places.get(&allocation.agent))
            else {
                continue;
            };
            let mode = match set {
                None => self.allocator.offer_mode(&allocation.role),
                Some(_) => OfferMode::Exclusive,
            };
            self.last_offer += 1;
            let id = OfferId(self.last_offer);
            let place = *machine;
            let machine = &self.machines[place as usize];
            let offer = OfferInfo {
                id,
                role: allocation.role.clone(),
                agent: machine.id.clone(),
                hostname: machine.hostname.clone(),
                attributes: machine.attributes.clone(),
                domain: None,
                unavailability: None,
                resources: allocation.resources.clone(),
                mode,
                set,
            };
            self.offers.insert(id, Offer { allocation, machine: place, mode });
            match batches.iter_mut().rev().find(|(place, _)| place == framework) {
                Some((_, batch)) => batch.push(offer),
                None => batches.push((*framework, vec![offer])),
            }
        }
        self.scratch = allocations;
        out.extend(
            batches.into_iter().map(|(place, batch)| Effect::Tell(place, SchedulerEvent::Offers(batch))),
        );
    }

    /// A framework speaks.
    pub(super) fn call(&mut self, now: Time, framework: u32, call: SchedulerCall, out: &mut Vec<Effect>) {
        let id = &self.frameworks[framework as usize];
        match call {
            SchedulerCall::Subscribe { framework: info, suppressed } => {
                self.allocator.add_framework(id, &FrameworkProfile::of(&info).suppressing(&suppressed));
                let subscribed =
                    SchedulerEvent::Subscribed { framework: id.clone(), epoch: Epoch::FIRST, resumed: false };
                out.push(Effect::Tell(framework, subscribed));
            }
            SchedulerCall::UpdateFramework { framework: info, suppressed } => {
                self.allocator.update_framework(id, &FrameworkProfile::of(&info).suppressing(&suppressed));
            }
            SchedulerCall::SetDemand { role, demand } => {
                self.allocator.set_demand(id, &role, demand.as_deref());
            }
            SchedulerCall::Revive { roles } => self.allocator.revive(id, &roles),
            SchedulerCall::Suppress { roles } => self.allocator.suppress(id, &roles),
            SchedulerCall::Accept { offers, operations, refuse } => {
                self.accept(now, framework, &offers, operations, refuse.min(MAX_REFUSE), out);
            }
            SchedulerCall::AcceptSet { parts, refuse, .. } => {
                for (offer, operations) in parts {
                    self.accept(now, framework, &[offer], operations, refuse.min(MAX_REFUSE), out);
                }
            }
            SchedulerCall::Decline { offers, refuse } => {
                for offer in offers {
                    if let Some(offer) = self.offers.remove(&offer) {
                        self.give_back(now, &offer, Some(refuse.min(MAX_REFUSE)));
                    }
                }
            }
            SchedulerCall::Kill { task, .. } => self.kill(now, framework, task, out),
            SchedulerCall::Reconcile { tasks } => self.reconcile(now, framework, tasks, out),
            SchedulerCall::Teardown => self.teardown(now, framework, out),
            SchedulerCall::AnswerInverseOffer { .. }
            | SchedulerCall::Acknowledge { .. }
            | SchedulerCall::Message { .. }
            | SchedulerCall::Reply { .. }
            | SchedulerCall::Explained { .. } => {}
        }
    }

    fn accept(
        &mut self,
        now: Time,
        framework: u32,
        offers: &[OfferId],
        operations: Vec<Operation>,
        refuse: Duration,
        out: &mut Vec<Effect>,
    ) {
        let Some(mut pooled) = self.pool(offers) else {
            // They went with their machine.
            for task in operations.iter().flat_map(Operation::tasks) {
                let status = TaskStatus::new(task.id.clone(), TaskState::Dropped, now)
                    .because(Reason::InvalidOffer, "the offers are not valid any more");
                out.push(Effect::Tell(framework, SchedulerEvent::Update(status)));
            }
            return;
        };
        let agent = pooled.machine;
        let Some((rest, conversions)) = apply(&pooled.allocation.resources, &operations) else {
            self.give_back(now, &pooled, Some(refuse));
            for task in operations.iter().flat_map(Operation::tasks) {
                let status = TaskStatus::new(task.id.clone(), TaskState::Error, now)
                    .because(Reason::Invalid, "the operations do not fit the offer");
                out.push(Effect::Tell(framework, SchedulerEvent::Update(status)));
            }
            return;
        };
        if pooled.mode == OfferMode::Optimistic {
            let used = pooled.allocation.resources.checked_sub(&rest).unwrap_or_default();
            let claim = Allocation { resources: used, ..pooled.allocation.clone() };
            let claimed = if claim.resources.is_empty() { Ok(()) } else { self.allocator.claim(&claim) };
            if let Err(ClaimError { agent, gone }) = claimed {
                self.give_back(now, &pooled, None);
                let tasks = operations.iter().flat_map(Operation::tasks).map(|task| task.id.clone());
                let conflict = Conflict { offers: offers.to_vec(), agent, gone, tasks: tasks.collect() };
                out.push(Effect::Tell(framework, SchedulerEvent::Conflict(conflict)));
                return;
            }
        }
        for (from, into) in conversions {
            self.allocator.convert(&Allocation { resources: from, ..pooled.allocation.clone() }, &into);
        }
        let role = &pooled.allocation.role;
        for task in operations.into_iter().flat_map(into_tasks) {
            out.push(Effect::Start { framework, agent, task, role: role.clone() });
        }
        if !rest.is_empty() {
            pooled.allocation.resources = rest;
            self.give_back(now, &pooled, Some(refuse));
        }
    }

    /// Takes offers of one agent and one role together.
    fn pool(&mut self, offers: &[OfferId]) -> Option<Offer> {
        let mut offers = offers.iter().filter_map(|offer| self.offers.remove(offer));
        let mut pooled = offers.next()?;
        offers.for_each(|offer| pooled.allocation.resources += &offer.allocation.resources);
        Some(pooled)
    }

    /// Something offered was not used.
    fn give_back(&mut self, now: Time, offer: &Offer, refuse: Option<Duration>) {
        match offer.mode {
            OfferMode::Exclusive => self.allocator.recover(now, &offer.allocation, refuse),
            OfferMode::Optimistic => self.allocator.withdraw(now, &offer.allocation, refuse),
        }
    }

    /// What runs on a machine.
    pub(super) fn runs_on(&self, machine: u32) -> Vec<RunId> {
        let id = &self.machines[machine as usize].id;
        let here = self.running.iter().filter(|(_, running)| running.allocation.agent == *id);
        here.map(|(run, _)| run).collect()
    }

    /// A machine is gone, with all that is on it.
    pub(super) fn fail(&mut self, now: Time, machine: u32, out: &mut Vec<Effect>) {
        let id = self.machines[machine as usize].id.clone();
        let mut offers: Vec<OfferId> =
            self.offers.iter().filter(|(_, offer)| offer.allocation.agent == id).map(|(id, _)| *id).collect();
        offers.sort_unstable();
        for offer in offers {
            let Some(gone) = self.offers.remove(&offer) else { continue };
            self.give_back(now, &gone, None);
            if let Some(framework) = self.by_framework.get(&gone.allocation.framework) {
                out.push(Effect::Tell(*framework, SchedulerEvent::Rescind(vec![offer])));
            }
        }
        let mut lost: Vec<Box<Running>> =
            self.runs_on(machine).into_iter().filter_map(|run| self.running.remove(run)).collect();
        self.allocator.remove_agent(&id);
        lost.sort_unstable_by(|a, b| {
            (&a.allocation.framework, &a.task).cmp(&(&b.allocation.framework, &b.task))
        });
        for lost in lost {
            let Running { framework, task, .. } = *lost;
            let status = TaskStatus::new(task.clone(), TaskState::Lost, now)
                .because(Reason::AgentGone, "its agent has left the cluster");
            self.forget_name(framework, task);
            out.push(Effect::Tell(framework, SchedulerEvent::Update(status)));
        }
    }

    /// What a framework is told of a task that starts on a machine.
    pub(super) fn starting(&self, now: Time, machine: u32, task: &TaskId) -> SchedulerEvent {
        let agent = &self.machines[machine as usize].id;
        SchedulerEvent::Update(unnumbered(status(task, agent, TaskState::Running, now)))
    }

    /// A task has started as this run.
    pub(super) fn started(&mut self, run: RunId, framework: u32, agent: u32, role: Role, task: TaskInfo) {
        let allocation = Allocation {
            framework: self.frameworks[framework as usize].clone(),
            role,
            agent: self.machines[agent as usize].id.clone(),
            resources: task.resources,
        };
        if let Some(by_task) = &mut self.by_task {
            by_task.insert((framework, task.id.clone()), run);
        }
        self.running.push(run, Box::new(Running { framework, task: task.id, allocation }));
    }

    /// A run has ended.
    pub(super) fn ended(&mut self, now: Time, run: RunId, state: TaskState, out: &mut Vec<Effect>) {
        let Some(ended) = self.running.remove(run) else { return };
        let Running { framework, task, allocation } = *ended;
        self.allocator.recover(now, &allocation, None);
        let status = unnumbered(status(&task, &allocation.agent, state, now));
        self.forget_name(framework, task);
        out.push(Effect::Tell(framework, SchedulerEvent::Update(status)));
    }

    fn forget_name(&mut self, framework: u32, task: TaskId) {
        if let Some(by_task) = &mut self.by_task {
            by_task.remove(&(framework, task));
        }
    }

    /// The runs that go on, by framework and name.
    fn by_task(&mut self) -> &FxHashMap<(u32, TaskId), RunId> {
        let running = &self.running;
        self.by_task.get_or_insert_with(|| {
            running.iter().map(|(run, own)| ((own.framework, own.task.clone()), run)).collect()
        })
    }

    /// Whether a run has not ended yet.
    pub(super) fn runs(&self, run: RunId) -> bool {
        self.running.get(run).is_some()
    }

    fn kill(&mut self, now: Time, framework: u32, task: TaskId, out: &mut Vec<Effect>) {
        let key = (framework, task);
        match self.by_task().get(&key).copied() {
            Some(run) => {
                out.push(Effect::Stopped(run));
                self.ended(now, run, TaskState::Killed, out);
            }
            None => out.push(Effect::Tell(framework, SchedulerEvent::Update(unknown(key.1, now)))),
        }
    }

    /// The runs of a framework, by the names of their tasks.
    fn runs_of(&self, framework: u32) -> Vec<(TaskId, RunId)> {
        let own = self.running.iter().filter(|(_, running)| running.framework == framework);
        let mut runs: Vec<_> = own.map(|(run, running)| (running.task.clone(), run)).collect();
        runs.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        runs
    }

    fn reconcile(
        &mut self,
        now: Time,
        framework: u32,
        asked: Vec<(TaskId, Option<AgentId>)>,
        out: &mut Vec<Effect>,
    ) {
        let asked: Vec<TaskId> = if asked.is_empty() {
            self.runs_of(framework).into_iter().map(|(task, _)| task).collect()
        } else {
            asked.into_iter().map(|(task, _)| task).collect()
        };
        for task in asked {
            let key = (framework, task);
            let run = self.by_task().get(&key).copied();
            let status = match run.and_then(|run| self.running.get(run)) {
                Some(running) => {
                    unnumbered(status(&key.1, &running.allocation.agent, TaskState::Running, now))
                }
                None => unknown(key.1, now),
            };
            out.push(Effect::Tell(framework, SchedulerEvent::Update(status)));
        }
    }

    fn teardown(&mut self, now: Time, framework: u32, out: &mut Vec<Effect>) {
        for (_, run) in self.runs_of(framework) {
            out.push(Effect::Stopped(run));
            if let Some(running) = self.running.remove(run) {
                self.allocator.recover(now, &running.allocation, None);
                self.forget_name(framework, running.task);
            }
        }
        let id = &self.frameworks[framework as usize];
        self.offers.retain(|_, offer| offer.allocation.framework != *id);
        self.allocator.remove_framework(id);
    }
}

/// What operations leave of an offer, and what they convert into what; `None` when one of them can't be.
fn apply(offered: &Resources, operations: &[Operation]) -> Option<(Resources, Vec<(Resources, Resources)>)> {
    let (mut rest, mut conversions) = (offered.clone(), Vec::new());
    for operation in operations {
        let (from, into) = match operation {
            Operation::Reserve { resources, reservation } => {
                (resources.clone(), resources.to_reserved(reservation).ok()?)
            }
            Operation::Unreserve { resources } => (resources.clone(), resources.pop_reservation().ok()?),
            Operation::CreateVolumes { volumes } => (volumes.without_volumes().ok()?, volumes.clone()),
            Operation::DestroyVolumes { volumes } => (volumes.clone(), volumes.without_volumes().ok()?),
            Operation::Launch(_) | Operation::LaunchGroup(_) => {
                for task in operation.tasks() {
                    rest.try_subtract(&task.resources).ok()?;
                }
                continue;
            }
        };
        rest.try_subtract(&from).ok()?;
        rest += &into;
        conversions.push((from, into));
    }
    Some((rest, conversions))
}

fn into_tasks(operation: Operation) -> Vec<TaskInfo> {
    match operation {
        Operation::Launch(task) => vec![task],
        Operation::LaunchGroup(tasks) => tasks,
        Operation::Reserve { .. }
        | Operation::Unreserve { .. }
        | Operation::CreateVolumes { .. }
        | Operation::DestroyVolumes { .. } => Vec::new(),
    }
}

/// An update that nobody waits to be acknowledged.
fn unnumbered(status: TaskStatus) -> TaskStatus {
    TaskStatus { number: None, ..status }
}

/// What is said of a task that nobody knows.
fn unknown(task: TaskId, now: Time) -> TaskStatus {
    TaskStatus::new(task, TaskState::Unknown, now)
        .because(Reason::Reconciliation, "the master does not know this task")
}
