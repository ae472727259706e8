//! Agents: what each has, who has it, and what is free.

use super::slots::{SlotSet, Slots};
use super::tree::Leaf;
use crate::protocol::AgentId;
use crate::resources::{Quantities, Resources, Value};

/// An agent's place in [`Agents`]; given to another when the agent is gone.
pub(super) type AgentSlot = usize;

/// The amounts that shares are of. As in Mesos, scalars only: ports are not shared fairly.
pub(super) fn scalars(resources: &Resources) -> Quantities {
    let mut amounts = Quantities::new();
    for resource in resources.iter() {
        if let Value::Scalar(amount) = resource.value() {
            amounts.push(resource.kind(), *amount);
        }
    }
    amounts
}

/// Resources, with what allocation asks of them again and again.
#[derive(Clone, Debug, Default)]
pub(super) struct Measured {
    pub(super) resources: Resources,
    /// All amounts; ranges and sets count their items.
    pub(super) amounts: Quantities,
    /// The amounts that shares are of.
    pub(super) scalars: Quantities,
    /// Some of it is reserved, so that not everyone can have all of it.
    pub(super) has_reserved: bool,
}

impl From<Resources> for Measured {
    fn from(resources: Resources) -> Self {
        Measured {
            amounts: resources.quantities(),
            scalars: scalars(&resources),
            has_reserved: resources.iter().any(|resource| resource.reserved_to().is_some()),
            resources,
        }
    }
}

/// An agent as the allocator sees it.
#[derive(Debug)]
pub(super) struct Agent {
    pub(super) id: AgentId,
    /// How many had joined before: the order in which agents are looked at.
    pub(super) joined: u64,
    pub(super) active: bool,
    total: Measured,
    available: Measured,
    /// Who has what. They are few, in no order.
    allocated: Vec<(Leaf, Resources)>,
    /// More is in use than there is, since the total shrank: nothing is free until enough has come back.
    overcommitted: bool,
}

impl Agent {
    fn new(id: AgentId, joined: u64, total: Resources) -> Self {
        let total = Measured::from(total);
        Agent {
            id,
            joined,
            active: true,
            available: total.clone(),
            total,
            allocated: Vec::new(),
            overcommitted: false,
        }
    }

    pub(super) fn total(&self) -> &Measured {
        &self.total
    }

    pub(super) fn available(&self) -> &Measured {
        &self.available
    }

    pub(super) fn is_overcommitted(&self) -> bool {
        self.overcommitted
    }

    pub(super) fn can_offer(&self) -> bool {
        self.active && !self.available.resources.is_empty()
    }

    /// Who has what, by leaf.
    pub(super) fn allocated(&self) -> &[(Leaf, Resources)] {
        &self.allocated
    }

    pub(super) fn held_by(&self, leaf: Leaf) -> Option<&Resources> {
        self.allocated.iter().find(|(holder, _)| *holder == leaf).map(|(_, held)| held)
    }

    /// All that is allocated.
    pub(super) fn in_use(&self) -> Resources {
        self.allocated.iter().map(|(_, held)| held).sum()
    }

    pub(super) fn set_total(&mut self, total: Resources) {
        self.total = total.into();
        self.settle();
    }

    /// Gives a leaf resources, even more than there are: they may be in use already. Returns whether it had nothing here.
    pub(super) fn take(&mut self, leaf: Leaf, resources: &Resources) -> bool {
        let is_new = self.note_taken(leaf, resources);
        if !self.overcommitted {
            let mut left = std::mem::take(&mut self.available).resources;
            self.overcommitted = left.try_subtract(resources).is_err();
            if !self.overcommitted {
                self.make_available(left);
            }
        }
        is_new
    }

    /// Gives a leaf all that is available, and returns it, and whether the leaf had nothing here.
    pub(super) fn take_all(&mut self, leaf: Leaf) -> (Measured, bool) {
        let all = std::mem::take(&mut self.available);
        let is_new = self.note_taken(leaf, &all.resources);
        (all, is_new)
    }

