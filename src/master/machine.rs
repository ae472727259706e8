//! The master's face: inputs, outputs, and who handles what.

use std::collections::BTreeSet;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::agents::{Agent, Held};
use super::frameworks::Framework;
use super::gone::GoneAgents;
use super::maintenance::Maintenance;
use super::offers::OfferTable;
use super::operators::Relays;
use super::pings::PingOptions;
use super::preemption::Preempted;
use super::recovery::Recovery;
use super::registry::Registry;
use super::unreachable::{RemovalPace, UnreachableAgents};
use crate::allocator::Allocator;
use crate::protocol::operator::{OperatorAnswer, OperatorRequest};
use crate::protocol::{
    AgentCall, AgentEvent, AgentId, ConnectionId, Epoch, FrameworkId, Identity, IdentityKind, RequestId,
    Rules, SchedulerCall, SchedulerEvent, TaskId,
};
use crate::store::Change;
use crate::time::{Time, Timers};

/// What happens to a master.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Input {
    /// A peer has connected. Its identity is proven.
    Connected {
        /// The connection.
        connection: ConnectionId,
        /// Who is at its other end.
        peer: Identity,
    },
    /// A connection is gone; nothing further comes from it.
    Disconnected {
        /// The connection.
        connection: ConnectionId,
    },
    /// An agent speaks.
    Agent {
        /// On this connection.
        connection: ConnectionId,
        /// What it says.
        call: AgentCall,
    },
    /// A scheduler speaks.
    Scheduler {
        /// On this connection.
        connection: ConnectionId,
        /// What it says.
        call: SchedulerCall,
    },
    /// An operator speaks.
    Operator {
        /// On this connection.
        connection: ConnectionId,
        /// What is asked.
        request: OperatorRequest,
    },
    /// What [`Output::Store`] asked for is durable, and all before it.
    Stored {
        /// The output's number.
        number: u64,
    },
    /// Time has passed, or a batch of inputs is complete.
    Tick,
    /// An operator's question did not go out, since its framework has more to read than it takes.
    Undelivered {
        /// The question's number.
        request: RequestId,
    },
}

/// What a master wants done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Output {
    /// Tell an agent.
    ToAgent {
        /// On this connection.
        connection: ConnectionId,
        /// What.
        event: AgentEvent,
    },
    /// Tell a scheduler.
    ToScheduler {
        /// On this connection.
        connection: ConnectionId,
        /// What.
        event: SchedulerEvent,
    },
    /// Answer an operator.
    ToOperator {
        /// On this connection.
        connection: ConnectionId,
        /// The answer.
        answer: OperatorAnswer,
    },
    /// Make changes of the registry durable, in the order of the numbers, then say [`Input::Stored`]. Only asked of drivers that gave
    /// a [registry](Master::with_registry).
    Store {
        /// Counts these outputs, from 1.
        number: u64,
        /// What is to be stored, all or nothing.
        changes: Vec<Change>,
    },
    /// End a connection. No [`Input::Disconnected`] is expected for it, though it does no harm.
    Disconnect {
        /// The connection.
        connection: ConnectionId,
        /// Why, for people.
        reason: String,
    },
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) identity: Identity,
    party: Party,
    /// What an agent has said that it holds, before it registers.
    pub(super) held: Held,
}

/// What a peer is to the master.
#[derive(Clone, Debug)]
enum Party {
    /// This agent.
    Agent(AgentId),
    /// This framework's scheduler.
    Framework(FrameworkId),
    /// An operator.
    Operator,
}

/// What a timer is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// Ask the agent whether it is there, or give it up.
    Ping(AgentId),
    /// The framework's scheduler has not come back.
    Failover(FrameworkId),
    /// Enough agents should be back after a start.
    Recovery,
    /// A role may have had too little for long enough.
    Preemption,
    /// A task has to have made room.
    Reclaim(FrameworkId, TaskId),
    /// The agent's maintenance begins or ends.
    Maintenance(AgentId),
    /// The oldest unreachable agent is too old.
    ForgetUnreachable,
}

