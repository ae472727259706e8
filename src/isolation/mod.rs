//! How a task's process is started, contained, signalled and reaped.
//!
//! An [`Isolation`] is chosen once, when an executor starts ([`Isolation::detect`]), and says in one sentence what it enforces and what
//! it does not ([`Isolation::describe`]). From then on a task is one call:
//!
//! 1. [`Isolation::spawn`] takes a [`ProcessSpec`] (argv, the whole environment, working directory, outputs, [`Limits`]), borrows a
//!    cgroup with those limits from the pool (with cgroups), and starts the program *inside* it, in a session of its own;
//! 2. the [`Process`] is signalled as a group ([`Process::signal`]) or together with everything that fled the group
//!    ([`Process::kill_all`]);
//! 3. [`Process::wait`] reports how it ended ([`Exit`]), kills what it left behind, and gives the cgroup back.
//!
//! Nothing here decides *when* to signal or whether to restart: that is the executor's state machine.
//!
//! | file | its idea |
//! | --- | --- |
//! | `backend` | which containment is used, and why |
//! | `spec` | what to start |
//! | `spawn` | from the spec to the running process, and what failures mean |
//! | `error` | what may go wrong before the program runs |
//! | `found` | processes that an earlier life of this program started |
//! | `process` | the running process: signals, reaping, the exit |
//! | `user` | as whom a process runs |
//! | `sys` | the `clone3` launch and the `waitid` with usage: all of the unsafe code |
//! | `cgroups` | the pool of cgroups, its v1 and v2 layouts, and tidying up after dead runs |
//!
//! ```
//! use apportion::isolation::{Isolation, IsolationPreference, ProcessSpec, Status};
//!
//! let isolation = Isolation::detect(IsolationPreference::Auto, "apportion-example")?;
//! println!("{}", isolation.describe());
//! let process = isolation.spawn(&ProcessSpec::new(["sh", "-c", "exit 7"], "/"))?;
//! // With tokio: `process.wait().await`.
//! assert_eq!(process.wait_blocking()?.status, Status::Code(7));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it costs
//!
//! The launch is `clone3(CLONE_VM | CLONE_VFORK | CLONE_PIDFD)` and `execve`: nothing of the parent's memory is copied, so a large agent
//! starts tasks as fast as a small one, and failures of the child come back through shared memory without a pipe. It is as fast as
//! `posix_spawn`, which can't do the rest.
//!
//! With cgroups the dear parts are creating a cgroup, removing it, and moving a *running* process into it. None happens on the usual
//! path: cgroups are pooled, and the child is born inside (v2) or moves itself, single-threaded, before it runs the program (v1), which
//! takes no global lock. On a virtual machine with two cores and cgroups v1, launches of `/bin/true` reach these parts of
//! `posix_spawn`'s rate (`cargo bench --bench spawn`): plain 100 %, with cgroups and limits 96 %, with a sandbox directory and two files
//! on ext4 besides 88 %. A cgroup made and removed for each task would cost a quarter of the rate.
//!
//! What may cost far more is the file system: ext4 does not reuse the inodes of deleted files for a while, and searches past them whenever it
//! makes a file. Deleting thousands of sandboxes in a burst halves the rate of launches that follow.
//!
//! Needs Linux 5.11 or newer.

mod backend;
mod cgroups;
mod error;
mod found;
mod process;
mod spawn;
mod spec;
mod sys;
mod user;

pub use backend::{Isolation, IsolationKind, IsolationPreference};
pub use cgroups::CleanUp;
pub use error::{IsolationError, SpawnError};
pub use found::FoundProcess;
pub(crate) use found::kill_processes_with;
pub use process::{Exit, Process, Status, Usage};
pub use spec::{Limits, Output, ProcessSpec};
pub use user::{User, UserError};
