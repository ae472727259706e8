//! Placements on the openb cluster (Weng et al., ATC 2023), against what the authors of fragmentation gradient descent publish.

use apportion::scheduler::Placement;
use rayon::prelude::*;

use super::{Case, CaseError, Checks, Pace};
use crate::packing::{Inflation, Level};
use crate::traces::{Format, Malformed, TraceFile};

pub(super) const CASES: &[Case] = &[
    Case {
        number: "25",
        title: "FGD: openb filled to 130 %, six policies, ten seeds",
        pace: Pace::Slow,
        play: default_trace,
    },
    Case {
        number: "25b",
        title: "FGD: the same, where a third of the GPU tasks want certain models",
        pace: Pace::Slow,
        play: constrained_trace,
    },
    Case {
        number: "25c",
        title: "FGD: all 17 traces, which policies fill the cluster most",
        pace: Pace::Long,
        play: order,
    },
];

const NODES: &[u8] = include_bytes!("../../papers/fgd/openb_node_list_gpu_node.csv.gz");
const DEFAULT: &[u8] = include_bytes!("../../papers/fgd/openb_pod_list_default.csv.gz");
const CONSTRAINED: &[u8] = include_bytes!("../../papers/fgd/openb_pod_list_gpuspec33.csv.gz");

/// The pods of the paper's 17 traces, by the authors' names.
const TRACES: [(&str, &[u8]); 17] = [
    ("default", DEFAULT),
    ("gpuspec33", CONSTRAINED),
    ("cpu050", include_bytes!("../../papers/fgd/openb_pod_list_cpu050.csv.gz")),
    ("cpu100", include_bytes!("../../papers/fgd/openb_pod_list_cpu100.csv.gz")),
    ("cpu200", include_bytes!("../../papers/fgd/openb_pod_list_cpu200.csv.gz")),
    ("cpu250", include_bytes!("../../papers/fgd/openb_pod_list_cpu250.csv.gz")),
    ("gpushare40", include_bytes!("../../papers/fgd/openb_pod_list_gpushare40.csv.gz")),
    ("gpushare60", include_bytes!("../../papers/fgd/openb_pod_list_gpushare60.csv.gz")),
    ("gpushare80", include_bytes!("../../papers/fgd/openb_pod_list_gpushare80.csv.gz")),
    ("gpushare100", include_bytes!("../../papers/fgd/openb_pod_list_gpushare100.csv.gz")),
    ("gpuspec10", include_bytes!("../../papers/fgd/openb_pod_list_gpuspec10.csv.gz")),
    ("gpuspec20", include_bytes!("../../papers/fgd/openb_pod_list_gpuspec20.csv.gz")),
    ("gpuspec25", include_bytes!("../../papers/fgd/openb_pod_list_gpuspec25.csv.gz")),
    ("multigpu20", include_bytes!("../../papers/fgd/openb_pod_list_multigpu20.csv.gz")),
    ("multigpu30", include_bytes!("../../papers/fgd/openb_pod_list_multigpu30.csv.gz")),
    ("multigpu40", include_bytes!("../../papers/fgd/openb_pod_list_multigpu40.csv.gz")),
    ("multigpu50", include_bytes!("../../papers/fgd/openb_pod_list_multigpu50.csv.gz")),
];

/// What the authors publish of a policy, means of ten seeds, in percent of all GPUs: allocated, and fragmented.
type Published = [f64; 2];

/// The policies, from the one that allocates the least.
const POLICIES: [(&str, Placement); 6] = [
    ("random", Placement::Random),
    ("dot product", Placement::DotProduct),
    ("clustering", Placement::GpuClustering),
    ("packing", Placement::GpuPacking),
    ("best fit", Placement::BestFit),
    ("FGD", Placement::GradientDescent),
];

/// What the authors call a policy.
fn authors_name(policy: Placement) -> &'static str {
    match policy {
        Placement::DotProduct => "DotProd",
        Placement::GpuClustering => "GpuClustering",
        Placement::GpuPacking => "GpuPacking",
        Placement::BestFit => "BestFit",
        Placement::GradientDescent => "FGD",
        Placement::Random | Placement::FirstFit | Placement::WorstFit => "Random",
    }
}

fn default_trace(checks: &mut Checks) -> Result<(), CaseError> {
    let published = [
        [87.470, 12.428],
        [90.849, 9.082],
        [91.878, 8.000],
        [92.002, 7.914],
        [93.076, 6.849],
        [95.391, 4.568],
    ];
    inflation("default", DEFAULT, published, checks)
}

