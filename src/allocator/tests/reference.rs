//! An allocator that is obviously correct: it keeps plain lists, and works everything out anew for each agent.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::allocator::demand::{Demand, Site};
use crate::allocator::gangs::fit;
use crate::allocator::quota::{cut_to, cut_to_limits};
use crate::allocator::{
    AgentProfile, Allocation, Capabilities, DemandGroup, DrfOptions, FrameworkProfile, Limits, Quota,
    Unavailability,
};
use crate::protocol::{AgentId, FrameworkId, OfferMode, Weight};
use crate::resources::{Quantities, Resource, Resources, Role, Share, Value};
use crate::time::Time;

struct Agent {
    id: AgentId,
    profile: AgentProfile,
    total: Resources,
    active: bool,
    unavailability: Option<Unavailability>,
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

type Member = (FrameworkId, Role);

/// The gang that gathers.
struct Holder {
    member: Member,
    group: DemandGroup,
    /// The group's place in its framework's demand.
    place: usize,
    size: u32,
    since: Time,
    /// What is kept on which agent, and for how many tasks.
    parts: BTreeMap<AgentId, (u32, Resources)>,
}

/// When it is whose turn: in which round, and not before when.
struct Turn {
    round: u64,
    rests_until: Time,
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
    demands: BTreeMap<Member, Demand>,
    turns: BTreeMap<Member, Turn>,
    round: u64,
    holder: Option<Holder>,
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
    pub(super) fn new(options: DrfOptions) -> Self {
        Reference { options, ..Reference::default() }
    }

    pub(super) fn add_agent(
        &mut self,
        id: &AgentId,
        profile: &AgentProfile,
        total: &Resources,
        used: &[Allocation],
    ) {
        self.remove_agent(id);
        let (profile, total) = (profile.clone(), total.clone());
        self.agents.push(Agent { id: id.clone(), profile, total, active: true, unavailability: None });
        for allocation in used {
            self.frameworks.entry(allocation.framework.clone()).or_default();
            self.allocated(allocation.clone());
        }
    }

    pub(super) fn update_agent(&mut self, id: &AgentId, total: &Resources) {
        self.let_go_of(id);
        if let Some(agent) = self.agents.iter_mut().find(|agent| agent.id == *id) {
            agent.total = total.clone();
        }
        self.forget_unused();
    }

    pub(super) fn remove_agent(&mut self, id: &AgentId) {
        self.let_go_of(id);
        self.agents.retain(|agent| agent.id != *id);
        for held in self.allocated.iter().filter(|held| held.agent == *id) {
            if let Some(demand) = self.demands.get_mut(&(held.framework.clone(), held.role.clone())) {
                demand.take_back(|| held.resources.quantities());
            }
        }
        self.allocated.retain(|allocation| allocation.agent != *id);
        for offer in self.out.extract_if(.., |offer| offer.agent == *id) {
            if let Some(demand) = self.demands.get_mut(&(offer.framework, offer.role)) {
                demand.take_back(|| offer.resources.quantities());
            }
        }
        self.settle_turn();
        self.refusals.retain(|refusal| refusal.agent != *id);
        self.forget_unused();
    }

    pub(super) fn set_unavailability(&mut self, id: &AgentId, unavailability: Option<Unavailability>) {
        if let Some(agent) = self.agents.iter_mut().find(|agent| agent.id == *id) {
            agent.unavailability = unavailability;
        }
    }

    pub(super) fn set_agent_active(&mut self, id: &AgentId, active: bool) {
        self.let_go_of(id);
        if let Some(agent) = self.agents.iter_mut().find(|agent| agent.id == *id) {
            agent.active = active;
        }
    }

    pub(super) fn add_framework(&mut self, id: &FrameworkId, profile: &FrameworkProfile) {
        self.end_turn_if(None, |holder| holder.member.0 == *id);
        let framework = self.frameworks.entry(id.clone()).or_default();
        framework.active = true;
        framework.roles = profile.roles.iter().cloned().collect();
        framework.suppressed = profile.suppressed.iter().cloned().collect();
        framework.capabilities = profile.capabilities;
        self.forget_unused();
    }

    pub(super) fn remove_framework(&mut self, id: &FrameworkId) {
        self.end_turn_if(None, |holder| holder.member.0 == *id);
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
            self.settle_turn();
        }
    }

