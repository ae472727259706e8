//! Connections: ordered and reliable while they live. When one breaks, the last messages of each direction may be lost, and its
//! two ends notice at different times.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use apportion::time::Time;

use super::node::Node;
use super::packet::Packet;
use crate::random::Stream;

/// A connection on which nothing is heard for this long is given up. That of the runtime.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// That which connected.
    Client,
    /// That which was connected to.
    Server,
}

impl End {
    pub(super) fn other(self) -> End {
        match self {
            End::Client => End::Server,
            End::Server => End::Client,
        }
    }
}

/// What is on its way to one end.
#[derive(Debug)]
struct Flow {
    node: Node,
    queue: VecDeque<Packet>,
    /// When the last of them arrives.
    last: Time,
    /// Whether the end believes that the connection lives.
    is_open: bool,
}

#[derive(Debug)]
struct Connection {
    client: Flow,
    server: Flow,
    /// Nothing gets through any more, whatever the ends believe.
    is_broken: bool,
}

impl Connection {
    fn flow(&mut self, end: End) -> &mut Flow {
        match end {
            End::Client => &mut self.client,
            End::Server => &mut self.server,
        }
    }
}

/// All connections, and what is wrong with the paths between nodes.
#[derive(Debug, Default)]
pub(super) struct Network {
    connections: BTreeMap<u64, Connection>,
    last: u64,
    /// Nothing goes from the one to the other before then.
    blocked: BTreeMap<(Node, Node), Time>,
    /// Until then everything to and from the node takes so much longer.
    slow: BTreeMap<Node, (Time, Duration)>,
}

impl Network {
    /// Connects two nodes, if packets go both ways now.
    pub(super) fn open(&mut self, now: Time, client: Node, server: Node) -> Option<u64> {
        if self.blocked_until(client, server) > now || self.blocked_until(server, client) > now {
            return None;
        }
        self.last += 1;
        let flow = |node| Flow { node, queue: VecDeque::new(), last: now, is_open: true };
        let connection = Connection { client: flow(client), server: flow(server), is_broken: false };
        self.connections.insert(self.last, connection);
        Some(self.last)
    }

    /// Puts a message on its way to `to`; when it arrives, unless it is lost.
    pub(super) fn send(
        &mut self,
        now: Time,
        id: u64,
        to: End,
        packet: Packet,
        chance: &mut Stream,
    ) -> Option<Time> {
        let connection = self.connections.get(&id).filter(|connection| !connection.is_broken)?;
        let (client, server) = (connection.client.node, connection.server.node);
        let free = match to {
            End::Client => self.blocked_until(server, client),
            End::Server => self.blocked_until(client, server),
        };
        let latency = self.latency(now, client, chance);
        let flow = self.connections.get_mut(&id)?.flow(to);
        let arrival = (now.max(free) + latency).max(flow.last);
        flow.last = arrival;
        flow.queue.push_back(packet);
        Some(arrival)
    }

    fn blocked_until(&self, from: Node, to: Node) -> Time {
        self.blocked.get(&(from, to)).copied().unwrap_or(Time::ZERO)
    }

    fn latency(&self, now: Time, client: Node, chance: &mut Stream) -> Duration {
        let (least_us, mean_us) = if client.is_executor() { (30.0, 100.0) } else { (200.0, 2000.0) };
        let usual = Duration::from_nanos(((least_us + mean_us * chance.exponential()) * 1000.0) as u64);
        match self.slow.get(&client) {
            Some((until, more)) if *until > now => usual + more.mul_f64(chance.unit()),
            _ => usual,
        }
    }

    /// The next message to an end that still listens, and whose end it is.
    pub(super) fn receive(&mut self, id: u64, to: End) -> Option<Packet> {
        let flow = self.connections.get_mut(&id)?.flow(to);
        let packet = flow.queue.pop_front()?;
        flow.is_open.then_some(packet)
    }

    /// Whether an end listens.
    pub(super) fn listens(&mut self, id: u64, end: End) -> bool {
        self.connections.get_mut(&id).is_some_and(|connection| connection.flow(end).is_open)
    }

    /// Who is at an end.
    pub(super) fn node(&mut self, id: u64, end: End) -> Option<Node> {
        Some(self.connections.get_mut(&id)?.flow(end).node)
    }

    /// An end hears nothing of the connection any more. Whether it did until now.
    pub(super) fn close(&mut self, id: u64, end: End) -> bool {
        let Some(connection) = self.connections.get_mut(&id) else { return false };
        let flow = connection.flow(end);
        let was_open = std::mem::replace(&mut flow.is_open, false);
        flow.queue.clear();
        if !connection.client.is_open && !connection.server.is_open {
            self.connections.remove(&id);
        }
        was_open
    }

    /// Nothing further gets through, and of what is on its way the last messages are lost; to `silent` everything is. When the
    /// last of the others arrives at each end.
    pub(super) fn break_off(
        &mut self,
        now: Time,
        id: u64,
        silent: Option<End>,
        chance: &mut Stream,
    ) -> [Time; 2] {
        let Some(connection) = self.connections.get_mut(&id) else { return [now; 2] };
        connection.is_broken = true;
        [End::Client, End::Server].map(|end| {
            let flow = connection.flow(end);
            let kept = if silent == Some(end) { 0 } else { chance.below(flow.queue.len() + 1) };
            flow.queue.truncate(kept);
            if kept == 0 { now } else { flow.last.max(now) }
        })
    }

    /// The connections that a node has an open end of.
    pub(super) fn of(&self, node: Node) -> Vec<(u64, End)> {
        let ends = |(id, connection): (&u64, &Connection)| {
            let end = |flow: &Flow, end| (flow.is_open && flow.node == node).then_some((*id, end));
            end(&connection.client, End::Client).or(end(&connection.server, End::Server))
        };
        self.connections.iter().filter_map(ends).collect()
    }

    /// The live connections between two nodes.
    pub(super) fn between(&self, client: Node, server: Node) -> Vec<u64> {
        let is_one = |connection: &Connection| {
            connection.client.node == client && connection.server.node == server && !connection.is_broken
        };
        self.connections.iter().filter(|(_, known)| is_one(known)).map(|(id, _)| *id).collect()
    }

    /// Lets nothing through from one node to another until then.
    pub(super) fn block(&mut self, from: Node, to: Node, until: Time) {
        let blocked = self.blocked.entry((from, to)).or_default();
        *blocked = until.max(*blocked);
    }

    /// Makes everything to and from a node slow until then.
    pub(super) fn slow_down(&mut self, node: Node, until: Time, by: Duration) {
        self.slow.insert(node, (until, by));
    }

    /// All paths are as they should be.
    pub(super) fn heal(&mut self) {
        self.blocked.clear();
        self.slow.clear();
    }
}
