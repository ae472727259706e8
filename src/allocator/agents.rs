//! Agents: what each has, who has it, and what is free.

use super::fits::Fits;
use super::slots::{SlotSet, Slots};
use super::tree::Leaf;
use crate::protocol::AgentId;
use crate::protocol::{AgentProfile, Capabilities};
use crate::resources::{Quantities, Resource, Resources, Role};

/// An agent's place in [`Agents`]; given to another when the agent is gone.
pub(super) type AgentSlot = usize;

/// How much resources count for their role.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Amounts {
    /// What shares are of. As in Mesos, ports are not shared fairly, nor are other ranges and sets, but for those that are amounts of
    /// GPUs. Copies of a shared volume count once.
    pub(super) scalars: Quantities,
    /// The scalars of which quotas are not charged as they are allocated: what is reserved or revocable. Boxed, as there mostly is
    /// nothing, and amounts are handed on for each task that starts or ends.
    pub(super) exempt: Option<Box<Quantities>>,
}

impl Amounts {
    pub(super) fn of(resources: &Resources) -> Self {
        let mut amounts = Amounts::default();
        let mut before: Option<&Resource> = None;
        for resource in resources {
            let is_copy = resource.is_shared() && before == Some(resource);
            before = Some(resource);
            if !is_copy {
                amounts.count(resource);
            }
        }
        amounts
    }

    /// Of all but shared volumes.
    fn of_unshared(resources: &Resources) -> Self {
        let mut amounts = Amounts::default();
        resources
            .iter()
            .filter(|resource| !resource.is_shared())
            .for_each(|resource| amounts.count(resource));
        amounts
    }

    fn of_one(resource: &Resource) -> Self {
        let mut amounts = Amounts::default();
        amounts.count(resource);
        amounts
    }

    fn count(&mut self, resource: &Resource) {
        if let Some(amount) = resource.fair_amount() {
            self.scalars.push(resource.kind(), amount);
            if is_exempt(resource) {
                self.exempt.get_or_insert_default().push(resource.kind(), amount);
            }
        }
    }
}

fn is_exempt(resource: &Resource) -> bool {
    resource.is_revocable() || resource.reserved_to().is_some()
}

/// Whether a resource is what quotas are about: an amount that is neither reserved nor revocable.
pub(super) fn is_charged(resource: &Resource) -> bool {
    resource.is_fair() && !is_exempt(resource)
}

/// Whether resources without shared volumes are nothing but amounts that are neither reserved nor revocable.
fn are_plain_amounts(resources: &Resources, amounts: &Amounts) -> bool {
    amounts.exempt.is_none() && resources.iter().all(Resource::is_fair)
}

/// Resources, with what allocation asks of them again and again.
#[derive(Clone, Debug, Default)]
pub(super) struct Measured {
    pub(super) resources: Resources,
    /// All amounts; ranges and sets count their items.
    pub(super) quantities: Quantities,
    /// None of it is reserved or revocable, so that everyone can have all of it.
    pub(super) is_plain: bool,
}

impl From<Resources> for Measured {
    fn from(resources: Resources) -> Self {
        Measured { quantities: resources.quantities(), is_plain: !resources.iter().any(is_exempt), resources }
    }
}

impl Measured {
    /// Adds resources without shared volumes, of which the amounts are known.
    fn add(&mut self, more: &Resources, amounts: &Amounts) {
        // Nothing at all is not known to be plain.
        self.is_plain |= self.resources.is_empty();
        self.resources.add(more);
        if are_plain_amounts(more, amounts) {
            self.quantities.add(&amounts.scalars);
        } else {
            *self = Measured::from(std::mem::take(&mut self.resources));
        }
    }

    /// Takes away resources without shared volumes, of which the amounts are known; `false`, and nothing changes, when they are not in
    /// here.
    fn subtract(&mut self, less: &Resources, amounts: &Amounts) -> bool {
        if self.resources.try_subtract(less).is_err() {
            return false;
        }
        if are_plain_amounts(less, amounts) && !self.resources.is_empty() {
            self.quantities.subtract_clamped(&amounts.scalars);
        } else {
            *self = Measured::from(std::mem::take(&mut self.resources));
        }
        true
    }

