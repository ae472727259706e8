//! Agents that don't answer: pings, agents that can't be reached, and when even those are forgotten.

use std::collections::BTreeSet;
use std::time::Duration;

use rustc_hash::FxHashSet;

use super::machine::{Master, Output, Timer};
use crate::protocol::{AgentId, Reason, SchedulerEvent, TaskState, TaskStatus};
use crate::store::{Change, Key};
use crate::time::Time;

/// So many agents can become unreachable at once; a network that fails on the master's side must not cost it the cluster.
pub const AGENT_REMOVAL_BURST: u32 = 10;

/// After a burst, agents become unreachable one by one at this distance. Agents that answer meanwhile stay.
pub const AGENT_REMOVAL_INTERVAL: Duration = Duration::from_secs(10);

/// An agent that has been unreachable for this long is forgotten. Mesos' default (`registry_max_agent_age`).
pub const UNREACHABLE_AGENT_MAX_AGE: Duration = Duration::from_secs(14 * 24 * 3600);

/// So many unreachable agents are remembered, the latest ones. Mesos' default (`registry_max_agent_count`).
pub const UNREACHABLE_AGENTS_KEPT: usize = 102_400;

/// How many agents may become unreachable now.
#[derive(Debug, Default)]
pub(super) struct RemovalPace {
    /// When all removals so far would have happened at the distance of [`AGENT_REMOVAL_INTERVAL`].
    paid_until: Time,
}

impl RemovalPace {
    /// Takes note of a removal.
    ///
    /// # Errors
    /// When it is too early: the time from which on it is allowed.
    fn take(&mut self, now: Time) -> Result<(), Time> {
        let paid_until = self.paid_until.max(now) + AGENT_REMOVAL_INTERVAL;
        let burst = AGENT_REMOVAL_INTERVAL * AGENT_REMOVAL_BURST;
        if paid_until.since(now) > burst {
            return Err(now + (paid_until.since(now) - burst));
        }
        self.paid_until = paid_until;
        Ok(())
    }
}

/// The unreachable agents by the time since when they are.
#[derive(Debug)]
pub(super) struct UnreachableAgents {
    by_time: BTreeSet<(Time, AgentId)>,
    kept: usize,
}

impl Default for UnreachableAgents {
    fn default() -> Self {
        UnreachableAgents { by_time: BTreeSet::new(), kept: UNREACHABLE_AGENTS_KEPT }
    }
}

impl UnreachableAgents {
    /// Keeps at most so many.
    #[cfg(test)]
    pub(super) fn keep(&mut self, kept: usize) {
        self.kept = kept;
    }

    /// The oldest one, when there is no place for it any more.
    fn overdue(&self, now: Time) -> Option<AgentId> {
        let (since, id) = self.by_time.first()?;
        let is_overdue = self.by_time.len() > self.kept || now >= *since + UNREACHABLE_AGENT_MAX_AGE;
        is_overdue.then(|| id.clone())
    }
}

impl Master {
    /// Asks an agent whether it is there; one that was silent for too long is unreachable.
    pub(super) fn ping_due(&mut self, now: Time, id: &AgentId, out: &mut Vec<Output>) {
        let Some(agent) = self.agents.get_mut(id) else { return };
        if agent.pings_missed >= self.pings.limit.get() {
            if let Err(allowed) = self.removal_pace.take(now) {
                tracing::warn!(agent = %id, "many agents are silent at once; this one is given more time");
                return self.timers.set(Timer::Ping(id.clone()), allowed);
            }
            self.agent_unreachable(now, id, out);
            return self.forget_overdue(now, out);
        }
        agent.pings_missed += 1;
        agent.ping(out);
        self.timers.set(Timer::Ping(id.clone()), now + self.pings.interval.into());
    }

    /// The agent's tasks may still run, but nobody can say; its resources are not offered.
    fn agent_unreachable(&mut self, now: Time, id: &AgentId, out: &mut Vec<Output>) {
        tracing::warn!(agent = %id, "agent is unreachable");
        self.rescind_agent(now, id, out);
        self.allocator.remove_agent(id);
        let Some(agent) = self.agents.get_mut(id) else { return };
        agent.unreachable = Some(now);
        let connection = agent.connection.take();
        agent.doubts.clear();
        let mut tasks: Vec<_> = agent.tasks.iter().cloned().collect();
        tasks.sort();
        self.note_unreachable(now, id);
        self.record_agent(id);
        if let Some(connection) = connection {
            self.refuse(connection, "it did not answer pings", out);
        }
        let mut told = FxHashSet::default();
        for (framework, task) in tasks {
            let status = TaskStatus::new(task, TaskState::Unreachable, now)
                .because(Reason::AgentUnreachable, "its agent does not answer");
            self.master_update(now, &framework, status, out);
            if told.insert(framework.clone()) {
                self.tell(&framework, SchedulerEvent::AgentLost(id.clone()), out);
            }
        }
    }

    /// Forgets the unreachable agents that are too old or too many, with the tasks that they had: nobody knows those any more.
    pub(super) fn forget_overdue(&mut self, now: Time, out: &mut Vec<Output>) {
        while let Some(id) = self.unreachable.overdue(now) {
            tracing::warn!(agent = %id, "an agent that can't be reached is forgotten");
            self.registry.note(Change::Delete(Key::Agent(id.clone())));
            self.cancel_maintenance(now, &id);
            for (framework, task) in self.forget_agent(now, &id, out) {
                let status = TaskStatus::new(task.clone(), TaskState::Unknown, now)
                    .because(Reason::AgentGone, "its agent could not be reached for too long");
                self.master_update(now, &framework, status, out);
                self.forget_task(&framework, &task);
                self.forget_framework_if_ended(&framework);
            }
        }
        self.watch_oldest_unreachable();
    }

    /// Sets the timer for the agent that is to be forgotten next.
    pub(super) fn watch_oldest_unreachable(&mut self) {
        match self.unreachable.by_time.first() {
            Some((since, _)) => self.timers.set(Timer::ForgetUnreachable, *since + UNREACHABLE_AGENT_MAX_AGE),
            None => self.timers.cancel(&Timer::ForgetUnreachable),
        }
    }

    /// The agent is among the unreachable ones from now on.
    pub(super) fn note_unreachable(&mut self, since: Time, id: &AgentId) {
        self.unreachable.by_time.insert((since, id.clone()));
    }

    /// The agent is not among the unreachable ones any more.
    pub(super) fn forget_unreachable(&mut self, since: Time, id: &AgentId) {
        self.unreachable.by_time.remove(&(since, id.clone()));
    }
}
