//! Matches the queue to offers: first come, first served; first fit, unless there is a preference.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::fmt;
use std::num::NonZeroU32;

use rustc_hash::FxHashMap;

use super::placement::{Filter, Score};
use super::queue::{ClassId, Queue};
use super::{Offer, TaskRequest};
use crate::protocol::{AgentId, Obstacle, OfferMode, OfferSetId, TaskId};
use crate::resources::Resources;

/// Where tasks may go and had better go, and what the rules kept from going where.
#[derive(Default)]
pub(super) struct Matcher {
    /// So many tasks go on one offer at most.
    per_offer: Option<NonZeroU32>,
    filters: Vec<Box<dyn Filter + Send>>,
    scores: Vec<Box<dyn Score + Send>>,
    excluded: FxHashMap<TaskId, BTreeMap<String, BTreeSet<AgentId>>>,
    /// A task had better go on an offer that no further task goes on, so that it waits until the rest of it is offered again.
    puts_off: bool,
}

/// A task that was launched.
pub(super) struct Launched {
    pub(super) task: TaskId,
    pub(super) agent: AgentId,
    /// What was asked for, when the offer is one that others may be faster to accept.
    pub(super) request: Option<TaskRequest>,
}

/// Where a task can go.
enum Choice {
    /// On the offer of this index, with these resources.
    Offer(usize, Resources),
    /// It fits, but a rule forbids it; others of its class may be allowed.
    Excluded,
    /// It had better go on an offer that is used up for now, as all others of its class.
    Later,
    /// Neither it nor any other of its class fits anywhere.
    Full,
}

impl Matcher {
    pub(super) fn set_per_offer(&mut self, limit: NonZeroU32) {
        self.per_offer = Some(limit);
    }

    /// So many tasks go on one offer at most.
    pub(super) fn per_offer(&self) -> u32 {
        self.per_offer.map_or(u32::MAX, NonZeroU32::get)
    }

    /// Whether no further task goes on an offer, whatever is left of it.
    pub(super) fn is_used_up(&self, offer: &Offer) -> bool {
        self.per_offer.is_some_and(|limit| offer.launched() >= limit.get() as usize)
    }

    /// Whether tasks were put off until the rest of an offer is offered again. They are to choose among all that is offered now.
    pub(super) fn puts_off(&self) -> bool {
        self.puts_off
    }

    pub(super) fn add_filter(&mut self, filter: impl Filter + Send + 'static) {
        self.filters.push(Box::new(filter));
    }

    pub(super) fn add_score(&mut self, score: impl Score + Send + 'static) {
        self.scores.push(Box::new(score));
    }

    /// Whether there are rules or preferences.
    pub(super) fn is_choosy(&self) -> bool {
        !self.filters.is_empty() || !self.scores.is_empty()
    }

    /// Launches what can be launched, oldest first. A class is left alone for this round as soon as no offer fits it.
    pub(super) fn launch(&mut self, queue: &mut Queue, offers: &mut [Offer]) -> Vec<Launched> {
        self.puts_off = false;
        for score in &mut self.scores {
            score.offered(offers);
        }
        let mut launched = Vec::new();
        let mut turns: BinaryHeap<_> =
            queue.heads().map(|(class, arrival)| Reverse((arrival, class))).collect();
        // Offers only shrink: one that was too small for a class stays so.
        let mut first_fits: FxHashMap<ClassId, usize> = FxHashMap::default();
        while let Some(Reverse((arrival, class))) = turns.pop() {
            let Some(request) = queue.at(class, arrival) else { continue };
            let following = queue.after(class, arrival);
            match self.choose(request, offers, first_fits.entry(class).or_default()) {
                Choice::Offer(index, resources) => {
                    let task = request.id.clone();
                    let agent = offers[index].agent().clone();
                    if let Some(request) = queue.remove(&task) {
                        let is_optimistic = offers[index].mode() == OfferMode::Optimistic;
                        launched.push(Launched {
                            task,
                            agent,
                            request: is_optimistic.then(|| request.clone()),
                        });
                        self.place(request, &mut offers[index], resources);
                    }
                }
                Choice::Excluded => {}
                Choice::Later => {
                    self.puts_off = true;
                    continue;
                }
                Choice::Full => continue,
            }
            turns.extend(following.map(|arrival| Reverse((arrival, class))));
        }
        launched
    }

    /// Launches gangs on sets of offers that are all used by one, oldest first.
    pub(super) fn launch_gangs(&mut self, queue: &mut Queue, offers: &mut [Offer]) -> Vec<Launched> {
        let mut sets: BTreeMap<OfferSetId, Vec<usize>> = BTreeMap::new();
        for (place, offer) in offers.iter().enumerate().filter(|(_, offer)| !offer.is_used()) {
            if let Some(set) = offer.set() {
                sets.entry(set).or_default().push(place);
            }
        }
        let mut launched = Vec::new();
        for places in sets.into_values() {
            let Some(first) = places.first() else { continue };
            let role = offers[*first].role().clone();
            let fresh = || places.iter().map(|place| offers[*place].anew()).collect::<Vec<_>>();
            let found = queue.gangs.of_role(&role).find_map(|(id, gang)| {
                let (used, tasks) = self.place_gang(gang, fresh())?;
                Some((id, used, tasks))
            });
            let Some((id, used, tasks)) = found else { continue };
            queue.gangs.take(id);
            launched.extend(tasks);
            for (place, offer) in places.into_iter().zip(used) {
                offers[place] = offer;
            }
        }
        launched
    }

