//! Operations on offers, validated and applied atomically.

use std::collections::BTreeSet;
use std::time::Duration;

use rustc_hash::FxHashSet;

use super::frameworks::{Framework, UNACKNOWLEDGED_ENDS};
use super::machine::{Master, Output};
use super::offers::Offer;
use super::tasks::Task;
use crate::allocator::{Allocation, ClaimError};
use crate::protocol::codec::encoded_len;
use crate::protocol::framework::MAX_REFUSE;
use crate::protocol::rules::Denied;
use crate::protocol::{
    Action, AgentEvent, AgentId, Conflict, ConnectionId, ExecutorId, FrameworkId, MAX_TASK_BYTES, OfferId,
    OfferMode, OfferSetId, Operation, Reason, SchedulerEvent, TaskId, TaskInfo, TaskState, TaskStatus, Work,
};
use crate::resources::{InsufficientResources, ReservationError, Resources, Role, VolumeError, VolumeName};
use crate::time::Time;

/// Why an accept can't be applied.
#[derive(Debug, thiserror::Error)]
enum AcceptError {
    #[error("no offer was named")]
    NoOffer,
    #[error("offer {0} is not valid any more")]
    InvalidOffer(OfferId),
    #[error("the offers are of several agents or roles")]
    MixedOffers,
    #[error("offer {offer} belongs to set {set}, which is accepted or declined whole: accept it as a set")]
    PartOfSet { offer: OfferId, set: OfferSetId },
    #[error("set {0} is accepted whole: each of its offers has to be named, once")]
    PartialSet(OfferSetId),
    #[error("set {set} is accepted whole, but no task is launched on offer {offer} of it")]
    UnusedOffer { set: OfferSetId, offer: OfferId },
    #[error("agent {0} is not connected")]
    AgentNotConnected(AgentId),
    #[error("task {0} asks for no resources")]
    NoResources(TaskId),
    #[error("task {task} takes {bytes} bytes, and may take {MAX_TASK_BYTES}: have it fetch what is large")]
    TooManyBytes { task: TaskId, bytes: usize },
    #[error("task id {0} is in use")]
    DuplicateTask(TaskId),
    #[error("task {task} does not fit in what is left of the offer: {error}")]
    TaskTooLarge { task: TaskId, error: InsufficientResources },
    #[error("the executor of task {task} does not fit in what is left of the offer: {error}")]
    ExecutorTooLarge { task: TaskId, error: InsufficientResources },
    #[error("the offer does not hold what is to be (un)reserved: {0}")]
    NotOffered(InsufficientResources),
    #[error(transparent)]
    Reservation(#[from] ReservationError),
    #[error(transparent)]
    Volume(#[from] VolumeError),
    #[error("the offer does not hold what the volumes are made of, or are: {0}")]
    NoDisk(InsufficientResources),
    #[error("the ends of more than {UNACKNOWLEDGED_ENDS} tasks wait for the framework's acknowledgement")]
    Unacknowledged,
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error(transparent)]
    Conflict(#[from] ClaimError),
}

impl AcceptError {
    /// The state in which it leaves a task.
    fn verdict(&self) -> (TaskState, Reason) {
        match self {
            AcceptError::NoOffer
            | AcceptError::InvalidOffer(_)
            | AcceptError::MixedOffers
            | AcceptError::PartOfSet { .. }
            | AcceptError::PartialSet(_)
            | AcceptError::UnusedOffer { .. }
            | AcceptError::AgentNotConnected(_) => (TaskState::Dropped, Reason::InvalidOffer),
            AcceptError::Unacknowledged => (TaskState::Dropped, Reason::Unacknowledged),
            _ => (TaskState::Error, Reason::Invalid),
        }
    }
}

/// What a valid accept does.
#[derive(Default)]
struct Effects {
    conversions: Vec<(Resources, Resources)>,
    /// Volumes that are no more.
    destroyed: Vec<VolumeName>,
    executors: Vec<(ExecutorId, Resources)>,
    remaining: Resources,
}

/// The offers of an accept, taken together.
struct Pooled {
    offers: Vec<OfferId>,
    role: Role,
    agent: AgentId,
    connection: ConnectionId,
    resources: Resources,
    /// The part of it that is the framework's only once it is claimed.
    optimistic: Resources,
    /// How long the rest is not wanted.
    refuse: Duration,
}

impl Master {
    pub(super) fn accept(
        &mut self,
        now: Time,
        framework: &FrameworkId,
        offers: &[OfferId],
        operations: Vec<Operation>,
        refuse: Duration,
        out: &mut Vec<Output>,
    ) {
        let refuse = refuse.min(MAX_REFUSE);
        let outcome = self.pool(framework, offers, refuse).and_then(|pooled| {
            self.refuse_parts(offers)?;
            self.demand_acknowledgements(framework)?;
            let mut effects = self.validate(framework, &pooled, &operations, &mut FxHashSet::default())?;
            self.claim(now, framework, &pooled, &mut effects)?;
            Ok((pooled, effects))
        });
        match outcome {
            Ok((pooled, effects)) => {
                self.carry_out(now, framework, &pooled, effects, operations, out);
            }
            Err(AcceptError::Conflict(ClaimError { agent, gone })) => {
                for id in offers {
                    if let Some(offer) = self.take_offer(framework, *id) {
                        self.give_back(now, &offer, None);
                    }
                }
                let tasks =
                    operations.iter().flat_map(Operation::tasks).map(|task| task.id.clone()).collect();
                tracing::debug!(%framework, %agent, %gone, "an accept came too late");
                let conflict = Conflict { offers: offers.to_vec(), agent, gone, tasks };
                self.tell(framework, SchedulerEvent::Conflict(conflict), out);
            }
            Err(error) => {
                self.decline(now, framework, offers, refuse);
                self.reject(now, framework, &operations, &error, out);
            }
        }
    }

    /// Accepts all offers of a set, or none of them.
    pub(super) fn accept_set(
        &mut self,
        now: Time,
        framework: &FrameworkId,
        set: OfferSetId,
        parts: Vec<(OfferId, Vec<Operation>)>,
        refuse: Duration,
        out: &mut Vec<Output>,
    ) {
        let refuse = refuse.min(MAX_REFUSE);
        let valid = self
            .demand_acknowledgements(framework)
            .and_then(|()| self.validate_set(framework, set, &parts, refuse));
        match valid {
            Ok(valid) => {
                for ((_, operations), (pooled, effects)) in parts.into_iter().zip(valid) {
                    self.carry_out(now, framework, &pooled, effects, operations, out);
                }
            }
            Err(error) => {
                let (offers, operations): (Vec<OfferId>, Vec<Vec<Operation>>) = parts.into_iter().unzip();
                self.decline(now, framework, &offers, refuse);
                self.reject(now, framework, &operations.concat(), &error, out);
            }
        }
    }

    fn validate_set(
        &self,
        framework: &FrameworkId,
        set: OfferSetId,
        parts: &[(OfferId, Vec<Operation>)],
        refuse: Duration,
    ) -> Result<Vec<(Pooled, Effects)>, AcceptError> {
        let mut named: Vec<OfferId> = parts.iter().map(|(offer, _)| *offer).collect();
        named.sort_unstable();
        let valid = parts.iter().map(|(offer, _)| self.pool(framework, &[*offer], refuse));
        let valid = valid.collect::<Result<Vec<_>, _>>()?;
        if named != self.offers.of_set(set) {
            return Err(AcceptError::PartialSet(set));
        }
        let mut tasks = FxHashSet::default();
        let valid = parts.iter().zip(valid).map(|((offer, operations), pooled)| {
            if operations.iter().all(|operation| operation.tasks().is_empty()) {
                return Err(AcceptError::UnusedOffer { set, offer: *offer });
            }
            let effects = self.validate(framework, &pooled, operations, &mut tasks)?;
            Ok((pooled, effects))
        });
        valid.collect()
    }

    fn demand_acknowledgements(&mut self, framework: &FrameworkId) -> Result<(), AcceptError> {
        let owes = self.frameworks.get_mut(framework).is_some_and(Framework::owes_acknowledgements);
        if owes { Err(AcceptError::Unacknowledged) } else { Ok(()) }
    }

    /// An offer of a set is not accepted without the others.
    fn refuse_parts(&self, offers: &[OfferId]) -> Result<(), AcceptError> {
        let set_of = |offer: &OfferId| Some((*offer, self.offers.get(*offer)?.set?));
        match offers.iter().find_map(set_of) {
            Some((offer, set)) => Err(AcceptError::PartOfSet { offer, set }),
            None => Ok(()),
        }
    }

    /// Does what was found valid.
    fn carry_out(
        &mut self,
        now: Time,
        framework: &FrameworkId,
        pooled: &Pooled,
        effects: Effects,
        operations: Vec<Operation>,
        out: &mut Vec<Output>,
    ) {
        for id in &pooled.offers {
            self.take_offer(framework, *id);
        }
        if !effects.destroyed.is_empty() {
            // Others may have been offered copies of shared ones.
            self.rescind_agent(now, &pooled.agent, out);
        }
        self.apply(framework, pooled, effects.conversions, effects.executors);
        if !effects.destroyed.is_empty() {
            self.keep_volumes(&pooled.agent, &effects.destroyed, out);
        }
        self.launch(now, framework, pooled, operations, out);
        if !effects.remaining.is_empty() {
            let rest = pooled.part(framework, effects.remaining);
            self.allocator.recover(now, &rest, Some(pooled.refuse));
        }
    }

    fn pool(
        &self,
        framework: &FrameworkId,
        offers: &[OfferId],
        refuse: Duration,
    ) -> Result<Pooled, AcceptError> {
        let mut pooled: Option<Pooled> = None;
        let mut seen = FxHashSet::default();
        for id in offers {
            let Offer { allocation: offer, mode, .. } = self
                .offers
                .get(*id)
                .filter(|offer| offer.allocation.framework == *framework && seen.insert(*id))
                .ok_or(AcceptError::InvalidOffer(*id))?;
            match &mut pooled {
                None => {
                    let agent = &offer.agent;
                    let connection = self
                        .agents
                        .get(agent)
                        .and_then(|agent| agent.connection)
                        .ok_or_else(|| AcceptError::AgentNotConnected(agent.clone()))?;
                    pooled = Some(Pooled {
                        offers: offers.to_vec(),
                        role: offer.role.clone(),
                        agent: agent.clone(),
                        connection,
                        resources: offer.resources.clone(),
                        optimistic: Resources::new(),
                        refuse,
                    });
                }
                Some(pooled) if pooled.agent == offer.agent && pooled.role == offer.role => {
                    pooled.resources += &offer.resources;
                }
                Some(_) => return Err(AcceptError::MixedOffers),
            }
            if let (Some(pooled), OfferMode::Optimistic) = (&mut pooled, mode) {
                pooled.optimistic += &offer.resources;
            }
        }
        pooled.ok_or(AcceptError::NoOffer)
    }

    /// Applies the operations to the offered resources on paper, in order.
    fn validate<'a>(
        &self,
        framework: &FrameworkId,
        pooled: &Pooled,
        operations: &'a [Operation],
        ids: &mut FxHashSet<&'a TaskId>,
    ) -> Result<Effects, AcceptError> {
        let mut effects = Effects { remaining: pooled.resources.clone(), ..Effects::default() };
        for operation in operations {
            match operation {
                Operation::Launch(task) => {
                    self.validate_task(framework, pooled, task, ids, &mut effects)?;
                }
                Operation::LaunchGroup(tasks) => {
                    for task in tasks {
                        self.validate_task(framework, pooled, task, ids, &mut effects)?;
                    }
                }
                Operation::Reserve { resources, reservation } => {
                    self.permit_framework(framework, Action::Reserve, &reservation.role)?;
                    let reserved = resources.to_reserved(reservation)?;
                    effects.convert(resources, reserved).map_err(AcceptError::NotOffered)?;
                }
                Operation::Unreserve { resources } => {
                    self.permit_framework(framework, Action::Reserve, &pooled.role)?;
                    let unreserved = resources.pop_reservation()?;
                    effects.convert(resources, unreserved).map_err(AcceptError::NotOffered)?;
                }
                Operation::CreateVolumes { volumes } => {
                    self.permit_framework(framework, Action::Reserve, &pooled.role)?;
                    self.check_new(pooled, volumes, &effects)?;
                    let disk = volumes.without_volumes()?;
                    effects.convert(&disk, volumes.clone()).map_err(AcceptError::NoDisk)?;
                }
                Operation::DestroyVolumes { volumes } => {
                    self.permit_framework(framework, Action::Reserve, &pooled.role)?;
                    self.check_unused(pooled, volumes)?;
                    let disk = volumes.without_volumes()?;
                    effects.convert(volumes, disk).map_err(AcceptError::NoDisk)?;
                    effects.destroyed.extend(volumes.volume_names());
                }
            }
        }
        Ok(effects)
    }

    /// No other volume on the agent may have the name of one that is made.
    fn check_new(&self, pooled: &Pooled, volumes: &Resources, effects: &Effects) -> Result<(), VolumeError> {
        let there = self.agents.get(&pooled.agent).map(|agent| &agent.info.resources);
        let mut taken: BTreeSet<VolumeName> = there.into_iter().flat_map(Resources::volume_names).collect();
        taken.extend(effects.conversions.iter().flat_map(|(_, into)| into.volume_names()));
        taken.retain(|name| !effects.destroyed.contains(name));
        match volumes.volume_names().find(|name| !taken.insert(name.clone())) {
            Some(name) => Err(VolumeError::Exists { name }),
            None => Ok(()),
        }
    }

    /// Copies of shared volumes may be in use elsewhere.
    fn check_unused(&self, pooled: &Pooled, volumes: &Resources) -> Result<(), VolumeError> {
        let agent = self.agents.get(&pooled.agent);
        let tasks = agent.into_iter().flat_map(|agent| &agent.tasks);
        let infos = tasks.filter_map(|(framework, task)| self.frameworks.get(framework)?.tasks.get(task));
        let used: BTreeSet<VolumeName> = infos.flat_map(|task| task.info.resources.volume_names()).collect();
        match volumes.volume_names().find(|name| used.contains(name)) {
            Some(name) => Err(VolumeError::InUse { name }),
            None => Ok(()),
        }
    }

    /// Claims what the operations use of optimistic offers, and gives the rest of these back, so that only what is allocated
    /// remains.
    fn claim(
        &mut self,
        now: Time,
        framework: &FrameworkId,
        pooled: &Pooled,
        effects: &mut Effects,
    ) -> Result<(), AcceptError> {
        if pooled.optimistic.is_empty() {
            return Ok(());
        }
        let exclusive = pooled.resources.minus_clamped(&pooled.optimistic);
        let used = pooled.resources.minus_clamped(&effects.remaining);
        let claimed = used.minus_clamped(&exclusive);
        let unclaimed = pooled.optimistic.minus_clamped(&claimed);
        if !claimed.is_empty() {
            self.allocator.claim(&pooled.part(framework, claimed))?;
        }
        effects.remaining = effects.remaining.minus_clamped(&unclaimed);
        if !unclaimed.is_empty() {
            self.allocator.withdraw(now, &pooled.part(framework, unclaimed), Some(pooled.refuse));
        }
        Ok(())
    }

    fn validate_task<'a>(
        &self,
        framework: &FrameworkId,
        pooled: &Pooled,
        task: &'a TaskInfo,
        ids: &mut FxHashSet<&'a TaskId>,
        effects: &mut Effects,
    ) -> Result<(), AcceptError> {
        if task.resources.is_empty() {
            return Err(AcceptError::NoResources(task.id.clone()));
        }
        let bytes = encoded_len(task).unwrap_or(usize::MAX);
        if bytes > MAX_TASK_BYTES {
            return Err(AcceptError::TooManyBytes { task: task.id.clone(), bytes });
        }
        if matches!(&task.work, Work::Command(command) if command.user.is_some()) {
            self.permit_framework(framework, Action::RunAs, &pooled.role)?;
        }
        let known = self.frameworks.get(framework).is_some_and(|known| known.tasks.contains_key(&task.id));
        if known || !ids.insert(&task.id) {
            return Err(AcceptError::DuplicateTask(task.id.clone()));
        }
        effects
            .remaining
            .try_subtract(&task.resources)
            .map_err(|error| AcceptError::TaskTooLarge { task: task.id.clone(), error })?;
        let Work::Custom { executor, .. } = &task.work else { return Ok(()) };
        let runs = self
            .agents
            .get(&pooled.agent)
            .is_some_and(|agent| agent.executors.contains_key(&(framework.clone(), executor.id.clone())));
        if runs || effects.executors.iter().any(|(id, _)| *id == executor.id) {
            return Ok(());
        }
        effects
            .remaining
            .try_subtract(&executor.resources)
            .map_err(|error| AcceptError::ExecutorTooLarge { task: task.id.clone(), error })?;
        effects.executors.push((executor.id.clone(), executor.resources.clone()));
        Ok(())
    }

