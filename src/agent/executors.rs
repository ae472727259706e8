//! Executors: from their start over their connections to their end.

use std::sync::Arc;
use std::time::Duration;

use super::checkpoint::{Checkpoint, Record};
use super::machine::{Agent, AgentOutput, ExecutorKey};
use super::tasks::Task;
use crate::protocol::{
    AgentCall, ConnectionId, ExecutorCall, ExecutorEvent, ExecutorInfo, FrameworkId, HeldExecutor, Reason,
    TaskId, TaskInfo, TaskState, TaskStatus, Work,
};
use crate::resources::Role;
use crate::time::Time;

/// How long an executor may take to register after its start, or to come back after a lost connection.
pub const EXECUTOR_REGISTRATION_TIMEOUT: Duration = Duration::from_secs(60);

/// A command executor that has had no task for this long is ended; the next task starts another.
pub const EXECUTOR_IDLE_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// How long an executor may take to end beyond the longest grace period of its tasks.
pub const EXECUTOR_STOP_MARGIN: Duration = Duration::from_secs(5);

/// How many bytes of its framework's messages wait for an executor that is not there; more are lost, as messages may be.
pub const MESSAGE_BYTES_WAITING: usize = 1 << 20;

/// Where an executor is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It was started and has never registered. Its timer: it never will.
    Starting,
    /// It is registered. Its timer (the command executor's only): it may be idle.
    Registered(ConnectionId),
    /// Its connection was lost. Its timer: it won't come back.
    Away,
    /// It was told to end, here if it is connected. Its timer: it takes too long.
    Ending(Option<ConnectionId>),
}

/// An executor that was started and has not ended.
#[derive(Debug)]
pub(super) struct Executor {
    /// The role that its resources count for.
    role: Role,
    /// The framework's own; the built-in one when `None`.
    info: Option<Arc<ExecutorInfo>>,
    phase: Phase,
    /// What it is to be told when it has registered; or what its successor is, when it is ending.
    waiting: Vec<ExecutorEvent>,
    /// Tasks that have not ended.
    pub(super) live: usize,
    idle_since: Time,
}

impl Executor {
    /// The executor that a task needs.
    pub(super) fn of(task: Option<&TaskInfo>, role: Role) -> Executor {
        let info = match task.map(|task| &task.work) {
            Some(Work::Custom { executor, .. }) => Some(executor.clone()),
            Some(Work::Command(_)) | None => None,
        };
        let phase = Phase::Starting;
        Executor { role, info, phase, waiting: Vec::new(), live: 0, idle_since: Time::ZERO }
    }

    /// One that an earlier life of the agent has started, with so many live tasks.
    fn recovered(info: Option<Arc<ExecutorInfo>>, role: Role, live: usize, now: Time) -> Executor {
        Executor { role, info, phase: Phase::Away, waiting: Vec::new(), live, idle_since: now }
    }

    pub(super) fn task_ended(&mut self, now: Time) {
        self.live = self.live.saturating_sub(1);
        self.idle_since = now;
    }

    /// Whether something may wait for it: messages only as long as they are few.
    fn has_room_for(&self, event: &ExecutorEvent) -> bool {
        // What it takes to keep one, besides its data.
        let size = |data: &[u8]| data.len() + std::mem::size_of::<ExecutorEvent>();
        let waiting = self.waiting.iter().map(|event| match event {
            ExecutorEvent::Message(data) => size(data),
            _ => 0,
        });
        match event {
            ExecutorEvent::Message(data) => waiting.sum::<usize>() + size(data) <= MESSAGE_BYTES_WAITING,
            _ => true,
        }
    }

    fn waiting_tasks(&self) -> Vec<TaskId> {
        let launched = |event: &ExecutorEvent| match event {
            ExecutorEvent::Launch(tasks) => tasks.iter().map(|task| task.id.clone()).collect(),
            _ => Vec::new(),
        };
        self.waiting.iter().flat_map(launched).collect()
    }
}

