//! What the parties say to each other: ids, tasks, offers, calls and events, and their encoding.
//!
//! Each edge of the cluster has one pair of types, named as in Mesos: a *call* goes up, to the party that serves; an
//! *event* comes down from it.
//!
//! | edge | up | down |
//! | --- | --- | --- |
//! | scheduler and master | [`SchedulerCall`] | [`SchedulerEvent`] |
//! | agent and master | [`AgentCall`] | [`AgentEvent`] |
//! | executor and agent | [`ExecutorCall`] | [`ExecutorEvent`] |
//! | operator and master | [`OperatorCall`] | [`OperatorEvent`] |
//!
//! All are plain values. [`codec`] turns them into frames; who may speak on which edge is decided by the [`identity`] in
//! the peer's certificate.

pub mod agent;
pub mod capability;
pub mod codec;
pub mod constraints;
pub mod demand;
pub mod epoch;
pub mod executor;
pub mod explanation;
pub mod framework;
pub mod identity;
pub mod ids;
pub mod logs;
pub mod maintenance;
pub mod operator;
pub mod pattern;
pub mod quota;
pub mod rules;
pub mod task;

pub use agent::{
    AgentCall, AgentEvent, AgentInfo, AgentProfile, Attributes, FaultDomain, HeldExecutor, HeldTask,
};
pub use capability::{Capabilities, Capability};
pub use constraints::{AttributeConstraint, OfferConstraints, Predicate, Selector};
pub use demand::DemandGroup;
pub use epoch::{Deposed, Epoch};
pub use executor::{ExecutorCall, ExecutorEvent};
pub use explanation::{Explanation, Obstacle, Waiting};
pub use framework::{
    Conflict, FrameworkInfo, OfferInfo, OfferMode, Operation, PreemptionNotice, SchedulerCall, SchedulerEvent,
};
pub use identity::{Identity, IdentityKind};
pub use ids::{AgentId, ConnectionId, ExecutorId, FrameworkId, OfferId, OfferSetId, RequestId, TaskId};
pub use maintenance::{InverseOfferInfo, Unavailability};
pub use operator::{OperatorCall, OperatorEvent, Weight};
pub use pattern::{Pattern, PatternError};
pub use quota::{Limits, Quota};
pub use rules::{Action, Rules};
pub use task::{
    Check, Checks, Command, CommandInfo, ExecutorInfo, Exit, MAX_STATUS_BYTES, MAX_TASK_BYTES, Probe, Reason,
    StopPolicy, TaskInfo, TaskState, TaskStatus, UpdateNumber, Work,
};
