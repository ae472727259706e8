//! Fragmentation gradient descent on the openb cluster (Weng et al., ATC 2023), against what its authors publish.

use super::{Case, CaseError, Checks, Pace};
use crate::packing::{Inflation, Policy};
use crate::traces::{Format, Malformed, TraceFile};

pub(super) const CASES: &[Case] = &[Case {
    number: "25",
    title: "FGD: openb filled to 130 %, ten seeds",
    pace: Pace::Slow,
    play: inflation,
}];

const NODES: &[u8] = include_bytes!("../../papers/fgd/openb_node_list_gpu_node.csv.gz");
const PODS: &[u8] = include_bytes!("../../papers/fgd/openb_pod_list_default.csv.gz");

fn inflation(checks: &mut Checks) -> Result<(), CaseError> {
    let nodes =
        TraceFile::decompress("nodes.csv.gz", NODES.to_vec())?.nodes(Format::Openb, Malformed::Refuse)?.rows;
    let pods =
        TraceFile::decompress("pods.csv.gz", PODS.to_vec())?.jobs(Format::Openb, Malformed::Refuse)?.rows;
    let experiment = Inflation::new(&nodes, &pods);
    let mut means = Vec::new();
    for (name, policy, expected) in
        [("random", Policy::Random, 87.47), ("best fit", Policy::BestFit, 93.08), ("FGD", Policy::Fgd, 95.39)]
    {
        let allocated = (1..=10).map(|seed| experiment.run(policy, seed, &[130])[0].allocated_pct);
        let mean = allocated.sum::<f64>() / 10.0;
        checks.close(&format!("{name}: GPUs allocated, %"), expected, mean, 0.3);
        means.push(mean);
    }
    let ascends = means.is_sorted();
    checks.so(
        "order",
        "random, best fit, FGD",
        if ascends { "random, best fit, FGD" } else { "another" },
        ascends,
    );
    Ok(())
}
