//! Rules: who may do what in which roles, and how fast anyone may speak.
//!
//! Without rules everyone whom the cluster's authority has certified may do everything. With rules everything that none of them allows is
//! refused.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::identity::{Identity, IdentityKind};
use crate::resources::Role;

/// Something that must be allowed once there are rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// A framework uses a role.
    Register,
    /// A framework reserves and unreserves resources for a role, and makes and destroys volumes of them.
    Reserve,
    /// A framework runs tasks of a role as a user that they name.
    RunAs,
    /// Sets a role's weight.
    SetWeight,
    /// Sets a role's quota.
    SetQuota,
    /// Stops a task of a role.
    Kill,
    /// Reads what a task of a role writes. Agents know the roles of the tasks that they hold; what older ones wrote may be read by those
    /// whose rule is about all roles.
    ReadLogs,
    /// Asks frameworks: submits work, looks at it, changes it. Frameworks act for many roles, so that a rule about some roles does not
    /// allow it.
    Submit,
    /// Looks at the cluster, and asks why something waits.
    View,
    /// Steers the cluster: maintenance, machines to use, ending frameworks, tokens, these rules.
    Operate,
}

impl Action {
    /// All of them, in the order of declaration.
    pub const ALL: [Self; 10] = [
        Self::Register,
        Self::Reserve,
        Self::RunAs,
        Self::SetWeight,
        Self::SetQuota,
        Self::Kill,
        Self::ReadLogs,
        Self::Submit,
        Self::View,
        Self::Operate,
    ];

    /// As rules spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Reserve => "reserve",
            Self::RunAs => "run-as",
            Self::SetWeight => "set-weight",
            Self::SetQuota => "set-quota",
            Self::Kill => "kill",
            Self::ReadLogs => "read-logs",
            Self::Submit => "submit",
            Self::View => "view",
            Self::Operate => "operate",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Whom a rule is about: `operator/alice`, all whose names begin alike (`framework/team-*`), or everyone (`*`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Principals {
    /// Of this kind; any kind when `None`.
    kind: Option<IdentityKind>,
    name: String,
    /// Whether names may go on after this.
    is_prefix: bool,
}

/// A text that tells of no principals.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names nobody; write \"operator/alice\", \"framework/team-*\", or \"*\" for everyone")]
pub struct NoPrincipals(String);

impl Principals {
    /// Whether `who` is among them.
    #[must_use]
    pub fn include(&self, who: &Identity) -> bool {
        let is_named =
            if self.is_prefix { who.name().starts_with(&self.name) } else { who.name() == self.name };
        is_named && self.kind.is_none_or(|kind| who.kind() == kind)
    }
}

impl FromStr for Principals {
    type Err = NoPrincipals;

    fn from_str(text: &str) -> Result<Self, NoPrincipals> {
        let refused = || NoPrincipals(text.to_owned());
        let (kind, name) = match text.split_once('/') {
            Some((kind, name)) => (Some(kind.parse().map_err(|_| refused())?), name),
            None if text == "*" => (None, text),
            None => return Err(refused()),
        };
        let (prefix, is_prefix) = name.strip_suffix('*').map_or((name, false), |prefix| (prefix, true));
        if prefix.contains('*') || (prefix.is_empty() && !is_prefix) {
            return Err(refused());
        }
        Ok(Principals { kind, name: prefix.to_owned(), is_prefix })
    }
}

impl fmt::Display for Principals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Principals { kind, name, is_prefix } = self;
        if let Some(kind) = kind {
            write!(f, "{kind}/")?;
        }
        write!(f, "{name}{}", if *is_prefix { "*" } else { "" })
    }
}

impl TryFrom<String> for Principals {
    type Error = NoPrincipals;

    fn try_from(text: String) -> Result<Self, NoPrincipals> {
        text.parse()
    }
}

impl From<Principals> for String {
    fn from(principals: Principals) -> String {
        principals.to_string()
    }
}

/// Allows some to do something in some roles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Whom.
    pub principals: Vec<Principals>,
    /// What.
    pub actions: Vec<Action>,
    /// In these roles and all below them; `None`: in all, and where there is no role.
    #[serde(default)]
    pub roles: Option<Vec<Role>>,
}

impl Rule {
    fn allows(&self, who: &Identity, action: Action, role: Option<&Role>) -> bool {
        let in_role = match (&self.roles, role) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(roles), Some(role)) => {
                roles.contains(role) || role.ancestors().any(|above| roles.contains(&above))
            }
        };
        in_role
            && self.actions.contains(&action)
            && self.principals.iter().any(|principals| principals.include(who))
    }
}

/// Bounds how fast some may speak: who is faster is read more slowly. Each principal has this rate for itself, whatever the number of its
/// connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// Whom.
    pub principals: Vec<Principals>,
    /// Calls per second. At least one.
    pub calls_per_s: std::num::NonZeroU32,
}

