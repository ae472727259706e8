//! Models that benches run.

use apportion::spec::Document;
use apportion_simulations::Scenario;
use apportion_simulations::scenario::Model;

/// The model of a scenario.
pub(crate) fn model(text: &str) -> Model {
    let scenario = Scenario::parse(&Document::new("bench.toml", text)).expect("the scenario is right");
    scenario.resolve().expect("it names no files")
}
