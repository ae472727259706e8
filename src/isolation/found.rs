//! Processes that somebody else started, found by what is in their environment.

use std::collections::HashSet;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::process::{
    Pid, PidfdFlags, Signal, kill_process, kill_process_group, pidfd_open, pidfd_send_signal,
};

use super::sys;

/// A process that somebody else started, such as an earlier life of this program. It is watched and killed as our own are, but how
/// it ended is not known.
#[derive(Debug)]
pub struct FoundProcess {
    pid: Pid,
    pidfd: OwnedFd,
}

impl FoundProcess {
    /// The leader of a session, as all that [`Isolation::spawn`](super::Isolation::spawn) starts, in whose environment `name` is
    /// `value`, if it runs. The environment is the one that the process was started with, so that no number of a process that was used
    /// again, and no restart of the machine, can deceive.
    ///
    /// What such a process has started is not taken for it: until a child becomes its own program it has its parent's environment.
    ///
    /// # Errors
    /// When `/proc` can't be read.
    pub fn leader_with(name: &str, value: &str) -> io::Result<Option<Self>> {
        let wanted = format!("{name}={value}");
        for pid in processes()?.filter(|pid| is_first_leader_with(*pid, wanted.as_bytes())) {
            // It may end, and its number be used again, before it is opened.
            if let Ok(pidfd) = pidfd_open(pid, PidfdFlags::NONBLOCK)
                && is_first_leader_with(pid, wanted.as_bytes())
            {
                return Ok(Some(FoundProcess { pid, pidfd }));
            }
        }
        Ok(None)
    }

    /// The process' number.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Waits for the process' end.
    ///
    /// # Errors
    /// When it can't be watched.
    ///
    /// # Panics
    /// Outside a tokio runtime with IO enabled.
    pub async fn ended(&self) -> io::Result<()> {
        let watched = sys::watch(&self.pidfd)?;
        let _readable = watched.readable().await?;
        Ok(())
    }

