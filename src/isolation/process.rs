//! A running process: signals, reaping, and how it ended.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, kill_process_group};

use super::cgroups::Lease;
use super::sys;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Its exit code, or the signal that ended it.
    pub status: Status,
    /// Whether the kernel killed any process of the task for want of memory. Known only with cgroups; `false` otherwise.
    pub oom_killed: bool,
    /// What it used, together with those of its descendants that it waited for.
    pub usage: Usage,
}

/// The end of a process in the kernel's terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It exited with this code, 0 to 255.
    Code(i32),
    /// A signal ended it.
    Signal {
        /// The signal's number.
        signal: i32,
        /// Whether a core was dumped.
        core_dumped: bool,
    },
}

/// Resources that a process used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// CPU time in its own code.
    pub user: Duration,
    /// CPU time in the kernel on its behalf.
    pub system: Duration,
    /// The largest resident memory of any one of its processes, in bytes. `None` when it stayed below our own peak: the kernel counts
    /// the launch, which runs in our memory, as the process' own, so a smaller value can't be told.
    pub peak_memory_bytes: Option<u64>,
}

/// A started process, the leader of its own session and process group.
///
/// All methods take `&self` and may be called from several threads; a pid is never signalled after it was reaped.
///
/// Dropping a process that still runs kills it, with everything in its group and cgroup, and reaps it in the background. To let it
/// live, [`detach`](Self::detach) it, or have it [outlive](Self::outlive_us) us.
#[derive(Debug)]
pub struct Process {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    pid: Pid,
    pidfd: OwnedFd,
    /// Our peak of memory at the launch.
    floor_kib: i64,
    state: Mutex<State>,
    /// Whether it runs on when it is dropped.
    outlives: AtomicBool,
}

#[derive(Debug)]
enum State {
    Running(Option<Lease>),
    Ended(Exit),
    Detached,
}

impl Process {
    pub(super) fn new(pid: i32, pidfd: OwnedFd, floor_kib: i64, lease: Option<Lease>) -> Self {
        let pid = Pid::from_raw(pid).expect("clone3 returns zero only in the child");
        Self {
            shared: Arc::new(Shared {
                pid,
                pidfd,
                floor_kib,
                state: Mutex::new(State::Running(lease)),
                outlives: AtomicBool::new(false),
            }),
        }
    }

    /// The process' id, which is also its group's and its session's.
    pub fn pid(&self) -> u32 {
        self.shared.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Waits for the process' end, reaps it, kills what it left in its group and cgroup, and says how it ended. A second call repeats
    /// the answer. Dropping the future loses nothing.
    ///
    /// # Errors
    /// When the pidfd can't be watched or somebody else reaped the process (a `SIGCHLD` that is ignored, or a `waitpid(-1)`).
    ///
    /// # Panics
    /// Outside a tokio runtime with IO enabled.
    pub async fn wait(&self) -> io::Result<Exit> {
        if let State::Ended(exit) = *self.shared.state.lock() {
            return Ok(exit);
        }
        // The guard stays uncleared: an ended process stays ended.
        let watched = sys::watch(&self.shared.pidfd)?;
        let _readable = watched.readable().await?;
        self.shared.reap()
    }

    /// [`wait`](Self::wait) for callers without tokio.
    ///
    /// # Errors
    /// As those of `wait`.
    pub fn wait_blocking(&self) -> io::Result<Exit> {
        self.shared.wait_blocking()
    }

    /// Sends a signal, by its number, to the whole process group. `false`: the process has been reaped, and nothing was sent.
    ///
    /// # Errors
    /// `InvalidInput` for a number that is no standard signal; otherwise what the kernel says.
    pub fn signal(&self, signal: i32) -> io::Result<bool> {
        let named = Signal::from_named_raw(signal).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, format!("{signal} is no signal's number"))
        })?;
        // Held across the call, so that the pid can't be reaped and reused in between.
        match &*self.shared.state.lock() {
            State::Running(_) => {
                kill_process_group(self.shared.pid, named).map(|()| true).map_err(io::Error::from)
            }
            State::Ended(_) | State::Detached => Ok(false),
        }
    }

    /// Kills (`SIGKILL`) the process group and, with cgroups, every process that fled it. `false`: the process has been reaped.
    ///
    /// # Errors
    /// What the kernel says; the group is signalled even when the cgroup can't be.
    pub fn kill_all(&self) -> io::Result<bool> {
        self.shared.kill_all()
    }

    /// Has the process run on when it is dropped, as a detached one does; until then nothing changes.
    pub fn outlive_us(&self) {
        self.shared.outlives.store(true, Ordering::Relaxed);
    }

    /// Lets the process go: it runs on when we end, and becomes its adopter's child. Until then we stay its parent, and it is
    /// nobody's to reap.
    ///
    /// One that was started in a cgroup keeps its limits, but [`Isolation::clean_up`](super::Isolation::clean_up) will take it for a
    /// leftover of a dead run once we are gone. Start what shall outlive us with [`Isolation::plain`](super::Isolation::plain).
    pub fn detach(self) -> u32 {
        if let State::Running(Some(lease)) =
            std::mem::replace(&mut *self.shared.state.lock(), State::Detached)
        {
            lease.abandon();
        }
        self.pid()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.shared.outlives.load(Ordering::Relaxed)
            || !matches!(*self.shared.state.lock(), State::Running(_))
        {
            return;
        }
        if let Err(error) = self.shared.kill_all() {
            tracing::warn!(pid = self.pid(), %error, "can't kill a dropped process");
        }
        let shared = Arc::clone(&self.shared);
        let reaper = std::thread::Builder::new().name("apportion-reap".into()).spawn(move || {
            if let Err(error) = shared.wait_blocking() {
                tracing::warn!(pid = ?shared.pid, %error, "can't reap a dropped process");
            }
        });
        if let Err(error) = reaper {
            tracing::warn!(pid = self.pid(), %error, "no thread to reap a dropped process: it stays a zombie");
        }
    }
}

