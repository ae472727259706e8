//! Schedulers and the master: what a framework says, and what it is told.
//!
//! The names follow the calls and events of Mesos' v1 scheduler API.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::agent::{Attributes, FaultDomain};
use super::capability::Capabilities;
use super::constraints::OfferConstraints;
use super::demand::DemandGroup;
use super::epoch::Epoch;
use super::explanation::Explanation;
use super::ids::{AgentId, ExecutorId, FrameworkId, OfferId, OfferSetId, RequestId, TaskId};
use super::maintenance::{InverseOfferInfo, Unavailability};
use super::task::{StopPolicy, TaskInfo, TaskStatus, UpdateNumber};
use crate::resources::{Quantities, Reservation, Resources, Role};
use crate::time::Time;

/// For how long declined resources are not offered to the same framework and role again, unless it says otherwise.
pub const DEFAULT_REFUSE: Duration = Duration::from_secs(5);

/// The longest time for which an offer can be refused; longer ones are cut to it.
pub const MAX_REFUSE: Duration = Duration::from_secs(365 * 24 * 3600);

/// A framework, as it introduces itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FrameworkInfo {
    /// For people. Its id is the name in its certificate.
    pub name: String,
    /// The roles whose share of the cluster it uses. At least one.
    pub roles: Vec<Role>,
    /// How long its tasks are kept after its scheduler is gone. With zero they end with it.
    pub failover_timeout: Duration,
    /// Free-form marks.
    pub labels: BTreeMap<String, String>,
    /// What it can deal with; it is offered nothing else.
    pub capabilities: Capabilities,
    /// Per role: one of these amounts suffices for an offer, instead of the cluster's. An empty list: anything does.
    pub min_allocatable: BTreeMap<Role, Vec<Quantities>>,
    /// Per role: of which agents offers are wanted; all, where none are given.
    pub constraints: BTreeMap<Role, OfferConstraints>,
}

impl FrameworkInfo {
    /// A framework with one role and the [usual](Capabilities::USUAL) capabilities, whose tasks end with its scheduler.
    pub fn new(name: impl Into<String>, role: Role) -> Self {
        FrameworkInfo {
            name: name.into(),
            roles: vec![role],
            failover_timeout: Duration::ZERO,
            labels: BTreeMap::new(),
            capabilities: Capabilities::USUAL,
            min_allocatable: BTreeMap::new(),
            constraints: BTreeMap::new(),
        }
    }

    /// The same framework, whose tasks are kept for `timeout` after its scheduler is gone.
    pub fn with_failover_timeout(mut self, timeout: Duration) -> Self {
        self.failover_timeout = timeout;
        self
    }
}

/// How the resources of a role are offered: a setting of operators, per role.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OfferMode {
    /// To one framework at a time, whose they are until it answers.
    #[default]
    Exclusive,
    /// To several at once: the first that accepts gets them, and the others are told of the [`Conflict`] when they accept.
    Optimistic,
}

impl fmt::Display for OfferMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            OfferMode::Exclusive => "exclusive",
            OfferMode::Optimistic => "optimistic",
        })
    }
}

/// An accept of [optimistic](OfferMode::Optimistic) offers came too late: nothing of it was done. What is left is offered
/// again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Conflict {
    /// The offers of the accept; they are over.
    pub offers: Vec<OfferId>,
    /// Whose resources they were.
    pub agent: AgentId,
    /// What of it others have now, or is beyond the role's quota now.
    pub gone: Resources,
    /// The tasks that were not launched. Their ids can be used again.
    pub tasks: Vec<TaskId>,
}

/// A task is to make room for tasks of a role that has less than it is entitled to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PreemptionNotice {
    /// Which.
    pub task: TaskId,
    /// Where it runs.
    pub agent: AgentId,
    /// For whom it makes room.
    pub role: Role,
    /// The master stops it then, if it has not ended by itself.
    pub deadline: Time,
}