    pub(super) fn suppress(&mut self, id: &FrameworkId, roles: &[Role]) {
        let Some(framework) = self.frameworks.get_mut(id) else { return };
        let named = framework.roles.iter().filter(|role| roles.is_empty() || roles.contains(role));
        framework.suppressed.extend(named.cloned());
        self.settle_turn();
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
        if !is_member && !holds {
            return;
        }
        let member = (id.clone(), role.clone());
        if demand.is_some_and(|groups| groups.iter().any(DemandGroup::is_gang)) {
            let turn = Turn { round: self.round + 1, rests_until: Time::ZERO };
            self.turns.entry(member.clone()).or_insert(turn);
        }
        self.demands.remove(&member);
        self.demands.extend(demand.map(|groups| (member, Demand::new(groups))));
        self.settle_turn();
    }

    pub(super) fn set_quota(&mut self, role: &Role, quota: &Quota) {
        self.quotas.insert(role.clone(), quota.clone());
        self.quotas.retain(|_, quota| !quota.is_default());
        self.forget_unused();
    }

    pub(super) fn recover(&mut self, now: Time, allocation: &Allocation, refuse: Option<Duration>) {
        self.released(allocation);
        self.came_back(now, allocation, refuse);
    }

    fn came_back(&mut self, now: Time, allocation: &Allocation, refuse: Option<Duration>) {
        if let Some(demand) = self.demands.get_mut(&(allocation.framework.clone(), allocation.role.clone())) {
            demand.take_back(|| allocation.resources.quantities());
        }
        self.settle_turn();
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
        self.permitted(role, &self.visible(framework, role, agent), &self.within_reach(role))
    }

