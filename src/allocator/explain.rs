//! Why a framework is not offered something now.

use super::DrfAllocator;
use super::agents::{Agent, AgentSlot};
use super::cycle::visible;
use super::demand::Demand;
use super::frameworks::Membership;
use super::tree::Member;
use crate::protocol::{Explanation, FrameworkId, Obstacle};
use crate::resources::{Kind, Quantities, Role, Scalar};
use crate::time::Time;

/// What stands in the way on one agent: the first that applies.
enum Reason {
    NotAllowed,
    Incapable,
    Constraint,
    /// Too small even when empty; what is lacking then.
    TooSmall(Quantities),
    ReservedToOthers,
    /// Too little is free; what is lacking.
    Insufficient(Quantities),
    Refused(Time),
}

/// How many agents have which reason.
#[derive(Default)]
struct Tally {
    agents: usize,
    not_allowed: usize,
    incapable: usize,
    constrained: usize,
    too_small: Lacking,
    reserved: usize,
    insufficient: Lacking,
    refused: usize,
    refused_until: Option<Time>,
}

/// Agents that lack something, and what the closest one lacks.
#[derive(Default)]
struct Lacking {
    agents: usize,
    closest: Option<Quantities>,
}

impl DrfAllocator {
    pub(super) fn why_not(
        &self,
        now: Time,
        framework: &FrameworkId,
        role: &Role,
        wanted: &Quantities,
    ) -> Explanation {
        let wants = Some((role.clone(), wanted.clone()));
        let mut obstacles = Vec::new();
        if self.paused {
            obstacles.push(Obstacle::Paused);
        }
        let framework = self.frameworks.find(framework);
        if !framework.is_some_and(|framework| framework.active) {
            obstacles.push(Obstacle::Disconnected);
        }
        let membership = framework.and_then(|framework| framework.membership(role));
        let Some((membership, member)) = membership
            .filter(|membership| !membership.left)
            .and_then(|membership| Some((membership, self.tree.member(membership.leaf)?)))
        else {
            if framework.is_some() {
                obstacles.push(Obstacle::NotInRole);
            }
            return Explanation { task: None, wants, obstacles };
        };
        if membership.suppressed {
            obstacles.push(Obstacle::Suppressed);
        }
        if member.demand.as_ref().is_some_and(Demand::is_met) {
            obstacles.push(Obstacle::DemandMet);
        }
        obstacles.extend(self.quota_obstacle(membership, wanted));
        let mut tally = Tally::default();
        for (slot, agent) in self.agents.iter().filter(|(_, agent)| agent.active) {
            tally.agents += 1;
            if let Some(reason) = self.reason(now, slot, agent, membership, member, wanted) {
                tally.note(reason);
            }
        }
        tally.tell(&mut obstacles);
        if let Some((rank, roles)) = self.tree.rank(role, &self.share_total()).filter(|(rank, _)| *rank > 1) {
            obstacles.push(Obstacle::BelowFairShare { rank, roles });
        }
        Explanation { task: None, wants, obstacles }
    }

    /// Whether a limit, or other roles' guarantees, leave too little.
    fn quota_obstacle(&self, membership: &Membership, wanted: &Quantities) -> Option<Obstacle> {
        let mut charged = wanted.clone();
        charged.set(&Kind::Ports, Scalar::ZERO);
        if let Some((role, exceeding)) = self.tree.exceeded(membership.leaf, &charged) {
            return Some(Obstacle::QuotaLimit { role: role.clone(), exceeding });
        }
        if self.tree.kept_back().is_empty() || self.tree.lacking(membership.leaf).contains(&charged) {
            return None;
        }
        let lacking = charged.minus_clamped(&self.surplus());
        (!lacking.is_empty()).then_some(Obstacle::KeptBack { lacking })
    }

    fn reason(
        &self,
        now: Time,
        slot: AgentSlot,
        agent: &Agent,
        membership: &Membership,
        member: &Member,
        wanted: &Quantities,
    ) -> Option<Reason> {
        if !agent.allowed {
            return Some(Reason::NotAllowed);
        }
        if !member.capabilities.contain(agent.needed) {
            return Some(Reason::Incapable);
        }
        if !member.constraints.as_ref().is_none_or(|constraints| constraints.allow(&agent.profile)) {
            return Some(Reason::Constraint);
        }
        let total = agent.total();
        let whole = total.resources.allocatable_to(&membership.role).quantities();
        if !whole.contains(wanted) {
            let with_reserved = total.quantities.contains(wanted);
            let too_small = || Reason::TooSmall(wanted.minus_clamped(&whole));
            return Some(if with_reserved { Reason::ReservedToOthers } else { too_small() });
        }
        let free = visible(agent.available(), member, None);
        let amounts = free.quantities();
        if !amounts.contains(wanted) {
            return Some(Reason::Insufficient(wanted.minus_clamped(&amounts)));
        }
        let hidden = self.filters.hidden_until(slot, membership.leaf, &free);
        hidden.filter(|until| *until > now).map(Reason::Refused)
    }
}

impl Tally {
    fn note(&mut self, reason: Reason) {
        match reason {
            Reason::NotAllowed => self.not_allowed += 1,
            Reason::Incapable => self.incapable += 1,
            Reason::Constraint => self.constrained += 1,
            Reason::TooSmall(lacking) => self.too_small.note(lacking),
            Reason::ReservedToOthers => self.reserved += 1,
            Reason::Insufficient(lacking) => self.insufficient.note(lacking),
            Reason::Refused(until) => {
                self.refused += 1;
                self.refused_until = Some(self.refused_until.map_or(until, |first| first.min(until)));
            }
        }
    }

    fn tell(self, obstacles: &mut Vec<Obstacle>) {
        if self.agents == 0 {
            obstacles.push(Obstacle::NoAgents);
        }
        let is_too_large = self.too_small.agents > 0 && self.too_small.agents == self.agents;
        if is_too_large && let Some(lacking) = self.too_small.closest {
            obstacles.push(Obstacle::LargerThanAnyAgent { lacking });
            return;
        }
        // Too small now or always: for whoever waits that is the same while others are large enough.
        let agents = self.insufficient.agents + self.too_small.agents;
        if let Some(lacking) = self.insufficient.closest.or(self.too_small.closest) {
            obstacles.push(Obstacle::Insufficient { agents, lacking });
        }
        if let Some(until) = self.refused_until {
            obstacles.push(Obstacle::Refused { agents: self.refused, until });
        }
        for (agents, obstacle) in [
            (self.reserved, Obstacle::ReservedToOthers { agents: self.reserved }),
            (self.incapable, Obstacle::Incapable { agents: self.incapable }),
            (self.not_allowed, Obstacle::NotAllowed { agents: self.not_allowed }),
        ] {
            if agents > 0 {
                obstacles.push(obstacle);
            }
        }
        if self.constrained > 0 {
            let name = "the framework's offer constraints".to_owned();
            obstacles.push(Obstacle::Constraint { name, agents: self.constrained });
        }
    }
}

impl Lacking {
    /// Keeps what lacks less: fewer kinds, then the smaller sum.
    fn note(&mut self, lacking: Quantities) {
        self.agents += 1;
        let size = |quantities: &Quantities| {
            (quantities.iter().count(), quantities.iter().map(|(_, amount)| amount.milli()).sum::<i64>())
        };
        if self.closest.as_ref().is_none_or(|closest| size(&lacking) < size(closest)) {
            self.closest = Some(lacking);
        }
    }
}
