//! Operations on offers, validated and applied atomically.

use std::time::Duration;

use rustc_hash::FxHashSet;

use super::machine::{Master, Output};
use super::tasks::Task;
use crate::allocator::Allocation;
use crate::protocol::framework::MAX_REFUSE;
use crate::protocol::rules::Denied;
use crate::protocol::{
    Action, AgentEvent, AgentId, ConnectionId, ExecutorId, FrameworkId, OfferId, Operation, Reason,
    SchedulerEvent, TaskId, TaskInfo, TaskState, TaskStatus, Work,
};
use crate::resources::{InsufficientResources, ReservationError, Resources, Role};
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
    #[error("agent {0} is not connected")]
    AgentNotConnected(AgentId),
    #[error("task {0} asks for no resources")]
    NoResources(TaskId),
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
    Denied(#[from] Denied),
}

impl AcceptError {
    /// The state in which it leaves a task.
    fn verdict(&self) -> (TaskState, Reason) {
        match self {
            AcceptError::NoOffer
            | AcceptError::InvalidOffer(_)
            | AcceptError::MixedOffers
            | AcceptError::AgentNotConnected(_) => (TaskState::Dropped, Reason::InvalidOffer),
            _ => (TaskState::Error, Reason::Invalid),
        }
    }
}

/// What a valid accept does.
#[derive(Default)]
struct Effects {
    conversions: Vec<(Resources, Resources)>,
    executors: Vec<(ExecutorId, Resources)>,
    remaining: Resources,
}

/// The offers of an accept, taken together.
struct Pooled {
    role: Role,
    agent: AgentId,
    connection: ConnectionId,
    resources: Resources,
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
        let outcome = self.pool(framework, offers).and_then(|pooled| {
            self.validate(framework, &pooled, &operations).map(|effects| (pooled, effects))
        });
        match outcome {
            Ok((pooled, effects)) => {
                for id in offers {
                    self.take_offer(framework, *id);
                }
                self.apply(framework, &pooled, effects.conversions, effects.executors);
                self.launch(now, framework, &pooled, operations, out);
                let Pooled { role, agent, .. } = pooled;
                let rest =
                    Allocation { framework: framework.clone(), role, agent, resources: effects.remaining };
                if !rest.resources.is_empty() {
                    self.allocator.recover(now, &rest, Some(refuse.min(MAX_REFUSE)));
                }
            }
            Err(error) => {
                self.decline(now, framework, offers, refuse);
                self.reject(now, framework, operations, &error, out);
            }
        }
    }

    fn pool(&self, framework: &FrameworkId, offers: &[OfferId]) -> Result<Pooled, AcceptError> {
        let mut pooled: Option<Pooled> = None;
        let mut seen = FxHashSet::default();
        for id in offers {
            let offer = self
                .offers
                .get(*id)
                .filter(|offer| offer.framework == *framework && seen.insert(*id))
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
                        role: offer.role.clone(),
                        agent: agent.clone(),
                        connection,
                        resources: offer.resources.clone(),
                    });
                }
                Some(pooled) if pooled.agent == offer.agent && pooled.role == offer.role => {
                    pooled.resources += &offer.resources;
                }
                Some(_) => return Err(AcceptError::MixedOffers),
            }
        }
        pooled.ok_or(AcceptError::NoOffer)
    }

    /// Applies the operations to the offered resources on paper, in order.
    fn validate(
        &self,
        framework: &FrameworkId,
        pooled: &Pooled,
        operations: &[Operation],
    ) -> Result<Effects, AcceptError> {
        let mut effects = Effects { remaining: pooled.resources.clone(), ..Effects::default() };
        let mut ids = FxHashSet::default();
        for operation in operations {
            match operation {
                Operation::Launch(task) => {
                    self.validate_task(framework, pooled, task, &mut ids, &mut effects)?;
                }
                Operation::LaunchGroup(tasks) => {
                    for task in tasks {
                        self.validate_task(framework, pooled, task, &mut ids, &mut effects)?;
                    }
                }
                Operation::Reserve { resources, reservation } => {
                    self.permit_framework(framework, Action::Reserve, &reservation.role)?;
                    effects.convert(resources, resources.to_reserved(reservation)?)?;
                }
                Operation::Unreserve { resources } => {
                    self.permit_framework(framework, Action::Reserve, &pooled.role)?;
                    effects.convert(resources, resources.pop_reservation()?)?;
                }
            }
        }
        Ok(effects)
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
            let allocation = Allocation {
                framework: framework.clone(),
                role: role.clone(),
                agent: agent_id.clone(),
                resources: from,
            };
            self.allocator.convert(&allocation, &into);
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
                Operation::Reserve { .. } | Operation::Unreserve { .. } => continue,
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
        operations: Vec<Operation>,
        error: &AcceptError,
        out: &mut Vec<Output>,
    ) {
        let (state, reason) = error.verdict();
        let message = error.to_string();
        tracing::debug!(%framework, %message, "accept refused");
        let mut told = false;
        for operation in operations {
            let tasks = match operation {
                Operation::Launch(task) => vec![task],
                Operation::LaunchGroup(tasks) => tasks,
                Operation::Reserve { .. } | Operation::Unreserve { .. } => Vec::new(),
            };
            for task in tasks {
                let status = TaskStatus::new(task.id, state, now).because(reason.clone(), message.clone());
                self.tell(framework, SchedulerEvent::Update(status), out);
                told = true;
            }
        }
        if !told {
            self.tell(framework, SchedulerEvent::Error(message), out);
        }
    }
}

impl Effects {
    fn convert(&mut self, from: &Resources, into: Resources) -> Result<(), AcceptError> {
        self.remaining.try_subtract(from).map_err(AcceptError::NotOffered)?;
        self.remaining += &into;
        self.conversions.push((from.clone(), into));
        Ok(())
    }
}
