//! The real binary, run as people run it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn apportion(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_apportion"))
        .args(arguments)
        .current_dir(root())
        .output()
        .expect("the binary runs")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_example_scenario_gives_the_papers_shares() {
    let output = apportion(&["sim", "run", "examples/scenarios/drf.toml", "--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["frameworks"]["A"]["running_max"], 3);
    assert_eq!(summary["frameworks"]["B"]["running_max"], 2);
    let again = apportion(&["sim", "run", "examples/scenarios/drf.toml", "--json"]);
    let again: serde_json::Value = serde_json::from_slice(&again.stdout).unwrap();
    assert!(summary["events_hash"].is_string());
    assert_eq!(summary["events_hash"], again["events_hash"], "the same scenario gives the same run");
}

#[test]
fn the_example_specs_are_right_and_can_be_explained() {
    let specs =
        ["examples/trace-stats/batch.toml", "examples/trace-stats/service.toml", "examples/sweep/batch.toml"];
    let output = apportion(&[&["spec", "check"][..], &specs].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    for spec in specs {
        let output = apportion(&["spec", "explain", spec]);
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(stdout(&output).contains("# default"));
    }
}

#[test]
fn a_mistake_is_told_with_its_place_and_a_suggestion() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("web.toml");
    std::fs::write(
        &file,
        "schema = 1\nkind = \"service\"\nid = \"/web\"\nrole = \"web\"\nreplcas = 2\n[task]\nshell = \"true\"\n",
    )
    .unwrap();
    let output = apportion(&["spec", "check", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    let told = stderr(&output);
    assert!(told.contains("web.toml:5:1") && told.contains("did you mean 'replicas'?"), "{told}");
}

#[test]
fn help_and_completions_are_there() {
    assert!(stdout(&apportion(&["--help"])).contains("Exit codes"));
    assert!(stdout(&apportion(&["completions", "bash"])).contains("apportion"));
    assert_eq!(apportion(&["no-such-command"]).status.code(), Some(2));
    assert_eq!(apportion(&["sim", "run", "no-such-file.toml"]).status.code(), Some(2));
    assert_eq!(apportion(&["sim", "allocator", "no-such-file.toml"]).status.code(), Some(2));
}

#[test]
fn allocator_scripts_print_each_step_and_fail_where_an_expectation_is_not_met() {
    let output = apportion(&["sim", "allocator", "simulations/tests/scripts/paper-example.toml", "--json"]);
    assert!(output.status.success());
    let lines: Vec<serde_json::Value> = output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect();
    assert_eq!(lines[2]["action"], "add_agent");
    assert_eq!(lines[2]["offers"][0]["resources"], "cpus:9;mem:18");

    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("unmet.toml");
    let text = "schema = 1\nname = \"unmet\"\n[[step]]\nexpect_shares = {}\n[[step]]\n\
        expect = [{ framework = \"f\", role = \"r\", agent = \"a\", resources = \"cpus:1\" }]\n";
    std::fs::write(&script, text).unwrap();
    let output = apportion(&["sim", "allocator", script.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(message.contains("unmet.toml:6:1") && message.contains("missing"), "{message}");
}
