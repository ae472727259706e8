//! The real binary as master, framework and operator, with an agent played by the test.

mod common;

use std::net::SocketAddr;
use std::path::Path;

use apportion::net::{Accepted, Credentials, Endpoint, Expect, JoinToken, Settings, join};
use apportion::protocol::logs::{LogAnswer, ReadLog};
use apportion::protocol::{
    AgentCall, AgentEvent, AgentInfo, Exit, FrameworkId, IdentityKind, Reason, TaskInfo, TaskState,
    TaskStatus, UpdateNumber,
};
use apportion::resources::Resources;
use apportion::time::Time;
use tokio::io::AsyncWriteExt;

use common::{Background, apportion, printed, wait_until};

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// An agent whose tasks end at once: badly if `bad` is part of their id.
async fn play_agent(master: SocketAddr, credentials: Credentials) {
    let logs = Endpoint::server(LOOPBACK, &credentials, Settings::default()).expect("a socket");
    let address = Some(logs.local_address());
    tokio::spawn(serve_logs(logs));
    let endpoint = Endpoint::client(LOOPBACK, &credentials, Settings::default()).expect("a socket");
    let connection =
        endpoint.connect(master, &Expect::Kind(IdentityKind::Master)).await.expect("the master is there");
    let (calls, sender, mut events) = connection.split::<AgentCall, AgentEvent>();
    tokio::spawn(sender.drive());
    let resources = Resources::cpus_mem(4000, 4096);
    let info = AgentInfo { address, ..AgentInfo::new("here", resources) };
    calls
        .push(AgentCall::Register { info, tasks: Vec::new(), executors: Vec::new() })
        .expect("there is room");
    let mut batch = Vec::new();
    while events.recv_batch(&mut batch).await.is_ok_and(|count| count > 0) {
        for event in batch.drain(..) {
            let AgentEvent::Launch { framework, tasks, .. } = event else { continue };
            for update in tasks.iter().flat_map(|task| updates(&framework, task)) {
                calls.push(update).expect("there is room");
            }
        }
    }
}

fn updates(framework: &FrameworkId, task: &TaskInfo) -> [AgentCall; 2] {
    let (end, code) = match task.id.as_str().contains("bad") {
        true => (TaskState::Failed, 7),
        false => (TaskState::Finished, 0),
    };
    [(1, TaskState::Running), (2, end)].map(|(number, state)| {
        let mut status = TaskStatus::new(task.id.clone(), state, Time::ZERO);
        status.number = Some(UpdateNumber(number));
        status.agent = Some("a1".parse().expect("a valid id"));
        status.reason = state.is_terminal().then_some(Reason::Exited(Exit::Code(code)));
        AgentCall::Update { framework: framework.clone(), status, latest: state }
    })
}

/// Serves each reader in a task of its own, as an agent does: one who stays away without a word holds up no other.
async fn serve_logs(endpoint: Endpoint) {
    while let Some(incoming) = endpoint.accept().await {
        tokio::spawn(async move {
            let Ok(Accepted::Member(connection)) = incoming.establish().await else { return };
            let Ok((mut writer, mut reader)) = connection.link().accept_bulk().await else { return };
            let asked: ReadLog = reader.read_frame().await.expect("a request");
            writer.write_frame(&LogAnswer::Bytes).await.expect("it is read");
            writer.write_all(format!("{} wrote this\n", asked.task).as_bytes()).await.expect("it is read");
            writer.shutdown().await.expect("it is read");
            connection.link().closed().await;
        });
    }
}

fn spec(folder: &Path, name: &str) -> String {
    let file = folder.join(format!("{name}.toml"));
    let text = format!(
        "schema = 1\nkind = \"batch\"\nid = \"/{name}\"\nrole = \"research\"\n\
         [[step]]\nname = \"only\"\ncmd = [\"true\"]\ncpus = 1\n"
    );
    std::fs::write(&file, text).expect("it can be written");
    file.to_string_lossy().into_owned()
}