    /// What of it is reserved to whom, and counts for quotas.
    pub(super) fn reserved(&self) -> impl Iterator<Item = (&Role, Quantities)> {
        self.resources.iter().filter_map(|resource| {
            let amounts = Amounts::of_one(resource).scalars;
            let counts = !resource.is_revocable() && !amounts.is_empty();
            Some((resource.reserved_to()?, amounts)).filter(|_| counts)
        })
    }
}

/// An agent as the allocator sees it.
#[derive(Debug)]
pub(super) struct Agent {
    pub(super) id: AgentId,
    /// How many had joined before: the order in which agents are looked at.
    pub(super) joined: u64,
    pub(super) active: bool,
    /// Whether the allow-list has its machine, or there is none.
    pub(super) allowed: bool,
    pub(super) profile: AgentProfile,
    /// What a framework must be capable of to be offered anything here.
    pub(super) needed: Capabilities,
    total: Measured,
    /// What is not in use, and what can be shared though it is.
    available: Measured,
    /// Who has what. They are few, in no order.
    allocated: Vec<(Leaf, Resources)>,
    /// More is in use than there is, since the total shrank: nothing is free until enough has come back.
    overcommitted: bool,
}

/// What a leaf has more or less of.
#[derive(Default)]
pub(super) struct Change {
    /// Without shared volumes.
    pub(super) amounts: Amounts,
    /// Shared volumes of which it has the first copies, or the last any more.
    pub(super) shared: Vec<SharedVolume>,
    /// It had nothing on the agent before, or has nothing any more.
    pub(super) is_first_or_last: bool,
}

/// A shared volume as it counts. A role, as a framework, has it once, however many below have copies.
pub(super) struct SharedVolume {
    pub(super) amounts: Amounts,
    /// Other leaves that have copies.
    pub(super) others: Vec<Leaf>,
}

