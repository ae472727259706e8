//! Plays a script: the allocator, the offers that are out, the tasks that run, and the clock.

use std::collections::BTreeMap;
use std::time::Duration;

use apportion::allocator::{
    AgentProfile, Allocation, Allocator, DrfAllocator, DrfOptions, FrameworkProfile, InverseOffer, Quota,
    Sorter, Unavailability,
};
use apportion::protocol::{AgentId, FrameworkId, OfferMode};
use apportion::resources::{Resources, Role};
use apportion::spec::{Delay, SpecError};
use apportion::time::Time;

use super::expectations::{Offered, Offers, StepReport, offered};
use super::form::{self, Options, Script, Step};
use super::parties::weight;
use super::preemption::{Preemptions, Task};

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
pub(super) struct Wrong {
    pub(super) message: String,
    pub(super) details: String,
}

impl<M: Into<String>> From<M> for Wrong {
    fn from(message: M) -> Self {
        Wrong { message: message.into(), details: String::new() }
    }
}

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
                    .map(|(set, offer)| Offered {
                        set,
                        ..offered(&offer.framework, &offer.role, &offer.agent, &offer.resources)
                    })
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

pub(super) struct World {
    pub(super) allocator: DrfAllocator,
    pub(super) now: Time,
    pub(super) interval: Duration,
    /// Offers that are out.
    pub(super) held: BTreeMap<(FrameworkId, AgentId, Role), Resources>,
    /// Optimistic offers that are out.
    pub(super) optimistic: BTreeMap<(FrameworkId, AgentId, Role), Resources>,
    pub(super) tasks: BTreeMap<String, Task>,
    pub(super) preemptions: Preemptions,
    pub(super) frameworks: BTreeMap<FrameworkId, FrameworkProfile>,
    pub(super) profiles: BTreeMap<AgentId, AgentProfile>,
    /// The first role of each framework that the script has anywhere: what is in use before it comes counts for it.
    pub(super) first_roles: BTreeMap<FrameworkId, Role>,
    /// Offers since the last expectation.
    pub(super) recent: Offers,
    /// Offers of this step, those of a set with its number.
    pub(super) made: Vec<(Option<usize>, Allocation)>,
    /// How many sets were offered.
    sets: usize,
    pub(super) inverse: Vec<InverseOffer>,
    pub(super) explanation: Vec<String>,
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
            ties: defaults.ties,
            gang_hold: options.gang_hold.map_or(defaults.gang_hold, Delay::duration),
            preemption: options.preemption(),
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
            optimistic: BTreeMap::new(),
            tasks: BTreeMap::new(),
            preemptions: Preemptions::default(),
            frameworks: BTreeMap::new(),
            profiles: BTreeMap::new(),
            first_roles,
            recent: Offers::default(),
            made: Vec::new(),
            sets: 0,
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
                self.allocator.recover(self.now, &task.allocation, None);
            }
            Step::Advance(delay) => return self.advance(delay.duration()),
            Step::SetQuota(set) => {
                let quota = Quota { guarantee: set.guarantee.0.clone(), limit: set.limit.0.clone() };
                self.allocator
                    .set_quota(&set.role.0, &quota, set.force.unwrap_or(true))
                    .map_err(|error| error.to_string())?;
            }
            Step::SetOffers(set) => self.allocator.set_offer_mode(&set.role.0, set.mode),
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
            Step::SetDemand(set) => {
                let id = &set.framework.0;
                let roles = self.framework(id)?.roles.clone();
                let groups = set.groups.as_ref().map(|groups| groups.iter().map(form::Group::to_group));
                let groups = groups.map(|groups| groups.collect::<Result<Vec<_>, _>>()).transpose()?;
                for role in set.role.as_ref().map_or(roles, |role| vec![role.0.clone()]) {
                    self.allocator.set_demand(id, &role, groups.as_deref());
                }
            }
            Step::Explain(explain) => self.explain_all(explain)?,
            Step::Pause(_) => self.allocator.pause(),
            Step::Resume(_) => self.allocator.resume(),
            Step::Expect(expected) => self.expect(expected)?,
            Step::ExpectPreemptions(expected) => self.expect_preemptions(expected)?,
            Step::ExpectShares(shares) => self.expect_shares(shares)?,
        }
        self.settle(self.now)
    }

    /// Lets the allocator do all that is due until then.
    fn settle(&mut self, until: Time) -> Result<(), Wrong> {
        self.preempt()?;
        while let Some(due) = self.next_deadline().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            if self.allocator.next_deadline().is_some_and(|due| due <= self.now) {
                self.allocate();
            }
            self.preempt()?;
        }
        self.allocator.inverse_offers(self.now, &mut self.inverse);
        self.allocator
            .check_invariants()
            .map_err(|wrong| format!("a defect of the allocator: {wrong}").into())
    }

    fn next_deadline(&mut self) -> Option<Time> {
        let preemption = self.allocator.preemption_due(self.now);
        [self.allocator.next_deadline(), preemption, self.preemptions.next_deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    fn allocate(&mut self) {
        let before = self.made.len();
        let (mut offers, mut sets) = (Vec::new(), Vec::new());
        self.allocator.allocate(self.now, &mut offers);
        self.made.extend(offers.into_iter().map(|offer| (None, offer)));
        self.allocator.offer_sets(&mut sets);
        for set in sets {
            self.sets += 1;
            self.made.extend(set.allocations.into_iter().map(|offer| (Some(self.sets), offer)));
        }
        for (_, Allocation { framework, role, agent, resources }) in &self.made[before..] {
            self.recent.add(framework, role, agent, resources);
            let key = (framework.clone(), agent.clone(), role.clone());
            let held = match self.allocator.offer_mode(role) {
                OfferMode::Exclusive => &mut self.held,
                OfferMode::Optimistic => &mut self.optimistic,
            };
            *held.entry(key).or_default() += resources;
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
}

pub(super) fn id<T: std::str::FromStr<Err: std::fmt::Display>>(name: &str) -> Result<T, Wrong> {
    name.parse().map_err(|error: T::Err| error.to_string().into())
}