impl Agent {
    fn executor(&mut self, key: &ExecutorKey) -> Option<&mut Executor> {
        self.frameworks.get_mut(&key.framework)?.executors.get_mut(&key.executor)
    }

    /// Starts the executor, which is known already.
    pub(super) fn start_executor(&mut self, now: Time, key: &ExecutorKey, out: &mut Vec<AgentOutput>) {
        let Some(executor) = self.executor(key) else { return };
        executor.phase = Phase::Starting;
        let record = Record::ExecutorStarted {
            framework: key.framework.clone(),
            role: executor.role.clone(),
            executor: key.executor.clone(),
            info: executor.info.clone(),
        };
        out.push(AgentOutput::StartExecutor {
            framework: key.framework.clone(),
            executor: key.executor.clone(),
            info: executor.info.clone(),
        });
        self.records.note(record);
        self.timers.set(key.clone(), now + EXECUTOR_REGISTRATION_TIMEOUT);
    }

    /// Takes over what an earlier life of the agent has recorded: its executors are waited for.
    pub(super) fn recover(&mut self, now: Time, checkpoint: Checkpoint, out: &mut Vec<AgentOutput>) {
        let mut dropped = Vec::new();
        for (id, held) in checkpoint.frameworks {
            // They came when the agent was ending, and the write that said what became of them was torn.
            let has_none = |task: &&Task| task.is_live() && !held.executors.contains_key(&task.executor);
            let lost = held.tasks.values().filter(has_none);
            dropped.extend(lost.map(|task| (id.clone(), task.info.id.clone())));
            let framework = self.frameworks.entry(id.clone()).or_default();
            for (executor, (role, info)) in held.executors {
                let live = held.tasks.values().filter(|task| task.executor == executor && task.is_live());
                let recovered = Executor::recovered(info, role, live.count(), now);
                framework.executors.insert(executor.clone(), recovered);
                let key = ExecutorKey { framework: id.clone(), executor: executor.clone() };
                self.timers.set(key, now + EXECUTOR_REGISTRATION_TIMEOUT);
                out.push(AgentOutput::AdoptExecutor { framework: id.clone(), executor });
            }
            framework.tasks.extend(held.tasks);
        }
        for (framework, task) in dropped {
            let status = TaskStatus::new(task, TaskState::Dropped, now);
            self.own_update(&framework, status.because(Reason::ExecutorGone, "its agent was ending"), out);
        }
    }

    /// Frameworks' own executors, for the master.
    pub(super) fn held_executors(&self) -> Vec<HeldExecutor> {
        let mut held = Vec::new();
        for (framework, known) in &self.frameworks {
            for Executor { info, role, .. } in known.executors.values() {
                let (framework, role) = (framework.clone(), role.clone());
                held.extend(info.clone().map(|executor| HeldExecutor { framework, role, executor }));
            }
        }
        held.sort_by(|a, b| (&a.framework, &a.executor.id).cmp(&(&b.framework, &b.executor.id)));
        held
    }

    /// Tells an executor, now or when it has registered. For an unknown one there is nothing to say.
    pub(super) fn tell_executor(
        &mut self,
        key: &ExecutorKey,
        event: ExecutorEvent,
        out: &mut Vec<AgentOutput>,
    ) {
        let Some(executor) = self.executor(key) else { return };
        match executor.phase {
            Phase::Registered(connection) => out.push(AgentOutput::ToExecutor { connection, event }),
            Phase::Starting | Phase::Away | Phase::Ending(_) if executor.has_room_for(&event) => {
                executor.waiting.push(event);
            }
            Phase::Starting | Phase::Away | Phase::Ending(_) => {
                tracing::debug!(framework = %key.framework, executor = %key.executor, "a message is dropped");
            }
        }
    }

    pub(super) fn executor_connected(
        &mut self,
        connection: ConnectionId,
        key: ExecutorKey,
        out: &mut Vec<AgentOutput>,
    ) {
        if self.executor(&key).is_some() {
            self.connections.insert(connection, key);
        } else {
            let reason = "this executor was not started here, or has been given up".to_owned();
            out.push(AgentOutput::DisconnectExecutor { connection, reason });
        }
    }

