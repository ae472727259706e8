//! Where everything of an agent lies on disk.

use std::path::{Path, PathBuf};

use crate::protocol::{ExecutorId, FrameworkId, TaskId};
use crate::runtime::RuntimeError;

/// An agent's folder.
///
/// ```text
/// tasks/<framework>/<task>/            a task's sandbox, with its stdout and stderr
/// executors/<framework>/<executor>/    an executor's folder: credentials.pem, stdout, stderr
/// ```
///
/// Ids are valid file names by construction.
#[derive(Clone, Debug)]
pub(super) struct WorkDir(PathBuf);

impl WorkDir {
    /// The folder, made if need be.
    pub(super) fn open(path: &Path) -> Result<Self, RuntimeError> {
        let file = |error| RuntimeError::File { action: "create", path: path.to_owned(), error };
        std::fs::create_dir_all(path).map_err(file)?;
        // Sandboxes become processes' working directories, wherever ours is.
        Ok(WorkDir(path.canonicalize().map_err(file)?))
    }

    /// The sandboxes of a framework's tasks.
    pub(super) fn sandboxes(&self, framework: &FrameworkId) -> PathBuf {
        self.0.join("tasks").join(framework.as_str())
    }

    /// A task's sandbox.
    pub(super) fn sandbox(&self, framework: &FrameworkId, task: &TaskId) -> PathBuf {
        self.sandboxes(framework).join(task.as_str())
    }

    /// An executor's folder.
    pub(super) fn executor(&self, framework: &FrameworkId, executor: &ExecutorId) -> PathBuf {
        self.0.join("executors").join(framework.as_str()).join(executor.as_str())
    }
}
