//! What the command executor wants of the world, and what the world reports.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::protocol::{Exit, TaskId};

/// What the command executor wants done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum CommandAction {
    /// Make the sandbox and start the process. Answered by [`CommandEvent::Started`] and later [`CommandEvent::Exited`], or by
    /// [`CommandEvent::NotStarted`].
    Start {
        /// The task that it is.
        task: TaskId,
        /// What to start.
        process: ProcessPlan,
    },
    /// Send a signal to the process group.
    Signal {
        /// The task.
        task: TaskId,
        /// The signal's number.
        signal: i32,
    },
    /// Kill everything that belongs to the task.
    KillAll {
        /// The task.
        task: TaskId,
    },
    /// Try a check once. Answered by [`CommandEvent::Probed`].
    Probe {
        /// The task.
        task: TaskId,
        /// Which of its checks.
        check: CheckKind,
        /// What to try.
        probe: ProbePlan,
        /// A try that takes longer has failed.
        timeout: Duration,
    },
}

/// What the world reports to the command executor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum CommandEvent {
    /// The process runs.
    Started {
        /// The task.
        task: TaskId,
        /// The process' id.
        pid: u32,
    },
    /// The process could not be started.
    NotStarted {
        /// The task.
        task: TaskId,
        /// Why, for people.
        error: String,
    },
    /// The process ended, and nothing is left of the task.
    Exited {
        /// The task.
        task: TaskId,
        /// How.
        exit: Exit,
        /// Whether the kernel killed some process of the task for want of memory.
        oom_killed: bool,
    },
    /// A check was tried.
    Probed {
        /// The task.
        task: TaskId,
        /// Which of its checks.
        check: CheckKind,
        /// Whether it passed; why not, for people.
        result: Result<(), String>,
    },
}

impl CommandEvent {
    /// The task that it is about.
    pub fn task(&self) -> &TaskId {
        match self {
            CommandEvent::Started { task, .. }
            | CommandEvent::NotStarted { task, .. }
            | CommandEvent::Exited { task, .. }
            | CommandEvent::Probed { task, .. } => task,
        }
    }
}

/// A process to start, with nothing left to decide.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProcessPlan {
    /// The program and its arguments, with all references expanded.
    pub argv: Vec<String>,
    /// The whole environment.
    pub env: Vec<(String, String)>,
    /// The user as whom it runs; `None`: as whom the executor runs.
    pub user: Option<String>,
    /// Its working directory, where its outputs are written to too; an absolute path.
    pub sandbox: PathBuf,
    /// The persistent volumes that it finds there.
    pub volumes: Vec<VolumeMount>,
    /// What it may use.
    pub limits: ProcessLimits,
}

/// A persistent volume, and where a task sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeMount {
    /// The volume's folder, made if need be.
    pub folder: PathBuf,
    /// Where the sandbox has a link to it; a relative path.
    pub path: PathBuf,
}

/// What a process may use of its machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessLimits {
    /// Thousandths of a core.
    pub cpus_milli: i64,
    /// Bytes of memory; `None` for a task that asked for none and gets no limit.
    pub memory_bytes: Option<u64>,
}

/// One of a task's three checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CheckKind {
    /// Gates the other two.
    Startup,
    /// Whether it can serve.
    Readiness,
    /// Whether it must be replaced.
    Liveness,
}

impl CheckKind {
    /// The check's name, as it is printed.
    pub fn as_str(self) -> &'static str {
        match self {
            CheckKind::Startup => "startup",
            CheckKind::Readiness => "readiness",
            CheckKind::Liveness => "liveness",
        }
    }
}

/// What to try, on this machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ProbePlan {
    /// `GET path`; any status from 200 to 399 passes.
    Http {
        /// The port's number.
        port: u16,
        /// The path, from `/` on.
        path: String,
    },
    /// A connection that is accepted passes.
    Tcp {
        /// The port's number.
        port: u16,
    },
    /// A process; exit code 0 passes.
    Command(Box<ProcessPlan>),
}