/// The master of a cluster. See the [module](super) for how it is driven.
pub struct Master {
    pub(super) epoch: Epoch,
    pub(super) allocator: Box<dyn Allocator>,
    pub(super) peers: FxHashMap<ConnectionId, Peer>,
    pub(super) agents: FxHashMap<AgentId, Agent>,
    pub(super) unreachable: UnreachableAgents,
    pub(super) gone: GoneAgents,
    pub(super) removal_pace: RemovalPace,
    pub(super) frameworks: FxHashMap<FrameworkId, Framework>,
    pub(super) registry: Registry,
    pub(super) recovery: Option<Recovery>,
    pub(super) offers: OfferTable,
    pub(super) preempted: Preempted,
    pub(super) relays: Relays,
    pub(super) maintenance: Maintenance,
    pub(super) rules: Arc<Rules>,
    /// The machines of which alone something is offered, if there is such a list.
    pub(super) allow_list: Option<BTreeSet<String>>,
    pub(super) timers: Timers<Timer>,
    pub(super) pings: PingOptions,
    /// Whether connected agents are pinged.
    pub(super) asks_agents: bool,
}

impl Master {
    /// A master of an empty cluster.
    pub fn new(allocator: impl Allocator + 'static) -> Self {
        Master::boxed(Box::new(allocator))
    }

    /// The same, where the allocator's type is not known.
    pub fn boxed(allocator: Box<dyn Allocator>) -> Self {
        Master {
            epoch: Epoch::FIRST,
            allocator,
            peers: FxHashMap::default(),
            agents: FxHashMap::default(),
            unreachable: UnreachableAgents::default(),
            gone: GoneAgents::default(),
            removal_pace: RemovalPace::default(),
            frameworks: FxHashMap::default(),
            registry: Registry::default(),
            recovery: None,
            offers: OfferTable::default(),
            preempted: Preempted::default(),
            relays: Relays::default(),
            maintenance: Maintenance::default(),
            rules: Arc::default(),
            allow_list: None,
            timers: Timers::default(),
            pings: PingOptions::default(),
            asks_agents: true,
        }
    }

    /// The same master, which leads in this epoch. Agents and schedulers that have heard of a later one refuse it.
    #[must_use]
    pub fn in_epoch(mut self, epoch: Epoch) -> Self {
        self.epoch = epoch;
        self
    }

    /// The same master, which asks agents so often whether they are there. To be told before the [registry](Self::with_registry), whose
    /// agents it waits for.
    #[must_use]
    pub fn with_pings(mut self, pings: PingOptions) -> Self {
        self.pings = pings;
        self
    }

    /// The same master, which does not ask connected agents whether they are there: for drivers whose connections tell, as in a
    /// simulation.
    #[must_use]
    pub fn without_pings(mut self) -> Self {
        self.asks_agents = false;
        self
    }

    /// Takes note of what happened, and appends what is to be done.
    pub fn handle(&mut self, now: Time, input: Input, out: &mut Vec<Output>) {
        if let Input::Stored { number } = input {
            return self.registry.release(number, out);
        }
        let start = out.len();
        self.decide(now, input, out);
        self.registry.gate(start, out, |number, changes| Output::Store { number, changes });
    }

