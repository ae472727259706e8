//! Executors in the world: the production process around the production command executor. Their tasks' processes are timers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use apportion::executor::command::{CheckKind, CommandAction, CommandEvent};
use apportion::executor::{
    CommandExecutor, DEFAULT_RECOVERY_TIMEOUT, ExecutorInput, ExecutorOutput, ExecutorProcess,
};
use apportion::protocol::{ExecutorCall, ExecutorEvent, ExecutorId, Exit, FrameworkId, TaskId, UpdateNumber};
use apportion::resources::Resources;
use apportion::time::Time;

use super::clock::Clock;
use super::network::End;
use super::node::Node;
use super::packet::Packet;
use super::plan::Moment;
use super::world::{BATCH, Event, Link, World};

/// How a process ends that is killed.
const SIGKILL: Exit = Exit::Signal(9);

/// An executor's process and the tasks in it.
pub(super) struct ExecutorNode {
    pub(super) key: (FrameworkId, ExecutorId),
    /// Its agent.
    pub(super) agent: usize,
    pub(super) machine: Option<ExecutorProcess<CommandExecutor>>,
    pub(super) clock: Clock,
    pub(super) link: Link,
    pub(super) wake: Option<Time>,
    /// What the tasks that it was told of use.
    resources: BTreeMap<TaskId, Resources>,
    /// The numbers of the updates that told of tasks' ends.
    ends: BTreeMap<TaskId, UpdateNumber>,
    /// Tasks whose processes run.
    pub(super) running: BTreeSet<TaskId>,
}

/// Something that happens to a task's process.
#[derive(Debug)]
pub(super) enum TaskEvent {
    Starts,
    Ends(Exit),
    IsProbed(CheckKind),
}

impl World {
    pub(super) fn launch_executor(&mut self, place: usize, framework: FrameworkId, executor: ExecutorId) {
        self.last_executor += 1;
        let number = self.last_executor;
        let agent = &mut self.agents[place];
        agent.executors.insert((framework.clone(), executor.clone()), number);
        let node = ExecutorNode {
            key: (framework, executor),
            agent: place,
            machine: None,
            clock: agent.clock,
            link: Link::default(),
            wake: None,
            resources: BTreeMap::new(),
            ends: BTreeMap::new(),
            running: BTreeSet::new(),
        };
        self.executors.insert(number, node);
        let takes = Duration::from_secs_f64(0.005 + 0.05 * self.chance.tasks.unit());
        self.later(self.now + takes, Event::Start(Node::Executor(number)));
    }

    pub(super) fn start_executor(&mut self, number: u64) {
        let Some(node) = self.executors.get_mut(&number) else { return };
        let (framework, id) = node.key.clone();
        let executor = CommandExecutor::new("/sandboxes");
        node.machine = Some(ExecutorProcess::new(executor, framework, id, DEFAULT_RECOVERY_TIMEOUT));
        self.connect_soon(Node::Executor(number));
    }

    /// An executor hears something of its agent.
    pub(super) fn executor_hears(&mut self, number: u64, packet: Packet) {
        let Packet::ExecutorEvent(event) = packet else { return };
        let Some(node) = self.executors.get_mut(&number) else { return };
        match &event {
            ExecutorEvent::Launch(tasks) => {
                let each = tasks.iter().map(|task| (task.id.clone(), task.resources.clone()));
                node.resources.extend(each);
            }
            ExecutorEvent::Acknowledge { task, number }
                if node.ends.get(task).is_some_and(|end| end <= number) =>
            {
                self.ledger.end_is_safe(&(node.key.0.clone(), task.clone()));
            }
            _ => {}
        }
        self.executor_input(number, ExecutorInput::Agent(event));
    }

