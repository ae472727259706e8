//! An allocator that is obviously correct: it keeps plain lists, and works everything out anew for each agent.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::allocator::demand::Demand;
use crate::allocator::quota::{cut_to, cut_to_limits};
use crate::allocator::{Allocation, Capabilities, DemandGroup, DrfOptions, FrameworkProfile, Limits, Quota};
use crate::protocol::{AgentId, FrameworkId, OfferMode, Weight};
use crate::resources::{Quantities, Resource, Resources, Role, Share, Value};
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
    capabilities: Capabilities,
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
    quotas: BTreeMap<Role, Quota>,
    demands: BTreeMap<(FrameworkId, Role), Demand>,
    allocated: Vec<Allocation>,
    optimistic: BTreeSet<Role>,
    /// Optimistic offers that are not answered, summed up like what is allocated.
    out: Vec<Allocation>,
    refusals: Vec<Refusal>,
    /// How many allocations there were: per path, where a role's own frameworks are below `role/.`.
    counts: BTreeMap<String, u64>,
}

fn scalars(resources: &Resources) -> Quantities {
    let scalar = |resource: &Resource| match resource.value() {
        Value::Scalar(amount) => Some((resource.kind().clone(), *amount)),
        _ => None,
    };
    resources.iter().filter_map(scalar).collect()
}

/// Whether quotas are about it.
fn is_charged(resource: &Resource) -> bool {
    let is_scalar = matches!(resource.value(), Value::Scalar(_));
    is_scalar && !resource.is_revocable() && resource.reserved_to().is_none()
}

fn is_in(role: &Role, other: &Role) -> bool {
    role == other || role.is_ancestor_of(other)
}

fn sum<'a>(all: impl Iterator<Item = &'a Quantities>) -> Quantities {
    all.fold(Quantities::new(), |mut sum, each| {
        sum.add(each);
        sum
    })
}

/// Which roles are served.
#[derive(Clone, Copy, PartialEq)]
enum Stage {
    /// Those whose guarantee is not met.
    Guaranteed,
    /// All.
    Fair,
}

fn same_place(one: &Allocation, other: &Allocation) -> bool {
    one.framework == other.framework && one.role == other.role && one.agent == other.agent
}

