//! What is secret is seen by nobody who looks at logs, at command lines or at the cluster's state.

#[allow(dead_code, reason = "other tests need more of it")]
mod common;

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use common::{Background, apportion, printed, wait_until};

/// Starts a process that logs all that it can to a file, and is told `input`.
fn start(state: &Path, log: &Path, arguments: &[&str], input: &str) -> Background {
    let mut command = common::command(state, arguments);
    command.env("RUST_LOG", "trace").stdin(Stdio::piped()).stdout(Stdio::piped());
    command.stderr(File::create(log).expect("a log"));
    let mut process = command.spawn().expect("the binary runs");
    process.stdin.take().expect("it is piped").write_all(input.as_bytes()).expect("it is read");
    Background(process)
}

#[test]
fn secrets_are_in_no_log_and_on_no_command_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let (state, own) = (folder.path().join("state"), folder.path().join("own"));
    let logs = [folder.path().join("master.log"), folder.path().join("agent.log")];
    let mut master = start(&state, &logs[0], &["master", "--listen", "127.0.0.1:0"], "");
    let address = master.master().to_string();
    let token = printed(&state, &["token", "create", "agent"]);
    let secret = token.trim().rsplit('-').next().expect("it ends with its secret");

    let join = |name| ["agent", "--name", name, "--master", &address, "--token-file", "-"];
    let agent = start(&own, &logs[1], &join("a1"), &token);
    wait_until("the agent registers", || {
        printed(&state, &["status"]).contains("agents      1 connected of 1")
    });
    let mut again = start(&own, &folder.path().join("again.log"), &join("a2"), &token);
    assert!(!again.0.wait().expect("it ends").success());
    let told = std::fs::read_to_string(folder.path().join("again.log")).expect("a log");
    assert!(told.contains("the token was used before"), "{told}");

    let mut seen: Vec<String> = Vec::new();
    for process in [&master, &agent] {
        let line = std::fs::read(format!("/proc/{}/cmdline", process.0.id())).expect("it runs");
        seen.push(String::from_utf8_lossy(&line).into_owned());
    }
    for list in ["status", "agents", "tasks", "frameworks", "roles"] {
        let answer = apportion(&state, &[list, "--json", "-vv"]);
        seen.extend([answer.stdout, answer.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()));
    }
    agent.end("-INT");
    master.end("-INT");
    seen.extend(logs.iter().map(|log| std::fs::read_to_string(log).expect("a log")));
    assert!(seen.iter().any(|text| text.contains("newcomer joins")), "the master has logged what it did");
    let keys = [&state, &own].map(|state| key_lines(state)).concat();
    assert!(keys.len() > 1, "there are private keys");
    for text in &seen {
        assert!(!text.contains(secret), "a token's secret is in\n{text}");
        assert!(!keys.iter().any(|line| text.contains(line)), "a private key is in\n{text}");
    }
}

/// A line of each private key that is kept in a folder.
fn key_lines(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let texts = files.filter_map(|file| std::fs::read_to_string(file).ok());
    texts
        .filter_map(|text| Some(text.split_once("PRIVATE KEY-----\n")?.1.lines().next()?.to_owned()))
        .collect()
}
