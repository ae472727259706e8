//! The policies: which node, and which of its devices. Formulas are those of the FGD paper's artifact
//! (hkust-adsl/kubernetes-scheduler-simulator, with its options `merge` and `max` for the dot product).

use apportion::scheduler::Placement;
use apportion::scheduler::gpus::{Descent, GpuDemand, GpuNode, TypicalDemand, clustering, descent, packing};

/// The largest node of the authors' cluster: what is left is divided by it.
const LARGEST: (f64, f64) = (128_000.0, LARGEST_GPUS as f64);

/// Its GPUs, in thousandths.
const LARGEST_GPUS: i64 = 8000;

/// A node's score for a demand, from 0 to 100, and the devices to take; the higher, the better.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Choice {
    pub(crate) score: f64,
    pub(crate) devices: Vec<usize>,
}

/// Scores a node that the demand fits.
pub(crate) fn score(
    policy: Placement,
    node: &GpuNode,
    demand: &GpuDemand,
    typical: &[TypicalDemand],
) -> Choice {
    let devices = node.fullest_devices(demand);
    let score = match policy {
        Placement::FirstFit | Placement::Random => 0.0,
        Placement::BestFit => 100.0 * (1.0 - left(node, demand)),
        Placement::WorstFit => 100.0 * left(node, demand),
        Placement::DotProduct => 100.0 * (1.0 - dot_product(node, demand)),
        Placement::GpuPacking => packing(node, demand, &devices) as f64,
        Placement::GpuClustering => clustering(node, demand, LARGEST_GPUS) as f64,
        Placement::GradientDescent => {
            let Descent { score, devices } = descent(node, demand, typical);
            return Choice { score, devices };
        }
    };
    Choice { score, devices }
}

/// Whether scores, cut to whole numbers, are stretched to run from 0 to 100 over the nodes that fit.
pub(super) fn is_stretched(policy: Placement) -> bool {
    matches!(policy, Placement::BestFit | Placement::WorstFit)
}

/// What is left after the task, as a part of the largest node.
fn left(node: &GpuNode, demand: &GpuDemand) -> f64 {
    let cpu = (node.cpu - demand.cpu) as f64 / LARGEST.0;
    let gpu = (node.idle_gpus() - demand.gpus.total_milli() as i64) as f64 / LARGEST.1;
    0.5 * cpu + 0.5 * gpu
}

fn dot_product(node: &GpuNode, demand: &GpuDemand) -> f64 {
    let cpu = node.cpu as f64 / LARGEST.0 * (demand.cpu as f64 / LARGEST.0);
    let gpu = node.idle_gpus() as f64 / LARGEST.1 * (demand.gpus.total_milli() as f64 / LARGEST.1);
    (cpu + gpu) / 2.0
}
