//! Tasks: what is asked to run, and what became of it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ids::{AgentId, ExecutorId, TaskId};
use crate::resources::Resources;
use crate::time::Time;

/// How long a task may take to stop after its stop signal, unless its spec says otherwise.
pub const DEFAULT_GRACE: Duration = Duration::from_secs(10);

/// The signal that asks a task to stop, unless its spec says otherwise: `SIGTERM`.
pub const DEFAULT_STOP_SIGNAL: i32 = 15;

/// A task takes so many bytes in a message at most, with its command or its data: what is larger belongs where the task fetches it.
pub const MAX_TASK_BYTES: usize = 1 << 20;

/// A task to run on the agent whose offer it is launched on. At most [`MAX_TASK_BYTES`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskInfo {
    /// Unique within the framework, for ever: an id is not used again.
    pub id: TaskId,
    /// What it takes of the offer.
    pub resources: Resources,
    /// What runs.
    pub work: Work,
    /// When tasks have to make room for others, those of lower priority go first.
    pub priority: i32,
    /// Environment of this task, on top of its command's. References such as `${INDEX}` in the command's arguments are
    /// expanded from it.
    pub env: BTreeMap<String, String>,
    /// Free-form marks for people and frameworks.
    pub labels: BTreeMap<String, String>,
}

impl TaskInfo {
    /// A task without environment or labels.
    pub fn new(id: TaskId, resources: Resources, work: Work) -> Self {
        TaskInfo { id, resources, work, priority: 0, env: BTreeMap::new(), labels: BTreeMap::new() }
    }

    /// The executor that the task runs in.
    pub fn executor_id(&self) -> ExecutorId {
        match &self.work {
            Work::Command(_) => ExecutorId::command(),
            Work::Custom { executor, .. } => executor.id.clone(),
        }
    }
}

/// What a task does. Shared between the tasks that are alike, so that an array of them costs little.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Work {
    /// A process, run by the built-in command executor.
    Command(Arc<CommandInfo>),
    /// Something that only the framework's own executor understands.
    Custom {
        /// The executor; started on the agent when it does not run there yet.
        executor: Arc<ExecutorInfo>,
        /// Opaque to everyone but the executor.
        data: Vec<u8>,
    },
}

/// A process to run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CommandInfo {
    /// The program and its arguments.
    pub command: Command,
    /// Its environment, besides what the executor adds (`PATH`, `HOME`, `PORT_*`, `APPORTION_*`; for
    /// shared GPUs `CUDA_VISIBLE_DEVICES`).
    pub env: BTreeMap<String, String>,
    /// The user of the agent's machine as whom it runs; `None`: as whom the agent runs. Anyone else takes an agent that is root.
    pub user: Option<String>,
    /// Names of the ports it listens on, in the order of the port numbers among the task's resources: the port named
    /// `http` is exported as `PORT_HTTP`.
    pub ports: Vec<String>,
    /// How it is asked to stop.
    pub stop: StopPolicy,
    /// It is stopped, as failed, when it has run for this long.
    pub timeout: Option<Duration>,
    /// How the executor finds out that it works.
    pub checks: Checks,
}

impl CommandInfo {
    /// A command without environment, ports, checks or time limit, that runs as whom its agent runs.
    pub fn new(command: Command) -> Self {
        CommandInfo {
            command,
            env: BTreeMap::new(),
            user: None,
            ports: Vec::new(),
            stop: StopPolicy::default(),
            timeout: None,
            checks: Checks::default(),
        }
    }
}

/// A program and its arguments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Command {
    /// A program, looked up in the task's `PATH`, and its arguments. `${NAME}` in an argument is expanded from the task's
    /// environment.
    Argv(Vec<String>),
    /// A line for `/bin/sh -c`.
    Shell(String),
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Command::Argv(argv) => f.write_str(&argv.join(" ")),
            Command::Shell(line) => f.write_str(line),
        }
    }
}

/// How a task is asked to stop: a signal to its process group, and `SIGKILL` when it still runs after the grace period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopPolicy {
    /// The signal's number.
    pub signal: i32,
    /// How long the task may take.
    pub grace: Duration,
}

impl Default for StopPolicy {
    fn default() -> Self {
        StopPolicy { signal: DEFAULT_STOP_SIGNAL, grace: DEFAULT_GRACE }
    }
}

