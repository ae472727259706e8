//! Nodes, and the scores that they have for demands.

use apportion::scheduler::Placement;
use apportion::scheduler::gpus::{GpuDemand, GpuNode, TypicalDemand};
use rustc_hash::FxHashMap;

use super::policy::{Choice, is_stretched, score};
use super::random_devices;
use crate::random::Stream;

/// Keeps nodes and places tasks on them by a policy.
///
/// A score depends on the node and the demand alone; so it is reckoned again only when the node has changed since.
#[derive(Clone, Debug)]
pub struct Packer {
    nodes: Vec<GpuNode>,
    /// How often each node has changed.
    versions: Vec<u32>,
    policy: Placement,
    typical: Vec<TypicalDemand>,
    scores: FxHashMap<GpuDemand, Vec<Cached>>,
    stream: Stream,
}

#[derive(Clone, Debug)]
struct Cached {
    version: u32,
    /// `None` when the demand does not fit.
    choice: Option<Choice>,
}

impl Packer {
    /// A packer of these nodes, in the order in which ties are broken.
    pub fn new(nodes: Vec<GpuNode>, policy: Placement, typical: Vec<TypicalDemand>, stream: Stream) -> Self {
        let versions = vec![1; nodes.len()];
        Packer { nodes, versions, policy, typical, scores: FxHashMap::default(), stream }
    }

    /// The nodes.
    pub fn nodes(&self) -> &[GpuNode] {
        &self.nodes
    }

    /// Places a task: its node and devices; `None` when it fits nowhere.
    pub fn place(&mut self, demand: &GpuDemand) -> Option<(usize, Vec<usize>)> {
        self.refresh(demand);
        let cached = &self.scores[demand];
        let chosen = match self.policy {
            Placement::FirstFit => cached.iter().position(|cached| cached.choice.is_some()),
            Placement::Random => {
                let fitting: Vec<usize> =
                    (0..cached.len()).filter(|node| cached[*node].choice.is_some()).collect();
                fitting.get(self.stream.below(fitting.len())).copied()
            }
            _ => best(cached, is_stretched(self.policy)),
        }?;
        let devices = match self.policy {
            Placement::Random => random_devices(&self.nodes[chosen], demand, &mut self.stream),
            _ => cached[chosen].choice.as_ref()?.devices.clone(),
        };
        self.nodes[chosen].take(demand, &devices);
        self.versions[chosen] += 1;
        Some((chosen, devices))
    }

    /// Brings the scores of a demand up to date.
    fn refresh(&mut self, demand: &GpuDemand) {
        let cached = self
            .scores
            .entry(*demand)
            .or_insert_with(|| vec![Cached { version: 0, choice: None }; self.nodes.len()]);
        for ((cached, node), version) in cached.iter_mut().zip(&self.nodes).zip(&self.versions) {
            if cached.version != *version {
                let choice = node.fits(demand).then(|| score(self.policy, node, demand, &self.typical));
                *cached = Cached { version: *version, choice };
            }
        }
    }
}

/// The first node of the highest score. Scores are cut to whole numbers, as the scheduler framework of Kubernetes has them: it makes
/// ties, which the first node wins. Stretched scores run from 0 to 100 over the nodes that fit, and are whole too.
fn best(cached: &[Cached], stretched: bool) -> Option<usize> {
    let scores = || {
        let choices = cached.iter().enumerate();
        choices.filter_map(|(node, cached)| Some((node, cached.choice.as_ref()?.score as i64)))
    };
    let (low, high) =
        scores().fold((i64::MAX, i64::MIN), |(low, high), (_, score)| (low.min(score), high.max(score)));
    let rank = |score: i64| match stretched {
        true if high > low => (score - low) * 100 / (high - low),
        true => 0,
        false => score,
    };
    let mut best: Option<(usize, i64)> = None;
    for (node, score) in scores() {
        let rank = rank(score);
        if best.is_none_or(|(_, highest)| rank > highest) {
            best = Some((node, rank));
        }
    }
    best.map(|(node, _)| node)
}
