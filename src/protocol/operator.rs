//! Operators: people and programs that look at the cluster and steer it.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::agent::{Attributes, FaultDomain};
use super::explanation::{Explanation, Waiting};
use super::framework::OfferMode;
use super::identity::IdentityKind;
use super::ids::{AgentId, FrameworkId, RequestId, TaskId};
use super::maintenance::Unavailability;
use super::quota::Quota;
use super::rules::Rules;
use super::task::{TaskState, TaskStatus};
use crate::resources::{Resources, Role};
use crate::time::Time;

/// A role's weight in thousandths: a role of weight 2 is due twice the share of a role of weight 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Weight(u32);

/// A weight of zero was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a weight must be at least 0.001")]
pub struct ZeroWeight;

impl Weight {
    /// The weight of a role that was given none.
    pub const ONE: Weight = Weight(1000);

    /// The weight of so many thousandths.
    ///
    /// # Errors
    /// When it is zero.
    pub fn from_milli(milli: u32) -> Result<Self, ZeroWeight> {
        if milli == 0 { Err(ZeroWeight) } else { Ok(Weight(milli)) }
    }

    /// In thousandths.
    pub fn milli(self) -> u32 {
        self.0
    }
}

impl Default for Weight {
    fn default() -> Self {
        Weight::ONE
    }
}

impl TryFrom<u32> for Weight {
    type Error = ZeroWeight;

    fn try_from(milli: u32) -> Result<Self, ZeroWeight> {
        Weight::from_milli(milli)
    }
}

impl From<Weight> for u32 {
    fn from(weight: Weight) -> u32 {
        weight.0
    }
}

/// What an operator asks. Each has a request number of the operator's choice, which the answers carry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum OperatorCall {
    /// What does the cluster look like? Answered by [`OperatorEvent::State`].
    GetState,
    /// Asks a framework; answered by [`OperatorEvent::Reply`].
    Request {
        /// The framework.
        framework: FrameworkId,
        /// What is asked; only the framework knows its meaning.
        data: Vec<u8>,
    },
    /// Why does a task not run? Answered by [`OperatorEvent::Explained`].
    Explain {
        /// The task, as a person calls it.
        task: String,
    },
    /// Why do frameworks have no offers? Answered by [`OperatorEvent::ExplainedWaiting`].
    ExplainWaiting {
        /// Which; `None`: all.
        framework: Option<FrameworkId>,
        /// In which role; `None`: in all of theirs.
        role: Option<Role>,
    },
    /// Stops a task. Answered by [`OperatorEvent::Done`].
    Kill {
        /// Whose it is; when `None`, the only framework that has such a task.
        framework: Option<FrameworkId>,
        /// Which.
        task: TaskId,
    },
    /// Sets a role's weight. Answered by [`OperatorEvent::Done`].
    SetWeight {
        /// The role.
        role: Role,
        /// Its weight.
        weight: Weight,
    },
    /// Sets what a role is guaranteed, and the most that it may have; the default quota takes both away. Answered by
    /// [`OperatorEvent::Done`].
    SetQuota {
        /// The role.
        role: Role,
        /// Its quota.
        quota: Quota,
        /// Even if the cluster has less than all guarantees, or the role has more than its limit.
        force: bool,
    },
    /// Sets how a role's resources are offered; offers that are out stay what they are. Answered by [`OperatorEvent::Done`].
    SetOfferMode {
        /// The role.
        role: Role,
        /// How.
        mode: OfferMode,
    },
    /// Says when an agent will be away. Frameworks are asked to leave it, and offers of it tell. Answered by
    /// [`OperatorEvent::Done`].
    SetMaintenance {
        /// Which.
        agent: AgentId,
        /// When; `None`: it will not be away.
        unavailability: Option<Unavailability>,
    },
    /// Offers only what is on these machines; tasks that run elsewhere go on. Answered by [`OperatorEvent::Done`].
    SetAllowList {
        /// Their names; `None`: all machines.
        hostnames: Option<BTreeSet<String>>,
    },
    /// By which rules does the cluster go? Answered by [`OperatorEvent::Rules`].
    GetRules,
    /// Sets who may do what; the default takes all rules away. Answered by [`OperatorEvent::Done`].
    SetRules {
        /// All rules from now on.
        rules: Rules,
    },
    /// Ends a framework and its tasks. Answered by [`OperatorEvent::Done`].
    Teardown {
        /// Which.
        framework: FrameworkId,
    },
    /// Makes a one-time token with which a process can join the cluster. Answered by [`OperatorEvent::Token`].
    CreateToken {
        /// What may join by it.
        kind: IdentityKind,
    },
    /// Lets a name be joined by once more, whose party has lost its credentials or let them run out. Certificates that it still has stay
    /// good. Answered by [`OperatorEvent::Done`], also where the name was free.
    FreeName {
        /// What the party is.
        kind: IdentityKind,
        /// Its name.
        name: String,
    },
    /// An agent is gone for good: its tasks are over, and it is turned away should it come back. Answered by [`OperatorEvent::Done`].
    MarkGone {
        /// Which.
        agent: AgentId,
    },
    /// An agent that was said to be gone may come back. Answered by [`OperatorEvent::Done`].
    TakeBack {
        /// Which.
        agent: AgentId,
    },
}

