//! Why a task does not run: reasons from the framework and from the allocator, joined.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{DemandGroup, FrameworkId};
use crate::resources::{Quantities, Role};
use crate::time::Time;

/// Why something is not happening now: the reasons that stand in the way, most blocking first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// Whether the task is known, and what it is called.
    pub task: Option<String>,
    /// What it waits for, when that is known: the role and the amounts.
    pub wants: Option<(Role, Quantities)>,
    /// The reasons.
    pub obstacles: Vec<Obstacle>,
}

impl Explanation {
    /// An explanation of one reason.
    pub fn of(task: impl Into<String>, obstacle: Obstacle) -> Self {
        Explanation { task: Some(task.into()), wants: None, obstacles: vec![obstacle] }
    }
}

/// What a framework waits for in a role, and why it is not offered that now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Waiting {
    /// Which framework.
    pub framework: FrameworkId,
    /// In which of its roles.
    pub role: Role,
    /// The tasks that it waits for; `None` when it has not said: then the explanation is of any offer at all.
    pub group: Option<DemandGroup>,
    /// What stands in the way.
    pub explanation: Explanation,
}

/// One reason why something is not happening now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Obstacle {
    /// It waits for other work.
    Dependency {
        /// What it waits for.
        on: String,
    },
    /// It failed lately and is tried again later.
    Backoff {
        /// When.
        until: Time,
    },
    /// As many as may run together do.
    LimitReached {
        /// How many.
        limit: u64,
    },
    /// No agent is big enough even when it is empty.
    LargerThanAnyAgent {
        /// The closest one lacks this.
        lacking: Quantities,
    },
    /// Agents that have too little left.
    Insufficient {
        /// How many.
        agents: usize,
        /// What the closest one lacks.
        lacking: Quantities,
    },
    /// Agents whose offer the framework refused lately.
    Refused {
        /// How many.
        agents: usize,
        /// Until when the first of them is not offered.
        until: Time,
    },
    /// Other roles are served first, since they are further below their fair share.
    BelowFairShare {
        /// This role's place in the order, from 1.
        rank: usize,
        /// How many roles there are.
        roles: usize,
    },
    /// The framework asked for no offers.
    Suppressed,
    /// The framework's scheduler is not connected.
    Disconnected,
    /// There is no agent.
    NoAgents,
    /// A rule of the framework excludes agents.
    Constraint {
        /// The rule.
        name: String,
        /// How many agents.
        agents: usize,
    },
    /// It is on its way: an offer is out, or it has been launched.
    InProgress {
        /// What happens just now.
        what: String,
    },
    /// A role's limit leaves too little.
    QuotaLimit {
        /// Whose limit: the framework's role, or one above it.
        role: Role,
        /// What is beyond it.
        exceeding: Quantities,
    },
    /// What is free is kept back for guarantees of other roles that are not met.
    KeptBack {
        /// How much is lacking because of that.
        lacking: Quantities,
    },
    /// Agents that have enough only with what is reserved to other roles.
    ReservedToOthers {
        /// How many.
        agents: usize,
    },
    /// Agents that are offered only to frameworks that say that they can deal with them.
    Incapable {
        /// How many.
        agents: usize,
    },
    /// Agents that the operator's allow-list leaves out.
    NotAllowed {
        /// How many.
        agents: usize,
    },
    /// The framework is not in the role.
    NotInRole,
    /// The allocator is paused.
    Paused,
    /// The role has less than it is entitled to, so that tasks of others could make room.
    Deprived {
        /// When the next of them are to; `None` when this cluster does not preempt.
        preempts_at: Option<Time>,
    },
    /// The framework has been offered all that it said it waits for.
    DemandMet,
    /// Agents where it would fit, but not what the framework said it waits for.
    NotWaitedFor {
        /// How many.
        agents: usize,
    },
    /// Agents that are not connected, or away just now.
    Absent {
        /// How many.
        agents: usize,
    },
    /// Agents that will be away before the task would have ended.
    AwayTooSoon {
        /// How many.
        agents: usize,
        /// How long the last of them stays.
        left: Duration,
    },
    /// Agents where it would fit, but where less is free than is ever offered.
    BelowMinimum {
        /// How many.
        agents: usize,
    },
    /// Tasks that start together, and more than all agents have room for even when they are empty, or than their role may have.
    GangTooLarge {
        /// How many start together.
        size: u32,
        /// How many there could be.
        most: u32,
    },
    /// Tasks that start together wait for room for all of them; it is their turn to gather it.
    GangGathers {
        /// How many start together.
        size: u32,
        /// For how many there is room now.
        gathered: u32,
        /// When the turn ends.
        until: Time,
    },
    /// Tasks that start together wait for room for all of them, and for their turn to gather it.
    GangWaits {
        /// How many start together.
        size: u32,
        /// For how many there is room now.
        room: u32,
        /// How many have their turn before.
        before: usize,
        /// The framework had a turn lately, and does not begin another before this.
        rests_until: Option<Time>,
    },
}

