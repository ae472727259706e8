//! How much of what is idle is of no use to the tasks that are typical.

use apportion::resources::{GpuRequest, Kind};

use crate::gpus::is_gpus;
use crate::scenario::{GPU_MODEL, Model};

/// At most so many classes are looked at: the most frequent ones.
const CLASSES: usize = 64;

/// Amounts are in thousandths of their unit, which is a thousandth of a device for GPUs that are shared.
const DEVICE_UNIT: i64 = 1000;

/// The share of tasks that the classes looked at have to cover.
const COVERED: f64 = 0.95;

/// FGD's fragmentation measure (Weng et al., ATC 2023): what is idle on an agent counts as fragmented to the part of typical tasks
/// that can't use it.
///
/// Of a cluster with GPUs, idle GPUs are looked at, and a typical task can't use them when it wants none, or another model, or
/// does not fit; where GPUs are shared, neither can it use those devices of which it wants more than is left. Of another cluster,
/// idle cores are looked at, and a task can't use them when it does not fit. Typical tasks are the most frequent classes of the
/// scenario that cover 95 % of its tasks, weighted with their number.
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
    gpus: GpuRequest,
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

    /// How much of that is fragmented. `gpus` is what is idle of each GPU that is shared, in thousandths.
    pub fn of(&self, free: &[i64], gpus: &[u32], gpu_model: Option<&String>) -> f64 {
        let Some(kind) = self.kind else { return 0.0 };
        let idle = free[kind];
        if idle == 0 {
            return 0.0;
        }
        let useless = |class: &Typical| {
            let wants_none = self.of_gpus && class.amounts[kind] == 0;
            let model_fits =
                class.models.is_empty() || gpu_model.is_some_and(|model| class.models.contains(model));
            if wants_none || !model_fits || !class.fits(free, gpus) {
                return idle as f64;
            }
            let too_small = gpus.iter().filter(|free| **free < class.gpus.milli).map(|free| i64::from(*free));
            (too_small.sum::<i64>() * DEVICE_UNIT) as f64
        };
        self.classes.iter().map(|class| class.weight * useless(class)).sum()
    }
}

impl Typical {
    fn fits(&self, free: &[i64], gpus: &[u32]) -> bool {
        let devices = || gpus.iter().filter(|free| **free >= self.gpus.milli).count();
        self.amounts.iter().zip(free).all(|(wanted, free)| wanted <= free)
            && (gpus.is_empty() || devices() >= self.gpus.count as usize)
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
                known.amounts == amounts && known.gpus == class.gpus && known.models == class.gpu_models
            };
            match classes.iter_mut().find(same) {
                Some((known, _)) => *known += count,
                None => {
                    let models = class.gpu_models.clone();
                    classes.push((count, Typical { amounts, gpus: class.gpus, models, weight: 0.0 }));
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
