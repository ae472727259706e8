//! Offers that are out: making, rescinding and declining them.

use std::time::Duration;

use rustc_hash::FxHashMap;

use super::machine::{Master, Output};
use crate::allocator::Allocation;
use crate::protocol::framework::MAX_REFUSE;
use crate::protocol::{AgentId, FrameworkId, OfferId, OfferInfo, SchedulerEvent};
use crate::time::Time;

/// The offers that are out.
#[derive(Debug, Default)]
pub(super) struct OfferTable {
    by_id: FxHashMap<OfferId, Allocation>,
    last: u64,
    /// Reused between allocations.
    scratch: Vec<Allocation>,
}

impl OfferTable {
    pub(super) fn get(&self, id: OfferId) -> Option<&Allocation> {
        self.by_id.get(&id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Allocation> {
        self.by_id.values()
    }
}

impl Master {
    /// Offers whatever the allocator hands out.
    pub(super) fn make_offers(&mut self, now: Time, out: &mut Vec<Output>) {
        let mut allocations = std::mem::take(&mut self.offers.scratch);
        self.allocator.allocate(now, &mut allocations);
        let mut batches: Vec<(FrameworkId, Vec<OfferInfo>)> = Vec::new();
        for allocation in allocations.drain(..) {
            let framework = allocation.framework.clone();
            let Some(offer) = self.make_offer(now, allocation) else { continue };
            match batches.iter_mut().rev().find(|(id, _)| *id == framework) {
                Some((_, batch)) => batch.push(offer),
                None => batches.push((framework, vec![offer])),
            }
        }
        self.offers.scratch = allocations;
        for (framework, batch) in batches {
            self.tell(&framework, SchedulerEvent::Offers(batch), out);
        }
    }

    fn make_offer(&mut self, now: Time, allocation: Allocation) -> Option<OfferInfo> {
        let framework = self.frameworks.get_mut(&allocation.framework).filter(|f| f.connection.is_some());
        let agent = self.agents.get_mut(&allocation.agent).filter(|a| a.connection.is_some());
        let (Some(framework), Some(agent)) = (framework, agent) else {
            self.allocator.recover(now, &allocation, None);
            return None;
        };
        self.offers.last += 1;
        let id = OfferId(self.offers.last);
        framework.offers.insert(id);
        agent.offers.insert(id);
        let offer = OfferInfo {
            id,
            role: allocation.role.clone(),
            agent: allocation.agent.clone(),
            hostname: agent.info.hostname.clone(),
            attributes: agent.info.attributes.clone(),
            domain: agent.info.domain.clone(),
            unavailability: self.maintenance.unavailability(&allocation.agent),
            resources: allocation.resources.clone(),
        };
        self.offers.by_id.insert(id, allocation);
        Some(offer)
    }

    /// Takes an offer off the table, if this framework has it. Its resources are then the caller's to place.
    pub(super) fn take_offer(&mut self, framework: &FrameworkId, id: OfferId) -> Option<Allocation> {
        if self.offers.by_id.get(&id)?.framework != *framework {
            return None;
        }
        let allocation = self.offers.by_id.remove(&id)?;
        if let Some(framework) = self.frameworks.get_mut(&allocation.framework) {
            framework.offers.remove(&id);
        }
        if let Some(agent) = self.agents.get_mut(&allocation.agent) {
            agent.offers.remove(&id);
        }
        Some(allocation)
    }

    /// The framework does not use these offers. Offers that it does not have any more are none of its business.
    pub(super) fn decline(
        &mut self,
        now: Time,
        framework: &FrameworkId,
        offers: &[OfferId],
        refuse: Duration,
    ) {
        for id in offers {
            if let Some(allocation) = self.take_offer(framework, *id) {
                self.allocator.recover(now, &allocation, Some(refuse.min(MAX_REFUSE)));
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

    fn rescind(&mut self, now: Time, mut offers: Vec<OfferId>, out: &mut Vec<Output>) {
        offers.sort();
        for id in offers {
            let Some(framework) = self.offers.get(id).map(|offer| offer.framework.clone()) else { continue };
            if let Some(allocation) = self.take_offer(&framework, id) {
                self.allocator.recover(now, &allocation, None);
                self.tell(&framework, SchedulerEvent::Rescind(vec![id]), out);
            }
        }
    }
}
