//! What was offered, what was expected, and what is different between them.

use std::collections::BTreeMap;
use std::fmt;

use apportion::protocol::{AgentId, FrameworkId};
use apportion::resources::{Resources, Role};
use serde::Serialize;

use super::form::Expected;
use super::text::as_written;

/// Resources of one agent, offered to a framework for a role.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Offered {
    /// To whom.
    pub framework: String,
    /// For which of its roles.
    pub role: String,
    /// Of which agent.
    pub agent: String,
    /// What, as scripts write it: of reservations only the role that holds them is shown.
    pub resources: String,
    /// Which set for a gang it belongs to, from 1; offers of a set are accepted or declined together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set: Option<usize>,
}

impl fmt::Display for Offered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}) on {}: {}", self.framework, self.role, self.agent, self.resources)?;
        self.set.map_or(Ok(()), |set| write!(f, " (of set {set})"))
    }
}

/// What a step brought about.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepReport {
    /// Which step, from 1.
    pub step: usize,
    /// What was done.
    pub action: &'static str,
    /// The time after it, in seconds.
    pub time_s: f64,
    /// The offers that were made in it.
    pub offers: Vec<Offered>,
    /// The frameworks that were asked to leave agents, and these.
    pub inverse_offers: Vec<(String, String)>,
    /// What was to be explained, for people.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub explanation: Vec<String>,
}

impl fmt::Display for StepReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}. {} ({} s)", self.step, self.action, self.time_s)?;
        for offer in &self.offers {
            write!(f, "\n   offered: {offer}")?;
        }
        for (framework, agent) in &self.inverse_offers {
            write!(f, "\n   asked to leave: {framework} on {agent}")?;
        }
        for line in &self.explanation {
            write!(f, "\n   {line}")?;
        }
        Ok(())
    }
}

/// Offers, summed up per framework, role and agent.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Offers(BTreeMap<(FrameworkId, Role, AgentId), Resources>);

/// Expected offers that were not made, and offers that were not expected.
pub(super) struct Difference {
    pub(super) missing: Vec<(FrameworkId, Role, AgentId, Resources)>,
    pub(super) unexpected: Vec<(FrameworkId, Role, AgentId, Resources)>,
}

impl Offers {
    pub(super) fn add(
        &mut self,
        framework: &FrameworkId,
        role: &Role,
        agent: &AgentId,
        resources: &Resources,
    ) {
        let key = (framework.clone(), role.clone(), agent.clone());
        *self.0.entry(key).or_default() += as_written(resources);
    }

    /// Compares with what is expected; `None` when it is just so.
    pub(super) fn compare(&self, expected: &[Expected]) -> Option<Difference> {
        let mut wanted = Offers::default();
        for offer in expected {
            let to = |(framework, _, agent): &(FrameworkId, Role, AgentId)| {
                *framework == offer.framework.0 && *agent == offer.agent.0
            };
            // An expectation that names no role means whichever the offer is for.
            let role = match &offer.role {
                Some(role) => role.0.clone(),
                None => self.0.keys().find(|key| to(key)).map_or_else(Role::any, |key| key.1.clone()),
            };
            wanted.add(&offer.framework.0, &role, &offer.agent.0, &offer.resources.0);
        }
        let without = |all: &Offers, others: &Offers| {
            all.0
                .iter()
                .filter(|(key, resources)| others.0.get(key) != Some(resources))
                .map(|((framework, role, agent), resources)| {
                    (framework.clone(), role.clone(), agent.clone(), resources.clone())
                })
                .collect::<Vec<_>>()
        };
        let difference = Difference { missing: without(&wanted, self), unexpected: without(self, &wanted) };
        (wanted != *self).then_some(difference)
    }

    pub(super) fn list(&self) -> Vec<Offered> {
        self.0
            .iter()
            .map(|((framework, role, agent), resources)| offered(framework, role, agent, resources))
            .collect()
    }
}

pub(super) fn offered(
    framework: &FrameworkId,
    role: &Role,
    agent: &AgentId,
    resources: &Resources,
) -> Offered {
    Offered {
        framework: framework.to_string(),
        role: role.to_string(),
        agent: agent.to_string(),
        resources: as_written(resources).to_string(),
        set: None,
    }
}
