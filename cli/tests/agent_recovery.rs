//! Agents that die, or step aside: their tasks go on, and nothing is told twice or lost.

mod common;
mod tasks;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{Background, command, printed, wait_until};
use tasks::{processes_with, write};

/// A master, an agent that keeps its tasks, and the framework for batch jobs.
struct Cluster<'a> {
    state: &'a Path,
    master: Background,
    agent: Option<Background>,
    batch: Background,
}

/// What lasts for as long as a test, and not much longer if it fails.
const RECOVERY: [&str; 2] = ["--recovery-timeout", "60s"];

impl<'a> Cluster<'a> {
    fn start(state: &'a Path) -> Self {
        let mut master = Background::start(state, &["master", "--listen", "127.0.0.1:0"]);
        master.master();
        let agent = Some(Cluster::agent(state, &RECOVERY));
        let batch = Background::start(state, &["batch"]);
        wait_until("all are there", || {
            printed(state, &["status"]).contains("agents      1 connected of 1")
                && printed(state, &["frameworks"]).contains("batch")
        });
        Cluster { state, master, agent, batch }
    }

    fn agent(state: &Path, more: &[&str]) -> Background {
        let arguments = ["agent", "--name", "a1", "--resources", "cpus:4;mem:1024;disk:1024"];
        Background::start(state, &[&arguments, more].concat())
    }

    fn kill_agent(&mut self) {
        // Dropping it kills it with SIGKILL.
        self.agent = None;
    }

    fn start_agent(&mut self) {
        self.agent = Some(Cluster::agent(self.state, &RECOVERY));
    }

    /// Ends everything in order.
    fn end(self) {
        self.batch.end("-INT");
        if let Some(agent) = self.agent {
            agent.end("-INT");
        }
        self.master.end("-INT");
    }
}

/// A job whose tasks append a line to a file when they begin and another when they end, once the file `go` is there.
fn job(folder: &Path, tasks: u32) -> String {
    let shown = folder.display();
    let line = format!(
        "echo begun $INDEX >> {shown}/lines; until [ -e {shown}/go ]; do sleep 0.05; done; \
         echo ended $INDEX >> {shown}/lines"
    );
    let text = format!(
        "schema = 1\nkind = \"batch\"\nid = \"/job\"\nrole = \"research\"\n\
         [[step]]\nname = \"work\"\ncount = {tasks}\ncpus = 0.1\nmemory = \"16MiB\"\nshell = '''{line}'''\n"
    );
    write(folder, "job", &text)
}

fn lines(folder: &Path, start: &str) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join("lines")).unwrap_or_default();
    let mut lines: Vec<_> = text.lines().filter(|line| line.starts_with(start)).map(str::to_owned).collect();
    lines.sort();
    lines
}

const TASKS: u32 = 6;

/// The tasks' own processes; those that they start look alike for a moment.
fn tasks_waiting_in(folder: &Path) -> BTreeSet<u32> {
    let look = || processes_with(&folder.join("go").to_string_lossy());
    let seen = look();
    std::thread::sleep(Duration::from_millis(200));
    &seen & &look()
}

#[test]
fn tasks_never_notice_that_their_agent_was_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = &folder.path().join("state");
    let mut cluster = Cluster::start(state);
    let mut follower = command(state, &["run", &job(folder.path(), TASKS)]);
    let follower = follower.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
    wait_until("all have begun", || lines(folder.path(), "begun").len() == TASKS as usize);
    let before = tasks_waiting_in(folder.path());
    assert!(before.len() >= TASKS as usize);

    // They go on without it, and with its next life.
    cluster.kill_agent();
    cluster.start_agent();
    wait_until("it is back", || printed(state, &["status"]).contains("agents      1 connected of 1"));
    assert!(before.is_subset(&tasks_waiting_in(folder.path())));

    // They end while it is away.
    cluster.kill_agent();
    std::fs::write(folder.path().join("go"), "").expect("it can be written");
    wait_until("all have ended", || lines(folder.path(), "ended").len() == TASKS as usize);
    cluster.start_agent();
    let told = follower.wait_with_output().expect("it ends with its job");
    assert!(told.status.success(), "what was missed is delivered: {told:?}");
    assert_eq!(lines(folder.path(), "begun").len(), TASKS as usize, "nothing ran twice");
    cluster.end();
    assert!(processes_with(&state.display().to_string()).is_empty(), "executors end with their agent");
}

/// The same command of the program in another file.
fn in_file(program: &Path, command: &Command) -> Command {
    let mut same = Command::new(program);
    same.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => same.env(name, value),
            None => same.env_remove(name),
        };
    }
    same
}

