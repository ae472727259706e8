//! Cgroups for tasks: made below our own, lent from a pool, tidied up after the dead.
//!
//! Directories are `<our own cgroup>/<root>/<run>/<task>`: a *root* is named by whoever embeds us, a *run* by the process that made it, so
//! that leftovers of dead runs can be told from the live ones' ([`runs`]). Each *task* directory belongs to the [`pool`], which speaks
//! to the kernel through a [`Hierarchy`]: [`v1`] or [`v2`]. Where they are mounted is found by [`mounts`].

mod files;
mod mounts;
mod pool;
mod runs;
mod v1;
mod v2;

use std::ffi::CString;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use super::backend::IsolationKind;
use super::error::IsolationError;
use super::spec::Limits;
pub(super) use pool::{Lease, Pool};
pub use runs::CleanUp;

/// How a process gets into a task's cgroup.
#[derive(Debug)]
pub(super) enum Door {
    /// It writes itself into these files (v1).
    Join(Vec<CString>),
    /// It is born in this directory (v2).
    BornIn(OwnedFd),
}

/// A [`Door`] as the launch uses it.
pub(super) enum Entry<'a> {
    Join(&'a [CString]),
    BornIn(BorrowedFd<'a>),
}

/// What is in a task's cgroup after its leader was reaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Leftover {
    processes: u64,
    memory_bytes: u64,
    oom_kills: u64,
}

/// The task directories of one run, in the kernel's terms.
trait Hierarchy: std::fmt::Debug + Send + Sync {
    fn create(&self, task: &str) -> io::Result<Door>;
    fn limit(&self, task: &str, limits: &Limits) -> io::Result<()>;
    fn leftover(&self, task: &str) -> io::Result<Leftover>;
    /// Kills every process in it. They may take a moment to be gone.
    fn kill(&self, task: &str) -> io::Result<()>;
    /// Removes an empty task directory; `ResourceBusy` while processes are in it. One that is gone is no error.
    fn remove(&self, task: &str) -> io::Result<()>;
    /// The directories of this run, one for each hierarchy.
    fn directories(&self) -> Vec<PathBuf>;
}

/// What stands in the way of v2 and of v1.
type Reasons = (String, String);

/// Opens the better version that works, after it cleaned up after dead runs.
pub(super) fn open(root: &str) -> Result<Result<(IsolationKind, Arc<Pool>), Reasons>, IsolationError> {
    check_name(root)?;
    let machine = match mounts::Machine::read() {
        Ok(machine) => machine,
        Err(error) => return Ok(Err((format!("can't read /proc/self: {error}"), "likewise".into()))),
    };
    runs::clean_up(&roots(&machine, root));
    let run = runs::new_run();
    let v2 = match v2::V2::open(&machine, root, &run).and_then(|v2| Pool::open(Box::new(v2))) {
        Ok(pool) => return Ok(Ok((IsolationKind::CgroupsV2, pool))),
        Err(reason) => reason,
    };
    let v1 = match v1::V1::open(&machine, root, &run).and_then(|v1| Pool::open(Box::new(v1))) {
        Ok(pool) => return Ok(Ok((IsolationKind::CgroupsV1, pool))),
        Err(reason) => reason,
    };
    Ok(Err((v2, v1)))
}

pub(super) fn clean_up(root: &str) -> Result<CleanUp, IsolationError> {
    check_name(root)?;
    match mounts::Machine::read() {
        Ok(machine) => Ok(runs::clean_up(&roots(&machine, root))),
        Err(error) => {
            tracing::warn!(%error, "can't read /proc/self to find leftover cgroups");
            Ok(CleanUp::default())
        }
    }
}

fn roots(machine: &mounts::Machine, root: &str) -> Vec<PathBuf> {
    let mut roots: Vec<PathBuf> = v1::CONTROLLERS
        .iter()
        .filter_map(|controller| machine.v1(controller))
        .chain(v2::base(machine))
        .map(|base| base.join(root))
        .collect();
    roots.dedup();
    roots
}

fn check_name(root: &str) -> Result<(), IsolationError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    match !root.is_empty() && root.chars().all(fits) {
        true => Ok(()),
        false => Err(IsolationError::BadName { name: root.to_owned() }),
    }
}
