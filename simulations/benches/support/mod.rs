//! Models that benches run.

use std::sync::Arc;

use apportion::spec::Document;
use apportion_simulations::Scenario;
use apportion_simulations::scenario::Model;
use apportion_simulations::traces::W100k;

/// The model of a scenario.
pub(crate) fn model(text: &str) -> Model {
    let scenario = Scenario::parse(&Document::new("bench.toml", text)).expect("the scenario is right");
    scenario.resolve().expect("it names no files")
}

/// W100k's machines, with a framework for each role; `of_each` is said of each framework.
pub(crate) fn w100k(workload: W100k, fidelity: &str, of_each: &str) -> Model {
    // Replaced by the workload.
    let placeholder = "jobs = [{ resources = \"cpus:1\", duration = \"1s\" }]";
    let frameworks: String = (0..W100k::ROLES)
        .map(|role| {
            format!("[[frameworks]]\nname = \"f{role}\"\nrole = \"r{role}\"\n{of_each}\n{placeholder}\n")
        })
        .collect();
    let mut made = model(&format!(
        "schema = 1\nname = \"w100k\"\nfidelity = \"{fidelity}\"\nagents = [{{ count = {}, resources = \"{}\" }}]\n{frameworks}",
        W100k::MACHINES,
        W100k::MACHINE
    ));
    for (role, framework) in made.frameworks.iter_mut().enumerate() {
        framework.workload = Arc::new(workload.workload(Some(role)));
    }
    made
}
