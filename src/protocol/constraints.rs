//! Offer constraints: of which agents a framework wants offers at all, decided before anything is offered.

use serde::{Deserialize, Serialize};

use super::agent::AgentProfile;
use super::pattern::Pattern;

/// Of which agents offers are wanted: those that satisfy all constraints of any group.
///
/// Attributes are text, as in [`Attributes`](crate::protocol::Attributes).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OfferConstraints {
    /// Any of them suffices; without any, every agent will do.
    pub groups: Vec<Vec<AttributeConstraint>>,
}

/// A rule about one property of agents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttributeConstraint {
    /// Which property.
    pub selector: Selector,
    /// What must hold of it.
    pub predicate: Predicate,
}

/// A property of agents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Selector {
    /// The attribute of this name.
    Attribute(String),
    /// The machine's name.
    Hostname,
    /// The region that the agent is in.
    Region,
    /// The zone that the agent is in.
    Zone,
}

/// What must hold of a property.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Predicate {
    /// The agent has it.
    Exists,
    /// The agent does not have it.
    NotExists,
    /// It is this text.
    TextEquals(String),
    /// It is another text, or the agent does not have it.
    TextNotEquals(String),
    /// It is a text that matches.
    TextMatches(Pattern),
    /// It is a text that does not match, or the agent does not have it.
    TextNotMatches(Pattern),
}

impl OfferConstraints {
    /// Whether an agent is wanted.
    #[must_use]
    pub fn allow(&self, agent: &AgentProfile) -> bool {
        let holds = |group: &Vec<AttributeConstraint>| group.iter().all(|each| each.holds(agent));
        self.groups.is_empty() || self.groups.iter().any(holds)
    }
}

impl AttributeConstraint {
    /// Whether it holds of an agent.
    #[must_use]
    pub fn holds(&self, agent: &AgentProfile) -> bool {
        let domain = agent.domain.as_ref();
        let property = match &self.selector {
            Selector::Attribute(name) => agent.attributes.get(name).map(String::as_str),
            Selector::Hostname => Some(agent.hostname.as_str()),
            Selector::Region => domain.map(|domain| domain.region.as_str()),
            Selector::Zone => domain.map(|domain| domain.zone.as_str()),
        };
        match &self.predicate {
            Predicate::Exists => property.is_some(),
            Predicate::NotExists => property.is_none(),
            Predicate::TextEquals(text) => property == Some(text),
            Predicate::TextNotEquals(text) => property != Some(text),
            Predicate::TextMatches(pattern) => property.is_some_and(|text| pattern.matches(text)),
            Predicate::TextNotMatches(pattern) => !property.is_some_and(|text| pattern.matches(text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::agent::FaultDomain;
    use super::*;

    fn agent() -> AgentProfile {
        AgentProfile {
            hostname: "node1".to_owned(),
            attributes: [("rack".to_owned(), "a".to_owned())].into(),
            domain: Some(FaultDomain { region: "r1".to_owned(), zone: "z1".to_owned() }),
        }
    }

    fn rack(predicate: Predicate) -> AttributeConstraint {
        AttributeConstraint { selector: Selector::Attribute("rack".to_owned()), predicate }
    }

    #[test]
    fn predicates_are_about_what_there_is() {
        let (a, b) = ("a".to_owned(), "b".to_owned());
        let none = AgentProfile::default();
        for (predicate, with, without) in [
            (Predicate::Exists, true, false),
            (Predicate::NotExists, false, true),
            (Predicate::TextEquals(a.clone()), true, false),
            (Predicate::TextEquals(b.clone()), false, false),
            (Predicate::TextNotEquals(a), false, true),
            (Predicate::TextNotEquals(b), true, true),
            (Predicate::TextMatches("[ab]".parse().unwrap()), true, false),
            (Predicate::TextNotMatches("[ab]".parse().unwrap()), false, true),
            (Predicate::TextNotMatches("b.*".parse().unwrap()), true, true),
        ] {
            let constraint = rack(predicate);
            assert_eq!(
                (constraint.holds(&agent()), constraint.holds(&none)),
                (with, without),
                "{constraint:?}"
            );
        }
    }

    #[test]
    fn one_group_suffices_and_all_of_it_must_hold() {
        let zone = |zone: &str| AttributeConstraint {
            selector: Selector::Zone,
            predicate: Predicate::TextEquals(zone.to_owned()),
        };
        let groups = vec![vec![zone("z2")], vec![zone("z1"), rack(Predicate::Exists)]];
        assert!(OfferConstraints { groups: groups.clone() }.allow(&agent()));
        assert!(!OfferConstraints { groups: groups[..1].to_vec() }.allow(&agent()));
        assert!(OfferConstraints::default().allow(&agent()));
    }
}
