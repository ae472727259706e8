//! Masters in the world: the production machine, its disk, and what it says.

use std::time::Duration;

use apportion::allocator::{DrfAllocator, DrfOptions};
use apportion::master::{Input, Master, Output};
use apportion::protocol::{AgentCall, AgentEvent, ConnectionId, Epoch, SchedulerEvent};
use apportion::store::{Key, MemoryStore, Store};
use apportion::time::Time;

use super::clock::Clock;
use super::disk::Disk;
use super::ledger::Rule;
use super::network::End;
use super::node::Node;
use super::packet::Packet;
use super::plan::Moment;
use super::world::{Event, RESTART_DELAY, Sabotage, World};

/// How long nobody leads after a leader's death, at most.
const LEASE: Duration = Duration::from_secs(5);

/// A master's process, and the registry as it knows it. One leads at a time; who takes over goes on with what is durable then, and what
/// the one before writes later is refused.
pub(super) struct MasterNode {
    /// Counts its processes.
    pub(super) life: u32,
    pub(super) machine: Option<Master>,
    pub(super) clock: Clock,
    pub(super) disk: Disk<MemoryStore>,
    /// In which it leads, or led.
    pub(super) epoch: Epoch,
    pub(super) wake: Option<Time>,
}

impl World {
    pub(super) fn start_master(&mut self, place: usize) {
        let clock = self.new_clock();
        let now = clock.read(self.now);
        let node = &mut self.masters[place];
        let term = node.disk.durable.begin_term();
        let (epoch, records) = match term.and_then(|epoch| Ok((epoch, node.disk.durable.load()?))) {
            Ok(recovered) => recovered,
            Err(error) => return self.ledger.violate(Rule::ToldIsDurable, || error.to_string()),
        };
        node.life += 1;
        node.epoch = epoch;
        node.clock = clock;
        node.wake = None;
        let master = Master::new(DrfAllocator::new(DrfOptions::default())).in_epoch(epoch);
        node.machine = Some(master.with_registry(now, records));
        self.wake_later(Node::Master(place));
    }

    pub(super) fn master_input(&mut self, place: usize, input: Input) {
        let node = &mut self.masters[place];
        let Some(machine) = &mut node.machine else { return };
        let mut out = Vec::new();
        machine.handle(node.clock.read(self.now), input, &mut out);
        let crash = self.struck(Node::Master(place), |moment| match moment {
            Moment::Any => false,
            Moment::Speaking => out.iter().any(|output| {
                matches!(output, Output::ToAgent { event, .. } if !matches!(event, AgentEvent::Ping))
                    || matches!(output, Output::ToScheduler { .. })
            }),
            Moment::Acknowledging => {
                let is_one = |event: &AgentEvent| matches!(event, AgentEvent::Acknowledge { .. });
                out.iter().any(|output| matches!(output, Output::ToAgent { event, .. } if is_one(event)))
            }
            Moment::Writing => out.iter().any(|output| matches!(output, Output::Store { .. })),
        });
        self.interrupt(crash, &mut out);
        let mut has_offered = false;
        for output in out {
            match output {
                Output::ToAgent { connection, mut event } => {
                    if let AgentEvent::Registered { agent, epoch } = &mut event {
                        self.check_told(place, connection.0, &Key::Agent(agent.clone()));
                        self.blur(epoch);
                    }
                    if let AgentEvent::ShutdownFramework(framework) = &event {
                        self.ledger.torn_down(framework);
                    }
                    self.send(connection.0, End::Client, Packet::AgentEvent(event));
                }
                Output::ToScheduler { connection, mut event } => {
                    if let SchedulerEvent::Subscribed { framework, epoch, .. } = &mut event {
                        self.check_told(place, connection.0, &Key::Framework(framework.clone()));
                        self.blur(epoch);
                    }
                    has_offered |= matches!(event, SchedulerEvent::Offers(_));
                    self.send(connection.0, End::Client, Packet::SchedulerEvent(event));
                }
                Output::Store { number, changes } => {
                    self.masters[place].disk.write(number, changes);
                    self.tell_too_early(Node::Master(place), number);
                    self.begin_commit(place);
                }
                Output::Disconnect { connection, reason } => {
                    self.say(|| format!("master-{} ends connection {connection}: {reason}", place + 1));
                    self.hang_up(connection.0, End::Server);
                }
                Output::ToOperator { .. } => {}
            }
        }
        if has_offered {
            self.check_books(place);
        }
        match crash {
            Some(fault) => self.strike(fault, Some(Node::Master(place))),
            None => self.wake_later(Node::Master(place)),
        }
    }

