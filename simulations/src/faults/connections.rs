//! Connections between processes: how they come about, carry messages, and end.

use apportion::agent::AgentInput;
use apportion::executor::ExecutorInput;
use apportion::master::Input;
use apportion::protocol::ConnectionId;
use apportion::protocol::epoch::Deposed;
use apportion::scheduler::SchedulerInput;

use super::network::{End, IDLE_TIMEOUT};
use super::node::Node;
use super::packet::Packet;
use super::world::{Event, LATENESS, World};

impl World {
    /// Where a client connects to.
    fn server_of(&mut self, client: Node) -> Option<Node> {
        match client {
            Node::Master(_) => None,
            Node::Agent(_) | Node::Framework(_) => Some(self.sought_master()),
            Node::Executor(number) => Some(Node::Agent(self.executors.get(&number)?.agent)),
        }
    }

    pub(super) fn connect(&mut self, client: Node, life: u32) {
        if self.life(client) != Some(life) || self.link(client).is_none_or(|link| link.connection.is_some()) {
            return;
        }
        let now = self.now;
        let opened = self.server_of(client).and_then(|server| {
            let is_there = self.is_up(server) && self.stalled.get(&server).is_none_or(|until| *until <= now);
            if is_there { self.network.open(now, client, server) } else { None }
        });
        let Some(link) = self.link(client) else { return };
        let Some(connection) = opened else {
            link.failures += 1;
            return self.connect_soon(client);
        };
        link.connected(now, connection);
        self.say(|| format!("{client} connects (connection {connection})"));
        self.send(connection, End::Server, Packet::Opened);
        match client {
            Node::Master(_) => {}
            Node::Agent(place) => {
                if let Some(Node::Master(master)) = self.network.node(connection, End::Server) {
                    self.agents[place].led_in = self.masters[master].epoch;
                }
                self.agent_input(place, AgentInput::MasterConnected);
            }
            Node::Framework(place) => self.framework_input(place, SchedulerInput::Connected),
            Node::Executor(number) => self.executor_input(number, ExecutorInput::Connected),
        }
    }

    pub(super) fn send(&mut self, connection: u64, to: End, packet: Packet) {
        if let Some(at) = self.network.send(self.now, connection, to, packet, &mut self.chance.network) {
            self.later(at, Event::Deliver { connection, to });
        }
    }

    pub(super) fn deliver(&mut self, connection: u64, to: End) {
        let (Some(node), Some(from)) =
            (self.network.node(connection, to), self.network.node(connection, to.other()))
        else {
            return;
        };
        let Some(packet) = self.network.receive(connection, to) else { return };
        self.record.covered(packet.label());
        if !packet.is_heartbeat() {
            self.say(|| format!("{from} -> {node} ({connection}): {}", packet.describe()));
        }
        match node {
            Node::Master(place) => self.master_hears(place, connection, packet),
            Node::Agent(place) => self.agent_hears(place, connection, packet),
            Node::Framework(place) => self.framework_hears(place, packet),
            Node::Executor(number) => self.executor_hears(number, packet),
        }
    }

    /// An end of a connection notices that it is broken.
    pub(super) fn closed(&mut self, connection: u64, end: End) {
        let Some(node) = self.network.node(connection, end) else { return };
        if !self.network.close(connection, end) {
            return;
        }
        self.say(|| format!("{node} notices that connection {connection} is broken"));
        match (node, end) {
            (Node::Master(place), _) => {
                let connection = ConnectionId(connection);
                self.master_input(place, Input::Disconnected { connection });
            }
            (Node::Agent(place), End::Server) => {
                let connection = ConnectionId(connection);
                self.agent_input(place, AgentInput::ExecutorDisconnected { connection });
            }
            (client, _) => {
                let now = self.now;
                if let Some(link) = self.link(client) {
                    link.disconnected(now);
                }
                match client {
                    Node::Agent(place) => self.agent_input(place, AgentInput::MasterDisconnected),
                    Node::Framework(place) => self.framework_input(place, SchedulerInput::Disconnected),
                    Node::Executor(number) => self.executor_input(number, ExecutorInput::Disconnected),
                    Node::Master(_) => {}
                }
                self.connect_soon(client);
            }
        }
    }

    /// One end of a connection ends it; the other hears of that.
    pub(super) fn hang_up(&mut self, connection: u64, end: End) {
        let arrivals = self.network.break_off(self.now, connection, None, &mut self.chance.network);
        self.network.close(connection, end);
        let [to_client, to_server] = arrivals;
        let at = if end == End::Client { to_server } else { to_client };
        self.later(at + LATENESS, Event::Closed { connection, at: end.other() });
    }

    /// A client ends its connection with a master that does not lead any more.
    pub(super) fn refuse_server(&mut self, client: Node, deposed: &Deposed) {
        self.say(|| format!("{client} refuses its master: {deposed}"));
        let Some(connection) = self.link(client).and_then(|link| link.connection) else { return };
        let [_, to_server] = self.network.break_off(self.now, connection, None, &mut self.chance.network);
        self.later(self.now, Event::Closed { connection, at: End::Client });
        self.later(to_server + LATENESS, Event::Closed { connection, at: End::Server });
    }

    /// A connection breaks; both ends notice that in their own time, at the latest when nothing was heard for too long.
    pub(super) fn cut(&mut self, connection: u64, silent: Option<End>) {
        let arrivals = self.network.break_off(self.now, connection, silent, &mut self.chance.network);
        for (end, arrival) in [End::Client, End::Server].into_iter().zip(arrivals) {
            let unnoticed = IDLE_TIMEOUT.mul_f64(self.chance.network.unit().powi(3));
            self.later(arrival + unnoticed, Event::Closed { connection, at: end });
        }
    }

    /// A process is gone; whoever it was connected with notices later.
    pub(super) fn connections_end(&mut self, node: Node) {
        for (connection, end) in self.network.of(node) {
            self.cut(connection, None);
            self.network.close(connection, end);
        }
    }

    pub(super) fn starved(&mut self, connection: u64, end: End) {
        self.cut(connection, Some(end));
    }
}
