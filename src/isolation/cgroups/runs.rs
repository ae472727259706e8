//! Which run a cgroup belongs to, and the removal of those whose run is dead.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::files;

/// How long killed processes get to leave their cgroup.
const GRACE: Duration = Duration::from_secs(2);

/// What a clean-up did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CleanUp {
    /// Cgroups removed.
    pub removed: usize,
    /// Processes killed in them.
    pub killed: usize,
    /// Cgroups that could not be removed; the log says why.
    pub stuck: usize,
}

/// The name of a new run of this process: its pid and its start time, so that a reused pid is another run, and a number, so that several
/// executors of one process do not meet.
pub(super) fn new_run() -> String {
    static LAST: AtomicU32 = AtomicU32::new(0);
    let pid = std::process::id();
    format!("{pid}-{}-{}", started(pid).unwrap_or(0), LAST.fetch_add(1, Ordering::Relaxed) + 1)
}

/// When the process was started, in ticks since boot; `None` if it is gone, or has ended and was not yet waited for: those whom an earlier
/// life of their parent started are waited for by somebody else, whenever that may be.
fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command's name, in parentheses, may hold anything. The state is the first field after it, the start time the 20th.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// Whether a directory's name is that of a run whose process is gone. Directories that are no runs are not ours to judge.
fn is_dead(name: &str) -> bool {
    let mut parts = name.split('-');
    let mut number = || parts.next()?.parse::<u64>().ok();
    match (number().and_then(|pid| u32::try_from(pid).ok()), number()) {
        (Some(pid), Some(start)) => started(pid) != Some(start),
        _ => false,
    }
}

/// Removes the cgroups of dead runs in each root, and the roots that are then empty.
pub(super) fn clean_up(roots: &[PathBuf]) -> CleanUp {
    let mut done = CleanUp::default();
    for root in roots {
        for run in directories(root)
            .filter(|run| run.file_name().is_some_and(|name| is_dead(&name.to_string_lossy())))
        {
            for task in directories(&run) {
                remove(&task, &mut done);
            }
            remove(&run, &mut done);
        }
        // Fails as it should while a live run is in it.
        let _ = fs::remove_dir(root);
    }
    done
}

fn directories(parent: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path())
}

fn remove(directory: &Path, done: &mut CleanUp) {
    let deadline = Instant::now() + GRACE;
    loop {
        done.killed += files::kill_members(directory).unwrap_or(0);
        match files::remove_directory(directory) {
            Ok(()) => {
                done.removed += 1;
                return;
            }
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(2));
            }
            Err(error) => {
                tracing::warn!(%error, "can't remove a leftover cgroup");
                done.stuck += 1;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_one_process_have_names_of_their_own() {
        assert_ne!(new_run(), new_run());
    }

    #[test]
    fn a_run_is_dead_when_its_process_is_gone_or_another() {
        assert!(!is_dead(&new_run()));
        assert!(is_dead(&format!("{}-1", std::process::id())));
        assert!(is_dead("4194305-7-1"), "beyond the largest pid");
        assert!(!is_dead("no-run"));
        assert!(!is_dead("tasks"));
    }

    #[test]
    fn a_run_whose_process_has_ended_is_dead_though_nobody_has_waited_for_it() {
        let mut child =
            std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let name = format!("{}-{}-1", child.id(), started(child.id()).unwrap());
        assert!(!is_dead(&name));
        drop(child.stdin.take());
        let deadline = Instant::now() + GRACE;
        while !is_dead(&name) {
            assert!(Instant::now() < deadline, "it has ended, but counts as alive");
            std::thread::yield_now();
        }
        child.wait().unwrap();
    }
}
