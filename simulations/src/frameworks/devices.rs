//! GPUs by device: what is left of them, and what a framework knows of its tasks that have some.

use apportion::protocol::AgentId;
use apportion::resources::{Kind, Quantities, WHOLE_GPU};
use apportion::scheduler::Offer;
use apportion::scheduler::gpus::{GpuDemand, GpuMix, GpuModels, GpuNode};
use rustc_hash::FxHashMap;

use crate::gpus::is_gpus;
use crate::scenario::{GPU_COUNT, GPU_MODEL};
use crate::workload::TaskClass;

/// A task of the framework: its job, and which of the job's it is.
pub(super) type TaskKey = (u32, u32);

/// The framework's tasks that have GPUs, by agent.
#[derive(Debug, Default)]
pub(super) struct DeviceBook {
    mixes: FxHashMap<AgentId, GpuMix>,
    held: FxHashMap<TaskKey, (AgentId, GpuDemand)>,
    /// Models of GPU, by their numbers.
    models: Vec<String>,
}

impl DeviceBook {
    /// What is left of an agent that is offered with these amounts.
    pub(super) fn node(&mut self, offer: &Offer, free: &Quantities) -> GpuNode {
        let attributes = offer.attributes();
        let count = attributes.get(GPU_COUNT).and_then(|count| count.parse().ok()).unwrap_or(0);
        let model = attributes.get(GPU_MODEL).map(|name| GpuModels::one(self.number(name)));
        let whole = (free.get(&Kind::Gpus).milli() / 1000) as usize;
        let mut gpus = match whole {
            0 => offer.remaining().gpu_devices(offer.role()),
            // Whichever they are.
            whole => vec![WHOLE_GPU; whole],
        };
        gpus.resize(gpus.len().max(count), 0);
        GpuNode {
            cpu: free.get(&Kind::Cpus).milli(),
            mem: free.get(&Kind::Mem).milli() / 1000,
            gpus,
            model: model.unwrap_or(GpuModels::ANY),
            mix: self.mixes.get(offer.agent()).cloned().unwrap_or_default(),
        }
    }

    /// What a task of a class takes of a node.
    pub(super) fn demand(&mut self, class: &TaskClass) -> GpuDemand {
        let models =
            class.gpu_models.iter().fold(0, |models, name| models | GpuModels::one(self.number(name)).0);
        GpuDemand {
            cpu: class.amounts.get(&Kind::Cpus).milli(),
            mem: class.amounts.get(&Kind::Mem).milli() / 1000,
            gpus: class.gpus,
            models: GpuModels(models),
        }
    }

    fn number(&mut self, model: &str) -> usize {
        let known = self.models.iter().position(|known| known == model);
        known.unwrap_or_else(|| {
            self.models.push(model.to_owned());
            self.models.len() - 1
        })
    }

    /// A task has GPUs of an agent.
    pub(super) fn take(&mut self, task: TaskKey, agent: &AgentId, demand: GpuDemand) {
        self.mixes.entry(agent.clone()).or_default().add(&demand);
        self.held.insert(task, (agent.clone(), demand));
    }

    /// A task has given them back.
    pub(super) fn give(&mut self, task: TaskKey) {
        let Some((agent, demand)) = self.held.remove(&task) else { return };
        let Some(mix) = self.mixes.get_mut(&agent) else { return };
        mix.remove(&demand);
        if mix.is_empty() {
            self.mixes.remove(&agent);
        }
    }
}

/// Whether an agent of these amounts has GPUs.
pub(super) fn has_gpus(amounts: &Quantities) -> bool {
    amounts.iter().any(|(kind, _)| is_gpus(kind))
}