fn constrained_trace(checks: &mut Checks) -> Result<(), CaseError> {
    let published = [
        [86.456, 13.439],
        [89.144, 10.789],
        [92.117, 7.740],
        [93.220, 6.703],
        [93.093, 6.837],
        [94.547, 5.386],
    ];
    inflation("gpuspec33", CONSTRAINED, published, checks)
}

const SEEDS: u64 = 10;

fn experiment(pods: &[u8]) -> Result<Inflation, CaseError> {
    let nodes =
        TraceFile::decompress("nodes.csv.gz", NODES.to_vec())?.nodes(Format::Openb, Malformed::Refuse)?.rows;
    let pods =
        TraceFile::decompress("pods.csv.gz", pods.to_vec())?.jobs(Format::Openb, Malformed::Refuse)?.rows;
    Ok(Inflation::new(&nodes, &pods))
}

/// In every trace FGD fills more than best fit, and that more than random.
fn order(checks: &mut Checks) -> Result<(), CaseError> {
    let mean = |experiment: &Inflation, policy| {
        // Summed up in the order of the seeds, so that the means are the same however many cores there are.
        let runs: Vec<f64> = (1..=SEEDS)
            .into_par_iter()
            .map(|seed| experiment.run(policy, seed, &[130])[0].allocated_pct)
            .collect();
        runs.iter().sum::<f64>() / SEEDS as f64
    };
    for (name, pods) in TRACES {
        let experiment = experiment(pods)?;
        let [random, best_fit, descent] = [Placement::Random, Placement::BestFit, Placement::GradientDescent]
            .map(|policy| mean(&experiment, policy));
        let found = format!("{random:.2}, {best_fit:.2}, {descent:.2}");
        let what = format!("{name}: GPUs allocated by random, best fit, FGD, %");
        checks.so(&what, "ascending", found, random < best_fit && best_fit < descent);
    }
    Ok(())
}

/// What had arrived, in percent of the GPUs, when the authors publish how full the cluster was.
const LEVELS: [u32; 12] = [20, 40, 60, 80, 85, 90, 95, 100, 105, 110, 120, 130];

/// What the authors publish of a trace and policy at each level.
fn published_levels(trace: &str, policy: &str) -> Vec<Published> {
    const PUBLISHED: &str = include_str!("../../papers/fgd/levels.csv");
    let own = PUBLISHED.lines().filter_map(|line| line.strip_prefix(&format!("{trace},{policy},")));
    let of_line = |line: &str| {
        let mut fields = line.split(',').skip(1).map(str::parse);
        Some([fields.next()?.ok()?, fields.next()?.ok()?])
    };
    own.filter_map(of_line).collect()
}

fn inflation(
    trace: &str,
    pods: &[u8],
    published: [Published; 6],
    checks: &mut Checks,
) -> Result<(), CaseError> {
    let experiment = experiment(pods)?;
    let mut means = [0.0; POLICIES.len()];
    for (((name, policy), [allocated, fragmented]), mean) in POLICIES.iter().zip(published).zip(&mut means) {
        let runs: Vec<_> = (1..=SEEDS).map(|seed| experiment.run(*policy, seed, &LEVELS)).collect();
        let at = |level: usize, of: fn(&Level) -> f64| {
            runs.iter().map(|run| of(&run[level])).sum::<f64>() / SEEDS as f64
        };
        let last = LEVELS.len() - 1;
        *mean = at(last, |level| level.allocated_pct);
        checks.close(&format!("{name}: GPUs allocated, %"), allocated, *mean, 0.3);
        checks.close(
            &format!("{name}: GPUs fragmented, %"),
            fragmented,
            at(last, |level| level.fragmented_pct),
            0.3,
        );
        let theirs = published_levels(trace, authors_name(*policy));
        let distance = |(level, [allocated, fragmented]): (usize, &Published)| {
            let of_allocated = (at(level, |level| level.allocated_pct) - allocated).abs();
            of_allocated.max((at(level, |level| level.fragmented_pct) - fragmented).abs())
        };
        let furthest = theirs.iter().enumerate().map(distance).fold(0.0, f64::max);
        checks.so(
            &format!("{name}: points from the authors, at {} levels of arrived load", theirs.len()),
            "12 levels, at most 0.3",
            format!("{furthest:.2}"),
            theirs.len() == LEVELS.len() && furthest <= 0.3,
        );
    }
    let [random, .., best_fit, descent] = means;
    let ascends = random < best_fit && best_fit < descent;
    checks.so(
        "order",
        "random, best fit, FGD",
        if ascends { "random, best fit, FGD" } else { "another" },
        ascends,
    );
    Ok(())
}
