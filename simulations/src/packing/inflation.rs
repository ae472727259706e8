//! The FGD paper's experiment: a cluster is filled with tasks of a trace until they would take more than it has.

use apportion::scheduler::Placement;
use apportion::scheduler::gpus::{GpuDemand, GpuModels, GpuNode, typical};

use super::Packer;
use crate::random::Stream;
use crate::traces::{TraceJob, TraceNode};

/// Typical demands cover so much of the trace, as in the paper.
const TYPICAL: f64 = 0.95;

/// A cluster, and the trace that it is filled with.
#[derive(Clone, Debug)]
pub struct Inflation {
    nodes: Vec<GpuNode>,
    demands: Vec<GpuDemand>,
    gpu_milli: i64,
}

/// How full the cluster was when so much had arrived.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Level {
    /// What all tasks that had arrived asked for, in percent of the cluster's GPUs.
    pub arrived_pct: u32,
    /// GPUs that were allocated, in percent.
    pub allocated_pct: f64,
    /// FGD's F, in percent of all GPUs.
    pub fragmented_pct: f64,
    /// FGD's F, in percent of what was idle.
    pub fragmented_of_idle_pct: f64,
}

impl Inflation {
    /// The experiment on these nodes with these tasks.
    pub fn new(nodes: &[TraceNode], jobs: &[TraceJob]) -> Self {
        let mut names: Vec<String> = nodes.iter().map(|node| node.gpu_model.clone()).collect();
        names.sort();
        names.dedup();
        names.retain(|name| !name.is_empty());
        let model = |node: &TraceNode| {
            names.iter().position(|name| *name == node.gpu_model).map_or(GpuModels::ANY, GpuModels::one)
        };
        let nodes: Vec<GpuNode> = nodes
            .iter()
            .map(|node| GpuNode::idle(node.cpus.milli(), node.mem.milli() / 1000, node.gpus, model(node)))
            .collect();
        Inflation {
            gpu_milli: nodes.iter().map(GpuNode::idle_gpus).sum(),
            demands: jobs.iter().map(|job| demand(job, &names)).collect(),
            nodes,
        }
    }

    fn counted(&self) -> impl Iterator<Item = (GpuDemand, u64)> + '_ {
        self.demands.iter().map(|demand| (*demand, 1))
    }

    /// How many demands are typical.
    pub fn typical(&self) -> usize {
        typical(self.counted(), TYPICAL).len()
    }

    /// Fills the cluster, and tells how full it was at each of these levels of arrived demand, in percent, which ascend.
    pub fn run(&self, policy: Placement, seed: u64, levels: &[u32]) -> Vec<Level> {
        let mut nodes = self.nodes.clone();
        Stream::named(seed, "inflation/nodes").shuffle(&mut nodes);
        let typical = typical(self.counted(), TYPICAL);
        let mut packer = Packer::new(nodes, policy, typical.clone(), Stream::named(seed, "inflation/policy"));
        let mut arrivals = Stream::named(seed, "inflation/arrivals");
        let mut first_round = self.demands.clone();
        arrivals.shuffle(&mut first_round);
        let mut first_round = first_round.into_iter();
        let (mut arrived, mut reached) = (0, Vec::new());
        for level in levels {
            let wanted = i64::from(*level) * self.gpu_milli / 100;
            while arrived < wanted && !self.demands.is_empty() {
                // After each task has arrived once, any of them arrives again.
                let demand =
                    first_round.next().unwrap_or_else(|| self.demands[arrivals.below(self.demands.len())]);
                arrived += demand.gpus.total_milli() as i64;
                packer.place(&demand);
            }
            let idle: i64 = packer.nodes().iter().map(GpuNode::idle_gpus).sum();
            let fragmented: f64 = packer.nodes().iter().map(|node| node.fragmentation(&typical)).sum();
            let percent = |part: f64, whole: i64| 100.0 * part / whole.max(1) as f64;
            reached.push(Level {
                arrived_pct: *level,
                allocated_pct: percent((self.gpu_milli - idle) as f64, self.gpu_milli),
                fragmented_pct: percent(fragmented, self.gpu_milli),
                fragmented_of_idle_pct: percent(fragmented, idle),
            });
        }
        reached
    }
}

/// What a task of a trace takes; `names` numbers the models of GPU.
fn demand(job: &TraceJob, names: &[String]) -> GpuDemand {
    let numbers = job.gpu_models.iter().map(|model| names.iter().position(|name| name == model));
    // A model that no node has is still asked for: it makes the demand fit nowhere.
    let models = numbers.fold(0, |models, number| models | GpuModels::one(number.unwrap_or(63)).0);
    let (cpu, mem) = (job.cpus.milli(), job.mem.milli() / 1000);
    GpuDemand { cpu, mem, gpus: job.gpus, models: GpuModels(models) }
}

#[cfg(test)]
mod tests {
    use apportion::resources::{GpuRequest, Scalar};

    use super::*;

    #[test]
    fn a_cluster_that_fits_perfectly_is_filled() {
        let node =
            TraceNode { cpus: Scalar::whole(8), mem: Scalar::whole(64), gpus: 4, ..TraceNode::default() };
        let job = TraceJob {
            cpus: Scalar::whole(1),
            mem: Scalar::whole(1),
            gpus: GpuRequest { count: 1, milli: 500 },
            ..TraceJob::default()
        };
        let experiment = Inflation::new(&vec![node; 3], &vec![job; 10]);
        for policy in
            [Placement::GradientDescent, Placement::BestFit, Placement::Random, Placement::GpuPacking]
        {
            let levels = experiment.run(policy, 1, &[50, 100, 130]);
            let allocated: Vec<f64> = levels.iter().map(|level| level.allocated_pct).collect();
            assert_eq!(allocated, [50.0, 100.0, 100.0], "{policy:?}");
        }
    }
}
