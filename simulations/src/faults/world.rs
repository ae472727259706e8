//! The world of one run: processes, what is between them, and the clock that drives all.

use std::collections::BTreeMap;
use std::time::Duration;

use apportion::agent::{AgentInput, Checkpoint};
use apportion::executor::ExecutorInput;
use apportion::master::Input;
use apportion::protocol::{
    AgentId, AgentInfo, Epoch, ExecutorId, FrameworkId, Identity, IdentityKind, TaskId,
};
use apportion::scheduler::{Records, SchedulerInput};
use apportion::store::MemoryStore;
use apportion::time::Time;

use super::agents::AgentNode;
use super::clock::{Clock, TRUE_RATE};
use super::disk::{Disk, RecordDisk};
use super::executors::{ExecutorNode, TaskEvent};
use super::frameworks::{FrameworkNode, Operator};
use super::ledger::{Ledger, Rule};
use super::masters::MasterNode;
use super::network::{End, Network};
use super::node::Node;
use super::plan::{Fault, Plan};
use super::record::Record;
use super::settling::Stage;
use super::workload::Workload;
use crate::engine::{Calendar, Class};
use crate::random::Stream;

/// The service framework's id.
pub(super) const SERVICE: &str = "service";

/// The batch framework's id.
pub(super) const BATCH: &str = "batch";

/// The time of day when a run begins; clocks may show less.
pub(super) const START: Time = Time::from_secs(1_000_000);

/// So many steps at one moment mean that somebody never comes to rest.
const MAX_STEPS_AT_ONCE: u64 = 100_000;

/// After so long a process is started again that could not write.
pub(super) const RESTART_DELAY: Duration = Duration::from_secs(2);

/// How long a process takes at most until it does what is due.
pub(super) const LATENESS: Duration = Duration::from_millis(1);

/// A rule that the world breaks on behalf of a machine, so that a test sees whether that is noticed. No run that is not such a test has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// Masters and agents hear that a write is durable before it is.
    StoredTooEarly,
    /// Masters hear with a task's first update that it has ended, and offer what it uses again.
    FreedTooEarly,
    /// The network loses the ends of tasks on connections that live on.
    UpdatesVanish,
    /// Agents and frameworks hear the same epoch of every master.
    EpochsAlike,
    /// The registry takes what a deposed master writes.
    Unfenced,
    /// A master that takes over goes on with what it wrote itself when it led last.
    OwnRegistry,
}

/// Something that happens at its time.
#[derive(Debug)]
pub(super) enum Event {
    /// The next message to that end of a connection arrives.
    Deliver {
        connection: u64,
        to: End,
    },
    /// That end of a connection notices that it is broken.
    Closed {
        connection: u64,
        at: End,
    },
    /// A connection was silent for too long in the direction of that end.
    Starved {
        connection: u64,
        end: End,
    },
    /// A client tries to connect.
    Connect {
        client: Node,
        life: u32,
    },
    /// Something may be due.
    Wake {
        node: Node,
        life: u32,
    },
    /// A process starts.
    Start(Node),
    /// A process' write ends.
    Written {
        node: Node,
        life: u32,
    },
    /// A process is told that a write is durable, which may not be so.
    ToldTooEarly {
        node: Node,
        life: u32,
        number: u64,
    },
    /// Something happens to a task's process.
    Task {
        executor: u64,
        task: TaskId,
        event: TaskEvent,
    },
    /// An agent sees that an executor has ended.
    ExecutorExited {
        agent: usize,
        life: u32,
        key: (FrameworkId, ExecutorId),
        message: String,
    },
    /// A master finds out that it does not lead any more.
    Deposed {
        place: usize,
        life: u32,
    },
    /// A client looks for another master.
    Estranged(Node),
    /// A fault strikes.
    Strike(Fault),
    /// The operator asks for something: the number of the order.
    OrderService(usize),
    OrderJob(usize),
    /// Everything is repaired.
    Heal,
    /// Has all come to rest?
    Look,
}

/// A client's way to its server.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Link {
    pub(super) connection: Option<u64>,
    /// When that came about.
    pub(super) since: Time,
    pub(super) failures: u32,
}

impl Link {
    /// There is a connection.
    pub(super) fn connected(&mut self, now: Time, connection: u64) {
        (self.connection, self.since) = (Some(connection), now);
    }

    /// There is none any more. One that has lasted for a while was no failure.
    pub(super) fn disconnected(&mut self, now: Time) {
        let lasted = now.since(self.since) > Duration::from_secs(1);
        self.failures = if self.connection.take().is_some() && lasted { 0 } else { self.failures + 1 };
    }

    /// How long to wait before the next try, as the runtime does.
    pub(super) fn next_backoff(&self) -> Duration {
        (Duration::from_millis(50) * (1 << self.failures.min(7))).min(Duration::from_secs(5))
    }
}