    pub(super) fn executor_input(&mut self, number: u64, input: ExecutorInput<CommandEvent>) {
        let Some(node) = self.executors.get_mut(&number) else { return };
        let Some(machine) = &mut node.machine else { return };
        let mut out = Vec::new();
        machine.handle(node.clock.read(self.now), input, &mut out);
        let crash = self.struck(Node::Executor(number), |moment| {
            out.iter().any(|output| match (moment, output) {
                (Moment::Speaking, ExecutorOutput::Send(_)) => true,
                (Moment::Acknowledging, ExecutorOutput::Send(ExecutorCall::Update(status))) => {
                    status.state.is_terminal()
                }
                (Moment::Writing, ExecutorOutput::Act(_)) => true,
                _ => false,
            })
        });
        self.interrupt(crash, &mut out);
        let mut has_ended = false;
        for output in out {
            match output {
                ExecutorOutput::Send(call) => {
                    let Some(node) = self.executors.get_mut(&number) else { continue };
                    if let ExecutorCall::Update(status) = &call
                        && status.state.is_terminal()
                        && let Some(end) = status.number
                    {
                        node.ends.insert(status.task.clone(), end);
                    }
                    if let Some(connection) = node.link.connection {
                        self.send(connection, End::Server, Packet::ExecutorCall(call));
                    }
                }
                ExecutorOutput::Act(action) => self.act(number, action),
                ExecutorOutput::Stop => has_ended = true,
            }
        }
        if has_ended {
            self.executor_ends(number, "it ended");
        }
        match crash {
            Some(fault) => self.strike(fault, Some(Node::Executor(number))),
            None => self.wake_later(Node::Executor(number)),
        }
    }

    /// The world does what an executor wants.
    fn act(&mut self, number: u64, action: CommandAction) {
        let Some(node) = self.executors.get_mut(&number) else { return };
        let chance = &mut self.chance.tasks;
        let (task, after, event) = match action {
            CommandAction::Start { task, .. } => {
                let resources = node.resources.remove(&task).unwrap_or_default();
                node.running.insert(task.clone());
                self.ledger.started(node.agent, (node.key.0.clone(), task.clone()), resources);
                (task, 0.002 + 0.02 * chance.exponential(), TaskEvent::Starts)
            }
            // One in five does not listen.
            CommandAction::Signal { task, signal } if chance.unit() < 0.8 => {
                (task, 2.0 * chance.unit(), TaskEvent::Ends(Exit::Signal(signal)))
            }
            CommandAction::Signal { .. } => return,
            CommandAction::KillAll { task } => (task, 0.001, TaskEvent::Ends(SIGKILL)),
            CommandAction::Probe { task, check, .. } => (task, 0.005, TaskEvent::IsProbed(check)),
        };
        let at = self.now + Duration::from_secs_f64(after);
        self.later(at, Event::Task { executor: number, task, event });
    }

    /// Something happens to a task's process.
    pub(super) fn task_event(&mut self, number: u64, task: TaskId, event: TaskEvent) {
        let is_calm = self.is_calm();
        let Some(node) = self.executors.get_mut(&number) else { return };
        if !node.running.contains(&task) {
            return;
        }
        let key = (node.key.0.clone(), task.clone());
        let event = match event {
            TaskEvent::Starts if !is_calm && self.chance.tasks.unit() < 0.01 => {
                node.running.remove(&task);
                self.ledger.ended(&key, SIGKILL);
                CommandEvent::NotStarted { task, error: "it could not be started".to_owned() }
            }
            TaskEvent::Starts => {
                if key.0.as_str() == BATCH {
                    let lasts = Duration::from_secs_f64(10.0 * self.chance.tasks.exponential());
                    let fails = !is_calm && self.chance.tasks.unit() < 0.1;
                    let exit = Exit::Code(i32::from(fails));
                    let ends =
                        Event::Task { executor: number, task: task.clone(), event: TaskEvent::Ends(exit) };
                    self.later(self.now + lasts, ends);
                }
                CommandEvent::Started { task, pid: 1 }
            }
            TaskEvent::Ends(exit) => {
                node.running.remove(&task);
                self.ledger.ended(&key, exit);
                CommandEvent::Exited { task, exit, oom_killed: false }
            }
            TaskEvent::IsProbed(check) => {
                let passes = is_calm || self.chance.tasks.unit() < 0.97;
                let result = if passes { Ok(()) } else { Err("nobody answers".to_owned()) };
                CommandEvent::Probed { task, check, result }
            }
        };
        self.executor_input(number, ExecutorInput::World(event));
    }

    /// An executor's process is gone, with its tasks; its agent sees that.
    pub(super) fn executor_ends(&mut self, number: u64, message: &str) {
        let Some(node) = self.executors.remove(&number) else { return };
        self.say(|| format!("executor-{number} is gone: {message}"));
        for task in node.running {
            self.ledger.ended(&(node.key.0.clone(), task), SIGKILL);
        }
        self.connections_end(Node::Executor(number));
        self.agents[node.agent].executors.retain(|_, known| *known != number);
        self.executor_is_missed(node.agent, node.key, message);
    }
}
