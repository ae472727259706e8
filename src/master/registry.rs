//! The registry: what a master must not forget, and the outputs that wait until it is durable.

use super::agents::Agent;
use super::machine::{Master, Output};
use crate::protocol::{AgentId, AgentInfo, FrameworkId};
use crate::store::{Change, Gate, Record};

/// Changes on their way to the store, and what waits for them.
pub(super) type Registry = Gate<Change, Output>;

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
