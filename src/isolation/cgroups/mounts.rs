//! Where the cgroup hierarchies are mounted, and where in them we are.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The two files in which the kernel tells it.
pub(super) struct Machine {
    /// `/proc/self/mountinfo`.
    mountinfo: String,
    /// `/proc/self/cgroup`.
    membership: String,
}

impl Machine {
    pub(super) fn read() -> io::Result<Self> {
        let mountinfo = fs::read_to_string("/proc/self/mountinfo")?;
        Ok(Self { mountinfo, membership: fs::read_to_string("/proc/self/cgroup")? })
    }

    /// The directory of our own cgroup in the v1 hierarchy of a controller, if that is mounted.
    pub(super) fn v1(&self, controller: &str) -> Option<PathBuf> {
        let own = self.membership.lines().find_map(|line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            controllers.split(',').any(|name| name == controller).then_some(path)
        })?;
        self.mounts()
            .find(|mount| {
                mount.kind == "cgroup" && mount.options.split(',').any(|option| option == controller)
            })
            .map(|mount| mount.directory_of(own))
    }

    /// The directory of our own cgroup in the unified hierarchy, if that is mounted.
    pub(super) fn v2(&self) -> Option<PathBuf> {
        let own = self.membership.lines().find_map(|line| line.strip_prefix("0::"))?;
        self.mounts().find(|mount| mount.kind == "cgroup2").map(|mount| mount.directory_of(own))
    }

    fn mounts(&self) -> impl Iterator<Item = Mount<'_>> {
        self.mountinfo.lines().filter_map(Mount::parse)
    }
}

struct Mount<'a> {
    /// Which part of the hierarchy is mounted.
    root: &'a str,
    point: &'a str,
    kind: &'a str,
    options: &'a str,
}

impl<'a> Mount<'a> {
    /// A line of mountinfo: `id parent device root point options [tags...] - kind source options`.
    fn parse(line: &'a str) -> Option<Self> {
        let (place, what) = line.split_once(" - ")?;
        let mut place = place.split(' ').skip(3);
        let mut what = what.split(' ');
        Some(Self { root: place.next()?, point: place.next()?, kind: what.next()?, options: what.nth(1)? })
    }

    /// Where the cgroup `own` is below the mount point. In a container without a cgroup namespace `own` may lie outside of what is
    /// mounted: the mount point is then our own cgroup.
    fn directory_of(&self, own: &str) -> PathBuf {
        let below = Path::new(own).strip_prefix(self.root).unwrap_or(Path::new(""));
        // Joining an empty path would leave a trailing slash.
        if below.as_os_str().is_empty() { self.point.into() } else { Path::new(self.point).join(below) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(mountinfo: &str, membership: &str) -> Machine {
        Machine { mountinfo: mountinfo.into(), membership: membership.into() }
    }

    #[test]
    fn finds_our_cgroup_in_both_versions() {
        let machine = machine(
            "31 23 0:28 / /sys/fs/cgroup rw shared:9 - tmpfs tmpfs rw\n\
             32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:10 master:3 - cgroup cgroup rw,cpu,cpuacct\n\
             35 31 0:33 /docker/7 /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
             36 31 0:34 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
            "9:name=systemd:/\n4:memory:/docker/7/inner\n3:cpu,cpuacct:/work\n0::/user.slice/a.service\n",
        );
        assert_eq!(machine.v1("cpu"), Some("/sys/fs/cgroup/cpu,cpuacct/work".into()));
        assert_eq!(machine.v1("memory"), Some("/sys/fs/cgroup/memory/inner".into()));
        assert_eq!(machine.v1("pids"), None);
        assert_eq!(machine.v2(), Some("/sys/fs/cgroup/unified/user.slice/a.service".into()));
    }

    #[test]
    fn a_cgroup_outside_of_the_mount_is_the_mount_point() {
        let machine = machine("1 2 0:3 /docker/7 /cg rw - cgroup cgroup rw,pids\n", "8:pids:/docker/8\n");
        assert_eq!(machine.v1("pids"), Some("/cg".into()));
    }
}
