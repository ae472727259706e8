//! Rules and preferences of where tasks go, besides that they fit.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

use rustc_hash::FxHasher;

use super::{Offer, TaskRequest};
use crate::protocol::TaskId;
use crate::resources::{Kind, Quantities};

/// A rule that keeps tasks off agents.
pub trait Filter {
    /// What the rule is called when it has to explain why a task waits, with its parameters: `max_per(host, 1)`.
    fn name(&self) -> String;

    /// Whether the task may go there.
    fn allows(&self, task: &TaskRequest, offer: &Offer) -> bool;

    /// The task goes there.
    fn launched(&mut self, task: &TaskRequest, offer: &Offer) {
        let _ = (task, offer);
    }

    /// The task has ended.
    fn ended(&mut self, task: &TaskId) {
        let _ = task;
    }
}

/// A preference among the offers that a task may use. Those of several are added up.
pub trait Score {
    /// The higher, the better. Finite.
    fn score(&self, task: &TaskRequest, offer: &Offer) -> f64;

    /// The shared GPUs of an offer that a task had better have, by their numbers, as many as it wants; none where this preference does
    /// not care. The task fits.
    fn devices(&self, task: &TaskRequest, offer: &Offer) -> Vec<usize> {
        let _ = (task, offer);
        Vec::new()
    }

    /// These are offered, before any of them is scored.
    fn offered(&mut self, offers: &[Offer]) {
        let _ = offers;
    }

    /// The task goes there.
    fn launched(&mut self, task: &TaskRequest, offer: &Offer) {
        let _ = (task, offer);
    }

    /// The task has ended.
    fn ended(&mut self, task: &TaskId) {
        let _ = task;
    }
}

/// At most so many tasks on each machine.
///
/// It counts the tasks that it saw being launched.
#[derive(Clone, Debug)]
pub struct MaxPer {
    limit: usize,
    label: Option<String>,
    counts: BTreeMap<Place, usize>,
    places: BTreeMap<TaskId, Place>,
}

/// A host, and the label's value on the tasks that are counted together.
type Place = (String, Option<String>);

impl MaxPer {
    /// At most `limit` tasks of the framework per host.
    pub fn host(limit: usize) -> Self {
        MaxPer { limit, label: None, counts: BTreeMap::new(), places: BTreeMap::new() }
    }

    /// Counts only tasks together that have the same value of this label.
    #[must_use]
    pub fn alike_in(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    fn place(&self, task: &TaskRequest, offer: &Offer) -> Place {
        let group = self.label.as_ref().and_then(|label| task.labels.get(label)).cloned();
        (offer.hostname().to_owned(), group)
    }
}

impl Filter for MaxPer {
    fn name(&self) -> String {
        format!("max_per(host, {})", self.limit)
    }

    fn allows(&self, task: &TaskRequest, offer: &Offer) -> bool {
        self.counts.get(&self.place(task, offer)).is_none_or(|count| *count < self.limit)
    }

    fn launched(&mut self, task: &TaskRequest, offer: &Offer) {
        let place = self.place(task, offer);
        *self.counts.entry(place.clone()).or_default() += 1;
        self.places.insert(task.id.clone(), place);
    }

    fn ended(&mut self, task: &TaskId) {
        let Some(place) = self.places.remove(task) else { return };
        if let Some(count) = self.counts.get_mut(&place) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&place);
            }
        }
    }
}

/// Keeps tasks off agents that are known to be away some time: for tasks that have no end of their own.
#[derive(Clone, Copy, Debug)]
pub struct Staying;

impl Filter for Staying {
    fn name(&self) -> String {
        "the agent will be away".to_owned()
    }

    fn allows(&self, _: &TaskRequest, offer: &Offer) -> bool {
        offer.unavailability().is_none()
    }
}

/// Prefers the offer in which the least is left: packs tasks together and keeps large offers whole.
#[derive(Clone, Copy, Debug)]
pub struct BestFit;

impl Score for BestFit {
    fn score(&self, task: &TaskRequest, offer: &Offer) -> f64 {
        -room(task, offer)
    }
}

/// Prefers the offer in which the most is left: spreads tasks out.
#[derive(Clone, Copy, Debug)]
pub struct Spread;

impl Score for Spread {
    fn score(&self, task: &TaskRequest, offer: &Offer) -> f64 {
        room(task, offer)
    }
}

/// Prefers the offer whose rest is most like what the task wants: the largest dot product of the two, each kind as a part of
/// the largest machine. So tasks that want much of one kind go where much of it is left (Tetris; Grandl et al., SIGCOMM 2014).
#[derive(Clone, Debug, Default)]
pub struct Alignment {
    scale: Quantities,
}

impl Alignment {
    /// Compares parts of these amounts, or of the most that has been offered of a kind.
    pub fn new(scale: Quantities) -> Self {
        Alignment { scale }
    }
}

