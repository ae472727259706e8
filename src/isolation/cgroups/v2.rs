//! Cgroups, version 2: one directory for the task, in the unified hierarchy.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::super::spec::Limits;
use super::mounts::Machine;
use super::{Door, Hierarchy, Leftover, files};

/// The controllers that tasks need. All or nothing: half a containment is hard to reason about.
const CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];
/// The kernel's default period of `cpu.max`, in microseconds.
const PERIOD_US: i64 = 100_000;
/// The kernel takes no smaller quota.
const QUOTA_MIN_US: i64 = 1_000;
/// The weight of one core: the kernel's default.
const WEIGHT_PER_CORE: i64 = 100;
/// The kernel's own bounds of `cpu.weight`.
const WEIGHTS: std::ops::RangeInclusive<i64> = 1..=10_000;

#[derive(Debug)]
pub(super) struct V2 {
    run: PathBuf,
}

impl V2 {
    /// Makes the run's directory, with the controllers handed down to it. The error is for people.
    pub(super) fn open(machine: &Machine, root: &str, run: &str) -> Result<Self, String> {
        let base = base(machine).ok_or("the unified hierarchy is not mounted")?;
        let available = files::read(&base.join("cgroup.controllers")).map_err(|error| error.to_string())?;
        if let Some(missing) =
            CONTROLLERS.iter().find(|name| !available.split_whitespace().any(|other| other == **name))
        {
            return Err(format!("controller '{missing}' is not available in {}", base.display()));
        }
        hand_down(&base).map_err(|error| match error.kind() {
            io::ErrorKind::ResourceBusy => format!(
                "{} holds processes itself, so it can't hand controllers down (systemd: DelegateSubgroup=)",
                base.display()
            ),
            _ => error.to_string(),
        })?;
        let root = base.join(root);
        let run = root.join(run);
        let made = files::create_run(&run).and_then(|()| hand_down(&root)).and_then(|()| hand_down(&run));
        made.map_err(|error| {
            // Nothing is in it yet, and the refusal is what matters.
            let _ = files::remove_run(&run);
            format!("can't prepare {error}")
        })?;
        Ok(Self { run })
    }

    fn file(&self, task: &str, name: &str) -> PathBuf {
        self.run.join(task).join(name)
    }
}

/// The cgroup below which ours are made.
pub(super) fn base(machine: &Machine) -> Option<PathBuf> {
    let own = machine.v2()?;
    Some(delegated(&own).unwrap_or(&own).to_owned())
}

/// A service under systemd with `DelegateSubgroup=` runs in a subgroup of its unit, and the unit's cgroup is for its use.
fn delegated(own: &Path) -> Option<&Path> {
    let is_unit = |path: &Path| path.extension().is_some_and(|kind| kind == "service" || kind == "scope");
    own.parent().filter(|parent| !is_unit(own) && is_unit(parent))
}

fn hand_down(directory: &Path) -> io::Result<()> {
    files::write(&directory.join("cgroup.subtree_control"), "+cpu +memory +pids")
}

impl Hierarchy for V2 {
    fn create(&self, task: &str) -> io::Result<Door> {
        let directory = self.run.join(task);
        files::create_directory(&directory)?;
        Ok(Door::BornIn(File::open(directory)?.into()))
    }

    fn limit(&self, task: &str, limits: &Limits) -> io::Result<()> {
        files::write(&self.file(task, "cpu.weight"), &weight(limits.cpus_milli).to_string())?;
        let quota = match limits.hard_cpu {
            true => (limits.cpus_milli.saturating_mul(PERIOD_US) / 1000).max(QUOTA_MIN_US).to_string(),
            false => "max".into(),
        };
        files::write(&self.file(task, "cpu.max"), &format!("{quota} {PERIOD_US}"))?;

        let memory = limits.memory_bytes.map_or("max".into(), |bytes| bytes.to_string());
        files::write(&self.file(task, "memory.max"), &memory)?;
        // Swap would let a task exceed its share of the machine unnoticed. Without swap the file may be missing.
        let swap = self.file(task, "memory.swap.max");
        if swap.exists() {
            files::write(&swap, if limits.memory_bytes.is_some() { "0" } else { "max" })?;
        }

        let pids = limits.pids.map_or("max".into(), |pids| pids.to_string());
        files::write(&self.file(task, "pids.max"), &pids)
    }

