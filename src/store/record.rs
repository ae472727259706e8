//! Records, their keys, and how both become bytes.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::protocol::{
    AgentId, AgentInfo, FrameworkId, FrameworkInfo, Identity, IdentityKind, OfferMode, Quota, Rules,
    Unavailability, Weight, codec,
};
use crate::resources::{Resources, Role};
use crate::time::Time;

/// The version of the records' format; each record begins with it.
pub const FORMAT_VERSION: u8 = 1;

/// Names one record.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Key {
    /// An agent.
    Agent(AgentId),
    /// A framework.
    Framework(FrameworkId),
    /// A role's weight.
    Weight(Role),
    /// A role's quota.
    Quota(Role),
    /// How a role's resources are offered.
    OfferMode(Role),
    /// An agent's maintenance.
    Maintenance(AgentId),
    /// The machines of which alone something is offered.
    AllowList,
    /// Who may do what.
    Rules,
    /// The cluster's certificate authority.
    Authority,
    /// A join token, by its digest.
    Token(String),
    /// An identity that was given to a newcomer.
    Issued(Identity),
    /// An agent that is gone for good.
    Gone(AgentId),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Agent(id) => write!(f, "agent/{id}"),
            Key::Framework(id) => write!(f, "framework/{id}"),
            Key::Weight(role) => write!(f, "weight/{role}"),
            Key::Quota(role) => write!(f, "quota/{role}"),
            Key::OfferMode(role) => write!(f, "offers/{role}"),
            Key::Maintenance(id) => write!(f, "maintenance/{id}"),
            Key::AllowList => write!(f, "allow-list"),
            Key::Rules => write!(f, "rules"),
            Key::Authority => write!(f, "authority"),
            Key::Token(digest) => write!(f, "token/{digest}"),
            Key::Gone(id) => write!(f, "gone/{id}"),
            Key::Issued(identity) => write!(f, "issued/{}/{}", identity.kind(), identity.name()),
        }
    }
}

/// One thing that a master must not forget.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Record {
    /// An agent that was admitted and is not forgotten.
    Agent {
        /// Which.
        id: AgentId,
        /// As it introduced itself.
        info: AgentInfo,
        /// What it has, with the reservations that were made on it.
        resources: Resources,
        /// Since when it counts as unreachable.
        unreachable: Option<Time>,
    },
    /// A framework whose tasks may run.
    Framework {
        /// Which.
        id: FrameworkId,
        /// As it introduced itself.
        info: FrameworkInfo,
        /// It was torn down; its tasks are ending.
        ending: bool,
    },
    /// A role's weight.
    Weight {
        /// The role.
        role: Role,
        /// Its weight.
        weight: Weight,
    },
    /// A role's quota.
    Quota {
        /// The role.
        role: Role,
        /// Its quota.
        quota: Quota,
    },
    /// How a role's resources are offered.
    OfferMode {
        /// The role.
        role: Role,
        /// How.
        mode: OfferMode,
    },
    /// When an agent will be away.
    Maintenance {
        /// Which.
        agent: AgentId,
        /// When.
        unavailability: Unavailability,
    },
    /// The machines of which alone something is offered.
    AllowList {
        /// Their names.
        hostnames: BTreeSet<String>,
    },
    /// Who may do what.
    Rules {
        /// All rules.
        rules: Rules,
    },
    /// The cluster's certificate authority. Whoever reads it can be anyone.
    Authority {
        /// The cluster's name.
        cluster: String,
        /// Its certificate and private key, PEM.
        pem: Secret,
    },
    /// A join token that was made and is not forgotten.
    Token {
        /// SHA-256 of its secret, in hexadecimal digits.
        digest: String,
        /// What a newcomer becomes by it.
        kind: IdentityKind,
        /// Until when it is good, in milliseconds since the Unix epoch.
        expires_at: u64,
        /// Whether somebody has joined by it.
        used: bool,
    },
    /// A newcomer's identity: a name is given once.
    Issued {
        /// Who.
        identity: Identity,
    },
    /// An agent that is gone for good, as an operator said.
    Gone {
        /// Which.
        agent: AgentId,
        /// Since when.
        since: Time,
    },
}

/// A text that `Debug` hides.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Record {
    /// Under which the record is kept.
    pub fn key(&self) -> Key {
        match self {
            Record::Agent { id, .. } => Key::Agent(id.clone()),
            Record::Framework { id, .. } => Key::Framework(id.clone()),
            Record::Weight { role, .. } => Key::Weight(role.clone()),
            Record::Quota { role, .. } => Key::Quota(role.clone()),
            Record::OfferMode { role, .. } => Key::OfferMode(role.clone()),
            Record::Maintenance { agent, .. } => Key::Maintenance(agent.clone()),
            Record::AllowList { .. } => Key::AllowList,
            Record::Rules { .. } => Key::Rules,
            Record::Authority { .. } => Key::Authority,
            Record::Token { digest, .. } => Key::Token(digest.clone()),
            Record::Issued { identity } => Key::Issued(identity.clone()),
            Record::Gone { agent, .. } => Key::Gone(agent.clone()),
        }
    }

    /// Whether the record is about who may join, and none of the [`Master`](crate::master::Master)'s.
    pub fn is_of_admission(&self) -> bool {
        matches!(self, Record::Authority { .. } | Record::Token { .. } | Record::Issued { .. })
    }

    /// The record with the format's version before it.
    ///
    /// # Errors
    /// When it is too large.
    pub fn to_bytes(&self) -> Result<Vec<u8>, StoreError> {
        let mut bytes = vec![FORMAT_VERSION];
        codec::encode(self, &mut bytes).map_err(|error| StoreError::Encode { key: self.key(), error })?;
        Ok(bytes)
    }

    /// The record that was kept under the key with this text.
    ///
    /// # Errors
    /// When the bytes are of another version, or no record.
    pub fn from_bytes(key: &str, bytes: &[u8]) -> Result<Record, StoreError> {
        match bytes.split_first() {
            Some((&FORMAT_VERSION, record)) => codec::decode(record)
                .map_err(|error| StoreError::Corrupt { key: key.to_owned(), problem: error.to_string() }),
            Some((&found, _)) => {
                Err(StoreError::Version { key: key.to_owned(), found, known: FORMAT_VERSION })
            }
            None => Err(StoreError::Corrupt { key: key.to_owned(), problem: "it is empty".to_owned() }),
        }
    }
}

/// A change of the registry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Change {
    /// Keeps a record, instead of the one that is under its key.
    Put(Record),
    /// Drops the record under a key, if there is one.
    Delete(Key),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_survive_as_bytes_and_other_versions_are_told_apart() {
        let record = Record::Weight { role: "a/b".parse().unwrap(), weight: Weight::default() };
        let mut bytes = record.to_bytes().unwrap();
        assert_eq!(Record::from_bytes("weight/a/b", &bytes).unwrap(), record);
        bytes[0] = FORMAT_VERSION + 1;
        let error = Record::from_bytes("weight/a/b", &bytes).unwrap_err();
        assert!(matches!(error, StoreError::Version { found: 2, .. }), "{error}");
        assert!(matches!(Record::from_bytes("k", &[]), Err(StoreError::Corrupt { .. })));
        assert!(matches!(Record::from_bytes("k", &[FORMAT_VERSION, 99]), Err(StoreError::Corrupt { .. })));
    }
}
