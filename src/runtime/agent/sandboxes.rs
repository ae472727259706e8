//! Sandboxes are removed some time after their tasks have ended, sooner where the disk gets full.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, oneshot};

use super::driver::Event;
use super::work_dir::WorkDir;
use crate::protocol::{FrameworkId, TaskId};

/// The part of the disk that is to stay free: as Mesos' `gc_disk_headroom`.
const HEADROOM: f64 = 0.1;

/// How often sandboxes are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// How often those are looked at that are kept for a shorter time.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// How long a sandbox is kept of a task that has ended, where this part of the disk is in use: Mesos'
/// `gc_delay * max(0, 1 - gc_disk_headroom - use)`, except that nothing is hurried before half of the disk is in use.
fn kept_for(delay: Duration, used: f64) -> Duration {
    let hurry = (used - 0.5).max(0.0) / (0.5 - HEADROOM);
    delay.mul_f64((1.0 - hurry).clamp(0.0, 1.0))
}

/// Removes sandboxes of tasks that ended longer ago than `delay`, until the agent has ended.
pub(super) async fn remove_in_time(work_dir: WorkDir, delay: Duration, events: mpsc::Sender<Event>) {
    loop {
        tokio::time::sleep(delay.clamp(LOOK_AGAIN_AFTER, LOOK_EVERY)).await;
        let used = used_part(work_dir.path()).unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot tell how full the disk is");
            0.0
        });
        let looked_at = work_dir.clone();
        let old = tokio::task::spawn_blocking(move || older_than(&looked_at, kept_for(delay, used)));
        for (framework, task) in old.await.unwrap_or_default() {
            let (reply, answer) = oneshot::channel();
            let question = Event::IsTaskLive { framework: framework.clone(), task: task.clone(), reply };
            if events.send(question).await.is_err() {
                return;
            }
            // Without an answer the agent has ended, which its tasks may outlive.
            let Ok(is_live) = answer.await else { return };
            if !is_live {
                remove(&work_dir, &framework, &task).await;
            }
        }
    }
}

/// First out of the way at once, so that a task which starts under the same id finds either all of it or nothing.
async fn remove(work_dir: &WorkDir, framework: &FrameworkId, task: &TaskId) {
    let sandbox = work_dir.sandbox(framework, task);
    let removed = match work_dir.put_away(&sandbox) {
        Ok(away) => tokio::task::spawn_blocking(move || std::fs::remove_dir_all(away))
            .await
            .unwrap_or_else(|panicked| Err(io::Error::other(panicked))),
        Err(error) => Err(io::Error::other(error)),
    };
    match removed {
        Ok(()) => tracing::info!(sandbox = %sandbox.display(), "a sandbox is removed"),
        Err(error) => tracing::warn!(sandbox = %sandbox.display(), %error, "a sandbox can't be removed"),
    }
}

/// The tasks whose sandboxes nothing has been written to for longer.
fn older_than(work_dir: &WorkDir, kept_for: Duration) -> Vec<(FrameworkId, TaskId)> {
    let now = SystemTime::now();
    let is_old = |sandbox: &Path| {
        let age = last_change(sandbox).ok().and_then(|change| now.duration_since(change).ok());
        age.is_some_and(|age| age >= kept_for)
    };
    let all = work_dir.all_sandboxes().into_iter();
    all.filter(|(.., sandbox)| is_old(sandbox)).map(|(framework, task, _)| (framework, task)).collect()
}

/// When a sandbox, or a file that lies right in it, such as the task's output, was last changed.
fn last_change(sandbox: &Path) -> io::Result<SystemTime> {
    let mut last = sandbox.metadata()?.modified()?;
    for entry in std::fs::read_dir(sandbox)? {
        last = last.max(entry?.metadata()?.modified()?);
    }
    Ok(last)
}

/// Which part of the disk is in use.
fn used_part(path: &Path) -> io::Result<f64> {
    let disk = rustix::fs::statvfs(path)?;
    Ok(1.0 - disk.f_bavail as f64 / disk.f_blocks.max(1) as f64)
}

impl WorkDir {
    /// All sandboxes, of tasks that run and of others. What is not named as one is left alone.
    fn all_sandboxes(&self) -> Vec<(FrameworkId, TaskId, PathBuf)> {
        let name = |path: &Path| Some(path.file_name()?.to_str()?.to_owned());
        let mut all = Vec::new();
        for of_framework in self.framework_folders() {
            let Some(framework) = name(&of_framework).and_then(|name| FrameworkId::new(name).ok()) else {
                continue;
            };
            for sandbox in super::work_dir::folders(&of_framework) {
                if let Some(task) = name(&sandbox).and_then(|name| TaskId::new(name).ok()) {
                    all.push((framework.clone(), task, sandbox));
                }
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sandboxes_are_kept_for_a_shorter_time_where_the_disk_gets_full() {
        let week = Duration::from_secs(7 * 24 * 3600);
        assert_eq!(kept_for(week, 0.2), week);
        assert_eq!(kept_for(week, 0.5), week);
        assert_eq!(kept_for(week, 0.7).as_secs(), week.as_secs() / 2);
        assert_eq!(kept_for(week, 0.9), Duration::ZERO);
        assert_eq!(kept_for(week, 1.0), Duration::ZERO);
    }
}