    pub(super) fn executor_call(
        &mut self,
        now: Time,
        connection: ConnectionId,
        call: ExecutorCall,
        out: &mut Vec<AgentOutput>,
    ) {
        let Some(key) = self.connections.get(&connection).cloned() else { return };
        match call {
            ExecutorCall::Register { framework, executor, unacknowledged } => {
                if (&framework, &executor) == (&key.framework, &key.executor) {
                    self.registered(now, connection, &key, unacknowledged, out);
                } else {
                    self.refuse(connection, "the certificate names another executor", out);
                }
            }
            ExecutorCall::Update(status) => self.take_update(now, connection, &key, status, out),
            ExecutorCall::Message(data) => {
                if self.master_connected {
                    let ExecutorKey { framework, executor } = key;
                    out.push(AgentOutput::ToMaster(AgentCall::Message { framework, executor, data }));
                }
            }
        }
    }

    fn take_update(
        &mut self,
        now: Time,
        connection: ConnectionId,
        key: &ExecutorKey,
        status: TaskStatus,
        out: &mut Vec<AgentOutput>,
    ) {
        let (task, number) = (status.task.clone(), status.number);
        if !self.executor_update(now, key, status, out) {
            return self.refuse(connection, "an update without number, or of another executor's task", out);
        }
        if let Some(number) = number {
            let event = ExecutorEvent::Acknowledge { task, number };
            out.push(AgentOutput::ToExecutor { connection, event });
        }
    }

    fn refuse(&mut self, connection: ConnectionId, reason: &str, out: &mut Vec<AgentOutput>) {
        out.push(AgentOutput::DisconnectExecutor { connection, reason: reason.to_owned() });
    }

    /// The executor is there, for the first time or again: it is told what it may have missed.
    fn registered(
        &mut self,
        now: Time,
        connection: ConnectionId,
        key: &ExecutorKey,
        unacknowledged: Vec<TaskStatus>,
        out: &mut Vec<AgentOutput>,
    ) {
        let Some(executor) = self.executor(key) else { return };
        let before = executor.phase;
        let is_command = executor.info.is_none();
        let waiting = match before {
            // What waits is for its successor.
            Phase::Ending(_) => Vec::new(),
            Phase::Starting | Phase::Registered(_) | Phase::Away => std::mem::take(&mut executor.waiting),
        };
        executor.phase = match before {
            Phase::Ending(_) => Phase::Ending(Some(connection)),
            Phase::Starting | Phase::Registered(_) | Phase::Away => Phase::Registered(connection),
        };
        executor.idle_since = now;
        if let Phase::Registered(old) | Phase::Ending(Some(old)) = before
            && old != connection
        {
            self.connections.remove(&old);
            self.refuse(old, "the executor has registered on another connection", out);
        }
        tracing::info!(framework = %key.framework, executor = %key.executor, "executor registers");
        out.push(AgentOutput::ToExecutor { connection, event: ExecutorEvent::Registered });
        for status in unacknowledged {
            self.take_update(now, connection, key, status, out);
        }
        match before {
            Phase::Ending(_) => {
                out.push(AgentOutput::ToExecutor { connection, event: ExecutorEvent::Shutdown });
                return;
            }
            Phase::Away | Phase::Registered(_) => self.retell(connection, key, &waiting, out),
            Phase::Starting => {}
        }
        out.extend(waiting.into_iter().map(|event| AgentOutput::ToExecutor { connection, event }));
        if is_command {
            self.timers.set(key.clone(), now + EXECUTOR_IDLE_TIMEOUT);
        } else {
            self.timers.cancel(key);
        }
    }

