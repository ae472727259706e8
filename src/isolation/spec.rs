//! What to start: the program, its environment, its files and its limits.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use super::user::User;

/// What a task may use of its machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// CPU in thousandths of a core. It is a weight: a task may use idle CPU beyond it, and gets its proportion when CPU is short.
    /// Anything at or below zero means the smallest weight that there is.
    pub cpus_milli: i64,
    /// Whether `cpus_milli` is also a ceiling (CFS quota), which throttles the task even when CPU is idle.
    pub hard_cpu: bool,
    /// Bytes of memory for the whole task; beyond it the kernel kills ([`Exit::oom_killed`](super::Exit::oom_killed)). `None`: no limit.
    pub memory_bytes: Option<u64>,
    /// How many processes and threads the task may have at once. `None`: no limit.
    pub pids: Option<u64>,
}

/// Where an output stream of the process goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// Thrown away (`/dev/null`).
    #[default]
    Null,
    /// Into this file, created or emptied first. A relative path starts at the process' working directory.
    Create(PathBuf),
    /// To the end of this file, created if need be. A relative path starts at the process' working directory.
    Append(PathBuf),
}

/// Everything that a process is started with. Nothing is inherited but the user (unless another is given), the umask and the hard resource limits.
///
/// The process leads a new session and process group, reads `/dev/null`, has no open files but its three standard streams, and starts
/// with every standard signal unblocked and at its default. It may open 1,024 files (it may raise that to the inherited hard limit) and dumps no core.
///
/// ```
/// use apportion::isolation::{Output, ProcessSpec};
///
/// let spec = ProcessSpec::new(["sh", "-c", "echo $GREETING"], "/tmp")
///     .env("GREETING", "hello")
///     .stdout(Output::Create("greeting.txt".into()));
/// ```
#[derive(Clone, Debug)]
pub struct ProcessSpec {
    pub(super) argv: Vec<OsString>,
    pub(super) env: Vec<(OsString, OsString)>,
    pub(super) directory: PathBuf,
    pub(super) stdout: Output,
    pub(super) stderr: Output,
    pub(super) limits: Limits,
    pub(super) die_with_parent: bool,
    pub(super) user: Option<User>,
}

impl ProcessSpec {
    /// A process that runs `argv` in `directory`, with an empty environment and no limits, its outputs thrown away.
    ///
    /// The program, `argv[0]`, is looked up in the `PATH` of the process' *own* environment (`/usr/bin:/bin` when it has none), unless
    /// it holds a slash: then it is a path, from `directory` if it is relative.
    pub fn new<A: Into<OsString>>(argv: impl IntoIterator<Item = A>, directory: impl Into<PathBuf>) -> Self {
        Self {
            argv: argv.into_iter().map(Into::into).collect(),
            env: Vec::new(),
            directory: directory.into(),
            stdout: Output::Null,
            stderr: Output::Null,
            limits: Limits::default(),
            die_with_parent: false,
            user: None,
        }
    }

    /// Sets a variable of the environment; a later value replaces an earlier one of the same name.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl Into<OsString>) -> Self {
        let (name, value) = (name.as_ref(), value.into());
        match self.env.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = value,
            None => self.env.push((name.to_owned(), value)),
        }
        self
    }

    /// Sets many variables, as [`env`](Self::env) does.
    #[must_use]
    pub fn envs<N: AsRef<OsStr>, V: Into<OsString>>(
        self,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        variables.into_iter().fold(self, |spec, (name, value)| spec.env(name, value))
    }

    /// Sends the standard output there.
    #[must_use]
    pub fn stdout(mut self, output: Output) -> Self {
        self.stdout = output;
        self
    }

    /// Sends the standard error there. If it is equal to the standard output, both share one open file and interleave.
    #[must_use]
    pub fn stderr(mut self, output: Output) -> Self {
        self.stderr = output;
        self
    }

    /// Limits what the process and its descendants use together, as far as the [`Isolation`](super::Isolation) enforces it.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Has the kernel kill the process (it alone, not its descendants) when the *thread* that starts it ends, whatever ends it. For
    /// tasks that nobody could account for without their executor; to be started from threads that live as long as it.
    #[must_use]
    pub fn die_with_parent(mut self) -> Self {
        self.die_with_parent = true;
        self
    }

    /// Runs the process as someone else, with that user's groups and no others. Its outputs are opened before, as whom we run.
    #[must_use]
    pub fn user(mut self, user: User) -> Self {
        self.user = Some(user);
        self
    }
}