    fn decide(&mut self, now: Time, input: Input, out: &mut Vec<Output>) {
        match input {
            Input::Connected { connection, peer } => self.connected(connection, &peer, out),
            Input::Disconnected { connection } => self.disconnected(now, connection, out),
            Input::Agent { connection, call } => match self.party(connection) {
                Some(Party::Agent(agent)) => {
                    let agent = agent.clone();
                    self.agent_call(now, connection, agent, call, out);
                }
                _ => self.refuse(connection, "it is not an agent's connection", out),
            },
            Input::Scheduler { connection, call } => match self.party(connection) {
                Some(Party::Framework(framework)) => {
                    let framework = framework.clone();
                    self.scheduler_call(now, connection, framework, call, out);
                }
                _ => self.refuse(connection, "it is not a framework's connection", out),
            },
            Input::Operator { connection, request } => match self.party(connection) {
                Some(Party::Operator) => self.operator_request(now, connection, request, out),
                _ => self.refuse(connection, "it is not an operator's connection", out),
            },
            // Needs no decision.
            Input::Stored { .. } => {}
            Input::Undelivered { request } => self.relay_undelivered(request, out),
            Input::Tick => self.tick(now, out),
        }
    }

    /// When [`Input::Tick`] is due: [`Time::ZERO`] for at once, `None` for not before something else happens.
    pub fn next_deadline(&self) -> Option<Time> {
        let allocation = if self.is_recovering() { None } else { self.allocator.next_deadline() };
        [self.timers.next_deadline(), allocation].into_iter().flatten().min()
    }

    /// The connections of an agent, also before it has registered there.
    pub(super) fn connections_of(&self, id: &AgentId) -> Vec<ConnectionId> {
        let is_its = |peer: &Peer| matches!(&peer.party, Party::Agent(agent) if agent == id);
        let mut its: Vec<_> =
            self.peers.iter().filter(|(_, peer)| is_its(peer)).map(|(connection, _)| *connection).collect();
        its.sort();
        its
    }

    fn party(&self, connection: ConnectionId) -> Option<&Party> {
        self.peers.get(&connection).map(|peer| &peer.party)
    }

    fn connected(&mut self, connection: ConnectionId, peer: &Identity, out: &mut Vec<Output>) {
        let party = match peer.kind() {
            IdentityKind::Agent => AgentId::new(peer.name()).map(Party::Agent),
            IdentityKind::Framework => FrameworkId::new(peer.name()).map(Party::Framework),
            IdentityKind::Operator => Ok(Party::Operator),
            IdentityKind::Master | IdentityKind::Executor => {
                return self.refuse(connection, "a master takes agents, frameworks and operators only", out);
            }
        };
        match party {
            Ok(party) => {
                self.peers.insert(connection, Peer { identity: peer.clone(), party, held: Held::default() });
            }
            Err(invalid) => self.refuse(connection, &invalid.to_string(), out),
        }
    }

    pub(super) fn disconnected(&mut self, now: Time, connection: ConnectionId, out: &mut Vec<Output>) {
        match self.peers.remove(&connection).map(|peer| peer.party) {
            Some(Party::Agent(agent)) => self.agent_disconnected(now, connection, &agent, out),
            Some(Party::Framework(framework)) => {
                self.framework_disconnected(now, connection, &framework, out)
            }
            Some(Party::Operator) => self.operator_disconnected(connection, out),
            None => {}
        }
    }

    /// Ends a connection that is not one, or not any more.
    pub(super) fn refuse(&mut self, connection: ConnectionId, reason: &str, out: &mut Vec<Output>) {
        self.peers.remove(&connection);
        out.push(Output::Disconnect { connection, reason: reason.to_owned() });
    }

    fn tick(&mut self, now: Time, out: &mut Vec<Output>) {
        while let Some(timer) = self.timers.pop_due(now) {
            match timer {
                Timer::Ping(agent) => self.ping_due(now, &agent, out),
                Timer::Failover(framework) => self.teardown(now, &framework, out),
                Timer::Maintenance(agent) => self.maintenance_due(now, &agent, out),
                // Preemptions follow offers.
                Timer::Preemption => {}
                Timer::Reclaim(framework, task) => self.reclaim(now, framework, task, out),
                Timer::Recovery => self.end_recovery(),
                Timer::ForgetUnreachable => self.forget_overdue(now, out),
            }
        }
        if !self.is_recovering() {
            self.make_offers(now, out);
            self.preempt(now, out);
            self.make_inverse_offers(now, out);
        }
    }
}
