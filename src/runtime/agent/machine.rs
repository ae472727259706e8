//! What this machine has to give.

use std::io;
use std::num::NonZeroU32;
use std::path::Path;

use crate::resources::Resources;

/// The ports that an agent offers unless it is told otherwise. They lie below those that Linux hands out by itself.
pub const DEFAULT_PORTS: std::ops::RangeInclusive<u16> = 31000..=32000;

/// Bytes in a MiB, the unit of `mem` and `disk`.
const MIB: u64 = 1 << 20;

/// Left to the system on a machine with more than twice as much, as Mesos does.
const RESERVED_MIB: u64 = 1024;

/// Where the kernel tells how much memory our own cgroup may use (v2, v1).
const MEMORY_LIMITS: [&str; 2] = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];

/// All that this machine has to give: the processors and memory that we may use, the free room on the file system of
/// `work_dir`, and the ports [`DEFAULT_PORTS`]. The system keeps 1 GiB of memory, and half of a machine that has less
/// than 2 GiB; of the disk 5 GiB, or half.
///
/// # Errors
/// When the system does not tell its processors, or the file system of `work_dir` its room.
pub fn machine_resources(work_dir: &Path) -> io::Result<Resources> {
    Ok(Amounts::of_machine(work_dir)?.part(1, 0))
}

/// What [`machine_resources`] finds, in so many equal parts: for agents that share a machine.
///
/// # Errors
/// As those of [`machine_resources`].
pub fn machine_parts(work_dir: &Path, parts: NonZeroU32) -> io::Result<Vec<Resources>> {
    let amounts = Amounts::of_machine(work_dir)?;
    Ok((0..parts.get()).map(|number| amounts.part(parts.get(), number)).collect())
}

struct Amounts {
    cpus_milli: u32,
    mem_mib: u32,
    disk_mib: u32,
}

impl Amounts {
    fn of_machine(work_dir: &Path) -> io::Result<Self> {
        let cpus = std::thread::available_parallelism()?.get() as u64;
        let total = rustix::system::sysinfo();
        let installed = total.totalram.saturating_mul(u64::from(total.mem_unit));
        let limits =
            MEMORY_LIMITS.iter().filter_map(|file| std::fs::read_to_string(file).ok()?.trim().parse().ok());
        let memory = limits.fold(installed, u64::min);
        let room = rustix::fs::statvfs(work_dir)?;
        let disk = room.f_bavail.saturating_mul(room.f_frsize);
        Ok(Amounts {
            cpus_milli: whole(cpus * 1000),
            mem_mib: whole(without_reserve(memory / MIB, RESERVED_MIB)),
            disk_mib: whole(without_reserve(disk / MIB, 5 * RESERVED_MIB)),
        })
    }

    /// The part of this number, from 0, of so many.
    fn part(&self, parts: u32, number: u32) -> Resources {
        let (first, last) = (u32::from(*DEFAULT_PORTS.start()), u32::from(*DEFAULT_PORTS.end()) + 1);
        let bound = |number: u32| first + (last - first) * number / parts;
        let port = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
        Resources::builder()
            .cpus_milli(self.cpus_milli / parts)
            .mem_mib(self.mem_mib / parts)
            .disk_mib(self.disk_mib / parts)
            .ports(port(bound(number))..=port(bound(number + 1) - 1))
            .build()
    }
}

fn without_reserve(total: u64, reserve: u64) -> u64 {
    total - reserve.min(total / 2)
}

/// As resources have it; no machine comes near the limit.
fn whole(units: u64) -> u32 {
    u32::try_from(units).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_something_to_give() {
        let resources = machine_resources(Path::new("/")).unwrap();
        assert!(resources.cpus().milli() >= 1000, "{resources}");
        assert!(resources.mem().milli() > 0, "{resources}");
        assert_eq!(resources.ports().values().count(), 1001);
    }

    #[test]
    fn parts_are_equal_and_share_no_port() {
        let parts = machine_parts(Path::new("/"), NonZeroU32::new(3).unwrap()).unwrap();
        let ports: Vec<u64> =
            parts.iter().flat_map(|part| part.ports().values().collect::<Vec<_>>()).collect();
        assert_eq!(ports, (31000..=32000).collect::<Vec<_>>());
        assert!(parts.iter().all(|part| part.cpus() == parts[0].cpus()));
    }

    #[test]
    fn the_system_keeps_a_part() {
        assert_eq!((without_reserve(8192, 1024), without_reserve(1000, 1024)), (7168, 500));
    }
}