/// Random numbers, by what they are for.
pub(super) struct Chance {
    pub(super) network: Stream,
    pub(super) disks: Stream,
    pub(super) tasks: Stream,
    pub(super) clocks: Stream,
    pub(super) crashes: Stream,
}

/// One run.
pub(super) struct World {
    pub(super) now: Time,
    calendar: Calendar<Event>,
    pub(super) network: Network,
    pub(super) masters: Vec<MasterNode>,
    /// Which of them leads.
    pub(super) leader: usize,
    pub(super) agents: Vec<AgentNode>,
    pub(super) frameworks: Vec<FrameworkNode>,
    pub(super) executors: BTreeMap<u64, ExecutorNode>,
    pub(super) last_executor: u64,
    pub(super) stalled: BTreeMap<Node, Time>,
    /// Faults that wait for their moment.
    pub(super) armed: Vec<Fault>,
    pub(super) ends: Time,
    pub(super) stage: Stage,
    workload: Workload,
    pub(super) operator: Operator,
    pub(super) chance: Chance,
    /// Frameworks remember what they did before they died.
    pub(super) keeps_records: bool,
    pub(super) sabotage: Option<Sabotage>,
    pub(super) ledger: Ledger,
    pub(super) record: Record,
    steps_at_once: u64,
}

impl World {
    pub(super) fn new(
        seed: u64,
        plan: &Plan,
        workload: Workload,
        sabotage: Option<Sabotage>,
        record: Record,
    ) -> Self {
        let stream = |name: &str| Stream::named(seed, &format!("faults/{name}"));
        let clock = Clock::new(START, START, TRUE_RATE);
        let master = || MasterNode {
            life: 0,
            machine: None,
            clock,
            disk: Disk::new(MemoryStore::default()),
            epoch: Epoch::FIRST,
            wake: None,
        };
        let agent = |(place, resources): (usize, &apportion::resources::Resources)| {
            let name = Node::Agent(place).to_string();
            let id = AgentId::new(name.as_str()).ok()?;
            Some(AgentNode {
                disk: Disk::new(Checkpoint::new(id.clone())),
                id,
                info: AgentInfo::new(name, resources.clone()),
                life: 0,
                machine: None,
                clock,
                link: Link::default(),
                wake: None,
                executors: BTreeMap::new(),
                told_tasks: 0,
                led_in: Epoch::FIRST,
                newest: Epoch::FIRST,
                refused: 0,
            })
        };
        let framework = |name: &str| {
            let id = FrameworkId::new(name).ok()?;
            let records = Records::default();
            Some(FrameworkNode {
                id,
                life: 0,
                process: None,
                clock,
                link: Link::default(),
                wake: None,
                records,
                disk: RecordDisk::default(),
                writing: None,
                inbox: Vec::new(),
            })
        };
        let agents: Vec<_> = workload.agents.iter().enumerate().filter_map(agent).collect();
        let mut world = World {
            now: START,
            calendar: Calendar::default(),
            network: Network::default(),
            masters: vec![master(), master()],
            leader: 0,
            frameworks: [SERVICE, BATCH].into_iter().filter_map(framework).collect(),
            executors: BTreeMap::new(),
            last_executor: 0,
            stalled: BTreeMap::new(),
            armed: Vec::new(),
            ends: START + plan.ends,
            stage: Stage::Trouble,
            operator: Operator::default(),
            chance: Chance {
                network: stream("network"),
                disks: stream("disks"),
                tasks: stream("tasks"),
                clocks: stream("clocks"),
                crashes: stream("crashes"),
            },
            keeps_records: stream("records").unit() < 0.5,
            sabotage,
            ledger: Ledger::new(agents.len()),
            record,
            steps_at_once: 0,
            agents,
            workload,
        };
        world.fill_calendar(plan);
        world
    }

    fn fill_calendar(&mut self, plan: &Plan) {
        for node in self.nodes() {
            self.later(START, Event::Start(node));
        }
        for fault in &plan.faults {
            self.later(START + fault.at, Event::Strike(*fault));
        }
        for (number, at) in self.workload.services.iter().map(|(at, _)| *at).enumerate().collect::<Vec<_>>() {
            self.later(START + at, Event::OrderService(number));
        }
        for (number, at) in self.workload.jobs.iter().map(|(at, _)| *at).enumerate().collect::<Vec<_>>() {
            self.later(START + at, Event::OrderJob(number));
        }
        self.later(self.ends, Event::Heal);
    }

    /// All processes but executors.
    pub(super) fn nodes(&self) -> Vec<Node> {
        let masters = (0..self.masters.len()).map(Node::Master);
        let agents = (0..self.agents.len()).map(Node::Agent);
        masters.chain(agents).chain((0..self.frameworks.len()).map(Node::Framework)).collect()
    }

