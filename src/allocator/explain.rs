//! Why a framework is not offered something now.

use super::DrfAllocator;
use super::agents::Agent;
use super::cycle::visible;
use super::frameworks::Membership;
use crate::protocol::{Explanation, FrameworkId, Obstacle};
use crate::resources::{Quantities, Role};
use crate::time::Time;

impl DrfAllocator {
    pub(super) fn why_not(
        &self,
        now: Time,
        framework: &FrameworkId,
        role: &Role,
        wanted: &Quantities,
    ) -> Explanation {
        let mut obstacles = Vec::new();
        let framework = self.frameworks.find(framework);
        let membership = framework.and_then(|framework| framework.membership(role));
        if !framework.is_some_and(|framework| framework.active) {
            obstacles.push(Obstacle::Disconnected);
        }
        if membership.is_some_and(|membership| membership.suppressed) {
            obstacles.push(Obstacle::Suppressed);
        }
        if !self.agents.iter().any(|(_, agent)| agent.active) {
            obstacles.push(Obstacle::NoAgents);
        }
        obstacles.extend(self.too_small(role, wanted));
        obstacles.extend(membership.and_then(|membership| self.refused(now, membership, wanted)));
        if let Some((rank, roles)) = self.tree.rank(role, &self.share_total()).filter(|(rank, _)| *rank > 1) {
            obstacles.push(Obstacle::BelowFairShare { rank, roles });
        }
        Explanation { task: None, wants: Some((role.clone(), wanted.clone())), obstacles }
    }

    /// Agents that have enough, but of which the framework refused this much lately.
    fn refused(&self, now: Time, membership: &Membership, wanted: &Quantities) -> Option<Obstacle> {
        let hidden = |(slot, agent): (_, &Agent)| {
            let offered = visible(agent, self.tree.member(membership.leaf)?, None);
            let enough = agent.active && offered.quantities().contains(wanted);
            enough
                .then(|| self.filters.hidden_until(slot, membership.leaf, &offered))?
                .filter(|until| *until > now)
        };
        let refused: Vec<Time> = self.agents.iter().filter_map(hidden).collect();
        let until = *refused.iter().min()?;
        Some(Obstacle::Refused { agents: refused.len(), until })
    }

    /// Agents that lack something, now or even when they are empty.
    fn too_small(&self, role: &Role, wanted: &Quantities) -> Option<Obstacle> {
        let mut now_short = 0;
        let mut closest: Option<Quantities> = None;
        let mut closest_when_empty: Option<Quantities> = None;
        let mut fits_when_empty = false;
        for (_, agent) in self.agents.iter().filter(|(_, agent)| agent.active) {
            let whole = agent.total().resources.allocatable_to(role).quantities();
            if whole.contains(wanted) {
                fits_when_empty = true;
            } else {
                keep_smaller(&mut closest_when_empty, wanted.minus_clamped(&whole));
            }
            let free = agent.available().resources.allocatable_to(role).quantities();
            if !free.contains(wanted) {
                now_short += 1;
                keep_smaller(&mut closest, wanted.minus_clamped(&free));
            }
        }
        if !fits_when_empty && let Some(lacking) = closest_when_empty {
            return Some(Obstacle::LargerThanAnyAgent { lacking });
        }
        closest.map(|lacking| Obstacle::Insufficient { agents: now_short, lacking })
    }
}

/// Keeps what lacks less: fewer kinds, then the smaller sum.
fn keep_smaller(best: &mut Option<Quantities>, lacking: Quantities) {
    let size = |quantities: &Quantities| {
        (quantities.iter().count(), quantities.iter().map(|(_, amount)| amount.milli()).sum::<i64>())
    };
    if best.as_ref().is_none_or(|best| size(&lacking) < size(best)) {
        *best = Some(lacking);
    }
}
