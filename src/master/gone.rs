//! Agents of which an operator says that they are gone for good: their tasks are over, and nothing comes back under their names.

use std::collections::{BTreeMap, BTreeSet};

use super::machine::{Master, Output};
use super::unreachable::{UNREACHABLE_AGENT_MAX_AGE, UNREACHABLE_AGENTS_KEPT};
use crate::protocol::{
    AgentCall, AgentEvent, AgentId, ConnectionId, FrameworkId, Reason, TaskState, TaskStatus,
};
use crate::store::{Change, Key, Record};
use crate::time::Time;

/// Why an agent is turned away that was said to be gone.
const TURNED_AWAY: &str =
    "an operator has said that this agent is gone for good; `apportion gone NAME --back` takes that back";

/// Those that are gone, and since when. They are remembered for as long, and as many, as agents that can't be reached.
#[derive(Debug, Default)]
pub(super) struct GoneAgents(BTreeMap<AgentId, Time>);

impl GoneAgents {
    pub(super) fn contains(&self, agent: &AgentId) -> bool {
        self.0.contains_key(agent)
    }

    /// Takes note of one, as the registry knows it.
    pub(super) fn restore(&mut self, agent: AgentId, since: Time) {
        self.0.insert(agent, since);
    }

    /// The oldest one, when there is no place for it any more.
    fn overdue(&self, now: Time) -> Option<AgentId> {
        let (agent, since) = self.0.iter().min_by_key(|(_, since)| **since)?;
        let is_overdue = self.0.len() > UNREACHABLE_AGENTS_KEPT || now >= *since + UNREACHABLE_AGENT_MAX_AGE;
        is_overdue.then(|| agent.clone())
    }
}

impl Master {
    /// An operator says that an agent is gone.
    pub(super) fn mark_gone(&mut self, now: Time, id: &AgentId, out: &mut Vec<Output>) -> Result<(), String> {
        if self.gone.contains(id) {
            return Ok(());
        }
        let Some(agent) = self.agents.get(id) else { return Err(format!("there is no agent {id}")) };
        let connection = agent.connection;
        tracing::warn!(agent = %id, "an operator says that the agent is gone");
        let held = agent.tasks.iter().map(|(framework, _)| framework);
        let held = held.chain(agent.executors.keys().map(|(framework, _)| framework)).cloned().collect();
        self.registry.note(Change::Delete(Key::Agent(id.clone())));
        self.registry.note(Change::Put(Record::Gone { agent: id.clone(), since: now }));
        self.gone.0.insert(id.clone(), now);
        while let Some(oldest) = self.gone.overdue(now) {
            self.forget_gone(&oldest);
        }
        self.cancel_maintenance(now, id);
        let tasks = self.forget_agent(now, id, out);
        if let Some(connection) = connection {
            self.turn_away(connection, held, out);
        }
        for (framework, task) in tasks {
            let status = TaskStatus::new(task, TaskState::Gone, now)
                .because(Reason::AgentGone, "an operator says that its agent is gone for good");
            self.master_update(now, &framework, status, out);
        }
        self.agent_is_back(id);
        Ok(())
    }

    /// An agent may come back that was said to be gone.
    pub(super) fn take_back(&mut self, id: &AgentId, out: &mut Vec<Output>) -> Result<(), String> {
        if !self.gone.contains(id) {
            return Err(format!("nobody has said that agent {id} is gone"));
        }
        self.forget_gone(id);
        // One that is there, and was heard by nobody, registers when it has connected anew.
        for connection in self.connections_of(id) {
            self.refuse(connection, "the agent may come back", out);
        }
        Ok(())
    }

    fn forget_gone(&mut self, id: &AgentId) {
        if self.gone.0.remove(id).is_some() {
            self.registry.note(Change::Delete(Key::Gone(id.clone())));
        }
    }

    /// An agent speaks that was said to be gone: it is to end what it has, and then to leave.
    pub(super) fn hear_of_gone(&mut self, connection: ConnectionId, call: AgentCall, out: &mut Vec<Output>) {
        match call {
            AgentCall::Register { tasks, executors, .. } => {
                let held = tasks.into_iter().map(|task| task.framework);
                let held = held.chain(executors.into_iter().map(|executor| executor.framework)).collect();
                self.turn_away(connection, held, out);
            }
            AgentCall::Update { framework, status, .. } => {
                if let Some(number) = status.number {
                    let event = AgentEvent::Acknowledge { framework, task: status.task, number };
                    out.push(Output::ToAgent { connection, event });
                }
            }
            AgentCall::ExecutorLost { .. }
            | AgentCall::Message { .. }
            | AgentCall::Unregister
            | AgentCall::Leaving
            | AgentCall::Holds { .. }
            | AgentCall::Pong => {}
        }
    }