    /// Launches and kills may have been lost with the connection. Hearing of them twice does no harm.
    fn retell(
        &self,
        connection: ConnectionId,
        key: &ExecutorKey,
        waiting: &[ExecutorEvent],
        out: &mut Vec<AgentOutput>,
    ) {
        let Some(framework) = self.frameworks.get(&key.framework) else { return };
        let waits = |id: &TaskId| {
            let launches = |event: &ExecutorEvent| match event {
                ExecutorEvent::Launch(tasks) => tasks.iter().any(|task| task.id == *id),
                _ => false,
            };
            waiting.iter().any(launches)
        };
        let mut tasks: Vec<_> = framework
            .tasks
            .values()
            .filter(|task| task.executor == key.executor && task.is_live())
            .filter(|task| task.status.state == TaskState::Staging || task.kill.is_some())
            .filter(|task| !waits(&task.info.id))
            .collect();
        tasks.sort_by(|a, b| a.info.id.cmp(&b.info.id));
        for task in tasks {
            let mut tell = |event| out.push(AgentOutput::ToExecutor { connection, event });
            if task.status.state == TaskState::Staging {
                tell(ExecutorEvent::Launch(vec![task.info.clone()]));
            }
            if let Some(stop) = task.kill {
                tell(ExecutorEvent::Kill { task: task.info.id.clone(), stop });
            }
        }
    }

    pub(super) fn executor_disconnected(&mut self, now: Time, connection: ConnectionId) {
        let Some(key) = self.connections.remove(&connection) else { return };
        let Some(executor) = self.executor(&key) else { return };
        if executor.phase == Phase::Registered(connection) {
            executor.phase = Phase::Away;
            self.timers.set(key, now + EXECUTOR_REGISTRATION_TIMEOUT);
        } else if executor.phase == Phase::Ending(Some(connection)) {
            executor.phase = Phase::Ending(None);
        }
    }

    /// The executor's timer is due.
    pub(super) fn executor_due(&mut self, now: Time, key: &ExecutorKey, out: &mut Vec<AgentOutput>) {
        let Some(executor) = self.executor(key) else { return };
        match executor.phase {
            Phase::Registered(_) => {
                let idle_at = executor.idle_since + EXECUTOR_IDLE_TIMEOUT;
                if executor.live > 0 {
                    self.timers.set(key.clone(), now + EXECUTOR_IDLE_TIMEOUT);
                } else if idle_at > now {
                    self.timers.set(key.clone(), idle_at);
                } else {
                    self.end_executor(now, key, out);
                }
            }
            Phase::Starting | Phase::Away | Phase::Ending(_) => {
                tracing::warn!(framework = %key.framework, executor = %key.executor, "executor is given up");
                out.push(AgentOutput::StopExecutor {
                    framework: key.framework.clone(),
                    executor: key.executor.clone(),
                });
            }
        }
    }

    /// Asks an executor to end; one that can't be asked is killed.
    fn end_executor(&mut self, now: Time, key: &ExecutorKey, out: &mut Vec<AgentOutput>) {
        let Some(framework) = self.frameworks.get_mut(&key.framework) else { return };
        let Some(executor) = framework.executors.get_mut(&key.executor) else { return };
        let own = framework.tasks.values().filter(|task| task.executor == key.executor && task.is_live());
        let grace = own.map(|task| task.grace()).max().unwrap_or(Duration::ZERO);
        match executor.phase {
            Phase::Registered(connection) => {
                executor.phase = Phase::Ending(Some(connection));
                out.push(AgentOutput::ToExecutor { connection, event: ExecutorEvent::Shutdown });
                self.timers.set(key.clone(), now + grace + EXECUTOR_STOP_MARGIN);
            }
            Phase::Away => {
                // It may come back in time to be asked.
                executor.phase = Phase::Ending(None);
                self.timers.set(key.clone(), now + grace + EXECUTOR_STOP_MARGIN);
            }
            Phase::Starting => {
                executor.phase = Phase::Ending(None);
                out.push(AgentOutput::StopExecutor {
                    framework: key.framework.clone(),
                    executor: key.executor.clone(),
                });
                self.timers.set(key.clone(), now + EXECUTOR_STOP_MARGIN);
            }
            Phase::Ending(_) => {}
        }
    }