    fn apply(
        &mut self,
        framework: &FrameworkId,
        pooled: &Pooled,
        conversions: Vec<(Resources, Resources)>,
        executors: Vec<(ExecutorId, Resources)>,
    ) {
        let Pooled { role, agent: agent_id, .. } = pooled;
        let Some(agent) = self.agents.get_mut(agent_id) else { return };
        let are_reservations_changed = !conversions.is_empty();
        for (from, into) in conversions {
            if agent.info.resources.try_subtract(&from).is_ok() {
                agent.info.resources += &into;
            }
            self.allocator.convert(&pooled.part(framework, from), &into);
        }
        for (executor, resources) in executors {
            agent.executors.insert((framework.clone(), executor), (role.clone(), resources));
        }
        if are_reservations_changed {
            self.record_agent(agent_id);
        }
    }

    fn launch(
        &mut self,
        now: Time,
        framework_id: &FrameworkId,
        pooled: &Pooled,
        operations: Vec<Operation>,
        out: &mut Vec<Output>,
    ) {
        let Pooled { role, agent: agent_id, connection, .. } = pooled;
        let (Some(framework), Some(agent)) =
            (self.frameworks.get_mut(framework_id), self.agents.get_mut(agent_id))
        else {
            return;
        };
        for operation in operations {
            let tasks = match operation {
                Operation::Launch(task) => vec![task],
                Operation::LaunchGroup(tasks) => tasks,
                Operation::Reserve { .. }
                | Operation::Unreserve { .. }
                | Operation::CreateVolumes { .. }
                | Operation::DestroyVolumes { .. } => continue,
            };
            for task in &tasks {
                let status = TaskStatus::new(task.id.clone(), TaskState::Staging, now);
                agent.tasks.insert((framework_id.clone(), task.id.clone()));
                let record = Task::new(task.clone(), role.clone(), agent_id.clone(), status);
                framework.tasks.insert(task.id.clone(), record);
            }
            let event = AgentEvent::Launch { framework: framework_id.clone(), role: role.clone(), tasks };
            out.push(Output::ToAgent { connection: *connection, event });
        }
    }

