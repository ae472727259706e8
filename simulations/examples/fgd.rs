//! Fills the openb cluster by the FGD paper's six policies, for each of some traces, with ten seeds each, on all cores:
//!
//! ```sh
//! cargo run --release -p apportion-simulations --example fgd -- NODES.csv PODS.csv...
//! ```
//!
//! What the paper's authors obtained is shown beside, where `papers/fgd/expected.csv` has it; and where `levels.csv` has it, how full the
//! cluster was as tasks arrived.

use std::path::{Path, PathBuf};
use std::time::Instant;

use apportion::scheduler::Placement;
use apportion_simulations::packing::{Inflation, Level};
use apportion_simulations::traces::{Format, Malformed, TraceFile};
use rayon::prelude::*;

const SEEDS: u64 = 10;

/// The policies, as the authors name them.
const POLICIES: [(&str, Placement); 6] = [
    ("Random", Placement::Random),
    ("DotProd", Placement::DotProduct),
    ("GpuClustering", Placement::GpuClustering),
    ("GpuPacking", Placement::GpuPacking),
    ("BestFit", Placement::BestFit),
    ("FGD", Placement::GradientDescent),
];

const EXPECTED: &str = include_str!("../papers/fgd/expected.csv");

const BY_LEVEL: &str = include_str!("../papers/fgd/levels.csv");

/// What had arrived, in percent of the GPUs, when it is looked how full the cluster is.
const LEVELS: [u32; 12] = [20, 40, 60, 80, 85, 90, 95, 100, 105, 110, 120, 130];

/// What the authors obtained with a trace and a policy: GPUs allocated and fragmented in percent, when 130 % had arrived.
fn expected(trace: &str, policy: &str) -> Option<[f64; 2]> {
    let line = EXPECTED.lines().find_map(|line| line.strip_prefix(&format!("{trace},{policy},")))?;
    let (allocated, fragmented) = line.split_once(',')?;
    Some([allocated.parse().ok()?, fragmented.parse().ok()?])
}

/// What the authors obtained at one of the levels: GPUs allocated in percent.
fn expected_at(trace: &str, policy: &str, level: u32) -> Option<f64> {
    let line = BY_LEVEL.lines().find_map(|line| line.strip_prefix(&format!("{trace},{policy},{level},")))?;
    line.split(',').next()?.parse().ok()
}

/// GPUs allocated at each level of arrived demand, and what the authors obtained below, where they publish it.
fn print_levels(trace: &str, policy: &str, runs: &[Vec<Level>]) {
    let Some(_) = expected_at(trace, policy, LEVELS[0]) else { return };
    let ours =
        |place: usize| runs.iter().map(|run| run[place].allocated_pct).sum::<f64>() / runs.len() as f64;
    let ours: String = (0..LEVELS.len()).map(|place| format!("{:7.2}", ours(place))).collect();
    let theirs = LEVELS.iter().map(|level| expected_at(trace, policy, *level).unwrap_or(f64::NAN));
    let theirs: String = theirs.map(|value| format!("{value:7.2}")).collect();
    println!("{trace:16} {policy:14} {ours}\n{:16} {:14} {theirs}", "", "  theirs");
}

/// What a file of pods is called in the paper's artifact: `openb_pod_list_cpu050.csv.gz` is `cpu050`.
fn name(file: &Path) -> String {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let name = name.strip_prefix("openb_pod_list_").unwrap_or(&name);
    name.split('.').next().unwrap_or_default().to_owned()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [nodes, pods @ ..] = files.as_slice() else {
        return Err("usage: fgd NODES.csv PODS.csv...".into());
    };
    let nodes = TraceFile::open(nodes)?.nodes(Format::Openb, Malformed::Refuse)?.rows;
    let started = Instant::now();
    let mut experiments = Vec::new();
    for file in pods {
        let pods = TraceFile::open(file)?.jobs(Format::Openb, Malformed::Refuse)?.rows;
        experiments.push((name(file), Inflation::new(&nodes, &pods)));
    }
    let cells: Vec<_> = experiments
        .iter()
        .flat_map(|(trace, experiment)| POLICIES.map(|policy| (trace, experiment, policy)))
        .flat_map(|cell| (1..=SEEDS).map(move |seed| (cell, seed)))
        .collect();
    let levels: Vec<_> = cells
        .par_iter()
        .map(|((_, experiment, (_, policy)), seed)| experiment.run(*policy, *seed, &LEVELS))
        .collect();
    println!(
        "{:16} {:14} {:>22} {:>22}",
        "trace", "policy", "allocated, % (theirs)", "fragmented, % (theirs)"
    );
    let mut furthest: f64 = 0.0;
    for (cell, runs) in cells.chunks(SEEDS as usize).zip(levels.chunks(SEEDS as usize)) {
        let ((trace, _, (policy, _)), _) = cell[0];
        let mean = |of: fn(&Level) -> f64| {
            runs.iter().filter_map(|run| run.last()).map(of).sum::<f64>() / runs.len() as f64
        };
        let [allocated, fragmented] = [mean(|level| level.allocated_pct), mean(|level| level.fragmented_pct)];
        match expected(trace, policy) {
            Some([theirs, theirs_fragmented]) => {
                furthest =
                    furthest.max((allocated - theirs).abs()).max((fragmented - theirs_fragmented).abs());
                println!(
                    "{trace:16} {policy:14} {allocated:13.2} ({theirs:5.2}) {fragmented:13.2} ({theirs_fragmented:6.2})"
                );
            }
            None => println!("{trace:16} {policy:14} {allocated:13.2}         {fragmented:13.2}"),
        }
    }
    let header: String = LEVELS.map(|level| format!("{level:7}")).concat();
    println!("\nGPUs allocated, %, when so much had arrived\n{:16} {:14} {header}", "trace", "policy");
    for (cell, runs) in cells.chunks(SEEDS as usize).zip(levels.chunks(SEEDS as usize)) {
        let ((trace, _, (policy, _)), _) = cell[0];
        print_levels(trace, policy, runs);
    }
    println!(
        "\n{} runs in {:.1} s; {furthest:.2} points from the authors' means at most",
        cells.len(),
        started.elapsed().as_secs_f64()
    );
    Ok(())
}
