//! The world of a simulation: parties, messages under way, the clock.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use apportion::allocator::DrfAllocator;
use apportion::master::{Input, Master, Output};
use apportion::protocol::operator::OperatorRequest;
use apportion::protocol::{
    AgentCall, AgentEvent, AgentId, ConnectionId, FrameworkId, Identity, IdentityKind, OperatorCall,
    RequestId, SchedulerCall, SchedulerEvent, Weight,
};
use apportion::resources::{Resources, Role};
use apportion::scheduler::{SchedulerInput, SchedulerOutput, SchedulerProcess};
use apportion::time::Time;

use crate::agent::TimerAgent;
use crate::queue::QueueFramework;

/// The connection of whoever sets weights.
const OPERATOR: ConnectionId = ConnectionId(0);

/// Something that happens: to whom, and what.
#[derive(Debug)]
enum Event {
    ToMaster(Input),
    ToAgent(ConnectionId, AgentEvent),
    ToFramework(ConnectionId, SchedulerEvent),
    /// A party's timer may be due.
    Wake(Party),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Party {
    Master,
    Agent(ConnectionId),
    Framework(ConnectionId),
}

/// A cluster in virtual time.
///
/// Events are handled in the order of their time; those of one time, in the order in which they were caused.
pub struct Simulation {
    now: Time,
    latency: Duration,
    events: u64,
    caused: u64,
    queue: BinaryHeap<Reverse<(Time, u64)>>,
    pending: BTreeMap<u64, Event>,
    master: Master,
    agents: BTreeMap<ConnectionId, TimerAgent>,
    frameworks: BTreeMap<ConnectionId, (FrameworkId, SchedulerProcess<QueueFramework>)>,
    wakes: BTreeMap<Party, Time>,
    last_connection: u64,
}

impl Simulation {
    /// An empty cluster, whose messages take `latency` each.
    pub fn new(latency: Duration) -> Self {
        let mut simulation = Simulation {
            now: Time::ZERO,
            latency,
            events: 0,
            caused: 0,
            queue: BinaryHeap::new(),
            pending: BTreeMap::new(),
            master: Master::new(DrfAllocator::default()),
            agents: BTreeMap::new(),
            frameworks: BTreeMap::new(),
            wakes: BTreeMap::new(),
            last_connection: OPERATOR.0,
        };
        simulation.connect(OPERATOR, IdentityKind::Operator, "simulation");
        simulation
    }

    /// Virtual time since the start.
    pub fn elapsed(&self) -> Duration {
        self.now.since(Time::ZERO)
    }

    /// How many events have been handled.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// The frameworks, in the order in which they were added.
    pub fn frameworks(&self) -> impl Iterator<Item = (&FrameworkId, &QueueFramework)> {
        self.frameworks.values().map(|(id, process)| (id, process.scheduler()))
    }

    /// The master, to look at.
    pub fn master(&self) -> &Master {
        &self.master
    }

    /// Sets a role's weight.
    pub fn set_weight(&mut self, role: Role, weight: Weight) {
        let call = OperatorCall::SetWeight { role, weight };
        let request = OperatorRequest { request: RequestId(0), call };
        self.cause(Duration::ZERO, Event::ToMaster(Input::Operator { connection: OPERATOR, request }));
    }

    /// Adds an agent; agents are named by their number.
    pub fn add_agent(&mut self, resources: Resources) {
        let connection = self.next_connection();
        let Ok(id) = AgentId::new(format!("agent{:06}", self.agents.len() + 1)) else { return };
        self.connect(connection, IdentityKind::Agent, id.as_str());
        let agent = TimerAgent::new(id, resources);
        let call = agent.register();
        self.agents.insert(connection, agent);
        self.cause(self.latency, Event::ToMaster(Input::Agent { connection, call }));
    }

    /// Adds a framework.
    pub fn add_framework(&mut self, id: FrameworkId, framework: QueueFramework) {
        let connection = self.next_connection();
        self.connect(connection, IdentityKind::Framework, id.as_str());
        let mut process = SchedulerProcess::new(framework);
        let mut out = Vec::new();
        process.handle(self.now, SchedulerInput::Connected, &mut out);
        self.frameworks.insert(connection, (id, process));
        self.after_framework(connection, out);
    }