    /// A sabotaged world lets nobody tell masters apart.
    fn blur(&self, epoch: &mut Epoch) {
        if self.sabotage == Some(Sabotage::EpochsAlike) {
            *epoch = Epoch::FIRST;
        }
    }

    pub(super) fn leading_master(&self) -> Node {
        Node::Master(self.leader)
    }

    /// Where agents and frameworks seek the leader: some know only the one that led before, as long as that is there.
    pub(super) fn sought_master(&mut self) -> Node {
        let deposed =
            (0..self.masters.len()).find(|place| *place != self.leader && self.is_up(Node::Master(*place)));
        match deposed {
            Some(place) if self.chance.network.unit() < 0.5 => Node::Master(place),
            _ => self.leading_master(),
        }
    }

    /// Another master takes over. The one that led finds out when the fault is over, or when it can't write.
    pub(super) fn lose_leadership(&mut self, until: Time) -> Option<Node> {
        let (old, new) = (self.leader, self.successor()?);
        if !self.is_up(Node::Master(old)) {
            return None;
        }
        // What was being written has come before, or comes too late.
        self.masters[old].disk.crash(&mut self.chance.disks);
        self.elect(new, self.now);
        let life = self.masters[old].life;
        self.later(until, Event::Deposed { place: old, life });
        // Some soon look for another leader, and some of those find the old one again.
        let connections = self.network.of(Node::Master(old));
        let clients: Vec<Node> = connections
            .iter()
            .filter_map(|(connection, _)| self.network.node(*connection, End::Client))
            .collect();
        for client in clients {
            for _ in 0..self.chance.network.below(3) {
                let after = Duration::from_secs_f64(20.0 * self.chance.network.unit());
                self.later(self.now + after, Event::Estranged(client));
            }
        }
        Some(Node::Master(old))
    }

    /// The leading master dies, and another one leads some time later.
    pub(super) fn take_over(&mut self) -> Option<Node> {
        let old = self.leader;
        if !self.is_up(Node::Master(old)) {
            return None;
        }
        // Where the other one still takes itself for the leader, this one is started again.
        let next = self.successor().unwrap_or(old);
        self.master_ends(old);
        let vacant = LEASE.mul_f64(self.chance.crashes.unit());
        self.elect(next, self.now + vacant);
        Some(Node::Master(old))
    }

    /// Who can take over. `None`: the other master has not found out yet that it does not lead any more.
    fn successor(&self) -> Option<usize> {
        let next = (self.leader + 1) % self.masters.len();
        (!self.is_up(Node::Master(next))).then_some(next)
    }

    /// Has a master lead from then on, with what the one before has durably written.
    fn elect(&mut self, next: usize, at: Time) {
        if next != self.leader && self.sabotage != Some(Sabotage::OwnRegistry) {
            self.masters[next].disk = Disk::new(self.masters[self.leader].disk.durable.clone());
        }
        self.leader = next;
        self.later(at, Event::Start(Node::Master(next)));
    }

    /// A master finds out that it does not lead any more, and ends its term.
    pub(super) fn deposed(&mut self, place: usize, life: u32) {
        if place != self.leader && self.life(Node::Master(place)) == Some(life) {
            self.say(|| format!("master-{} finds that it does not lead any more", place + 1));
            self.master_ends(place);
        }
    }

