//! What a scheduler's next life must know.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a scheduler has recorded: bytes by their keys.
pub type Records = BTreeMap<String, Vec<u8>>;

/// One change of a scheduler's records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordChange {
    /// Which record.
    pub key: String,
    /// What it is from now on; `None` deletes it.
    pub value: Option<Vec<u8>>,
}

impl RecordChange {
    /// Applies it.
    pub fn apply(self, records: &mut Records) {
        match self.value {
            Some(value) => records.insert(self.key, value),
            None => records.remove(&self.key),
        };
    }
}

/// A record that a scheduler can't go on from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the framework's record '{key}' can't be used: {problem}; mend or remove the file that holds it")]
pub struct DamagedRecord {
    /// Which.
    pub key: String,
    /// What is wrong with it.
    pub problem: String,
}

impl DamagedRecord {
    /// A record under that key, and what is wrong with it.
    pub fn new(key: impl Into<String>, problem: impl ToString) -> Self {
        DamagedRecord { key: key.into(), problem: problem.to_string() }
    }
}