impl Obstacle {
    /// What would change it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Obstacle::Dependency { .. } => "it goes on by itself when the other work is done",
            Obstacle::Backoff { .. } => "it is tried again by itself; its logs may say why it failed",
            Obstacle::LimitReached { .. } => {
                "others have to end first; a higher limit lets more run together"
            }
            Obstacle::LargerThanAnyAgent { .. } => "ask for less, or add a larger agent",
            Obstacle::Insufficient { .. } => {
                "tasks have to end there; asking for less, or more agents, helps at once"
            }
            Obstacle::Refused { .. } => "they are offered again by then, or when the framework revives",
            Obstacle::BelowFairShare { .. } => {
                "those before it have to be served; a higher weight moves it forward"
            }
            Obstacle::Suppressed => "the framework has to revive the role",
            Obstacle::Disconnected => "the framework's scheduler has to connect",
            Obstacle::NoAgents => "an agent has to join",
            Obstacle::Constraint { .. } => "loosen the rule, or add agents that it allows",
            Obstacle::InProgress { .. } => "nothing has to be done",
            Obstacle::QuotaLimit { .. } => "tasks of the role have to end, or its limit be raised",
            Obstacle::KeptBack { .. } => {
                "other roles have to get what they are guaranteed, or be guaranteed less; more agents help"
            }
            Obstacle::ReservedToOthers { .. } => "unreserve resources there, or use a role that has them",
            Obstacle::Incapable { .. } => "the framework has to say that it can deal with such agents",
            Obstacle::NotAllowed { .. } => "put their machines on the allow-list",
            Obstacle::NotInRole => "the framework has to join the role",
            Obstacle::Paused => "the allocator has to be resumed",
            Obstacle::DemandMet => "the framework has to use its offers, or say that it waits for more",
            Obstacle::Deprived { preempts_at: Some(_) } => {
                "tasks of roles that have more are stopped for it by then, after a warning"
            }
            Obstacle::Deprived { preempts_at: None } => {
                "a master that preempts (--preemption) would stop tasks of others for what the framework says it waits for"
            }
            Obstacle::NotWaitedFor { .. } => "the framework has to say that it waits for tasks like this",
            Obstacle::Absent { .. } => "they have to connect again, or their maintenance to end",
            Obstacle::AwayTooSoon { .. } => {
                "they are of use again after their maintenance; a shorter run time fits before it"
            }
            Obstacle::BelowMinimum { .. } => "lower the least amounts that are offered, or free more there",
            Obstacle::GangTooLarge { .. } => "start fewer together, add agents, or raise the role's limit",
            Obstacle::GangGathers { .. } => "tasks elsewhere have to end before its turn does",
            Obstacle::GangWaits { .. } => "tasks have to end; starting fewer together helps at once",
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Obstacle::Dependency { on } => write!(f, "waits for {on}"),
            Obstacle::Backoff { .. } => f.write_str("failed lately; it is tried again after its backoff"),
            Obstacle::LimitReached { limit } => write!(f, "as many as may run together ({limit}) do"),
            Obstacle::LargerThanAnyAgent { lacking } => {
                write!(f, "larger than any agent: the closest one lacks {lacking} even when empty")
            }
            Obstacle::Insufficient { agents, lacking } => {
                write!(f, "{agents} agent(s) have too little left; the closest one lacks {lacking}")
            }
            Obstacle::Refused { agents, .. } => {
                write!(f, "the framework refused offers of {agents} agent(s) a moment ago")
            }
            Obstacle::BelowFairShare { rank, roles } => {
                write!(f, "its role is number {rank} of {roles} in the order of fair shares")
            }
            Obstacle::Suppressed => f.write_str("the framework asked for no offers"),
            Obstacle::Disconnected => f.write_str("the framework's scheduler is not connected"),
            Obstacle::NoAgents => f.write_str("the cluster has no agent"),
            Obstacle::Constraint { name, agents } => write!(f, "{name} excludes {agents} agent(s)"),
            Obstacle::InProgress { what } => f.write_str(what),
            Obstacle::QuotaLimit { role, exceeding } => {
                write!(f, "the limit of role {role} leaves too little: {exceeding} is beyond it")
            }
            Obstacle::KeptBack { lacking } => {
                write!(
                    f,
                    "what is free is kept back for other roles' guarantees: {lacking} too little is left"
                )
            }
            Obstacle::ReservedToOthers { agents } => {
                write!(f, "{agents} agent(s) have enough only with what is reserved to other roles")
            }
            Obstacle::Incapable { agents } => {
                write!(
                    f,
                    "{agents} agent(s) have gpus or are far away, and the framework does not say that it can use such"
                )
            }
            Obstacle::NotAllowed { agents } => write!(f, "{agents} agent(s) are not on the allow-list"),
            Obstacle::NotInRole => f.write_str("the framework is not in the role"),
            Obstacle::Deprived { preempts_at: Some(_) } => f.write_str(
                "its role has less than it is entitled to; if that goes on, tasks of others make room soon",
            ),
            Obstacle::Deprived { preempts_at: None } => f.write_str(
                "its role has less than it is entitled to, and tasks of others are not preempted for it",
            ),
            Obstacle::DemandMet => {
                f.write_str("the framework has been offered all that it said it waits for")
            }
            Obstacle::Paused => f.write_str("the allocator is paused"),
            Obstacle::NotWaitedFor { agents } => {
                write!(f, "{agents} agent(s) have room, but the framework did not say that it waits for this")
            }
            Obstacle::Absent { agents } => write!(f, "{agents} agent(s) are not connected, or away"),
            Obstacle::AwayTooSoon { agents, left } => write!(
                f,
                "{agents} agent(s) will be away before it would have ended; the last of them stays for {left:?}"
            ),
            Obstacle::BelowMinimum { agents } => {
                write!(f, "{agents} agent(s) have less free than is ever offered")
            }
            Obstacle::GangTooLarge { size, most } => write!(
                f,
                "{size} tasks start together, but all agents and limits have room for {most} even without others"
            ),
            Obstacle::GangGathers { size, gathered, .. } => write!(
                f,
                "{size} tasks start together; their framework gathers room for them, and has it for {gathered}"
            ),
            Obstacle::GangWaits { size, room, before, rests_until } => {
                write!(f, "{size} tasks start together, and there is room for {room}; ")?;
                match rests_until {
                    Some(_) => f.write_str("their framework had its turn to gather it, and lets others try"),
                    None => write!(f, "{before} other(s) have their turn to gather it before"),
                }
            }
        }
    }
}
