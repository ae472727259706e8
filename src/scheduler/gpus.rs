//! Preferences for tasks with GPUs: those that the authors of fragmentation gradient descent compare (Weng et al., ATC 2023), for
//! whole GPUs.

use std::cell::RefCell;
use std::cmp::Reverse;

use rustc_hash::FxHashMap;

use super::{Offer, Score, TaskRequest};
use crate::protocol::{AgentId, TaskId};
use crate::resources::{Kind, Quantities};

/// What a task takes that these preferences look at: cores in thousandths, and GPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Wanted {
    cpus: i64,
    gpus: i64,
}

impl Wanted {
    fn of(amounts: &Quantities) -> Self {
        Wanted { cpus: amounts.get(&Kind::Cpus).milli(), gpus: amounts.get(&Kind::Gpus).milli() / 1000 }
    }
}

/// What a framework knows of the GPUs of agents: the most that it was ever offered of each, and its own tasks there.
#[derive(Debug, Default)]
struct Book {
    most: FxHashMap<AgentId, i64>,
    tasks: FxHashMap<TaskId, (AgentId, i64)>,
    /// How many tasks with so many GPUs run on an agent.
    counts: FxHashMap<AgentId, Vec<(i64, usize)>>,
}

impl Book {
    fn offered(&mut self, offers: &[Offer]) {
        for offer in offers {
            let gpus = Wanted::of(&offer.remaining().quantities()).gpus;
            if gpus > 0 {
                let most = self.most.entry(offer.agent().clone()).or_default();
                *most = gpus.max(*most);
            }
        }
    }

    fn launched(&mut self, task: &TaskRequest, offer: &Offer) {
        let gpus = Wanted::of(&task.shape.quantities()).gpus;
        if gpus == 0 {
            return;
        }
        let counts = self.counts.entry(offer.agent().clone()).or_default();
        match counts.iter_mut().find(|(known, _)| *known == gpus) {
            Some((_, count)) => *count += 1,
            None => counts.push((gpus, 1)),
        }
        self.tasks.insert(task.id.clone(), (offer.agent().clone(), gpus));
    }

    fn ended(&mut self, task: &TaskId) {
        let Some((agent, gpus)) = self.tasks.remove(task) else { return };
        let Some(counts) = self.counts.get_mut(&agent) else { return };
        if let Some(place) = counts.iter().position(|(known, _)| *known == gpus) {
            counts[place].1 -= 1;
            if counts[place].1 == 0 {
                counts.swap_remove(place);
            }
        }
        if counts.is_empty() {
            self.counts.remove(&agent);
        }
    }

    /// How many GPUs an agent has, as far as it is known.
    fn total(&self, offer: &Offer) -> i64 {
        self.most.get(offer.agent()).copied().unwrap_or_default()
    }
}

/// Prefers free GPUs of agents of which others are in use, then small agents that are idle. Tasks without GPUs go anywhere.
///
/// An agent counts as idle when it was never offered with more GPUs.
#[derive(Debug, Default)]
pub struct GpuPacking {
    book: Book,
}

impl Score for GpuPacking {
    fn score(&self, task: &TaskRequest, offer: &Offer) -> f64 {
        let wanted = Wanted::of(&task.shape.quantities());
        let (free, total) = (Wanted::of(&offer.remaining().quantities()).gpus, self.book.total(offer));
        let score = match wanted.gpus {
            0 => 0,
            _ if free >= total => (33 - total).max(0),
            gpus => (50 - gpus).max(33),
        };
        score as f64
    }

    fn offered(&mut self, offers: &[Offer]) {
        self.book.offered(offers);
    }
}

/// Prefers agents on which only such tasks of the framework run that want as many GPUs; then those on which such and others do, then
/// idle ones, then those with others alone; among alike, the fuller. Tasks without GPUs go anywhere.
#[derive(Debug, Default)]
pub struct GpuClustering {
    book: Book,
}

