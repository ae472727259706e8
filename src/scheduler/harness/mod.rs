//! A cluster in a test: the real master and allocator with simulated agents around any [`Scheduler`], in virtual time.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use apportion::protocol::{Command, CommandInfo, FrameworkInfo, TaskId, Work};
//! use apportion::resources::{Resources, Role, Shape};
//! use apportion::scheduler::harness::TestMasterBuilder;
//! use apportion::scheduler::{Plan, Planned, Reconciler, TaskRequest, View};
//!
//! struct Once;
//!
//! impl Reconciler for Once {
//!     fn framework_info(&self) -> FrameworkInfo {
//!         FrameworkInfo::new("once", Role::any())
//!     }
//!
//!     fn reconcile(&mut self, view: &View<'_>, plan: &mut Plan) {
//!         if view.queued() == 0 && view.tasks().count() == 0 {
//!             let shape = Arc::new(Shape::from(Resources::cpus_mem(500, 64)));
//!             let work = Work::Command(Arc::new(CommandInfo::new(Command::Shell("date".into()))));
//!             plan.launch(TaskRequest::new(TaskId::new("date").unwrap(), Role::any(), shape, work));
//!         }
//!     }
//! }
//!
//! let mut cluster = TestMasterBuilder::default()
//!     .agent("a1", "cpus:1;mem:128".parse().unwrap())
//!     .tasks_finish_after(Duration::from_secs(3))
//!     .start(Planned::new(Once));
//! assert_eq!(cluster.running().len(), 1);
//! cluster.advance(Duration::from_secs(3));
//! assert!(cluster.running().is_empty());
//! ```

mod agents;

use std::collections::VecDeque;
use std::time::Duration;

use self::agents::{Agents, Ending};
use super::{Records, Scheduler, SchedulerInput, SchedulerOutput, SchedulerProcess};
use crate::allocator::{DrfAllocator, DrfOptions};
use crate::master::{Input, Master, Output};
use crate::protocol::{
    AgentId, ConnectionId, Identity, IdentityKind, Operation, Reason, RequestId, SchedulerCall,
    SchedulerEvent, TaskId, TaskState, TaskStatus,
};
use crate::resources::Resources;
use crate::time::Time;

/// So many exchanges at one moment mean that the scheduler never comes to rest.
const MAX_EXCHANGES: usize = 100_000;

/// What a [`TestMaster`] begins with.
#[derive(Debug, Default)]
pub struct TestMasterBuilder {
    agents: Vec<(String, Resources)>,
    task_duration: Option<Duration>,
}

impl TestMasterBuilder {
    /// With an agent, whose host has the same name.
    #[must_use]
    pub fn agent(mut self, name: &str, resources: Resources) -> Self {
        self.agents.push((name.to_owned(), resources));
        self
    }

    /// Tasks finish by themselves after so long. Otherwise they run until they are told to end.
    #[must_use]
    pub fn tasks_finish_after(mut self, duration: Duration) -> Self {
        self.task_duration = Some(duration);
        self
    }

    /// Registers the agents, subscribes the scheduler, and lets things happen until nothing does.
    ///
    /// # Panics
    /// When an agent's name can't be one.
    pub fn start<S: Scheduler>(self, scheduler: S) -> TestMaster<S> {
        let mut test = TestMaster {
            now: Time::ZERO,
            master: Master::new(DrfAllocator::new(DrfOptions::default())),
            process: SchedulerProcess::new(scheduler),
            records: Records::new(),
            agents: Agents::new(self.task_duration),
            connection: None,
            connections: 0,
            events: VecDeque::new(),
            calls: Vec::new(),
            replies: Vec::new(),
            rejection: None,
            stopped: false,
        };
        for (name, resources) in self.agents {
            test.register(&name, resources);
        }
        test.restore();
        test.reconnect();
        test
    }
}

/// The real [`Master`] with its allocator, and simulated agents, around one scheduler.
///
/// Time stands still but for [`advance`](Self::advance). Equal calls give equal [`calls`](Self::calls). Its methods panic
/// when they are used wrongly (an agent or task that there isn't), or when the scheduler never comes to rest.
pub struct TestMaster<S> {
    now: Time,
    master: Master,
    process: SchedulerProcess<S>,
    records: Records,
    agents: Agents,
    connection: Option<ConnectionId>,
    connections: u64,
    events: VecDeque<SchedulerEvent>,
    calls: Vec<SchedulerCall>,
    replies: Vec<(RequestId, Vec<u8>, bool)>,
    rejection: Option<String>,
    stopped: bool,
}

