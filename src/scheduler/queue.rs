//! Tasks that wait for an offer, grouped by what they want.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::TaskRequest;
use super::demand::{Breadth, MAX_STATED_SHAPES};
use super::gangs::Gangs;
use crate::protocol::{DemandGroup, TaskId};
use crate::resources::{Quantities, Role, Shape};

/// What all tasks of a class have in common: where one does not fit, none does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct ClassKey {
    role: Role,
    shape: Arc<Shape>,
}

/// A class of requests, by the number of its creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ClassId(u64);

/// A place in the order of queueing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Arrival(u64);

#[derive(Debug)]
struct Class {
    key: ClassKey,
    requests: BTreeMap<Arrival, TaskRequest>,
}

/// The requests that wait, in the order of their arrival within and between classes.
#[derive(Debug, Default)]
pub(super) struct Queue {
    classes: BTreeMap<ClassId, Class>,
    by_key: FxHashMap<ClassKey, ClassId>,
    places: FxHashMap<TaskId, (ClassId, Arrival)>,
    /// Requests of one array come in a row and share their shape: then it need not be looked at.
    newest: Option<ClassId>,
    arrivals: u64,
    classes_made: u64,
    pub(super) gangs: Gangs,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.places.len() + self.gangs.len()
    }

    /// How many classes were ever made: says whether there are new ones.
    pub(super) fn classes_made(&self) -> u64 {
        self.classes_made
    }

    pub(super) fn contains(&self, task: &TaskId) -> bool {
        self.get(task).is_some()
    }

    pub(super) fn get(&self, task: &TaskId) -> Option<&TaskRequest> {
        let Some((class, arrival)) = self.places.get(task) else { return self.gangs.get(task) };
        self.classes.get(class)?.requests.get(arrival)
    }

    /// Whether a task of this role waits.
    pub(super) fn wants(&self, role: &Role) -> bool {
        self.classes.values().any(|class| class.key.role == *role) || self.gangs.wants(role)
    }

    /// What a role waits for, by shape, oldest first, then its gangs; `None`, which is everything, when these are more shapes than
    /// are stated. With gangs, more shapes are anything, any number of times.
    pub(super) fn demand(&self, role: &Role, breadth: Breadth) -> Option<Vec<DemandGroup>> {
        let groups = self.alone(role, breadth);
        if !self.gangs.wants(role) {
            return groups;
        }
        let anything = || vec![DemandGroup::new(DemandGroup::ANY_NUMBER, Quantities::new())];
        let mut groups = groups.unwrap_or_else(anything);
        groups.extend(self.gangs.demand(role).take(MAX_STATED_SHAPES));
        Some(groups)
    }

    /// What tasks of a role wait for that start for themselves; `None` when these are more shapes than are stated.
    fn alone(&self, role: &Role, breadth: Breadth) -> Option<Vec<DemandGroup>> {
        let mut groups = Vec::new();
        for class in self.classes.values().filter(|class| class.key.role == *role) {
            if groups.len() == MAX_STATED_SHAPES {
                return None;
            }
            let count = match breadth {
                Breadth::Enough(limit) => u32::try_from(class.requests.len()).unwrap_or(u32::MAX).min(limit),
                Breadth::Choice => DemandGroup::ANY_NUMBER,
            };
            groups.push(DemandGroup::new(count, class.key.shape.quantities()));
        }
        Some(groups)
    }

    /// Puts a request behind all others. Its task must not be queued.
    pub(super) fn push(&mut self, request: TaskRequest) {
        let id = self.class_of(&request);
        self.arrivals += 1;
        let arrival = Arrival(self.arrivals);
        self.places.insert(request.id.clone(), (id, arrival));
        if let Some(class) = self.classes.get_mut(&id) {
            class.requests.insert(arrival, request);
        }
    }

    /// Puts a gang behind all others. Its tasks must not be queued, and be of one role and shape.
    pub(super) fn push_gang(&mut self, gang: Vec<TaskRequest>) {
        // As a new class: agents that were refused a moment ago may be what it waits for.
        self.classes_made += 1;
        self.gangs.push(gang);
    }

    fn class_of(&mut self, request: &TaskRequest) -> ClassId {
        if let Some(newest) = self.newest
            && let Some(class) = self.classes.get(&newest)
            && Arc::ptr_eq(&class.key.shape, &request.shape)
            && class.key.role == request.role
        {
            return newest;
        }
        let key = ClassKey { role: request.role.clone(), shape: request.shape.clone() };
        let next = ClassId(self.classes_made);
        let id = *self.by_key.entry(key.clone()).or_insert(next);
        if id == next {
            self.classes_made += 1;
            self.classes.insert(id, Class { key, requests: BTreeMap::new() });
        }
        self.newest = Some(id);
        id
    }

    /// Takes a request out.
    pub(super) fn remove(&mut self, task: &TaskId) -> Option<TaskRequest> {
        let Some((id, arrival)) = self.places.remove(task) else { return self.gangs.remove(task) };
        let class = self.classes.get_mut(&id)?;
        let request = class.requests.remove(&arrival);
        if class.requests.is_empty()
            && let Some(class) = self.classes.remove(&id)
        {
            self.by_key.remove(&class.key);
        }
        request
    }

    /// Each class with its oldest request.
    pub(super) fn heads(&self) -> impl Iterator<Item = (ClassId, Arrival)> + '_ {
        self.classes.iter().filter_map(|(id, class)| Some((*id, *class.requests.first_key_value()?.0)))
    }

    /// The request of a class at that place.
    pub(super) fn at(&self, class: ClassId, arrival: Arrival) -> Option<&TaskRequest> {
        self.classes.get(&class)?.requests.get(&arrival)
    }

    /// The place of the request that follows in the class.
    pub(super) fn after(&self, class: ClassId, arrival: Arrival) -> Option<Arrival> {
        let next = Arrival(arrival.0 + 1);
        self.classes.get(&class)?.requests.range(next..).next().map(|(arrival, _)| *arrival)
    }
}
