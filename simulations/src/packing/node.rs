//! What is left of a machine, device by device.

use super::{Demand, Models, TypicalDemand};
use crate::random::Stream;

/// A whole GPU, in thousandths.
pub(super) const WHOLE: u32 = 1000;

/// The way in which a task asks for GPUs, as clustering tells tasks apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Affinity {
    /// A part of one, whatever part.
    Share,
    /// So many.
    Whole(u32),
}

impl Affinity {
    /// That of a task; `None` without GPUs.
    fn of(demand: &Demand) -> Option<Self> {
        match (demand.gpus.count, demand.gpus.milli) {
            (0, _) => None,
            (1, milli) if milli < WHOLE => Some(Affinity::Share),
            (count, _) => Some(Affinity::Whole(count)),
        }
    }
}

/// What is left of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// In thousandths of a core.
    pub cpu: i64,
    /// In MiB.
    pub mem: i64,
    /// Of each GPU, in thousandths.
    pub gpus: Vec<u32>,
    /// The model of its GPUs.
    pub model: Models,
    /// How many tasks with GPUs run on it, by the way in which they ask for them.
    tasks: Vec<(Affinity, u32)>,
}

impl Node {
    /// A machine that is empty.
    pub fn new(cpu: i64, mem: i64, gpus: u32, model: Models) -> Self {
        Node { cpu, mem, gpus: vec![WHOLE; gpus as usize], model, tasks: Vec::new() }
    }

    /// Whether a task fits.
    pub fn fits(&self, demand: &Demand) -> bool {
        let (count, milli) = (demand.gpus.count as usize, demand.gpus.milli);
        self.cpu >= demand.cpu
            && self.mem >= demand.mem
            && (count == 0
                || demand.models.allow(self.model)
                    && self.gpus.iter().filter(|free| **free >= milli).count() >= count)
    }

    /// Takes what a task asks for, its GPUs from these devices.
    pub fn take(&mut self, demand: &Demand, devices: &[usize]) {
        self.cpu -= demand.cpu;
        self.mem -= demand.mem;
        for device in devices {
            self.gpus[*device] -= demand.gpus.milli;
        }
        self.count(demand, 1);
    }

    /// Gives back what a task took.
    pub fn give(&mut self, demand: &Demand, devices: &[usize]) {
        self.cpu += demand.cpu;
        self.mem += demand.mem;
        for device in devices {
            self.gpus[*device] += demand.gpus.milli;
        }
        self.count(demand, -1);
    }

    fn count(&mut self, demand: &Demand, by: i32) {
        let Some(affinity) = Affinity::of(demand) else { return };
        match self.tasks.iter().position(|(known, _)| *known == affinity) {
            Some(place) => {
                self.tasks[place].1 = self.tasks[place].1.saturating_add_signed(by);
                if self.tasks[place].1 == 0 {
                    self.tasks.swap_remove(place);
                }
            }
            None if by > 0 => self.tasks.push((affinity, 1)),
            None => {}
        }
    }

    /// What is idle of its GPUs, in thousandths.
    pub fn idle(&self) -> i64 {
        self.gpus.iter().map(|free| i64::from(*free)).sum()
    }

    /// Whether tasks run on it that ask for GPUs in the same way, and whether others with GPUs do; `None` for a task without.
    pub fn alike(&self, demand: &Demand) -> Option<(bool, bool)> {
        let affinity = Affinity::of(demand)?;
        let runs = |same: bool| self.tasks.iter().any(|(known, _)| (*known == affinity) == same);
        Some((runs(true), runs(false)))
    }

    /// Devices for a task: those that are the fullest of those that fit; the first among equals. It fits.
    pub fn fullest_devices(&self, demand: &Demand) -> Vec<usize> {
        let mut fitting: Vec<usize> =
            (0..self.gpus.len()).filter(|device| self.gpus[*device] >= demand.gpus.milli).collect();
        fitting.sort_by_key(|device| self.gpus[*device]);
        fitting.truncate(demand.gpus.count as usize);
        fitting
    }

    /// Devices for a task: any that fit.
    pub fn random_devices(&self, demand: &Demand, stream: &mut Stream) -> Vec<usize> {
        let mut fitting: Vec<usize> =
            (0..self.gpus.len()).filter(|device| self.gpus[*device] >= demand.gpus.milli).collect();
        stream.shuffle(&mut fitting);
        fitting.truncate(demand.gpus.count as usize);
        fitting
    }

    /// FGD's F: what is idle of its GPUs and of no use to the typical demands, weighted with their parts.
    pub fn fragmentation(&self, typical: &[TypicalDemand]) -> f64 {
        let idle = self.idle();
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
    use crate::traces::GpuRequest;

    fn demand(cpu: i64, count: u32, milli: u32) -> Demand {
        Demand { cpu, mem: 0, gpus: GpuRequest { count, milli }, models: Models::ANY }
    }

    #[test]
    fn parts_of_devices_are_not_added_up() {
        let mut node = Node::new(8000, 100, 2, Models::ANY);
        let part = demand(1000, 1, 600);
        for device in [0, 1] {
            assert!(node.fits(&part));
            node.take(&part, &[device]);
        }
        assert_eq!(node.idle(), 800);
        assert!(!node.fits(&part), "two devices have 400 each");
        assert!(node.fits(&demand(1000, 2, 400)));
        node.give(&part, &[1]);
        assert!(node.fits(&part));
        assert_eq!(node.fullest_devices(&demand(0, 1, 300)), [0]);
    }

    #[test]
    fn fragmentation_is_what_typical_tasks_cant_use() {
        let mut node = Node::new(8000, 100, 2, Models::ANY);
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
