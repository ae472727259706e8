//! Plays a script: the allocator, the offers that are out, the tasks that run, and the clock.

use std::collections::BTreeMap;
use std::time::Duration;

use apportion::allocator::{
    AgentProfile, Allocation, Allocator, Capability, DrfAllocator, DrfOptions, FaultDomain, FrameworkProfile,
    InverseOffer, Quota, Sorter, Unavailability,
};
use apportion::protocol::framework::DEFAULT_REFUSE;
use apportion::protocol::{AgentId, FrameworkId, Weight};
use apportion::resources::{Reservation, Resource, Resources, Role};
use apportion::spec::{Delay, SpecError};
use apportion::time::Time;

use super::expectations::{Offers, StepReport, offered};
use super::form::{self, AddFramework, Expected, Options, Reserve, Script, Step};
use super::text::{Text, pick, pick_exactly, rebuilt};

/// Why a script did not come to its end: a step that can't be taken, or an expectation that is not met.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{at}{details}")]
pub struct ScriptError {
    /// The step, and what is wrong with it.
    pub at: Box<SpecError>,
    /// What was expected, what was found, and why; empty for steps that can't be taken.
    details: String,
}

/// What is wrong with a step.
struct Wrong {
    message: String,
    details: String,
}

impl<M: Into<String>> From<M> for Wrong {
    fn from(message: M) -> Self {
        Wrong { message: message.into(), details: String::new() }
    }
}

/// How far an expected share may be off.
const TOLERANCE: f64 = 1e-6;

impl Script {
    /// Plays the steps, telling each as soon as it is done.
    ///
    /// # Errors
    /// The first step that can't be taken, or whose expectation is not met.
    pub fn play(&self, mut tell: impl FnMut(&StepReport)) -> Result<(), ScriptError> {
        let mut world = World::new(&self.table.options, &self.table.step);
        for (index, step) in self.table.step.iter().enumerate() {
            let taken = world.take(step);
            let report = StepReport {
                step: index + 1,
                action: step.name(),
                time_s: world.now.as_nanos() as f64 / 1e9,
                offers: world
                    .made
                    .drain(..)
                    .map(|offer| offered(&offer.framework, &offer.role, &offer.agent, &offer.resources))
                    .collect(),
                inverse_offers: world
                    .inverse
                    .drain(..)
                    .map(|offer| (offer.framework.to_string(), offer.agent.to_string()))
                    .collect(),
                explanation: std::mem::take(&mut world.explanation),
            };
            tell(&report);
            taken.map_err(|wrong| ScriptError {
                at: Box::new(self.document.error_at(
                    &["step", &index.to_string(), step.name()],
                    format!("step {}: {}", index + 1, wrong.message),
                )),
                details: wrong.details,
            })?;
        }
        Ok(())
    }
}

struct World {
    allocator: DrfAllocator,
    now: Time,
    interval: Duration,
    /// Offers that are out.
    held: BTreeMap<(FrameworkId, AgentId, Role), Resources>,
    tasks: BTreeMap<String, Allocation>,
    frameworks: BTreeMap<FrameworkId, FrameworkProfile>,
    profiles: BTreeMap<AgentId, AgentProfile>,
    /// The first role of each framework that the script has anywhere: what is in use before it comes counts for it.
    first_roles: BTreeMap<FrameworkId, Role>,
    /// Offers since the last expectation.
    recent: Offers,
    /// Offers of this step.
    made: Vec<Allocation>,
    inverse: Vec<InverseOffer>,
    explanation: Vec<String>,
}

