//! What operators ask the framework and what it answers, as JSON in the master's opaque requests.

use apportion::protocol::{AgentId, TaskId};
use apportion::time::Time;
use serde::{Deserialize, Serialize};

use crate::deployment::Phase;
use crate::instances::InstanceState;
use crate::spec::ServiceSpec;

/// What an operator asks. Services are named by their ids.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ServiceRequest {
    /// Makes a service be as the spec says, or begins to. Answered by [`ServiceReply::Accepted`]. What is so already changes
    /// nothing, except that a paused deployment of the same version goes on.
    Apply {
        /// The service.
        spec: Box<ServiceSpec>,
    },
    /// Tells how a service's deployment goes: [`ServiceReply::Progress`] whenever something changed, at most ten times a second,
    /// and [`ServiceReply::Finished`] at its end; at once when it has ended already.
    Follow {
        /// The service.
        id: String,
    },
    /// Lists the services. Answered by [`ServiceReply::Services`].
    List,
    /// Changes the number of instances. Answered by [`ServiceReply::Accepted`].
    Scale {
        /// The service.
        id: String,
        /// How many there are to be.
        replicas: u32,
    },
    /// Stops all instances and forgets the service when they have ended. Answered by [`ServiceReply::Accepted`].
    Stop {
        /// The service.
        id: String,
    },
    /// Goes back to the version that succeeded before the present one. Answered by [`ServiceReply::Accepted`].
    Rollback {
        /// The service.
        id: String,
    },
}

/// What the framework answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceReply {
    /// The request is on its way.
    Accepted {
        /// The service.
        id: String,
        /// The version that it is brought to.
        version: u32,
    },
    /// How a deployment goes.
    Progress(ServiceProgress),
    /// How a deployment ended.
    Finished {
        /// Whether the service is as it was asked to be.
        ok: bool,
        /// What happened, for people.
        message: String,
        /// How the service is now.
        progress: ServiceProgress,
    },
    /// All services, by name; without their single instances.
    Services(Vec<ServiceProgress>),
    /// The request can't be done, and why.
    Refused(String),
}

/// A message that is not JSON of the expected form.
#[derive(Debug, thiserror::Error)]
#[error("not a message of the service framework: {0}")]
pub struct MessageError(#[from] serde_json::Error);

/// Implements the two directions of JSON for a message.
macro_rules! json_message {
    ($type:ty) => {
        impl $type {
            /// The message as JSON.
            pub fn encode(&self) -> Vec<u8> {
                // Maps have string keys and nothing fails to serialize, so that this can't fail.
                serde_json::to_vec(self).unwrap_or_default()
            }

            /// The message that JSON holds.
            ///
            /// # Errors
            /// When it is not JSON of such a message.
            pub fn decode(data: &[u8]) -> Result<Self, MessageError> {
                Ok(serde_json::from_slice(data)?)
            }
        }
    };
}

json_message!(ServiceRequest);
json_message!(ServiceReply);

/// How a service is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceProgress {
    /// The service's id.
    pub id: String,
    /// The version that it is brought to.
    pub version: u32,
    /// Where its newest deployment is.
    pub phase: Phase,
    /// Whether it is being stopped for good.
    pub is_stopping: bool,
    /// How many instances there are to be.
    pub replicas: u32,
    /// Instances of the version that can serve.
    pub ready: u32,
    /// Those of them that have been ready for long enough.
    pub healthy: u32,
    /// Instances of the version that wait for an offer.
    pub queued: u32,
    /// Instances of the version that are on an agent and can't serve.
    pub starting: u32,
    /// Instances of other versions that go on.
    pub outdated: u32,
    /// Those of them that can serve.
    pub outdated_ready: u32,
    /// Instances that were asked to stop and have not ended.
    pub stopping: u32,
    /// How many instances failed or ended by themselves, ever.
    pub failures: u64,
    /// The newest of those failures, for people.
    pub last_failure: Option<String>,
    /// When missing instances are launched, if that waits for a backoff.
    pub backoff_until: Option<Time>,
    /// Its instances, oldest first, at most [`MAX_INSTANCES_SHOWN`](crate::MAX_INSTANCES_SHOWN).
    pub instances: Vec<InstanceProgress>,
}

/// How an instance is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceProgress {
    /// Its task.
    pub task: TaskId,
    /// Its version.
    pub version: u32,
    /// What is known of it.
    pub state: InstanceState,
    /// Its agent, when it has one.
    pub agent: Option<AgentId>,
}
