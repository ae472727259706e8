//! Scenarios whose results are known, run as researchers run them.

mod backfill;
mod decisions;
mod determinism;
mod failures;
mod fairness;
mod fidelity;
mod gpus;
mod packing;
mod papers;
mod production;
mod queues;
mod scenarios;
mod sweeps;

use apportion::spec::Document;
use apportion_simulations::{Progress, Run, Scenario};

/// Runs a scenario that is right.
fn run(text: &str) -> Run {
    let scenario =
        Scenario::parse(&Document::new("test.toml", text)).unwrap_or_else(|error| panic!("{error}"));
    scenario.resolve().unwrap().run(&mut Progress::silent()).unwrap()
}

/// The mistakes that a scenario is told.
fn mistakes(text: &str) -> String {
    Scenario::parse(&Document::new("test.toml", text)).unwrap_err().to_string()
}

/// The frameworks of the tasks, in the order in which they started.
fn order(run: &Run) -> String {
    let name = |task: &apportion_simulations::engine::TaskRun| {
        run.model().frameworks[task.framework as usize].id.as_str().to_owned()
    };
    run.record().tasks.iter().map(name).collect()
}

/// Nearly the same.
#[track_caller]
fn assert_close(got: f64, expected: f64, tolerance: f64) {
    assert!((got - expected).abs() <= tolerance, "{got} is not {expected} ± {tolerance}");
}
