//! A master of the real binary writes its journal, and the simulator plays it again.

mod common;

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use common::{Background, apportion, printed, wait_until};
use serde_json::Value;

fn json(state: &Path, arguments: &[&str]) -> Value {
    serde_json::from_str(&printed(state, arguments)).expect("JSON")
}

/// Runs four tasks of a core each, one after the other, since there is one core.
fn record(folder: &Path, state: &Path, journal: &str) -> String {
    let master = ["master", "--listen", "127.0.0.1:0", "--journal", journal, "--preemption", "fair-share"];
    let mut master = Background::start(state, &master);
    master.master();
    let _batch = Background::start(state, &["batch", "--role", "research"]);
    wait_until("the framework connects", || {
        printed(state, &["frameworks", "--json"]).contains("\"connected\": true")
    });
    let spec = folder.join("work.toml");
    let text = "schema = 1\nkind = \"batch\"\nid = \"/work\"\nrole = \"research\"\n\
                [[step]]\nname = \"only\"\ncount = 4\ncpus = 1\nmemory = \"16MiB\"\nshell = 'sleep 0.3'\n";
    std::fs::write(&spec, text).expect("it can be written");
    let run = printed(state, &["run", &spec.to_string_lossy(), "--detach"]);
    let agent = ["agent", "--name", "a1", "--listen", "127.0.0.1:0", "--isolation", "plain"];
    let agent = Background::start(state, &[&agent[..], &["--resources", "cpus:1;mem:1024"]].concat());
    wait_until("all tasks end", || {
        json(state, &["frameworks", "--json"])[0]["tasks_finished"].as_u64() == Some(4)
    });
    agent.end("-TERM");
    master.end("-TERM");
    run.trim().to_owned()
}

#[test]
fn a_journal_replays_to_the_same_decisions_and_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = &folder.path().join("state");
    let path = folder.path().join("journal");
    let journal = path.to_string_lossy().into_owned();
    let run = record(folder.path(), state, &journal);

    let replay = json(state, &["sim", "replay", &journal, "--json"]);
    assert_eq!(replay["replay"]["difference"], Value::Null, "{replay:#}");
    assert_eq!(replay["replay"]["is_complete"], true);
    assert!(replay["replay"]["inputs"].as_u64() > Some(20), "{replay:#}");

    // At some time the last task waited for the only core.
    let task = format!("{run}.only.3.1");
    let end = replay["replay"]["at_s"].as_f64().expect("a number");
    let waited = (1..60)
        .map(|part| format!("{}ms", (end * 1000.0 * f64::from(part) / 60.0) as u64))
        .find_map(|until| {
            let output = apportion(state, &["sim", "replay", &journal, "--until", &until, "--why", &task]);
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            (output.status.success() && text.contains("launched at")).then_some(text)
        });
    let waited = waited.expect("it waited");
    assert!(waited.contains("waits for cpus:1") && waited.contains("research"), "{waited}");
    let unknown = apportion(state, &["sim", "replay", &journal, "--until", "1ms", "--why", "nobody"]);
    assert!(!unknown.status.success());

    // With four cores all of them start at once.
    let whatif = ["sim", "whatif", &journal, "--set", "agents.0.count=4", "--json", "--from"];
    let middle = (1..60)
        .map(|part| format!("{}ms", (end * 1000.0 * f64::from(part) / 60.0) as u64))
        .find_map(|from| {
            let output = apportion(state, &[&whatif[..], &[&from]].concat());
            output.status.success().then(|| serde_json::from_slice::<Value>(&output.stdout).expect("JSON"))
        });
    let middle = middle.expect("there was an agent");
    let wait = |of: &str| middle[of]["wait_s"]["max"].as_f64().expect("a number");
    assert!(wait("as_it_was") > 0.5 && wait("what_if") < 0.1, "{middle:#}");
    // Unless it is told when, it goes on from when there was an agent, and all tasks were to come.
    let whole = json(state, &["sim", "whatif", &journal, "--set", "agents.0.count=4", "--json"]);
    assert_eq!(whole["as_it_was"]["tasks_finished"], 4, "{whole:#}");
    assert!(
        whole["what_if"]["wait_s"]["max"].as_f64() < whole["as_it_was"]["wait_s"]["max"].as_f64(),
        "{whole:#}"
    );
    let scenario = json(
        state,
        &["sim", "whatif", &journal, "--scenario", "--from", &format!("{}ms", (end * 500.0) as u64)],
    );
    assert_eq!(scenario["schema"], 1, "{scenario:#}");
    assert_eq!(scenario["allocator"]["preemption"], "fair-share", "the allocator is like the master's");

    // A torn tail is tolerated, damage is told with its place.
    let file = std::fs::read_dir(&path).expect("a folder").next().expect("a file").expect("an entry").path();
    let mut open = OpenOptions::new().append(true).open(&file).expect("a file");
    open.write_all(&[200, 0, 0]).expect("it can be written");
    let torn = json(state, &["sim", "replay", &journal, "--json"]);
    assert_eq!(torn["replay"]["torn_bytes"], 3);
    open.write_all(&[0xff; 40]).expect("it can be written");
    let damaged = apportion(state, &["sim", "replay", &journal]);
    let error = String::from_utf8_lossy(&damaged.stderr).into_owned();
    assert!(!damaged.status.success() && error.contains("is damaged"), "{error}");
}
