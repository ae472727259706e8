//! Rules and preferences of where tasks go, besides that they fit.

use std::collections::BTreeMap;

use super::{Offer, TaskRequest};
use crate::protocol::TaskId;

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

/// How many tasks like this one would fit in what is left of the offer.
fn room(task: &TaskRequest, offer: &Offer) -> f64 {
    let left = offer.remaining().quantities();
    let wanted = task.shape.quantities();
    let ratios = wanted.iter().filter(|(_, amount)| amount.as_f64() > 0.0);
    // A task that wants nothing fits anywhere alike.
    ratios.map(|(kind, amount)| left.get(kind).as_f64() / amount.as_f64()).reduce(f64::min).unwrap_or(0.0)
}
