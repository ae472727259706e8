//! What is left of an agent, device by device.

use super::{GpuDemand, GpuMix, GpuModels, TypicalDemand};
use crate::resources::{WHOLE_GPU, fullest_gpus};

/// What is left of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuNode {
    /// In thousandths of a core.
    pub cpu: i64,
    /// In MiB.
    pub mem: i64,
    /// Of each GPU, in thousandths; zero where nothing is left.
    pub gpus: Vec<u32>,
    /// The model of its GPUs.
    pub model: GpuModels,
    /// The tasks with GPUs that run on it.
    pub mix: GpuMix,
}

impl GpuNode {
    /// An agent with so many GPUs of which nothing is in use.
    #[must_use]
    pub fn idle(cpu: i64, mem: i64, gpus: u32, model: GpuModels) -> Self {
        GpuNode { cpu, mem, gpus: vec![WHOLE_GPU; gpus as usize], model, mix: GpuMix::default() }
    }

    /// Whether a task fits.
    #[must_use]
    pub fn fits(&self, demand: &GpuDemand) -> bool {
        let (count, milli) = (demand.gpus.count as usize, demand.gpus.milli);
        self.cpu >= demand.cpu
            && self.mem >= demand.mem
            && (count == 0
                || demand.models.allow(self.model)
                    && self.gpus.iter().filter(|free| **free >= milli).count() >= count)
    }

    /// Takes what a task asks for, its GPUs from these devices.
    ///
    /// # Panics
    /// When there is no such device. Where less is left of one, in debug builds.
    pub fn take(&mut self, demand: &GpuDemand, devices: &[usize]) {
        self.cpu -= demand.cpu;
        self.mem -= demand.mem;
        for device in devices {
            self.gpus[*device] -= demand.gpus.milli;
        }
        self.mix.add(demand);
    }

    /// Gives back what a task took.
    ///
    /// # Panics
    /// When there is no such device.
    pub fn give(&mut self, demand: &GpuDemand, devices: &[usize]) {
        self.cpu += demand.cpu;
        self.mem += demand.mem;
        for device in devices {
            self.gpus[*device] += demand.gpus.milli;
        }
        self.mix.remove(demand);
    }

    /// What is idle of its GPUs, in thousandths.
    #[must_use]
    pub fn idle_gpus(&self) -> i64 {
        self.gpus.iter().map(|free| i64::from(*free)).sum()
    }

    /// Devices for a task: those that are the fullest of those that fit; the first among equals. None when they are too few.
    #[must_use]
    pub fn fullest_devices(&self, demand: &GpuDemand) -> Vec<usize> {
        fullest_gpus(&self.gpus, demand.gpus).unwrap_or_default()
    }

    /// The paper's F: what is idle of its GPUs and of no use to the typical demands, weighted with their parts, in thousandths.
    #[must_use]
    pub fn fragmentation(&self, typical: &[TypicalDemand]) -> f64 {
        let idle = self.idle_gpus();
        if idle == 0 {
            return 0.0;
        }
        let of = |TypicalDemand { demand, part }: &TypicalDemand| {
            let useless = if demand.gpus.count == 0 || !self.fits(demand) {
                idle
            } else {
                let small = self.gpus.iter().filter(|free| **free < demand.gpus.milli);
                small.map(|free| i64::from(*free)).sum()
            };
            part * useless as f64
        };
        typical.iter().map(of).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::GpuRequest;

    fn demand(cpu: i64, count: u32, milli: u32) -> GpuDemand {
        GpuDemand { cpu, mem: 0, gpus: GpuRequest { count, milli }, models: GpuModels::ANY }
    }

    #[test]
    fn parts_of_devices_are_not_added_up() {
        let mut node = GpuNode::idle(8000, 100, 2, GpuModels::ANY);
        let part = demand(1000, 1, 600);
        for device in [0, 1] {
            assert!(node.fits(&part));
            node.take(&part, &[device]);
        }
        assert_eq!(node.idle_gpus(), 800);
        assert!(!node.fits(&part), "two devices have 400 each");
        assert!(node.fits(&demand(1000, 2, 400)));
        node.give(&part, &[1]);
        assert!(node.fits(&part));
        assert_eq!(node.fullest_devices(&demand(0, 1, 300)), [0]);
    }

    #[test]
    fn fragmentation_is_what_typical_tasks_cant_use() {
        let mut node = GpuNode::idle(8000, 100, 2, GpuModels::ANY);
        node.take(&demand(1000, 1, 600), &[0]);
        let typical = |demand| [TypicalDemand { demand, part: 1.0 }];
        // 400 on one device, 1000 on the other.
        assert_eq!(node.fragmentation(&typical(demand(1000, 1, 500))), 400.0);
        assert_eq!(node.fragmentation(&typical(demand(1000, 2, 1000))), 1400.0, "it does not fit");
        assert_eq!(node.fragmentation(&typical(demand(9000, 1, 100))), 1400.0, "too few cores");
        assert_eq!(node.fragmentation(&typical(demand(1000, 0, 1000))), 1400.0, "it wants no GPU");
        assert_eq!(node.fragmentation(&typical(demand(1000, 1, 100))), 0.0);
    }
}
