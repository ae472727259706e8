//! Sweeps: grids, replicates, shards, and going on where one was.

use apportion::spec::Document;
use apportion_simulations::sweep::{Axis, Shard, Sweep};

const SCENARIO: &str = r#"
    schema = 1
    name = "swept"
    agents = [{ count = 2, resources = "cpus:2" }]
    [[frameworks]]
    name = "q"
    role = "r"
    [frameworks.workload]
    arrivals = { distribution = "poisson", rate_per_s = 0.5 }
    limit = 20
    resources = "cpus:1"
    duration = { distribution = "exponential", mean = "5s" }
    "#;

fn sweep(axes: &[&str]) -> Sweep {
    let axes: Vec<Axis> = axes.iter().map(|axis| axis.parse().unwrap()).collect();
    Sweep::new(&Document::new("swept.toml", SCENARIO), &axes).unwrap()
}

#[test]
fn cells_are_estimated_from_replicates_and_runs_are_made_once() {
    let folder = tempfile::tempdir().unwrap();
    let sweep = sweep(&["frameworks.0.placement=first-fit,worst-fit", "seed=1..3"]);
    let first = sweep.run(folder.path(), Shard::WHOLE, || {}).unwrap();
    assert_eq!((first.ran, first.cells().len()), (6, 2));
    let wait = first.cells()[0].metrics["wait_s.mean"];
    assert!(wait.count == 3 && wait.ci95.is_finite() && wait.ci95 > 0.0);
    let table = std::fs::read_to_string(folder.path().join("runs.csv")).unwrap();
    assert_eq!(table.lines().count(), 7);
    let again = sweep.run(folder.path(), Shard::WHOLE, || {}).unwrap();
    assert_eq!(again.ran, 0);
    assert_eq!(std::fs::read_to_string(folder.path().join("runs.csv")).unwrap(), table);
}

#[test]
fn shards_make_up_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    let sweep = sweep(&["seed=1..5"]);
    let ran: Vec<usize> = ["1/2", "2/2"]
        .iter()
        .map(|shard| sweep.run(folder.path(), shard.parse().unwrap(), || {}).unwrap().ran)
        .collect();
    assert_eq!(ran, [3, 2]);
    for wrong in ["0/2", "3/2", "x", "1"] {
        assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
    }
}

#[test]
fn shards_of_several_machines_are_merged() {
    let folder = tempfile::tempdir().unwrap();
    let sweep = sweep(&["seed=1..5"]);
    let parts: Vec<_> = ["1/2", "2/2"]
        .iter()
        .zip(["a", "b"])
        .map(|(shard, part)| {
            let part = folder.path().join(part);
            sweep.run(&part, shard.parse().unwrap(), || {}).unwrap();
            part
        })
        .collect();
    let (merged, whole) = (folder.path().join("merged"), folder.path().join("whole"));
    assert_eq!(sweep.gather(&merged, &parts).unwrap(), 5);
    assert_eq!(sweep.run(&merged, Shard::WHOLE, || {}).unwrap().ran, 0);
    assert_eq!(sweep.run(&whole, Shard::WHOLE, || {}).unwrap().ran, 5);
    for file in ["runs.csv", "cells.csv", "sweep.html"] {
        let read = |folder: &std::path::Path| std::fs::read_to_string(folder.join(file)).unwrap();
        assert_eq!(read(&merged), read(&whole), "{file}");
    }
}

#[test]
fn a_wrong_value_is_told_before_anything_runs() {
    let axis: Axis = "frameworks.0.placement=first-fit,nearest".parse().unwrap();
    let error = Sweep::new(&Document::new("swept.toml", SCENARIO), &[axis]).unwrap_err().to_string();
    assert!(
        error.contains("with frameworks.0.placement=nearest") && error.contains("unknown value 'nearest'"),
        "{error}"
    );
    let shown: Vec<&str> = error.lines().map(str::trim).collect();
    assert!(shown.contains(&r#""placement": "nearest","#), "only the wrong line is shown: {error}");
}
