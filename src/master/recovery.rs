//! A master that starts anew: what it takes from the registry, and why it does not offer anything at first.
//!
//! Agents tell what runs on them when they come back. Until enough of them have, shares are not known, and an offer to a framework
//! that already has more than its share would be unfair; so offers wait.

use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashSet;

use super::agents::Agent;
use super::frameworks::Framework;
use super::machine::{Master, Timer};
use crate::allocator::FrameworkProfile;
use crate::protocol::{AgentId, AgentInfo, FrameworkId, FrameworkInfo, Quota};
use crate::resources::{Resources, Role};
use crate::store::Record;
use crate::time::Time;

/// Offers are made again once this share of the known agents is back, in percent.
pub const RECOVERY_PERCENT: usize = 90;

/// Offers are made again after this time, however many agents are back.
pub const RECOVERY_TIMEOUT: Duration = Duration::from_secs(60);

/// A framework that the registry knows has at least this long to come back to a master that starts anew.
pub const RECOVERED_FRAMEWORK_GRACE: Duration = Duration::from_secs(60);

/// The agents that are not back yet.
#[derive(Debug)]
pub(super) struct Recovery {
    awaited: FxHashSet<AgentId>,
    /// So many may be missing.
    tolerated: usize,
}

impl Master {
    /// A master with a store that holds these records. It hands out changes as [`Output::Store`](super::Output::Store).
    #[must_use]
    pub fn with_registry(mut self, now: Time, records: Vec<Record>) -> Self {
        self.registry.keep();
        let mut awaited = FxHashSet::default();
        for record in records {
            match record {
                Record::Agent { id, info, resources, unreachable } => {
                    if unreachable.is_none() {
                        awaited.insert(id.clone());
                    }
                    self.recover_agent(now, id, info, resources, unreachable);
                }
                Record::Framework { id, info, ending } => self.recover_framework(now, id, info, ending),
                Record::Weight { role, weight } => self.allocator.set_weight(&role, weight),
                Record::Quota { role, quota } => self.recover_quota(&role, &quota),
                Record::OfferMode { role, mode } => self.allocator.set_offer_mode(&role, mode),
                Record::Maintenance { agent, unavailability } => {
                    self.plan_maintenance(now, agent, unavailability);
                }
                Record::Rules { rules } => self.rules = Arc::new(rules),
                Record::Gone { agent, since } => self.gone.restore(agent, since),
                Record::AllowList { hostnames } => self.allow_only(Some(hostnames)),
                // For those who let newcomers in.
                Record::Authority { .. } | Record::Token { .. } | Record::Issued { .. } => {}
            }
        }
        self.watch_oldest_unreachable();
        if !awaited.is_empty() {
            tracing::info!(agents = awaited.len(), "waiting for the agents that the registry knows");
            let tolerated = awaited.len() * (100 - RECOVERY_PERCENT) / 100;
            self.recovery = Some(Recovery { awaited, tolerated });
            self.timers.set(Timer::Recovery, now + RECOVERY_TIMEOUT);
        }
        self
    }

    fn recover_agent(
        &mut self,
        now: Time,
        id: AgentId,
        info: AgentInfo,
        resources: Resources,
        unreachable: Option<Time>,
    ) {
        let introduced = info.resources.clone();
        let agent = Agent { introduced, unreachable, ..Agent::new(AgentInfo { resources, ..info }) };
        self.agents.insert(id.clone(), agent);
        match unreachable {
            Some(since) => self.note_unreachable(since, &id),
            None => self.timers.set(Timer::Ping(id), now + self.pings.interval.into()),
        }
    }

    fn recover_framework(&mut self, now: Time, id: FrameworkId, info: FrameworkInfo, ending: bool) {
        self.allocator.add_framework(&id, &FrameworkProfile::of(&info));
        self.allocator.set_framework_active(&id, false);
        let grace = info.failover_timeout.max(RECOVERED_FRAMEWORK_GRACE);
        self.timers.set(Timer::Failover(id.clone()), now + grace);
        self.frameworks.insert(id, Framework { ending, ..Framework::new(info) });
    }

    fn recover_quota(&mut self, role: &Role, quota: &Quota) {
        // It was good once; since then the cluster may have become smaller.
        if let Err(error) = self.allocator.set_quota(role, quota, true) {
            tracing::error!(%role, %error, "the registry has a quota that can't be kept");
        }
    }

    pub(super) fn is_recovering(&self) -> bool {
        self.recovery.is_some()
    }

    /// An agent has registered.
    pub(super) fn agent_is_back(&mut self, id: &AgentId) {
        let Some(recovery) = &mut self.recovery else { return };
        recovery.awaited.remove(id);
        if recovery.awaited.len() <= recovery.tolerated {
            self.end_recovery();
        }
    }

    /// Offers are made from now on.
    pub(super) fn end_recovery(&mut self) {
        let Some(recovery) = self.recovery.take() else { return };
        tracing::info!(missing = recovery.awaited.len(), "offers are made again");
        self.timers.cancel(&Timer::Recovery);
        let ending: Vec<FrameworkId> =
            self.frameworks.iter().filter(|(_, f)| f.ending).map(|(id, _)| id.clone()).collect();
        for id in ending {
            self.forget_framework_if_ended(&id);
        }
    }
}
