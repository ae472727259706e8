//! Faults strike, and everything is repaired.

use std::time::Duration;

use apportion::agent::AgentInput;
use apportion::protocol::Exit;
use apportion::time::Time;

use super::clock::TRUE_RATE;
use super::disk::{Disk, Kept};
use super::executors::TaskEvent;
use super::network::{End, IDLE_TIMEOUT};
use super::node::Node;
use super::plan::{Fault, FaultKind, Moment};
use super::settling::Stage;
use super::workload::machine;
use super::world::{Event, World};

impl World {
    /// A fault that has waited for the moment that `node` is in.
    pub(super) fn struck(&mut self, node: Node, is_in: impl Fn(Moment) -> bool) -> Option<Fault> {
        let waits_for = |fault: &Fault| {
            let is_its_kind = match fault.kind {
                FaultKind::MasterCrash | FaultKind::LostLeadership => matches!(node, Node::Master(_)),
                FaultKind::Takeover => node == self.leading_master(),
                FaultKind::AgentCrash => matches!(node, Node::Agent(_)),
                FaultKind::FrameworkCrash => matches!(node, Node::Framework(_)),
                FaultKind::ExecutorCrash => matches!(node, Node::Executor(_)),
                FaultKind::ConnectionCut => !matches!(node, Node::Master(_)),
                _ => false,
            };
            is_its_kind && is_in(fault.moment)
        };
        let place = self.armed.iter().position(waits_for)?;
        Some(self.armed.remove(place))
    }

    /// A process that crashes in the middle of a step has carried out the first of its outputs only.
    pub(super) fn interrupt<T>(&mut self, fault: Option<Fault>, out: &mut Vec<T>) {
        let goes_on = |kind| matches!(kind, FaultKind::ConnectionCut | FaultKind::LostLeadership);
        if fault.is_some_and(|fault| !goes_on(fault.kind)) {
            out.truncate(self.chance.crashes.below(out.len() + 1));
        }
    }

    /// A fault strikes: this process, or one that it chooses.
    pub(super) fn strike(&mut self, fault: Fault, node: Option<Node>) {
        if self.is_calm() {
            return;
        }
        if fault.moment != Moment::Any && node.is_none() {
            return self.armed.push(fault);
        }
        let until = (self.now + fault.lasts).min(self.ends);
        let hit = match fault.kind {
            FaultKind::MasterCrash => self.crash(fault, node.unwrap_or(self.leading_master())),
            FaultKind::LostLeadership => self.lose_leadership(until),
            FaultKind::Takeover => self.take_over(),
            FaultKind::AgentCrash => self.crash(fault, node.unwrap_or(self.some_agent(fault))),
            FaultKind::Reboot => self.reboot(fault),
            FaultKind::FrameworkCrash => self.crash(fault, node.unwrap_or(self.some_framework(fault))),
            FaultKind::ExecutorCrash => match node.or_else(|| self.some_executor(fault)) {
                Some(node) => self.crash(fault, node),
                None => None,
            },
            FaultKind::TaskCrash => self.crash_task(fault),
            FaultKind::ConnectionCut => self.cut_connection(node.unwrap_or(self.some_client(fault))),
            FaultKind::Partition => self.part(self.some_client(fault), [true, true], until),
            FaultKind::DeafMaster => self.part(self.some_client(fault), [true, false], until),
            FaultKind::DeafClient => self.part(self.some_client(fault), [false, true], until),
            FaultKind::SlowNetwork => {
                let client = self.some_client(fault);
                self.network.slow_down(client, until, Duration::from_secs(5));
                Some(client)
            }
            FaultKind::Stall => {
                let node = self.some_node(fault);
                self.stalled.insert(node, until);
                Some(node)
            }
            FaultKind::SlowDisk | FaultKind::WriteError | FaultKind::FullDisk => self.hurt_disk(fault, until),
            FaultKind::FrameworkDisk => self.hurt_framework_disk(fault, until),
            FaultKind::ExecutorStall => self.stall_executor(fault, until),
            FaultKind::ClockDrift => self.drift(fault),
            FaultKind::ChangedResources => {
                let agent = self.some_agent(fault);
                if let Node::Agent(place) = agent {
                    self.agents[place].info.resources = machine(&mut self.chance.crashes);
                }
                self.crash(fault, agent)
            }
            FaultKind::AgentLeaves => {
                let agent = self.some_agent(fault);
                if let Node::Agent(place) = agent {
                    self.agent_input(place, AgentInput::Shutdown);
                }
                Some(agent)
            }
        };
        if let Some(node) = hit {
            *self.record.injected.entry(fault.kind).or_default() += 1;
            self.say(|| format!("FAULT {node}: {fault}"));
        }
    }

    /// A process dies, and starts again when the fault is over.
    fn crash(&mut self, fault: Fault, node: Node) -> Option<Node> {
        if !self.is_up(node) {
            return None;
        }
        match node {
            Node::Master(place) => self.master_ends(place),
            Node::Agent(place) => self.agent_ends(place),
            Node::Framework(place) => self.framework_ends(place),
            Node::Executor(number) => self.executor_ends(number, "it crashed"),
        }
        self.stalled.remove(&node);
        self.later(self.now + fault.lasts, Event::Start(node));
        Some(node)
    }

