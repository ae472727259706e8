//! Why a framework is not offered something now.

use std::time::Duration;

use super::DrfAllocator;
use super::agents::{Agent, AgentSlot};
use super::cycle::visible;
use super::demand::Demand;
use super::frameworks::{Framework, Membership};
use super::gangs::Scope;
use super::tree::{Leaf, Member};
use crate::protocol::{DemandGroup, Explanation, FrameworkId, Obstacle, Waiting};
use crate::resources::{Kind, Quantities, Role, Scalar};
use crate::time::Time;

/// What stands in the way on one agent: the first that applies.
enum Reason {
    NotAllowed,
    Incapable,
    /// The framework's, or the tasks' own.
    Constraint(&'static str),
    /// It will be away in so long.
    AwayTooSoon(Duration),
    /// Too small even when empty; what is lacking then.
    TooSmall(Quantities),
    ReservedToOthers,
    /// Too little is free; what is lacking.
    Insufficient(Quantities),
    BelowMinimum,
    NotWaitedFor,
    Refused(Time),
}

const OFFER_CONSTRAINTS: &str = "the framework's offer constraints";

const TASK_CONSTRAINTS: &str = "where the tasks can run";

/// How many agents have which reason.
#[derive(Default)]
struct Tally {
    agents: usize,
    absent: usize,
    not_allowed: usize,
    incapable: usize,
    constrained: usize,
    unsuitable: usize,
    away_too_soon: usize,
    /// How long the last of those stays.
    left: Duration,
    too_small: Lacking,
    reserved: usize,
    insufficient: Lacking,
    below_minimum: usize,
    not_waited_for: usize,
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
        let group = member.demand.as_ref().and_then(|demand| demand.group_of(wanted));
        let mut tally = Tally::default();
        for (slot, agent) in self.agents.iter() {
            tally.agents += 1;
            if !agent.active {
                tally.absent += 1;
            } else if let Some(reason) = self.reason(now, slot, agent, membership, member, wanted) {
                tally.note(reason);
            }
        }
        tally.tell(&mut obstacles);
        if let Some((group, size)) = group.filter(|(_, lacking)| *lacking > 0) {
            obstacles.push(self.gang_obstacle(now, membership.leaf, group, size));
        }
        if let Some(preempts_at) = self.preemption_of(role, membership.leaf) {
            obstacles.push(Obstacle::Deprived { preempts_at });
        }
        if let Some((rank, roles)) = self.tree.rank(role, &self.share_total()).filter(|(rank, _)| *rank > 1) {
            obstacles.push(Obstacle::BelowFairShare { rank, roles });
        }
        Explanation { task: None, wants, obstacles }
    }

    pub(super) fn why_waiting(
        &self,
        now: Time,
        framework: Option<&FrameworkId>,
        role: Option<&Role>,
    ) -> Vec<Waiting> {
        let is_asked_for = |(waiting, membership): &(&Framework, &Membership)| {
            !membership.left
                && framework.is_none_or(|framework| waiting.id == *framework)
                && role.is_none_or(|role| membership.role == *role)
        };
        let mut asked_for: Vec<_> = self.frameworks.memberships().filter(is_asked_for).collect();
        asked_for.sort_by_key(|(framework, membership)| (&framework.id, &membership.role));
        let mut waiting = Vec::new();
        for (Framework { id, .. }, Membership { role, leaf, .. }) in asked_for {
            let demand = self.tree.member(*leaf).and_then(|member| member.demand.as_ref());
            let groups: Vec<Option<&DemandGroup>> = match demand {
                Some(demand) => demand.open_groups().map(Some).collect(),
                None => vec![None],
            };
            for group in groups {
                let anything = Quantities::new();
                let wanted = group.map_or(&anything, |group| &group.shape);
                let explanation = self.why_not(now, id, role, wanted);
                let (framework, role, group) = (id.clone(), role.clone(), group.cloned());
                waiting.push(Waiting { framework, role, group, explanation });
            }
        }
        waiting
    }