    /// Runs until all jobs have ended, nothing further can happen, or `until` has passed.
    pub fn run(&mut self, until: Option<Duration>) {
        let end = until.map_or(Time::MAX, |until| Time::ZERO + until);
        while let Some(Reverse((at, number))) = self.queue.pop() {
            if at > end {
                self.now = end;
                return;
            }
            self.now = at;
            if let Some(event) = self.pending.remove(&number) {
                self.events += 1;
                self.handle(event);
            }
            if until.is_none() && self.frameworks().all(|(_, framework)| framework.is_done()) {
                return;
            }
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::ToMaster(input) => self.tell_master(input),
            Event::ToAgent(connection, event) => {
                let Some(agent) = self.agents.get_mut(&connection) else { return };
                let mut out = Vec::new();
                agent.handle(self.now, event, &mut out);
                self.after_agent(connection, out);
            }
            Event::ToFramework(connection, event) => {
                let Some((_, process)) = self.frameworks.get_mut(&connection) else { return };
                let mut out = Vec::new();
                process.handle(self.now, SchedulerInput::Event(event), &mut out);
                self.after_framework(connection, out);
            }
            Event::Wake(party) => self.wake(party),
        }
    }

    fn wake(&mut self, party: Party) {
        if self.wakes.get(&party).is_some_and(|at| *at <= self.now) {
            self.wakes.remove(&party);
        }
        match party {
            Party::Master => self.tell_master(Input::Tick),
            Party::Agent(connection) => {
                let Some(agent) = self.agents.get_mut(&connection) else { return };
                let mut out = Vec::new();
                agent.tick(self.now, &mut out);
                self.after_agent(connection, out);
            }
            Party::Framework(connection) => {
                let Some((_, process)) = self.frameworks.get_mut(&connection) else { return };
                let mut out = Vec::new();
                process.handle(self.now, SchedulerInput::Tick, &mut out);
                self.after_framework(connection, out);
            }
        }
    }

    fn tell_master(&mut self, input: Input) {
        let mut out = Vec::new();
        self.master.handle(self.now, input, &mut out);
        for output in out {
            match output {
                Output::ToAgent { connection, event } => {
                    self.cause(self.latency, Event::ToAgent(connection, event))
                }
                Output::ToScheduler { connection, event } => {
                    self.cause(self.latency, Event::ToFramework(connection, event));
                }
                Output::ToOperator { .. } | Output::Disconnect { .. } => {}
            }
        }
        let deadline = self.master.next_deadline();
        self.wake_at(Party::Master, deadline);
    }

    fn after_agent(&mut self, connection: ConnectionId, calls: Vec<AgentCall>) {
        for call in calls {
            self.cause(self.latency, Event::ToMaster(Input::Agent { connection, call }));
        }
        let deadline = self.agents.get(&connection).and_then(TimerAgent::next_deadline);
        self.wake_at(Party::Agent(connection), deadline);
    }

    fn after_framework(&mut self, connection: ConnectionId, outputs: Vec<SchedulerOutput>) {
        for output in outputs {
            if let SchedulerOutput::Send(call) = output {
                self.send_call(connection, call);
            }
        }
        let deadline = self.frameworks.get(&connection).and_then(|(_, process)| process.next_deadline());
        self.wake_at(Party::Framework(connection), deadline);
    }

    fn send_call(&mut self, connection: ConnectionId, call: SchedulerCall) {
        self.cause(self.latency, Event::ToMaster(Input::Scheduler { connection, call }));
    }

    /// Wakes a party at its deadline, unless it is woken by then anyway.
    fn wake_at(&mut self, party: Party, deadline: Option<Time>) {
        let Some(at) = deadline.map(|deadline| deadline.max(self.now)) else { return };
        if self.wakes.get(&party).is_some_and(|before| *before <= at) {
            return;
        }
        self.wakes.insert(party, at);
        self.cause(at.since(self.now), Event::Wake(party));
    }

    fn connect(&mut self, connection: ConnectionId, kind: IdentityKind, name: &str) {
        if let Ok(peer) = Identity::new("simulation", kind, name) {
            self.cause(Duration::ZERO, Event::ToMaster(Input::Connected { connection, peer }));
        }
    }

    fn next_connection(&mut self) -> ConnectionId {
        self.last_connection += 1;
        ConnectionId(self.last_connection)
    }

    fn cause(&mut self, delay: Duration, event: Event) {
        self.caused += 1;
        self.queue.push(Reverse((self.now + delay, self.caused)));
        self.pending.insert(self.caused, event);
    }
}
