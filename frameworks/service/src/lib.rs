//! The service framework of apportion: keeps so many instances of a program running, and replaces them version by version.
//!
//! - A [`ServiceSpec`] is a service as people write it. What its tasks run is its *version*; a change of anything else, such
//!   as the number of replicas, makes no new version.
//! - An *instance* is one task of a service. Its id is `<name>-v<version>-<number>`, where the name is the service's id with
//!   dots for slashes, and numbers are never used again.
//! - A *deployment* brings a service to a version or a size; [`Phase`] is where it is. Rolling updates keep both limits of
//!   [`UpdateTable`]: never too few ready instances, never too many instances.
//! - [`ServiceFramework`] is the reconciler: status updates change the state of a service, and reconciling plans the next step
//!   of those that something happened to. [`ServiceRequest`] and [`ServiceReply`] are what operators and it tell each other.
//!
//! What holds of every service:
//!
//! - The framework's own actions never bring the number of ready instances below `replicas - max_unavailable`, nor that of all
//!   instances, stopping ones included, above `replicas + max_surge`.
//! - An instance that fails or ends by itself is replaced after the version's launch backoff; one that the platform lost is
//!   replaced at once; one on an agent that can't be reached is replaced after [`REPLACE_UNREACHABLE_AFTER`], and stopped
//!   should it come back.
//! - A deployment that gets no further for its deadline fails. It then goes back, by itself, to the last version that
//!   succeeded, or pauses. A service that never succeeded has nothing to go back to: it goes on, under its backoff.
//!
//! State is kept in memory: tasks of an earlier life of the framework are stopped when they are heard of.

mod backoff;
mod check;
mod deployment;
mod framework;
mod instances;
mod request;
mod rollout;
mod service;
mod spec;
mod template;

pub use check::{CheckTable, CheckTables, TcpPort};
pub use deployment::Phase;
pub use framework::{ApplyError, FAILOVER_TIMEOUT, PROGRESS_INTERVAL, ServiceFramework};
pub use instances::{InstanceState, REPLACE_UNREACHABLE_AFTER};
pub use request::{InstanceProgress, MessageError, ServiceProgress, ServiceReply, ServiceRequest};
pub use service::MAX_INSTANCES_SHOWN;
pub use spec::{
    BackoffTable, InvalidSpec, KIND, MAX_NAME_BYTES, MAX_REPLICAS, OnFailure, ServiceSpec, UpdateTable,
};