    /// Places all tasks of a gang so that all offers are used; `None`, and nothing happens, when that can't be.
    fn place_gang(
        &mut self,
        gang: &[TaskRequest],
        mut offers: Vec<Offer>,
    ) -> Option<(Vec<Offer>, Vec<Launched>)> {
        let mut launched: Vec<Launched> = Vec::new();
        for request in gang {
            let found = offers.iter_mut().find_map(|offer| {
                let resources = offer.find(request).filter(|_| self.allows(request, offer))?;
                Some((offer, resources))
            });
            let Some((offer, resources)) = found else { break };
            let (task, agent) = (request.id.clone(), offer.agent().clone());
            self.place(request.clone(), offer, resources);
            launched.push(Launched { task, agent, request: None });
        }
        if launched.len() == gang.len() && offers.iter().all(Offer::is_used) {
            return Some((offers, launched));
        }
        for Launched { task, .. } in launched {
            self.ended(&task);
        }
        None
    }

    /// Looks for an offer from index `first_fit` on, and moves that to the first one that has room.
    fn choose(&mut self, request: &TaskRequest, offers: &[Offer], first_fit: &mut usize) -> Choice {
        let mut best: Option<(f64, usize, Resources)> = None;
        let mut fits = false;
        for (index, offer) in offers.iter().enumerate().skip(*first_fit) {
            let is_for_it = offer.set().is_none() && offer.role() == &request.role;
            // Where it matters which offer a task goes on, one that is used up may still be the best.
            let may_find = is_for_it && (!self.scores.is_empty() || !self.is_used_up(offer));
            let Some(resources) = may_find.then(|| offer.find(request)).flatten() else { continue };
            if !fits {
                *first_fit = index;
                fits = true;
            }
            if !self.allows(request, offer) {
                continue;
            }
            if self.scores.is_empty() {
                return Choice::Offer(index, resources);
            }
            let score = self.scores.iter().map(|score| score.score(request, offer)).sum();
            if best.as_ref().is_none_or(|(highest, ..)| score > *highest) {
                best = Some((score, index, resources));
            }
        }
        match best {
            Some((_, index, _)) if self.is_used_up(&offers[index]) => Choice::Later,
            Some((_, index, resources)) => {
                let preferred = self.on_preferred_gpus(request, &offers[index]);
                Choice::Offer(index, preferred.unwrap_or(resources))
            }
            None if fits => Choice::Excluded,
            None => {
                *first_fit = offers.len();
                Choice::Full
            }
        }
    }

    /// The concrete resources for a task, with the shared GPUs that it had better have; `None` where it does not matter.
    fn on_preferred_gpus(&self, request: &TaskRequest, offer: &Offer) -> Option<Resources> {
        if request.shape.gpus.is_none() {
            return None;
        }
        let mut preferred = self.scores.iter().map(|score| score.devices(request, offer));
        offer.find_on(request, &preferred.find(|devices| !devices.is_empty())?)
    }

    /// Whether all rules allow it; remembers the first one that does not.
    fn allows(&mut self, request: &TaskRequest, offer: &Offer) -> bool {
        let Some(rule) = self.filters.iter().find(|filter| !filter.allows(request, offer)) else {
            return true;
        };
        let by_rule = self.excluded.entry(request.id.clone()).or_default();
        by_rule.entry(rule.name()).or_default().insert(offer.agent().clone());
        false
    }

    fn place(&mut self, request: TaskRequest, offer: &mut Offer, resources: Resources) {
        self.excluded.remove(&request.id);
        for filter in &mut self.filters {
            filter.launched(&request, offer);
        }
        for score in &mut self.scores {
            score.launched(&request, offer);
        }
        // The resources were found in this very offer, so this fails only if `Offer::find` is wrong.
        if let Err(error) = offer.launch(request.into_task(resources)) {
            tracing::error!(offer = %offer.id(), %error, "a task was matched to an offer that it does not fit");
        }
    }

    /// The task has ended or left the queue.
    pub(super) fn ended(&mut self, task: &TaskId) {
        self.excluded.remove(task);
        for filter in &mut self.filters {
            filter.ended(task);
        }
        for score in &mut self.scores {
            score.ended(task);
        }
    }

    /// What the rules kept a waiting task from.
    pub(super) fn obstacles(&self, task: &TaskId) -> Vec<Obstacle> {
        let rules = self.excluded.get(task).into_iter().flatten();
        rules
            .map(|(name, agents)| Obstacle::Constraint { name: name.clone(), agents: agents.len() })
            .collect()
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let filters: Vec<_> = self.filters.iter().map(|filter| filter.name()).collect();
        f.debug_struct("Matcher").field("filters", &filters).field("scores", &self.scores.len()).finish()
    }
}
