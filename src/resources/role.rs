//! Who resources are for: a tree of roles.

use std::fmt;
use std::str::FromStr;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::RoleError;

/// A place in the tree of roles, as a path: `eng/dev` lies below `eng`. The role `*` is everyone's.
///
/// ```
/// use apportion::resources::Role;
///
/// let dev: Role = "eng/dev".parse()?;
/// assert_eq!(dev.parent(), Some("eng".parse()?));
/// assert!("eng".parse::<Role>()?.is_ancestor_of(&dev));
/// # Ok::<(), apportion::resources::RoleError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "CompactString", into = "CompactString")]
pub struct Role(CompactString);

impl Role {
    /// The default role `*`.
    #[must_use]
    pub const fn any() -> Self {
        Self(CompactString::const_new("*"))
    }

    /// Whether it is the default role.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.0 == "*"
    }

    /// The whole path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path's components, from the root down.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> + '_ {
        self.0.split('/')
    }

    /// The role just above; `None` for a top-level role.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        self.0.rsplit_once('/').map(|(parent, _)| Self(parent.into()))
    }

    /// The roles above, nearest first.
    pub fn ancestors(&self) -> impl Iterator<Item = Self> + use<> {
        std::iter::successors(self.parent(), Self::parent)
    }

    /// Whether `other` lies strictly below.
    #[must_use]
    pub fn is_ancestor_of(&self, other: &Self) -> bool {
        other.0.strip_prefix(self.as_str()).is_some_and(|rest| rest.starts_with('/'))
    }
}

impl Default for Role {
    fn default() -> Self {
        Self::any()
    }
}

fn check_role(role: &str) -> Result<(), RoleError> {
    if role.is_empty() {
        return Err(RoleError::Empty);
    }
    if role == "*" {
        return Ok(());
    }
    if role.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(RoleError::Character { role: role.into() });
    }
    for component in role.split('/') {
        if component.is_empty() {
            return Err(RoleError::EmptyComponent { role: role.into() });
        }
        if matches!(component, "." | ".." | "*") || component.starts_with('-') {
            return Err(RoleError::Component { role: role.into(), component: component.into() });
        }
    }
    Ok(())
}

impl FromStr for Role {
    type Err = RoleError;

    fn from_str(role: &str) -> Result<Self, RoleError> {
        check_role(role)?;
        Ok(Self(role.into()))
    }
}

impl TryFrom<CompactString> for Role {
    type Error = RoleError;

    fn try_from(role: CompactString) -> Result<Self, RoleError> {
        check_role(&role)?;
        Ok(Self(role))
    }
}

impl From<Role> for CompactString {
    fn from(role: Role) -> Self {
        role.0
    }
}

impl AsRef<str> for Role {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_mislead_are_refused() {
        for role in ["*", "eng", "eng/dev", "a-b", "a.b", "é", "a/...", "a/b*"] {
            assert!(role.parse::<Role>().is_ok(), "{role}");
        }
        for role in [
            "", "/", "/a", "a/", "a//b", ".", "..", "a/..", "-a", "a/-b", "*/a", "a/*", "a b", "a\t", "\u{8}",
        ] {
            assert!(role.parse::<Role>().is_err(), "{role}");
            assert!(serde_json::from_value::<Role>(role.into()).is_err(), "{role}");
        }
    }

    #[test]
    fn the_tree_is_known_from_the_path() {
        let role = |name: &str| name.parse::<Role>().unwrap();
        let ci = role("eng/dev/ci");
        assert_eq!(ci.ancestors().collect::<Vec<_>>(), [role("eng/dev"), role("eng")]);
        assert_eq!(ci.components().collect::<Vec<_>>(), ["eng", "dev", "ci"]);
        assert!(role("eng").is_ancestor_of(&ci));
        assert!(!ci.is_ancestor_of(&ci));
        assert!(!role("en").is_ancestor_of(&ci));
        assert!(!Role::any().is_ancestor_of(&ci));
        assert_eq!(role("eng").parent(), None);
    }
}