impl<S: Scheduler> TestMaster<S> {
    /// The time: how long the test has run.
    pub fn now(&self) -> Time {
        self.now
    }

    /// The scheduler.
    pub fn scheduler(&self) -> &S {
        self.process.scheduler()
    }

    /// Every call that the scheduler has made, oldest first.
    pub fn calls(&self) -> &[SchedulerCall] {
        &self.calls
    }

    /// The tasks that run, by id.
    pub fn running(&self) -> Vec<TaskId> {
        self.tasks()
            .into_iter()
            .filter(|(.., state)| *state == TaskState::Running)
            .map(|(id, ..)| id)
            .collect()
    }

    /// The tasks that agents hold, by id: those that run, and those whose end was not acknowledged.
    pub fn tasks(&self) -> Vec<(TaskId, AgentId, TaskState)> {
        self.agents.tasks()
    }

    /// Whether the scheduler has torn down its framework.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Lets what is under way at this moment happen.
    pub fn run_until_idle(&mut self) {
        for _ in 0..MAX_EXCHANGES {
            if !self.step() {
                return;
            }
        }
        panic!(
            "the scheduler goes on calling at {} without end; its last call: {:?}",
            self.now,
            self.calls.last()
        );
    }

    /// Lets time pass, with all that happens meanwhile.
    pub fn advance(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            self.run_until_idle();
            let deadlines =
                [self.process.next_deadline(), self.master.next_deadline(), self.agents.next_deadline()];
            match deadlines.into_iter().flatten().min() {
                Some(next) if next <= end => self.now = self.now.max(next),
                _ => break,
            }
        }
        self.now = end;
        self.run_until_idle();
    }

    /// A new agent, or one that was lost and comes back with nothing on it.
    pub fn add_agent(&mut self, name: &str, resources: Resources) {
        self.register(name, resources);
        self.run_until_idle();
    }

    /// The agent's machine dies. The master finds out when pings go unanswered; see
    /// [`AGENT_PING_INTERVAL`](crate::master::AGENT_PING_INTERVAL).
    pub fn lose_agent(&mut self, name: &str) {
        let connection = self.agents.lose(name);
        self.tell_master(Input::Disconnected { connection });
        self.run_until_idle();
    }

    /// A task ends with success.
    pub fn finish(&mut self, task: &str) {
        self.end(task, Ending::Finished);
    }

    /// A task ends without success.
    pub fn fail(&mut self, task: &str) {
        self.end(task, Ending::Failed);
    }

    /// The next offers that are used turn out not to be valid any more.
    pub fn reject_next(&mut self, reason: &str) {
        self.rejection = Some(reason.to_owned());
    }

    /// Takes back all offers that the scheduler holds; agents register anew, with what runs on them.
    pub fn rescind_all(&mut self) {
        for name in self.agents.names() {
            let connection = self.next_connection();
            let registration = self.agents.reconnect(self.now, &name, connection);
            self.connect(connection, IdentityKind::Agent, &name);
            self.tell_master(Input::Agent { connection, call: registration });
        }
        self.run_until_idle();
    }

    /// The connection between the scheduler and the master breaks.
    pub fn disconnect(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.events.clear();
            self.tell_scheduler(SchedulerInput::Disconnected);
            self.tell_master(Input::Disconnected { connection });
            self.run_until_idle();
        }
    }

    /// The scheduler connects again.
    pub fn reconnect(&mut self) {
        let connection = self.next_connection();
        self.connection = Some(connection);
        let name = self.process.scheduler().framework_info().name;
        self.connect(connection, IdentityKind::Framework, &name);
        self.tell_scheduler(SchedulerInput::Connected);
        self.run_until_idle();
    }

    /// The scheduler's process dies. `scheduler` is its next life, which goes on from what was recorded, once it
    /// [connects](Self::reconnect).
    pub fn restart(&mut self, scheduler: S) {
        self.disconnect();
        self.process = SchedulerProcess::new(scheduler);
        self.restore();
    }

    /// Asks something of the scheduler as the program around it does; its answers so far, each with whether it is the
    /// last.
    pub fn request(&mut self, data: &[u8]) -> Vec<(Vec<u8>, bool)> {
        self.connections += 1;
        let request = RequestId(self.connections);
        self.tell_scheduler(SchedulerInput::LocalRequest { request, data: data.to_vec() });
        self.run_until_idle();
        let mine = self.replies.iter().filter(|(of, ..)| *of == request);
        mine.map(|(_, data, last)| (data.clone(), *last)).collect()
    }

    fn end(&mut self, task: &str, ending: Ending) {
        let id = TaskId::new(task).expect("a task's name");
        let Some((connection, call)) = self.agents.end(self.now, &id, ending) else {
            panic!("no task {task} runs; those that are there: {:?}", self.agents.tasks());
        };
        self.tell_master(Input::Agent { connection, call });
        self.run_until_idle();
    }

    fn register(&mut self, name: &str, resources: Resources) {
        let connection = self.next_connection();
        let registration = self.agents.add(name, resources, connection);
        self.connect(connection, IdentityKind::Agent, name);
        self.tell_master(Input::Agent { connection, call: registration });
    }

    fn connect(&mut self, connection: ConnectionId, kind: IdentityKind, name: &str) {
        let peer = Identity::new("test", kind, name).expect("a name that a certificate can have");
        self.tell_master(Input::Connected { connection, peer });
    }

    fn next_connection(&mut self) -> ConnectionId {
        self.connections += 1;
        ConnectionId(self.connections)
    }

    /// Whether something happened.
    fn step(&mut self) -> bool {
        if let Some(event) = self.events.pop_front() {
            self.tell_scheduler(SchedulerInput::Event(event));
        } else if self.process.next_deadline().is_some_and(|due| due <= self.now) {
            self.tell_scheduler(SchedulerInput::Tick);
        } else if let Some((connection, call)) = self.agents.tick(self.now) {
            self.tell_master(Input::Agent { connection, call });
        } else if self.master.next_deadline().is_some_and(|due| due <= self.now) {
            self.tell_master(Input::Tick);
        } else {
            return false;
        }
        true
    }

    fn restore(&mut self) {
        let mut outputs = Vec::new();
        self.process.restore(self.now, &self.records, &mut outputs).expect("records of this scheduler");
        self.carry_out(outputs);
    }

    fn tell_scheduler(&mut self, input: SchedulerInput) {
        let mut outputs = Vec::new();
        self.process.handle(self.now, input, &mut outputs);
        self.carry_out(outputs);
    }

    fn carry_out(&mut self, outputs: Vec<SchedulerOutput>) {
        for output in outputs {
            match output {
                SchedulerOutput::Send(call) => self.send(call),
                SchedulerOutput::LocalReply { request, data, last } => {
                    self.replies.push((request, data, last))
                }
                SchedulerOutput::Record(changes) => {
                    changes.into_iter().for_each(|change| change.apply(&mut self.records));
                }
                // The harness has one master, which is never deposed.
                SchedulerOutput::RefuseMaster(_) => {}
                SchedulerOutput::Stop => self.stopped = true,
            }
        }
    }

    fn send(&mut self, call: SchedulerCall) {
        let Some(connection) = self.connection else { return };
        self.calls.push(call.clone());
        let call = match call {
            SchedulerCall::Accept { offers, operations, refuse } if self.rejection.is_some() => {
                self.reject(&operations);
                SchedulerCall::Decline { offers, refuse }
            }
            call => call,
        };
        self.tell_master(Input::Scheduler { connection, call });
    }

    fn reject(&mut self, operations: &[Operation]) {
        let reason = self.rejection.take().unwrap_or_default();
        for task in operations.iter().flat_map(Operation::tasks) {
            let status = TaskStatus::new(task.id.clone(), TaskState::Dropped, self.now)
                .because(Reason::InvalidOffer, reason.clone());
            self.events.push_back(SchedulerEvent::Update(status));
        }
    }

    fn tell_master(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        let mut outputs = Vec::new();
        while let Some(input) = inputs.pop_front() {
            self.master.handle(self.now, input, &mut outputs);
            for output in outputs.drain(..) {
                match output {
                    Output::ToAgent { connection, event } => {
                        let answers = self.agents.handle(self.now, connection, event);
                        inputs.extend(answers.into_iter().map(|call| Input::Agent { connection, call }));
                    }
                    Output::ToScheduler { connection, event } if Some(connection) == self.connection => {
                        self.events.push_back(event);
                    }
                    // For a connection that is gone, or an operator or a store, which a test does not have.
                    Output::ToScheduler { .. }
                    | Output::ToOperator { .. }
                    | Output::Disconnect { .. }
                    | Output::Store { .. } => {}
                }
            }
        }
    }
}