    fn leftover(&self, task: &str) -> io::Result<Leftover> {
        Ok(Leftover {
            processes: files::read_number(&self.file(task, "pids.current"))?,
            memory_bytes: files::read_number(&self.file(task, "memory.current"))?,
            oom_kills: files::read_keyed(&self.file(task, "memory.events"), "oom_kill")?,
        })
    }

    fn kill(&self, task: &str) -> io::Result<()> {
        match files::write(&self.file(task, "cgroup.kill"), "1") {
            // Before Linux 5.14: one by one, with forks forbidden, so that one pass reaches everyone.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                files::write(&self.file(task, "pids.max"), "0")?;
                files::kill_members(&self.run.join(task)).map(drop)
            }
            result => result,
        }
    }

    fn remove(&self, task: &str) -> io::Result<()> {
        files::remove_directory(&self.run.join(task))
    }

    fn directories(&self) -> Vec<PathBuf> {
        vec![self.run.clone()]
    }
}

fn weight(cpus_milli: i64) -> i64 {
    (cpus_milli.saturating_mul(WEIGHT_PER_CORE) / 1000).clamp(*WEIGHTS.start(), *WEIGHTS.end())
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::super::super::sys::{self, Launch, Target};
    use super::*;

    #[test]
    fn cpus_become_weights_within_the_kernels_bounds() {
        assert_eq!([-1, 0, 10, 500, 1000, 64_000].map(weight), [1, 1, 1, 50, 100, 6400]);
        assert_eq!(weight(i64::MAX), 10_000);
    }

    #[test]
    fn the_unit_is_used_from_its_subgroup_only() {
        let delegated = |own| delegated(Path::new(own));
        assert_eq!(
            delegated("/sys/fs/cgroup/a.slice/b.service/main"),
            Some(Path::new("/sys/fs/cgroup/a.slice/b.service"))
        );
        assert_eq!(delegated("/sys/fs/cgroup/a.slice/b.service"), None);
        assert_eq!(delegated("/sys/fs/cgroup"), None);
    }

    /// Birth, killing and removal need no controllers, so they can be tried wherever the unified hierarchy is mounted.
    #[test]
    fn a_process_is_born_in_its_cgroup_and_killed_there() {
        let Some(base) = Machine::read().unwrap().v2() else {
            return eprintln!("SKIPPED: the unified hierarchy is not mounted");
        };
        let run = base.join(format!("apportion-v2-test-{}", std::process::id()));
        if let Err(error) = std::fs::create_dir(&run) {
            return eprintln!("SKIPPED: can't make a cgroup: {error}");
        }
        let v2 = V2 { run: run.clone() };
        let Door::BornIn(directory) = v2.create("1").unwrap() else { panic!("v2 gives birth") };
        let (_, pidfd) = sys::launch(&Launch {
            program: c"/bin/sleep",
            argv: &[c"sleep", c"600"],
            env: &[],
            directory: c"/",
            stdout: Target { path: c"/dev/null", flags: 0 },
            stderr: None,
            join: &[],
            cgroup: Some(directory.as_fd()),
            data_bytes: None,
            die_with_parent: false,
            user: None,
        })
        .expect("it starts");
        assert_eq!(std::fs::read_to_string(run.join("1/cgroup.procs")).unwrap().lines().count(), 1);
        v2.kill("1").unwrap();
        let ended = sys::wait(&pidfd).unwrap();
        assert_eq!((ended.how, ended.status), (libc::CLD_KILLED, libc::SIGKILL));
        v2.remove("1").unwrap();
        std::fs::remove_dir(&run).unwrap();
    }
}