/// Adds an allocation to the one of the same framework, role and agent.
fn add_to(all: &mut Vec<Allocation>, allocation: Allocation) {
    match all.iter_mut().find(|other| same_place(other, &allocation)) {
        Some(before) => before.resources += &allocation.resources,
        None => all.push(allocation),
    }
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
        self.forget_unused();
    }

    pub(super) fn remove_agent(&mut self, id: &AgentId) {
        self.agents.retain(|agent| agent.id != *id);
        for held in self.allocated.iter().filter(|held| held.agent == *id) {
            if let Some(demand) = self.demands.get_mut(&(held.framework.clone(), held.role.clone())) {
                demand.take_back(&held.resources.quantities());
            }
        }
        self.allocated.retain(|allocation| allocation.agent != *id);
        for offer in self.out.extract_if(.., |offer| offer.agent == *id) {
            if let Some(demand) = self.demands.get_mut(&(offer.framework, offer.role)) {
                demand.take_back(&offer.resources.quantities());
            }
        }
        self.refusals.retain(|refusal| refusal.agent != *id);
        self.forget_unused();
    }

    pub(super) fn set_agent_active(&mut self, id: &AgentId, active: bool) {
        if let Some(agent) = self.agents.iter_mut().find(|agent| agent.id == *id) {
            agent.active = active;
        }
    }

    pub(super) fn add_framework(&mut self, id: &FrameworkId, profile: &FrameworkProfile) {
        let framework = self.frameworks.entry(id.clone()).or_default();
        framework.active = true;
        framework.roles = profile.roles.iter().cloned().collect();
        framework.suppressed = profile.suppressed.iter().cloned().collect();
        framework.capabilities = profile.capabilities;
        self.forget_unused();
    }

    pub(super) fn remove_framework(&mut self, id: &FrameworkId) {
        self.frameworks.remove(id);
        self.allocated.retain(|allocation| allocation.framework != *id);
        self.out.retain(|offer| offer.framework != *id);
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

    pub(super) fn set_demand(&mut self, id: &FrameworkId, role: &Role, demand: Option<&[DemandGroup]>) {
        let is_member = self.frameworks.get(id).is_some_and(|framework| framework.roles.contains(role));
        let holds = self.allocated.iter().any(|held| held.framework == *id && held.role == *role);
        if is_member || holds {
            self.demands.remove(&(id.clone(), role.clone()));
            self.demands.extend(demand.map(|groups| ((id.clone(), role.clone()), Demand::new(groups))));
        }
    }

    pub(super) fn set_quota(&mut self, role: &Role, quota: &Quota) {
        self.quotas.insert(role.clone(), quota.clone());
        self.quotas.retain(|_, quota| !quota.is_default());
        self.forget_unused();
    }

    pub(super) fn recover(&mut self, now: Time, allocation: &Allocation, refuse: Option<Duration>) {
        let held = self.allocated.iter_mut().find(|held| same_place(held, allocation)).unwrap();
        held.resources.try_subtract(&allocation.resources).unwrap();
        self.allocated.retain(|allocation| !allocation.resources.is_empty());
        self.came_back(now, allocation, refuse);
    }

    fn came_back(&mut self, now: Time, allocation: &Allocation, refuse: Option<Duration>) {
        if let Some(demand) = self.demands.get_mut(&(allocation.framework.clone(), allocation.role.clone())) {
            demand.take_back(&allocation.resources.quantities());
        }
        if let Some(refuse) = refuse {
            let Allocation { framework, role, agent, resources } = allocation.clone();
            self.refusals.push(Refusal { framework, role, agent, resources, until: now + refuse });
        }
        self.forget_unused();
    }

    pub(super) fn set_offer_mode(&mut self, role: &Role, mode: OfferMode) {
        match mode {
            OfferMode::Exclusive => self.optimistic.remove(role),
            OfferMode::Optimistic => self.optimistic.insert(role.clone()),
        };
    }

    /// Whether all of a claim could be had, in which case it is allocated.
    pub(super) fn claim(&mut self, claim: &Allocation) -> bool {
        let holds = self.claimable(&claim.framework, &claim.role, &claim.agent).contains(&claim.resources);
        if holds {
            self.answered(claim);
            self.allocated(claim.clone());
        }
        holds
    }

    pub(super) fn withdraw(&mut self, now: Time, offer: &Allocation, refuse: Option<Duration>) {
        self.answered(offer);
        self.came_back(now, offer, refuse);
    }

    fn answered(&mut self, answered: &Allocation) {
        let offer = self.out.iter_mut().find(|offer| same_place(offer, answered)).unwrap();
        offer.resources = offer.resources.minus_clamped(&answered.resources);
        self.out.retain(|offer| !offer.resources.is_empty());
    }

    /// What is out and not answered, summed up per framework, role and agent.
    pub(super) fn out(&self) -> &[Allocation] {
        &self.out
    }

    fn claimable(&self, framework: &FrameworkId, role: &Role, agent: &AgentId) -> Resources {
        let mut most = self.surplus();
        most.add(&self.unmet(role).minus_clamped(&self.required_below(Some(role))));
        self.permitted(role, &self.visible(framework, role, agent), &most)
    }

    fn visible(&self, framework: &FrameworkId, role: &Role, agent: &AgentId) -> Resources {
        let capabilities = self.frameworks[framework].capabilities;
        self.available(agent).filter(|resource| resource.allocatable_to(role) && capabilities.allow(resource))
    }

    /// What is offered optimistically: all that could be claimed and is not out to the framework already. In the stage of
    /// guarantees to those only whose guarantee is not met.
    fn optimistic(&self, framework: &FrameworkId, role: &Role, agent: &AgentId, stage: Stage) -> Resources {
        let lacking = self.unmet(role).minus_clamped(&self.required_below(Some(role)));
        if stage == Stage::Guaranteed && lacking.is_empty() {
            return Resources::new();
        }
        let claimable = self.claimable(framework, role, agent);
        let is_here = |offer: &&Allocation| {
            offer.framework == *framework && offer.role == *role && offer.agent == *agent
        };
        match self.out.iter().find(is_here) {
            Some(offer) => claimable.minus_clamped(&offer.resources),
            None => claimable,
        }
    }

    pub(super) fn allocate(&mut self, now: Time) -> Vec<Allocation> {
        self.refusals.retain(|refusal| refusal.until > now);
        let agents: Vec<AgentId> =
            self.agents.iter().filter(|agent| agent.active).map(|agent| agent.id.clone()).collect();
        let mut offers: Vec<Allocation> = Vec::new();
        for stage in [Stage::Guaranteed, Stage::Fair] {
            for agent in &agents {
                for (role, framework) in self.order() {
                    let is_optimistic = self.optimistic.contains(&role);
                    let visible = self.visible(&framework, &role, agent);
                    let resources = if is_optimistic {
                        self.optimistic(&framework, &role, agent, stage)
                    } else if !self.is_allocatable(&visible) {
                        Resources::new()
                    } else if stage == Stage::Guaranteed {
                        self.guaranteed(&role, &visible)
                    } else {
                        self.permitted(&role, &visible, &self.surplus())
                    };
                    let offer = Allocation { framework, role, agent: agent.clone(), resources };
                    let who = (offer.framework.clone(), offer.role.clone());
                    let amounts = offer.resources.quantities();
                    let is_demanded =
                        self.demands.get(&who).is_none_or(|demand| demand.is_served_by(&amounts));
                    if is_demanded && self.is_allocatable(&offer.resources) && !self.is_refused(&offer) {
                        if let Some(demand) = self.demands.get_mut(&who) {
                            demand.promise(&amounts);
                        }
                        if is_optimistic {
                            add_to(&mut self.out, offer.clone());
                        } else {
                            self.allocated(offer.clone());
                        }
                        add_to(&mut offers, offer);
                    }
                }
            }
        }
        offers
    }

    fn guaranteed(&self, role: &Role, visible: &Resources) -> Resources {
        let charged = visible.filter(is_charged);
        let lacking = self.unmet(role).minus_clamped(&self.required_below(Some(role)));
        let room = self.room(role);
        let part = cut_to_limits(&cut_to(&charged, &lacking), &room);
        if part.is_empty() {
            return Resources::new();
        }
        let more = charged.checked_sub(&part).unwrap();
        let more = cut_to(&cut_to_limits(&more, &room.minus(&part.quantities())), &self.surplus());
        let others = visible.filter(|resource| {
            let is_scalar = matches!(resource.value(), Value::Scalar(_));
            resource.reserved_to() == Some(role) || resource.is_revocable() || !is_scalar
        });
        part + &more + &others
    }

    fn permitted(&self, role: &Role, visible: &Resources, most: &Quantities) -> Resources {
        let charged = cut_to_limits(&visible.filter(is_charged), &self.room(role));
        let is_any_required = !self.required_below(None).is_empty();
        let charged = if is_any_required { cut_to(&charged, most) } else { charged };
        charged + &visible.filter(|resource| !is_charged(resource))
    }

    /// What a role and those below it have of what is not reserved, and all that is reserved to them.
    fn charged(&self, role: &Role) -> Quantities {
        let allocated = self.allocated.iter().filter(|held| is_in(role, &held.role));
        let mut charged =
            sum(allocated.map(|held| scalars(&held.resources.filter(is_charged))).collect::<Vec<_>>().iter());
        for agent in &self.agents {
            let reserved = agent.total.filter(|resource| {
                !resource.is_revocable() && resource.reserved_to().is_some_and(|holder| is_in(role, holder))
            });
            charged.add(&scalars(&reserved));
        }
        charged
    }

    fn unmet(&self, role: &Role) -> Quantities {
        let guarantee = self.quotas.get(role).map(|quota| quota.guarantee.clone()).unwrap_or_default();
        guarantee.minus_clamped(&self.charged(role))
    }

    /// What is kept back for the roles just below one, or for the top-level roles.
    fn required_below(&self, parent: Option<&Role>) -> Quantities {
        let known: BTreeSet<Role> =
            self.quotas.keys().flat_map(|role| role.ancestors().chain([role.clone()])).collect();
        let children = known.iter().filter(|role| role.parent().as_ref() == parent);
        let required: Vec<Quantities> =
            children.map(|role| self.unmet(role).max(&self.required_below(Some(role)))).collect();
        sum(required.iter())
    }

    fn room(&self, role: &Role) -> Limits {
        let limited = role.ancestors().chain([role.clone()]);
        limited.fold(Limits::default(), |room, role| match self.quotas.get(&role) {
            Some(quota) => room.and(quota.limit.minus(&self.charged(&role))),
            None => room,
        })
    }

    fn surplus(&self) -> Quantities {
        let totals: Vec<_> =
            self.agents.iter().map(|agent| scalars(&agent.total.filter(is_charged))).collect();
        let held: Vec<_> =
            self.allocated.iter().map(|held| scalars(&held.resources.filter(is_charged))).collect();
        sum(totals.iter()).minus_clamped(&sum(held.iter())).minus_clamped(&self.required_below(None))
    }

    /// What is out or in use, summed up per framework, role and agent.
    pub(super) fn holdings(&self) -> &[Allocation] {
        &self.allocated
    }

    /// Each limited role with its limit and what it is charged for.
    pub(super) fn charges_of_limited(&self) -> Vec<(Role, Limits, Quantities)> {
        let charges =
            |(role, quota): (&Role, &Quota)| (role.clone(), quota.limit.clone(), self.charged(role));
        self.quotas.iter().map(charges).collect()
    }

    fn allocated(&mut self, allocation: Allocation) {
        for node in path(&allocation.role, &allocation.framework) {
            *self.counts.entry(node).or_default() += 1;
        }
        add_to(&mut self.allocated, allocation);
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
        let reserved = self
            .agents
            .iter()
            .flat_map(|agent| agent.total.iter())
            .filter(|resource| !resource.is_revocable() && matches!(resource.value(), Value::Scalar(_)));
        for role in reserved.filter_map(Resource::reserved_to).chain(self.quotas.keys()) {
            used.extend(role.ancestors().chain([role.clone()]).map(|role| role.to_string()));
        }
        self.counts.retain(|node, _| used.contains(node));
        self.out.retain(|offer| {
            path(&offer.role, &offer.framework).last().is_some_and(|leaf| used.contains(leaf))
        });
        self.demands.retain(|(id, role), _| path(role, id).last().is_some_and(|leaf| used.contains(leaf)));
        self.refusals.retain(|refusal| {
            path(&refusal.role, &refusal.framework).last().is_some_and(|leaf| used.contains(leaf))
        });
    }
}