impl Score for GpuClustering {
    fn score(&self, task: &TaskRequest, offer: &Offer) -> f64 {
        let wanted = Wanted::of(&task.shape.quantities());
        if wanted.gpus == 0 {
            return 0.0;
        }
        let counts = self.book.counts.get(offer.agent()).map_or(&[][..], Vec::as_slice);
        let runs = |same: bool| counts.iter().any(|(gpus, _)| (*gpus == wanted.gpus) == same);
        let base = match (runs(true), runs(false)) {
            (true, false) => 75,
            (true, true) => 50,
            (false, false) => 25,
            (false, true) => 0,
        };
        let free = Wanted::of(&offer.remaining().quantities()).gpus;
        // Below the next better group, however large the agent is.
        f64::from(base) + 25.0 / (1.0 + free as f64)
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

/// Fragmentation gradient descent (FGD): prefers the agent whose GPUs lose the least worth for tasks that are typical.
///
/// What is idle of an agent's GPUs is worth nothing to a typical task that wants none, or does not fit there. Typical are the tasks that
/// were launched until now, or at first those that it is told of. Scores are whole numbers from 0 to 100, as those of the paper's
/// authors are: among equals the first offer is taken.
#[derive(Debug, Default)]
pub struct GradientDescent {
    counts: FxHashMap<Wanted, u64>,
    launches: u64,
    /// The most frequent of them, with their parts of all; made anew when it is asked for after a launch.
    typical: RefCell<Option<Vec<(Wanted, f64)>>>,
}

impl GradientDescent {
    /// With tasks of these amounts, so many of each, that are expected to be typical.
    pub fn expecting<'a>(tasks: impl IntoIterator<Item = (&'a Quantities, u64)>) -> Self {
        let mut descent = GradientDescent::default();
        for (amounts, count) in tasks {
            *descent.counts.entry(Wanted::of(amounts)).or_default() += count;
            descent.launches += count;
        }
        descent
    }

    fn most_frequent(&self) -> Vec<(Wanted, f64)> {
        let mut counts: Vec<(Wanted, u64)> =
            self.counts.iter().map(|(wanted, count)| (*wanted, *count)).collect();
        counts.sort_unstable_by_key(|(wanted, count)| (Reverse(*count), *wanted));
        let all: u64 = counts.iter().map(|(_, count)| count).sum();
        let mut covered = 0;
        counts.retain(|(_, count)| {
            let is_needed = (covered as f64) < TYPICAL * all as f64;
            covered += if is_needed { *count } else { 0 };
            is_needed
        });
        counts.into_iter().map(|(wanted, count)| (wanted, count as f64 / covered as f64)).collect()
    }
}

impl Score for GradientDescent {
    fn score(&self, task: &TaskRequest, offer: &Offer) -> f64 {
        let wanted = Wanted::of(&task.shape.quantities());
        let free = Wanted::of(&offer.remaining().quantities());
        let mut typical = self.typical.borrow_mut();
        let typical = typical.get_or_insert_with(|| self.most_frequent());
        let worthless = |free: Wanted| {
            let useless = typical.iter().filter(|(typical, _)| {
                typical.gpus == 0 || typical.gpus > free.gpus || typical.cpus > free.cpus
            });
            free.gpus as f64 * useless.map(|(_, part)| part).sum::<f64>()
        };
        let after = Wanted { cpus: free.cpus - wanted.cpus, gpus: free.gpus - wanted.gpus };
        let gain = worthless(free) - worthless(after);
        libm::trunc(100.0 / (1.0 + libm::exp(-gain)))
    }

    fn launched(&mut self, task: &TaskRequest, _: &Offer) {
        *self.counts.entry(Wanted::of(&task.shape.quantities())).or_default() += 1;
        self.launches += 1;
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
    use super::super::placement::tests::{offer, task};
    use super::*;

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
        let amounts: Quantities = "cpus:8;gpus:8".parse().unwrap();
        let descent = GradientDescent::expecting([(&amounts, 10)]);
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
}
