//! Agents and the master.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::epoch::Epoch;
use super::ids::{AgentId, ExecutorId, FrameworkId, TaskId};
use super::rules::Rules;
use super::task::{ExecutorInfo, StopPolicy, TaskInfo, TaskState, TaskStatus, UpdateNumber};
use crate::resources::{Resources, VolumeName};

/// What an agent tells about its machine, for frameworks to choose by.
pub type Attributes = BTreeMap<String, String>;

/// Where an agent is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FaultDomain {
    /// Far from others: what crosses regions takes long.
    pub region: String,
    /// Fails apart from other zones of its region.
    pub zone: String,
}

/// What frameworks and rules choose agents by.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AgentProfile {
    /// The machine's name; the allow-list has these.
    pub hostname: String,
    /// Free-form marks.
    pub attributes: Attributes,
    /// Where it is; `None`: where the master is.
    pub domain: Option<FaultDomain>,
}

impl From<&AgentInfo> for AgentProfile {
    fn from(info: &AgentInfo) -> Self {
        let AgentInfo { hostname, attributes, domain, .. } = info.clone();
        AgentProfile { hostname, attributes, domain }
    }
}

/// An agent, as it introduces itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgentInfo {
    /// Its machine's name.
    pub hostname: String,
    /// Where it takes connections of executors and operators (logs).
    pub address: Option<SocketAddr>,
    /// All that it has to give.
    pub resources: Resources,
    /// For frameworks to choose by.
    pub attributes: Attributes,
    /// Where it is; `None`: where the master is.
    pub domain: Option<FaultDomain>,
}

impl AgentInfo {
    /// An agent without address, attributes or place.
    pub fn new(hostname: impl Into<String>, resources: Resources) -> Self {
        AgentInfo {
            hostname: hostname.into(),
            address: None,
            resources,
            attributes: Attributes::new(),
            domain: None,
        }
    }
}

/// A task that an agent holds when it registers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeldTask {
    /// Whose it is.
    pub framework: FrameworkId,
    /// The role that its resources count for.
    pub role: crate::resources::Role,
    /// What it is.
    pub task: TaskInfo,
    /// Its newest update, acknowledged or not; without a number when there was none.
    pub status: TaskStatus,
}

/// An executor of a framework's own that an agent holds when it registers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeldExecutor {
    /// Whose it is.
    pub framework: FrameworkId,
    /// The role that its resources count for.
    pub role: crate::resources::Role,
    /// What it is.
    pub executor: Arc<ExecutorInfo>,
}

/// What an agent tells the master.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum AgentCall {
    /// Comes before all but [`Holds`](AgentCall::Holds) on a connection.
    Register {
        /// What it is.
        info: AgentInfo,
        /// What it runs, beside what it has said that it holds.
        tasks: Vec<HeldTask>,
        /// Frameworks' own executors that have not ended, with and without tasks.
        executors: Vec<HeldExecutor>,
    },
    /// An update for a framework's scheduler.
    Update {
        /// Whose task it is.
        framework: FrameworkId,
        /// The update.
        status: TaskStatus,
        /// The task's newest state, which can be ahead of the update's: the master frees resources by it.
        latest: TaskState,
    },
    /// A custom executor ended.
    ExecutorLost {
        /// Whose.
        framework: FrameworkId,
        /// Which.
        executor: ExecutorId,
        /// How, for people.
        message: String,
    },
    /// An executor speaks to its scheduler.
    Message {
        /// Whose it is.
        framework: FrameworkId,
        /// Which.
        executor: ExecutorId,
        /// Opaque to everyone between.
        data: Vec<u8>,
    },
    /// Answers a [`AgentEvent::Ping`].
    Pong,
    /// It leaves for good; all its tasks have ended.
    Unregister,
    /// It is about to leave: it stops what it runs, and takes nothing more.
    Leaving,
    /// Part of what it runs, said before it registers: [`Register`](AgentCall::Register) tells the rest.
    Holds {
        /// Tasks.
        tasks: Vec<HeldTask>,
        /// Frameworks' own executors that have not ended.
        executors: Vec<HeldExecutor>,
    },
}

/// What the master tells an agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum AgentEvent {
    /// The registration holds. The first event on a connection.
    Registered {
        /// The agent's id.
        agent: AgentId,
        /// In which the master leads; one that is older than another that was heard of is refused.
        epoch: Epoch,
    },
    /// Runs tasks; several of one call are one group: they start together.
    Launch {
        /// Whose they are.
        framework: FrameworkId,
        /// The role that their resources count for.
        role: crate::resources::Role,
        /// What they are.
        tasks: Vec<TaskInfo>,
    },
    /// Stops a task.
    Kill {
        /// Whose it is.
        framework: FrameworkId,
        /// Which.
        task: TaskId,
        /// Instead of the task's own policy.
        stop: Option<StopPolicy>,
    },
    /// The scheduler has recorded an update, and all before it.
    Acknowledge {
        /// Whose task it is.
        framework: FrameworkId,
        /// Which.
        task: TaskId,
        /// The newest recorded update.
        number: UpdateNumber,
    },
    /// A scheduler speaks to its executor.
    Message {
        /// Whose it is.
        framework: FrameworkId,
        /// Which.
        executor: ExecutorId,
        /// Opaque to everyone between.
        data: Vec<u8>,
    },
    /// The framework has ended: stop its executors and forget it.
    ShutdownFramework(FrameworkId),
    /// By these rules it decides who reads what tasks write. Follows each registration.
    SetRules(Rules),
    /// These volumes exist on the agent, and no others: what it has of others is removed.
    KeepVolumes(BTreeSet<VolumeName>),
    /// Are you there?
    Ping,
}