    /// Runs until all has come to rest, or a rule is broken.
    pub(super) fn run(&mut self) {
        while self.ledger.broken.is_none() && self.stage != Stage::Done {
            let Some(next) = self.calendar.next_time() else { return };
            if next > self.now {
                self.now = next;
                self.steps_at_once = 0;
            }
            let Some(event) = self.calendar.pop_due(self.now) else { return };
            self.record.steps += 1;
            self.steps_at_once += 1;
            if self.steps_at_once > MAX_STEPS_AT_ONCE {
                self.ledger.violate(Rule::Progress, || format!("after {MAX_STEPS_AT_ONCE} steps: {event:?}"));
                return;
            }
            self.happen(event);
        }
    }

    fn happen(&mut self, event: Event) {
        if let Some(node) = self.concerned(&event)
            && let Some(until) = self.stalled.get(&node).copied()
        {
            if until > self.now {
                return self.later(until, event);
            }
            self.stalled.remove(&node);
        }
        let place = self.concerned(&event).map_or(0, |node| match node {
            Node::Master(place) => place as u64,
            Node::Agent(place) => 100 + place as u64,
            Node::Framework(place) => 200 + place as u64,
            Node::Executor(number) => 1000 + number,
        });
        self.record.digest.add([self.now.as_nanos(), place]);
        match event {
            Event::Deliver { connection, to } => self.deliver(connection, to),
            Event::Closed { connection, at } => self.closed(connection, at),
            Event::Starved { connection, end } => self.starved(connection, end),
            Event::Connect { client, life } => self.connect(client, life),
            Event::Wake { node, life } => self.wake(node, life),
            Event::Start(node) => self.start(node),
            Event::Written { node, life } if self.life(node) == Some(life) => match node {
                Node::Master(place) => self.master_has_written(place),
                Node::Agent(place) => self.agent_has_written(place),
                Node::Framework(place) => self.framework_has_written(place),
                Node::Executor(_) => {}
            },
            Event::ToldTooEarly { node, life, number } if self.life(node) == Some(life) => match node {
                Node::Master(place) => self.master_input(place, Input::Stored { number }),
                Node::Agent(place) => self.agent_input(place, AgentInput::Stored(number)),
                Node::Framework(_) | Node::Executor(_) => {}
            },
            Event::Written { .. } | Event::ToldTooEarly { .. } => {}
            Event::Task { executor, task, event } => self.task_event(executor, task, event),
            Event::ExecutorExited { agent, life, key, message } => {
                self.executor_exited(agent, life, key, &message);
            }
            Event::Deposed { place, life } => self.deposed(place, life),
            Event::Estranged(client) if !self.is_calm() => {
                self.cut_connection(client);
            }
            Event::Estranged(_) => {}
            Event::Strike(fault) => self.strike(fault, None),
            Event::OrderService(number) => {
                if let Some((_, request)) = self.workload.services.get(number).cloned() {
                    self.order_service(&request);
                }
            }
            Event::OrderJob(number) => {
                if let Some((_, spec)) = self.workload.jobs.get(number).cloned() {
                    self.order_job(spec);
                }
            }
            Event::Heal => self.heal(),
            Event::Look => self.look(),
        }
    }

    /// The process that has to be awake for it.
    fn concerned(&mut self, event: &Event) -> Option<Node> {
        match event {
            Event::Deliver { connection, to: end } | Event::Closed { connection, at: end } => {
                self.network.node(*connection, *end)
            }
            Event::Connect { client: node, .. }
            | Event::Wake { node, .. }
            | Event::Written { node, .. }
            | Event::ToldTooEarly { node, .. } => Some(*node),
            Event::ExecutorExited { agent, .. } => Some(Node::Agent(*agent)),
            Event::Task { executor, .. } => Some(Node::Executor(*executor)),
            _ => None,
        }
    }

    /// A sabotaged world says at once that a write is durable.
    pub(super) fn tell_too_early(&mut self, node: Node, number: u64) {
        if self.sabotage == Some(Sabotage::StoredTooEarly)
            && let Some(life) = self.life(node)
        {
            self.later(self.now, Event::ToldTooEarly { node, life, number });
        }
    }

    pub(super) fn later(&mut self, at: Time, event: Event) {
        self.calendar.push(at, Class::Message, event);
    }

    pub(super) fn say(&mut self, line: impl FnOnce() -> String) {
        self.record.say(self.now.since(START), line);
    }

    /// Whether nothing goes wrong any more.
    pub(super) fn is_calm(&self) -> bool {
        self.stage != Stage::Trouble
    }

