//! What the framework records for its next life, and under which keys.

use apportion::scheduler::DamagedRecord;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The key of a record. A run's comes before those of its indexes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// How an ended run ended.
    Result(u64),
    /// A run that goes on.
    Run(u64),
    /// How an index of a step of it stands.
    Index { run: u64, step: usize, index: u32 },
}

impl Key {
    /// What [`Display`](std::fmt::Display) wrote.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        let (kind, run) = (parts.next()?, parts.next()?.parse().ok()?);
        let key = match (kind, parts.next()) {
            ("result", None) => Key::Result(run),
            ("run", None) => Key::Run(run),
            ("run", Some(step)) => {
                Key::Index { run, step: step.parse().ok()?, index: parts.next()?.parse().ok()? }
            }
            _ => return None,
        };
        parts.next().is_none().then_some(key)
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Key::Result(run) => write!(f, "result/{run}"),
            Key::Run(run) => write!(f, "run/{run}"),
            Key::Index { run, step, index } => write!(f, "run/{run}/{step}/{index}"),
        }
    }
}

pub(crate) fn encode(record: &impl Serialize) -> Option<Vec<u8>> {
    // Maps have string keys and nothing fails to serialize, so that this can't fail.
    serde_json::to_vec(record).ok()
}

pub(crate) fn decode<T: DeserializeOwned>(key: &str, bytes: &[u8]) -> Result<T, DamagedRecord> {
    serde_json::from_slice(bytes).map_err(|error| DamagedRecord::new(key, error))
}
