//! What can be set about preemption.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// For whom tasks of others are stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PreemptionPolicy {
    /// For nobody.
    #[default]
    Never,
    /// For roles that have less than what they are guaranteed.
    Guarantees,
    /// For those, and for roles that have less than their fair share.
    FairShare,
}

impl PreemptionPolicy {
    const ALL: [Self; 3] = [Self::Never, Self::Guarantees, Self::FairShare];
}

impl fmt::Display for PreemptionPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Never => "never",
            Self::Guarantees => "guarantees",
            Self::FairShare => "fair-share",
        })
    }
}

/// A text names no policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no preemption policy '{0}': it is 'never', 'guarantees' or 'fair-share'")]
pub struct UnknownPolicy(pub String);

impl FromStr for PreemptionPolicy {
    type Err = UnknownPolicy;

    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        let named = Self::ALL.into_iter().find(|policy| policy.to_string() == text);
        named.ok_or_else(|| UnknownPolicy(text.to_owned()))
    }
}

/// What can be set about preemption.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreemptionOptions {
    /// For whom.
    pub policy: PreemptionPolicy,
    /// A role must have had too little for so long, and waits as long again for the next time.
    pub after: Duration,
    /// From the warning of a task's framework to the task's end.
    pub grace: Duration,
}

impl Default for PreemptionOptions {
    /// Never; else after a minute, with half a minute's warning.
    fn default() -> Self {
        PreemptionOptions {
            policy: PreemptionPolicy::Never,
            after: Duration::from_secs(60),
            grace: Duration::from_secs(30),
        }
    }
}