    fn crash_task(&mut self, fault: Fault) -> Option<Node> {
        let Some(node @ Node::Executor(executor)) = self.some_executor(fault) else { return None };
        let task = self.executors.get(&executor)?.running.first()?.clone();
        self.task_event(executor, task, TaskEvent::Ends(Exit::Signal(11)));
        Some(node)
    }

    pub(super) fn cut_connection(&mut self, node: Node) -> Option<Node> {
        let connections = self.network.of(node);
        for (connection, _) in &connections {
            self.cut(*connection, None);
        }
        (!connections.is_empty()).then_some(node)
    }

    /// Nothing goes to the master, to the client, or both. What is silent for too long is given up.
    fn part(&mut self, client: Node, [to_master, to_client]: [bool; 2], until: Time) -> Option<Node> {
        let master = self.leading_master();
        for (is_blocked, from, to, end) in
            [(to_master, client, master, End::Server), (to_client, master, client, End::Client)]
        {
            if !is_blocked {
                continue;
            }
            self.network.block(from, to, until);
            if until.since(self.now) > IDLE_TIMEOUT {
                for connection in self.network.between(client, master) {
                    self.later(self.now + IDLE_TIMEOUT, Event::Starved { connection, end });
                }
            }
        }
        Some(client)
    }

    fn hurt_disk(&mut self, fault: Fault, until: Time) -> Option<Node> {
        fn hurt<K: Kept>(disk: &mut Disk<K>, kind: FaultKind, until: Time) {
            match kind {
                FaultKind::SlowDisk => disk.slow_down(until),
                FaultKind::FullDisk => disk.fill(until),
                _ => disk.fail_next(),
            }
        }
        let node = if fault.whom.is_multiple_of(3) { self.some_agent(fault) } else { self.leading_master() };
        match node {
            Node::Master(place) => hurt(&mut self.masters[place].disk, fault.kind, until),
            Node::Agent(place) => hurt(&mut self.agents[place].disk, fault.kind, until),
            Node::Framework(_) | Node::Executor(_) => {}
        }
        Some(node)
    }

    fn hurt_framework_disk(&mut self, fault: Fault, until: Time) -> Option<Node> {
        let node = self.some_framework(fault);
        if let Node::Framework(place) = node {
            // Which of the frameworks it is follows from what is odd about it.
            match (fault.whom / 8).is_multiple_of(2) {
                true => self.frameworks[place].disk.fail_next(),
                false => self.frameworks[place].disk.slow_down(until),
            }
        }
        Some(node)
    }

    fn stall_executor(&mut self, fault: Fault, until: Time) -> Option<Node> {
        let executor = self.some_executor(fault)?;
        self.stalled.insert(executor, until);
        Some(executor)
    }

    fn reboot(&mut self, fault: Fault) -> Option<Node> {
        let agent = self.some_agent(fault);
        if let Node::Agent(place) = agent {
            let executors: Vec<u64> = self.agents[place].executors.values().copied().collect();
            self.crash(fault, agent)?;
            for number in executors {
                self.executor_ends(number, "its machine starts anew");
            }
        }
        Some(agent)
    }

    fn drift(&mut self, fault: Fault) -> Option<Node> {
        let node = self.some_node(fault);
        let rate = TRUE_RATE * 4 / 5 + self.chance.clocks.below(TRUE_RATE as usize * 2 / 5) as u64;
        self.set_rate(node, rate);
        Some(node)
    }

    fn set_rate(&mut self, node: Node, rate: u64) {
        let now = self.now;
        match node {
            Node::Master(place) => self.masters[place].clock.set_rate(now, rate),
            Node::Agent(place) => self.agents[place].clock.set_rate(now, rate),
            Node::Framework(place) => self.frameworks[place].clock.set_rate(now, rate),
            Node::Executor(_) => {}
        }
        self.wake_later(node);
    }

    fn some_agent(&self, fault: Fault) -> Node {
        Node::Agent(fault.whom % self.agents.len())
    }

    fn some_framework(&self, fault: Fault) -> Node {
        Node::Framework(fault.whom % self.frameworks.len())
    }

    fn some_executor(&self, fault: Fault) -> Option<Node> {
        let place = fault.whom.checked_rem(self.executors.len())?;
        self.executors.keys().nth(place).copied().map(Node::Executor)
    }

    /// An agent or a framework.
    fn some_client(&self, fault: Fault) -> Node {
        match fault.whom % (self.agents.len() + self.frameworks.len()) {
            place if place < self.agents.len() => Node::Agent(place),
            place => Node::Framework(place - self.agents.len()),
        }
    }

    fn some_node(&self, fault: Fault) -> Node {
        let nodes = self.nodes();
        nodes[fault.whom % nodes.len()]
    }

    /// Everything is repaired, and every process runs.
    pub(super) fn heal(&mut self) {
        self.say(|| "nothing goes wrong any more".to_owned());
        self.stage = Stage::Settling;
        self.armed.clear();
        self.network.heal();
        self.stalled.clear();
        for master in &mut self.masters {
            master.disk.heal();
        }
        for agent in &mut self.agents {
            agent.disk.heal();
        }
        for framework in &mut self.frameworks {
            framework.disk.heal();
        }
        for node in self.nodes() {
            self.set_rate(node, TRUE_RATE);
            self.later(self.now, Event::Start(node));
        }
        self.look();
    }
}
