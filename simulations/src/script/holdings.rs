//! What frameworks hold: offers that are declined, accepted, reserved and unreserved.

use std::time::Duration;

use apportion::allocator::{Allocation, Allocator};
use apportion::protocol::framework::DEFAULT_REFUSE;
use apportion::protocol::{AgentId, FrameworkId};
use apportion::resources::{Reservation, Resource, Resources, Role};
use apportion::spec::Delay;

use super::form::{self, Reserve};
use super::player::{World, Wrong};
use super::preemption::Task;
use super::text::{Text, pick, pick_exactly, rebuilt};

impl World {
    pub(super) fn decline(&mut self, decline: &form::Decline) -> Result<(), Wrong> {
        let (framework, agent) = (&decline.framework.0, &decline.agent.0);
        if let Some(offer) = self.optimistic_offer(framework, agent, decline.role.as_ref()) {
            return self.decline_optimistic(decline, offer);
        }
        let refuse = Some(decline.refuse.map_or(DEFAULT_REFUSE, Delay::duration));
        let roles = self.roles_held(framework, agent, decline.role.as_ref())?;
        let Some(wanted) = &decline.resources else {
            for role in roles {
                self.give_back(framework, agent, &role, None, refuse);
            }
            return Ok(());
        };
        let found = roles.into_iter().find_map(|role| {
            let held = self.held.get(&(framework.clone(), agent.clone(), role.clone()))?;
            Some((pick(held, &wanted.0, &role)?, role))
        });
        let (part, role) =
            found.ok_or_else(|| format!("{framework} does not hold {} of {agent}", wanted.0))?;
        self.give_back(framework, agent, &role, Some(part), refuse);
        Ok(())
    }

    pub(super) fn accept(&mut self, accept: &form::Accept) -> Result<(), Wrong> {
        let (framework, agent) = (&accept.framework.0, &accept.agent.0);
        if self.tasks.contains_key(&accept.task) {
            return Err(format!("task {} runs already", accept.task).into());
        }
        if let Some(offer) = self.optimistic_offer(framework, agent, accept.role.as_ref()) {
            return self.accept_optimistic(accept, offer);
        }
        if accept.conflict.is_some() {
            return Err(format!("the offer of {agent} is {framework}'s alone: there is no conflict").into());
        }
        let found = self.roles_held(framework, agent, accept.role.as_ref())?.into_iter().find_map(|role| {
            let held = self.held.get(&(framework.clone(), agent.clone(), role.clone()))?;
            Some((pick(held, &accept.resources.0, &role)?, role))
        });
        let (used, role) =
            found.ok_or_else(|| format!("{framework} does not hold {} of {agent}", accept.resources.0))?;
        self.take_from_held(framework, agent, &role, &used);
        let task = Allocation {
            framework: framework.clone(),
            role: role.clone(),
            agent: agent.clone(),
            resources: used,
        };
        self.started(accept, task);
        let refuse = Some(accept.refuse.map_or(DEFAULT_REFUSE, Delay::duration));
        self.give_back(framework, agent, &role, None, refuse);
        Ok(())
    }

    /// A task begins.
    pub(super) fn started(&mut self, accept: &form::Accept, allocation: Allocation) {
        let task = Task { allocation, priority: accept.priority, started: self.now };
        self.tasks.insert(accept.task.clone(), task);
    }

    /// The roles for which a framework holds offers of an agent, at least one.
    pub(super) fn roles_held(
        &self,
        framework: &FrameworkId,
        agent: &AgentId,
        role: Option<&Text<Role>>,
    ) -> Result<Vec<Role>, Wrong> {
        let held = self.held.keys().filter(|(holder, place, held)| {
            holder == framework && place == agent && role.is_none_or(|role| role.0 == *held)
        });
        let roles: Vec<Role> = held.map(|(.., role)| role.clone()).collect();
        if roles.is_empty() {
            return Err(format!("{framework} holds no offer of {agent}").into());
        }
        Ok(roles)
    }

