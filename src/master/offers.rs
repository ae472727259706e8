//! Offers that are out: making, rescinding and declining them.

use std::time::Duration;

use rustc_hash::FxHashMap;

use super::machine::{Master, Output};
use crate::allocator::{Allocation, OfferSet};
use crate::protocol::framework::MAX_REFUSE;
use crate::protocol::{AgentId, FrameworkId, OfferId, OfferInfo, OfferMode, OfferSetId, SchedulerEvent};
use crate::time::Time;

/// An offer that is out.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) allocation: Allocation,
    pub(super) mode: OfferMode,
    /// The set that it is accepted or declined with.
    pub(super) set: Option<OfferSetId>,
}

/// The offers that are out.
#[derive(Debug, Default)]
pub(super) struct OfferTable {
    by_id: FxHashMap<OfferId, Offer>,
    last: u64,
    /// The offers of each set, in order.
    sets: FxHashMap<OfferSetId, Vec<OfferId>>,
    last_set: u64,
    /// Reused between allocations.
    scratch: Vec<Allocation>,
    scratch_sets: Vec<OfferSet>,
}

impl OfferTable {
    pub(super) fn get(&self, id: OfferId) -> Option<&Offer> {
        self.by_id.get(&id)
    }

    /// The offers of a set, in order; none when there is no such set.
    pub(super) fn of_set(&self, set: OfferSetId) -> &[OfferId] {
        self.sets.get(&set).map(Vec::as_slice).unwrap_or_default()
    }

    /// These offers, and all that belong to them.
    fn whole(&self, offers: &[OfferId]) -> Vec<OfferId> {
        let mut whole = Vec::with_capacity(offers.len());
        for id in offers {
            match self.get(*id).and_then(|offer| offer.set) {
                Some(set) => whole.extend_from_slice(self.of_set(set)),
                None => whole.push(*id),
            }
        }
        whole
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Offer> {
        self.by_id.values()
    }
}

impl Master {
    /// Offers whatever the allocator hands out.
    pub(super) fn make_offers(&mut self, now: Time, out: &mut Vec<Output>) {
        let mut allocations = std::mem::take(&mut self.offers.scratch);
        self.allocator.allocate(now, &mut allocations);
        let mut batches: Vec<(FrameworkId, Vec<OfferInfo>)> = Vec::new();
        let mut add = |framework: FrameworkId, offers: Vec<OfferInfo>| match batches
            .iter_mut()
            .rev()
            .find(|(id, _)| *id == framework)
        {
            Some((_, batch)) => batch.extend(offers),
            None => batches.push((framework, offers)),
        };
        for allocation in allocations.drain(..) {
            let (framework, mode) =
                (allocation.framework.clone(), self.allocator.offer_mode(&allocation.role));
            if let Some(offer) = self.make_offer(now, Offer { allocation, mode, set: None }) {
                add(framework, vec![offer]);
            }
        }
        self.offers.scratch = allocations;
        let mut sets = std::mem::take(&mut self.offers.scratch_sets);
        self.allocator.offer_sets(&mut sets);
        for set in sets.drain(..) {
            if let Some((framework, offers)) = self.make_set(now, set) {
                add(framework, offers);
            }
        }
        self.offers.scratch_sets = sets;
        for (framework, batch) in batches {
            self.tell(&framework, SchedulerEvent::Offers(batch), out);
        }
    }

    /// Offers a set, if all of it can be offered.
    fn make_set(&mut self, now: Time, set: OfferSet) -> Option<(FrameworkId, Vec<OfferInfo>)> {
        self.offers.last_set += 1;
        let id = OfferSetId(self.offers.last_set);
        let framework = set.allocations.first()?.framework.clone();
        let size = set.allocations.len();
        let offer = |allocation| Offer { allocation, mode: OfferMode::Exclusive, set: Some(id) };
        let offers: Vec<OfferInfo> = set
            .allocations
            .into_iter()
            .filter_map(|allocation| self.make_offer(now, offer(allocation)))
            .collect();
        self.offers.sets.insert(id, offers.iter().map(|offer| offer.id).collect());
        if offers.len() < size {
            for offer in offers {
                if let Some(offer) = self.take_offer(&framework, offer.id) {
                    self.give_back(now, &offer, None);
                }
            }
            return None;
        }
        Some((framework, offers))
    }

