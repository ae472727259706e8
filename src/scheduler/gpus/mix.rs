//! In which ways the tasks on an agent ask for GPUs.

use super::GpuDemand;
use crate::resources::WHOLE_GPU;

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
    fn of(demand: &GpuDemand) -> Option<Self> {
        match (demand.gpus.count, demand.gpus.milli) {
            (0, _) => None,
            (1, milli) if milli < WHOLE_GPU => Some(Affinity::Share),
            (count, _) => Some(Affinity::Whole(count)),
        }
    }
}

/// How many tasks with GPUs run on an agent, by the way in which they ask for them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GpuMix(Vec<(Affinity, u32)>);

impl GpuMix {
    /// Whether no task with GPUs runs there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A task comes.
    pub fn add(&mut self, demand: &GpuDemand) {
        let Some(affinity) = Affinity::of(demand) else { return };
        match self.0.iter_mut().find(|(known, _)| *known == affinity) {
            Some((_, count)) => *count += 1,
            None => self.0.push((affinity, 1)),
        }
    }

    /// A task goes; one that never came changes nothing.
    pub fn remove(&mut self, demand: &GpuDemand) {
        let affinity = Affinity::of(demand);
        let Some(place) = self.0.iter().position(|(known, _)| Some(*known) == affinity) else { return };
        self.0[place].1 -= 1;
        if self.0[place].1 == 0 {
            self.0.swap_remove(place);
        }
    }

    /// Whether tasks run there that ask for GPUs in the same way, and whether others with GPUs do; `None` for a task without.
    #[must_use]
    pub fn alike(&self, demand: &GpuDemand) -> Option<(bool, bool)> {
        let affinity = Affinity::of(demand)?;
        let runs = |same: bool| self.0.iter().any(|(known, _)| (*known == affinity) == same);
        Some((runs(true), runs(false)))
    }
}
