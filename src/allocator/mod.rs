//! Who is offered what, next.
//!
//! An [`Allocator`] is told what the cluster has and who is in it, and hands out [`Allocation`]s: resources of one agent
//! for one role of one framework. It is a pure state machine: its driver (the master) passes the time and asks
//! [`next_deadline`](Allocator::next_deadline) when to call [`allocate`](Allocator::allocate) again.
//!
//! [`DrfAllocator`] is the one in the box: hierarchical dominant-resource fairness (Ghodsi et al., NSDI 2011).

mod agents;
mod candidates;
mod cycle;
mod demand;
mod drf;
mod explain;
mod filters;
mod fits;
mod frameworks;
mod gangs;
mod invariants;
mod maintenance;
mod membership;
mod optimistic;
mod options;
mod preemption;
mod profile;
mod quota;
mod random;
mod slots;
#[cfg(test)]
mod tests;
mod tree;

pub use drf::DrfAllocator;
pub use gangs::OfferSet;
pub use invariants::Inconsistency;
pub use maintenance::InverseOffer;
pub use optimistic::ClaimError;
pub use options::{DrfOptions, Sorter, Ties};
pub use preemption::{Preemption, PreemptionOptions, PreemptionPolicy, RunningTask, UnknownPolicy};
pub use profile::FrameworkProfile;
pub use quota::QuotaError;

use std::collections::BTreeSet;
use std::time::Duration;

use crate::protocol::{AgentId, Explanation, FrameworkId, Waiting, Weight};
pub use crate::protocol::{
    AgentProfile, AttributeConstraint, Capabilities, Capability, DemandGroup, FaultDomain, Limits,
    OfferConstraints, OfferMode, Pattern, PatternError, Predicate, Quota, Selector, Unavailability,
};
use crate::resources::{Kind, Quantities, Resources, Role, Share};
use crate::time::Time;

/// Resources of one agent that one role of one framework has, offered or in use.
#[derive(Clone, Debug, PartialEq)]
pub struct Allocation {
    /// Whose.
    pub framework: FrameworkId,
    /// The role that they count for.
    pub role: Role,
    /// Where.
    pub agent: AgentId,
    /// What.
    pub resources: Resources,
}

/// A role's part of the cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct RoleShare {
    /// The role.
    pub role: Role,
    /// Its weight.
    pub weight: Weight,
    /// Its own quota.
    pub quota: Quota,
    /// How its resources are offered.
    pub offers: OfferMode,
    /// What the role and its children have, offered or in use.
    pub allocated: Quantities,
    /// Its dominant share, not divided by the weight.
    pub share: Share,
    /// The kind of resource that the share is of; `None` when it has nothing.
    pub dominant: Option<Kind>,
    /// How many frameworks are in the role itself.
    pub frameworks: usize,
}

/// Decides who is offered what, next.
///
/// Calls that name an agent, framework or role that the allocator does not know change nothing, unless they say otherwise:
/// the master may have removed it a moment ago.
pub trait Allocator: Send {
    /// A new agent, and what is in use on it already.
    fn add_agent(&mut self, agent: &AgentId, profile: &AgentProfile, total: &Resources, used: &[Allocation]);

    /// The agent has other resources than before.
    fn update_agent(&mut self, agent: &AgentId, total: &Resources);

    /// The agent has another profile than before. If so, all that was refused of it is forgotten.
    fn update_agent_profile(&mut self, agent: &AgentId, profile: &AgentProfile);

    /// The agent is gone, with all that was allocated on it.
    fn remove_agent(&mut self, agent: &AgentId);

    /// Whether the agent's free resources may be offered; an agent that is not connected keeps what is allocated on it.
    fn set_agent_active(&mut self, agent: &AgentId, active: bool);

    /// A new framework.
    fn add_framework(&mut self, framework: &FrameworkId, profile: &FrameworkProfile);

    /// The framework has another profile than before. What it has in roles that it left stays allocated until recovered.
    fn update_framework(&mut self, framework: &FrameworkId, profile: &FrameworkProfile);

    /// The framework is gone, with all that it had.
    fn remove_framework(&mut self, framework: &FrameworkId);

    /// Whether the framework can be offered anything; one that is not connected keeps what it has.
    fn set_framework_active(&mut self, framework: &FrameworkId, active: bool);

    /// No offers for these roles of the framework until it revives them. No roles: all.
    fn suppress(&mut self, framework: &FrameworkId, roles: &[Role]);

    /// Offers for these roles of the framework again, at once, whatever it refused before. No roles: all.
    fn revive(&mut self, framework: &FrameworkId, roles: &[Role]);

    /// The framework states what it waits for in a role: it is offered that only of which one of these tasks at least fits, and
    /// no more once as many have been offered as it waits for. Tasks that start together are offered an [`OfferSet`]. Without a
    /// demand, as in the beginning, it is offered everything.
    fn set_demand(&mut self, framework: &FrameworkId, role: &Role, demand: Option<&[DemandGroup]>);

    /// Sets a role's weight; the role need not be in use.
    fn set_weight(&mut self, role: &Role, weight: Weight);

