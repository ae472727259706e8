//! What many trials add up to.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::plan::FaultKind;
use super::record::Coverage;
use super::trial::Outcome;

/// Seconds in a year of 365.25 days.
const YEAR_S: f64 = 365.25 * 24.0 * 3600.0;

/// The sum of some outcomes.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Tally {
    /// How many seeds were run.
    pub seeds: u64,
    /// Those that broke a rule.
    pub failed: Vec<u64>,
    /// How much time went by in the simulated clusters.
    #[serde(rename = "simulated_s", serialize_with = "seconds")]
    pub simulated: Duration,
    /// How many things happened.
    pub steps: u64,
    /// How many faults struck, by kind.
    pub faults: BTreeMap<FaultKind, u64>,
    /// What was done, and how often.
    #[serde(serialize_with = "as_map")]
    pub covered: Coverage,
}

fn seconds<S: Serializer>(of: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(of.as_secs_f64())
}

fn as_map<S: Serializer>(covered: &Coverage, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(covered.iter().map(|((what, which), count)| (join(what, which), count)))
}

fn join(what: &str, which: &str) -> String {
    if which.is_empty() { what.to_owned() } else { format!("{what}: {which}") }
}

impl Tally {
    /// Adds an outcome.
    pub fn add(&mut self, outcome: &Outcome) {
        self.seeds += 1;
        if outcome.violation.is_some() {
            self.failed.push(outcome.seed);
        }
        self.simulated += outcome.simulated;
        self.steps += outcome.steps;
        for (kind, count) in &outcome.injected {
            *self.faults.entry(*kind).or_default() += count;
        }
        for (label, count) in &outcome.coverage {
            *self.covered.entry(*label).or_default() += count;
        }
    }

    /// Adds another sum.
    #[must_use]
    pub fn merged(mut self, other: Tally) -> Tally {
        self.seeds += other.seeds;
        self.failed.extend(other.failed);
        self.failed.sort_unstable();
        self.simulated += other.simulated;
        self.steps += other.steps;
        for (kind, count) in other.faults {
            *self.faults.entry(kind).or_default() += count;
        }
        for (label, count) in other.covered {
            *self.covered.entry(label).or_default() += count;
        }
        self
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let years = self.simulated.as_secs_f64() / YEAR_S;
        let hours = self.simulated.as_secs_f64() / 3600.0;
        let faults: u64 = self.faults.values().sum();
        let failed: Vec<String> = self.failed.iter().map(u64::to_string).collect();
        let which = if failed.is_empty() { String::new() } else { format!(": {}", failed.join(", ")) };
        writeln!(f, "{} seeds, {} of them failed{which}", self.seeds, failed.len())?;
        writeln!(f, "{hours:.1} simulated hours ({years:.3} years) in {} steps", self.steps)?;
        writeln!(f, "{faults} faults:")?;
        for (kind, count) in &self.faults {
            writeln!(f, "  {count:>8} {kind}")?;
        }
        writeln!(f, "{} kinds of messages and transitions covered:", self.covered.len())?;
        for ((what, which), count) in &self.covered {
            writeln!(f, "  {count:>8} {}", join(what, which))?;
        }
        Ok(())
    }
}
