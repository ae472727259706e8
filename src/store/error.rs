//! What can go wrong with a store.

use std::path::PathBuf;

use super::Key;
use crate::protocol::codec::CodecError;

/// Why records can't be kept or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store's file can't be used.
    #[error("cannot use the store {}: {reason}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Reading or writing failed.
    #[error("cannot {action} the store: {reason}")]
    Failed {
        /// What was tried, such as `read`.
        action: &'static str,
        /// Why it failed.
        reason: String,
    },
    /// The store can't be reached for now.
    #[error("the registry can't be reached: {reason}")]
    Unreachable {
        /// What the last try came to.
        reason: String,
    },
    /// Another master leads: what this one writes is refused.
    #[error("this master leads no more: its lease has ended, or another master leads")]
    Deposed,
    /// A record can't be written.
    #[error("cannot encode registry record {key}: {error}")]
    Encode {
        /// Which.
        key: Key,
        /// Why.
        error: CodecError,
    },
    /// A record is not what it should be.
    #[error("record {key} of the store is damaged: {problem}")]
    Corrupt {
        /// Under which key.
        key: String,
        /// What is wrong.
        problem: String,
    },
    /// A record was written by another version of this program.
    #[error(
        "record {key} of the store has format {found}, but this program knows format {known}; use the version that wrote it, or a newer one"
    )]
    Version {
        /// Under which key.
        key: String,
        /// The record's version.
        found: u8,
        /// The version that this program knows.
        known: u8,
    },
}