    /// Kills (`SIGKILL`) the process and its group. `false`: it has ended already.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn kill_all(&self) -> io::Result<bool> {
        match pidfd_send_signal(&self.pidfd, Signal::KILL) {
            Ok(()) => {
                // As long as the group has members, its number is not used again; without any there is nothing to kill.
                let _ = kill_process_group(self.pid, Signal::KILL);
                Ok(true)
            }
            Err(rustix::io::Errno::SRCH) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// How long killed processes get to be gone.
const GRACE: Duration = Duration::from_secs(2);

/// Kills every process in whose environment `name` begins with `start`, and waits until there is none any more. Returns how many there
/// were.
///
/// # Errors
/// When `/proc` can't be read, or one can't be killed in time.
pub(crate) fn kill_processes_with(name: &str, start: &str) -> io::Result<usize> {
    let wanted = format!("{name}={start}");
    let deadline = Instant::now() + GRACE;
    let mut killed = HashSet::new();
    // Those that were about to start others are caught on the next round.
    loop {
        let mut is_any_left = false;
        for pid in processes()? {
            if environment_has(pid, |variable| variable.starts_with(wanted.as_bytes())) {
                is_any_left = true;
                killed.insert(pid);
                // It may have ended just now.
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        if !is_any_left {
            return Ok(killed.len());
        }
        if Instant::now() > deadline {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "a killed process does not end"));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn processes() -> io::Result<impl Iterator<Item = Pid>> {
    let entries = std::fs::read_dir("/proc")?.flatten();
    Ok(entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)))
}

/// A process that has ended, or that is not ours to look at, has no such variable.
fn environment_has(pid: Pid, is_it: impl Fn(&[u8]) -> bool) -> bool {
    let environment = std::fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(is_it)
}

/// Whether a process leads a session and has this variable, which its parent has not.
fn is_first_leader_with(pid: Pid, wanted: &[u8]) -> bool {
    let has = |pid| environment_has(pid, |variable| variable == wanted);
    let Some(Kin { parent, session }) = kin_of(pid) else { return false };
    session == Some(pid) && has(pid) && !parent.is_some_and(has)
}

/// A process' parent and the leader of its session; there are none in this namespace of processes when they are outside it.
struct Kin {
    parent: Option<Pid>,
    session: Option<Pid>,
}

/// `None` when it has ended.
fn kin_of(pid: Pid) -> Option<Kin> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    // The command's name, in parentheses, may hold anything. The parent is the 2nd field after it, the session the 4th.
    let fields: Vec<i32> =
        stat.rsplit_once(')')?.1.split_whitespace().skip(1).take(3).flat_map(str::parse).collect();
    let [parent, _group, session] = fields[..] else { return None };
    Some(Kin { parent: Pid::from_raw(parent), session: Pid::from_raw(session) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isolation::{Isolation, ProcessSpec, Status};

    const NAME: &str = "APPORTION_TEST_FOUND";

    #[test]
    fn what_a_process_has_started_is_not_taken_for_it() {
        let mark = format!("first-{}", std::process::id());
        let marked = format!("{NAME}={mark}");
        let alike = || processes().unwrap().filter(|pid| environment_has(*pid, |it| it == marked.as_bytes()));
        let leaders = || alike().filter(|pid| kin_of(*pid).is_some_and(|kin| kin.session == Some(*pid)));
        let spec = ProcessSpec::new(["sh", "-c", "setsid sleep 1000 & wait"], "/").env(NAME, &mark);
        let process = Isolation::plain().spawn(&spec).unwrap();
        while leaders().count() < 2 {
            std::thread::yield_now();
        }
        let first: Vec<Pid> =
            processes().unwrap().filter(|pid| is_first_leader_with(*pid, marked.as_bytes())).collect();
        let pids: Vec<u32> = first.iter().map(|pid| pid.as_raw_nonzero().get().unsigned_abs()).collect();
        assert_eq!(pids, [process.pid()]);
        kill_processes_with(NAME, &mark).unwrap();
    }

    #[tokio::test]
    async fn a_process_is_found_by_its_environment_and_killed_with_its_group() {
        let mark = format!("leader-{}", std::process::id());
        assert!(FoundProcess::leader_with(NAME, &mark).unwrap().is_none());
        let spec = ProcessSpec::new(["sh", "-c", "sleep 1000 & wait"], "/").env(NAME, &mark);
        let process = Isolation::plain().spawn(&spec).unwrap();
        // A process that has just become its program shows no environment for a moment.
        let found = loop {
            if let Some(found) = FoundProcess::leader_with(NAME, &mark).unwrap() {
                break found;
            }
            std::thread::yield_now();
        };
        assert_eq!(found.pid(), process.pid(), "the leader, not its child");
        assert!(found.kill_all().unwrap());
        found.ended().await.unwrap();
        assert!(matches!(process.wait().await.unwrap().status, Status::Signal { signal: libc::SIGKILL, .. }));
        assert!(!found.kill_all().unwrap());
        let marked = format!("{NAME}={mark}");
        let is_marked = |pid| environment_has(pid, |variable| variable == marked.as_bytes());
        let killed = Instant::now();
        // The kernel takes a moment to end the others of the group.
        while processes().unwrap().any(is_marked) {
            assert!(killed.elapsed() < GRACE, "the group goes with it");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn processes_that_left_their_group_are_found_too() {
        let mark = format!("fled-{}", std::process::id());
        let spec = ProcessSpec::new(["setsid", "-f", "sleep", "1000"], "/").env(NAME, format!("{mark}/x"));
        Isolation::plain().spawn(&spec).unwrap().wait_blocking().unwrap();
        while kill_processes_with(NAME, &mark).unwrap() == 0 {}
        assert_eq!(kill_processes_with(NAME, &mark).unwrap(), 0);
    }
}
