//! The real binary with real agents, executors and tasks.

mod common;
#[path = "common/jobs.rs"]
mod jobs;
mod tasks;

use std::path::Path;
use std::process::Stdio;

use common::{Background, apportion, command, printed, wait_until};
use jobs::batch;
use tasks::{processes_with, write};

/// The tasks that go on, as the master tells them.
fn live_tasks(state: &Path) -> Vec<String> {
    let tasks: serde_json::Value = serde_json::from_str(&printed(state, &["tasks", "--json"])).expect("JSON");
    let tasks = tasks.as_array().expect("a list").iter();
    let live = tasks.filter(|task| matches!(task["state"].as_str(), Some("running" | "staging")));
    live.map(|task| task["status"]["task"].as_str().expect("an id").to_owned()).collect()
}

#[test]
fn an_agent_that_nobody_listens_to_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = &folder.path().join("state");
    let mut master = Background::start(state, &["master", "--listen", "127.0.0.1:0"]);
    master.master();
    let mut line = command(state, &["-v", "agent", "--name", "a1"]);
    let mut agent =
        Background(line.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary runs"));
    drop(agent.0.stderr.take());
    wait_until("the agent registers", || {
        printed(state, &["status"]).contains("agents      1 connected of 1")
    });
    agent.end("-INT");
}

#[test]
fn a_cluster_on_this_machine_runs_work_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = &folder.path().join("state");
    let mut cluster = Background::start(state, &["up", "--listen", "127.0.0.1:0", "--agents", "2"]);
    cluster.master();
    wait_until("the agents register", || {
        printed(state, &["status"]).contains("agents      2 connected of 2")
    });

    let good = printed(state, &["run", &batch(folder.path(), "good", 20, "echo result $INDEX")]);
    assert!(good.contains(": succeeded after"), "{good}");
    let task = good.split(':').next().expect("the run").to_owned() + ".work.7.1";
    assert_eq!(printed(state, &["logs", &task]), "result 7\n");

    let failed = apportion(state, &["run", &batch(folder.path(), "failing", 1, "echo why >&2; exit 3")]);
    assert_eq!(failed.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&failed.stderr).contains("exit code 3"), "{failed:?}");

    let marker = format!("marker-{}", std::process::id());
    let service = format!(
        "schema = 1\nkind = \"service\"\nid = \"/lasting\"\nrole = \"web\"\nreplicas = 2\n\
         [task]\nshell = 'echo up; : {marker}; while :; do sleep 0.1; done'\ncpus = 0.1\nmemory = \"16MiB\"\n"
    );
    printed(state, &["run", &write(folder.path(), "service", &service), "--detach"]);
    wait_until("both instances run", || live_tasks(state).len() == 2);
    assert!(printed(state, &["roles"]).contains("web"));
    let killed = live_tasks(state).remove(0);
    let mut follower = command(state, &["logs", &killed, "-f"]);
    let follower = follower.stdout(Stdio::piped()).spawn().expect("the binary runs");
    printed(state, &["kill", &killed]);
    let followed = follower.wait_with_output().expect("it ends when the task does");
    assert_eq!(String::from_utf8_lossy(&followed.stdout), "up\n");
    wait_until("another instance takes its place", || {
        let live = live_tasks(state);
        live.len() == 2 && !live.contains(&killed)
    });

    let huge = write(
        folder.path(),
        "huge",
        "schema = 1\nkind = \"batch\"\nid = \"/huge\"\nrole = \"research\"\n\
         [[step]]\nname = \"work\"\ncpus = 1000\ncmd = [\"true\"]\n",
    );
    let huge = printed(state, &["run", &huge, "--detach"]);
    let why = printed(state, &["why", &format!("{}.work.0.1", huge.trim())]);
    assert!(why.contains("cpus"), "{why}");

    assert!(!processes_with(&marker).is_empty());
    cluster.end("-INT");
    assert!(processes_with(&marker).is_empty());
}

