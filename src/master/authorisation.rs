//! Who may do what: the cluster's rules, asked before anything is done.

use std::sync::Arc;

use super::machine::{Master, Output};
use crate::protocol::rules::Denied;
use crate::protocol::{
    Action, AgentEvent, AgentId, ConnectionId, FrameworkId, FrameworkInfo, OperatorCall, Rules,
    SchedulerEvent,
};
use crate::resources::Role;
use crate::store::{Change, Key, Record};

impl Master {
    /// The rules that hold.
    pub fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }

    /// Whether whoever is at the other end may do this.
    pub(super) fn permit(
        &self,
        connection: ConnectionId,
        action: Action,
        role: Option<&Role>,
    ) -> Result<(), Denied> {
        self.peers.get(&connection).map_or(Ok(()), |peer| self.rules.check(&peer.identity, action, role))
    }

    /// Whether a framework may do this.
    pub(super) fn permit_framework(
        &self,
        framework: &FrameworkId,
        action: Action,
        role: &Role,
    ) -> Result<(), Denied> {
        let connection = self.frameworks.get(framework).and_then(|framework| framework.connection);
        connection.map_or(Ok(()), |connection| self.permit(connection, action, Some(role)))
    }

    /// Whether an operator may call this.
    pub(super) fn permit_call(&self, connection: ConnectionId, call: &OperatorCall) -> Result<(), Denied> {
        let permit = |action, role| self.permit(connection, action, role);
        match call {
            OperatorCall::GetState
            | OperatorCall::GetRules
            | OperatorCall::Explain { .. }
            | OperatorCall::ExplainWaiting { .. } => permit(Action::View, None),
            OperatorCall::Request { .. } => permit(Action::Submit, None),
            OperatorCall::Kill { framework, task } => {
                let owner = self.owner_of(framework.clone(), task).ok();
                let known = owner.and_then(|owner| self.frameworks.get(&owner)?.tasks.get(task));
                permit(Action::Kill, known.map(|task| &task.role))
            }
            OperatorCall::SetWeight { role, .. } => permit(Action::SetWeight, Some(role)),
            OperatorCall::SetQuota { role, .. } => permit(Action::SetQuota, Some(role)),
            OperatorCall::SetOfferMode { .. }
            | OperatorCall::SetMaintenance { .. }
            | OperatorCall::SetAllowList { .. }
            | OperatorCall::SetRules { .. }
            | OperatorCall::Teardown { .. }
            | OperatorCall::CreateToken { .. }
            | OperatorCall::FreeName { .. }
            | OperatorCall::MarkGone { .. }
            | OperatorCall::TakeBack { .. } => permit(Action::Operate, None),
        }
    }

    /// Leaves a framework the roles that it may use, and tells it of the others.
    pub(super) fn keep_permitted_roles(
        &self,
        connection: ConnectionId,
        framework: &mut FrameworkInfo,
        out: &mut Vec<Output>,
    ) {
        framework.roles.retain(|role| match self.permit(connection, Action::Register, Some(role)) {
            Ok(()) => true,
            Err(denied) => {
                let event = SchedulerEvent::Error(denied.to_string());
                out.push(Output::ToScheduler { connection, event });
                false
            }
        });
    }

    /// Sets the rules. What is under way goes on; frameworks lose roles when they next subscribe.
    pub(super) fn set_rules(
        &mut self,
        connection: ConnectionId,
        rules: Rules,
        out: &mut Vec<Output>,
    ) -> Result<(), String> {
        let asking = self.peers.get(&connection).map(|peer| &peer.identity);
        if let Some(denied) = asking.and_then(|who| rules.check(who, Action::Operate, None).err()) {
            return Err(format!("with these rules {denied}; nobody who sets rules may lock themselves out"));
        }
        self.registry.note(if rules == Rules::default() {
            Change::Delete(Key::Rules)
        } else {
            Change::Put(Record::Rules { rules: rules.clone() })
        });
        self.rules = Arc::new(rules);
        let mut agents: Vec<AgentId> = self.agents.keys().cloned().collect();
        agents.sort();
        for agent in agents {
            self.tell_rules(&agent, out);
        }
        Ok(())
    }

    /// An agent decides by the rules who reads what tasks write.
    pub(super) fn tell_rules(&mut self, agent: &AgentId, out: &mut Vec<Output>) {
        let rules = Rules::clone(&self.rules);
        self.tell_agent(agent, AgentEvent::SetRules(rules), out);
    }
}
