//! A party whose certificate ran out while it was away.

mod common;

use std::time::{Duration, Instant};

use common::{Background, printed, wait_until};

/// How long the first certificates are valid.
const LIFETIME: Duration = Duration::from_secs(3);

#[test]
fn who_was_away_for_too_long_joins_again_under_its_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let (state, elsewhere) = (&folder.path().join("state"), &folder.path().join("elsewhere"));
    let lifetime = format!("{}s", LIFETIME.as_secs());
    let mut master =
        Background::start(state, &["master", "--listen", "127.0.0.1:0", "--certificate-lifetime", &lifetime]);
    let address = master.master().to_string();
    let line = |token: Option<String>| {
        let own = ["agent", "--master", &address, "--name", "far", "--resources", "cpus:1;mem:64"];
        let mut line = common::command(elsewhere, &own);
        if let Some(token) = token {
            let file = folder.path().join("token");
            std::fs::write(&file, token).expect("it can be written");
            line.arg("--token-file").arg(file);
        }
        line
    };
    let start = |token| Background::spawn(line(token));
    let refusal = |token| {
        let output = line(token).output().expect("the binary runs");
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let is_back = || {
        wait_until("the agent registers", || {
            printed(state, &["status"]).contains("agents      1 connected of 1")
        });
    };

    let agent = start(Some(printed(state, &["token", "create", "agent"])));
    is_back();
    drop(agent);
    master.end("-INT");
    let left = Instant::now();

    // What it signs now lasts: the operator's certificate, above all.
    let mut master = Background::start(state, &["master", "--listen", &address]);
    master.master();
    // It may have renewed it just before, and certificates count whole seconds.
    wait_until("the agent's certificate runs out", || left.elapsed() > 2 * LIFETIME);
    let told = refusal(None);
    assert!(told.contains("expired"), "{told}");
    let told = refusal(Some(printed(state, &["token", "create", "agent"])));
    assert!(told.contains("apportion token create agent --again far"), "{told}");
    let _agent = start(Some(printed(state, &["token", "create", "agent", "--again", "far"])));
    is_back();
}