impl Score for Alignment {
    fn score(&self, task: &TaskRequest, offer: &Offer) -> f64 {
        let (left, wanted) = (offer.remaining().quantities(), task.shape.quantities());
        let part = |amounts: &Quantities, kind: &Kind, whole: f64| amounts.get(kind).as_f64() / whole;
        let kinds = self.scale.iter().map(|(kind, whole)| (kind, whole.as_f64()));
        kinds.map(|(kind, whole)| part(&wanted, kind, whole) * part(&left, kind, whole)).sum()
    }

    fn offered(&mut self, offers: &[Offer]) {
        for offer in offers {
            for (kind, amount) in offer.remaining().quantities().iter() {
                if amount > self.scale.get(kind) {
                    self.scale.set(kind, amount);
                }
            }
        }
    }
}

/// Prefers any offer: each task and agent draw a number by their names and the seed.
#[derive(Clone, Copy, Debug)]
pub struct RandomFit {
    /// Other seeds give other choices.
    pub seed: u64,
}

impl Score for RandomFit {
    fn score(&self, task: &TaskRequest, offer: &Offer) -> f64 {
        let mut hasher = FxHasher::default();
        (self.seed, &task.id, offer.agent()).hash(&mut hasher);
        // The hash alone is not evenly spread; the finaliser of SplitMix64 makes it so.
        let mut mixed = hasher.finish().wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) as f64
    }
}

/// How many tasks like this one would fit in what is left of the offer.
fn room(task: &TaskRequest, offer: &Offer) -> f64 {
    let left = offer.remaining().quantities();
    let wanted = task.shape.quantities();
    let ratios = wanted.iter().filter(|(_, amount)| amount.as_f64() > 0.0);
    // A task that wants nothing fits anywhere alike.
    ratios.map(|(kind, amount)| left.get(kind).as_f64() / amount.as_f64()).reduce(f64::min).unwrap_or(0.0)
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::protocol::{AgentId, Attributes, OfferId, OfferInfo, OfferMode, Work};
    use crate::resources::{Resources, Role, Shape};

    pub(in crate::scheduler) fn offer(agent: &str, resources: &str) -> Offer {
        Offer::new(OfferInfo {
            id: OfferId(1),
            role: Role::any(),
            agent: AgentId::new(agent).unwrap(),
            hostname: agent.to_owned(),
            attributes: Attributes::new(),
            domain: None,
            unavailability: None,
            resources: resources.parse().unwrap(),
            mode: OfferMode::Exclusive,
            set: None,
        })
    }

    pub(in crate::scheduler) fn task(id: &str, resources: &str) -> TaskRequest {
        let shape = Arc::new(Shape::from(resources.parse::<Resources>().unwrap()));
        let command = crate::protocol::CommandInfo::new(crate::protocol::Command::Shell("true".to_owned()));
        TaskRequest::new(TaskId::new(id).unwrap(), Role::any(), shape, Work::Command(Arc::new(command)))
    }

    #[test]
    fn tasks_go_where_what_is_left_is_like_what_they_want() {
        let (cores, memory) = (offer("a", "cpus:8;mem:16"), offer("b", "cpus:2;mem:64"));
        let alignment = Alignment::new("cpus:8;mem:64".parse().unwrap());
        let prefers_cores =
            |task: &TaskRequest| alignment.score(task, &cores) > alignment.score(task, &memory);
        assert!(prefers_cores(&task("t", "cpus:1;mem:1")));
        assert!(!prefers_cores(&task("t", "cpus:0.1;mem:16")));
        // The scale may be learned from what is offered.
        let mut learned = Alignment::default();
        let offers = [cores, memory];
        learned.offered(&offers);
        for wanted in ["cpus:1;mem:1", "cpus:0.1;mem:16"].map(|wanted| task("t", wanted)) {
            assert_eq!(
                offers.each_ref().map(|offer| learned.score(&wanted, offer)),
                offers.each_ref().map(|offer| alignment.score(&wanted, offer))
            );
        }
    }

    #[test]
    fn random_choices_are_even_and_repeatable() {
        let offers: Vec<Offer> = ["a", "b", "c", "d"].iter().map(|name| offer(name, "cpus:1")).collect();
        let random = RandomFit { seed: 7 };
        let mut chosen = [0; 4];
        for number in 0..4000 {
            let task = task(&format!("t{number}"), "cpus:1");
            let scores: Vec<f64> = offers.iter().map(|offer| random.score(&task, offer)).collect();
            assert_eq!(scores[0], random.score(&task, &offers[0]));
            let best = (0..4).max_by(|a, b| scores[*a].total_cmp(&scores[*b])).unwrap();
            chosen[best] += 1;
        }
        assert!(chosen.iter().all(|count| (850..1150).contains(count)), "{chosen:?}");
    }
}