/// Resources of one agent, offered to one framework for one of its roles.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OfferInfo {
    /// Names the offer.
    pub id: OfferId,
    /// The role that the resources count for.
    pub role: Role,
    /// The agent that has them.
    pub agent: AgentId,
    /// The agent's machine.
    pub hostname: String,
    /// The agent's attributes.
    pub attributes: Attributes,
    /// Where the agent is; `None`: where the master is.
    pub domain: Option<FaultDomain>,
    /// When the agent will be away, if it is known to be.
    pub unavailability: Option<Unavailability>,
    /// What is offered.
    pub resources: Resources,
    /// Whether it is the framework's until it answers, or others may be offered it too.
    pub mode: OfferMode,
    /// The offers for a gang that it belongs to: all of them are in one event, and are accepted or declined together.
    pub set: Option<OfferSetId>,
}

/// Something that is done with the resources of an offer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Operation {
    /// Runs a task.
    Launch(TaskInfo),
    /// Runs tasks together: all are launched or none is.
    LaunchGroup(Vec<TaskInfo>),
    /// Sets resources aside for a role; later offers carry them as reserved.
    Reserve {
        /// Unreserved, or reserved to an ancestor of the role.
        resources: Resources,
        /// Put on top of what they have.
        reservation: Reservation,
    },
    /// Takes the top reservation off.
    Unreserve {
        /// Dynamically reserved resources.
        resources: Resources,
    },
    /// Makes persistent volumes of reserved disk: folders on the agent that outlive the tasks that use them. A task that takes a
    /// volume among its resources finds it at the volume's path in its sandbox.
    CreateVolumes {
        /// Each with an id that no other volume of the role has on the agent.
        volumes: Resources,
    },
    /// Turns volumes back into disk. What is in them is lost.
    DestroyVolumes {
        /// Volumes that no task uses.
        volumes: Resources,
    },
}

impl Operation {
    /// The tasks that it runs.
    pub fn tasks(&self) -> &[TaskInfo] {
        match self {
            Operation::Launch(task) => std::slice::from_ref(task),
            Operation::LaunchGroup(tasks) => tasks,
            Operation::Reserve { .. }
            | Operation::Unreserve { .. }
            | Operation::CreateVolumes { .. }
            | Operation::DestroyVolumes { .. } => &[],
        }
    }
}