impl Shared {
    fn wait_blocking(&self) -> io::Result<Exit> {
        // The lock must be free meanwhile, for signals: hence no blocking `waitid`.
        while let Err(error) = poll(&mut [PollFd::new(&self.pidfd, PollFlags::IN)], None) {
            if error != rustix::io::Errno::INTR {
                return Err(error.into());
            }
        }
        self.reap()
    }

    /// Reaps the process, which has ended.
    fn reap(&self) -> io::Result<Exit> {
        let mut state = self.state.lock();
        let lease = match &mut *state {
            State::Ended(exit) => return Ok(*exit),
            State::Detached => return Err(io::Error::from_raw_os_error(libc::ECHILD)),
            State::Running(lease) => lease,
        };
        // While the leader is a zombie its number still names this group and no other: the last moment to kill what is left of it.
        let _ = kill_process_group(self.pid, Signal::KILL);
        let ended = sys::wait(&self.pidfd)?;
        let oom_killed = lease.take().is_some_and(Lease::finish);
        let exit = Exit { status: status(&ended), oom_killed, usage: self.usage(&ended) };
        *state = State::Ended(exit);
        Ok(exit)
    }

    fn kill_all(&self) -> io::Result<bool> {
        match &*self.state.lock() {
            State::Running(lease) => {
                let group = kill_process_group(self.pid, Signal::KILL);
                if let Some(lease) = lease {
                    lease.kill()?;
                }
                group?;
                Ok(true)
            }
            State::Ended(_) | State::Detached => Ok(false),
        }
    }

    fn usage(&self, ended: &sys::Ended) -> Usage {
        let peak_kib = ended.usage.ru_maxrss;
        Usage {
            user: duration(ended.usage.ru_utime),
            system: duration(ended.usage.ru_stime),
            peak_memory_bytes: (peak_kib > self.floor_kib).then_some(peak_kib.unsigned_abs() * 1024),
        }
    }
}

fn status(ended: &sys::Ended) -> Status {
    match ended.how {
        libc::CLD_EXITED => Status::Code(ended.status),
        how => Status::Signal { signal: ended.status, core_dumped: how == libc::CLD_DUMPED },
    }
}

fn duration(time: libc::timeval) -> Duration {
    Duration::from_secs(time.tv_sec.unsigned_abs()) + Duration::from_micros(time.tv_usec.unsigned_abs())
}
