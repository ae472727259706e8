//! The agent's inputs and outputs, and what it does about each.

use std::collections::BTreeSet;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::checkpoint::{Checkpoint, Record};
use super::executors::Executor;
use super::tasks::Task;
use crate::protocol::epoch::NewestEpoch;
use crate::protocol::{
    Action, AgentCall, AgentEvent, AgentId, AgentInfo, ConnectionId, Deposed, Epoch, ExecutorCall,
    ExecutorEvent, ExecutorId, ExecutorInfo, FrameworkId, Identity, Rules, TaskId,
};
use crate::resources::VolumeName;
use crate::store::Gate;
use crate::time::{Time, Timers};

/// What happens to an agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum AgentInput {
    /// The master can be reached.
    MasterConnected,
    /// The master can't be reached any more.
    MasterDisconnected,
    /// The master speaks.
    Master(AgentEvent),
    /// An executor has connected; its certificate says which it is.
    ExecutorConnected {
        /// The connection.
        connection: ConnectionId,
        /// Whose executor it is.
        framework: FrameworkId,
        /// Which.
        executor: ExecutorId,
    },
    /// An executor speaks.
    ExecutorCall {
        /// On which connection.
        connection: ConnectionId,
        /// What it says.
        call: ExecutorCall,
    },
    /// An executor's connection has ended.
    ExecutorDisconnected {
        /// Which.
        connection: ConnectionId,
    },
    /// An executor's process has ended, or could not be started.
    ExecutorExited {
        /// Whose executor it is.
        framework: FrameworkId,
        /// Which.
        executor: ExecutorId,
        /// How, for people.
        message: String,
    },
    /// All records up to those of this number are durable.
    Stored(u64),
    /// The agent is to end, with all that it runs.
    Shutdown,
    /// Time has passed.
    Tick,
}

/// What an agent wants done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum AgentOutput {
    /// Make records durable, in the order in which they are handed out, then say [`AgentInput::Stored`]. What depends on them is put
    /// out only then. Records that come with a number that is durable already need not survive the machine's crash, but the
    /// agent's. Only asked of drivers that gave a [checkpoint](Agent::recovered).
    Store {
        /// Goes up from store to store, or stays.
        number: u64,
        /// What.
        records: Vec<Record>,
    },
    /// Tell the master.
    ToMaster(AgentCall),
    /// End the master's connection, and seek the master that leads.
    RefuseMaster(Deposed),
    /// Tell an executor.
    ToExecutor {
        /// Its connection.
        connection: ConnectionId,
        /// What.
        event: ExecutorEvent,
    },
    /// End an executor's connection.
    DisconnectExecutor {
        /// Which.
        connection: ConnectionId,
        /// Why, for people.
        reason: String,
    },
    /// Start an executor. Its end, also when it could not be started, is reported by [`AgentInput::ExecutorExited`].
    StartExecutor {
        /// Whose executor it is.
        framework: FrameworkId,
        /// Which.
        executor: ExecutorId,
        /// The framework's own executor; the built-in command executor when `None`.
        info: Option<Arc<ExecutorInfo>>,
    },
    /// Watch an executor that an earlier life of this agent started; it connects by itself. Its end, also when it is not there any
    /// more, is reported by [`AgentInput::ExecutorExited`].
    AdoptExecutor {
        /// Whose executor it is.
        framework: FrameworkId,
        /// Which.
        executor: ExecutorId,
    },
    /// Kill an executor: it did not end when it was asked to, or never answered.
    StopExecutor {
        /// Whose executor it is.
        framework: FrameworkId,
        /// Which.
        executor: ExecutorId,
    },
    /// Remove whatever volumes there are but these, with what is in them.
    KeepVolumes(BTreeSet<VolumeName>),
    /// Everything has ended after [`AgentInput::Shutdown`].
    Stop,
}

/// Names an executor on this agent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct ExecutorKey {
    pub(super) framework: FrameworkId,
    pub(super) executor: ExecutorId,
}

/// What a framework has here.
#[derive(Debug, Default)]
pub(super) struct Framework {
    pub(super) executors: FxHashMap<ExecutorId, Executor>,
    /// Tasks that have not ended, or whose end is not acknowledged.
    pub(super) tasks: FxHashMap<TaskId, Task>,
}

/// The state machine of an agent.
#[derive(Debug)]
pub struct Agent {
    pub(super) id: AgentId,
    pub(super) info: AgentInfo,
    /// The cluster's rules; `None`: the master has not told them yet.
    rules: Option<Rules>,
    pub(super) master_connected: bool,
    newest_epoch: NewestEpoch,
    pub(super) ending: bool,
    pub(super) frameworks: FxHashMap<FrameworkId, Framework>,
    pub(super) connections: FxHashMap<ConnectionId, ExecutorKey>,
    /// One per executor; what it means follows from the executor's phase.
    pub(super) timers: Timers<ExecutorKey>,
    /// What must not be forgotten, and outputs that wait until it is durable.
    pub(super) records: Gate<Record, AgentOutput>,
}

impl Agent {
    /// An agent that runs nothing and is not connected. `id` is the name in its certificate. It keeps no records: when it dies, what it
    /// knew of tasks is lost.
    pub fn new(id: AgentId, info: AgentInfo) -> Self {
        Agent {
            id,
            info,
            rules: None,
            master_connected: false,
            newest_epoch: NewestEpoch::default(),
            ending: false,
            frameworks: FxHashMap::default(),
            connections: FxHashMap::default(),
            timers: Timers::default(),
            records: Gate::default(),
        }
    }

