//! Fills the openb cluster by several policies, as the FGD paper does: `fgd NODES.csv PODS.csv [SEEDS]`.

use std::path::Path;

use apportion_simulations::packing::{Inflation, Policy};
use apportion_simulations::traces::{Format, Malformed, TraceFile};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, nodes, pods, rest @ ..] = arguments.as_slice() else {
        return Err("usage: fgd NODES.csv PODS.csv [SEEDS]".into());
    };
    let seeds: u64 = rest.first().map_or(Ok(3), |seeds| seeds.parse())?;
    let nodes = TraceFile::open(Path::new(nodes))?.nodes(Format::Openb, Malformed::Refuse)?.rows;
    let pods = TraceFile::open(Path::new(pods))?.jobs(Format::Openb, Malformed::Refuse)?.rows;
    let experiment = Inflation::new(&nodes, &pods);
    println!("{} typical demands", experiment.typical());
    for policy in [
        Policy::Random,
        Policy::DotProduct,
        Policy::GpuClustering,
        Policy::GpuPacking,
        Policy::BestFit,
        Policy::Fgd,
        Policy::FirstFit,
        Policy::WorstFit,
    ] {
        let started = std::time::Instant::now();
        let runs: Vec<_> = (1..=seeds).map(|seed| experiment.run(policy, seed, &[60, 100, 130])).collect();
        let mean =
            |level: usize| runs.iter().map(|run| run[level].allocated_pct).sum::<f64>() / runs.len() as f64;
        let fragmented = runs.iter().map(|run| run[2].fragmented_pct).sum::<f64>() / runs.len() as f64;
        println!(
            "{policy:?}: allocated {:.2} % at 60, {:.2} % at 100, {:.2} % at 130 % arrived; fragmented {fragmented:.2} %; {:.2} s per run",
            mean(0),
            mean(1),
            mean(2),
            started.elapsed().as_secs_f64() / seeds as f64
        );
    }
    Ok(())
}