    /// A clock of a machine whose time of day is not quite right.
    pub(super) fn new_clock(&mut self) -> Clock {
        let chance = &mut self.chance.clocks;
        let skew = Duration::from_secs_f64(60.0 * chance.unit().powi(4));
        let ahead = self.now.after(skew).as_nanos() - self.now.as_nanos();
        let local = match chance.unit() < 0.5 {
            true => Time::from_nanos(self.now.as_nanos() + ahead),
            false => Time::from_nanos(self.now.as_nanos() - ahead),
        };
        Clock::new(self.now, local, TRUE_RATE)
    }

    fn start(&mut self, node: Node) {
        if self.is_up(node) || matches!(node, Node::Master(place) if place != self.leader) {
            return;
        }
        self.say(|| format!("{node} starts"));
        match node {
            Node::Master(place) => self.start_master(place),
            Node::Agent(place) => self.start_agent(place),
            Node::Framework(place) => self.start_framework(place),
            Node::Executor(number) => self.start_executor(number),
        }
    }

    /// Whether a process runs.
    pub(super) fn is_up(&self, node: Node) -> bool {
        match node {
            Node::Master(place) => self.masters[place].machine.is_some(),
            Node::Agent(place) => self.agents[place].machine.is_some(),
            Node::Framework(place) => self.frameworks[place].process.is_some(),
            Node::Executor(number) => self.executors.get(&number).is_some_and(|node| node.machine.is_some()),
        }
    }

    /// Which life a running process is in.
    pub(super) fn life(&self, node: Node) -> Option<u32> {
        self.is_up(node).then(|| match node {
            Node::Master(place) => self.masters[place].life,
            Node::Agent(place) => self.agents[place].life,
            Node::Framework(place) => self.frameworks[place].life,
            Node::Executor(_) => 1,
        })
    }

    pub(super) fn link(&mut self, client: Node) -> Option<&mut Link> {
        match client {
            Node::Master(_) => None,
            Node::Agent(place) => Some(&mut self.agents[place].link),
            Node::Framework(place) => Some(&mut self.frameworks[place].link),
            Node::Executor(number) => self.executors.get_mut(&number).map(|node| &mut node.link),
        }
    }

    /// Who a process is, by its certificate.
    pub(super) fn identity(&self, node: Node) -> Option<Identity> {
        let (kind, name) = match node {
            Node::Master(_) => (IdentityKind::Master, "master"),
            Node::Agent(place) => (IdentityKind::Agent, self.agents[place].id.as_str()),
            Node::Framework(place) => (IdentityKind::Framework, self.frameworks[place].id.as_str()),
            Node::Executor(_) => return None,
        };
        Identity::new("simulated", kind, name).ok()
    }

    /// When a process has something to do by its own clock, that clock, and for when its alarm is set.
    fn alarm(&mut self, node: Node) -> Option<(Option<Time>, Clock, &mut Option<Time>)> {
        Some(match node {
            Node::Master(place) => {
                let node = &mut self.masters[place];
                (node.machine.as_ref()?.next_deadline(), node.clock, &mut node.wake)
            }
            Node::Agent(place) => {
                let node = &mut self.agents[place];
                (node.machine.as_ref()?.next_deadline(), node.clock, &mut node.wake)
            }
            Node::Framework(place) => {
                let node = &mut self.frameworks[place];
                (node.process.as_ref()?.next_deadline(), node.clock, &mut node.wake)
            }
            Node::Executor(number) => {
                let node = self.executors.get_mut(&number)?;
                (node.machine.as_ref()?.next_deadline(), node.clock, &mut node.wake)
            }
        })
    }

    /// Sets the alarm for what a process has to do next.
    pub(super) fn wake_later(&mut self, node: Node) {
        let Some(life) = self.life(node) else { return };
        let (now, late) = (self.now, self.chance.network.unit());
        let Some((deadline, clock, wake)) = self.alarm(node) else { return };
        let Some(deadline) = deadline else { return };
        let at = clock.when(deadline).max(now);
        if wake.is_some_and(|set| set <= at + LATENESS) {
            return;
        }
        let at = at + LATENESS.mul_f64(late);
        *wake = Some(at);
        self.later(at, Event::Wake { node, life });
    }

    fn wake(&mut self, node: Node, life: u32) {
        if self.life(node) != Some(life) {
            return;
        }
        let now = self.now;
        // One that was set for later, or was held up, is as good.
        let Some((deadline, clock, wake)) = self.alarm(node) else { return };
        if wake.is_some_and(|set| set > now) {
            return;
        }
        *wake = None;
        if deadline.is_none_or(|deadline| deadline > clock.read(now)) {
            return self.wake_later(node);
        }
        match node {
            Node::Master(place) => self.master_input(place, Input::Tick),
            Node::Agent(place) => self.agent_input(place, AgentInput::Tick),
            Node::Framework(place) => self.framework_input(place, SchedulerInput::Tick),
            Node::Executor(number) => self.executor_input(number, ExecutorInput::Tick),
        }
    }
}
