//! The allocator of a cluster with one framework: it is offered whatever is free and was not refused.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::allocator::{Allocation, Allocator, RoleShare};
use crate::protocol::{AgentId, Attributes, Explanation, FrameworkId, Weight};
use crate::resources::{Quantities, Resources, Role};
use crate::time::Time;

#[derive(Debug)]
struct Agent {
    total: Resources,
    free: Resources,
    active: bool,
}

#[derive(Debug)]
struct Framework {
    id: FrameworkId,
    roles: Vec<Role>,
    suppressed: Vec<Role>,
    active: bool,
}

/// Everything for one framework.
#[derive(Debug, Default)]
pub(super) struct Pool {
    agents: BTreeMap<AgentId, Agent>,
    framework: Option<Framework>,
    /// What was refused, and until when.
    refusals: BTreeMap<(AgentId, Role), (Time, Quantities)>,
    changed: bool,
}

impl Pool {
    fn change(&mut self) -> Option<&mut Framework> {
        self.changed = true;
        self.framework.as_mut()
    }

    fn agent(&mut self, id: &AgentId) -> Option<&mut Agent> {
        self.changed = true;
        self.agents.get_mut(id)
    }
}

impl Agent {
    fn take(&mut self, resources: &Resources) {
        self.free.try_subtract(resources).expect("allocated resources were free");
    }
}

impl Allocator for Pool {
    fn add_agent(&mut self, agent: &AgentId, _: &Attributes, total: &Resources, used: &[Allocation]) {
        self.changed = true;
        let mut added = Agent { total: total.clone(), free: total.clone(), active: true };
        used.iter().for_each(|allocation| added.take(&allocation.resources));
        self.agents.insert(agent.clone(), added);
    }

    fn update_agent(&mut self, agent: &AgentId, total: &Resources) {
        if let Some(agent) = self.agent(agent) {
            let used = agent.total.checked_sub(&agent.free).expect("what is free is part of the total");
            agent.free = total.checked_sub(&used).unwrap_or_default();
            agent.total = total.clone();
        }
    }

    fn remove_agent(&mut self, agent: &AgentId) {
        self.agents.remove(agent);
    }

    fn set_agent_active(&mut self, agent: &AgentId, active: bool) {
        if let Some(agent) = self.agent(agent) {
            agent.active = active;
        }
    }

    fn add_framework(&mut self, framework: &FrameworkId, roles: &[Role], suppressed: &[Role]) {
        self.changed = true;
        self.framework = Some(Framework {
            id: framework.clone(),
            roles: roles.to_vec(),
            suppressed: suppressed.to_vec(),
            active: true,
        });
    }

    fn update_framework(&mut self, framework: &FrameworkId, roles: &[Role], suppressed: &[Role]) {
        self.add_framework(framework, roles, suppressed);
    }

    fn remove_framework(&mut self, _: &FrameworkId) {
        self.framework = None;
        for agent in self.agents.values_mut() {
            agent.free = agent.total.clone();
        }
    }

    fn set_framework_active(&mut self, _: &FrameworkId, active: bool) {
        if let Some(framework) = self.change() {
            framework.active = active;
        }
    }

    fn suppress(&mut self, _: &FrameworkId, roles: &[Role]) {
        if let Some(framework) = self.change() {
            let roles = if roles.is_empty() { framework.roles.clone() } else { roles.to_vec() };
            framework.suppressed.extend(roles);
        }
    }

    fn revive(&mut self, _: &FrameworkId, roles: &[Role]) {
        let is_meant = |role: &Role| roles.is_empty() || roles.contains(role);
        self.refusals.retain(|(_, role), _| !is_meant(role));
        if let Some(framework) = self.change() {
            framework.suppressed.retain(|role| !is_meant(role));
        }
    }

    fn set_weight(&mut self, _: &Role, _: Weight) {}

    fn add_allocation(&mut self, allocation: &Allocation) {
        if let Some(agent) = self.agent(&allocation.agent) {
            agent.take(&allocation.resources);
        }
    }

    fn recover(&mut self, now: Time, allocation: &Allocation, refuse: Option<Duration>) {
        if let Some(refuse) = refuse.filter(|refuse| !refuse.is_zero()) {
            let place = (allocation.agent.clone(), allocation.role.clone());
            self.refusals.insert(place, (now + refuse, allocation.resources.quantities()));
        }
        if let Some(agent) = self.agent(&allocation.agent) {
            agent.free += &allocation.resources;
        }
    }

    fn convert(&mut self, allocation: &Allocation, into: &Resources) {
        if let Some(agent) = self.agent(&allocation.agent) {
            agent.total.try_subtract(&allocation.resources).expect("what is converted is there");
            agent.total += into;
        }
    }

    fn allocate(&mut self, now: Time, offers: &mut Vec<Allocation>) {
        self.changed = false;
        self.refusals.retain(|_, (until, _)| *until > now);
        let Some(framework) = self.framework.as_ref().filter(|framework| framework.active) else { return };
        for (id, agent) in self.agents.iter_mut().filter(|(_, agent)| agent.active) {
            for role in framework.roles.iter().filter(|role| !framework.suppressed.contains(role)) {
                let resources = agent.free.allocatable_to(role);
                let refusal = self.refusals.get(&(id.clone(), role.clone()));
                if resources.is_empty()
                    || refusal.is_some_and(|(_, refused)| refused.contains(&resources.quantities()))
                {
                    continue;
                }
                agent.take(&resources);
                let (framework, role, agent) = (framework.id.clone(), role.clone(), id.clone());
                offers.push(Allocation { framework, role, agent, resources });
            }
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        if self.changed {
            return Some(Time::ZERO);
        }
        self.refusals.values().map(|(until, _)| *until).min()
    }

    fn shares(&self) -> Vec<RoleShare> {
        Vec::new()
    }

    fn explain(&self, _: Time, _: &FrameworkId, _: &Role, _: &Quantities) -> Explanation {
        Explanation::default()
    }
}
