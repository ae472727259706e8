//! What a task takes of a node.

use std::cmp::Reverse;

use rustc_hash::FxHashMap;

use crate::traces::{GpuRequest, TraceJob};

/// Models of GPU as a set of at most 64; each model is a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Models(pub u64);

impl Models {
    /// No model: of a task, that any will do.
    pub const ANY: Models = Models(0);

    /// One model.
    pub fn one(number: usize) -> Self {
        Models(1_u64.checked_shl(number as u32).unwrap_or(0))
    }

    /// Whether a node of that model, or of none, will do.
    pub fn allow(self, node: Models) -> bool {
        self == Models::ANY || self.0 & node.0 != 0
    }
}

/// What a task takes of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Demand {
    /// In thousandths of a core.
    pub cpu: i64,
    /// In MiB.
    pub mem: i64,
    /// GPUs.
    pub gpus: GpuRequest,
    /// Models of GPU that will do.
    pub models: Models,
}

impl Demand {
    /// What a task of a trace takes; `names` numbers the models of GPU.
    pub fn of(job: &TraceJob, names: &[String]) -> Self {
        let numbers = job.gpu_models.iter().map(|model| names.iter().position(|name| name == model));
        // A model that no node has is still asked for: it makes the demand fit nowhere.
        let models = numbers.fold(0, |models, number| models | Models::one(number.unwrap_or(63)).0);
        Demand { cpu: job.cpus.milli(), mem: job.mem.milli() / 1000, gpus: job.gpus, models: Models(models) }
    }

    /// GPUs altogether, in thousandths.
    pub fn gpu_milli(&self) -> i64 {
        i64::from(self.gpus.count) * i64::from(self.gpus.milli)
    }
}

/// A demand that is typical of a workload.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TypicalDemand {
    /// What it takes; memory is not looked at, and zero.
    pub demand: Demand,
    /// Its part of all typical demands.
    pub part: f64,
}

/// The most frequent demands, as many as are needed to cover that share of all. Memory is not looked at.
pub fn typical(demands: &[Demand], covered: f64) -> Vec<TypicalDemand> {
    let mut counts: FxHashMap<Demand, usize> = FxHashMap::default();
    for demand in demands {
        *counts.entry(Demand { mem: 0, ..*demand }).or_default() += 1;
    }
    let mut counts: Vec<(Demand, usize)> = counts.into_iter().collect();
    counts.sort_unstable_by_key(|(demand, count)| (Reverse(*count), *demand));
    let (mut kept, mut sum) = (Vec::new(), 0);
    for (demand, count) in counts {
        if sum as f64 >= covered * demands.len() as f64 {
            break;
        }
        sum += count;
        kept.push((demand, count));
    }
    kept.into_iter()
        .map(|(demand, count)| TypicalDemand { demand, part: count as f64 / sum as f64 })
        .collect()
}
