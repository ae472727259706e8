//! Tasks that nobody knows, and of which an agent has to show that it does not have them.
//!
//! An agent holds what its last registration told, and what this master has launched there since. But the connection that it seems to
//! have may be a dead one: it may be with a deposed master again, that does not know yet that it is, and run what that launches. So
//! "it does not have the task" is said only when the agent has answered a ping that was sent after somebody asked.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::agents::Agent;
use super::machine::{Master, Output};
use crate::protocol::{AgentEvent, AgentId, FrameworkId, SchedulerEvent, TaskId};
use crate::time::Time;

/// So many tasks of an agent are in doubt at a time; of others a framework asks again.
const MOST: usize = 10_000;

/// Of one registration of an agent: its answers come in the order of the pings.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    pings: u64,
    answers: u64,
    /// The ping whose answer shows that the agent does not have it: the first that was sent after somebody asked, or who asks often
    /// would never be answered.
    tasks: BTreeMap<(FrameworkId, TaskId), u64>,
}

impl Doubts {
    fn add(&mut self, framework: &FrameworkId, task: TaskId, ping: u64) {
        if self.tasks.len() < MOST {
            self.tasks.entry((framework.clone(), task)).or_insert(ping);
        }
    }

    /// An answer has come; returns the tasks that are in doubt no more.
    fn answered(&mut self) -> Vec<(FrameworkId, TaskId)> {
        // No answer counts for a ping that is still to come.
        self.answers = (self.answers + 1).min(self.pings);
        let answers = self.answers;
        self.tasks.extract_if(.., |_, ping| *ping <= answers).map(|(task, _)| task).collect()
    }

    /// There is no connection any more on which an answer could come.
    pub(super) fn clear(&mut self) {
        *self = Doubts::default();
    }
}

impl Agent {
    /// Has it show that it is there, if it is connected; returns the ping's number.
    pub(super) fn ping(&mut self, out: &mut Vec<Output>) -> Option<u64> {
        let connection = self.connection?;
        out.push(Output::ToAgent { connection, event: AgentEvent::Ping });
        self.doubts.pings += 1;
        Some(self.doubts.pings)
    }
}

impl Master {
    /// Has an agent show that it does not have a task. Returns whether it is asked; `asked` are those that were pinged for this already.
    pub(super) fn doubt(
        &mut self,
        framework: &FrameworkId,
        task: &TaskId,
        agent: &AgentId,
        asked: &mut FxHashMap<AgentId, u64>,
        out: &mut Vec<Output>,
    ) -> bool {
        let Some(known) = self.agents.get_mut(agent).filter(|_| self.asks_agents) else { return false };
        let Some(ping) = asked.get(agent).copied().or_else(|| known.ping(out)) else { return false };
        asked.insert(agent.clone(), ping);
        known.doubts.add(framework, task.clone(), ping);
        true
    }

    pub(super) fn pong(&mut self, now: Time, id: &AgentId, out: &mut Vec<Output>) {
        let Some(agent) = self.agents.get_mut(id) else { return };
        agent.pings_missed = 0;
        for (framework, task) in agent.doubts.answered() {
            let is_unknown =
                self.frameworks.get(&framework).is_some_and(|framework| !framework.tasks.contains_key(&task));
            if is_unknown && let Some(status) = self.status_of_unknown(now, task, Some(id.clone())) {
                self.tell(&framework, SchedulerEvent::Update(status), out);
            }
        }
    }
}
