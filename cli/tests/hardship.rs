//! The real binary on bad networks, on full disks, and with a master that stands still.

mod common;
#[path = "common/diary.rs"]
mod diary;
#[path = "common/jobs.rs"]
mod jobs;
#[path = "common/proxy.rs"]
mod proxy;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use common::{Background, apportion, printed, wait_until};
use diary::Diary;
use proxy::Network;

/// Longer than it takes to notice that nobody answers.
const SILENCE: Duration = Duration::from_secs(12);

/// Datagrams of a hundred that a bad network loses; as many it repeats, and as many it delays.
const LOSS_PERCENT: u32 = 10;

/// A master and the framework for batch jobs beside it.
struct Cluster {
    folder: tempfile::TempDir,
    master: Background,
    address: SocketAddr,
    batch: Background,
}

impl Cluster {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let state = &folder.path().join("state");
        let mut master = Background::start(state, &["master", "--listen", "127.0.0.1:0"]);
        let address = master.master();
        let batch = Background::start(state, &["batch"]);
        let cluster = Cluster { folder, master, address, batch };
        wait_until("the framework connects", || cluster.printed(&["frameworks"]).contains("batch"));
        cluster
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn printed(&self, arguments: &[&str]) -> String {
        printed(&self.state(), arguments)
    }

    /// An agent that finds the master at this address, and keeps its files in this folder.
    fn agent(&self, master: SocketAddr, work_dir: &Path) -> Background {
        let token = self.printed(&["token", "create", "agent"]);
        let file = self.folder.path().join("token");
        std::fs::write(&file, token).expect("it can be written");
        let token = file.to_string_lossy();
        let (master, work_dir) = (master.to_string(), work_dir.to_string_lossy().into_owned());
        let by_token = ["agent", "--master", &master, "--token-file", &token, "--listen", "127.0.0.1:0"];
        let resources = ["--resources", "cpus:4;mem:4096", "--work-dir", &work_dir];
        let agent =
            Background::start(&self.folder.path().join("agent"), &[&by_token[..], &resources].concat());
        wait_until("the agent registers", || {
            self.printed(&["status"]).contains("agents      1 connected of 1")
        });
        agent
    }

    fn submit_diary(&self, name: &str, count: u32, seconds: f64) -> Diary {
        Diary::submit(&self.state(), self.folder.path(), name, count, seconds)
    }

    fn end(self) {
        self.batch.end("-INT");
        self.master.end("-INT");
    }
}

fn signal(process: &Background, signal: &str) {
    let id = process.0.id().to_string();
    assert!(Command::new("kill").args([signal, &id]).status().expect("kill runs").success());
}

#[test]
fn a_bad_network_loses_nothing_and_runs_nothing_twice() {
    let cluster = Cluster::start();
    let network = Network::before(cluster.address, 7);
    let work_dir = cluster.folder.path().join("work");
    let _agent = cluster.agent(network.address(), &work_dir);
    network.lose_percent(LOSS_PERCENT);
    let diary = cluster.submit_diary("lossy", 60, 0.1);
    wait_until("tasks run", || diary.has_begun());
    network.set_cut(true);
    wait_until("the agent is missed", || {
        cluster.printed(&["status"]).contains("agents      0 connected of 1")
    });
    network.set_cut(false);
    diary.complete(&cluster.state());
    cluster.end();
}

#[test]
fn a_master_that_stands_still_is_waited_for() {
    master_stands_still_for(SILENCE);
}

/// Longer than connections live without a word.
#[test]
#[ignore = "it takes minutes; the profile `slow` runs it"]
fn a_master_is_waited_for_that_stands_still_for_a_minute() {
    master_stands_still_for(Duration::from_secs(60));
}

fn master_stands_still_for(silence: Duration) {
    let cluster = Cluster::start();
    let _agent = cluster.agent(cluster.address, &cluster.folder.path().join("work"));
    let diary = cluster.submit_diary("still", 40, 1.0);
    wait_until("tasks run", || diary.has_begun());
    signal(&cluster.master, "-STOP");
    sleep(silence);
    signal(&cluster.master, "-CONT");
    diary.complete(&cluster.state());
}

/// A file system of this many MiB in memory, until it is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None`, with a word, where file systems may not be mounted.
    fn mount(at: &Path, size_mib: u32) -> Option<Self> {
        std::fs::create_dir_all(at).expect("a folder");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size_mib}m"), "tmpfs"]).arg(at);
        if mount.output().is_ok_and(|output| output.status.success()) {
            return Some(SmallDisk(at.to_owned()));
        }
        eprintln!("skipped: this user can't mount a file system");
        None
    }

    /// Leaves no byte free.
    fn fill(&self) {
        let mut filler = std::fs::File::create(self.filler()).expect("a file");
        let error = std::io::copy(&mut std::io::repeat(0), &mut filler).expect_err("the disk is small");
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    }

    fn make_room(&self) {
        std::fs::remove_file(self.filler()).expect("the filler");
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a process that is about to end may still have a file open.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn tasks_that_a_full_disk_hinders_say_so_and_run_when_there_is_room() {
    let cluster = Cluster::start();
    let work_dir = cluster.folder.path().join("work");
    let Some(disk) = SmallDisk::mount(&work_dir, 8) else { return };
    let _agent = cluster.agent(cluster.address, &work_dir);
    disk.fill();
    let diary = cluster.submit_diary("full", 2, 0.0);
    let told = "No space left on device";
    wait_until("the reason is told", || cluster.printed(&["tasks"]).contains(told));
    disk.make_room();
    diary.complete(&cluster.state());
}

#[test]
fn a_master_that_can_record_nothing_ends_with_a_word_and_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = &folder.path().join("state");
    let Some(disk) = SmallDisk::mount(state, 8) else { return };
    let mut master = Background::start(state, &["master", "--listen", "127.0.0.1:0"]);
    master.master();
    printed(state, &["weight", "research", "2"]);
    disk.fill();
    // Its file has room of its own at first.
    let refused = |names: usize| {
        let names: Vec<String> =
            (0..names).map(|number| format!("a-machine-of-a-large-cluster-{number}")).collect();
        let arguments: Vec<&str> = ["allow"].into_iter().chain(names.iter().map(String::as_str)).collect();
        !apportion(state, &arguments).status.success()
    };
    assert!((1..40).map(|times| times * 1000).any(refused), "the disk is small");
    assert_eq!(master.0.wait().expect("it ends").code(), Some(1));
    disk.make_room();
    let mut again = Background::start(state, &["master", "--listen", "127.0.0.1:0"]);
    again.master();
    assert!(
        printed(state, &["roles"])
            .lines()
            .any(|line| line.trim_start().starts_with("research") && line.contains(" 2 "))
    );
}
