//! Who a party is: the name that its certificate carries.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The longest cluster or party name, in bytes.
pub const MAX_NAME_BYTES: usize = 128;

const SCHEME: &str = "spiffe://";

/// What a party is in the cluster; its certificate says so, and it may act as nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IdentityKind {
    /// Decides who is offered what.
    Master,
    /// Owns one machine.
    Agent,
    /// Runs tasks on what it is offered.
    Framework,
    /// Runs a framework's tasks on one agent.
    Executor,
    /// A human, or a tool that a human uses.
    Operator,
}

impl IdentityKind {
    /// Every kind, in the order of declaration.
    pub const ALL: [Self; 5] = [Self::Master, Self::Agent, Self::Framework, Self::Executor, Self::Operator];

    /// The kind as identities spell it: `master`, `agent`, ...
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::Agent => "agent",
            Self::Framework => "framework",
            Self::Executor => "executor",
            Self::Operator => "operator",
        }
    }
}

impl fmt::Display for IdentityKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for IdentityKind {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| IdentityError::UnknownKind { kind: text.to_owned() })
    }
}

/// Why a text is no identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum IdentityError {
    /// The text has not the form of an identity.
    #[error("`{text}` is not of the form spiffe://<cluster>/<kind>/<name>")]
    NotAnIdentity {
        /// The text.
        text: String,
    },
    /// The kind is none that exists.
    #[error("`{kind}` is no kind of identity; known are master, agent, framework, executor and operator")]
    UnknownKind {
        /// The kind as given.
        kind: String,
    },
    /// A name has a length of zero or more than [`MAX_NAME_BYTES`].
    #[error("the {part} has {length} bytes; it needs 1 to {MAX_NAME_BYTES}")]
    Length {
        /// Which name: `cluster` or `name`.
        part: NamePart,
        /// Its length, in bytes.
        length: usize,
    },
    /// A name has a character, or a path segment, that names may not have.
    #[error(
        "the {part} `{text}` is refused: allowed are letters, digits, `.`, `_` and `-` (in an executor's name also `/`), and no empty, `.` or `..` segment"
    )]
    Characters {
        /// Which name: `cluster` or `name`.
        part: NamePart,
        /// The name as given.
        text: String,
    },
}

/// Which of an identity's names an error speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NamePart {
    /// The cluster's name.
    Cluster,
    /// The party's own name.
    Name,
}

impl fmt::Display for NamePart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cluster => "cluster",
            Self::Name => "name",
        })
    }
}

/// Who a party is: its cluster, its kind and its name among its kind. Printed, parsed and serialised as the URI
/// `spiffe://<cluster>/<kind>/<name>`.
///
/// ```
/// use apportion::protocol::identity::{Identity, IdentityKind};
///
/// let identity: Identity = "spiffe://prod/agent/node-7".parse()?;
/// assert_eq!(identity, Identity::new("prod", IdentityKind::Agent, "node-7")?);
/// assert_eq!(identity.to_string(), "spiffe://prod/agent/node-7");
/// # Ok::<(), apportion::protocol::identity::IdentityError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Identity {
    cluster: String,
    kind: IdentityKind,
    name: String,
}

impl Identity {
    /// An identity of checked names.
    ///
    /// # Errors
    /// [`IdentityError::Length`] or [`IdentityError::Characters`].
    pub fn new(
        cluster: impl Into<String>,
        kind: IdentityKind,
        name: impl Into<String>,
    ) -> Result<Self, IdentityError> {
        let (cluster, name) = (cluster.into(), name.into());
        check(NamePart::Cluster, &cluster, false)?;
        check(NamePart::Name, &name, kind == IdentityKind::Executor)?;
        Ok(Self { cluster, kind, name })
    }

    /// The cluster that the party belongs to.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// What the party is.
    pub fn kind(&self) -> IdentityKind {
        self.kind
    }

    /// The party's name, unique among its kind in its cluster.
    pub fn name(&self) -> &str {
        &self.name
    }
}

fn check(part: NamePart, text: &str, path: bool) -> Result<(), IdentityError> {
    if text.is_empty() || text.len() > MAX_NAME_BYTES {
        return Err(IdentityError::Length { part, length: text.len() });
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let segment = |s: &str| !matches!(s, "" | "." | "..") && s.chars().all(allowed);
    let fits = if path { text.split('/').all(segment) } else { segment(text) };
    if fits { Ok(()) } else { Err(IdentityError::Characters { part, text: text.to_owned() }) }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}/{}", self.cluster, self.kind, self.name)
    }
}

impl FromStr for Identity {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let parts = || {
            let (cluster, rest) = text.strip_prefix(SCHEME)?.split_once('/')?;
            let (kind, name) = rest.split_once('/')?;
            Some((cluster, kind, name))
        };
        let (cluster, kind, name) =
            parts().ok_or_else(|| IdentityError::NotAnIdentity { text: text.to_owned() })?;
        Self::new(cluster, kind.parse()?, name)
    }
}

impl TryFrom<String> for Identity {
    type Error = IdentityError;

    fn try_from(text: String) -> Result<Self, IdentityError> {
        text.parse()
    }
}

impl From<Identity> for String {
    fn from(identity: Identity) -> Self {
        identity.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kind() -> impl Strategy<Value = IdentityKind> {
        prop::sample::select(IdentityKind::ALL.as_slice())
    }

    proptest! {
        #[test]
        fn printing_and_parsing_are_inverse(cluster in "[A-Za-z0-9_-]{1,128}", kind in kind(), name in "[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}") {
            let identity = Identity::new(cluster, kind, name).unwrap();
            prop_assert_eq!(identity.to_string().parse::<Identity>().unwrap(), identity);
        }

        #[test]
        fn what_parses_prints_as_it_was(text in "(spiffe://)?.{0,4}/(agent|executor|x)/[a-z./]{0,6}") {
            if let Ok(identity) = text.parse::<Identity>() {
                prop_assert_eq!(identity.to_string(), text);
            }
        }
    }

    #[test]
    fn only_executors_have_paths_for_names() {
        assert!(Identity::new("c", IdentityKind::Executor, "node-1/batch/e1").is_ok());
        let refused = Identity::new("c", IdentityKind::Agent, "node-1/e1");
        assert!(matches!(refused, Err(IdentityError::Characters { part: NamePart::Name, .. })));
    }

    #[test]
    fn names_that_would_mislead_are_refused() {
        for name in ["", ".", "..", "a b", "a\n", "ä", &"x".repeat(129)] {
            assert!(Identity::new("c", IdentityKind::Agent, name).is_err(), "{name:?}");
        }
        for name in ["a//b", "/a", "a/", "a/../b"] {
            assert!(Identity::new("c", IdentityKind::Executor, name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn errors_say_what_was_wrong() {
        let text = |t: &str| t.parse::<Identity>().unwrap_err().to_string();
        assert_eq!(text("agent"), "`agent` is not of the form spiffe://<cluster>/<kind>/<name>");
        assert!(text("spiffe://c/boss/x").starts_with("`boss` is no kind of identity"));
        assert_eq!(text("spiffe:///agent/x"), "the cluster has 0 bytes; it needs 1 to 128");
    }
}