    /// Sets a role's quota; the role need not be in use. The default quota takes it away.
    ///
    /// # Errors
    /// [`QuotaError`], and nothing changes. With `force`, the cluster may have less than all guarantees together, and the role
    /// more than its limit.
    fn set_quota(&mut self, role: &Role, quota: &Quota, force: bool) -> Result<(), QuotaError>;

    /// How a role's resources are offered from now on; offers that are out stay what they are. Roles below it are not concerned.
    fn set_offer_mode(&mut self, role: &Role, mode: OfferMode);

    /// How a role's resources are offered.
    fn offer_mode(&self, role: &Role) -> OfferMode;

    /// Part of an optimistic offer is accepted: it is allocated from now on, as if it had been offered exclusively.
    ///
    /// # Errors
    /// When not all of it can be had any more; nothing changes then.
    fn claim(&mut self, claim: &Allocation) -> Result<(), ClaimError>;

    /// An optimistic offer, or what was not claimed of it, comes back. `refuse` is as in [`recover`](Self::recover).
    fn withdraw(&mut self, now: Time, offer: &Allocation, refuse: Option<Duration>);

    /// Offers only of agents on these machines; `None`: of all.
    fn set_allow_list(&mut self, hostnames: Option<BTreeSet<String>>);

    /// Nothing is offered until [`resume`](Self::resume).
    fn pause(&mut self);

    /// Offers go on.
    fn resume(&mut self);

    /// Part of an allocation is in other hands than the allocator's: a framework came back with tasks after a failover.
    fn add_allocation(&mut self, allocation: &Allocation);

    /// Resources come back: declined, or freed by a task's end. With `refuse`, the framework is not offered this much (or
    /// less) of this agent for that role for so long.
    fn recover(&mut self, now: Time, allocation: &Allocation, refuse: Option<Duration>);

    /// Allocated resources turn into others of the same amounts (reserve, unreserve), in the agent's total too.
    fn convert(&mut self, allocation: &Allocation, into: &Resources);

    /// Free resources of an agent turn into others of the same amounts (an operator reserves them, say), in the agent's total
    /// too. `false`, and nothing changes, when they are not free.
    fn convert_free(&mut self, agent: &AgentId, from: &Resources, into: &Resources) -> bool;

    /// Hands out what can be handed out at `now`, appending to `offers`. What it hands out for optimistic roles is not
    /// allocated before it is [claimed](Self::claim).
    fn allocate(&mut self, now: Time, offers: &mut Vec<Allocation>);

    /// The sets that have become complete in [`allocate`](Self::allocate), appended to `sets`. They are to be recovered whole, if at
    /// all.
    fn offer_sets(&mut self, sets: &mut Vec<OfferSet>);

    /// When an agent will be away; `None`: it will not.
    fn set_unavailability(&mut self, agent: &AgentId, unavailability: Option<Unavailability>);

    /// Asks those who have something on agents that will be away to leave them, appending to `inverse_offers`. Nobody is asked
    /// twice before it has answered.
    fn inverse_offers(&mut self, now: Time, inverse_offers: &mut Vec<InverseOffer>);

    /// A framework has answered an inverse offer, and is asked again after `refuse`, if it has something there then.
    fn answer_inverse_offer(&mut self, now: Time, framework: &FrameworkId, agent: &AgentId, refuse: Duration);

    /// Notes who has less than what it is entitled to, and says when [`preempt`](Self::preempt) may have something to name if all
    /// stays as it is; `None` when not before something changes. Called after each allocation.
    fn preemption_due(&mut self, now: Time) -> Option<Time>;

    /// Names tasks that are to end so that others find room, out of all that run. The room is kept for those.
    fn preempt(&mut self, now: Time, running: &[RunningTask]) -> Vec<Preemption>;

    /// Whether room that is being made is still waited for. When it is not, nothing need end for it any more.
    fn is_room_awaited(&self, preemption: &Preemption) -> bool;

    /// When [`allocate`](Allocator::allocate) may have something to hand out: at once ([`Time::ZERO`]) after a change, later
    /// when a refusal expires, `None` when only a change can bring anything.
    fn next_deadline(&self) -> Option<Time>;

    /// What another one like this is made with, where that is a [`DrfAllocator`]: what journals record, to be replayed.
    fn drf_options(&self) -> Option<&DrfOptions> {
        None
    }

    /// Every role in use or with a weight of its own, by name; ancestors of roles in use are among them.
    fn shares(&self) -> Vec<RoleShare>;

    /// Why this framework is not offered `wanted` for `role` at `now`. Costs nothing when nobody asks.
    fn explain(&self, now: Time, framework: &FrameworkId, role: &Role, wanted: &Quantities) -> Explanation;

    /// Why a framework, or all, are offered nothing for a role, or all of theirs, at `now`: for each group of tasks that they wait
    /// for; or where they have not said what, for any offer at all. By framework and role.
    fn explain_waiting(
        &self,
        now: Time,
        framework: Option<&FrameworkId>,
        role: Option<&Role>,
    ) -> Vec<Waiting>;
}