    fn make_offer(&mut self, now: Time, offer: Offer) -> Option<OfferInfo> {
        let Allocation { framework, agent, .. } = &offer.allocation;
        let framework = self.frameworks.get_mut(framework).filter(|f| f.connection.is_some());
        let agent = self.agents.get_mut(agent).filter(|a| a.connection.is_some());
        let (Some(framework), Some(agent)) = (framework, agent) else {
            self.give_back(now, &offer, None);
            return None;
        };
        let Offer { allocation, mode, set } = offer;
        self.offers.last += 1;
        let id = OfferId(self.offers.last);
        framework.offers.insert(id);
        agent.offers.insert(id);
        let info = OfferInfo {
            id,
            role: allocation.role.clone(),
            agent: allocation.agent.clone(),
            hostname: agent.info.hostname.clone(),
            attributes: agent.info.attributes.clone(),
            domain: agent.info.domain.clone(),
            unavailability: self.maintenance.unavailability(&allocation.agent),
            resources: allocation.resources.clone(),
            mode,
            set,
        };
        self.offers.by_id.insert(id, Offer { allocation, mode, set });
        Some(info)
    }

    /// Takes an offer off the table, if this framework has it. Its resources are then the caller's to place.
    pub(super) fn take_offer(&mut self, framework: &FrameworkId, id: OfferId) -> Option<Offer> {
        if self.offers.by_id.get(&id)?.allocation.framework != *framework {
            return None;
        }
        let offer = self.offers.by_id.remove(&id)?;
        if let Some(set) = offer.set
            && let Some(offers) = self.offers.sets.get_mut(&set)
        {
            offers.retain(|other| *other != id);
            if offers.is_empty() {
                self.offers.sets.remove(&set);
            }
        }
        if let Some(framework) = self.frameworks.get_mut(&offer.allocation.framework) {
            framework.offers.remove(&id);
        }
        if let Some(agent) = self.agents.get_mut(&offer.allocation.agent) {
            agent.offers.remove(&id);
        }
        Some(offer)
    }

    /// An offer that was not used goes back to the allocator.
    pub(super) fn give_back(&mut self, now: Time, offer: &Offer, refuse: Option<Duration>) {
        match offer.mode {
            OfferMode::Exclusive => self.allocator.recover(now, &offer.allocation, refuse),
            OfferMode::Optimistic => self.allocator.withdraw(now, &offer.allocation, refuse),
        }
    }

    /// The framework does not use these offers. Offers that it does not have any more are none of its business.
    pub(super) fn decline(
        &mut self,
        now: Time,
        framework: &FrameworkId,
        offers: &[OfferId],
        refuse: Duration,
    ) {
        for id in self.offers.whole(offers) {
            if let Some(offer) = self.take_offer(framework, id) {
                self.give_back(now, &offer, Some(refuse.min(MAX_REFUSE)));
            }
        }
    }

    /// Takes back all offers of an agent.
    pub(super) fn rescind_agent(&mut self, now: Time, id: &AgentId, out: &mut Vec<Output>) {
        let Some(agent) = self.agents.get(id) else { return };
        let offers: Vec<OfferId> = agent.offers.iter().copied().collect();
        self.rescind(now, offers, out);
    }

    /// Takes back all offers that a framework has.
    pub(super) fn rescind_framework(&mut self, now: Time, id: &FrameworkId, out: &mut Vec<Output>) {
        let Some(framework) = self.frameworks.get(id) else { return };
        let offers: Vec<OfferId> = framework.offers.iter().copied().collect();
        self.rescind(now, offers, out);
    }

    /// Takes back all offers that are out.
    pub(super) fn rescind_all(&mut self, now: Time, out: &mut Vec<Output>) {
        let offers = self.offers.by_id.keys().copied().collect();
        self.rescind(now, offers, out);
    }

    fn rescind(&mut self, now: Time, offers: Vec<OfferId>, out: &mut Vec<Output>) {
        let mut offers = self.offers.whole(&offers);
        offers.sort();
        for id in offers {
            let holder = self.offers.get(id).map(|offer| offer.allocation.framework.clone());
            let Some(framework) = holder else { continue };
            if let Some(offer) = self.take_offer(&framework, id) {
                self.give_back(now, &offer, None);
                self.tell(&framework, SchedulerEvent::Rescind(vec![id]), out);
            }
        }
    }
}