impl World {
    fn new(options: &Options, steps: &[Step]) -> Self {
        let interval = options.allocation_interval.map_or(Duration::from_secs(1), Delay::duration);
        let defaults = DrfOptions::default();
        let min_allocatable = options.min_allocatable.as_ref();
        let allocator = DrfAllocator::new(DrfOptions {
            min_allocatable: min_allocatable.map_or(defaults.min_allocatable, |least| {
                least.iter().map(|least| least.0.clone()).collect()
            }),
            allocation_interval: interval,
            allocate_on_events: options.event.unwrap_or(true),
            sorter: match options.sorter {
                form::Sorter::Drf => Sorter::Drf,
                form::Sorter::Random => Sorter::Random { seed: options.seed },
            },
            shuffle_agents: options.shuffle_agents.then_some(options.seed),
            fairness_excluded: options.fairness_excluded.iter().map(|kind| kind.0.clone()).collect(),
            region: options.region.clone(),
        });
        let mut first_roles = BTreeMap::new();
        for step in steps {
            if let Step::AddFramework(framework) = step
                && let Some(role) = framework.roles.first()
            {
                first_roles.entry(framework.id.0.clone()).or_insert_with(|| role.0.clone());
            }
        }
        World {
            allocator,
            now: Time::ZERO,
            interval,
            held: BTreeMap::new(),
            tasks: BTreeMap::new(),
            frameworks: BTreeMap::new(),
            profiles: BTreeMap::new(),
            first_roles,
            recent: Offers::default(),
            made: Vec::new(),
            inverse: Vec::new(),
            explanation: Vec::new(),
        }
    }

    /// Takes a step, and all that follows from it at once.
    fn take(&mut self, step: &Step) -> Result<(), Wrong> {
        match step {
            Step::AddAgent(agent) => self.add_agent(agent)?,
            Step::UpdateAgent(agent) => self.update_agent(agent)?,
            Step::RemoveAgent(name) => self.remove_agent(&id(&name.0)?)?,
            Step::AddFramework(framework) => self.add_framework(framework)?,
            Step::RemoveFramework(name) => self.remove_framework(&id(&name.0)?)?,
            Step::Suppress(roles) => {
                self.framework(&roles.framework.0)?;
                self.allocator.suppress(&roles.framework.0, &roles.all());
            }
            Step::Revive(roles) => {
                self.framework(&roles.framework.0)?;
                self.allocator.revive(&roles.framework.0, &roles.all());
            }
            Step::Decline(decline) => self.decline(decline)?,
            Step::Accept(accept) => self.accept(accept)?,
            Step::Finish(name) => {
                let task = self.tasks.remove(&name.0).ok_or_else(|| format!("no task {} runs", name.0))?;
                self.allocator.recover(self.now, &task, None);
            }
            Step::Advance(delay) => return self.advance(delay.duration()),
            Step::SetQuota(set) => {
                let quota = Quota { guarantee: set.guarantee.0.clone(), limit: set.limit.0.clone() };
                self.allocator
                    .set_quota(&set.role.0, &quota, set.force.unwrap_or(true))
                    .map_err(|error| error.to_string())?;
            }
            Step::SetWeight(set) => self.allocator.set_weight(&set.role.0, weight(set.weight)?),
            Step::Reserve(reserve) => self.reserve(reserve)?,
            Step::Unreserve(unreserve) => self.unreserve(unreserve)?,
            Step::SetConstraints(set) => {
                let constraints = set.constraints()?;
                let profile = self.framework(&set.framework.0)?;
                let roles = profile.roles.clone();
                for role in set.role.as_ref().map_or(roles, |role| vec![role.0.clone()]) {
                    profile.constraints.insert(role, constraints.clone());
                }
                let profile = profile.clone();
                self.allocator.update_framework(&set.framework.0, &profile);
            }
            Step::SetMaintenance(set) => {
                let unavailability = set.start.map(|start| Unavailability {
                    start: self.now + start.duration(),
                    duration: set.duration.map(Delay::duration),
                });
                self.allocator.set_unavailability(&set.agent.0, unavailability);
            }
            Step::SetAllowList(hosts) => {
                let hosts = hosts.0.as_ref().map(|hosts| hosts.iter().cloned().collect());
                self.allocator.set_allow_list(hosts);
            }
            Step::Explain(explain) => {
                let role = match &explain.role {
                    Some(role) => role.0.clone(),
                    None => self.first_role(&explain.framework.0)?,
                };
                let lines = self.explain(&explain.framework.0, &role, &explain.resources.0);
                self.explanation.extend(lines);
            }
            Step::Pause(_) => self.allocator.pause(),
            Step::Resume(_) => self.allocator.resume(),
            Step::Expect(expected) => self.expect(expected)?,
            Step::ExpectShares(shares) => self.expect_shares(shares)?,
        }
        self.settle(self.now)
    }