/// As an upgrade does it: the program's file is another one afterwards, and the old one is gone, from which executors run.
#[test]
fn an_agent_that_steps_aside_leaves_its_tasks_to_the_next_version() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = &folder.path().join("state");
    let mut cluster = Cluster::start(state);
    cluster.agent.take().expect("it runs").end("-INT");
    let old = folder.path().join("apportion-of-before");
    std::fs::copy(env!("CARGO_BIN_EXE_apportion"), &old).expect("it can be copied");
    let line = [&["agent", "--name", "a1", "--resources", "cpus:4;mem:1024"][..], &RECOVERY].concat();
    cluster.agent = Some(Background::spawn(in_file(&old, &command(state, &line))));
    wait_until("the old version is there", || {
        printed(state, &["status"]).contains("agents      1 connected of 1")
    });
    printed(state, &["run", &job(folder.path(), TASKS), "--detach"]);
    wait_until("all have begun", || lines(folder.path(), "begun").len() == TASKS as usize);
    let before = tasks_waiting_in(folder.path());
    cluster.agent.take().expect("it runs").end("-TERM");
    std::fs::remove_file(&old).expect("it is there");
    cluster.start_agent();
    wait_until("it is back", || printed(state, &["status"]).contains("agents      1 connected of 1"));
    assert!(before.is_subset(&tasks_waiting_in(folder.path())), "they never noticed");
    std::fs::write(folder.path().join("go"), "").expect("it can be written");
    wait_until("all have ended", || lines(folder.path(), "ended").len() == TASKS as usize);
    wait_until("that is told", || printed(state, &["tasks"]).matches("finished").count() == TASKS as usize);
    assert_eq!(lines(folder.path(), "begun").len(), TASKS as usize);
    cluster.end();
}

/// The sandboxes on the agent.
fn sandboxes(state: &Path) -> usize {
    let folders = |path: PathBuf| std::fs::read_dir(path).into_iter().flatten().flatten();
    folders(state.join("agents/a1/tasks")).flat_map(|framework| folders(framework.path())).count()
}

#[test]
fn sandboxes_go_when_their_tasks_have_ended_for_long_enough() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = &folder.path().join("state");
    let mut cluster = Cluster::start(state);
    printed(state, &["run", &job(folder.path(), 1), "--detach"]);
    wait_until("it has begun", || lines(folder.path(), "begun").len() == 1);
    let quick = "schema = 1\nkind = \"batch\"\nid = \"/quick\"\nrole = \"research\"\n\
                 [[step]]\nname = \"work\"\ncount = 2\ncpus = 0.1\nmemory = \"16MiB\"\nshell = \"true\"\n";
    printed(state, &["run", &write(folder.path(), "quick", quick)]);
    assert_eq!(sandboxes(state), 3, "they are kept, for a week");

    // The next life goes on with those of the last.
    cluster.agent.take().expect("it runs").end("-TERM");
    cluster.agent = Some(Cluster::agent(state, &[&RECOVERY[..], &["--keep-sandboxes", "1s"]].concat()));
    wait_until("what has ended goes, and the task that runs keeps its own", || sandboxes(state) == 1);
    std::fs::write(folder.path().join("go"), "").expect("it can be written");
    wait_until("that goes when it has ended", || sandboxes(state) == 0);
    assert_eq!(lines(folder.path(), "ended").len(), 1);
    cluster.end();
}

#[test]
fn executors_that_nobody_takes_over_end_with_their_tasks() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = &folder.path().join("state");
    let mut cluster = Cluster::start(state);
    cluster.agent.take().expect("it runs").end("-INT");
    cluster.agent = Some(Cluster::agent(state, &["--recovery-timeout", "1s"]));
    printed(state, &["run", &job(folder.path(), TASKS), "--detach"]);
    wait_until("all have begun", || lines(folder.path(), "begun").len() == TASKS as usize);
    cluster.kill_agent();
    let mark = folder.path().display();
    let executors = format!("{}/agents/a1/executors", state.display());
    wait_until("tasks and executor end", || {
        processes_with(&format!("{mark}/go")).is_empty() && processes_with(&executors).is_empty()
    });
    // Then the agent says so.
    cluster.start_agent();
    wait_until("they are lost", || printed(state, &["tasks"]).contains("lost"));
    cluster.end();
}

#[test]
fn an_agent_that_is_said_to_be_gone_is_replaced_and_turned_away_until_it_may_come_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = &folder.path().join("state");
    let mut cluster = Cluster::start(state);
    printed(state, &["run", &job(folder.path(), 2), "--detach"]);
    wait_until("all have begun", || lines(folder.path(), "begun").len() == 2);
    cluster.kill_agent();
    printed(state, &["gone", "a1"]);
    wait_until("its tasks are over", || printed(state, &["tasks"]).matches("gone").count() >= 2);
    assert!(printed(state, &["status"]).contains("agents      0 connected of 0"));

    // It was alive, after all.
    cluster.start_agent();
    let mark = format!("{}/go", folder.path().display());
    wait_until("it ends what it has", || processes_with(&mark).is_empty());
    assert!(printed(state, &["status"]).contains("agents      0 connected of 0"));
    printed(state, &["gone", "a1", "--back"]);
    wait_until("their successors run on it", || lines(folder.path(), "begun").len() == 4);
    std::fs::write(folder.path().join("go"), "").expect("it can be written");
    wait_until("they end", || lines(folder.path(), "ended").len() == 2);
    cluster.end();
}
