//! Agents that the master reaches badly, half, or not at all.

use std::path::{Path, PathBuf};

use crate::common::{Background, command, printed, wait_until};
use crate::diary::Diary;
use crate::lab::{Fault, Lab, address};

/// The hosts.
const MASTER: usize = 0;
const AGENTS: [usize; 2] = [1, 2];

/// Packets of a hundred that a bad network loses in each direction.
const LOSS_PERCENT: u32 = 10;

/// A master with the frameworks on a host, and two agents on hosts of their own.
struct Cluster {
    lab: Lab,
    folder: tempfile::TempDir,
    _processes: Vec<Background>,
}

impl Cluster {
    fn start() -> Option<Self> {
        let lab = Lab::build(1 + AGENTS.len())?;
        let folder = tempfile::tempdir().expect("a folder");
        let state = folder.path().join("state");
        let run = |host: usize, line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            Background::spawn(lab.on(host, &command(&state, &words)))
        };
        let listen = format!("{}:7450", address(MASTER));
        // An agent is given up after about two seconds.
        let pings = "--agent-ping-interval 400ms --agent-ping-limit 4";
        let mut master = run(MASTER, &format!("master --listen {listen} {pings}"));
        master.master();
        let mut processes = vec![master, run(MASTER, "batch"), run(MASTER, "service")];
        for host in AGENTS {
            let listen = format!("--listen {}:0", address(host));
            let own = format!("agent --name a{host} --resources cpus:3;mem:1024 {listen}");
            processes.push(run(host, &own));
        }
        let cluster = Cluster { lab, folder, _processes: processes };
        cluster.wait_for_connected(2);
        wait_until("the frameworks are there", || {
            let frameworks = printed(&cluster.state(), &["frameworks"]);
            frameworks.contains("batch") && frameworks.contains("service")
        });
        Some(cluster)
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn wait_for_connected(&self, agents: usize) {
        let told = format!("agents      {agents} connected of");
        wait_until(&told, || printed(&self.state(), &["status"]).contains(&told));
    }

    /// A file with a spec.
    fn spec(&self, name: &str, text: &str) -> String {
        let file = self.folder.path().join(format!("{name}.toml"));
        std::fs::write(&file, text).expect("it can be written");
        file.to_string_lossy().into_owned()
    }

    /// How many tasks of a framework are in a state.
    fn tasks(&self, framework: &str, state: &str) -> usize {
        let tasks: serde_json::Value =
            serde_json::from_str(&printed(&self.state(), &["tasks", "--json"])).expect("JSON");
        let tasks = tasks.as_array().expect("a list").iter();
        tasks.filter(|task| task["framework"] == framework && task["state"] == state).count()
    }
}

fn lines(file: &Path) -> usize {
    std::fs::read_to_string(file).unwrap_or_default().lines().count()
}

#[test]
fn a_lossy_network_loses_no_task_and_runs_none_twice() {
    let Some(cluster) = Cluster::start() else { return };
    AGENTS.iter().for_each(|host| cluster.lab.fail(*host, Fault::Lossy(LOSS_PERCENT)));
    let diary = Diary::submit(&cluster.state(), cluster.folder.path(), "lossy", 60, 0.1);
    wait_until("tasks run", || diary.has_begun());
    diary.complete(&cluster.state());
}

#[test]
fn work_goes_on_after_an_agent_was_not_heard_or_did_not_hear() {
    let Some(cluster) = Cluster::start() else { return };
    for (host, fault) in AGENTS.into_iter().zip([Fault::Deaf, Fault::Mute]) {
        cluster.lab.fail(host, fault);
        cluster.wait_for_connected(1);
        cluster.lab.heal(host);
        cluster.wait_for_connected(2);
    }
    Diary::submit(&cluster.state(), cluster.folder.path(), "after", 20, 0.1).complete(&cluster.state());
}

#[test]
fn tasks_of_an_agent_that_is_cut_off_are_unreachable_and_reconciled_when_it_is_back() {
    let Some(cluster) = Cluster::start() else { return };
    let (state, file) = (cluster.state(), |name: &str| cluster.folder.path().join(name));
    let (instances, begun, ended, go) = (file("instances"), file("begun"), file("ended"), file("go"));
    // Agents of three cores have room for one of each.
    let service = format!(
        "schema = 1\nkind = \"service\"\nid = \"/web\"\nrole = \"web\"\nreplicas = 2\n[task]\ncpus = 2\nmemory = \"64MiB\"\n\
         shell = '''echo up >> {}; exec sleep 3600'''\n[update]\nmin_healthy = \"0s\"\n",
        instances.display()
    );
    printed(&state, &["run", &cluster.spec("web", &service), "--detach"]);
    wait_until("the instances run", || cluster.tasks("service", "running") == 2);
    let job = format!(
        "schema = 1\nkind = \"batch\"\nid = \"/job\"\nrole = \"research\"\n[[step]]\nname = \"work\"\ncount = 2\ncpus = 1\nmemory = \"64MiB\"\n\
         shell = '''echo $INDEX >> {}; while [ ! -e {} ]; do sleep 0.05; done; echo $INDEX >> {}'''\n",
        begun.display(),
        go.display(),
        ended.display()
    );
    printed(&state, &["run", &cluster.spec("job", &job), "--detach"]);
    wait_until("the job's tasks run", || cluster.tasks("batch", "running") == 2);

    cluster.lab.fail(AGENTS[1], Fault::CutOff);
    wait_until("its instance is unreachable", || cluster.tasks("service", "unreachable") == 1);
    assert_eq!(cluster.tasks("service", "running"), 1, "the other agent's runs on");
    cluster.lab.heal(AGENTS[1]);
    cluster.wait_for_connected(2);

    // The instance is the one that it was: a service waits before it replaces one.
    wait_until("both instances run", || cluster.tasks("service", "running") == 2);
    assert_eq!(lines(&instances), 2);
    // A job's task was given up and begins anew; what came back of it was stopped first.
    wait_until("the given up task runs again", || {
        lines(&begun) == 3 && cluster.tasks("batch", "running") == 2
    });
    std::fs::write(&go, "").expect("it can be written");
    wait_until("the job's tasks end", || cluster.tasks("batch", "finished") == 2);
    assert_eq!(lines(&ended), 2, "what was given up did not go on");
}
