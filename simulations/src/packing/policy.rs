//! The policies: which node, and which of its devices. Formulas are those of the FGD paper's artifact
//! (hkust-adsl/kubernetes-scheduler-simulator, with its options `merge` and `max` for the dot product).

use apportion::scheduler::Placement;

use super::node::WHOLE;
use super::{Demand, Node, TypicalDemand};

/// The largest node of the authors' cluster: what is left is divided by it.
const LARGEST: (f64, f64) = (128_000.0, 8000.0);

/// A node's score for a demand, from 0 to 100, and the devices to take; the higher, the better.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Choice {
    pub(crate) score: f64,
    pub(crate) devices: Vec<usize>,
}

/// Scores a node that the demand fits.
pub(crate) fn score(policy: Placement, node: &Node, demand: &Demand, typical: &[TypicalDemand]) -> Choice {
    let devices = node.fullest_devices(demand);
    let score = match policy {
        Placement::FirstFit | Placement::Random => 0.0,
        Placement::BestFit => 100.0 * (1.0 - left(node, demand)),
        Placement::WorstFit => 100.0 * left(node, demand),
        Placement::DotProduct => 100.0 * (1.0 - dot_product(node, demand)),
        Placement::GpuPacking => packing(node, demand, &devices) as f64,
        Placement::GpuClustering => clustering(node, demand) as f64,
        Placement::GradientDescent => return fragmentation_descent(node, demand, typical),
    };
    Choice { score, devices }
}

/// Whether scores, cut to whole numbers, are stretched to run from 0 to 100 over the nodes that fit.
pub(super) fn is_stretched(policy: Placement) -> bool {
    matches!(policy, Placement::BestFit | Placement::WorstFit)
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
    (cpu + gpu) / 2.0
}

/// Devices in use, the fuller the better: 51 to 100; free devices of nodes in use, the fewer the better: 33 to 49; those of idle nodes,
/// the smaller the better: up to 32.
fn packing(node: &Node, demand: &Demand, devices: &[usize]) -> i64 {
    if demand.gpus.count == 0 {
        return 0;
    }
    if node.gpus.iter().all(|free| *free == WHOLE) {
        let devices = node.gpus.len() as i64;
        return (33 - devices).max(devices);
    }
    let free = devices.iter().filter(|device| node.gpus[**device] == WHOLE).count() as i64;
    if free > 0 {
        return (50 - free).max(33);
    }
    let left: i64 = devices.iter().map(|device| i64::from(node.gpus[*device]) / 10).sum();
    (100 - left / 10).max(50)
}

/// By the tasks with GPUs that run on the node: only such that ask for GPUs in the same way, those among others, none, only others; within
/// each of these, the fuller the better.
fn clustering(node: &Node, demand: &Demand) -> i64 {
    let Some((same, others)) = node.alike(demand) else { return 0 };
    let base = match (same, others) {
        (true, false) => 75,
        (true, true) => 50,
        (false, false) => 25,
        (false, true) => 0,
    };
    base + 25 * (LARGEST.1 as i64 - node.idle()) / LARGEST.1 as i64
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
