//! What can go wrong while a machine is driven.

use std::path::PathBuf;

use super::OperatorError;
use crate::isolation::IsolationError;
use crate::net::NetError;
use crate::protocol::identity::IdentityError;
use crate::scheduler::DamagedRecord;
use crate::store::StoreError;

/// What went wrong in the world around a machine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// The network, a certificate or a peer.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The registry, or a framework's records.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A framework can't go on from what it recorded.
    #[error(transparent)]
    Damaged(#[from] DamagedRecord),
    /// An agent's records can't be made durable.
    #[error("cannot keep checkpoints: {0}; tasks run on, and wait for the agent to be started again")]
    Checkpoint(String),
    /// A name that can't be part of an identity.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The isolation that tasks are to run in can't be had.
    #[error(transparent)]
    Isolation(#[from] IsolationError),
    /// A file or folder.
    #[error("cannot {action} {}: {error}", path.display())]
    File {
        /// What was tried, such as `create`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        error: std::io::Error,
    },
    /// A file that holds something else than it should.
    #[error("{} does not hold what it should: {problem}; move it away to start afresh", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The store is another cluster's.
    #[error(
        "the registry is that of cluster {found:?}, not of {wanted:?}; name the cluster as it is, or use another store"
    )]
    OtherCluster {
        /// Whose it is.
        found: String,
        /// Whose it should be.
        wanted: String,
    },
    /// The operating system refused a thread or process.
    #[error("cannot start {what}: {error}")]
    Start {
        /// The thread or process.
        what: &'static str,
        /// The system's reason.
        error: std::io::Error,
    },
    /// The master can't be asked.
    #[error(transparent)]
    Operator(#[from] OperatorError),
    /// The master refused what was asked.
    #[error("refused by the master: {0}")]
    Refused(String),
    /// What an executor's environment should tell is missing or malformed.
    #[error("environment variable {name}: {problem}; it is set by the agent that starts an executor")]
    Environment {
        /// The variable.
        name: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}
