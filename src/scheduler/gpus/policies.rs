//! The preferences.

use std::cell::RefCell;

use rustc_hash::FxHashMap;

use super::demand::{cpu_and_mem, whole_gpus};
use super::{GpuDemand, GpuMix, GpuModels, GpuNode, TypicalDemand, clustering, descent, packing, typical};
use crate::protocol::{AgentId, TaskId};
use crate::resources::{Kind, Shape, WHOLE_GPU};
use crate::scheduler::{Offer, Score, TaskRequest};

/// What a framework knows of the GPUs of agents: the most that it was ever offered of each, and its own tasks there.
#[derive(Debug, Default)]
struct Book {
    /// How many devices an agent has, as far as it is known.
    devices: FxHashMap<AgentId, usize>,
    /// The most that any has.
    most: usize,
    tasks: FxHashMap<TaskId, (AgentId, GpuDemand)>,
    mixes: FxHashMap<AgentId, GpuMix>,
}

impl Book {
    fn offered(&mut self, offers: &[Offer]) {
        for offer in offers {
            let devices = free_gpus(offer, false).len().max(free_gpus(offer, true).len());
            if devices > 0 {
                let known = self.devices.entry(offer.agent().clone()).or_default();
                *known = devices.max(*known);
                self.most = devices.max(self.most);
            }
        }
    }

    fn launched(&mut self, task: &TaskRequest, offer: &Offer) {
        let demand = GpuDemand::of(&task.shape);
        if !demand.gpus.is_none() {
            self.mixes.entry(offer.agent().clone()).or_default().add(&demand);
            self.tasks.insert(task.id.clone(), (offer.agent().clone(), demand));
        }
    }

    fn ended(&mut self, task: &TaskId) {
        let Some((agent, demand)) = self.tasks.remove(task) else { return };
        let Some(mix) = self.mixes.get_mut(&agent) else { return };
        mix.remove(&demand);
        if mix.is_empty() {
            self.mixes.remove(&agent);
        }
    }

    /// What is left of an agent for such a task.
    fn node(&self, task: &TaskRequest, offer: &Offer) -> GpuNode {
        let mut node = node(task, offer);
        let devices = self.devices.get(offer.agent()).copied().unwrap_or_default();
        node.gpus.resize(devices.max(node.gpus.len()), 0);
        node.mix = self.mixes.get(offer.agent()).cloned().unwrap_or_default();
        node
    }
}

/// How much is left of each of the GPUs of an offer, of those that are shared or of the others.
fn free_gpus(offer: &Offer, shared: bool) -> Vec<u32> {
    if shared {
        return offer.remaining().gpu_devices(offer.role());
    }
    let whole = whole_gpus(offer.remaining().quantity(&Kind::Gpus));
    vec![WHOLE_GPU; whole.count as usize]
}

/// What is left of an agent for such a task: of GPUs that are shared if that is what the task wants, or all that the agent has.
fn node(task: &TaskRequest, offer: &Offer) -> GpuNode {
    let amounts = offer.remaining().quantities();
    let (cpu, mem) = cpu_and_mem(&amounts);
    let shared = !task.shape.gpus.is_none() || amounts.get(&Kind::Gpus).is_zero();
    GpuNode { cpu, mem, gpus: free_gpus(offer, shared), model: GpuModels::ANY, mix: GpuMix::default() }
}

/// Prefers shared GPUs that are in use, the fuller the better; then free GPUs of agents of which others are in use; then small agents
/// that are idle. Tasks without GPUs go anywhere.
///
/// An agent counts as idle when it was never offered with more GPUs.
#[derive(Debug, Default)]
pub struct GpuPacking {
    book: Book,
}

impl Score for GpuPacking {
    fn score(&self, task: &TaskRequest, offer: &Offer) -> f64 {
        let (node, demand) = (self.book.node(task, offer), GpuDemand::of(&task.shape));
        packing(&node, &demand, &node.fullest_devices(&demand)) as f64
    }

    fn offered(&mut self, offers: &[Offer]) {
        self.book.offered(offers);
    }
}

/// Prefers agents on which only such tasks of the framework run that want as many GPUs, or a part of one as well; then those on which such
/// and others do, then idle ones, then those with others alone; among alike, the fuller. Tasks without GPUs go anywhere.
#[derive(Debug, Default)]
pub struct GpuClustering {
    book: Book,
}