    /// Takes resources back from a leaf; `None`, and nothing changes, when it does not have them. Returns whether it has
    /// nothing here any more.
    pub(super) fn release(&mut self, leaf: Leaf, resources: &Resources) -> Option<bool> {
        let place = self.allocated.iter().position(|(holder, _)| *holder == leaf)?;
        let held = &mut self.allocated[place].1;
        held.try_subtract(resources).ok()?;
        let is_over = held.is_empty();
        if is_over {
            self.allocated.swap_remove(place);
        }
        if self.overcommitted {
            self.settle();
        } else {
            let mut left = std::mem::take(&mut self.available).resources;
            left.add(resources);
            self.make_available(left);
        }
        Some(is_over)
    }

    /// Turns resources that a leaf has into others, in the total too; `false`, and nothing changes, when it has not got them.
    pub(super) fn convert(&mut self, leaf: Leaf, from: &Resources, into: &Resources) -> bool {
        let Ok(mut total) = self.total.resources.checked_sub(from) else { return false };
        let Some((_, held)) = self.allocated.iter_mut().find(|(holder, _)| *holder == leaf) else {
            return false;
        };
        if held.try_subtract(from).is_err() {
            return false;
        }
        held.add(into);
        total.add(into);
        self.set_total(total);
        true
    }

    fn note_taken(&mut self, leaf: Leaf, resources: &Resources) -> bool {
        match self.allocated.iter_mut().find(|(holder, _)| *holder == leaf) {
            Some((_, held)) => {
                held.add(resources);
                false
            }
            None => {
                self.allocated.push((leaf, resources.clone()));
                true
            }
        }
    }

    /// Works out what is available from what there is and who has what.
    fn settle(&mut self) {
        let left = self.total.resources.checked_sub(&self.in_use());
        self.overcommitted = left.is_err();
        self.make_available(left.unwrap_or_default());
    }

    fn make_available(&mut self, resources: Resources) {
        self.available = if resources == self.total.resources {
            self.total.clone()
        } else if resources.is_empty() {
            Measured::default()
        } else {
            resources.into()
        };
    }
}

/// All agents, and which of them have something to offer.
#[derive(Debug, Default)]
pub(super) struct Agents {
    agents: Slots<AgentId, Agent>,
    joined: u64,
    offering: SlotSet,
}

impl Agents {
    pub(super) fn slot(&self, id: &AgentId) -> Option<AgentSlot> {
        self.agents.slot(id)
    }

    pub(super) fn get(&self, slot: AgentSlot) -> Option<&Agent> {
        self.agents.get(slot)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (AgentSlot, &Agent)> {
        self.agents.iter()
    }

    /// A newcomer.
    pub(super) fn insert(&mut self, id: &AgentId, total: Resources) -> AgentSlot {
        let slot = self.agents.insert(id, Agent::new(id.clone(), self.joined, total));
        self.joined += 1;
        self.note_offering(slot);
        slot
    }

    pub(super) fn remove(&mut self, id: &AgentId) -> Option<(AgentSlot, Agent)> {
        let (slot, agent) = self.agents.remove(id)?;
        self.offering.remove(slot);
        Some((slot, agent))
    }

    /// Changes an agent.
    pub(super) fn change<T>(&mut self, slot: AgentSlot, change: impl FnOnce(&mut Agent) -> T) -> Option<T> {
        let changed = change(self.agents.get_mut(slot)?);
        self.note_offering(slot);
        Some(changed)
    }

    /// Those that have something to offer, in no order.
    pub(super) fn offering(&self) -> &SlotSet {
        &self.offering
    }

    fn note_offering(&mut self, slot: AgentSlot) {
        if self.agents.get(slot).is_some_and(Agent::can_offer) {
            self.offering.insert(slot);
        } else {
            self.offering.remove(slot);
        }
    }
}
