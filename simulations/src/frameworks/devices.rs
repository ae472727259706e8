//! GPUs by device: what a framework knows of those that its tasks have.

use apportion::protocol::{AgentId, Attributes};
use apportion::resources::{Kind, Quantities};
use rustc_hash::FxHashMap;

use crate::gpus::is_gpus;
use crate::packing::{Demand, Models, Node};
use crate::scenario::{GPU_COUNT, GPU_MODEL};
use crate::workload::TaskClass;

/// A task of the framework: its job, and which of the job's it is.
pub(super) type TaskKey = (u32, u32);

/// The devices of all agents that were ever offered.
#[derive(Debug, Default)]
pub(super) struct DeviceBook {
    nodes: FxHashMap<AgentId, Node>,
    held: FxHashMap<TaskKey, (AgentId, Demand, Vec<usize>)>,
    /// Models of GPU, by their numbers.
    models: Vec<String>,
}

impl DeviceBook {
    /// What is left of an agent that is offered with these amounts.
    pub(super) fn node(&mut self, agent: &AgentId, attributes: &Attributes, free: &Quantities) -> &Node {
        if !self.nodes.contains_key(agent) {
            let count = attributes.get(GPU_COUNT).and_then(|count| count.parse().ok()).unwrap_or(0);
            let model = attributes.get(GPU_MODEL).map_or(Models::ANY, |name| Models::one(self.number(name)));
            self.nodes.insert(agent.clone(), Node::new(0, 0, count, model));
        }
        let node = self.nodes.entry(agent.clone()).or_insert_with(|| Node::new(0, 0, 0, Models::ANY));
        (node.cpu, node.mem) = (free.get(&Kind::Cpus).milli(), free.get(&Kind::Mem).milli() / 1000);
        node
    }

    /// What a task of a class takes of a node.
    pub(super) fn demand(&mut self, class: &TaskClass) -> Demand {
        let models =
            class.gpu_models.iter().fold(0, |models, name| models | Models::one(self.number(name)).0);
        Demand {
            cpu: class.amounts.get(&Kind::Cpus).milli(),
            mem: class.amounts.get(&Kind::Mem).milli() / 1000,
            gpus: class.gpus,
            models: Models(models),
        }
    }

    fn number(&mut self, model: &str) -> usize {
        let known = self.models.iter().position(|known| known == model);
        known.unwrap_or_else(|| {
            self.models.push(model.to_owned());
            self.models.len() - 1
        })
    }

    /// A task takes devices of an agent.
    pub(super) fn take(&mut self, task: TaskKey, agent: &AgentId, demand: Demand, devices: Vec<usize>) {
        if let Some(node) = self.nodes.get_mut(agent) {
            node.take(&demand, &devices);
            self.held.insert(task, (agent.clone(), demand, devices));
        }
    }

    /// A task gives back its devices.
    pub(super) fn give(&mut self, task: TaskKey) {
        if let Some((agent, demand, devices)) = self.held.remove(&task)
            && let Some(node) = self.nodes.get_mut(&agent)
        {
            node.give(&demand, &devices);
        }
    }
}

/// Whether an agent of these amounts has GPUs.
pub(super) fn has_gpus(amounts: &Quantities) -> bool {
    amounts.iter().any(|(kind, _)| is_gpus(kind))
}