/// A task's checks, as Kubernetes splits them: startup gates the other two, readiness says whether it can serve, liveness
/// whether it must be replaced.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Checks {
    /// Until it has passed once, the other two do not run; when it fails, the task is stopped as failed.
    pub startup: Option<Check>,
    /// Sets [`TaskStatus::ready`].
    pub readiness: Option<Check>,
    /// When it fails, the task is stopped as failed.
    pub liveness: Option<Check>,
}

impl Checks {
    /// Whether readiness has to be established by a check; a task without one is ready as soon as it runs.
    pub fn gate_readiness(&self) -> bool {
        self.startup.is_some() || self.readiness.is_some()
    }
}

/// One check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// What is tried.
    pub probe: Probe,
    /// From the end of one try to the start of the next.
    pub every: Duration,
    /// A try that takes longer has failed.
    pub timeout: Duration,
    /// So many failed tries in a row make the check fail. At least 1.
    pub failures: u32,
}

/// What a check tries, on the task's own machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Probe {
    /// `GET path`; any status from 200 to 399 passes.
    Http {
        /// The name of the port; the task's first one when `None`.
        port: Option<String>,
        /// The path, from `/` on.
        path: String,
    },
    /// A connection that is accepted passes.
    Tcp {
        /// The name of the port; the task's first one when `None`.
        port: Option<String>,
    },
    /// A command in the task's sandbox and environment; exit code 0 passes.
    Command(Command),
}

/// An executor of a framework's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExecutorInfo {
    /// Unique on its agent within its framework.
    pub id: ExecutorId,
    /// The process; its environment tells it how to reach its agent. An agent that is linked into a program may run
    /// executors inside that program instead.
    pub command: Command,
    /// Its environment.
    pub env: BTreeMap<String, String>,
    /// What it takes of the offer besides its tasks, from its start to its end.
    pub resources: Resources,
}

/// Where a task is in its life. The names are Mesos'.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskState {
    /// The master has accepted it; nothing has been heard from its executor.
    Staging,
    /// Its executor has it.
    Starting,
    /// It runs.
    Running,
    /// It was asked to stop.
    Killing,
    /// It ended by itself with success. Terminal.
    Finished,
    /// It ended by itself without success, or was stopped by its own checks or time limit. Terminal.
    Failed,
    /// It was stopped on request. Terminal.
    Killed,
    /// It was refused: the task as described can't run. Terminal.
    Error,
    /// It never started, through no fault of its own. Terminal.
    Dropped,
    /// Its executor or its agent's machine died under it. Terminal.
    Lost,
    /// Its agent is gone for good. Terminal.
    Gone,
    /// Its agent can't be reached; it may still run and come back.
    Unreachable,
    /// Nobody knows it.
    Unknown,
}

impl TaskState {
    /// Whether nothing further will happen to the task.
    pub fn is_terminal(self) -> bool {
        use TaskState::*;
        matches!(self, Finished | Failed | Killed | Error | Dropped | Lost | Gone)
    }