    /// What is beyond all guarantees, and what a role lacks of its own.
    fn within_reach(&self, role: &Role) -> Quantities {
        let mut most = self.surplus();
        most.add(&self.unmet(role).minus_clamped(&self.required_below(Some(role))));
        most
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

    /// The offers, and the sets for gangs: each the allocations on some agents.
    pub(super) fn allocate(&mut self, now: Time) -> (Vec<Allocation>, Vec<Vec<Allocation>>) {
        self.refusals.retain(|refusal| refusal.until > now);
        self.take_turns(now);
        let mut sets = Vec::new();
        let agents: Vec<AgentId> =
            self.agents.iter().filter(|agent| agent.active).map(|agent| agent.id.clone()).collect();
        let mut offers: Vec<Allocation> = Vec::new();
        for stage in [Stage::Guaranteed, Stage::Fair] {
            for agent in &agents {
                for (role, framework) in self.order() {
                    let is_optimistic = self.optimistic.contains(&role);
                    let visible = self.visible(&framework, &role, agent);
                    let room = match stage {
                        Stage::Guaranteed => self.guaranteed(&role, &visible),
                        Stage::Fair => self.permitted(&role, &visible, &self.surplus()),
                    };
                    let who = (framework, role);
                    let part = if is_optimistic {
                        self.optimistic(&who.0, &who.1, agent, stage)
                    } else if self.is_allocatable(&visible) {
                        room.clone()
                    } else {
                        Resources::new()
                    };
                    let offer = self.allocation(&who, agent, part);
                    if let Some(set) = self.gather(now, &offer, &room) {
                        sets.extend(set);
                        continue;
                    }
                    let amounts = offer.resources.quantities();
                    let is_demanded = self.is_demanded(now, &who, agent, &amounts);
                    if is_demanded && self.is_allocatable(&offer.resources) && !self.is_refused(&offer) {
                        let (profile, time_left) = self.site(now, agent);
                        if let Some(demand) = self.demands.get_mut(&who) {
                            demand.promise(&amounts, Site { profile: &profile, time_left });
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
        sets.extend(self.gather_at_once(now, &agents));
        (offers, sets)
    }

    fn is_demanded(&self, now: Time, who: &Member, agent: &AgentId, amounts: &Quantities) -> bool {
        let (profile, time_left) = self.site(now, agent);
        let site = Site { profile: &profile, time_left };
        self.demands.get(who).is_none_or(|demand| demand.is_served_by(amounts, site))
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
        self.permitted_beside(role, visible, most, &Quantities::new())
    }

    fn permitted_beside(
        &self,
        role: &Role,
        visible: &Resources,
        most: &Quantities,
        taken: &Quantities,
    ) -> Resources {
        let charged = cut_to_limits(&visible.filter(is_charged), &self.room(role).minus(taken));
        let is_any_required = !self.required_below(None).is_empty();
        let charged = if is_any_required { cut_to(&charged, &most.minus_clamped(taken)) } else { charged };
        charged + &visible.filter(|resource| !is_charged(resource))
    }

    /// What the gang that gathers takes of this room, instead of what its framework would be offered otherwise; a set, when it is
    /// complete with it.
    fn gather(&mut self, now: Time, offer: &Allocation, room: &Resources) -> Option<Option<Vec<Allocation>>> {
        let (who, agent) = (&(offer.framework.clone(), offer.role.clone()), &offer.agent);
        let holder = self.holder.as_ref().filter(|holder| holder.member == *who)?;
        let (profile, time_left) = self.site(now, agent);
        let site = Site { profile: &profile, time_left };
        let place = holder.place;
        let others_come_first = self.demands[who].is_served_before(place, &room.quantities(), site)
            && self.is_demanded(now, who, agent, &offer.resources.quantities())
            && self.is_allocatable(&offer.resources)
            && !self.is_refused(offer);
        if others_come_first || !holder.group.can_use(&profile, time_left) {
            return None;
        }
        let gathered: u32 = holder.parts.values().map(|(tasks, _)| tasks).sum();
        let part = fit(room, &who.1, &holder.group.shape, holder.size - gathered)?;
        let kept = self.allocation(who, agent, part.resources);
        if self.is_refused(&kept) {
            return None;
        }
        self.allocated(kept.clone());
        let holder = self.holder.as_mut().unwrap();
        let (tasks, before) = holder.parts.entry(agent.clone()).or_default();
        *tasks += part.tasks;
        *before += &kept.resources;
        if gathered + part.tasks < holder.size {
            return Some(None);
        }
        let Holder { member, size, parts, .. } = self.holder.take().unwrap();
        self.begin_next_round(&member, Time::ZERO);
        self.demands.get_mut(&member).unwrap().promise_gang(place, size);
        let set = parts.into_iter().map(|(agent, (_, resources))| self.allocation(who, &agent, resources));
        Some(Some(set.collect()))
    }

    fn gather_at_once(&mut self, now: Time, agents: &[AgentId]) -> Vec<Vec<Allocation>> {
        let mut sets = Vec::new();
        let mut waiting = self.gangs_in_order();
        waiting.retain(|(who, ..)| self.holder.as_ref().is_none_or(|holder| holder.member != *who));
        for (who, place, group, size) in waiting {
            let (mut missing, mut taken, mut set) = (size, Quantities::new(), Vec::new());
            for agent in agents {
                let (profile, time_left) = self.site(now, agent);
                let visible = self.visible(&who.0, &who.1, agent);
                let room = self.permitted_beside(&who.1, &visible, &self.within_reach(&who.1), &taken);
                let Some(part) = fit(&room, &who.1, &group.shape, missing) else { continue };
                let kept = self.allocation(&who, agent, part.resources);
                if group.can_use(&profile, time_left) && !self.is_refused(&kept) {
                    taken.add(&scalars(&kept.resources.filter(is_charged)));
                    missing -= part.tasks;
                    set.push(kept);
                }
            }
            if missing == 0 {
                set.iter().for_each(|kept| self.allocated(kept.clone()));
                self.demands.get_mut(&who).unwrap().promise_gang(place, size);
                sets.push(set);
            }
        }
        sets
    }

    fn take_turns(&mut self, now: Time) {
        let bound = self.options.gang_hold;
        self.end_turn_if(Some(now), |holder| holder.since + bound <= now);
        if let Some(holder) = &self.holder {
            let group = holder.group.clone();
            let kept: Vec<AgentId> = holder.parts.keys().cloned().collect();
            for agent in kept {
                let (profile, time_left) = self.site(now, &agent);
                if !group.can_use(&profile, time_left) {
                    self.let_go_of(&agent);
                }
            }
            return;
        }
        let mut rested = self.gangs_in_order();
        rested.retain(|(who, ..)| self.turns[who].rests_until <= now);
        let next = rested.into_iter().find(|(who, _, group, size)| self.could_hold(now, who, group, *size));
        if let Some((member, place, group, size)) = next {
            self.round = self.round.max(self.turns[&member].round);
            self.holder = Some(Holder { member, group, place, size, since: now, parts: BTreeMap::new() });
        }
    }

    fn could_hold(&self, now: Time, who: &Member, group: &DemandGroup, size: u32) -> bool {
        let capabilities = self.frameworks[&who.0].capabilities;
        let (mut missing, mut taken) = (size, Quantities::new());
        for agent in self.agents.iter().filter(|agent| agent.active) {
            let (profile, time_left) = self.site(now, &agent.id);
            let visible = agent
                .total
                .filter(|resource| resource.allocatable_to(&who.1) && capabilities.allow(resource));
            let charged = cut_to_limits(&visible.filter(is_charged), &self.room(&who.1).minus(&taken));
            let room = charged + &visible.filter(|resource| !is_charged(resource));
            if let Some(part) = fit(&room, &who.1, &group.shape, missing)
                && group.can_use(&profile, time_left)
            {
                taken.add(&scalars(&part.resources.filter(is_charged)));
                missing -= part.tasks;
            }
        }
        missing == 0
    }

    /// All gangs that wait, in the order of turns, each with its place in its framework's demand and its size.
    fn gangs_in_order(&self) -> Vec<(Member, usize, DemandGroup, u32)> {
        let mut members: Vec<Member> =
            self.order().into_iter().map(|(role, framework)| (framework, role)).collect();
        members.retain(|who| self.turns.contains_key(who));
        members.sort_by_key(|who| self.turns[who].round);
        let gangs = |who: Member| {
            let gangs = self.demands.get(&who).into_iter().flat_map(Demand::gangs);
            gangs.map(|(place, group, size)| (who.clone(), place, group.clone(), size)).collect::<Vec<_>>()
        };
        members.into_iter().flat_map(gangs).collect()
    }

    fn settle_turn(&mut self) {
        let gangs = self.gangs_in_order();
        let Some(holder) = &mut self.holder else { return };
        let same = gangs.into_iter().find(|(who, _, group, size)| {
            *who == holder.member && *size == holder.size && group.is_alike(&holder.group)
        });
        match same {
            Some((_, place, ..)) => holder.place = place,
            None => self.end_turn_if(None, |_| true),
        }
    }

    fn end_turn_if(&mut self, rests_from: Option<Time>, over: impl Fn(&Holder) -> bool) {
        let Some(holder) = self.holder.take_if(|holder| over(holder)) else { return };
        let rests_until = rests_from.map_or(Time::ZERO, |now| now + now.since(holder.since));
        self.begin_next_round(&holder.member, rests_until);
        for (agent, (_, resources)) in holder.parts {
            self.released(&self.allocation(&holder.member, &agent, resources));
        }
        self.forget_unused();
    }

    fn begin_next_round(&mut self, who: &Member, rests_until: Time) {
        let turn = Turn { round: self.round + 1, rests_until };
        self.turns.insert(who.clone(), turn);
    }

    fn let_go_of(&mut self, agent: &AgentId) {
        let Some(holder) = &mut self.holder else { return };
        let Some((_, resources)) = holder.parts.remove(agent) else { return };
        let member = holder.member.clone();
        self.released(&self.allocation(&member, agent, resources));
        self.forget_unused();
    }

    fn site(&self, now: Time, agent: &AgentId) -> (AgentProfile, Option<Duration>) {
        let agent = self.agents.iter().find(|other| other.id == *agent).unwrap();
        let window = agent.unavailability.filter(|window| !window.is_over(now));
        (agent.profile.clone(), window.map(|window| window.start.since(now)))
    }

    fn allocation(&self, who: &Member, agent: &AgentId, resources: Resources) -> Allocation {
        let (framework, role) = who.clone();
        Allocation { framework, role, agent: agent.clone(), resources }
    }

    /// Takes what is no longer allocated out of the list.
    fn released(&mut self, allocation: &Allocation) {
        let held = self.allocated.iter_mut().find(|held| same_place(held, allocation)).unwrap();
        held.resources.try_subtract(&allocation.resources).unwrap();
        self.allocated.retain(|allocation| !allocation.resources.is_empty());
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

    /// What is out or in use, summed up per framework, role and agent; not what is kept for a gang.
    pub(super) fn holdings(&self) -> Vec<Allocation> {
        let mut holdings = self.allocated.clone();
        let kept = self.holder.iter().flat_map(|holder| {
            holder.parts.iter().map(|(agent, (_, kept))| self.allocation(&holder.member, agent, kept.clone()))
        });
        for kept in kept {
            holdings
                .iter_mut()
                .find(|held| same_place(held, &kept))
                .unwrap()
                .resources
                .try_subtract(&kept.resources)
                .unwrap();
        }
        holdings.retain(|holding| !holding.resources.is_empty());
        holdings
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
        self.turns.retain(|(id, role), _| path(role, id).last().is_some_and(|leaf| used.contains(leaf)));
        self.refusals.retain(|refusal| {
            path(&refusal.role, &refusal.framework).last().is_some_and(|leaf| used.contains(leaf))
        });
    }
}
