//! Simulated agents, in a cluster of their own and beside others.

mod common;

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