impl Agent {
    fn new(id: AgentId, joined: u64, total: Resources) -> Self {
        let total = Measured::from(total);
        Agent {
            id,
            joined,
            active: true,
            allowed: true,
            profile: AgentProfile::default(),
            needed: Capabilities::NONE,
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
        self.active && self.allowed && !self.available.resources.is_empty()
    }

    /// Who has what, by leaf.
    pub(super) fn allocated(&self) -> &[(Leaf, Resources)] {
        &self.allocated
    }

    pub(super) fn held_by(&self, leaf: Leaf) -> Option<&Resources> {
        self.allocated.iter().find(|(holder, _)| *holder == leaf).map(|(_, held)| held)
    }

    /// All that is allocated, but for shared volumes, which are free all the same.
    pub(super) fn in_use(&self) -> Resources {
        let all: Resources = self.allocated.iter().map(|(_, held)| held).sum();
        all.unshared()
    }

    pub(super) fn set_total(&mut self, total: Resources) {
        self.total = total.into();
        self.settle();
    }

    /// Gives a leaf resources, even more than there are: they may be in use already.
    pub(super) fn take(&mut self, leaf: Leaf, resources: &Resources) -> Change {
        let change = self.note_taken(leaf, resources, Amounts::of_unshared);
        if !self.overcommitted && !self.available.subtract(&resources.unshared(), &change.amounts) {
            self.overcommitted = true;
            self.available = Measured::default();
        }
        change
    }

    /// Gives a leaf all that is available, which is plain, and returns it.
    pub(super) fn take_all(&mut self, leaf: Leaf) -> (Resources, Change) {
        let all = std::mem::take(&mut self.available);
        let change = self.note_taken(leaf, &all.resources, Amounts::of);
        (all.resources, change)
    }

    /// Takes resources back from a leaf; `None`, and nothing changes, when it does not have them.
    pub(super) fn release(&mut self, leaf: Leaf, resources: &Resources) -> Option<Change> {
        let place = self.allocated.iter().position(|(holder, _)| *holder == leaf)?;
        let held = &mut self.allocated[place].1;
        held.try_subtract(resources).ok()?;
        let is_last = held.is_empty();
        if is_last {
            self.allocated.swap_remove(place);
        }
        let (amounts, shared) = (Amounts::of_unshared(resources), self.shared_only_beyond(leaf, resources));
        if self.overcommitted {
            self.settle();
        } else if self.allocated.is_empty() {
            // A copy of all there is takes no memory.
            self.available = self.total.clone();
        } else {
            self.available.add(&resources.unshared(), &amounts);
        }
        Some(Change { amounts, shared, is_first_or_last: is_last })
    }

    /// Turns resources that a leaf has into others, in the total too. What it has less, and what more; `None`, and nothing changes,
    /// when it has not got them.
    pub(super) fn convert(
        &mut self,
        leaf: Leaf,
        from: &Resources,
        into: &Resources,
    ) -> Option<(Change, Change)> {
        let mut total = self.total.resources.checked_sub(from).ok()?;
        total.add(into);
        let less = self.release(leaf, from)?;
        let more = self.note_taken(leaf, into, Amounts::of_unshared);
        self.set_total(total);
        Some((less, more))
    }

    /// Turns resources that are free into others; `false`, and nothing changes, when they are not.
    pub(super) fn convert_free(&mut self, from: &Resources, into: &Resources) -> bool {
        if !self.available.resources.contains(from) {
            return false;
        }
        let Ok(mut total) = self.total.resources.checked_sub(from) else { return false };
        total.add(into);
        self.set_total(total);
        true
    }

    fn note_taken(
        &mut self,
        leaf: Leaf,
        resources: &Resources,
        amounts: impl FnOnce(&Resources) -> Amounts,
    ) -> Change {
        let shared = self.shared_only_beyond(leaf, resources);
        let held = self.allocated.iter_mut().find(|(holder, _)| *holder == leaf);
        let is_first_or_last = held.is_none();
        match held {
            Some((_, held)) => held.add(resources),
            None => self.allocated.push((leaf, resources.clone())),
        }
        Change { amounts: amounts(resources), shared, is_first_or_last }
    }

    /// The shared volumes among these of which a leaf has no copies, with the others who have.
    fn shared_only_beyond(&self, leaf: Leaf, resources: &Resources) -> Vec<SharedVolume> {
        if !resources.has_shared() {
            return Vec::new();
        }
        let mut volumes: Vec<_> = resources.iter().filter(|resource| resource.is_shared()).collect();
        volumes.dedup();
        let has = |held: &Resources, volume: &Resource| held.iter().any(|held| held == volume);
        volumes.retain(|volume| self.held_by(leaf).is_none_or(|held| !has(held, volume)));
        let others = |volume: &Resource| {
            self.allocated.iter().filter(|(_, held)| has(held, volume)).map(|(leaf, _)| *leaf).collect()
        };
        let counted =
            |volume: &Resource| SharedVolume { amounts: Amounts::of_one(volume), others: others(volume) };
        volumes.into_iter().map(counted).collect()
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
    fits: Fits,
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
        self.fits.note_joined(slot);
        self.note_offering(slot);
        slot
    }

    pub(super) fn remove(&mut self, id: &AgentId) -> Option<(AgentSlot, Agent)> {
        let (slot, agent) = self.agents.remove(id)?;
        self.offering.remove(slot);
        self.fits.note_gone(slot);
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

    /// Those that have something to offer and joined after another, in the order in which they joined.
    pub(super) fn offering_after(&self, slot: AgentSlot) -> Vec<AgentSlot> {
        let joined = |slot: &AgentSlot| self.get(*slot).map(|agent| agent.joined);
        let mut later = self.offering.members().to_vec();
        later.retain(|other| joined(other) > joined(&slot));
        later.sort_unstable_by_key(joined);
        later
    }

    /// The first that has any of these amounts to offer, of those from a place on in the order in which they joined, with the
    /// place behind it. None of the amounts may be nothing: everyone has that.
    pub(super) fn first_with(&mut self, from: usize, any_of: &[Quantities]) -> Option<(AgentSlot, usize)> {
        if any_of.is_empty() {
            return None;
        }
        let agents = &self.agents;
        let offered = |agent: &Agent| {
            if agent.can_offer() { agent.available.quantities.clone() } else { Quantities::new() }
        };
        if self.fits.is_to_be_built() {
            let mut all: Vec<_> = agents.iter().collect();
            all.sort_unstable_by_key(|(_, agent)| agent.joined);
            self.fits.build(all.into_iter().map(|(slot, agent)| (slot, offered(agent))).collect());
        }
        self.fits.refresh(|slot| agents.get(slot).map(offered).unwrap_or_default());
        self.fits.first(from, any_of)
    }

    fn note_offering(&mut self, slot: AgentSlot) {
        self.fits.note_changed(slot);
        if self.agents.get(slot).is_some_and(Agent::can_offer) {
            self.offering.insert(slot);
        } else {
            self.offering.remove(slot);
        }
    }
}