    fn turn_away(&mut self, connection: ConnectionId, held: BTreeSet<FrameworkId>, out: &mut Vec<Output>) {
        if held.is_empty() {
            return self.refuse(connection, TURNED_AWAY, out);
        }
        // What it says of their ends is heard first.
        let events = held.into_iter().map(AgentEvent::ShutdownFramework);
        out.extend(events.map(|event| Output::ToAgent { connection, event }));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Input;
    use super::super::tests::{
        AGENT, FRAMEWORK, OPERATOR, World, agent_events, events, held, offers, task, updates,
    };
    use super::*;
    use crate::allocator::DrfAllocator;
    use crate::protocol::operator::OperatorRequest;
    use crate::protocol::{
        HeldTask, IdentityKind, Operation, OperatorCall, OperatorEvent, RequestId, SchedulerCall,
        SchedulerEvent, UpdateNumber,
    };

    fn agent() -> AgentId {
        "a1".parse().unwrap()
    }

    /// With a task on an agent.
    fn busy() -> World {
        let mut world = World::with_operator();
        world.agent_registers(AGENT, Vec::new());
        let mut out = world.framework_subscribes(FRAMEWORK, Duration::from_secs(3600));
        let offer = offers(&mut out).pop().unwrap();
        let operations = vec![Operation::Launch(task("t1", 1000, 64))];
        let refuse = Duration::ZERO;
        world.call(FRAMEWORK, SchedulerCall::Accept { offers: vec![offer.id], operations, refuse });
        world
    }

    #[test]
    fn tasks_of_an_agent_that_is_gone_are_over_and_it_is_turned_away_when_it_has_ended_them() {
        let mut world = busy();
        let unknown = OperatorCall::MarkGone { agent: "nobody".parse().unwrap() };
        assert!(matches!(world.ask(unknown).0, OperatorEvent::Refused(_)));
        let (answer, out) = world.ask(OperatorCall::MarkGone { agent: agent() });
        assert_eq!(answer, OperatorEvent::Done);
        assert_eq!(updates(&out), [(TaskState::Gone, Some(Reason::AgentGone))]);
        let shutdown = AgentEvent::ShutdownFramework("f1".parse().unwrap());
        assert_eq!(agent_events(&out), [&shutdown]);
        assert!(world.state().agents.is_empty());
        let asked = SchedulerCall::Reconcile { tasks: vec![("t1".parse().unwrap(), Some(agent()))] };
        assert_eq!(updates(&world.call(FRAMEWORK, asked)), [(TaskState::Gone, Some(Reason::Reconciliation))]);

        // It was alive, after all: its task ends, and nobody hears of it.
        let out = world.agent_registers(AGENT, vec![held(task("t1", 1000, 64), TaskState::Running, 1)]);
        assert_eq!((agent_events(&out), events(&out).len()), (vec![&shutdown], 0));
        let HeldTask { framework, status, .. } = held(task("t1", 1000, 64), TaskState::Killed, 2);
        let update = AgentCall::Update { framework, status, latest: TaskState::Killed };
        let out = world.input(Input::Agent { connection: AGENT, call: update });
        let [AgentEvent::Acknowledge { number: UpdateNumber(2), .. }] = agent_events(&out)[..] else {
            panic!("{out:?}")
        };
        assert!(!events(&out).iter().any(|event| matches!(event, SchedulerEvent::Update(_))));
        let out = world.agent_registers(AGENT, Vec::new());
        assert!(matches!(&out[..], [Output::Disconnect { reason, .. }] if reason == TURNED_AWAY), "{out:?}");

        world.connect(AGENT, IdentityKind::Agent, "a1");
        let (answer, out) = world.ask(OperatorCall::TakeBack { agent: agent() });
        assert_eq!(answer, OperatorEvent::Done);
        assert!(
            matches!(&out[..], [Output::Disconnect { connection: AGENT, .. }]),
            "it has to register: {out:?}"
        );
        world.agent_registers(AGENT, Vec::new());
        assert_eq!(world.state().agents.len(), 1);
    }

    #[test]
    fn who_is_gone_stays_so_under_the_next_master_for_two_weeks() {
        let mut world = World::with_operator();
        world.agent_registers(AGENT, Vec::new());
        let (gone, now) = (Record::Gone { agent: agent(), since: world.now }, world.now);
        world.master = Master::new(DrfAllocator::default()).with_registry(now, Vec::new());
        world.agent_registers(AGENT, Vec::new());
        world.connect(OPERATOR, IdentityKind::Operator, "admin");
        let request =
            OperatorRequest { request: RequestId(1), call: OperatorCall::MarkGone { agent: agent() } };
        let out = world.input(Input::Operator { connection: OPERATOR, request });
        let [Output::Store { changes, .. }] = &out[..] else { panic!("{out:?}") };
        assert_eq!(changes[..], [Change::Delete(Key::Agent(agent())), Change::Put(gone.clone())]);

        world.master = Master::new(DrfAllocator::default()).with_registry(now, vec![gone]);
        let out = world.agent_registers(AGENT, Vec::new());
        assert!(matches!(&out[..], [Output::Disconnect { .. }]), "{out:?}");
        world.pass(UNREACHABLE_AGENT_MAX_AGE);
        world.agent_registers_as(ConnectionId(9), "a2", Vec::new());
        world.master.mark_gone(world.now, &"a2".parse().unwrap(), &mut Vec::new()).unwrap();
        assert!(!world.master.gone.contains(&agent()), "it makes room for others");
    }
}
