//! Which containment is used on this machine, and why.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::cgroups::{self, CleanUp, Pool};
use super::error::{IsolationError, SpawnError};
use super::process::Process;
use super::spawn::spawn;
use super::spec::ProcessSpec;

/// What the operator wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IsolationPreference {
    /// Cgroups if they are permitted, otherwise plain processes.
    #[default]
    Auto,
    /// Cgroups or an error.
    Cgroups,
    /// Plain processes.
    Plain,
}

impl fmt::Display for IsolationPreference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Auto => "auto",
            Self::Cgroups => "cgroups",
            Self::Plain => "plain",
        })
    }
}

impl FromStr for IsolationPreference {
    type Err = IsolationError;

    fn from_str(text: &str) -> Result<Self, IsolationError> {
        [Self::Auto, Self::Cgroups, Self::Plain]
            .into_iter()
            .find(|preference| preference.to_string() == text)
            .ok_or_else(|| IsolationError::UnknownPreference { text: text.to_owned() })
    }
}

/// What contains tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IsolationKind {
    /// A cgroup of the unified hierarchy for each task.
    CgroupsV2,
    /// A cgroup in each of the `cpu`, `memory` and `pids` hierarchies for each task.
    CgroupsV1,
    /// A session and resource limits only.
    Plain,
}

/// Starts processes, each contained in the same way. Clones share one pool of cgroups.
///
/// The rule of [`IsolationPreference::Auto`]: cgroups v2 if its `cpu`, `memory` and `pids` controllers may be used below our own cgroup,
/// else v1 likewise, else plain. Then *every* task gets a cgroup of its own, whether it has limits or not: that is also what finds the
/// processes which flee their group. Cgroups are made below our own, so limits on us hold for our tasks too.
///
/// # Plain
/// Without cgroups a task's CPU and number of processes are not limited at all (`RLIMIT_NPROC` counts a user's processes, not a task's,
/// and not root's). Memory is limited by `RLIMIT_DATA`, which holds for the private writable memory of each process *separately*, and
/// makes allocations fail rather than kill. `RLIMIT_AS` would be worse: runtimes with garbage collectors, sanitizers and thread arenas
/// reserve far more addresses than they ever use, and break under it.
#[derive(Clone, Debug)]
pub struct Isolation {
    kind: IsolationKind,
    pool: Option<Arc<Pool>>,
    description: String,
}

impl Isolation {
    /// Chooses the isolation. Cgroups are kept in a directory named `root` below our own cgroup; leftovers there of processes that are
    /// dead (their tasks too) are cleaned up first.
    ///
    /// # Errors
    /// A `root` that can't name a directory, or cgroups demanded where they can't be used.
    pub fn detect(preference: IsolationPreference, root: &str) -> Result<Self, IsolationError> {
        if preference == IsolationPreference::Plain {
            return Ok(Self::plain());
        }
        let (v2, v1) = match cgroups::open(root)? {
            Ok((kind, pool)) => return Ok(Self::pooled(kind, pool)),
            Err(reasons) => reasons,
        };
        match preference {
            IsolationPreference::Cgroups => Err(IsolationError::NoCgroups { v2, v1 }),
            _ => Ok(Self::plain_because(&format!("cgroups can't be used here: v2: {v2}; v1: {v1}"))),
        }
    }

    /// Plain processes, which always work.
    pub fn plain() -> Self {
        Self::plain_because("cgroups are turned off")
    }

    /// Which containment it is.
    pub fn kind(&self) -> IsolationKind {
        self.kind
    }

    /// What is enforced, what is not, and why, for people who read logs.
    pub fn describe(&self) -> &str {
        &self.description
    }

    /// Starts a process. It blocks until the program runs, typically well below a millisecond.
    ///
    /// # Errors
    /// [`SpawnError`]; then nothing is left behind.
    pub fn spawn(&self, spec: &ProcessSpec) -> Result<Process, SpawnError> {
        match &self.pool {
            Some(pool) => {
                let lease = Pool::lease(pool, &spec.limits)
                    .map_err(|source| SpawnError::Cgroup { step: "making one with its limits", source })?;
                spawn(spec, Some(lease), None)
            }
            None => spawn(spec, None, spec.limits.memory_bytes),
        }
    }

    /// Kills the tasks and removes the cgroups below `root` whose owners are dead. [`detect`](Self::detect) does so by itself.
    ///
    /// # Errors
    /// A `root` that can't name a directory. What can't be removed is logged and counted.
    pub fn clean_up(root: &str) -> Result<CleanUp, IsolationError> {
        cgroups::clean_up(root)
    }

    fn pooled(kind: IsolationKind, pool: Arc<Pool>) -> Self {
        let version = if kind == IsolationKind::CgroupsV2 { "v2" } else { "v1" };
        let description = format!(
            "tasks run in cgroups ({version}): memory and number of processes are hard limits of the whole task, CPU is a weight (a \
             ceiling where asked for), and killing reaches every process of a task; disk, network and devices are not contained"
        );
        Self { kind, pool: Some(pool), description }
    }

    fn plain_because(reason: &str) -> Self {
        let description = format!(
            "tasks run as plain processes ({reason}): memory limits hold for each process separately (RLIMIT_DATA), CPU and the number \
             of processes are not limited, and a process that leaves its session escapes being killed"
        );
        Self { kind: IsolationKind::Plain, pool: None, description }
    }
}
