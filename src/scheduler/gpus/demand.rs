//! What a task takes of an agent.

use std::cmp::Reverse;

use rustc_hash::FxHashMap;

use crate::resources::{GpuRequest, Kind, Quantities, Scalar, Shape};

/// Models of GPU as a set of at most 64; each model is a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GpuModels(pub u64);

impl GpuModels {
    /// No model: of a task, that any will do.
    pub const ANY: GpuModels = GpuModels(0);

    /// One model.
    #[must_use]
    pub fn one(number: usize) -> Self {
        GpuModels(1_u64.checked_shl(number as u32).unwrap_or(0))
    }

    /// Whether an agent of that model, or of none, will do.
    #[must_use]
    pub fn allow(self, node: GpuModels) -> bool {
        self == GpuModels::ANY || self.0 & node.0 != 0
    }
}

/// What a task takes of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GpuDemand {
    /// In thousandths of a core.
    pub cpu: i64,
    /// In MiB.
    pub mem: i64,
    /// GPUs, shared or not.
    pub gpus: GpuRequest,
    /// Models of GPU that will do.
    pub models: GpuModels,
}

impl GpuDemand {
    /// What a task of this shape takes, on GPUs of any model.
    #[must_use]
    pub fn of(shape: &Shape) -> Self {
        let amounts = shape.resources.quantities();
        let gpus = if shape.gpus.is_none() { whole_gpus(amounts.get(&Kind::Gpus)) } else { shape.gpus };
        let (cpu, mem) = cpu_and_mem(&amounts);
        GpuDemand { cpu, mem, gpus, models: GpuModels::ANY }
    }
}

/// As many whole GPUs.
pub(super) fn whole_gpus(amount: Scalar) -> GpuRequest {
    GpuRequest::whole(u32::try_from(amount.milli() / 1000).unwrap_or(u32::MAX))
}

/// Thousandths of cores, and MiB.
pub(super) fn cpu_and_mem(amounts: &Quantities) -> (i64, i64) {
    (amounts.get(&Kind::Cpus).milli(), amounts.get(&Kind::Mem).milli() / 1000)
}

/// A demand that is typical of a workload.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TypicalDemand {
    /// What it takes; memory is not looked at, and zero.
    pub demand: GpuDemand,
    /// Its part of all typical demands.
    pub part: f64,
}

/// The most frequent of these demands, of each of which there are so many: as many as are needed to cover that share of all. Memory is
/// not looked at.
pub fn typical(demands: impl IntoIterator<Item = (GpuDemand, u64)>, covered: f64) -> Vec<TypicalDemand> {
    let mut counts: FxHashMap<GpuDemand, u64> = FxHashMap::default();
    let mut all = 0;
    for (demand, count) in demands {
        *counts.entry(GpuDemand { mem: 0, ..demand }).or_default() += count;
        all += count;
    }
    let mut counts: Vec<(GpuDemand, u64)> = counts.into_iter().collect();
    counts.sort_unstable_by_key(|(demand, count)| (Reverse(*count), *demand));
    let (mut kept, mut sum) = (Vec::new(), 0);
    for (demand, count) in counts {
        if sum as f64 >= covered * all as f64 {
            break;
        }
        sum += count;
        kept.push((demand, count));
    }
    let part = |(demand, count)| TypicalDemand { demand, part: count as f64 / sum as f64 };
    kept.into_iter().map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::Resources;

    fn shape(text: &str) -> Shape {
        text.parse::<Resources>().unwrap().into()
    }

    #[test]
    fn the_most_frequent_are_typical() {
        let demand = |text: &str| GpuDemand::of(&shape(text));
        let demands = [("cpus:1;mem:5", 2), ("cpus:1;mem:7", 3), ("gpus:2", 4), ("cpus:9", 1)]
            .map(|(text, count)| (demand(text), count));
        let typical = typical(demands, 0.9);
        let parts: Vec<_> = typical.iter().map(|typical| (typical.demand.cpu, typical.part)).collect();
        assert_eq!(parts, [(1000, 5.0 / 9.0), (0, 4.0 / 9.0)]);
    }

    #[test]
    fn gpus_are_shared_or_whole() {
        let shared = shape("cpus:1").with_gpus(GpuRequest { count: 1, milli: 250 });
        assert_eq!(GpuDemand::of(&shared).gpus, GpuRequest { count: 1, milli: 250 });
        assert_eq!(GpuDemand::of(&shape("gpus:3")).gpus, GpuRequest::whole(3));
        assert!(GpuDemand::of(&shape("cpus:3")).gpus.is_none());
    }
}