/// All rules of a cluster.
///
/// ```
/// use apportion::protocol::rules::{Action, Rules};
/// use apportion::spec::Document;
///
/// let text = r#"
///     [[allow]]
///     principals = ["framework/research-*"]
///     actions = ["register", "reserve"]
///     roles = ["research"]
///
///     [[allow]]
///     principals = ["operator/admin"]
///     actions = ["view", "operate"]
/// "#;
/// let rules: Rules = Document::new("rules.toml", text).parse()?;
/// let framework = "spiffe://cluster/framework/research-1".parse()?;
/// assert!(rules.check(&framework, Action::Register, Some(&"research/ads".parse()?)).is_ok());
/// let denied = rules.check(&framework, Action::Register, Some(&"web".parse()?)).unwrap_err();
/// assert_eq!(denied.to_string(), "framework/research-1 may not register in role web: no rule allows it");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// What is allowed. Without any, everything is.
    #[serde(default)]
    pub allow: Vec<Rule>,
    /// How fast principals may speak; the first that is about someone counts.
    #[serde(default)]
    pub limit: Vec<RateLimit>,
}

/// Something is not allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} may not {action}{}: no rule allows it", principal(.who), .role.as_ref().map(|role| format!(" in role {role}")).unwrap_or_default())]
pub struct Denied {
    /// Who wanted it.
    pub who: Identity,
    /// What.
    pub action: Action,
    /// In which role, if it is about one.
    pub role: Option<Role>,
}

fn principal(who: &Identity) -> String {
    format!("{}/{}", who.kind(), who.name())
}

impl Rules {
    /// Whether someone may do something in a role; `None`: something that is not about a role.
    ///
    /// # Errors
    /// [`Denied`], when there are rules and none allows it.
    pub fn check(&self, who: &Identity, action: Action, role: Option<&Role>) -> Result<(), Denied> {
        if self.allow.is_empty() || self.allow.iter().any(|rule| rule.allows(who, action, role)) {
            return Ok(());
        }
        Err(Denied { who: who.clone(), action, role: role.cloned() })
    }

    /// How many calls per second someone may send, on all connections together; `None`: any number.
    #[must_use]
    pub fn calls_per_s(&self, who: &Identity) -> Option<u32> {
        let is_about = |limit: &&RateLimit| limit.principals.iter().any(|principals| principals.include(who));
        self.limit.iter().find(is_about).map(|limit| limit.calls_per_s.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Document;

    fn identity(path: &str) -> Identity {
        format!("spiffe://test/{path}").parse().unwrap()
    }

    #[test]
    fn principals_are_read_as_they_are_written() {
        for text in ["operator/alice", "framework/team-*", "agent/*", "*"] {
            assert_eq!(text.parse::<Principals>().unwrap().to_string(), text);
        }
        for wrong in ["alice", "robot/alice", "operator/", "operator/a*b", "", "a*"] {
            assert!(wrong.parse::<Principals>().is_err(), "{wrong}");
        }
        let team: Principals = "framework/team-*".parse().unwrap();
        assert!(team.include(&identity("framework/team-a")) && !team.include(&identity("operator/team-a")));
        assert!(!"operator/a".parse::<Principals>().unwrap().include(&identity("operator/ab")));
    }

    #[test]
    fn nothing_is_refused_without_rules_and_all_that_no_rule_allows_with_some() {
        let alice = identity("operator/alice");
        let web: Role = "web".parse().unwrap();
        assert_eq!(Rules::default().check(&alice, Action::Operate, None), Ok(()));
        let rule = Rule {
            principals: vec!["operator/*".parse().unwrap()],
            actions: vec![Action::Kill],
            roles: Some(vec![web.clone()]),
        };
        let rules = Rules { allow: vec![rule], limit: Vec::new() };
        assert_eq!(rules.check(&alice, Action::Kill, Some(&"web/shop".parse().unwrap())), Ok(()));
        assert!(rules.check(&alice, Action::Kill, Some(&"webs".parse().unwrap())).is_err());
        assert!(rules.check(&alice, Action::Kill, None).is_err(), "it is about one role only");
        assert!(rules.check(&alice, Action::View, Some(&web)).is_err());
        assert!(rules.check(&identity("framework/f"), Action::Kill, Some(&web)).is_err());
    }

    #[test]
    fn the_first_limit_counts() {
        let text = "[[limit]]\nprincipals = ['framework/slow']\ncalls_per_s = 10\n\
                    [[limit]]\nprincipals = ['framework/*']\ncalls_per_s = 100\n";
        let rules: Rules = Document::new("rules.toml", text).parse().unwrap();
        assert_eq!(rules.calls_per_s(&identity("framework/slow")), Some(10));
        assert_eq!(rules.calls_per_s(&identity("framework/other")), Some(100));
        assert_eq!(rules.calls_per_s(&identity("agent/a")), None);
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        let text = "[[allow]]\nprincipals = ['alice']\nactions = ['view']\n";
        let error = Document::new("rules.toml", text).parse::<Rules>().unwrap_err().to_string();
        assert!(error.starts_with("rules.toml:2:") && error.contains("\"operator/alice\""), "{error}");
        let text = "[[allow]]\nprincipals = ['*']\nactions = ['veiw']\n";
        let error = Document::new("rules.toml", text).parse::<Rules>().unwrap_err().to_string();
        assert!(error.starts_with("rules.toml:3:") && error.contains("view"), "{error}");
    }
}
