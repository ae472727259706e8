//! Simulated agents, in a cluster of their own and beside others; and simulations as tasks of a cluster.

mod common;

use std::path::Path;

use common::{Background, printed, wait_until};

#[test]
fn simulated_agents_run_what_takes_no_machine() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    let up = ["up", "--simulated-agents", "20", "--listen", "127.0.0.1:0", "--task-time", "200ms"];
    let mut cluster = Background::start(&state, &up);
    cluster.master();
    assert!(printed(&state, &["status"]).contains("20 connected of 20"));
    let more = Background::start(&state, &["agent", "--name", "more", "--simulated-agents", "5"]);
    wait_until("the others register", || printed(&state, &["status"]).contains("25 connected of 25"));

    let spec = folder.path().join("array.toml");
    let text = "schema = 1\nkind = \"batch\"\nid = \"/array\"\nrole = \"research\"\n[[step]]\nname = \"work\"\n\
                count = 300\ncpus = 1\nmemory = \"16MiB\"\nshell = \"exit 1\"\nenv = { SIMULATED_TIME = \"10ms\" }\n";
    std::fs::write(&spec, text).expect("it can be written");
    printed(&state, &["run", &spec.to_string_lossy()]);
    more.end("-INT");
    cluster.end("-INT");
}

/// `examples/sweep`.
#[test]
fn a_sweep_in_shards_on_a_cluster_is_the_sweep_of_one_machine() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/sweep");
    let scenario = std::fs::read_to_string(example.join("scenario.toml")).expect("it is there");
    // The binary of this test is elsewhere than the example looks for it, and slower.
    let program = Path::new(env!("CARGO_BIN_EXE_apportion")).parent().expect("it is in a folder");
    let job = std::fs::read_to_string(example.join("batch.toml"))
        .expect("it is there")
        .replace("$SPEC_DIR/../../target/release", &program.to_string_lossy())
        .replace("seed=1..4", "seed=1..2");
    assert!(job.contains(&*program.to_string_lossy()) && job.contains("seed=1..2"));
    let scenario = scenario.replace("limit = 800", "limit = 80").replace("limit = 200", "limit = 20");
    let (scenario_file, job_file) = (folder.path().join("scenario.toml"), folder.path().join("batch.toml"));
    std::fs::write(&scenario_file, scenario).expect("it can be written");
    std::fs::write(&job_file, job).expect("it can be written");

    let printed_there = printed(&state, &["run", "--local", &job_file.to_string_lossy()]);
    let here = folder.path().join("here");
    let arguments =
        ["sim", "sweep", &scenario_file.to_string_lossy(), "--out", &here.to_string_lossy(), "--quiet"];
    let sets = ["--set", "frameworks.notebooks.placement=worst-fit,best-fit,fgd", "--set", "seed=1..2"];
    let printed_here = printed(&state, &[&arguments[..], &sets].concat());
    let cells = |text: &str| -> Vec<String> {
        let lines =
            text.lines().map(str::trim).filter(|line| line.starts_with("frameworks.notebooks.placement="));
        lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    };
    assert_eq!(cells(&printed_here).len(), 3, "{printed_here}");
    assert_eq!(cells(&printed_there), cells(&printed_here), "{printed_there}");
    assert!(printed_there.contains("0 of 6 runs were made now"), "{printed_there}");
}
