//! The registry: what a master must not forget, and the outputs that wait until it is durable.

use std::collections::VecDeque;

use super::agents::Agent;
use super::machine::{Master, Output};
use crate::protocol::{AgentId, AgentInfo, FrameworkId};
use crate::store::{Change, Record};

/// Changes on their way to the store, and what waits for them.
#[derive(Debug, Default)]
pub(super) struct Registry {
    /// Whether there is a store.
    is_kept: bool,
    /// Changes that the input under way has made.
    changes: Vec<Change>,
    /// The number of the last write that was handed out.
    last: u64,
    /// All writes up to this one are durable.
    durable: u64,
    /// Outputs, with the write that they wait for.
    held: VecDeque<(u64, Output)>,
}

impl Registry {
    pub(super) fn keep(&mut self) {
        self.is_kept = true;
    }

    pub(super) fn note(&mut self, change: Change) {
        if self.is_kept {
            self.changes.push(change);
        }
    }

    /// Hands out the changes that an input made, and holds back what it put out from `start` on until those, and all before, are
    /// durable: nobody sees the effect of what a crash could undo.
    pub(super) fn gate(&mut self, start: usize, out: &mut Vec<Output>) {
        let changes = std::mem::take(&mut self.changes);
        if !changes.is_empty() {
            self.last += 1;
        }
        if self.durable < self.last {
            self.held.extend(out.drain(start..).map(|output| (self.last, output)));
        }
        if !changes.is_empty() {
            out.push(Output::Store { number: self.last, changes });
        }
    }

    /// Lets go what waited for writes up to this one.
    pub(super) fn release(&mut self, number: u64, out: &mut Vec<Output>) {
        self.durable = self.durable.max(number.min(self.last));
        while let Some((_, output)) = self.held.pop_front_if(|(waits_for, _)| *waits_for <= self.durable) {
            out.push(output);
        }
    }
}

impl Master {
    /// Has the store know of an agent what is known here.
    pub(super) fn record_agent(&mut self, id: &AgentId) {
        if let Some(agent) = self.agents.get(id) {
            self.registry.note(Change::Put(agent.record(id)));
        }
    }

    /// Has the store know of a framework what is known here.
    pub(super) fn record_framework(&mut self, id: &FrameworkId) {
        if let Some(framework) = self.frameworks.get(id) {
            let (id, info, ending) = (id.clone(), framework.info.clone(), framework.ending);
            self.registry.note(Change::Put(Record::Framework { id, info, ending }));
        }
    }
}

impl Agent {
    pub(super) fn record(&self, id: &AgentId) -> Record {
        Record::Agent {
            id: id.clone(),
            info: AgentInfo { resources: self.introduced.clone(), ..self.info.clone() },
            resources: self.info.resources.clone(),
            unreachable: self.unreachable,
        }
    }
}