#[test]
fn nothing_is_left_of_a_cluster_on_this_machine_that_is_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = &folder.path().join("state");
    let mut cluster = Background::start(state, &["up", "--listen", "127.0.0.1:0", "--agents", "2"]);
    cluster.master();
    let marker = format!("orphan-{}", std::process::id());
    let job = batch(folder.path(), "job", 4, &format!(": {marker}; while :; do sleep 0.1; done"));
    printed(state, &["run", &job, "--detach"]);
    wait_until("the tasks run", || live_tasks(state).len() == 4);
    // Dropping it kills it with SIGKILL, master, agents, frameworks and all.
    drop(cluster);
    wait_until("executors end, and their tasks", || processes_with(&marker).is_empty());
}

#[test]
fn the_same_cluster_from_processes_of_their_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let (state, elsewhere) = (&folder.path().join("state"), &folder.path().join("elsewhere"));
    let mut master = Background::start(state, &["master", "--listen", "127.0.0.1:0"]);
    let address = master.master().to_string();
    let token = printed(state, &["token", "create", "agent"]);
    let by_token = ["agent", "--master", &address, "--name", "far", "--attribute", "zone=b"];
    let mut by_token = command(elsewhere, &by_token);
    by_token.env("APPORTION_TOKEN", token.trim());
    let far = Background::spawn(by_token);
    let near = Background::start(state, &["agent", "--name", "near", "--resources", "cpus:1;mem:256"]);
    let batch_framework = Background::start(state, &["batch"]);
    let ready = || {
        printed(state, &["status"]).contains("agents      2 connected of 2")
            && printed(state, &["frameworks"]).contains("batch")
    };
    wait_until("all are there", ready);

    let marker = format!("apart-{}", std::process::id());
    let done = printed(
        state,
        &["run", &batch(folder.path(), "apart", 8, &format!(": {marker}; sleep 0.1; hostname"))],
    );
    assert!(done.contains(": succeeded after"), "{done}");

    // An agent that has joined needs no token to come back.
    far.end("-TERM");
    let again = Background::start(elsewhere, &["agent", "--master", &address, "--name", "far"]);
    wait_until("it is back", || printed(state, &["status"]).contains("agents      2 connected of 2"));

    let long = batch(folder.path(), "long", 2, &format!(": {marker}; sleep 1000"));
    printed(state, &["run", &long, "--detach"]);
    wait_until("its tasks run", || live_tasks(state).len() == 2);
    batch_framework.end("-INT");
    again.end("-INT");
    near.end("-INT");
    master.end("-INT");
    assert!(processes_with(&marker).is_empty());
}

#[test]
fn tasks_share_gpus_device_by_device() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = &folder.path().join("state");
    let mut master = Background::start(state, &["master", "--listen", "127.0.0.1:0"]);
    master.master();
    let resources = "cpus:4;mem:1024;gpu_milli:[0-1999]";
    let agent = Background::start(state, &["agent", "--name", "a1", "--resources", resources]);
    let batch = Background::start(state, &["batch", "--placement", "fgd"]);
    wait_until("both are there", || {
        printed(state, &["status"]).contains("agents      1 connected of 1")
            && printed(state, &["frameworks"]).contains("batch")
    });
    // A task fails that finds another on its device. The first two go on when both have begun, on both devices.
    let devices = folder.path().join("devices");
    std::fs::create_dir(&devices).expect("a folder");
    let line = format!(
        "cd {}; mkdir $CUDA_VISIBLE_DEVICES || exit 9; echo $APPORTION_GPUS >> begun; \
         until [ $(wc -l < begun) -gt 1 ]; do sleep 0.02; done; rmdir $CUDA_VISIBLE_DEVICES",
        devices.display()
    );
    let spec = format!(
        "schema = 1\nkind = \"batch\"\nid = \"/sharing\"\nrole = \"research\"\n[[step]]\nname = \"work\"\ncount = 3\n\
         cpus = 0.1\nmemory = \"8MiB\"\nshared_gpus = 0.6\nshell = '''{line}'''\n"
    );
    let done = printed(state, &["run", &write(folder.path(), "sharing", &spec)]);
    assert!(done.contains(": succeeded after"), "{done}");
    let begun = std::fs::read_to_string(devices.join("begun")).expect("the tasks wrote it");
    let mut first: Vec<&str> = begun.lines().take(2).collect();
    first.sort_unstable();
    assert_eq!((first, begun.lines().count()), (vec!["0", "1"], 3));
    [batch, agent, master].into_iter().for_each(|process| process.end("-INT"));
}
