//! Cgroups lent to tasks, one after the other.
//!
//! Creating and removing a cgroup costs about as much as a third of a short process; the kernel serialises both over the whole machine.
//! A cgroup that a task left spotless therefore serves the next one. One that was left otherwise is removed.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::super::spec::Limits;
use super::super::sys::{self, Launch, Step, Target};
use super::{Door, Entry, Hierarchy, files};

/// How many idle cgroups are kept: enough for bursts; each costs the kernel some tens of KiB.
const IDLE_MAX: usize = 256;

/// A cgroup is reused if no more memory than this is still charged to it (page cache, files in tmpfs): the next task would pay for it.
/// The kernel counts in batches for each CPU, so the bound can't be zero.
const RESIDUE_BYTES: u64 = 4 << 20;

/// How long killed tasks get to leave when the pool is closed.
const GRACE: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(in super::super) struct Pool {
    hierarchy: Box<dyn Hierarchy>,
    stock: Mutex<Stock>,
}

#[derive(Debug, Default)]
struct Stock {
    idle: Vec<Slot>,
    /// Not empty yet: their killed processes are on the way out.
    draining: Vec<Slot>,
    made: u64,
}

/// One cgroup, which has one owner at a time.
#[derive(Debug)]
struct Slot {
    name: String,
    door: Door,
    limits: Option<Limits>,
}

impl Pool {
    /// A pool that is known to work: a cgroup was made, limited, entered and removed. The error is for people.
    pub(super) fn open(hierarchy: Box<dyn Hierarchy>) -> Result<Arc<Self>, String> {
        let pool = Arc::new(Self { hierarchy, stock: Mutex::default() });
        let limits = Limits { cpus_milli: 1000, hard_cpu: true, memory_bytes: Some(1 << 30), pids: Some(64) };
        let lease = Self::lease(&pool, &limits).map_err(|error| error.to_string())?;
        let (join, cgroup) = match lease.entry() {
            Entry::Join(tasks) => (tasks.iter().map(|path| path.as_c_str()).collect(), None),
            Entry::BornIn(directory) => (Vec::new(), Some(directory)),
        };
        // A program that can't exist: all steps up to its execution are tried.
        let probe = Launch {
            program: c"/dev/null/none",
            argv: &[c"none"],
            env: &[],
            directory: c"/",
            stdout: Target { path: c"/dev/null", flags: 0 },
            stderr: None,
            join: &join,
            cgroup,
            data_bytes: None,
            die_with_parent: false,
            user: None,
        };
        match sys::launch(&probe) {
            Err((Step::Execute, _)) => {}
            Err((step, error)) => return Err(format!("a process can't enter a cgroup ({step:?}: {error})")),
            Ok(_) => return Err("/dev/null is a directory".into()),
        }
        drop(join);
        lease.finish();
        Ok(pool)
    }

    /// Lends a cgroup with these limits.
    pub(in super::super) fn lease(pool: &Arc<Self>, limits: &Limits) -> io::Result<Lease> {
        let reused = {
            let mut stock = pool.stock.lock();
            pool.drain(&mut stock);
            stock.idle.pop()
        };
        let slot = match reused.map(|slot| pool.limited(slot, limits)) {
            Some(Ok(slot)) => slot,
            // For instance a limit below what is still charged to it: a new one has no past.
            Some(Err(_)) | None => {
                let fresh = pool.create()?;
                pool.limited(fresh, limits)?
            }
        };
        Ok(Lease { pool: Arc::clone(pool), slot: Some(slot), killed: AtomicBool::new(false) })
    }

    fn create(&self) -> io::Result<Slot> {
        let number = {
            let mut stock = self.stock.lock();
            stock.made += 1;
            stock.made
        };
        let name = number.to_string();
        let door = self.hierarchy.create(&name)?;
        Ok(Slot { name, door, limits: None })
    }

    fn limited(&self, mut slot: Slot, limits: &Limits) -> io::Result<Slot> {
        if slot.limits.as_ref() != Some(limits)
            && let Err(error) = self.hierarchy.limit(&slot.name, limits)
        {
            self.discard(slot);
            return Err(error);
        }
        slot.limits = Some(*limits);
        Ok(slot)
    }

    /// Takes a slot back for the next task.
    fn shelve(&self, slot: Slot) {
        {
            let mut stock = self.stock.lock();
            if stock.idle.len() < IDLE_MAX {
                stock.idle.push(slot);
                return;
            }
        }
        self.discard(slot);
    }

    /// Kills what is in a slot and removes it, later if need be.
    fn discard(&self, slot: Slot) {
        if !self.removed(&slot) {
            self.stock.lock().draining.push(slot);
        }
    }

    fn drain(&self, stock: &mut Stock) {
        stock.draining.retain(|slot| !self.removed(slot));
    }

    fn removed(&self, slot: &Slot) -> bool {
        // First try without killing: most are empty.
        if self.hierarchy.remove(&slot.name).is_ok() {
            return true;
        }
        if let Err(error) = self.hierarchy.kill(&slot.name) {
            tracing::warn!(%error, "can't kill what is left in a cgroup");
        }
        self.hierarchy.remove(&slot.name).is_ok()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut stock = std::mem::take(self.stock.get_mut());
        let idle = std::mem::take(&mut stock.idle);
        stock.draining.extend(idle);
        let deadline = Instant::now() + GRACE;
        loop {
            self.drain(&mut stock);
            if stock.draining.is_empty() || Instant::now() > deadline {
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        for run in self.hierarchy.directories() {
            if let Err(error) = files::remove_run(&run) {
                tracing::warn!(%error, "a cgroup is left behind; the next start cleans it up");
            }
        }
    }
}

/// A cgroup in a task's hands. It goes back to the pool when the task is over, or when it never came to be.
#[derive(Debug)]
pub(in super::super) struct Lease {
    pool: Arc<Pool>,
    slot: Option<Slot>,
    killed: AtomicBool,
}

impl Lease {
    /// How the task gets in.
    pub(in super::super) fn entry(&self) -> Entry<'_> {
        match &self.slot().door {
            Door::Join(tasks) => Entry::Join(tasks),
            Door::BornIn(directory) => Entry::BornIn(directory.as_fd()),
        }
    }

    /// Kills every process in it.
    pub(in super::super) fn kill(&self) -> io::Result<()> {
        self.killed.store(true, Ordering::Relaxed);
        self.pool.hierarchy.kill(&self.slot().name)
    }

    /// Ends the lease after the task's leader was reaped, kills what it left, and says whether the kernel killed for want of memory.
    pub(in super::super) fn finish(mut self) -> bool {
        let Some(slot) = self.slot.take() else { return false };
        let leftover = match self.pool.hierarchy.leftover(&slot.name) {
            Ok(leftover) => leftover,
            Err(error) => {
                tracing::warn!(%error, "can't tell whether memory ran out in a cgroup");
                self.pool.discard(slot);
                return false;
            }
        };
        let spotless =
            leftover.processes == 0 && leftover.oom_kills == 0 && leftover.memory_bytes <= RESIDUE_BYTES;
        match spotless && !self.killed.load(Ordering::Relaxed) {
            true => self.pool.shelve(slot),
            false => self.pool.discard(slot),
        }
        leftover.oom_kills > 0
    }

    /// Leaves the cgroup to its process for ever.
    pub(in super::super) fn abandon(mut self) {
        self.slot = None;
    }

    fn slot(&self) -> &Slot {
        self.slot.as_ref().expect("only the methods that consume the lease take the slot")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Not finished, so no task came to be.
        if let Some(slot) = self.slot.take() {
            self.pool.discard(slot);
        }
    }
}