    /// Lets the allocator do all that is due until then.
    fn settle(&mut self, until: Time) -> Result<(), Wrong> {
        while let Some(due) = self.allocator.next_deadline().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.allocate();
        }
        self.allocator.inverse_offers(self.now, &mut self.inverse);
        self.allocator
            .check_invariants()
            .map_err(|wrong| format!("a defect of the allocator: {wrong}").into())
    }

    fn allocate(&mut self) {
        let before = self.made.len();
        self.allocator.allocate(self.now, &mut self.made);
        for Allocation { framework, role, agent, resources } in &self.made[before..] {
            self.recent.add(framework, role, agent, resources);
            let key = (framework.clone(), agent.clone(), role.clone());
            *self.held.entry(key).or_default() += resources;
        }
    }

    fn advance(&mut self, delay: Duration) -> Result<(), Wrong> {
        let end = self.now + delay;
        self.settle(end)?;
        // The allocator learns which batches have passed, though they had nothing to do.
        let interval = self.interval.as_nanos() as u64;
        if let Some(batches) = end.as_nanos().checked_div(interval) {
            let last = Time::from_nanos(batches * interval);
            if last > self.now {
                self.now = last;
                self.allocate();
            }
        }
        self.now = end;
        self.settle(end)
    }

    fn add_agent(&mut self, agent: &form::AddAgent) -> Result<(), Wrong> {
        let id = &agent.id.0;
        if self.profiles.contains_key(id) {
            return Err(format!("agent {id} is there already").into());
        }
        let mut used = Vec::new();
        for (framework, resources) in &agent.used {
            let framework: FrameworkId = self::id(framework)?;
            let role = self.first_role(&framework)?;
            let Some(resources) = pick(&agent.resources.0, &resources.0, &role) else {
                return Err(format!("agent {id} does not have {} to be used", resources.0).into());
            };
            used.push(Allocation { framework, role, agent: id.clone(), resources });
        }
        let profile = AgentProfile {
            hostname: agent.hostname.clone().unwrap_or_else(|| id.to_string()),
            attributes: agent
                .attributes
                .iter()
                .map(|(name, value)| (name.clone(), value.0.clone()))
                .collect(),
            domain: domain(&agent.region, &agent.zone),
        };
        self.allocator.add_agent(id, &profile, &agent.resources.0, &used);
        self.profiles.insert(id.clone(), profile);
        Ok(())
    }

    fn update_agent(&mut self, agent: &form::UpdateAgent) -> Result<(), Wrong> {
        let id = &agent.id.0;
        let profile = self.profiles.get_mut(id).ok_or_else(|| format!("there is no agent {id}"))?;
        if let Some(attributes) = &agent.attributes {
            profile.attributes =
                attributes.iter().map(|(name, value)| (name.clone(), value.0.clone())).collect();
        }
        if agent.region.is_some() || agent.zone.is_some() {
            profile.domain = domain(&agent.region, &agent.zone);
        }
        self.allocator.update_agent_profile(id, profile);
        if let Some(resources) = &agent.resources {
            self.allocator.update_agent(id, &resources.0);
        }
        Ok(())
    }

    fn remove_agent(&mut self, id: &AgentId) -> Result<(), Wrong> {
        self.profiles.remove(id).ok_or_else(|| format!("there is no agent {id}"))?;
        self.allocator.remove_agent(id);
        self.held.retain(|(_, agent, _), _| agent != id);
        self.tasks.retain(|_, task| task.agent != *id);
        Ok(())
    }

    fn add_framework(&mut self, framework: &AddFramework) -> Result<(), Wrong> {
        let id = &framework.id.0;
        if self.frameworks.contains_key(id) {
            return Err(format!("framework {id} is there already").into());
        }
        let roles = |roles: &[Text<Role>]| roles.iter().map(|role| role.0.clone()).collect::<Vec<_>>();
        let mut profile =
            FrameworkProfile::new(&roles(&framework.roles)).suppressing(&roles(&framework.suppressed));
        profile.capabilities = framework.capabilities.iter().filter_map(|each| capability(*each)).collect();
        for (role, least) in &framework.min_allocatable {
            let role = role.parse().map_err(|error: apportion::resources::RoleError| error.to_string())?;
            profile.min_allocatable.insert(role, least.iter().map(|least| least.0.clone()).collect());
        }
        self.allocator.add_framework(id, &profile);
        self.frameworks.insert(id.clone(), profile);
        Ok(())
    }

    fn remove_framework(&mut self, id: &FrameworkId) -> Result<(), Wrong> {
        self.frameworks.remove(id).ok_or_else(|| format!("there is no framework {id}"))?;
        self.allocator.remove_framework(id);
        self.held.retain(|(framework, ..), _| framework != id);
        self.tasks.retain(|_, task| task.framework != *id);
        Ok(())
    }

    fn framework(&mut self, id: &FrameworkId) -> Result<&mut FrameworkProfile, Wrong> {
        self.frameworks.get_mut(id).ok_or_else(|| format!("there is no framework {id}").into())
    }

    fn first_role(&self, framework: &FrameworkId) -> Result<Role, Wrong> {
        Ok(self.first_roles.get(framework).cloned().unwrap_or_default())
    }

    fn decline(&mut self, decline: &form::Decline) -> Result<(), Wrong> {
        let (framework, agent) = (&decline.framework.0, &decline.agent.0);
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

    fn accept(&mut self, accept: &form::Accept) -> Result<(), Wrong> {
        let (framework, agent) = (&accept.framework.0, &accept.agent.0);
        if self.tasks.contains_key(&accept.task) {
            return Err(format!("task {} runs already", accept.task).into());
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
        self.tasks.insert(accept.task.clone(), task);
        let refuse = Some(accept.refuse.map_or(DEFAULT_REFUSE, Delay::duration));
        self.give_back(framework, agent, &role, None, refuse);
        Ok(())
    }

    /// The roles for which a framework holds offers of an agent, at least one.
    fn roles_held(
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
    fn give_back(
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

    fn take_from_held(&mut self, framework: &FrameworkId, agent: &AgentId, role: &Role, part: &Resources) {
        let key = (framework.clone(), agent.clone(), role.clone());
        if let Some(held) = self.held.get_mut(&key)
            && held.try_subtract(part).is_ok()
            && held.is_empty()
        {
            self.held.remove(&key);
        }
    }

    fn reserve(&mut self, reserve: &Reserve) -> Result<(), Wrong> {
        let role = reserve.role.as_ref().ok_or("reserve needs a role")?.0.clone();
        let mut reservation = Reservation::dynamic(role, None);
        reservation.labels =
            reserve.labels.iter().map(|(key, value)| (key.as_str().into(), value.as_str().into())).collect();
        self.convert(reserve, &reserve.resources.0, |part| {
            part.to_reserved(&reservation).map_err(|e| e.to_string())
        })
    }

    fn unreserve(&mut self, unreserve: &Reserve) -> Result<(), Wrong> {
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
    fn convert(
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

    fn expect(&mut self, expected: &[Expected]) -> Result<(), Wrong> {
        let recent = std::mem::take(&mut self.recent);
        let Some(difference) = recent.compare(expected) else { return Ok(()) };
        let mut details = String::new();
        let mut list = |heading: &str, lines: Vec<String>| {
            details += &format!("\n  {heading}:");
            if lines.is_empty() {
                details += " none";
            }
            for line in lines {
                details += &format!("\n    {line}");
            }
        };
        let line = |(framework, role, agent, resources): &(FrameworkId, Role, AgentId, Resources)| {
            offered(framework, role, agent, resources).to_string()
        };
        let expected = expected.iter().map(|offer| {
            let role = offer.role.as_ref().map_or_else(Role::any, |role| role.0.clone());
            offered(&offer.framework.0, &role, &offer.agent.0, &offer.resources.0).to_string()
        });
        list("expected", expected.collect());
        list("found", recent.list().iter().map(ToString::to_string).collect());
        list("missing", difference.missing.iter().map(line).collect());
        list("not expected", difference.unexpected.iter().map(line).collect());
        for (framework, role, agent, resources) in &difference.missing {
            let why = self.explain(framework, role, resources);
            list(&format!("why {framework} is not offered this of {agent}"), why);
        }
        Err(Wrong { message: "the offers are not those that are expected".to_owned(), details })
    }

    fn explain(&self, framework: &FrameworkId, role: &Role, wanted: &Resources) -> Vec<String> {
        let explanation = self.allocator.explain(self.now, framework, role, &wanted.quantities());
        if explanation.obstacles.is_empty() {
            return vec!["nothing stands in the way".to_owned()];
        }
        explanation.obstacles.iter().map(ToString::to_string).collect()
    }

    fn expect_shares(&self, expected: &BTreeMap<String, f64>) -> Result<(), Wrong> {
        let mut different = Vec::new();
        for (path, expected) in expected {
            let found = self.share(path).ok_or_else(|| format!("there is no role or framework {path}"))?;
            if (found - expected).abs() > TOLERANCE {
                different.push(format!("\n  {path}: expected {expected}, found {found}"));
            }
        }
        if different.is_empty() {
            return Ok(());
        }
        let message = "the shares are not those that are expected".to_owned();
        Err(Wrong { message, details: different.concat() })
    }

    /// The dominant share of a role, or of a framework in a role when there is no such role.
    fn share(&self, path: &str) -> Option<f64> {
        let role: Role = path.parse().ok()?;
        if let Some(share) = self.allocator.shares().into_iter().find(|share| share.role == role) {
            return Some(share.share.as_f64());
        }
        let (role, framework) = path.rsplit_once('/')?;
        let framework = FrameworkId::new(framework).ok()?;
        Some(self.allocator.framework_share(&framework, &role.parse().ok()?)?.as_f64())
    }
}

fn id<T: std::str::FromStr<Err: std::fmt::Display>>(name: &str) -> Result<T, Wrong> {
    name.parse().map_err(|error: T::Err| error.to_string().into())
}

fn domain(region: &Option<String>, zone: &Option<String>) -> Option<FaultDomain> {
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    (region.is_some() || zone.is_some()).then(|| FaultDomain { region: part(region), zone: part(zone) })
}

fn weight(weight: f64) -> Result<Weight, Wrong> {
    let milli = (weight * 1000.0).round();
    if !(1.0..=f64::from(u32::MAX)).contains(&milli) {
        return Err(format!("a weight is at least 0.001 and at most 4294967, not {weight}").into());
    }
    Weight::from_milli(milli as u32).map_err(|error| error.to_string().into())
}

fn capability(capability: form::Capability) -> Option<Capability> {
    Some(match capability {
        form::Capability::GpuResources => Capability::GpuResources,
        form::Capability::RevocableResources => Capability::RevocableResources,
        form::Capability::RegionAware => Capability::RegionAware,
        form::Capability::SharedResources => Capability::SharedResources,
        form::Capability::ReservationRefinement => Capability::ReservationRefinement,
        form::Capability::MultiRole | form::Capability::HierarchicalRole => return None,
    })
}

impl Step {
    /// The key under which the step is written.
    fn name(&self) -> &'static str {
        match self {
            Step::AddAgent(_) => "add_agent",
            Step::UpdateAgent(_) => "update_agent",
            Step::RemoveAgent(_) => "remove_agent",
            Step::AddFramework(_) => "add_framework",
            Step::RemoveFramework(_) => "remove_framework",
            Step::Suppress(_) => "suppress",
            Step::Revive(_) => "revive",
            Step::Decline(_) => "decline",
            Step::Accept(_) => "accept",
            Step::Finish(_) => "finish",
            Step::Advance(_) => "advance",
            Step::SetQuota(_) => "set_quota",
            Step::SetWeight(_) => "set_weight",
            Step::Reserve(_) => "reserve",
            Step::Unreserve(_) => "unreserve",
            Step::SetConstraints(_) => "set_constraints",
            Step::SetMaintenance(_) => "set_maintenance",
            Step::SetAllowList(_) => "set_allow_list",
            Step::Explain(_) => "explain",
            Step::Pause(_) => "pause",
            Step::Resume(_) => "resume",
            Step::Expect(_) => "expect",
            Step::ExpectShares(_) => "expect_shares",
        }
    }
}
