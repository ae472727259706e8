//! The FGD paper's experiment: a cluster is filled with tasks of a trace until they would take more than it has.

use apportion::scheduler::Placement;

use super::{Demand, Models, Node, Packer, typical};
use crate::random::Stream;
use crate::traces::{TraceJob, TraceNode};

/// Typical demands cover so much of the trace, as in the paper.
const TYPICAL: f64 = 0.95;

/// A cluster, and the trace that it is filled with.
#[derive(Clone, Debug)]
pub struct Inflation {
    nodes: Vec<Node>,
    demands: Vec<Demand>,
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
            names.iter().position(|name| *name == node.gpu_model).map_or(Models::ANY, Models::one)
        };
        let nodes: Vec<Node> = nodes
            .iter()
            .map(|node| Node::new(node.cpus.milli(), node.mem.milli() / 1000, node.gpus, model(node)))
            .collect();
        Inflation {
            gpu_milli: nodes.iter().map(Node::idle).sum(),
            demands: jobs.iter().map(|job| Demand::of(job, &names)).collect(),
            nodes,
        }
    }

    /// How many demands are typical.
    pub fn typical(&self) -> usize {
        typical(&self.demands, TYPICAL).len()
    }

    /// Fills the cluster, and tells how full it was at each of these levels of arrived demand, in percent, which ascend.
    pub fn run(&self, policy: Placement, seed: u64, levels: &[u32]) -> Vec<Level> {
        let mut nodes = self.nodes.clone();
        Stream::named(seed, "inflation/nodes").shuffle(&mut nodes);
        let typical = typical(&self.demands, TYPICAL);
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
                arrived += demand.gpu_milli();
                packer.place(&demand);
            }
            let idle: i64 = packer.nodes().iter().map(Node::idle).sum();
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

#[cfg(test)]
mod tests {
    use apportion::resources::Scalar;

    use super::*;
    use crate::traces::GpuRequest;

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
