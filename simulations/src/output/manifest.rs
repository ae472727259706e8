//! What a run was made of.

use serde::Serialize;

use crate::digest::Digest;
use crate::engine::{Ending, Record};
use crate::scenario::{InputFile, Model, Scenario};

/// What a run was made of: with the same version and these inputs it gives the same events again.
#[derive(Clone, Debug, Serialize)]
pub struct Manifest {
    /// The version of this crate.
    pub version: &'static str,
    /// The commit that it was built from, where the build was told one.
    pub git_hash: Option<&'static str>,
    /// What random streams were seeded with.
    pub seed: u64,
    /// The hash of the scenario's text.
    pub scenario_hash: Digest,
    /// The files that it names.
    pub inputs: Vec<InputFile>,
    /// The hash of all events, in their order.
    pub events_hash: Digest,
    /// How many there were.
    pub events: u64,
    /// Why the run ended.
    pub ending: Ending,
    /// The scenario as it was understood, with its defaults.
    pub scenario: Scenario,
}

impl Manifest {
    /// The manifest of a run.
    pub fn new(model: &Model, record: &Record) -> Self {
        Manifest {
            version: env!("CARGO_PKG_VERSION"),
            git_hash: option_env!("APPORTION_GIT_HASH"),
            seed: model.seed,
            scenario_hash: model.scenario_hash,
            inputs: model.inputs.clone(),
            events_hash: record.digest,
            events: record.events,
            ending: record.ending,
            scenario: model.scenario.clone(),
        }
    }
}
