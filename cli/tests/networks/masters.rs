//! Several masters and members of etcd, of which some are cut off.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::common::{Background, apportion, command, printed, wait_until};
use crate::etcd::EtcdCluster;
use crate::jobs::batch;
use crate::lab::{Fault, Lab, address};
use crate::lasting::Lasting;

/// A cluster in a lab: members of etcd on some hosts, masters on the same or others, agents on the last two.
struct Cluster {
    lab: Lab,
    folder: tempfile::TempDir,
    etcd: EtcdCluster,
    /// Their hosts, and the processes of masters, agents and the framework.
    masters: Vec<usize>,
    _processes: Vec<Background>,
}

impl Cluster {
    /// The first of the masters leads.
    fn start(members: &[usize], masters: &[usize]) -> Option<Self> {
        let first_agent = 1 + *members.iter().chain(masters).max().expect("some");
        let lab = Lab::build(first_agent + 2)?;
        let at = |host: usize, port: u16| SocketAddr::new(address(host).into(), port);
        let places = members.iter().map(|host| (at(*host, 2379), at(*host, 2380))).collect();
        let etcd = EtcdCluster::start_at(places, |number, etcd| lab.on(members[number], &etcd))?;
        let folder = tempfile::tempdir().expect("a folder");
        let mut cluster = Cluster { lab, folder, etcd, masters: masters.to_vec(), _processes: Vec::new() };
        let (location, peers) = (cluster.etcd.location(), cluster.addresses().join(","));
        for (number, host) in masters.iter().enumerate() {
            // The operator's files are the first one's; it leads before the others begin.
            let state =
                if number == 0 { cluster.state() } else { cluster.folder.path().join(format!("m{number}")) };
            let listen = format!("--listen {}", at(*host, MASTER_PORT));
            let line =
                format!("master --store {location} {listen} --peers {peers} --lease 2 --etcd-plaintext");
            let mut master = cluster.run(*host, &state, &line);
            master.first_line();
            cluster._processes.push(master);
            wait_until("a master leads", || apportion(&cluster.state(), &["status"]).status.success());
        }
        for (number, host) in (first_agent..first_agent + 2).enumerate() {
            let line = format!("agent --name a{number} --resources cpus:2;mem:256 --listen {}", at(host, 0));
            let agent = cluster.run(host, &cluster.state(), &line);
            cluster._processes.push(agent);
        }
        let framework = cluster.run(first_agent, &cluster.state(), "batch");
        cluster._processes.push(framework);
        cluster.wait_for_agents();
        wait_until("the framework subscribes", || {
            printed(&cluster.state(), &["frameworks"]).contains("batch")
        });
        Some(cluster)
    }

    fn run(&self, host: usize, state: &std::path::Path, line: &str) -> Background {
        let words: Vec<&str> = line.split(' ').collect();
        Background::spawn(self.lab.on(host, &command(state, &words)))
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Where the masters are.
    fn addresses(&self) -> Vec<String> {
        self.masters.iter().map(|host| format!("{}:{MASTER_PORT}", address(*host))).collect()
    }

    fn wait_for_agents(&self) {
        wait_until("both agents are there", || {
            let status = apportion(&self.state(), &["status"]);
            String::from_utf8_lossy(&status.stdout).contains("agents      2 connected of 2")
        });
    }

    /// Has the masters take note of a weight, and the agents run something.
    fn works(&self, role: &str, weight: &str) {
        wait_until("a write is taken", || {
            apportion(&self.state(), &["weight", role, weight]).status.success()
        });
        let job = batch(self.folder.path(), role, 3, "true");
        wait_until("offers flow", || apportion(&self.state(), &["run", &job]).status.success());
    }

    /// The roles that are told whenever a master leads; on a machine that has a lot to do the lead changes by itself now and then.
    fn roles(&self) -> String {
        let told = RefCell::default();
        wait_until("a master tells the roles", || {
            let roles = apportion(&self.state(), &["roles"]);
            told.replace(String::from_utf8_lossy(&roles.stdout).into_owned());
            roles.status.success()
        });
        told.into_inner()
    }

    fn expect_weights(&self, weights: &[&str]) {
        let roles = self.roles();
        for weight in weights {
            assert!(roles.contains(weight), "{weight} is not in\n{roles}");
        }
    }

    /// Whether a master, asked on its own host and alone, takes a write.
    fn takes_writes(&self, number: usize) -> bool {
        let own = self.folder.path().join(format!("alone{number}"));
        std::fs::create_dir_all(&own).expect("a folder");
        std::fs::copy(self.state().join("operator.pem"), own.join("operator.pem")).expect("it can be copied");
        let context = format!("master = {:?}\ncredentials = \"operator.pem\"\n", self.addresses()[number]);
        std::fs::write(own.join("operator.toml"), context).expect("it can be written");
        let ask = command(&own, &["weight", "forged", "9.5"]);
        self.lab.on(self.masters[number], &ask).output().expect("the binary runs").status.success()
    }
}

/// Where each master listens on its host.
const MASTER_PORT: u16 = 7450;

#[test]
fn work_goes_on_whichever_host_of_a_master_and_its_etcd_is_cut_off() {
    let Some(cluster) = Cluster::start(&[0, 1, 2], &[0, 1, 2]) else { return };
    let lasting = Lasting::start(&cluster.state(), cluster.folder.path(), 6);
    // Each in turn: the leading master is among them, and the leader of etcd.
    for (host, weight) in [(0, "1.5"), (1, "2.5"), (2, "3.5")] {
        cluster.lab.fail(host, Fault::CutOff);
        cluster.works(&format!("without{host}"), weight);
        cluster.wait_for_agents();
        assert!(!cluster.takes_writes(host), "a master alone takes no writes");
        cluster.lab.heal(host);
        cluster.works(&format!("with{host}"), weight);
    }
    cluster.wait_for_agents();
    cluster.expect_weights(&["1.5", "2.5", "3.5"]);
    assert!(!cluster.roles().contains("9.5"), "what a master alone was told is nowhere");
    lasting.expect_undisturbed();
}

#[test]
fn a_leader_that_etcd_does_not_hear_makes_way_though_agents_hear_it() {
    let Some(cluster) = Cluster::start(&[0, 1, 2], &[3, 4]) else { return };
    let lasting = Lasting::start(&cluster.state(), cluster.folder.path(), 6);
    cluster.lab.fail(3, Fault::MuteTo(&[0, 1, 2]));
    cluster.works("muted", "1.5");
    assert!(!cluster.takes_writes(0), "nothing that it was told would be kept");
    cluster.lab.heal(3);
    // Back at the first, when the second one is out of reach in its turn.
    cluster.lab.fail(4, Fault::CutOff);
    cluster.works("healed", "2.5");
    cluster.wait_for_agents();
    cluster.expect_weights(&["1.5", "2.5"]);
    lasting.expect_undisturbed();
}
