//! Why a framework is not offered something now.

use super::drf::DrfAllocator;
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
        let slot = self.framework_slot(framework);
        match slot.map(|slot| &self.frameworks[slot]) {
            None => obstacles.push(Obstacle::Disconnected),
            Some(framework) if !framework.active => obstacles.push(Obstacle::Disconnected),
            Some(framework) => {
                if framework.roles.iter().any(|entry| entry.role == *role && entry.suppressed) {
                    obstacles.push(Obstacle::Suppressed);
                }
            }
        }
        let agents = || self.agents.iter().enumerate().filter(|(_, agent)| !agent.gone && agent.active);
        if agents().next().is_none() {
            obstacles.push(Obstacle::NoAgents);
        }
        obstacles.extend(self.too_small(role, wanted));
        if let Some(slot) = slot
            && let Some(entry) = self.frameworks[slot].roles.iter().find(|entry| entry.role == *role)
        {
            let refused: Vec<Time> = agents()
                .filter(|(_, agent)| agent.available.allocatable_to(role).quantities().contains(wanted))
                .filter_map(|(place, _)| self.filters.until((slot, entry.node, place)))
                .filter(|until| *until > now)
                .collect();
            if let Some(until) = refused.iter().min() {
                obstacles.push(Obstacle::Refused { agents: refused.len(), until: *until });
            }
        }
        if let Some((rank, roles)) = self.tree.rank(role, &self.total).filter(|(rank, _)| *rank > 1) {
            obstacles.push(Obstacle::BelowFairShare { rank, roles });
        }
        Explanation { task: None, wants: Some((role.clone(), wanted.clone())), obstacles }
    }

    /// Agents that lack something, now or even when they are empty.
    fn too_small(&self, role: &Role, wanted: &Quantities) -> Option<Obstacle> {
        let mut now_short = 0;
        let mut closest: Option<Quantities> = None;
        let mut closest_when_empty: Option<Quantities> = None;
        let mut fits_when_empty = false;
        for agent in self.agents.iter().filter(|agent| !agent.gone && agent.active) {
            let whole = agent.total.allocatable_to(role).quantities();
            if whole.contains(wanted) {
                fits_when_empty = true;
            } else {
                keep_smaller(&mut closest_when_empty, wanted.minus_clamped(&whole));
            }
            let free = agent.available.allocatable_to(role).quantities();
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