    /// Answers each task of an accept that can't be applied.
    fn reject(
        &mut self,
        now: Time,
        framework: &FrameworkId,
        operations: &[Operation],
        error: &AcceptError,
        out: &mut Vec<Output>,
    ) {
        let (state, reason) = error.verdict();
        let message = error.to_string();
        tracing::debug!(%framework, %message, "accept refused");
        let mut told = false;
        for task in operations.iter().flat_map(Operation::tasks) {
            let status =
                TaskStatus::new(task.id.clone(), state, now).because(reason.clone(), message.clone());
            self.tell(framework, SchedulerEvent::Update(status), out);
            told = true;
        }
        if !told {
            self.tell(framework, SchedulerEvent::Error(message), out);
        }
    }
}

impl Pooled {
    /// Part of the offers, as the allocator knows it.
    fn part(&self, framework: &FrameworkId, resources: Resources) -> Allocation {
        let (role, agent) = (self.role.clone(), self.agent.clone());
        Allocation { framework: framework.clone(), role, agent, resources }
    }
}

impl Effects {
    fn convert(&mut self, from: &Resources, into: Resources) -> Result<(), InsufficientResources> {
        self.remaining.try_subtract(from)?;
        self.remaining += &into;
        self.conversions.push((from.clone(), into));
        Ok(())
    }
}
