//! What this machine has to give.

use std::io;
use std::path::Path;

use crate::resources::Resources;

/// The ports that an agent offers unless it is told otherwise. They lie below those that Linux hands out by itself.
pub const DEFAULT_PORTS: std::ops::RangeInclusive<u16> = 31000..=32000;

/// Bytes in a MiB, the unit of `mem` and `disk`.
const MIB: u64 = 1 << 20;

/// Left to the system on a machine with more than twice as much, as Mesos does.
const RESERVED_MIB: u64 = 1024;

/// Where the kernel tells how much memory our own cgroup may use (v2, v1).
const MEMORY_LIMITS: [&str; 2] =
    ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];

/// All that this machine has to give: the processors and memory that we may use, the free room on the file system of
/// `work_dir`, and the ports [`DEFAULT_PORTS`]. The system keeps 1 GiB of memory, and half of a machine that has less
/// than 2 GiB; of the disk 5 GiB, or half.
///
/// # Errors
/// When the system does not tell its processors, or the file system of `work_dir` its room.
pub fn machine_resources(work_dir: &Path) -> io::Result<Resources> {
    let cpus = std::thread::available_parallelism()?.get() as u64;
    let total = rustix::system::sysinfo();
    let installed = total.totalram.saturating_mul(u64::from(total.mem_unit));
    let limits = MEMORY_LIMITS.iter().filter_map(|file| std::fs::read_to_string(file).ok()?.trim().parse().ok());
    let memory = limits.fold(installed, u64::min);
    let room = rustix::fs::statvfs(work_dir)?;
    let disk = room.f_bavail.saturating_mul(room.f_frsize);
    Ok(Resources::builder()
        .cpus(whole(cpus))
        .mem_mib(whole(without_reserve(memory / MIB, RESERVED_MIB)))
        .disk_mib(whole(without_reserve(disk / MIB, 5 * RESERVED_MIB)))
        .ports(DEFAULT_PORTS)
        .build())
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
    fn the_system_keeps_a_part() {
        assert_eq!((without_reserve(8192, 1024), without_reserve(1000, 1024)), (7168, 500));
    }
}
