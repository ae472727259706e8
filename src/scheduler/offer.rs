//! Offers, as schedulers hold them: used once, in one place.

use std::borrow::Cow;
use std::time::Duration;

use super::TaskRequest;
use crate::protocol::framework::DEFAULT_REFUSE;
use crate::protocol::{
    AgentId, Attributes, ExecutorId, ExecutorInfo, OfferId, OfferInfo, OfferMode, OfferSetId, Operation,
    TaskInfo, Unavailability, Work,
};
use crate::resources::{InsufficientResources, Reservation, ReservationError, Resources, Role, VolumeError};
use crate::time::Time;

/// The longest time for which an offer can be held from when it was made.
pub const MAX_HOLD: Duration = Duration::from_secs(60);

/// Why an operation can't go on an offer. The offer is as it was.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum OfferError {
    /// It needs more than what is left of the offer.
    #[error(transparent)]
    Insufficient(#[from] InsufficientResources),
    /// The resources can't be reserved or unreserved like this.
    #[error(transparent)]
    Reservation(#[from] ReservationError),
    /// Volumes can't be made or destroyed like this.
    #[error(transparent)]
    Volume(#[from] VolumeError),
}

/// Resources of one agent, offered to the framework.
///
/// An offer is an affine value: it can't be cloned, and it ends in exactly one way. What [`launch`](Offer::launch) and the
/// other operations leave of it is declined when the callback returns, unless the offer is [held](Offer::hold_until).
#[derive(Debug)]
pub struct Offer {
    info: OfferInfo,
    remaining: Resources,
    operations: Vec<Operation>,
    executors: Vec<ExecutorId>,
    refuse: Duration,
    held_until: Option<Time>,
}

impl Offer {
    pub(crate) fn new(info: OfferInfo) -> Self {
        let remaining = info.resources.clone();
        Offer {
            info,
            remaining,
            operations: Vec::new(),
            executors: Vec::new(),
            refuse: DEFAULT_REFUSE,
            held_until: None,
        }
    }

    /// The offer's id.
    pub fn id(&self) -> OfferId {
        self.info.id
    }

    /// The agent that has the resources.
    pub fn agent(&self) -> &AgentId {
        &self.info.agent
    }

    /// The agent's machine.
    pub fn hostname(&self) -> &str {
        &self.info.hostname
    }

    /// The agent's attributes.
    pub fn attributes(&self) -> &Attributes {
        &self.info.attributes
    }

    /// When the agent will be away, if it is known to be.
    pub fn unavailability(&self) -> Option<Unavailability> {
        self.info.unavailability
    }

    /// The role that the resources count for.
    pub fn role(&self) -> &Role {
        &self.info.role
    }

    /// Whether the resources are the framework's until it answers, or others may be offered them too.
    pub fn mode(&self) -> OfferMode {
        self.info.mode
    }

    /// The offers for a gang that it belongs to. They come together; a scheduler launches on all of them or on none, since what it
    /// does in part is refused.
    pub fn set(&self) -> Option<OfferSetId> {
        self.info.set
    }

    /// What is left of the offer.
    pub fn remaining(&self) -> &Resources {
        &self.remaining
    }

    /// Runs a task on the offer.
    ///
    /// # Errors
    /// When the task, with the executor of its own that it starts, takes more than what is left; it is then not launched.
    pub fn launch(&mut self, task: TaskInfo) -> Result<(), OfferError> {
        self.take(std::iter::once(&task))?;
        self.operations.push(Operation::Launch(task));
        Ok(())
    }

    /// Runs tasks together on the offer: all of them or none.
    ///
    /// # Errors
    /// When they take more than what is left; none is then launched.
    pub fn launch_group(&mut self, tasks: Vec<TaskInfo>) -> Result<(), OfferError> {
        self.take(tasks.iter())?;
        self.operations.push(Operation::LaunchGroup(tasks));
        Ok(())
    }

    /// Sets resources of the offer aside for a role.
    ///
    /// # Errors
    /// When the offer does not have them, or they can't be reserved like this.
    pub fn reserve(&mut self, resources: Resources, reservation: Reservation) -> Result<(), OfferError> {
        let reserved = resources.to_reserved(&reservation)?;
        self.remaining.try_subtract(&resources)?;
        self.remaining += &reserved;
        self.operations.push(Operation::Reserve { resources, reservation });
        Ok(())
    }

    /// Takes the top reservation off resources of the offer.
    ///
    /// # Errors
    /// When the offer does not have them, or they are not dynamically reserved.
    pub fn unreserve(&mut self, resources: Resources) -> Result<(), OfferError> {
        let unreserved = resources.pop_reservation()?;
        self.remaining.try_subtract(&resources)?;
        self.remaining += &unreserved;
        self.operations.push(Operation::Unreserve { resources });
        Ok(())
    }

    /// Makes persistent volumes of reserved disk of the offer. Tasks launched on it can use them at once.
    ///
    /// # Errors
    /// When the offer does not have the disk, or any of these is no volume.
    pub fn create_volumes(&mut self, volumes: Resources) -> Result<(), OfferError> {
        let disk = volumes.without_volumes()?;
        self.remaining.try_subtract(&disk)?;
        self.remaining += &volumes;
        self.operations.push(Operation::CreateVolumes { volumes });
        Ok(())
    }

    /// Turns persistent volumes of the offer back into disk. What is in them is lost.
    ///
    /// # Errors
    /// When the offer does not have them, or any of these is no volume.
    pub fn destroy_volumes(&mut self, volumes: Resources) -> Result<(), OfferError> {
        let disk = volumes.without_volumes()?;
        self.remaining.try_subtract(&volumes)?;
        self.remaining += &disk;
        self.operations.push(Operation::DestroyVolumes { volumes });
        Ok(())
    }

    /// Declines what is left for so long, instead of [`DEFAULT_REFUSE`].
    pub fn refuse_for(&mut self, refuse: Duration) {
        self.refuse = refuse;
    }

    /// Keeps the offer: it is shown again with later offers, and declined at `until` (at most [`MAX_HOLD`] after it was
    /// made). Holding it again moves that time; until now lets it go. An offer with operations is not held.
    pub fn hold_until(&mut self, until: Time) {
        self.held_until = Some(until);
    }

    /// The concrete resources that serve a request, if it and its executor fit in what is left.
    pub(crate) fn find(&self, request: &TaskRequest) -> Option<Resources> {
        self.with_executor(request, self.remaining.find_shape(&request.shape, &request.role)?)
    }

    /// As [`Offer::find`], with these shared GPUs.
    pub(crate) fn find_on(&self, request: &TaskRequest, devices: &[usize]) -> Option<Resources> {
        self.with_executor(request, self.remaining.find_shape_on(&request.shape, &request.role, devices)?)
    }

    /// What was found for a task, if its executor fits too.
    fn with_executor(&self, request: &TaskRequest, found: Resources) -> Option<Resources> {
        match self.new_executor(&request.work) {
            Some(executor) => {
                self.remaining.contains(&(found.clone() + &executor.resources)).then_some(found)
            }
            None => Some(found),
        }
    }

    /// Takes what tasks need, and their executors: whether those run on the agent already is not known here, so there has
    /// to be room for them.
    fn take<'a>(&mut self, tasks: impl Iterator<Item = &'a TaskInfo>) -> Result<(), OfferError> {
        let mut wanted: Cow<'_, Resources> = Cow::Owned(Resources::new());
        let mut executors: Vec<&ExecutorInfo> = Vec::new();
        for task in tasks {
            if wanted.is_empty() {
                wanted = Cow::Borrowed(&task.resources);
            } else {
                *wanted.to_mut() += &task.resources;
            }
            if let Some(executor) = self.new_executor(&task.work)
                && !executors.iter().any(|known| known.id == executor.id)
            {
                *wanted.to_mut() += &executor.resources;
                executors.push(executor);
            }
        }
        self.remaining.try_subtract(&wanted)?;
        self.executors.extend(executors.into_iter().map(|executor| executor.id.clone()));
        Ok(())
    }

    /// The executor of a task, if it takes anything, unless a task of this offer starts it already.
    fn new_executor<'a>(&self, work: &'a Work) -> Option<&'a ExecutorInfo> {
        match work {
            Work::Custom { executor, .. }
                if !executor.resources.is_empty() && !self.executors.contains(&executor.id) =>
            {
                Some(executor)
            }
            _ => None,
        }
    }

    /// The same offer as it was made.
    pub(crate) fn anew(&self) -> Offer {
        Offer::new(self.info.clone())
    }

    pub(crate) fn held_until(&self) -> Option<Time> {
        self.held_until
    }

    /// How many tasks are launched on it.
    pub(crate) fn launched(&self) -> usize {
        self.operations.iter().map(|operation| operation.tasks().len()).sum()
    }

    /// Whether anything is done with it: tasks are launched on it, or another operation is.
    pub fn is_used(&self) -> bool {
        !self.operations.is_empty()
    }

    /// The offer's end: its operations, and how long the rest is refused.
    pub(crate) fn resolve(self) -> (OfferId, Vec<Operation>, Duration) {
        (self.info.id, self.operations, self.refuse)
    }
}
