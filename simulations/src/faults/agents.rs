//! Agents in the world: the production machine and its way to the master.

use std::collections::BTreeMap;
use std::time::Duration;

use apportion::agent::{Agent, AgentInput, AgentOutput, Checkpoint};
use apportion::protocol::{
    AgentCall, AgentEvent, AgentId, AgentInfo, ConnectionId, Epoch, ExecutorEvent, ExecutorId, FrameworkId,
};
use apportion::time::Time;

use super::clock::Clock;
use super::disk::Disk;
use super::ledger::Rule;
use super::network::End;
use super::node::Node;
use super::packet::Packet;
use super::plan::Moment;
use super::world::{Event, Link, RESTART_DELAY, Sabotage, World};

/// How long an agent that has left in order stays away.
const AWAY: Duration = Duration::from_secs(5);

/// An agent's process and its machine.
pub(super) struct AgentNode {
    pub(super) id: AgentId,
    pub(super) info: AgentInfo,
    /// Counts its processes.
    pub(super) life: u32,
    pub(super) machine: Option<Agent>,
    pub(super) clock: Clock,
    pub(super) link: Link,
    pub(super) wake: Option<Time>,
    pub(super) disk: Disk<Checkpoint>,
    /// The executors that run on its machine.
    pub(super) executors: BTreeMap<(FrameworkId, ExecutorId), u64>,
    /// How many tasks it told of when it registered last.
    pub(super) told_tasks: usize,
    /// The epoch in which the master leads that it is connected to, whatever that claims.
    pub(super) led_in: Epoch,
    /// The epoch of the newest master that this process of it has heard of.
    pub(super) newest: Epoch,
    /// How many masters it has refused.
    pub(super) refused: u64,
}

impl World {
    pub(super) fn start_agent(&mut self, place: usize) {
        let clock = self.new_clock();
        let node = &mut self.agents[place];
        node.life += 1;
        node.newest = Epoch::FIRST;
        node.clock = clock;
        node.wake = None;
        node.link = Link::default();
        let (now, mut out) = (clock.read(self.now), Vec::new());
        let checkpoint = node.disk.durable.clone();
        let agent = Agent::recovered(now, node.id.clone(), node.info.clone(), checkpoint, &mut out);
        node.machine = Some(agent);
        self.carry_out_agent(place, out);
        self.wake_later(Node::Agent(place));
        self.connect_soon(Node::Agent(place));
    }

    pub(super) fn agent_input(&mut self, place: usize, input: AgentInput) {
        let node = &mut self.agents[place];
        let Some(machine) = &mut node.machine else { return };
        let mut out = Vec::new();
        machine.handle(node.clock.read(self.now), input, &mut out);
        let crash = self.struck(Node::Agent(place), |moment| {
            out.iter().any(|output| match (moment, output) {
                (Moment::Speaking, AgentOutput::ToMaster(call)) => !matches!(call, AgentCall::Pong),
                (Moment::Speaking, AgentOutput::ToExecutor { .. }) => true,
                (Moment::Acknowledging, AgentOutput::ToExecutor { event, .. }) => {
                    matches!(event, ExecutorEvent::Acknowledge { .. })
                }
                (Moment::Writing, AgentOutput::Store { .. }) => true,
                _ => false,
            })
        });
        self.interrupt(crash, &mut out);
        self.carry_out_agent(place, out);
        match crash {
            Some(fault) => self.strike(fault, Some(Node::Agent(place))),
            None => self.wake_later(Node::Agent(place)),
        }
    }

    fn carry_out_agent(&mut self, place: usize, out: Vec<AgentOutput>) {
        let mut has_ended = false;
        for output in out {
            match output {
                AgentOutput::Store { number, records } => {
                    self.agents[place].disk.write(number, records);
                    self.tell_too_early(Node::Agent(place), number);
                    self.begin_writing(place);
                }
                AgentOutput::RefuseMaster(deposed) => {
                    self.agents[place].refused += 1;
                    self.refuse_server(Node::Agent(place), &deposed);
                }
                AgentOutput::ToMaster(call) => self.agent_says(place, call),
                AgentOutput::ToExecutor { connection, event } => {
                    self.send(connection.0, End::Client, Packet::ExecutorEvent(event));
                }
                AgentOutput::DisconnectExecutor { connection, reason } => {
                    self.say(|| format!("agent-{} ends connection {connection}: {reason}", place + 1));
                    self.hang_up(connection.0, End::Server);
                }
                AgentOutput::StartExecutor { framework, executor, .. } => {
                    self.launch_executor(place, framework, executor);
                }
                AgentOutput::AdoptExecutor { framework, executor } => {
                    let key = (framework, executor);
                    if !self.agents[place].executors.contains_key(&key) {
                        self.executor_is_missed(place, key, "it is not there any more");
                    }
                }
                AgentOutput::StopExecutor { framework, executor } => {
                    let key = (framework, executor);
                    if let Some(number) = self.agents[place].executors.get(&key).copied() {
                        self.executor_ends(number, "it was killed");
                    }
                }
                // Tasks of this simulation have no volumes.
                AgentOutput::KeepVolumes(_) => {}
                AgentOutput::Stop => has_ended = true,
            }
        }
        if has_ended {
            self.agent_ends(place);
            self.later(self.now + AWAY, Event::Start(Node::Agent(place)));
        }
    }

