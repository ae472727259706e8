//! Optimistic offers: accepted in time or too late, or declined.

use std::time::Duration;

use apportion::allocator::{Allocation, Allocator};
use apportion::protocol::framework::DEFAULT_REFUSE;
use apportion::protocol::{AgentId, FrameworkId};
use apportion::resources::{Resources, Role};
use apportion::spec::Delay;

use super::form;
use super::player::{World, Wrong};
use super::text::{Text, as_written, pick};

impl World {
    /// What a framework was offered optimistically of an agent and has not answered.
    pub(super) fn optimistic_offer(
        &self,
        framework: &FrameworkId,
        agent: &AgentId,
        role: Option<&Text<Role>>,
    ) -> Option<Allocation> {
        let (key, resources) = self.optimistic.iter().find(|((holder, place, held), _)| {
            holder == framework && place == agent && role.is_none_or(|role| role.0 == *held)
        })?;
        let (framework, agent, role) = key.clone();
        Some(Allocation { framework, role, agent, resources: resources.clone() })
    }

    pub(super) fn decline_optimistic(
        &mut self,
        decline: &form::Decline,
        offer: Allocation,
    ) -> Result<(), Wrong> {
        let part = match &decline.resources {
            Some(part) => part_of(&offer, &part.0)?,
            None => offer.resources.clone(),
        };
        let refuse = decline.refuse.map_or(DEFAULT_REFUSE, Delay::duration);
        self.answer(Allocation { resources: part, ..offer }, Some(refuse));
        Ok(())
    }

    pub(super) fn accept_optimistic(
        &mut self,
        accept: &form::Accept,
        offer: Allocation,
    ) -> Result<(), Wrong> {
        let used = part_of(&offer, &accept.resources.0)?;
        let rest = Allocation { resources: offer.resources.minus_clamped(&used), ..offer.clone() };
        let claim = Allocation { resources: used, ..offer.clone() };
        let gone = self.allocator.claim(&claim).err().map(|conflict| conflict.gone);
        let expected = accept.conflict.as_ref().map(|expected| as_written(&expected.0));
        let found = gone.as_ref().map(as_written);
        if found != expected {
            let told =
                |gone: &Option<Resources>| gone.as_ref().map_or("nothing".to_owned(), Resources::to_string);
            let (found, expected) = (told(&found), told(&expected));
            return Err(format!("{found} is gone when it accepts, but {expected} was expected to be").into());
        }
        if gone.is_some() {
            self.answer(offer, None);
            return Ok(());
        }
        self.optimistic.remove(&(claim.framework.clone(), claim.agent.clone(), claim.role.clone()));
        let refuse = accept.refuse.map_or(DEFAULT_REFUSE, Delay::duration);
        if !rest.resources.is_empty() {
            self.allocator.withdraw(self.now, &rest, Some(refuse));
        }
        self.started(accept, claim);
        Ok(())
    }

    /// An offer, or part of one, is given back.
    fn answer(&mut self, answered: Allocation, refuse: Option<Duration>) {
        let key = (answered.framework.clone(), answered.agent.clone(), answered.role.clone());
        if let Some(out) = self.optimistic.get_mut(&key) {
            *out = out.minus_clamped(&answered.resources);
        }
        self.optimistic.retain(|_, out| !out.is_empty());
        self.allocator.withdraw(self.now, &answered, refuse);
    }
}

fn part_of(offer: &Allocation, wanted: &Resources) -> Result<Resources, Wrong> {
    pick(&offer.resources, wanted, &offer.role)
        .ok_or_else(|| format!("{} was not offered {wanted} of {}", offer.framework, offer.agent).into())
}
