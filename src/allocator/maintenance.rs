//! Maintenance: agents that will be away, and frameworks asked to leave them.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;

use super::DrfAllocator;
use super::agents::{Agent, AgentSlot};
use super::demand::Site;
use super::frameworks::FrameworkSlot;
use crate::protocol::{AgentId, FrameworkId, Unavailability};
use crate::time::Time;

/// A framework is asked to give back all that it has on an agent, since that will be away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InverseOffer {
    /// Who is asked.
    pub framework: FrameworkId,
    /// Where.
    pub agent: AgentId,
    /// When the agent will be away.
    pub unavailability: Unavailability,
}

/// Who was asked to leave which agent.
#[derive(Debug, Default)]
pub(super) struct Maintenance {
    windows: BTreeMap<AgentSlot, Window>,
    /// When which agent is back.
    ends: BTreeSet<(Time, AgentSlot)>,
}

#[derive(Debug)]
struct Window {
    unavailability: Unavailability,
    /// Who was asked, and until when it is not asked again; `None`: it has not answered yet.
    asked: FxHashMap<FrameworkSlot, Option<Time>>,
}

impl Maintenance {
    /// What of an agent decides about tasks, beside its resources.
    pub(super) fn site<'a>(&self, now: Time, slot: AgentSlot, agent: &'a Agent) -> Site<'a> {
        let window = self.windows.get(&slot).filter(|window| !window.unavailability.is_over(now));
        let time_left = window.map(|window| window.unavailability.start.since(now));
        Site { profile: &agent.profile, time_left }
    }

    /// From when on an agent will be away, or is.
    pub(super) fn start(&self, agent: AgentSlot) -> Option<Time> {
        Some(self.windows.get(&agent)?.unavailability.start)
    }

    /// Sets when an agent will be away; whoever was asked about another window is asked anew.
    pub(super) fn set(&mut self, agent: AgentSlot, unavailability: Option<Unavailability>) {
        if let Some(end) = self.windows.remove(&agent).and_then(|before| before.unavailability.end()) {
            self.ends.remove(&(end, agent));
        }
        if let Some(unavailability) = unavailability {
            self.windows.insert(agent, Window { unavailability, asked: FxHashMap::default() });
            self.ends.extend(unavailability.end().map(|end| (end, agent)));
        }
    }

    /// When the first agent is back.
    pub(super) fn next_end(&self) -> Option<Time> {
        self.ends.first().map(|(end, _)| *end)
    }

    /// Forgets what is over, and calls `freed` with the agents that are back.
    pub(super) fn expire(&mut self, now: Time, mut freed: impl FnMut(AgentSlot)) {
        while let Some((_, agent)) = self.ends.first().copied().filter(|(end, _)| *end <= now) {
            self.set(agent, None);
            freed(agent);
        }
    }

    /// A framework is gone: its slot may become another's.
    pub(super) fn forget(&mut self, framework: FrameworkSlot) {
        for window in self.windows.values_mut() {
            window.asked.remove(&framework);
        }
    }

    /// A framework has answered; it is asked again after this time.
    pub(super) fn answered(&mut self, agent: AgentSlot, framework: FrameworkSlot, until: Time) {
        if let Some(window) = self.windows.get_mut(&agent) {
            window.asked.insert(framework, Some(until));
        }
    }
}

impl DrfAllocator {
    /// Asks every framework that has something on an agent that will be away, unless it was asked already.
    pub(super) fn ask_to_leave(&mut self, now: Time, inverse_offers: &mut Vec<InverseOffer>) {
        for (slot, window) in &mut self.maintenance.windows {
            let Some(agent) = self.agents.get(*slot) else { continue };
            let mut holders: Vec<FrameworkSlot> = agent
                .allocated()
                .iter()
                .filter_map(|(leaf, _)| Some(self.tree.member(*leaf)?.slot))
                .filter(|framework| match window.asked.get(framework) {
                    None => true,
                    Some(until) => until.is_some_and(|until| until <= now),
                })
                .collect();
            holders.sort_unstable();
            holders.dedup();
            for framework in holders {
                let Some(holder) = self.frameworks.get(framework).filter(|holder| holder.active) else {
                    continue;
                };
                window.asked.insert(framework, None);
                inverse_offers.push(InverseOffer {
                    framework: holder.id.clone(),
                    agent: agent.id.clone(),
                    unavailability: window.unavailability,
                });
            }
        }
    }
}
