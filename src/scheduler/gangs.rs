//! Gangs that wait for a set of offers: tasks that are launched together or not at all.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::TaskRequest;
use crate::protocol::{DemandGroup, TaskId, Work};
use crate::resources::{Quantities, Role};

/// A gang, by the number of its arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct GangId(u64);

/// The gangs that wait, oldest first. All tasks of one are of the same role and shape, and there is at least one.
#[derive(Debug, Default)]
pub(super) struct Gangs {
    waiting: BTreeMap<GangId, Vec<TaskRequest>>,
    gang_of: FxHashMap<TaskId, GangId>,
    arrived: u64,
}

impl Gangs {
    /// How many tasks wait.
    pub(super) fn len(&self) -> usize {
        self.gang_of.len()
    }

    pub(super) fn get(&self, task: &TaskId) -> Option<&TaskRequest> {
        let gang = self.waiting.get(self.gang_of.get(task)?)?;
        gang.iter().find(|request| request.id == *task)
    }

    /// Whether one of this role waits.
    pub(super) fn wants(&self, role: &Role) -> bool {
        self.of_role(role).next().is_some()
    }

    pub(super) fn push(&mut self, gang: Vec<TaskRequest>) {
        self.arrived += 1;
        let id = GangId(self.arrived);
        self.gang_of.extend(gang.iter().map(|request| (request.id.clone(), id)));
        self.waiting.insert(id, gang);
    }

    /// Takes a task out; its gang goes on waiting without it.
    pub(super) fn remove(&mut self, task: &TaskId) -> Option<TaskRequest> {
        let id = self.gang_of.remove(task)?;
        let gang = self.waiting.get_mut(&id)?;
        let place = gang.iter().position(|request| request.id == *task)?;
        let request = gang.remove(place);
        if gang.is_empty() {
            self.waiting.remove(&id);
        }
        Some(request)
    }

    /// Takes a gang out.
    pub(super) fn take(&mut self, id: GangId) {
        for request in self.waiting.remove(&id).into_iter().flatten() {
            self.gang_of.remove(&request.id);
        }
    }

    /// Those of a role, oldest first.
    pub(super) fn of_role(&self, role: &Role) -> impl Iterator<Item = (GangId, &[TaskRequest])> {
        let first = |gang: &Vec<TaskRequest>| gang.first().is_some_and(|request| request.role == *role);
        self.waiting.iter().filter(move |(_, gang)| first(gang)).map(|(id, gang)| (*id, gang.as_slice()))
    }

    /// What those of a role wait for.
    pub(super) fn demand(&self, role: &Role) -> impl Iterator<Item = DemandGroup> {
        self.of_role(role).filter_map(|(_, gang)| {
            let size = u32::try_from(gang.len()).ok()?;
            Some(DemandGroup::new(size, needed(gang.first()?)).starting_together(size))
        })
    }
}

/// What a task takes wherever it goes, with its executor when that is its own.
fn needed(request: &TaskRequest) -> Quantities {
    let mut amounts = request.shape.quantities();
    if let Work::Custom { executor, .. } = &request.work {
        amounts.add(&executor.resources.quantities());
    }
    amounts
}
