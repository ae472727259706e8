//! Maintenance: agents that will be away, and frameworks that are asked to leave them.
//!
//! From the moment that a window is known, offers of its agent tell of it and frameworks with something there are asked to leave. While it
//! lasts nothing of the agent is offered. What still runs there goes on for as long as the machine does.

use std::collections::BTreeMap;

use super::machine::{Master, Output, Timer};
use crate::allocator::InverseOffer;
use crate::protocol::{AgentId, FrameworkId, InverseOfferInfo, SchedulerEvent, Unavailability};
use crate::store::{Change, Key, Record};
use crate::time::Time;

/// When agents will be away. Agents that are not connected can be among them.
#[derive(Debug, Default)]
pub(super) struct Maintenance {
    windows: BTreeMap<AgentId, Window>,
    /// Reused between allocations.
    scratch: Vec<InverseOffer>,
}

#[derive(Debug)]
pub(super) struct Window {
    pub(super) unavailability: Unavailability,
    /// Who will have left by then, and who will not.
    pub(super) answers: BTreeMap<FrameworkId, bool>,
}

impl Maintenance {
    /// When an agent will be away, and what frameworks said to that.
    pub(super) fn window(&self, agent: &AgentId) -> Option<&Window> {
        self.windows.get(agent)
    }

    /// When an agent will be away.
    pub(super) fn unavailability(&self, agent: &AgentId) -> Option<Unavailability> {
        self.window(agent).map(|window| window.unavailability)
    }

    /// Whether an agent is away now.
    fn is_away(&self, agent: &AgentId, now: Time) -> bool {
        self.unavailability(agent).is_some_and(|window| window.covers(now))
    }
}

impl Master {
    /// Sets when an agent will be away; `None`: it will not.
    pub(super) fn set_maintenance(
        &mut self,
        now: Time,
        agent: AgentId,
        unavailability: Option<Unavailability>,
        out: &mut Vec<Output>,
    ) -> Result<(), String> {
        if !self.agents.contains_key(&agent) {
            return Err(format!("there is no agent {agent}"));
        }
        if unavailability.is_some_and(|window| window.is_over(now)) {
            return Err("the time of maintenance has passed".to_owned());
        }
        // Offers that are out do not tell of it.
        self.rescind_agent(now, &agent, out);
        match unavailability {
            Some(unavailability) => {
                let record = Record::Maintenance { agent: agent.clone(), unavailability };
                self.registry.note(Change::Put(record));
                self.plan_maintenance(now, agent, unavailability);
            }
            None => self.cancel_maintenance(now, &agent),
        }
        Ok(())
    }

    /// Takes note of a window.
    pub(super) fn plan_maintenance(&mut self, now: Time, agent: AgentId, unavailability: Unavailability) {
        let window = Window { unavailability, answers: BTreeMap::new() };
        self.maintenance.windows.insert(agent.clone(), window);
        self.heed_maintenance(now, &agent);
    }

    /// No window any more.
    pub(super) fn cancel_maintenance(&mut self, now: Time, agent: &AgentId) {
        if self.maintenance.windows.remove(agent).is_some() {
            self.registry.note(Change::Delete(Key::Maintenance(agent.clone())));
            self.heed_maintenance(now, agent);
        }
    }

    /// A window begins or ends.
    pub(super) fn maintenance_due(&mut self, now: Time, agent: &AgentId, out: &mut Vec<Output>) {
        if self.maintenance.unavailability(agent).is_some_and(|window| window.is_over(now)) {
            self.cancel_maintenance(now, agent);
        } else {
            self.rescind_agent(now, agent, out);
            self.heed_maintenance(now, agent);
        }
    }

    /// Has the allocator know of an agent's window, and sets the timer for what comes next of it.
    pub(super) fn heed_maintenance(&mut self, now: Time, id: &AgentId) {
        let unavailability = self.maintenance.unavailability(id);
        let timer = Timer::Maintenance(id.clone());
        let next = unavailability
            .and_then(|window| if now < window.start { Some(window.start) } else { window.end() });
        match next {
            Some(at) => self.timers.set(timer, at),
            None => self.timers.cancel(&timer),
        }
        if let Some(agent) = self.agents.get(id).filter(|agent| agent.unreachable.is_none()) {
            let is_active = agent.connection.is_some() && !self.maintenance.is_away(id, now);
            self.allocator.set_unavailability(id, unavailability);
            self.allocator.set_agent_active(id, is_active);
        }
    }

    /// Asks frameworks to leave agents that will be away.
    pub(super) fn make_inverse_offers(&mut self, now: Time, out: &mut Vec<Output>) {
        let mut asked = std::mem::take(&mut self.maintenance.scratch);
        self.allocator.inverse_offers(now, &mut asked);
        for InverseOffer { framework, agent, unavailability } in asked.drain(..) {
            let offer = InverseOfferInfo { agent, unavailability };
            self.tell(&framework, SchedulerEvent::InverseOffers(vec![offer]), out);
        }
        self.maintenance.scratch = asked;
    }

    /// A framework says whether it will have left an agent.
    pub(super) fn note_answer(&mut self, framework: &FrameworkId, agent: &AgentId, accepts: bool) {
        if let Some(window) = self.maintenance.windows.get_mut(agent) {
            window.answers.insert(framework.clone(), accepts);
        }
    }
}
