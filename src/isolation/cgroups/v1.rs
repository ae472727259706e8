//! Cgroups, version 1: one directory for the task in each of three hierarchies.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use super::super::spec::Limits;
use super::mounts::Machine;
use super::{Door, Hierarchy, Leftover, files};

/// The controllers that tasks need. All or nothing: half a containment is hard to reason about.
pub(super) const CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];

/// The kernel's own bounds of `cpu.shares`.
const SHARES: std::ops::RangeInclusive<i64> = 2..=262_144;
/// What one core is worth, by convention.
const SHARES_PER_CORE: i64 = 1024;
/// The usual CFS period; a quota is in microseconds of CPU within it.
const PERIOD_US: i64 = 100_000;
/// The kernel takes no smaller quota.
const QUOTA_MIN_US: i64 = 1_000;

/// The run's directories.
#[derive(Debug)]
pub(super) struct V1 {
    cpu: PathBuf,
    memory: PathBuf,
    pids: PathBuf,
}

impl V1 {
    /// Makes the run's directories. The error is for people.
    pub(super) fn open(machine: &Machine, root: &str, run: &str) -> Result<Self, String> {
        let find = |controller: &str| {
            let own =
                machine.v1(controller).ok_or_else(|| format!("controller '{controller}' is not mounted"))?;
            Ok::<_, String>(own.join(root).join(run))
        };
        let v1 = Self { cpu: find("cpu")?, memory: find("memory")?, pids: find("pids")? };
        for directory in v1.directories() {
            if let Err(error) = files::create_run(&directory) {
                for made in v1.directories() {
                    // Nothing is in them yet, and the refusal above is what matters.
                    let _ = files::remove_run(&made);
                }
                return Err(format!("can't create {error}"));
            }
        }
        Ok(v1)
    }
}

impl Hierarchy for V1 {
    fn create(&self, task: &str) -> io::Result<Door> {
        let directories = self.directories();
        for parent in &directories {
            if let Err(error) = files::create_directory(&parent.join(task)) {
                // The first refusal is the one to report.
                let _ = self.remove(task);
                return Err(error);
            }
        }
        let tasks = directories.iter().map(|parent| parent.join(task).join("tasks"));
        Ok(Door::Join(
            tasks.map(|path| CString::new(path.into_os_string().into_vec())).collect::<Result<_, _>>()?,
        ))
    }

    fn limit(&self, task: &str, limits: &Limits) -> io::Result<()> {
        let cpu = self.cpu.join(task);
        files::write(&cpu.join("cpu.shares"), &shares(limits.cpus_milli).to_string())?;
        let quota = cpu.join("cpu.cfs_quota_us");
        if limits.hard_cpu {
            files::write(&cpu.join("cpu.cfs_period_us"), &PERIOD_US.to_string())?;
            files::write(&quota, &quota_us(limits.cpus_milli).to_string())?;
        } else if quota.exists() {
            files::write(&quota, "-1")?;
        }

        let memory = self.memory.join(task);
        let (limit, with_swap) =
            (memory.join("memory.limit_in_bytes"), memory.join("memory.memsw.limit_in_bytes"));
        // The limit with swap may never be the smaller one, so it is lifted first and lowered last.
        if with_swap.exists() {
            files::write(&with_swap, "-1")?;
        }
        match limits.memory_bytes {
            None => files::write(&limit, "-1")?,
            Some(bytes) => {
                files::write(&limit, &bytes.to_string())?;
                // Swap would let a task exceed its share of the machine unnoticed.
                if with_swap.exists() {
                    files::write(&with_swap, &bytes.to_string())?;
                }
            }
        }

        let pids = limits.pids.map_or("max".into(), |pids| pids.to_string());
        files::write(&self.pids.join(task).join("pids.max"), &pids)
    }

    fn leftover(&self, task: &str) -> io::Result<Leftover> {
        let memory = self.memory.join(task);
        Ok(Leftover {
            processes: files::read_number(&self.pids.join(task).join("pids.current"))?,
            memory_bytes: files::read_number(&memory.join("memory.usage_in_bytes"))?,
            oom_kills: files::read_keyed(&memory.join("memory.oom_control"), "oom_kill")?,
        })
    }

    fn kill(&self, task: &str) -> io::Result<()> {
        let directory = self.pids.join(task);
        // With forks forbidden, one pass reaches everyone.
        files::write(&directory.join("pids.max"), "0")?;
        files::kill_members(&directory).map(drop)
    }

    fn remove(&self, task: &str) -> io::Result<()> {
        self.directories().iter().try_for_each(|parent| files::remove_directory(&parent.join(task)))
    }

    fn directories(&self) -> Vec<PathBuf> {
        // `pids` last: it is what killing goes by, so it is removed when the others are gone.
        vec![self.cpu.clone(), self.memory.clone(), self.pids.clone()]
    }
}

fn shares(cpus_milli: i64) -> i64 {
    (cpus_milli.saturating_mul(SHARES_PER_CORE) / 1000).clamp(*SHARES.start(), *SHARES.end())
}

fn quota_us(cpus_milli: i64) -> i64 {
    (cpus_milli.saturating_mul(PERIOD_US) / 1000).max(QUOTA_MIN_US)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus_become_shares_and_quota_within_the_kernels_bounds() {
        assert_eq!([0, 1, 500, 1000, 4000].map(shares), [2, 2, 512, 1024, 4096]);
        assert_eq!((shares(i64::MAX), shares(i64::MIN)), (262_144, 2));
        assert_eq!([-5, 0, 10, 250, 1000, 2500].map(quota_us), [1000, 1000, 1000, 25_000, 100_000, 250_000]);
    }

    #[test]
    fn limits_reach_the_kernel_and_can_be_lifted() {
        let root = format!("apportion-v1-test-{}", std::process::id());
        let v1 = match V1::open(&Machine::read().unwrap(), &root, "1-1") {
            Ok(v1) => v1,
            Err(reason) => return eprintln!("SKIPPED: {reason}"),
        };
        v1.create("1").unwrap();
        let set = || {
            let shares = files::read_number(&v1.cpu.join("1/cpu.shares")).unwrap();
            let quota = files::read(&v1.cpu.join("1/cpu.cfs_quota_us")).unwrap();
            let memory = files::read_number(&v1.memory.join("1/memory.limit_in_bytes")).unwrap();
            let pids = files::read(&v1.pids.join("1/pids.max")).unwrap();
            (shares, quota.trim().to_owned(), memory, pids.trim().to_owned())
        };
        let unlimited = set();
        let limits = Limits { cpus_milli: 1500, hard_cpu: true, memory_bytes: Some(64 << 20), pids: Some(9) };
        v1.limit("1", &limits).unwrap();
        assert_eq!(set(), (1536, "150000".into(), 64 << 20, "9".into()));
        v1.limit("1", &Limits { cpus_milli: 1000, ..Limits::default() }).unwrap();
        assert_eq!(set(), unlimited);
        v1.remove("1").unwrap();
        v1.directories().iter().for_each(|directory| files::remove_run(directory).unwrap());
    }
}
