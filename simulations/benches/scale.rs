//! The largest runs, once each: `cargo bench --bench scale [-- NAME]`. Each tells its time, and the most memory that the process had
//! so far.

mod support;

use std::time::Instant;

use apportion_simulations::Progress;
use apportion_simulations::scenario::Model;
use apportion_simulations::traces::W100k;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Makes a run's model.
type Make = fn() -> Model;

/// Runs by their names.
const RUNS: [(&str, Make); 6] = [
    ("w100k", || support::w100k(W100k::STANDARD, "placement", "")),
    ("w100k-hot", || support::w100k(W100k::HOT, "placement", "")),
    ("w100k-full", || support::w100k(W100k::STANDARD, "full", "")),
    ("w100k-hot-full", || support::w100k(W100k::HOT, "full", "")),
    ("mesos-6.5", mesos),
    ("ten-million", ten_million),
];

fn main() {
    // Criterion's arguments, such as --bench, are none of a run's name.
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    for (name, make) in RUNS {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            let begun = Instant::now();
            let model = make();
            let made = begun.elapsed().as_secs_f64();
            let run = model.run(&mut Progress::silent()).expect("it runs");
            let summary = run.summary();
            println!(
                "{name}: {made:.2} s to make, {:.2} s to run {:.0} s of virtual time; {} events, {:.0} per second; {} tasks finished; \
                 {:.2} GB at most",
                summary.wall_s,
                summary.virtual_s,
                summary.events,
                summary.events_per_s,
                summary.tasks_finished,
                peak_gb()
            );
        }
    }
}

/// The Mesos paper's section 6.5 for an hour: 50,000 agents, 200 frameworks, tasks of 30 s, up to two on each agent.
fn mesos() -> Model {
    let frameworks: String = (0..200)
        .map(|number| {
            format!(
                "[[frameworks]]\nname = \"f{number}\"\nrole = \"r{number}\"\npolicy = \"skip\"\n\
                 workload = {{ arrivals = {{ distribution = \"poisson\", rate_per_s = 13 }}, resources = \"cpus:1;mem:512\", \
                 duration = {{ distribution = \"normal\", mean = \"30s\", sd = \"10s\" }} }}\n"
            )
        })
        .collect();
    support::model(&format!(
        "schema = 1\nname = \"mesos\"\nuntil = \"3600s\"\nfidelity = \"placement\"\n\
         agents = [{{ count = 50000, resources = \"cpus:2;mem:2048\" }}]\n{frameworks}"
    ))
}

/// Ten million jobs of a hundred frameworks on ten thousand agents.
fn ten_million() -> Model {
    let frameworks: String = (0..100)
        .map(|number| {
            format!(
                "[[frameworks]]\nname = \"f{number}\"\nrole = \"r{number}\"\npolicy = \"skip\"\n\
                 workload = {{ arrivals = {{ distribution = \"poisson\", rate_per_s = 1 }}, limit = 100000, resources = \"cpus:4;mem:4096\", \
                 duration = {{ distribution = \"uniform\", min = \"60s\", max = \"1140s\" }} }}\n"
            )
        })
        .collect();
    support::model(&format!(
        "schema = 1\nname = \"ten-million\"\nfidelity = \"placement\"\n\
         agents = [{{ count = 10000, resources = \"cpus:32;mem:131072\" }}]\n{frameworks}"
    ))
}

/// The most memory that this process has had, in GB; 0 where the system does not tell.
fn peak_gb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kilobytes.unwrap_or(0.0) * 1024.0 / 1e9
}