/// What the master answers an operator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum OperatorEvent {
    /// The cluster as it was a moment ago.
    State(Box<ClusterState>),
    /// A framework's answer.
    Reply {
        /// Only the framework knows its meaning.
        data: Vec<u8>,
        /// Whether no further one follows.
        last: bool,
    },
    /// Why a task does not run.
    Explained(Explanation),
    /// What frameworks wait for, and why they are not offered it; by framework, and role.
    ExplainedWaiting(Vec<Waiting>),
    /// The rules that hold.
    Rules(Rules),
    /// It is done.
    Done,
    /// A token for one join.
    Token(String),
    /// It can't be done, and why.
    Refused(String),
}

/// A call with its request number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperatorRequest {
    /// Of the operator's choice.
    pub request: RequestId,
    /// What is asked.
    pub call: OperatorCall,
}

/// An answer with the number of the request that it answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperatorAnswer {
    /// The request's number.
    pub request: RequestId,
    /// The answer.
    pub event: OperatorEvent,
}

/// The cluster at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClusterState {
    /// When.
    pub at: Time,
    /// By id.
    pub agents: Vec<AgentState>,
    /// By id.
    pub frameworks: Vec<FrameworkState>,
    /// By name.
    pub roles: Vec<RoleState>,
    /// The machines of which alone something is offered, if there is such a list.
    pub allow_list: Option<BTreeSet<String>>,
    /// Tasks that have not ended, and the most recent of those that have; by framework, then id.
    pub tasks: Vec<TaskSummary>,
}

/// An agent, as operators see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgentState {
    /// Its id.
    pub id: AgentId,
    /// Its machine's name.
    pub hostname: String,
    /// Where it serves logs.
    pub address: Option<SocketAddr>,
    /// Whether it is connected.
    pub connected: bool,
    /// All that it has.
    pub total: Resources,
    /// What tasks use of it.
    pub allocated: Resources,
    /// What is in exclusive offers that are out.
    pub offered: Resources,
    /// Its attributes.
    pub attributes: Attributes,
    /// Where it is; `None`: where the master is.
    pub domain: Option<FaultDomain>,
    /// When it will be away.
    pub unavailability: Option<Unavailability>,
    /// Who has answered that it will have left it by then, and who that it will not.
    pub answers: Vec<(FrameworkId, bool)>,
}

/// A framework, as operators see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FrameworkState {
    /// Its id.
    pub id: FrameworkId,
    /// Its roles.
    pub roles: Vec<Role>,
    /// Whether its scheduler is connected.
    pub connected: bool,
    /// What its tasks use.
    pub allocated: Resources,
    /// How many of its tasks have not ended.
    pub tasks_active: u64,
    /// How many have ended with success.
    pub tasks_finished: u64,
    /// How many have ended otherwise.
    pub tasks_failed: u64,
    /// How many offers are out to it.
    pub offers: u64,
}

/// A role, as operators see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoleState {
    /// Its name.
    pub role: Role,
    /// Its weight.
    pub weight: Weight,
    /// What it is guaranteed, and the most that it may have.
    pub quota: Quota,
    /// How its resources are offered.
    pub offers: OfferMode,
    /// What its frameworks have, exclusive offers included.
    pub allocated: Resources,
    /// Its dominant share of the cluster, from 0 to 1, before it is divided by its weight.
    pub dominant_share: f64,
    /// The kind of resource that the share is of.
    pub dominant_kind: Option<crate::resources::Kind>,
    /// How many frameworks are in it.
    pub frameworks: usize,
}

/// A task, as operators see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskSummary {
    /// Whose it is.
    pub framework: FrameworkId,
    /// The role that its resources count for.
    pub role: Role,
    /// Where it runs.
    pub agent: AgentId,
    /// What it takes.
    pub resources: Resources,
    /// Its newest state.
    pub state: TaskState,
    /// Its newest update.
    pub status: TaskStatus,
}