    /// An agent that keeps records, and goes on with what those of its earlier life add up to: none at first.
    pub fn recovered(
        now: Time,
        id: AgentId,
        info: AgentInfo,
        checkpoint: Checkpoint,
        out: &mut Vec<AgentOutput>,
    ) -> Self {
        let mut agent = Agent::new(id, info);
        agent.records.keep();
        agent.recover(now, checkpoint, out);
        agent
    }

    /// When [`AgentInput::Tick`] is due.
    pub fn next_deadline(&self) -> Option<Time> {
        self.timers.next_deadline()
    }

    /// Whether the agent has this task, and it has not ended.
    pub fn task_is_live(&self, framework: &FrameworkId, task: &TaskId) -> bool {
        let task = self.frameworks.get(framework).and_then(|framework| framework.tasks.get(task));
        task.is_some_and(|task| !task.status.state.is_terminal())
    }

    /// Whether someone may read what a task wrote; the task may have ended long ago.
    ///
    /// # Errors
    /// Why not, for people.
    pub fn check_reader(&self, who: &Identity, framework: &FrameworkId, task: &TaskId) -> Result<(), String> {
        let Some(rules) = &self.rules else {
            return Err(
                "the agent has not heard of the cluster's rules yet; ask again when it has found its master"
                    .to_owned(),
            );
        };
        let task = self.frameworks.get(framework).and_then(|framework| framework.tasks.get(task));
        let role = task.map(|task| &task.role);
        rules.check(who, Action::ReadLogs, role).map_err(|denied| denied.to_string())
    }

    /// Takes note of what happened, and appends what is to be done.
    pub fn handle(&mut self, now: Time, input: AgentInput, out: &mut Vec<AgentOutput>) {
        let start = out.len();
        match input {
            AgentInput::Stored(number) => return self.records.release(number, out),
            AgentInput::Master(AgentEvent::Registered { agent, epoch }) if self.master_connected => {
                return self.registered_in(&agent, epoch, out);
            }
            AgentInput::MasterConnected => {
                self.master_connected = true;
                self.register(out);
                if self.ending {
                    out.push(AgentOutput::ToMaster(AgentCall::Leaving));
                }
                self.resend_updates(out);
            }
            AgentInput::MasterDisconnected => self.master_is_gone(),
            AgentInput::Master(event) if self.master_connected => self.master_event(now, event, out),
            // Of a master that was refused.
            AgentInput::Master(_) => {}
            AgentInput::ExecutorConnected { connection, framework, executor } => {
                self.executor_connected(connection, ExecutorKey { framework, executor }, out);
            }
            AgentInput::ExecutorCall { connection, call } => self.executor_call(now, connection, call, out),
            AgentInput::ExecutorDisconnected { connection } => self.executor_disconnected(now, connection),
            AgentInput::ExecutorExited { framework, executor, message } => {
                self.executor_exited(now, &ExecutorKey { framework, executor }, &message, out);
            }
            AgentInput::Shutdown => self.shut_down(now, out),
            AgentInput::Tick => {
                while let Some(key) = self.timers.pop_due(now) {
                    self.executor_due(now, &key, out);
                }
            }
        }
        self.records.gate(start, out, |number, records| AgentOutput::Store { number, records });
    }

    /// The master has taken the agent's registration. One that has a successor is refused at once: nothing that waits to be durable is
    /// said thereby.
    fn registered_in(&mut self, agent: &AgentId, epoch: Epoch, out: &mut Vec<AgentOutput>) {
        match self.newest_epoch.admit(epoch) {
            Ok(()) => tracing::info!(%agent, %epoch, "registered with the master"),
            Err(deposed) => {
                self.master_is_gone();
                out.push(AgentOutput::RefuseMaster(deposed));
            }
        }
    }

    /// What waits to be told is not told to this master any more; the next registration makes up for it.
    fn master_is_gone(&mut self) {
        self.master_connected = false;
        self.records.retain(|output| !matches!(output, AgentOutput::ToMaster(_)));
    }

    fn master_event(&mut self, now: Time, event: AgentEvent, out: &mut Vec<AgentOutput>) {
        match event {
            AgentEvent::SetRules(rules) => self.rules = Some(rules),
            // Heard before all else.
            AgentEvent::Registered { .. } => {}
            AgentEvent::Launch { framework, role, tasks } => self.launch(now, framework, &role, tasks, out),
            AgentEvent::Kill { framework, task, stop } => self.kill(&framework, task, stop, out),
            AgentEvent::Acknowledge { framework, task, number } => {
                self.acknowledged(&framework, &task, number, out);
            }
            AgentEvent::Message { framework, executor, data } => {
                self.tell_executor(&ExecutorKey { framework, executor }, ExecutorEvent::Message(data), out);
            }
            AgentEvent::ShutdownFramework(framework) => self.shut_down_framework(now, &framework, out),
            AgentEvent::KeepVolumes(volumes) => out.push(AgentOutput::KeepVolumes(volumes)),
            AgentEvent::Ping => out.push(AgentOutput::ToMaster(AgentCall::Pong)),
        }
    }

    fn shut_down(&mut self, now: Time, out: &mut Vec<AgentOutput>) {
        self.ending = true;
        if self.master_connected {
            out.push(AgentOutput::ToMaster(AgentCall::Leaving));
        }
        let mut frameworks: Vec<_> = self.frameworks.keys().cloned().collect();
        frameworks.sort();
        for framework in frameworks {
            self.shut_down_framework(now, &framework, out);
        }
        self.stop_when_done(out);
    }

    /// Says that the agent has ended, when it is ending and no executor is left.
    pub(super) fn stop_when_done(&self, out: &mut Vec<AgentOutput>) {
        if self.ending && self.frameworks.values().all(|framework| framework.executors.is_empty()) {
            if self.master_connected {
                out.push(AgentOutput::ToMaster(AgentCall::Unregister));
            }
            out.push(AgentOutput::Stop);
        }
    }
}
