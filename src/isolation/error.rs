//! What may go wrong before a task's program runs.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

/// Why a process was not started. Nothing is left behind: no process, no cgroup.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// `argv` was empty.
    #[error("no program was given: argv is empty; put the program's name first")]
    NoProgram,
    /// A NUL byte, which the kernel takes for the end of a string.
    #[error("{what} holds a NUL byte ({text:?}); remove it")]
    NulByte {
        /// Which part of the spec.
        what: &'static str,
        /// The offending text.
        text: OsString,
    },
    /// A variable's name that is empty or holds `=`.
    #[error("{name:?} can't name an environment variable; use a name that is not empty and has no '='")]
    BadVariable {
        /// The name.
        name: OsString,
    },
    /// No directory of the `PATH` has the program.
    #[error(
        "program {program:?} was not found in PATH {path:?}; install it there, extend the task's PATH, or give its whole path"
    )]
    NotFound {
        /// The program's name.
        program: OsString,
        /// The `PATH` that was searched: the task's, not ours.
        path: OsString,
    },
    /// The program is a path and nothing is there, or its interpreter is missing.
    #[error(
        "program {program:?} can't be run: the file, the interpreter after its '#!', or its dynamic loader does not exist on this machine"
    )]
    NoSuchFile {
        /// The path.
        program: PathBuf,
    },
    /// The program exists but may not be executed.
    #[error(
        "program {program:?} is not executable by this user; try 'chmod +x', and check the mount for 'noexec'"
    )]
    NotExecutable {
        /// The path.
        program: PathBuf,
    },
    /// The program is no executable format that this machine knows.
    #[error(
        "program {program:?} is no executable for this machine: it was built for another one, or is a script without a '#!' line"
    )]
    WrongFormat {
        /// The path.
        program: PathBuf,
    },
    /// Arguments and environment together exceed what the kernel takes.
    #[error(
        "the arguments and environment of {program:?} are too long for the kernel; pass large data in a file"
    )]
    TooLong {
        /// The program.
        program: PathBuf,
    },
    /// The working directory can't be entered.
    #[error("can't enter the working directory {directory:?}; create it and let this user enter it")]
    BadDirectory {
        /// The directory.
        directory: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// A file for an output stream can't be opened.
    #[error(
        "can't open {path:?} for the task's {stream}; check that its directory exists, is writable and has room"
    )]
    BadOutput {
        /// `stdout` or `stderr`.
        stream: &'static str,
        /// The file.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// No more processes may be made.
    #[error(
        "no further process may be started: a limit on processes is reached; \
         raise the user's 'ulimit -u', kernel.pid_max, or the enclosing cgroup's pids.max, or run fewer tasks"
    )]
    TooManyProcesses,
    /// No more files may be opened.
    #[error("no further file may be opened by this process; raise its 'ulimit -n', or run fewer tasks")]
    TooManyFiles,
    /// The task's cgroup could not be had or entered.
    #[error("can't put the task into a cgroup ({step})")]
    Cgroup {
        /// What was being done.
        step: &'static str,
        /// The kernel's reason.
        source: io::Error,
    },
    /// Anything else that the kernel refused.
    #[error("can't start {program:?}: the kernel refused to {step}")]
    Refused {
        /// The program.
        program: PathBuf,
        /// What was being done.
        step: &'static str,
        /// The kernel's reason.
        source: io::Error,
    },
}

/// Why the isolation that was asked for can't be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IsolationError {
    /// Cgroups were demanded and neither version works here.
    #[error(
        "cgroups can't be used here: v2: {v2}; v1: {v1}. Run as root or under systemd with Delegate=yes and DelegateSubgroup=, \
         or choose plain isolation"
    )]
    NoCgroups {
        /// What stands in the way of v2.
        v2: String,
        /// What stands in the way of v1.
        v1: String,
    },
    /// The text names no preference.
    #[error("{text:?} is no isolation: it is auto, cgroups or plain")]
    UnknownPreference {
        /// The text.
        text: String,
    },
    /// The root name can't be a directory's name.
    #[error("{name:?} can't name a cgroup: use letters, digits, '-' and '_'")]
    BadName {
        /// The name.
        name: String,
    },
}