impl Score for GpuClustering {
    fn score(&self, task: &TaskRequest, offer: &Offer) -> f64 {
        let (node, demand) = (self.book.node(task, offer), GpuDemand::of(&task.shape));
        clustering(&node, &demand, self.book.most as i64 * i64::from(WHOLE_GPU)) as f64
    }

    fn offered(&mut self, offers: &[Offer]) {
        self.book.offered(offers);
    }

    fn launched(&mut self, task: &TaskRequest, offer: &Offer) {
        self.book.launched(task, offer);
    }

    fn ended(&mut self, task: &TaskId) {
        self.book.ended(task);
    }
}

/// Typical tasks are the most frequent ones that make up so much of all.
const TYPICAL: f64 = 0.95;

/// As many launches are remembered; older ones count for half when there are more.
const REMEMBERED: u64 = 10_000;

/// Fragmentation gradient descent (FGD): prefers the agent, and of its shared GPUs the device, that loses the least worth for tasks that
/// are typical.
///
/// What is idle of an agent's GPUs is worth nothing to a typical task that wants none, or does not fit there. Typical are the tasks that
/// were launched until now, or at first those that it is told of. Scores are whole numbers from 0 to 100, as those of the paper's
/// authors are: among equals the first offer is taken.
#[derive(Debug, Default)]
pub struct GradientDescent {
    counts: FxHashMap<GpuDemand, u64>,
    launches: u64,
    /// The most frequent of them, with their parts of all; made anew when it is asked for after a launch.
    typical: RefCell<Option<Vec<TypicalDemand>>>,
}

impl GradientDescent {
    /// With tasks of these shapes, so many of each, that are expected to be typical.
    pub fn expecting<'a>(tasks: impl IntoIterator<Item = (&'a Shape, u64)>) -> Self {
        let mut descent = GradientDescent::default();
        for (shape, count) in tasks {
            descent.note(shape, count);
        }
        descent
    }

    fn note(&mut self, shape: &Shape, count: u64) {
        *self.counts.entry(GpuDemand { mem: 0, ..GpuDemand::of(shape) }).or_default() += count;
        self.launches += count;
    }

    fn descend(&self, task: &TaskRequest, offer: &Offer) -> super::Descent {
        let mut typical_ones = self.typical.borrow_mut();
        let counts = || self.counts.iter().map(|(demand, count)| (*demand, *count));
        let typical_ones = typical_ones.get_or_insert_with(|| typical(counts(), TYPICAL));
        descent(&node(task, offer), &GpuDemand::of(&task.shape), typical_ones)
    }
}

impl Score for GradientDescent {
    fn score(&self, task: &TaskRequest, offer: &Offer) -> f64 {
        self.descend(task, offer).score
    }

    fn devices(&self, task: &TaskRequest, offer: &Offer) -> Vec<usize> {
        self.descend(task, offer).devices
    }

