//! How good an agent is for a task. Formulas are those of the paper's artifact (hkust-adsl/kubernetes-scheduler-simulator). Scores are
//! whole numbers: that makes ties, which go to the first agent, and matters for what comes out.

use super::{GpuDemand, GpuNode, TypicalDemand};
use crate::resources::WHOLE_GPU;

/// Devices in use, the fuller the better: 50 to 100; free devices of agents in use, the fewer the better: 33 to 49; those of idle agents,
/// the smaller the better: up to 32. Nothing for a task without GPUs. It fits, on these devices.
#[must_use]
pub fn packing(node: &GpuNode, demand: &GpuDemand, devices: &[usize]) -> i64 {
    if demand.gpus.is_none() {
        return 0;
    }
    if node.gpus.iter().all(|free| *free == WHOLE_GPU) {
        return (33 - node.gpus.len() as i64).max(0);
    }
    let free = devices.iter().filter(|device| node.gpus[**device] == WHOLE_GPU).count() as i64;
    if free > 0 {
        return (50 - free).max(33);
    }
    let left: i64 = devices.iter().map(|device| i64::from(node.gpus[*device]) / 10).sum();
    (100 - left / 10).max(50)
}

/// By the tasks with GPUs that run on the agent: only such that ask for GPUs in the same way, those among others, none, only others;
/// within each of these, the fuller the better, where the largest agent has GPUs of so many thousandths. Nothing for a task without
/// GPUs.
#[must_use]
pub fn clustering(node: &GpuNode, demand: &GpuDemand, largest: i64) -> i64 {
    let Some((same, others)) = node.mix.alike(demand) else { return 0 };
    let base = match (same, others) {
        (true, false) => 75,
        (true, true) => 50,
        (false, false) => 25,
        (false, true) => 0,
    };
    base + 25 * (largest - node.idle_gpus()) / largest.max(1)
}

/// What [`descent`] finds.
#[derive(Clone, Debug, PartialEq)]
pub struct Descent {
    /// A whole number from 0 to 100; the higher, the better.
    pub score: f64,
    /// The devices to take.
    pub devices: Vec<usize>,
}

/// How much less of the agent's GPUs is left that is of no use to typical tasks, once the task is there. Whole devices are alike; of
/// parts, each device that fits is tried. It fits.
#[must_use]
pub fn descent(node: &GpuNode, demand: &GpuDemand, typical: &[TypicalDemand]) -> Descent {
    let before = node.fragmentation(typical);
    let mut trial = node.clone();
    let mut after = |devices: &[usize]| {
        trial.take(demand, devices);
        let after = trial.fragmentation(typical);
        trial.give(demand, devices);
        after
    };
    if demand.gpus.count != 1 || demand.gpus.milli == WHOLE_GPU {
        let devices = node.fullest_devices(demand);
        let score = sigmoid_score(before - after(&devices));
        return Descent { score, devices };
    }
    let mut best: Option<Descent> = None;
    for device in (0..node.gpus.len()).filter(|device| node.gpus[*device] >= demand.gpus.milli) {
        // Devices with as much left as an earlier one give the same.
        if node.gpus[..device].contains(&node.gpus[device]) {
            continue;
        }
        let score = sigmoid_score(before - after(&[device]));
        if best.as_ref().is_none_or(|best| score > best.score) {
            best = Some(Descent { score, devices: vec![device] });
        }
    }
    best.unwrap_or(Descent { score: 0.0, devices: Vec::new() })
}

fn sigmoid_score(gain: f64) -> f64 {
    libm::trunc(100.0 / (1.0 + libm::exp(-gain / f64::from(WHOLE_GPU))))
}