    /// The state's name, as it is printed.
    pub fn as_str(self) -> &'static str {
        match self {
            TaskState::Staging => "staging",
            TaskState::Starting => "starting",
            TaskState::Running => "running",
            TaskState::Killing => "killing",
            TaskState::Finished => "finished",
            TaskState::Failed => "failed",
            TaskState::Killed => "killed",
            TaskState::Error => "error",
            TaskState::Dropped => "dropped",
            TaskState::Lost => "lost",
            TaskState::Gone => "gone",
            TaskState::Unreachable => "unreachable",
            TaskState::Unknown => "unknown",
        }
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why a task is in its state, where the state alone does not say it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The process ended.
    Exited(Exit),
    /// The process could not be started.
    NotStarted,
    /// It ran for longer than its time limit.
    TimedOut,
    /// Its startup or liveness check failed.
    CheckFailed,
    /// It used more memory than it had asked for.
    OutOfMemory,
    /// Its executor ended, or could not be started.
    ExecutorGone,
    /// Its agent was removed, or came back without it.
    AgentGone,
    /// Its agent does not answer.
    AgentUnreachable,
    /// The offer that it was launched on was not valid any more.
    InvalidOffer,
    /// Others were faster: they have what an optimistic offer had when it was made.
    Conflict,
    /// It made room for tasks of a role that had less than it is entitled to.
    Preempted,
    /// The task as described can't run.
    Invalid,
    /// It was stopped because its framework was torn down.
    FrameworkGone,
    /// Somebody asked for the state.
    Reconciliation,
    /// Its framework has to acknowledge the ends of other tasks first.
    Unacknowledged,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    /// With this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl Exit {
    /// Whether it is exit code 0.
    pub fn is_success(self) -> bool {
        self == Exit::Code(0)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exit code {code}"),
            Exit::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// Counts the updates of one task, from 1. Updates of a task are delivered in the order of their numbers; an
/// acknowledgement of one covers those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UpdateNumber(pub u32);

impl UpdateNumber {
    /// The first update of a task.
    pub const FIRST: UpdateNumber = UpdateNumber(1);

    /// The number after this one.
    pub fn next(self) -> UpdateNumber {
        UpdateNumber(self.0.saturating_add(1))
    }
}

/// How many bytes the message and the data of an update may have together: an agent keeps updates of all of its tasks, and tells of them in
/// one message when it registers.
pub const MAX_STATUS_BYTES: usize = 64 << 10;

/// What is known of a task at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskStatus {
    /// The task.
    pub task: TaskId,
    /// Its state.
    pub state: TaskState,
    /// Its place among the task's updates. Without one it comes from the master, is not repeated and needs no
    /// acknowledgement.
    pub number: Option<UpdateNumber>,
    /// The agent, when it has one.
    pub agent: Option<AgentId>,
    /// Why, where the state alone does not say it.
    pub reason: Option<Reason>,
    /// For people.
    pub message: String,
    /// Whether it can serve: its readiness check passes, or it runs and has none.
    pub ready: bool,
    /// When this came about, by the clock of who says it.
    pub at: Time,
    /// From the executor to the scheduler, opaque to everyone between. At most [`MAX_STATUS_BYTES`], with the message.
    pub data: Vec<u8>,
}

impl TaskStatus {
    /// A status without number, agent, reason or message.
    pub fn new(task: TaskId, state: TaskState, at: Time) -> Self {
        TaskStatus {
            task,
            state,
            number: None,
            agent: None,
            reason: None,
            message: String::new(),
            ready: false,
            at,
            data: Vec::new(),
        }
    }

    /// The same status with a reason and a message.
    pub fn because(mut self, reason: Reason, message: impl Into<String>) -> Self {
        self.reason = Some(reason);
        self.message = message.into();
        self
    }

    /// The same status, cut to [`MAX_STATUS_BYTES`]: data that is too large is left out as a whole, which the message then says.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        if self.message.len() + self.data.len() <= MAX_STATUS_BYTES {
            return self;
        }
        if self.data.len() > MAX_STATUS_BYTES / 2 {
            let bytes = std::mem::take(&mut self.data).len();
            let note = format!("its data of {bytes} bytes is left out, which is too much for an update");
            self.message = if self.message.is_empty() { note } else { format!("{note}; {}", self.message) };
        }
        self.message.truncate(self.message.floor_char_boundary(MAX_STATUS_BYTES / 2));
        self
    }

    /// The process's end, when this tells of one.
    pub fn exit(&self) -> Option<Exit> {
        match self.reason {
            Some(Reason::Exited(exit)) => Some(exit),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_has_a_largest_size() {
        let status = TaskStatus::new("t1".parse().unwrap(), TaskState::Finished, Time::ZERO);
        let fits = TaskStatus { data: vec![7; MAX_STATUS_BYTES], ..status.clone() };
        assert_eq!(fits.clone().bounded(), fits);
        let too_much =
            TaskStatus { data: vec![7; MAX_STATUS_BYTES], message: "done".to_owned(), ..status.clone() };
        let bounded = too_much.bounded();
        assert_eq!(
            bounded.message,
            "its data of 65536 bytes is left out, which is too much for an update; done"
        );
        assert!(bounded.data.is_empty());
        let long = TaskStatus { data: vec![7; 8], message: "é".repeat(MAX_STATUS_BYTES), ..status };
        let bounded = long.bounded();
        assert_eq!((bounded.message.len(), bounded.data.len()), (MAX_STATUS_BYTES / 2, 8));
    }
}