    /// What a framework holds of an agent comes back, in part or in full.
    pub(super) fn give_back(
        &mut self,
        framework: &FrameworkId,
        agent: &AgentId,
        role: &Role,
        part: Option<Resources>,
        refuse: Option<Duration>,
    ) {
        let key = (framework.clone(), agent.clone(), role.clone());
        let Some(part) = part.or_else(|| self.held.get(&key).cloned()) else { return };
        self.take_from_held(framework, agent, role, &part);
        let back = Allocation {
            framework: framework.clone(),
            role: role.clone(),
            agent: agent.clone(),
            resources: part,
        };
        self.allocator.recover(self.now, &back, refuse);
    }

    pub(super) fn take_from_held(
        &mut self,
        framework: &FrameworkId,
        agent: &AgentId,
        role: &Role,
        part: &Resources,
    ) {
        let key = (framework.clone(), agent.clone(), role.clone());
        if let Some(held) = self.held.get_mut(&key)
            && held.try_subtract(part).is_ok()
            && held.is_empty()
        {
            self.held.remove(&key);
        }
    }

    pub(super) fn reserve(&mut self, reserve: &Reserve) -> Result<(), Wrong> {
        let role = reserve.role.as_ref().ok_or("reserve needs a role")?.0.clone();
        let mut reservation = Reservation::dynamic(role, None);
        reservation.labels =
            reserve.labels.iter().map(|(key, value)| (key.as_str().into(), value.as_str().into())).collect();
        self.convert(reserve, &reserve.resources.0, |part| {
            part.to_reserved(&reservation).map_err(|e| e.to_string())
        })
    }

    pub(super) fn unreserve(&mut self, unreserve: &Reserve) -> Result<(), Wrong> {
        let reserved_to = |resource: &Resource| match &unreserve.role {
            Some(role) if resource.reserved_to().is_none() => {
                resource.clone().push_reservation(Reservation::fixed(role.0.clone())).ok()
            }
            _ => Some(resource.clone()),
        };
        let reserved: Resources = unreserve.resources.0.iter().filter_map(reserved_to).collect();
        // Scripts do not tell static reservations from dynamic ones: both are written as a role.
        let unreserved = |resource: &Resource| {
            let (_, below) = resource.reservations().split_last()?;
            rebuilt(resource, resource.value().clone(), below)
        };
        let turn = |part: &Resources| part.iter().map(unreserved).collect::<Option<Resources>>();
        self.convert(unreserve, &reserved, |part| {
            turn(part)
                .ok_or_else(|| format!("{part} can't be unreserved: it is not reserved, or has volumes"))
        })
    }

    /// Turns what a framework holds, or what is free, into something else.
    pub(super) fn convert(
        &mut self,
        step: &Reserve,
        wanted: &Resources,
        turn: impl Fn(&Resources) -> Result<Resources, String>,
    ) -> Result<(), Wrong> {
        let agent = &step.agent.0;
        let Some(framework) = &step.framework else {
            let free = self.allocator.available(agent).ok_or_else(|| format!("there is no agent {agent}"))?;
            let part = pick_exactly(&free, wanted).ok_or_else(|| format!("{agent} has no {wanted} free"))?;
            let into = turn(&part)?;
            self.allocator.convert_free(agent, &part, &into);
            return Ok(());
        };
        let framework = &framework.0;
        let found = self.roles_held(framework, agent, None)?.into_iter().find_map(|role| {
            let held = self.held.get(&(framework.clone(), agent.clone(), role.clone()))?;
            Some((pick_exactly(held, wanted)?, role))
        });
        let (part, role) = found.ok_or_else(|| format!("{framework} does not hold {wanted} of {agent}"))?;
        let into = turn(&part)?;
        let from = Allocation {
            framework: framework.clone(),
            role: role.clone(),
            agent: agent.clone(),
            resources: part.clone(),
        };
        self.allocator.convert(&from, &into);
        self.take_from_held(framework, agent, &role, &part);
        *self.held.entry((framework.clone(), agent.clone(), role)).or_default() += &into;
        Ok(())
    }
}