    fn begin_writing(&mut self, place: usize) {
        let node = &mut self.agents[place];
        if let Some(takes) = node.disk.begin(self.now, &mut self.chance.disks) {
            let life = node.life;
            self.later(self.now + takes, Event::Written { node: Node::Agent(place), life });
        }
    }

    /// A write has ended. An agent that can't write ends, and its executors go on.
    pub(super) fn agent_has_written(&mut self, place: usize) {
        match self.agents[place].disk.finish(self.now, &mut self.chance.disks) {
            Some(number) => {
                if self.sabotage != Some(Sabotage::StoredTooEarly) {
                    self.agent_input(place, AgentInput::Stored(number));
                }
                self.begin_writing(place);
            }
            None => {
                self.say(|| format!("agent-{} can't write and ends", place + 1));
                self.agent_ends(place);
                self.later(self.now + RESTART_DELAY, Event::Start(Node::Agent(place)));
            }
        }
    }

    fn agent_says(&mut self, place: usize, mut call: AgentCall) {
        let Some(connection) = self.agents[place].link.connection else { return };
        if self.sabotage == Some(Sabotage::FreedTooEarly)
            && let AgentCall::Update { latest, .. } = &mut call
        {
            *latest = apportion::protocol::TaskState::Finished;
        }
        if self.sabotage == Some(Sabotage::UpdatesVanish)
            && matches!(&call, AgentCall::Update { status, .. } if status.state.is_terminal())
        {
            return;
        }
        self.send(connection, End::Server, Packet::AgentCall(call));
    }

    /// An agent's process is gone; its executors go on.
    pub(super) fn agent_ends(&mut self, place: usize) {
        let node = &mut self.agents[place];
        if node.machine.take().is_some() {
            node.link = Link::default();
            node.disk.crash(&mut self.chance.disks);
            self.connections_end(Node::Agent(place));
        }
    }

    /// An agent hears something on a connection.
    pub(super) fn agent_hears(&mut self, place: usize, connection: u64, packet: Packet) {
        let connection_id = ConnectionId(connection);
        let input = match packet {
            Packet::AgentEvent(event) => return self.master_speaks(place, connection, event),
            Packet::ExecutorCall(call) => AgentInput::ExecutorCall { connection: connection_id, call },
            Packet::Opened => {
                let Some(Node::Executor(number)) = self.network.node(connection, End::Client) else { return };
                let Some(executor) = self.executors.get(&number) else { return };
                let (framework, executor) = executor.key.clone();
                AgentInput::ExecutorConnected { connection: connection_id, framework, executor }
            }
            _ => return,
        };
        self.agent_input(place, input);
    }

    /// An agent hears a master. It refuses one that another has succeeded that it has heard of.
    fn master_speaks(&mut self, place: usize, connection: u64, event: AgentEvent) {
        let Some(Node::Master(master)) = self.network.node(connection, End::Server) else { return };
        let node = &mut self.agents[place];
        let (epoch, newest, refused) = (node.led_in, node.newest, node.refused);
        let is_registered = matches!(event, AgentEvent::Registered { .. });
        if is_registered {
            node.newest = newest.max(epoch);
        }
        self.agent_input(place, AgentInput::Master(event));
        let node = &self.agents[place];
        if is_registered && epoch < newest && node.machine.is_some() && node.refused == refused {
            self.ledger.violate(Rule::OneLeader, || {
                format!(
                    "agent-{} takes master-{} for its leader, which has a successor",
                    place + 1,
                    master + 1
                )
            });
        }
    }

    /// An agent will see that an executor is not there any more, if it lives for long enough.
    pub(super) fn executor_is_missed(&mut self, place: usize, key: (FrameworkId, ExecutorId), message: &str) {
        if let Some(life) = self.life(Node::Agent(place)) {
            let exited = Event::ExecutorExited { agent: place, life, key, message: message.to_owned() };
            self.later(self.now + Duration::from_millis(1), exited);
        }
    }

    /// An executor of the agent's has ended.
    pub(super) fn executor_exited(
        &mut self,
        place: usize,
        life: u32,
        (framework, executor): (FrameworkId, ExecutorId),
        message: &str,
    ) {
        if self.life(Node::Agent(place)) == Some(life) {
            let message = message.to_owned();
            self.agent_input(place, AgentInput::ExecutorExited { framework, executor, message });
        }
    }

    pub(super) fn connect_soon(&mut self, client: Node) {
        let Some(life) = self.life(client) else { return };
        let Some(link) = self.link(client) else { return };
        let backoff = link.next_backoff();
        let at = self.now + backoff.mul_f64(0.5 + self.chance.network.unit());
        self.later(at, Event::Connect { client, life });
    }
}