    fn launched(&mut self, task: &TaskRequest, _: &Offer) {
        self.note(&task.shape, 1);
        if self.launches > REMEMBERED {
            self.launches /= 2;
            self.counts.retain(|_, count| {
                *count /= 2;
                *count > 0
            });
        }
        *self.typical.borrow_mut() = None;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::resources::GpuRequest;
    use crate::scheduler::placement::tests::{offer, task};

    /// The agent that is preferred of these.
    fn preferred(score: &dyn Score, task: &TaskRequest, offers: &[Offer]) -> String {
        let mut best: Option<(f64, &Offer)> = None;
        for offer in offers {
            let score = score.score(task, offer);
            assert!(score.is_finite());
            if best.is_none_or(|(highest, _)| score > highest) {
                best = Some((score, offer));
            }
        }
        best.unwrap().1.agent().to_string()
    }

    #[test]
    fn packing_uses_agents_that_are_in_use_before_small_idle_ones() {
        let mut packing = GpuPacking::default();
        let idle = [
            offer("large", "cpus:96;gpus:8"),
            offer("busy", "cpus:96;gpus:8"),
            offer("small", "cpus:16;gpus:2"),
        ];
        packing.offered(&idle);
        let one = task("t", "cpus:1;gpus:1");
        assert_eq!(preferred(&packing, &one, &idle), "small");
        let later = [
            offer("large", "cpus:96;gpus:8"),
            offer("busy", "cpus:90;gpus:5"),
            offer("small", "cpus:16;gpus:2"),
        ];
        packing.offered(&later);
        assert_eq!(preferred(&packing, &one, &later), "busy");
        assert_eq!(
            preferred(&packing, &task("t", "cpus:1"), &later),
            "large",
            "without GPUs the first is as good"
        );
    }

    #[test]
    fn clustering_keeps_tasks_together_that_want_as_many() {
        let mut clustering = GpuClustering::default();
        let offers =
            [offer("a", "cpus:96;gpus:8"), offer("b", "cpus:96;gpus:8"), offer("c", "cpus:96;gpus:8")];
        clustering.offered(&offers);
        let (pair, single) = (task("pair", "gpus:2"), task("single", "gpus:1"));
        clustering.launched(&pair, &offers[0]);
        clustering.launched(&single, &offers[1]);
        assert_eq!(preferred(&clustering, &task("t", "gpus:2"), &offers), "a");
        assert_eq!(preferred(&clustering, &task("t", "gpus:1"), &offers), "b");
        assert_eq!(preferred(&clustering, &task("t", "gpus:4"), &offers), "c");
        clustering.ended(&pair.id);
        assert_eq!(preferred(&clustering, &task("t", "gpus:4"), &offers), "a", "it is idle again");
    }

    #[test]
    fn descent_leaves_what_typical_tasks_can_use() {
        let large = task("large", "cpus:8;gpus:8");
        let descent = GradientDescent::expecting([(&*large.shape, 10)]);
        let offers = [offer("whole", "cpus:96;gpus:8"), offer("broken", "cpus:96;gpus:7")];
        assert_eq!(preferred(&descent, &task("t", "cpus:1;gpus:1"), &offers), "broken");
        // Cores count as well: without them GPUs are of no use.
        let cores = [offer("whole", "cpus:8;gpus:8"), offer("none", "cpus:96")];
        assert_eq!(preferred(&descent, &task("t", "cpus:1"), &cores), "none");
    }

    #[test]
    fn descent_learns_what_is_typical_from_what_it_launches() {
        let mut descent = GradientDescent::default();
        let offers = [offer("whole", "cpus:96;gpus:8"), offer("broken", "cpus:96;gpus:7")];
        assert_eq!(
            preferred(&descent, &task("t", "gpus:1"), &offers),
            "whole",
            "nothing is known, the first is taken"
        );
        for _ in 0..=REMEMBERED {
            descent.launched(&task("large", "cpus:8;gpus:8"), &offers[0]);
        }
        assert_eq!(preferred(&descent, &task("t", "gpus:1"), &offers), "broken");
        assert!(descent.launches <= REMEMBERED);
    }
    /// A task that wants a part of a GPU.
    fn sharing(id: &str, milli: u32) -> TaskRequest {
        let mut task = task(id, "cpus:1");
        let shape = Shape::clone(&task.shape);
        task.shape = Arc::new(shape.with_gpus(GpuRequest { count: 1, milli }));
        task
    }

    #[test]
    fn shared_gpus_are_packed_device_by_device() {
        let mut packing = GpuPacking::default();
        let idle = [offer("a", "cpus:8;gpu_milli:[0-1999]"), offer("b", "cpus:8;gpu_milli:[0-1999]")];
        packing.offered(&idle);
        let later = [
            offer("a", "cpus:8;gpu_milli:[0-1999]"),
            offer("b", "cpus:8;gpu_milli:[800-999,1000-1999]"),
            offer("c", "cpus:8;gpu_milli:[500-999]"),
        ];
        assert_eq!(preferred(&packing, &sharing("t", 500), &later), "c", "a device in use");
        assert_eq!(preferred(&packing, &sharing("t", 200), &later), "b", "the fullest device");
        assert_eq!(
            preferred(&packing, &sharing("t", 600), &later[..2]),
            "b",
            "a free device beside one in use"
        );
    }

    #[test]
    fn parts_of_gpus_are_of_one_kind_for_clustering() {
        let mut clustering = GpuClustering::default();
        let offers = [offer("a", "cpus:8;gpu_milli:[0-1999]"), offer("b", "cpus:8;gpu_milli:[0-1999]")];
        clustering.offered(&offers);
        clustering.launched(&sharing("first", 300), &offers[1]);
        assert_eq!(preferred(&clustering, &sharing("t", 700), &offers), "b");
    }

    #[test]
    fn descent_chooses_the_device_that_leaves_typical_tasks_room() {
        let descent = GradientDescent::expecting([(&*sharing("typical", 600).shape, 10)]);
        let held = offer("a", "cpus:8;gpu_milli:[400-999,1000-1999]");
        // The first device has just room for a typical task, the second for one and 400 more.
        assert_eq!(descent.devices(&sharing("t", 400), &held), [1]);
        assert_eq!(descent.devices(&sharing("t", 600), &held), [0]);
    }
}