    fn check_told(&mut self, place: usize, connection: u64, key: &Key) {
        if !self.network.listens(connection, End::Client) {
            return;
        }
        let node = &mut self.masters[place];
        let records = node.disk.durable.load();
        let is_kept = records.is_ok_and(|records| records.iter().any(|record| record.key() == *key));
        // What the same write has dropped again was true when it was said.
        let is_known = node.machine.as_ref().is_some_and(|machine| {
            let state = machine.cluster_state(node.clock.read(self.now));
            match key {
                Key::Agent(agent) => state.agents.iter().any(|known| known.id == *agent),
                Key::Framework(framework) => state.frameworks.iter().any(|known| known.id == *framework),
                _ => true,
            }
        });
        if !is_kept && is_known {
            self.ledger.violate(Rule::ToldIsDurable, || {
                format!("master-{} tells that it has {key}, but a crash would undo that", place + 1)
            });
        }
    }

    fn check_books(&mut self, place: usize) {
        let node = &self.masters[place];
        let Some(machine) = &node.machine else { return };
        let state = machine.cluster_state(node.clock.read(self.now));
        let agents = &self.agents;
        let place_of = |id: &str| agents.iter().position(|agent| agent.id.as_str() == id);
        self.ledger.check_books(place, &state, place_of);
    }

    fn begin_commit(&mut self, place: usize) {
        let node = &mut self.masters[place];
        if let Some(takes) = node.disk.begin(self.now, &mut self.chance.disks) {
            let life = node.life;
            self.later(self.now + takes, Event::Written { node: Node::Master(place), life });
        }
    }

    /// A commit has ended. A master that can't write ends, as in production.
    pub(super) fn master_has_written(&mut self, place: usize) {
        let node = &mut self.masters[place];
        let is_deposed = place != self.leader;
        match node.disk.finish(self.now, &mut self.chance.disks) {
            Some(_) if is_deposed && self.sabotage != Some(Sabotage::Unfenced) => {
                self.deposed(place, self.masters[place].life);
            }
            Some(number) => {
                if is_deposed {
                    self.ledger.violate(Rule::Fenced, || {
                        format!("the registry takes what master-{} writes, which does not lead", place + 1)
                    });
                }
                if self.sabotage != Some(Sabotage::StoredTooEarly) {
                    self.master_input(place, Input::Stored { number });
                }
                self.begin_commit(place);
            }
            None => {
                self.say(|| format!("master-{} can't write and ends", place + 1));
                self.master_ends(place);
                self.later(self.now + RESTART_DELAY, Event::Start(Node::Master(place)));
            }
        }
    }

    /// A master's process is gone.
    pub(super) fn master_ends(&mut self, place: usize) {
        let node = &mut self.masters[place];
        if node.machine.take().is_some() {
            node.disk.crash(&mut self.chance.disks);
            self.connections_end(Node::Master(place));
        }
    }

    /// A master hears something on a connection.
    pub(super) fn master_hears(&mut self, place: usize, connection: u64, packet: Packet) {
        let connection_id = ConnectionId(connection);
        let input = match packet {
            Packet::Opened => {
                match self.network.node(connection, End::Client).map(|node| self.identity(node)) {
                    Some(Some(peer)) => Input::Connected { connection: connection_id, peer },
                    _ => return,
                }
            }
            Packet::AgentCall(call) => {
                if let AgentCall::Register { info, tasks, .. } = &call
                    && let Some(Node::Agent(agent)) = self.network.node(connection, End::Client)
                {
                    self.ledger.registered(agent, place, &info.resources);
                    self.agents[agent].told_tasks = tasks.len();
                }
                Input::Agent { connection: connection_id, call }
            }
            Packet::SchedulerCall(call) => Input::Scheduler { connection: connection_id, call },
            _ => return,
        };
        self.master_input(place, input);
    }
}
