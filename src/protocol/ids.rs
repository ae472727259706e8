//! Names of things. Each is its own type, valid by construction, cheap to clone (inline up to 24 bytes).

use std::fmt;
use std::str::FromStr;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

/// The longest id in bytes: ids become file names.
pub const MAX_ID_BYTES: usize = 255;

/// Why a text can't be an id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a valid {what} id: {problem}")]
pub struct InvalidId {
    what: &'static str,
    text: String,
    problem: &'static str,
}

fn check(what: &'static str, text: &str) -> Result<(), InvalidId> {
    let problem = if text.is_empty() {
        "it is empty"
    } else if text.len() > MAX_ID_BYTES {
        "it is longer than 255 bytes"
    } else if text == "." || text == ".." {
        "it names a directory"
    } else if text.bytes().any(|b| b == b'/' || b == b'\\' || b.is_ascii_control()) {
        "it holds a slash, a backslash or a control character"
    } else {
        return Ok(());
    };
    Err(InvalidId { what, text: text.chars().take(64).collect(), problem })
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "CompactString")]
        pub struct $name(CompactString);

        impl $name {
            /// The id with this text.
            ///
            /// # Errors
            /// When the text is empty, longer than [`MAX_ID_BYTES`], `.` or `..`, or holds a slash, a backslash or a
            /// control character.
            pub fn new(text: impl Into<CompactString>) -> Result<Self, InvalidId> {
                Self::try_from(text.into())
            }

            /// The id's text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<CompactString> for $name {
            type Error = InvalidId;

            fn try_from(text: CompactString) -> Result<Self, InvalidId> {
                check($what, &text)?;
                Ok($name(text))
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id! {
    /// An agent: the name in its certificate, unique in the cluster.
    AgentId, "agent"
}
id! {
    /// A framework: the name in its certificate, unique in the cluster. A framework that comes back with the same
    /// certificate is the same framework.
    FrameworkId, "framework"
}
id! {
    /// An executor, unique on its agent within its framework.
    ExecutorId, "executor"
}
id! {
    /// A task, unique within its framework.
    TaskId, "task"
}

impl ExecutorId {
    /// The executor that runs commands; it is built in.
    pub fn command() -> Self {
        ExecutorId(CompactString::const_new("command"))
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// An offer, unique within a master's life.
    OfferId
}
number! {
    /// Offers for a gang that belong together, unique within a master's life.
    OfferSetId
}
number! {
    /// A live connection, as the machine that holds its other end calls it. Never reused within that machine's life.
    ConnectionId
}
number! {
    /// A request that an operator makes, unique on its connection; and, once relayed by the master, unique within the
    /// master's life.
    RequestId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_could_escape_a_directory_are_refused() {
        for text in ["", ".", "..", "a/b", "a\\b", "a\nb", &"x".repeat(256)] {
            assert!(TaskId::new(text).is_err(), "{text:?}");
        }
        assert_eq!(TaskId::new("nightly.extract.12").unwrap().as_str(), "nightly.extract.12");
        assert_eq!(
            TaskId::new("a/b").unwrap_err().to_string(),
            "\"a/b\" is not a valid task id: it holds a slash, a backslash or a control character"
        );
    }

    #[test]
    fn ids_are_checked_when_decoded() {
        assert!(serde_json::from_str::<TaskId>("\"..\"").is_err());
        assert_eq!(serde_json::from_str::<TaskId>("\"t1\"").unwrap(), TaskId::new("t1").unwrap());
    }
}
