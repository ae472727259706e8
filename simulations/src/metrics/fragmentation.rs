//! How much of what is idle is of no use to the tasks that are typical.

use apportion::resources::Kind;

use crate::gpus::is_gpus;
use crate::scenario::{GPU_MODEL, Model};

/// At most so many classes are looked at: the most frequent ones.
const CLASSES: usize = 64;

/// The share of tasks that the classes looked at have to cover.
const COVERED: f64 = 0.95;

/// FGD's fragmentation measure (Weng et al., ATC 2023): what is idle on an agent counts as fragmented to the part of typical tasks
/// that can't use it.
///
/// Of a cluster with GPUs, idle GPUs are looked at, and a typical task can't use them when it wants none, or another model, or
/// does not fit; of another cluster, idle cores, and a task can't use them when it does not fit. Typical tasks are the most
/// frequent classes of the scenario that cover 95 % of its tasks, weighted with their number.
#[derive(Clone, Debug)]
pub struct Fragmentation {
    /// The place of the kind that is looked at; `None` when agents have neither GPUs nor cores.
    kind: Option<usize>,
    of_gpus: bool,
    classes: Vec<Typical>,
}

#[derive(Clone, Debug)]
struct Typical {
    amounts: Vec<i64>,
    models: Vec<String>,
    /// Their part of all typical tasks.
    weight: f64,
}

impl Fragmentation {
    /// The measure for a model's cluster and tasks, with amounts in the order of `kinds`.
    pub fn new(model: &Model, kinds: &[Kind]) -> Self {
        let gpus = kinds.iter().position(is_gpus);
        let (kind, of_gpus) = match gpus {
            Some(place) => (Some(place), true),
            None => (kinds.iter().position(|kind| *kind == Kind::Cpus), false),
        };
        Fragmentation { kind, of_gpus, classes: typical(model, kinds) }
    }

    /// What is idle of an agent in the kind that is looked at.
    pub fn idle(&self, free: &[i64]) -> i64 {
        self.kind.map_or(0, |kind| free[kind])
    }

    /// How much of that is fragmented.
    pub fn of(&self, free: &[i64], gpu_model: Option<&String>) -> f64 {
        let Some(kind) = self.kind else { return 0.0 };
        let idle = free[kind];
        if idle == 0 {
            return 0.0;
        }
        let useless = self.classes.iter().filter(|class| {
            let wants_none = self.of_gpus && class.amounts[kind] == 0;
            let fits = class.amounts.iter().zip(free).all(|(wanted, free)| wanted <= free);
            let model_fits =
                class.models.is_empty() || gpu_model.is_some_and(|model| class.models.contains(model));
            wants_none || !fits || !model_fits
        });
        idle as f64 * useless.map(|class| class.weight).sum::<f64>()
    }
}

fn typical(model: &Model, kinds: &[Kind]) -> Vec<Typical> {
    let mut classes: Vec<(u64, Typical)> = Vec::new();
    for framework in &model.frameworks {
        let mut counts = vec![0_u64; framework.workload.classes.len()];
        for job in &framework.workload.jobs {
            counts[job.class as usize] += u64::from(job.tasks);
        }
        for (class, count) in framework.workload.classes.iter().zip(counts) {
            let amounts: Vec<i64> = kinds.iter().map(|kind| class.amounts.get(kind).milli()).collect();
            let same = |(_, known): &&mut (u64, Typical)| {
                known.amounts == amounts && known.models == class.gpu_models
            };
            match classes.iter_mut().find(same) {
                Some((known, _)) => *known += count,
                None => {
                    classes.push((count, Typical { amounts, models: class.gpu_models.clone(), weight: 0.0 }))
                }
            }
        }
    }
    classes.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.amounts.cmp(&b.1.amounts)));
    let all: u64 = classes.iter().map(|(count, _)| count).sum();
    let mut covered = 0;
    let mut kept = Vec::new();
    for (count, class) in classes.into_iter().take(CLASSES) {
        if covered as f64 >= COVERED * all as f64 {
            break;
        }
        covered += count;
        kept.push((count, class));
    }
    kept.into_iter()
        .map(|(count, class)| Typical { weight: count as f64 / covered.max(1) as f64, ..class })
        .collect()
}

/// The model of an agent's GPUs.
pub(super) fn gpu_model(model: &Model, agent: usize) -> Option<&String> {
    model.agents[agent].attributes.get(GPU_MODEL)
}