    /// What keeps tasks from starting together.
    fn gang_obstacle(&self, now: Time, leaf: Leaf, group: &DemandGroup, size: u32) -> Obstacle {
        let (_, missing) = self.search_most(now, leaf, group, size, Scope::Whole);
        if missing > 0 {
            return Obstacle::GangTooLarge { size, most: size - missing };
        }
        if let Some(holder) = self.gangs.holder_at(leaf).filter(|holder| holder.group.is_alike(group)) {
            return Obstacle::GangGathers { size, gathered: holder.gathered(), until: holder.until };
        }
        let (_, missing) = self.search_most(now, leaf, group, size, Scope::Free);
        let gathers = usize::from(self.gangs.holder().is_some());
        let mut waiting = self.leaves_with_gangs();
        waiting.retain(|other| {
            self.gangs.holder_at(*other).is_none() && self.gangs.rests_until(*other).is_none()
        });
        let before = waiting.iter().position(|other| *other == leaf).unwrap_or(waiting.len()) + gathers;
        let rests_until = self.gangs.rests_until(leaf).filter(|until| *until > now);
        Obstacle::GangWaits { size, room: size - missing, before, rests_until }
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
        let lacking = charged.minus_clamped(&self.surplus(membership.leaf));
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
        if !member.is_open_to(agent) {
            return Some(Reason::Constraint(OFFER_CONSTRAINTS));
        }
        let site = self.maintenance.site(now, slot, agent);
        if let Some((group, _)) = member.demand.as_ref().and_then(|demand| demand.group_of(wanted)) {
            if !group.can_use(site.profile, None) {
                return Some(Reason::Constraint(TASK_CONSTRAINTS));
            }
            if !group.can_use(site.profile, site.time_left) {
                return site.time_left.map(Reason::AwayTooSoon);
            }
        }
        let total = agent.total();
        let whole = total.resources.allocatable_to(&membership.role).quantities();
        if !whole.contains(wanted) {
            let with_reserved = total.quantities.contains(wanted);
            let too_small = || Reason::TooSmall(wanted.minus_clamped(&whole));
            return Some(if with_reserved { Reason::ReservedToOthers } else { too_small() });
        }
        let free = visible(agent.available(), member, None);
        let free = self.without_earmarked(slot, membership.leaf, free);
        let amounts = free.quantities();
        if !amounts.contains(wanted) {
            return Some(Reason::Insufficient(wanted.minus_clamped(&amounts)));
        }
        let hidden = self.filters.hidden_until(slot, membership.leaf, &free).filter(|until| *until > now);
        if let Some(until) = hidden {
            return Some(Reason::Refused(until));
        }
        // What is gathered for a gang is no offer by itself.
        let demand =
            member.demand.as_ref().filter(|demand| demand.gangs().all(|(_, gang, _)| gang.shape != *wanted));
        if demand.is_some_and(|demand| !demand.is_met() && !demand.is_served_by(&amounts, site)) {
            return Some(Reason::NotWaitedFor);
        }
        (!self.is_enough(member, &amounts)).then_some(Reason::BelowMinimum)
    }
}

impl Tally {
    fn note(&mut self, reason: Reason) {
        match reason {
            Reason::NotAllowed => self.not_allowed += 1,
            Reason::Incapable => self.incapable += 1,
            Reason::Constraint(TASK_CONSTRAINTS) => self.unsuitable += 1,
            Reason::Constraint(_) => self.constrained += 1,
            Reason::AwayTooSoon(left) => {
                self.away_too_soon += 1;
                self.left = self.left.max(left);
            }
            Reason::BelowMinimum => self.below_minimum += 1,
            Reason::NotWaitedFor => self.not_waited_for += 1,
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
        let is_too_large = self.too_small.agents > 0 && self.too_small.agents == self.agents - self.absent;
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
        let (absent, left) = (self.absent, self.left);
        let [away_too_soon, below_minimum, not_waited_for] =
            [self.away_too_soon, self.below_minimum, self.not_waited_for];
        for (agents, obstacle) in [
            (absent, Obstacle::Absent { agents: absent }),
            (away_too_soon, Obstacle::AwayTooSoon { agents: away_too_soon, left }),
            (below_minimum, Obstacle::BelowMinimum { agents: below_minimum }),
            (not_waited_for, Obstacle::NotWaitedFor { agents: not_waited_for }),
            (self.reserved, Obstacle::ReservedToOthers { agents: self.reserved }),
            (self.incapable, Obstacle::Incapable { agents: self.incapable }),
            (self.not_allowed, Obstacle::NotAllowed { agents: self.not_allowed }),
        ] {
            if agents > 0 {
                obstacles.push(obstacle);
            }
        }
        for (agents, name) in [(self.constrained, OFFER_CONSTRAINTS), (self.unsuitable, TASK_CONSTRAINTS)] {
            if agents > 0 {
                obstacles.push(Obstacle::Constraint { name: name.to_owned(), agents });
            }
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
