//! Several masters as processes of their own, over a real etcd.

mod common;
#[path = "../../tests/etcd/mod.rs"]
mod etcd;
#[path = "common/jobs.rs"]
mod jobs;
#[path = "common/lasting.rs"]
mod lasting;

use std::path::PathBuf;

use common::{Background, printed, wait_until};
use etcd::EtcdCluster;
use jobs::batch;
use lasting::Lasting;

/// Everything that a test starts, as one operator sees it.
struct Cluster {
    folder: tempfile::TempDir,
    etcd: EtcdCluster,
    masters: Vec<Option<Background>>,
    addresses: Vec<String>,
}

impl Cluster {
    /// Three masters, of which the first leads. `None` where there is no etcd.
    fn start() -> Option<Self> {
        let etcd = EtcdCluster::start(3)?;
        let folder = tempfile::tempdir().expect("a folder");
        let mut cluster = Cluster { folder, etcd, masters: Vec::new(), addresses: Vec::new() };
        cluster.add_master("127.0.0.1:0");
        wait_until("the first master leads", || {
            common::apportion(&cluster.state(), &["status"]).status.success()
        });
        cluster.add_master("127.0.0.1:0");
        cluster.add_master("127.0.0.1:0");
        Some(cluster)
    }

    fn add_master(&mut self, listen: &str) {
        let state = self.master_state(self.masters.len());
        let location = self.etcd.location();
        let arguments = ["master", "--store", &location, "--listen", listen, "--lease", "2"];
        let mut master = Background::start(&state, &arguments);
        self.addresses.push(master.master().to_string());
        self.masters.push(Some(master));
        // The operator knows all of them.
        let credentials = std::fs::read(state.join("operator.pem")).expect("the operator's credentials");
        std::fs::create_dir_all(self.state()).expect("a folder");
        std::fs::write(self.state().join("operator.pem"), credentials).expect("it can be written");
        let context = format!("master = {:?}\ncredentials = \"operator.pem\"\n", self.addresses.join(","));
        std::fs::write(self.state().join("operator.toml"), context).expect("it can be written");
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn master_state(&self, number: usize) -> PathBuf {
        self.folder.path().join(format!("master{number}"))
    }

    fn kill_master(&mut self, number: usize) {
        // Dropping a process kills it with -9.
        drop(self.masters[number].take().expect("it runs"));
    }

    fn batch(&self, name: &str, count: u32, line: &str) -> String {
        batch(self.folder.path(), name, count, line)
    }

    fn is_complete(&self) -> bool {
        let status = common::apportion(&self.state(), &["status"]);
        String::from_utf8_lossy(&status.stdout).contains("agents      2 connected of 2")
    }

    /// Agents that the state's operator runs.
    fn start_agents(&self) -> [Background; 2] {
        ["a1", "a2"].map(|name| {
            let name_and_size = ["agent", "--name", name, "--resources", "cpus:2;mem:256"];
            Background::start(&self.state(), &name_and_size)
        })
    }

    /// The framework for batch jobs, when it and the agents are known.
    fn start_batch(&self) -> Background {
        let batch = Background::start(&self.state(), &["batch"]);
        wait_until("the agents register", || self.is_complete());
        wait_until("the framework subscribes", || printed(&self.state(), &["frameworks"]).contains("batch"));
        batch
    }

    fn start_lasting(&self, count: u32) -> Lasting {
        Lasting::start(&self.state(), self.folder.path(), count)
    }

    /// Has the masters take note of a weight, and the agents run something.
    fn works(&self, role: &str, weight: &str) {
        wait_until("a write is taken", || {
            common::apportion(&self.state(), &["weight", role, weight]).status.success()
        });
        wait_until("offers flow", || {
            common::apportion(&self.state(), &["run", &self.batch(role, 3, "true")]).status.success()
        });
    }
}

#[test]
fn tasks_run_on_and_offers_flow_when_the_leading_master_is_killed() {
    let Some(mut cluster) = Cluster::start() else { return };
    let state = cluster.state();
    let (agents, batch) = (cluster.start_agents(), cluster.start_batch());
    let lasting = cluster.start_lasting(6);
    // A token that is used up stays so under the next master.
    let token = printed(&state, &["token", "create", "agent"]);

    // Etcd loses a member, perhaps its leader, at the worst moment.
    cluster.etcd.signal(2, "-STOP");
    cluster.kill_master(0);
    wait_until("the agents are back at another master", || cluster.is_complete());
    wait_until("the framework is back too", || {
        common::apportion(&state, &["run", &cluster.batch("after", 3, "true")]).status.success()
    });
    let by_token = ["agent", "--master", &cluster.addresses.join(","), "--name", "a3"];
    let mut by_token = common::command(&cluster.folder.path().join("a3"), &by_token);
    by_token.env("APPORTION_TOKEN", token.trim());
    let joined = Background::spawn(by_token);
    wait_until("the token holds under another master", || {
        printed(&state, &["status"]).contains("agents      3 connected of 3")
    });
    joined.end("-INT");

    // The next one goes in order: whoever is left takes over without waiting for the lease.
    let second = cluster.masters[1].take().expect("it runs");
    second.end("-TERM");
    wait_until("the last master has all agents", || cluster.is_complete());
    printed(&state, &["run", &cluster.batch("at-last", 3, "true")]);

    lasting.expect_undisturbed();
    batch.end("-INT");
    agents.into_iter().for_each(|agent| agent.end("-INT"));
}

#[test]
fn nothing_is_lost_when_a_member_of_etcd_is_cut_off_or_its_leader_is_killed() {
    let Some(mut cluster) = Cluster::start() else { return };
    let (agents, batch) = (cluster.start_agents(), cluster.start_batch());
    let lasting = cluster.start_lasting(6);

    // The worst one to be cut off is the one that leads; when it is back it follows another.
    let member = cluster.etcd.leader();
    cluster.etcd.signal(member, "-STOP");
    cluster.works("cut-off", "1.5");
    cluster.etcd.signal(member, "-CONT");
    cluster.works("back", "2.5");

    let member = cluster.etcd.leader();
    cluster.etcd.signal(member, "-KILL");
    cluster.works("killed", "3.5");

    // Whichever leads now: the one that is left knows all that was written.
    cluster.kill_master(0);
    cluster.kill_master(1);
    wait_until("the agents are back at the last master", || cluster.is_complete());
    cluster.works("last", "4.5");
    let roles = printed(&cluster.state(), &["roles"]);
    for weight in ["1.5", "2.5", "3.5", "4.5"] {
        assert!(roles.contains(weight), "{weight} is not in\n{roles}");
    }
    lasting.expect_undisturbed();
    batch.end("-INT");
    agents.into_iter().for_each(|agent| agent.end("-INT"));
}

#[test]
fn a_master_speaks_with_etcd_by_tls_and_elsewhere_never_without_being_told_to() {
    let Some((etcd, files)) = EtcdCluster::start_with_tls() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let (state, location) = (&folder.path().join("state"), etcd.location());
    let [authority, certificate, key] =
        [&files.authority, &files.certificate, &files.key].map(|file| file.to_string_lossy().into_owned());
    let master = ["master", "--store", &location, "--listen", "127.0.0.1:0"];
    let by_tls = ["--etcd-ca", &authority, "--etcd-cert", &certificate, "--etcd-key", &key];
    let mut secured = Background::start(state, &[&master[..], &by_tls].concat());
    secured.master();
    wait_until("it leads", || common::apportion(state, &["weight", "web", "2"]).status.success());

    let elsewhere = ["master", "--store", "etcd://192.0.2.1:2379/blue", "--listen", "127.0.0.1:0"];
    let refused = common::apportion(&folder.path().join("other"), &elsewhere);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--etcd-ca"), "{refused:?}");
}