    /// Ends what the framework has here; tasks that no executor has heard of end at once.
    pub(super) fn shut_down_framework(&mut self, now: Time, id: &FrameworkId, out: &mut Vec<AgentOutput>) {
        let Some(framework) = self.frameworks.get_mut(id) else { return };
        let mut executors: Vec<_> = framework.executors.keys().cloned().collect();
        executors.sort();
        let mut never_started = Vec::new();
        for executor in framework.executors.values_mut() {
            let waiting = executor.waiting_tasks();
            executor.live = executor.live.saturating_sub(waiting.len());
            executor.waiting.clear();
            never_started.extend(waiting);
        }
        never_started.sort();
        for task in never_started {
            let status = TaskStatus::new(task, TaskState::Killed, now);
            self.own_update(id, status.because(Reason::FrameworkGone, "stopped before it started"), out);
        }
        for executor in executors {
            self.end_executor(now, &ExecutorKey { framework: id.clone(), executor }, out);
        }
    }

    /// An executor has ended. Tasks that it had heard of are lost with it; others go to a successor, unless it never registered.
    pub(super) fn executor_exited(
        &mut self,
        now: Time,
        key: &ExecutorKey,
        message: &str,
        out: &mut Vec<AgentOutput>,
    ) {
        let Some(executor) = self.executor(key) else { return };
        let phase = executor.phase;
        let is_custom = executor.info.is_some();
        let waiting = executor.waiting_tasks();
        self.timers.cancel(key);
        if let Phase::Registered(connection) | Phase::Ending(Some(connection)) = phase {
            self.connections.remove(&connection);
        }
        if phase != Phase::Ending(None) && !matches!(phase, Phase::Ending(Some(_))) {
            tracing::warn!(framework = %key.framework, executor = %key.executor, message, "executor ended");
        }
        let successor = phase != Phase::Starting && !waiting.is_empty() && !self.ending;
        self.end_tasks(now, key, &waiting, successor, message, out);
        if is_custom && self.master_connected && !successor {
            out.push(AgentOutput::ToMaster(AgentCall::ExecutorLost {
                framework: key.framework.clone(),
                executor: key.executor.clone(),
                message: message.to_owned(),
            }));
        }
        if successor {
            if let Some(executor) = self.executor(key) {
                executor.live = waiting.len();
            }
            self.start_executor(now, key, out);
        } else if let Some(framework) = self.frameworks.get_mut(&key.framework) {
            framework.executors.remove(&key.executor);
            // When it is forgotten the executor is looked for again, and not found.
            self.records.note_in_passing(Record::ExecutorEnded {
                framework: key.framework.clone(),
                executor: key.executor.clone(),
            });
            self.forget_if_empty(&key.framework);
        }
        self.stop_when_done(out);
    }

    fn end_tasks(
        &mut self,
        now: Time,
        key: &ExecutorKey,
        waiting: &[TaskId],
        successor: bool,
        message: &str,
        out: &mut Vec<AgentOutput>,
    ) {
        let waiting: rustc_hash::FxHashSet<&TaskId> = waiting.iter().collect();
        let Some(framework) = self.frameworks.get(&key.framework) else { return };
        let live = framework
            .tasks
            .values()
            .filter(|task| task.executor == key.executor && task.is_live())
            .map(|task| &task.info.id)
            .filter(|id| !(successor && waiting.contains(*id)));
        let mut ends: Vec<_> = live.map(|id| (id.clone(), waiting.contains(id))).collect();
        ends.sort();
        for (task, never_started) in ends {
            let state = if never_started { TaskState::Dropped } else { TaskState::Lost };
            let message = format!("its executor ended: {message}");
            let status = TaskStatus::new(task, state, now).because(Reason::ExecutorGone, message);
            self.own_update(&key.framework, status, out);
        }
    }
}
