//! An allocator that is obviously correct: it keeps plain lists, and works everything out anew for each agent.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::allocator::{Allocation, DrfOptions};
use crate::protocol::{AgentId, FrameworkId, Weight};
use crate::resources::{Quantities, Resources, Role, Share, Value};
use crate::time::Time;

struct Agent {
    id: AgentId,
    total: Resources,
    active: bool,
}

#[derive(Default)]
struct Framework {
    active: bool,
    roles: BTreeSet<Role>,
    suppressed: BTreeSet<Role>,
}

struct Refusal {
    framework: FrameworkId,
    role: Role,
    agent: AgentId,
    resources: Resources,
    until: Time,
}

/// See the module's documentation.
#[derive(Default)]
pub(super) struct Reference {
    options: DrfOptions,
    /// In the order in which they joined.
    agents: Vec<Agent>,
    frameworks: BTreeMap<FrameworkId, Framework>,
    weights: BTreeMap<Role, Weight>,
    allocated: Vec<Allocation>,
    refusals: Vec<Refusal>,
    /// How many allocations there were: per path, where a role's own frameworks are below `role/.`.
    counts: BTreeMap<String, u64>,
}

fn scalars(resources: &Resources) -> Quantities {
    let scalar = |resource: &crate::resources::Resource| match resource.value() {
        Value::Scalar(amount) => Some((resource.kind().clone(), *amount)),
        _ => None,
    };
    resources.iter().filter_map(scalar).collect()
}

/// The nodes from the top-level role down to the framework: each a path.
fn path(role: &Role, framework: &FrameworkId) -> Vec<String> {
    let mut path: Vec<String> = role.ancestors().map(|role| role.to_string()).collect();
    path.reverse();
    path.extend([role.to_string(), format!("{role}/."), format!("{role}/./{framework}")]);
    path
}

impl Reference {
    pub(super) fn add_agent(&mut self, id: &AgentId, total: &Resources, used: &[Allocation]) {
        self.remove_agent(id);
        self.agents.push(Agent { id: id.clone(), total: total.clone(), active: true });
        for allocation in used {
            self.frameworks.entry(allocation.framework.clone()).or_default();
            self.allocated(allocation.clone());
        }
    }

    pub(super) fn update_agent(&mut self, id: &AgentId, total: &Resources) {
        if let Some(agent) = self.agents.iter_mut().find(|agent| agent.id == *id) {
            agent.total = total.clone();
        }
    }

    pub(super) fn remove_agent(&mut self, id: &AgentId) {
        self.agents.retain(|agent| agent.id != *id);
        self.allocated.retain(|allocation| allocation.agent != *id);
        self.refusals.retain(|refusal| refusal.agent != *id);
        self.forget_unused();
    }

    pub(super) fn set_agent_active(&mut self, id: &AgentId, active: bool) {
        if let Some(agent) = self.agents.iter_mut().find(|agent| agent.id == *id) {
            agent.active = active;
        }
    }

    pub(super) fn add_framework(&mut self, id: &FrameworkId, roles: &[Role], suppressed: &[Role]) {
        let framework = self.frameworks.entry(id.clone()).or_default();
        framework.active = true;
        framework.roles = roles.iter().cloned().collect();
        framework.suppressed = suppressed.iter().cloned().collect();
        self.forget_unused();
    }

    pub(super) fn remove_framework(&mut self, id: &FrameworkId) {
        self.frameworks.remove(id);
        self.allocated.retain(|allocation| allocation.framework != *id);
        self.refusals.retain(|refusal| refusal.framework != *id);
        self.forget_unused();
    }

    pub(super) fn set_framework_active(&mut self, id: &FrameworkId, active: bool) {
        let Some(framework) = self.frameworks.get_mut(id) else { return };
        framework.active = active;
        if !active {
            self.refusals.retain(|refusal| refusal.framework != *id);
        }
    }

    pub(super) fn suppress(&mut self, id: &FrameworkId, roles: &[Role]) {
        let Some(framework) = self.frameworks.get_mut(id) else { return };
        let named = framework.roles.iter().filter(|role| roles.is_empty() || roles.contains(role));
        framework.suppressed.extend(named.cloned());
    }

    pub(super) fn revive(&mut self, id: &FrameworkId, roles: &[Role]) {
        let Some(framework) = self.frameworks.get_mut(id) else { return };
        let named = |role: &Role| roles.is_empty() || roles.contains(role);
        framework.suppressed.retain(|role| !named(role));
        self.refusals.retain(|refusal| refusal.framework != *id || !named(&refusal.role));
    }

    pub(super) fn set_weight(&mut self, role: &Role, weight: Weight) {
        self.weights.insert(role.clone(), weight);
        self.forget_unused();
    }

    pub(super) fn recover(&mut self, now: Time, allocation: &Allocation, refuse: Option<Duration>) {
        let same = |other: &&mut Allocation| {
            other.framework == allocation.framework
                && other.role == allocation.role
                && other.agent == allocation.agent
        };
        let held = self.allocated.iter_mut().find(same).unwrap();
        held.resources.try_subtract(&allocation.resources).unwrap();
        self.allocated.retain(|allocation| !allocation.resources.is_empty());
        if let Some(refuse) = refuse {
            let Allocation { framework, role, agent, resources } = allocation.clone();
            self.refusals.push(Refusal { framework, role, agent, resources, until: now + refuse });
        }
        self.forget_unused();
    }

