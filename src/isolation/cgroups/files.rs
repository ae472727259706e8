//! Small reads and writes of the kernel's control files.

use std::fs;
use std::io;
use std::path::Path;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Names the file in the error: the kernel's bare "invalid argument" helps nobody.
fn named(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

pub(super) fn write(path: &Path, value: &str) -> io::Result<()> {
    // One write, and no creation: control files exist, or the kernel lacks them.
    let written = fs::OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|mut file| io::Write::write_all(&mut file, value.as_bytes()));
    written.map_err(|error| named(path, error))
}

pub(super) fn read(path: &Path) -> io::Result<String> {
    fs::read_to_string(path).map_err(|error| named(path, error))
}

pub(super) fn read_number(path: &Path) -> io::Result<u64> {
    let text = read(path)?;
    text.trim().parse().map_err(|error| named(path, io::Error::new(io::ErrorKind::InvalidData, error)))
}

/// The value of `key` in a file of `key value` lines; zero if it has none.
pub(super) fn read_keyed(path: &Path, key: &str) -> io::Result<u64> {
    let text = read(path)?;
    Ok(keyed(&text, key))
}

fn keyed(text: &str, key: &str) -> u64 {
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .find_map(|(name, value)| (name == key).then(|| value.trim().parse().ok())?)
        .unwrap_or(0)
}

pub(super) fn create_directory(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result.map_err(|error| named(path, error)),
    }
}

/// Makes a run's directory and its root. Another run that ends may remove the root, then empty, in between: hence the retries.
pub(super) fn create_run(path: &Path) -> io::Result<()> {
    const ATTEMPTS: usize = 16;
    let mut made = fs::create_dir_all(path);
    for _ in 1..ATTEMPTS {
        match &made {
            Err(error) if error.kind() == io::ErrorKind::NotFound => made = fs::create_dir_all(path),
            _ => break,
        }
    }
    made.map_err(|error| named(path, error))
}

/// Removes a run's directory, and its root if that was the last run.
pub(super) fn remove_run(path: &Path) -> io::Result<()> {
    remove_directory(path)?;
    if let Some(root) = path.parent() {
        // Refused, as it should be, while other runs are in it.
        let _ = fs::remove_dir(root);
    }
    Ok(())
}

/// Removes a cgroup; one that is gone is no error.
pub(super) fn remove_directory(path: &Path) -> io::Result<()> {
    match fs::remove_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.map_err(|error| named(path, error)),
    }
}

/// Kills each process of a cgroup, one by one, and says how many.
///
/// A pid may be reused between reading and killing it, so each is pinned by a pidfd first and then looked up again: whoever is still
/// listed under the number is either the pinned process, or a successor, and then the pinned one is dead and the signal is lost.
pub(super) fn kill_members(directory: &Path) -> io::Result<usize> {
    let members = || -> io::Result<Vec<i32>> {
        let text = read(&directory.join("cgroup.procs"))?;
        Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
    };
    let pinned: Vec<_> = members()?
        .into_iter()
        .filter_map(|pid| Some((pid, pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?)))
        .collect();
    let still_there = if pinned.is_empty() { Vec::new() } else { members()? };
    let killed = pinned
        .iter()
        .filter(|(pid, pidfd)| still_there.contains(pid) && pidfd_send_signal(pidfd, Signal::KILL).is_ok());
    Ok(killed.count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keyed_values_are_found_by_their_whole_key() {
        let text = "oom 3\noom_kill 12\noom_kill_disable 0\n";
        assert_eq!((keyed(text, "oom_kill"), keyed(text, "oom"), keyed(text, "absent")), (12, 3, 0));
    }
}
