//! How long an agent that is killed with -9 and started again takes until all of its executors have found it, and until its master has:
//! a master, one agent, and frameworks with a job each, whose tasks go on meanwhile.
//!
//! `cargo bench -p apportion-cli --bench restart -- 1x100 10x20` takes numbers of executors (a framework has one on each agent) and of the
//! tasks in each. Times are from the start of the new process on.

#[allow(dead_code, reason = "tests use more of it")]
#[path = "../tests/common/mod.rs"]
mod common;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use common::{Background, command, printed, wait_until};

/// Each is measured so many times.
const ROUNDS: usize = 5;

fn main() {
    // Cargo adds `--bench`.
    let mut sizes: Vec<(usize, usize)> =
        std::env::args().skip(1).filter(|argument| argument != "--bench").map(|size| parse(&size)).collect();
    if sizes.is_empty() {
        sizes = vec![(1, 100), (10, 20)];
    }
    println!(
        "executors  tasks in each  executors back: least, median, most  registered: least, median, most"
    );
    for (executors, tasks) in sizes {
        let (executors_back, registered) = measure(executors, tasks);
        println!("{executors:>9}  {tasks:>13}  {:>35}  {:>32}", spread(executors_back), spread(registered));
    }
}

fn parse(size: &str) -> (usize, usize) {
    let (executors, tasks) = size.split_once('x').expect("EXECUTORSxTASKS");
    (executors.parse().expect("a number"), tasks.parse().expect("a number"))
}

fn spread(mut times: Vec<Duration>) -> String {
    times.sort();
    let ms = |time: Duration| format!("{} ms", time.as_millis());
    format!("{}, {}, {}", ms(times[0]), ms(times[times.len() / 2]), ms(times[times.len() - 1]))
}

/// From each start of the agent: until all executors, and until the master, had it back.
fn measure(executors: usize, tasks: usize) -> (Vec<Duration>, Vec<Duration>) {
    let folder = tempfile::tempdir().expect("a folder");
    let state = &folder.path().join("state");
    let mut master = Background::start(state, &["master", "--listen", "127.0.0.1:0"]);
    master.master();
    let (mut agent, _) = start_agent(state);
    let names: Vec<String> = (0..executors).map(|number| format!("batch{number}")).collect();
    let frameworks: Vec<_> =
        names.iter().map(|name| Background::start(state, &["batch", "--name", name])).collect();
    wait_until("the frameworks subscribe", || {
        let told = printed(state, &["frameworks"]);
        names.iter().all(|name| told.contains(name))
    });
    for name in &names {
        let spec = folder.path().join(format!("{name}.toml"));
        let text = format!(
            "schema = 1\nkind = \"batch\"\nid = \"/{name}\"\nrole = \"{name}\"\n[[step]]\nname = \"work\"\ncount = {tasks}\n\
             cmd = [\"sleep\", \"3600\"]\ncpus = 0.01\nmemory = \"16MiB\"\n"
        );
        std::fs::write(&spec, text).expect("it can be written");
        let spec = spec.to_string_lossy();
        printed(state, &["run", &spec, "--batch-framework", name, "--detach"]);
    }
    wait_until("all tasks run", || {
        let told: serde_json::Value =
            serde_json::from_str(&printed(state, &["tasks", "--json"])).expect("JSON");
        let running = told.as_array().expect("a list").iter().filter(|task| task["state"] == "running");
        running.count() == executors * tasks
    });
    let (mut all_back, mut registered) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        // Dropping it kills it with SIGKILL.
        drop(agent);
        let begun = Instant::now();
        let log;
        (agent, log) = start_agent(state);
        let (mut back, mut has_master) = (0, false);
        while back < executors || !has_master {
            let line = log.recv_timeout(common::PATIENCE).expect("the executors come back");
            if line.contains("executor registers") {
                back += 1;
                if back == executors {
                    all_back.push(begun.elapsed());
                }
            } else if line.contains("registered with the master") {
                has_master = true;
                registered.push(begun.elapsed());
            }
        }
    }
    agent.end("-INT");
    frameworks.into_iter().for_each(|framework| framework.end("-INT"));
    (all_back, registered)
}

/// An agent, and what it logs.
fn start_agent(state: &Path) -> (Background, Receiver<String>) {
    let line =
        ["-v", "agent", "--name", "a1", "--resources", "cpus:64;mem:65536", "--recovery-timeout", "2m"];
    let mut command = command(state, &line);
    let process = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary runs");
    let mut agent = Background(process);
    let log = BufReader::new(agent.0.stderr.take().expect("it is piped"));
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        for line in log.lines().map_while(Result::ok) {
            // Nobody may want to know.
            let _ = tell.send(line);
        }
    });
    (agent, told)
}