    pub(super) fn allocate(&mut self, now: Time) -> Vec<Allocation> {
        self.refusals.retain(|refusal| refusal.until > now);
        let agents: Vec<AgentId> =
            self.agents.iter().filter(|agent| agent.active).map(|agent| agent.id.clone()).collect();
        let mut offers = Vec::new();
        for agent in agents {
            for (role, framework) in self.order() {
                let available = self.available(&agent).allocatable_to(&role);
                let offer = Allocation { framework, role, agent: agent.clone(), resources: available };
                if self.is_allocatable(&offer.resources) && !self.is_refused(&offer) {
                    self.allocated(offer.clone());
                    offers.push(offer);
                }
            }
        }
        offers
    }

    /// What is out or in use, summed up per framework, role and agent.
    pub(super) fn holdings(&self) -> &[Allocation] {
        &self.allocated
    }

    fn allocated(&mut self, allocation: Allocation) {
        for node in path(&allocation.role, &allocation.framework) {
            *self.counts.entry(node).or_default() += 1;
        }
        let same = |other: &&mut Allocation| {
            other.framework == allocation.framework
                && other.role == allocation.role
                && other.agent == allocation.agent
        };
        match self.allocated.iter_mut().find(same) {
            Some(held) => held.resources += &allocation.resources,
            None => self.allocated.push(allocation),
        }
    }

    fn available(&self, id: &AgentId) -> Resources {
        let agent = self.agents.iter().find(|agent| agent.id == *id).unwrap();
        let here = self.allocated.iter().filter(|allocation| allocation.agent == *id);
        let in_use: Resources = here.map(|allocation| &allocation.resources).sum();
        agent.total.checked_sub(&in_use).unwrap_or_default()
    }

    fn is_allocatable(&self, resources: &Resources) -> bool {
        let amounts = resources.quantities();
        let least = &self.options.min_allocatable;
        !resources.is_empty() && (least.is_empty() || least.iter().any(|least| amounts.contains(least)))
    }

    fn is_refused(&self, offer: &Allocation) -> bool {
        self.refusals.iter().any(|refusal| {
            refusal.framework == offer.framework
                && refusal.role == offer.role
                && refusal.agent == offer.agent
                && refusal.resources.contains(&offer.resources)
        })
    }

    /// Who wants offers, furthest below its fair share first.
    fn order(&self) -> Vec<(Role, FrameworkId)> {
        let mut wanting = Vec::new();
        for (id, framework) in self.frameworks.iter().filter(|(_, framework)| framework.active) {
            let roles = framework.roles.difference(&framework.suppressed);
            wanting.extend(roles.map(|role| (role.clone(), id.clone())));
        }
        let total: Quantities = self.agents.iter().fold(Quantities::new(), |mut sum, agent| {
            sum.add(&scalars(&agent.total));
            sum
        });
        wanting.sort_by(|a, b| {
            let (a, b) = (path(&a.0, &a.1), path(&b.0, &b.1));
            let differ = a.iter().zip(&b).find(|(a, b)| a != b);
            let (a, b) = differ.expect("no path begins with another: roles end in a dot");
            let (share, other) = (self.share(a, &total), self.share(b, &total));
            share
                .cmp_weighted(self.weight(a), other, self.weight(b))
                .then_with(|| self.counts.get(a).cmp(&self.counts.get(b)))
                .then_with(|| a.cmp(b))
        });
        wanting
    }

    fn share(&self, node: &str, total: &Quantities) -> Share {
        let mut amounts = Quantities::new();
        for allocation in &self.allocated {
            if path(&allocation.role, &allocation.framework).iter().any(|each| each == node) {
                amounts.add(&scalars(&allocation.resources));
            }
        }
        amounts.dominant_share(total)
    }

    fn weight(&self, node: &str) -> u32 {
        node.parse::<Role>()
            .ok()
            .and_then(|role| self.weights.get(&role).copied())
            .unwrap_or_default()
            .milli()
    }

    /// The number of allocations is forgotten with whoever had them: frameworks that are not in a role any more, and roles
    /// that nobody is in and that have no weight of their own. So is what was refused.
    fn forget_unused(&mut self) {
        let mut used = BTreeSet::new();
        for (id, framework) in &self.frameworks {
            used.extend(framework.roles.iter().flat_map(|role| path(role, id)));
        }
        used.extend(self.allocated.iter().flat_map(|held| path(&held.role, &held.framework)));
        for (role, _) in self.weights.iter().filter(|(_, weight)| **weight != Weight::ONE) {
            used.extend(role.ancestors().chain([role.clone()]).map(|role| role.to_string()));
        }
        self.counts.retain(|node, _| used.contains(node));
        self.refusals.retain(|refusal| {
            path(&refusal.role, &refusal.framework).last().is_some_and(|leaf| used.contains(leaf))
        });
    }
}