/// What a scheduler tells the master. What is said once is boxed, so that what is said for each task is quick to move.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum SchedulerCall {
    /// The first call on a connection.
    Subscribe {
        /// Who it is.
        framework: Box<FrameworkInfo>,
        /// Roles that want no offers for now.
        suppressed: Vec<Role>,
    },
    /// Uses offers of one agent and one role together. The operations are applied in order and atomically: when one of
    /// them is not valid none is applied, and each task is answered with a status. What is left over is declined. When others
    /// have taken what is used of optimistic offers, none is applied either; the answer is [`SchedulerEvent::Conflict`].
    Accept {
        /// At least one.
        offers: Vec<OfferId>,
        /// What is done with them.
        operations: Vec<Operation>,
        /// How long the rest is not wanted.
        refuse: Duration,
    },
    /// Uses all offers of a set, each for some tasks. As with [`Accept`](Self::Accept), the operations of all of them are applied
    /// atomically.
    AcceptSet {
        /// Which.
        set: OfferSetId,
        /// What is done with each of its offers.
        parts: Vec<(OfferId, Vec<Operation>)>,
        /// How long the rest is not wanted.
        refuse: Duration,
    },
    /// Goes on as someone else: with other roles, capabilities or constraints. When a role is left, all of the framework's offers are
    /// rescinded.
    UpdateFramework {
        /// What it is from now on.
        framework: Box<FrameworkInfo>,
        /// Roles that want no offers for now.
        suppressed: Vec<Role>,
    },
    /// States what it waits for in a role. It is then offered what one of these tasks at least fits, and no more once as many tasks
    /// have room as it waits for. It lasts until it is stated anew, or the connection ends.
    SetDemand {
        /// The role.
        role: Role,
        /// All that it waits for; `None`, as in the beginning: it is offered everything.
        demand: Option<Vec<DemandGroup>>,
    },
    /// Answers an inverse offer. It is not asked again about this agent for some time.
    AnswerInverseOffer {
        /// The agent that will be away.
        agent: AgentId,
        /// Whether the framework will have left by then.
        accepts: bool,
        /// For how long it is not asked again, if it has something there then.
        refuse: Duration,
    },
    /// Does not use offers.
    Decline {
        /// Which. One of a set stands for the whole set.
        offers: Vec<OfferId>,
        /// How long they are not wanted.
        refuse: Duration,
    },
    /// Wants offers (again), forgetting what was refused. No roles: all of them.
    Revive {
        /// For which roles.
        roles: Vec<Role>,
    },
    /// Wants no offers until it revives. No roles: all of them.
    Suppress {
        /// For which roles.
        roles: Vec<Role>,
    },
    /// Stops a task.
    Kill {
        /// Which.
        task: TaskId,
        /// Instead of the task's own policy.
        stop: Option<StopPolicy>,
    },
    /// Has recorded an update of a task, and all before it.
    Acknowledge {
        /// The task.
        task: TaskId,
        /// Its agent.
        agent: AgentId,
        /// The newest recorded update.
        number: UpdateNumber,
    },
    /// Asks for the states of tasks; none: of all tasks that the master knows.
    Reconcile {
        /// Which, and where each is thought to be.
        tasks: Vec<(TaskId, Option<AgentId>)>,
    },
    /// Speaks to one of its executors. Delivered at most once.
    Message {
        /// The agent.
        agent: AgentId,
        /// The executor.
        executor: ExecutorId,
        /// Opaque to everyone between.
        data: Vec<u8>,
    },
    /// Ends the framework: its tasks are stopped and it is forgotten.
    Teardown,
    /// Answers a request; there can be several answers, until the last.
    Reply {
        /// Which request.
        request: RequestId,
        /// Opaque to the master.
        data: Vec<u8>,
        /// Whether no further one follows.
        last: bool,
    },
    /// Answers [`SchedulerEvent::Explain`].
    Explained {
        /// Which question.
        request: RequestId,
        /// The framework's half of the answer.
        explanation: Box<Explanation>,
    },
}

/// What the master tells a scheduler.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum SchedulerEvent {
    /// The subscription holds. The first event on a connection.
    Subscribed {
        /// The framework's id.
        framework: FrameworkId,
        /// In which the master leads; one that is older than another that was heard of is refused.
        epoch: Epoch,
        /// Whether the master knew it already. Then the newest update of each task that it knows follows.
        resumed: bool,
    },
    /// Resources to use or to decline.
    Offers(Vec<OfferInfo>),
    /// Offers that do not hold any more; of a set, all.
    Rescind(Vec<OfferId>),
    /// Agents that will be away, and on which the framework has something. See [`SchedulerCall::AnswerInverseOffer`].
    InverseOffers(Vec<InverseOfferInfo>),
    /// An accept that came too late.
    Conflict(Conflict),
    /// A task is to make room.
    Preemption(PreemptionNotice),
    /// A task that was to make room need not do so any more.
    PreemptionCancelled(TaskId),
    /// A task's state.
    Update(TaskStatus),
    /// An agent is gone. Updates of its tasks come apart from this.
    AgentLost(AgentId),
    /// A custom executor ended. Updates of its tasks come apart from this.
    ExecutorLost {
        /// Where.
        agent: AgentId,
        /// Which.
        executor: ExecutorId,
        /// How, for people.
        message: String,
    },
    /// One of its executors speaks. Delivered at most once.
    Message {
        /// Where it runs.
        agent: AgentId,
        /// Which.
        executor: ExecutorId,
        /// Opaque to everyone between.
        data: Vec<u8>,
    },
    /// An operator asks something of the framework.
    Request {
        /// To answer it by.
        request: RequestId,
        /// Opaque to the master.
        data: Vec<u8>,
    },
    /// Whoever asked is not there any more.
    RequestCancelled(RequestId),
    /// Why does this task not run?
    Explain {
        /// To answer it by.
        request: RequestId,
        /// The task, as a person called it.
        task: String,
    },
    /// The master refuses what the scheduler asked, and why.
    Error(String),
}
