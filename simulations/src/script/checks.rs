//! Expectations and explanations.

use std::collections::BTreeMap;

use apportion::allocator::Allocator;
use apportion::protocol::{AgentId, Explanation, FrameworkId, Waiting};
use apportion::resources::{Resources, Role};

use super::expectations::offered;
use super::form::{self, Expected};
use super::player::{World, Wrong};

/// How far an expected share may be off.
const TOLERANCE: f64 = 1e-6;

impl World {
    pub(super) fn expect(&mut self, expected: &[Expected]) -> Result<(), Wrong> {
        let recent = std::mem::take(&mut self.recent);
        let Some(difference) = recent.compare(expected) else { return Ok(()) };
        let mut details = String::new();
        let mut list = |heading: &str, lines: Vec<String>| {
            details += &format!("\n  {heading}:");
            if lines.is_empty() {
                details += " none";
            }
            for line in lines {
                details += &format!("\n    {line}");
            }
        };
        let line = |(framework, role, agent, resources): &(FrameworkId, Role, AgentId, Resources)| {
            offered(framework, role, agent, resources).to_string()
        };
        let expected = expected.iter().map(|offer| {
            let role = offer.role.as_ref().map_or_else(Role::any, |role| role.0.clone());
            offered(&offer.framework.0, &role, &offer.agent.0, &offer.resources.0).to_string()
        });
        list("expected", expected.collect());
        list("found", recent.list().iter().map(ToString::to_string).collect());
        list("missing", difference.missing.iter().map(line).collect());
        list("not expected", difference.unexpected.iter().map(line).collect());
        for (framework, role, agent, resources) in &difference.missing {
            let why = self.explain(framework, role, resources);
            list(&format!("why {framework} is not offered this of {agent}"), why);
        }
        Err(Wrong { message: "the offers are not those that are expected".to_owned(), details })
    }

    pub(super) fn explain_all(&mut self, explain: &form::Explain) -> Result<(), Wrong> {
        let framework = explain.framework.as_ref().map(|framework| &framework.0);
        let role = explain.role.as_ref().map(|role| &role.0);
        if let Some(framework) = framework {
            self.framework(framework)?;
        }
        let waiting = self.allocator.explain_waiting(self.now, framework, role);
        let wanted = &explain.resources.0;
        if wanted.is_empty() {
            for Waiting { framework, role, group, explanation } in waiting {
                let group = group.map(|group| format!(", {} of {}", group.count, group.shape));
                let title = format!("{framework} in {role}{}:", group.unwrap_or_default());
                self.tell_why(title, lines(&explanation));
            }
        } else {
            let mut members: Vec<_> =
                waiting.into_iter().map(|waiting| (waiting.framework, waiting.role)).collect();
            members.dedup();
            for (framework, role) in members {
                let lines = self.explain(&framework, &role, wanted);
                self.tell_why(format!("{framework} in {role}:"), lines);
            }
        }
        let told = self.explanation.join("\n");
        match explain.contains.iter().find(|text| !told.contains(text.as_str())) {
            Some(text) => Err(Wrong {
                message: "the explanation does not say what is expected".to_owned(),
                details: format!("\n  expected: {text}\n  found:\n{told}"),
            }),
            None => Ok(()),
        }
    }

    fn tell_why(&mut self, title: String, lines: Vec<String>) {
        self.explanation.push(title);
        self.explanation.extend(lines.into_iter().map(|line| format!("- {line}")));
    }

    pub(super) fn explain(&self, framework: &FrameworkId, role: &Role, wanted: &Resources) -> Vec<String> {
        lines(&self.allocator.explain(self.now, framework, role, &wanted.quantities()))
    }

    pub(super) fn expect_shares(&self, expected: &BTreeMap<String, f64>) -> Result<(), Wrong> {
        let mut different = Vec::new();
        for (path, expected) in expected {
            let found = self.share(path).ok_or_else(|| format!("there is no role or framework {path}"))?;
            if (found - expected).abs() > TOLERANCE {
                different.push(format!("\n  {path}: expected {expected}, found {found}"));
            }
        }
        if different.is_empty() {
            return Ok(());
        }
        let message = "the shares are not those that are expected".to_owned();
        Err(Wrong { message, details: different.concat() })
    }

    /// The dominant share of a role, or of a framework in a role when there is no such role.
    pub(super) fn share(&self, path: &str) -> Option<f64> {
        let role: Role = path.parse().ok()?;
        if let Some(share) = self.allocator.shares().into_iter().find(|share| share.role == role) {
            return Some(share.share.as_f64());
        }
        let (role, framework) = path.rsplit_once('/')?;
        let framework = FrameworkId::new(framework).ok()?;
        Some(self.allocator.framework_share(&framework, &role.parse().ok()?)?.as_f64())
    }
}

/// What an explanation says, for people.
fn lines(explanation: &Explanation) -> Vec<String> {
    if explanation.obstacles.is_empty() {
        return vec!["nothing stands in the way".to_owned()];
    }
    explanation.obstacles.iter().map(|obstacle| format!("{obstacle} ({})", obstacle.remedy())).collect()
}