#[test]
fn a_cluster_is_started_used_and_ended() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = &folder.path().join("state");
    let mut master = Background::start(state, &["master", "--listen", "127.0.0.1:0"]);
    let address = master.master();
    let batch = Background::start(state, &["batch", "--role", "research"]);
    let connected = || printed(state, &["frameworks", "--json"]).contains("\"connected\": true");
    wait_until("the framework connects", connected);

    assert!(printed(state, &["weight", "research", "2.5"]).contains("2.5"));
    wait_until("the weight shows", || printed(state, &["roles"]).contains("2.5"));
    assert!(printed(state, &["offers", "research", "optimistic"]).contains("optimistic"));
    assert!(printed(state, &["roles"]).contains("optimistic"));
    let waiting = printed(state, &["run", &spec(folder.path(), "waiting"), "--detach"]);
    let task = format!("{}.only.0.1", waiting.trim());
    assert!(printed(state, &["why", &task]).contains("no agent"));

    let token: JoinToken = printed(state, &["token", "create", "agent"]).parse().expect("a token");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let credentials =
        runtime.block_on(join(address, &token, "a1", &Settings::default())).expect("the token is good");
    runtime.spawn(play_agent(address, credentials));

    let good = printed(state, &["run", &spec(folder.path(), "good")]);
    assert!(good.contains(": succeeded after") && good.contains(".only.0.1 wrote this"), "{good}");
    wait_until("the job that waited ends", || printed(state, &["tasks"]).contains(&task));
    assert_eq!(printed(state, &["logs", &task]), format!("{task} wrote this\n"));

    let both = [&spec(folder.path(), "bad"), "--also", &spec(folder.path(), "good")];
    let failed = apportion(state, &[&["run", "--json"], &both[..]].concat());
    assert_eq!(failed.status.code(), Some(1), "{}", String::from_utf8_lossy(&failed.stderr));
    let outcomes: serde_json::Value = serde_json::from_slice(&failed.stdout).expect("JSON");
    assert_eq!(outcomes[0]["result"]["state"], "failed");
    assert_eq!(outcomes[1]["result"]["state"], "succeeded");

    let refused = apportion(state, &["kill", "nothing"]);
    assert_eq!(refused.status.code(), Some(1));
    batch.end("-INT");
    master.end("-TERM");
}

#[test]
fn operators_rule_the_cluster() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = &folder.path().join("state");
    let mut master = Background::start(state, &["master", "--listen", "127.0.0.1:0"]);
    let address = master.master();
    let token: JoinToken = printed(state, &["token", "create", "agent"]).parse().expect("a token");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let credentials =
        runtime.block_on(join(address, &token, "a1", &Settings::default())).expect("the token is good");
    runtime.spawn(play_agent(address, credentials));
    wait_until("the agent is there", || printed(state, &["agents"]).contains("a1"));

    printed(state, &["quota", "research", "--guarantee", "cpus:2", "--limit", "cpus:3;mem:1024"]);
    let told = "is guaranteed cpus:2, is limited to cpus:3;mem:1024";
    wait_until("the quota shows", || printed(state, &["roles"]).contains(told));
    let refused = apportion(state, &["quota", "web", "--guarantee", "cpus:9"]);
    assert_eq!(refused.status.code(), Some(1));
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(why.contains("cpus:11 would be guaranteed in all") && why.contains("force"), "{why}");

    printed(state, &["maintenance", "a1", "--in", "1h", "--for", "30m"]);
    wait_until("the maintenance shows", || printed(state, &["agents"]).contains("for 30m"));
    printed(state, &["maintenance", "a1", "--cancel"]);
    printed(state, &["allow", "elsewhere"]);
    wait_until("the list shows", || printed(state, &["status", "--json"]).contains("\"elsewhere\""));
    printed(state, &["allow", "--all"]);

    let rules = folder.path().join("rules.toml");
    let set = || apportion(state, &["rules", "set", rules.to_str().expect("a path")]);
    std::fs::write(&rules, "[[allow]]\nprincipals = ['*']\nactions = ['vew']\n").expect("it can be written");
    assert_eq!(set().status.code(), Some(2));
    let text = "[[allow]]\nprincipals = ['operator/*']\nactions = ['view', 'operate']\n";
    std::fs::write(&rules, text).expect("it can be written");
    assert!(set().status.success());
    assert!(printed(state, &["rules", "show"]).contains("operator/*"));
    let refused = apportion(state, &["weight", "research", "2"]);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(why.contains("may not set-weight in role research"), "{why}");
    printed(state, &["rules", "clear"]);
    printed(state, &["weight", "research", "2"]);
    master.end("-TERM");
}

#[test]
fn without_a_cluster_commands_say_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = apportion(folder.path(), &["status"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("apportion up"));
    std::fs::write(folder.path().join("operator.toml"), "master = 1\n").expect("it can be written");
    let output = apportion(folder.path(), &["status"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("operator.toml"));
}
