//! The policies: which node, and which of its devices.

use serde::{Deserialize, Serialize};

use super::{Demand, Node, TypicalDemand};

/// Which of the nodes that a task fits it goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// The first.
    FirstFit,
    /// The one with the least left: half of the score is cores, half GPUs.
    BestFit,
    /// The one with the most left.
    WorstFit,
    /// Any.
    Random,
    /// The smallest dot product of what is asked for and what is left.
    DotProduct,
    /// Devices in use first, then free devices of nodes in use, then empty nodes.
    GpuPacking,
    /// Nodes on which tasks run that ask for the same of GPUs.
    GpuClustering,
    /// The least growth of fragmentation.
    Fgd,
}

/// The largest node of the authors' cluster: what is left is divided by it.
const LARGEST: (f64, f64) = (128_000.0, 8000.0);

/// A node's score for a demand, and the devices to take; the higher, the better.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Choice {
    pub(crate) score: f64,
    pub(crate) devices: Vec<usize>,
}

impl Policy {
    /// Scores a node that the demand fits.
    pub(crate) fn score(self, node: &Node, demand: &Demand, typical: &[TypicalDemand]) -> Choice {
        let devices = node.fullest_devices(demand);
        let score = match self {
            Policy::FirstFit | Policy::Random => 0.0,
            Policy::BestFit => -left(node, demand),
            Policy::WorstFit => left(node, demand),
            Policy::DotProduct => -dot_product(node, demand),
            Policy::GpuPacking => packing(node, demand, &devices),
            Policy::GpuClustering => clustering(node, demand),
            Policy::Fgd => return fragmentation_descent(node, demand, typical),
        };
        Choice { score, devices }
    }

    /// Whether scores are stretched over the nodes that fit before they are cut to whole numbers from 0 to 100.
    pub(super) fn is_stretched(self) -> bool {
        !matches!(self, Policy::Fgd | Policy::FirstFit | Policy::Random)
    }
}

/// What is left after the task, as a part of the largest node.
fn left(node: &Node, demand: &Demand) -> f64 {
    let cpu = (node.cpu - demand.cpu) as f64 / LARGEST.0;
    let gpu = (node.idle() - demand.gpu_milli()) as f64 / LARGEST.1;
    0.5 * cpu + 0.5 * gpu
}

fn dot_product(node: &Node, demand: &Demand) -> f64 {
    let cpu = node.cpu as f64 / LARGEST.0 * (demand.cpu as f64 / LARGEST.0);
    let gpu = node.idle() as f64 / LARGEST.1 * (demand.gpu_milli() as f64 / LARGEST.1);
    cpu + gpu
}

fn packing(node: &Node, demand: &Demand, devices: &[usize]) -> f64 {
    let idle = node.idle() as f64 / LARGEST.1;
    if demand.gpus.count == 0 {
        return if node.is_empty() { 0.0 } else { 1.0 - idle };
    }
    let in_use = devices.iter().any(|device| node.gpus[*device] < 1000);
    match (in_use, node.is_empty()) {
        // The fuller, the better; those of the same rank are told apart by what is left.
        (true, _) => 3.0 - idle,
        (false, false) => 2.0 - idle,
        (false, true) => 0.0,
    }
}

fn clustering(node: &Node, demand: &Demand) -> f64 {
    let (same, others) = node.alike(demand);
    let idle = node.idle() as f64 / LARGEST.1;
    match (same, others) {
        (0, 0) => 1.0 - idle,
        (0, _) => -idle,
        (_, 0) => 3.0 - idle,
        (_, _) => 2.0 - idle,
    }
}

fn fragmentation_descent(node: &Node, demand: &Demand, typical: &[TypicalDemand]) -> Choice {
    let before = node.fragmentation(typical);
    let mut trial = node.clone();
    let mut after = |devices: &[usize]| {
        trial.take(demand, devices);
        let after = trial.fragmentation(typical);
        trial.give(demand, devices);
        after
    };
    // Whole devices are alike; of parts, each device that fits is tried.
    if demand.gpus.count != 1 || demand.gpus.milli == 1000 {
        let devices = node.fullest_devices(demand);
        let score = sigmoid_score(before - after(&devices));
        return Choice { score, devices };
    }
    let mut best: Option<Choice> = None;
    for device in (0..node.gpus.len()).filter(|device| node.gpus[*device] >= demand.gpus.milli) {
        // Devices with as much left as an earlier one give the same.
        if node.gpus[..device].contains(&node.gpus[device]) {
            continue;
        }
        let score = sigmoid_score(before - after(&[device]));
        if best.as_ref().is_none_or(|best| score > best.score) {
            best = Some(Choice { score, devices: vec![device] });
        }
    }
    best.unwrap_or(Choice { score: 0.0, devices: Vec::new() })
}

/// A whole number from 0 to 100: that it is whole matters, since ties then go to the first node.
fn sigmoid_score(gain: f64) -> f64 {
    (100.0 / (1.0 + libm::exp(-gain / 1000.0))).trunc()
}
