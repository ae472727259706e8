//! Where everything of an agent lies on disk.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::net::CertificateAuthority;
use crate::protocol::{ExecutorId, FrameworkId, TaskId};
use crate::resources::VolumeName;
use crate::runtime::RuntimeError;

/// Where executors come to, in the agent's folder.
const EXECUTORS_ADDRESS: &str = "executors.address";

/// An agent's folder.
///
/// ```text
/// tasks/<framework>/<task>/            a task's sandbox, with its stdout and stderr
/// volumes/<role>/<id>/                 a persistent volume
/// removed/<number>/                    a volume that is being removed
/// sandbox.removed/                     a sandbox that is being removed
/// executors/<framework>/<executor>/    an executor's folder: credentials.pem, stdout, stderr
/// checkpoint                           what the agent must not forget
/// authority.pem                        with which it signs its executors' certificates
/// executors.address                    where it takes executors
/// lock                                 held while the agent runs
/// ```
///
/// Ids are valid file names by construction.
#[derive(Clone, Debug)]
pub(super) struct WorkDir {
    path: PathBuf,
    /// Two agents on one folder would each take the other's tasks for lost.
    _lock: Arc<File>,
}

impl WorkDir {
    /// The folder, made if need be.
    pub(super) fn open(path: &Path) -> Result<Self, RuntimeError> {
        let file = |error| RuntimeError::File { action: "create", path: path.to_owned(), error };
        std::fs::create_dir_all(path).map_err(file)?;
        // Sandboxes become processes' working directories, wherever ours is.
        let path = path.canonicalize().map_err(file)?;
        let lock = File::create(path.join("lock")).map_err(file)?;
        lock.try_lock().map_err(|error| RuntimeError::File {
            action: "use, since an agent that runs does,",
            path: path.clone(),
            error: error.into(),
        })?;
        Ok(WorkDir { path, _lock: Arc::new(lock) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The file with the agent's records.
    pub(super) fn checkpoint(&self) -> PathBuf {
        self.path.join("checkpoint")
    }

    /// Has a later life not go on with what an earlier one knew.
    pub(super) fn forget_checkpoint(&self) -> Result<(), RuntimeError> {
        let path = self.checkpoint();
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(RuntimeError::File { action: "remove", path, error })
            }
            _ => Ok(()),
        }
    }

    /// The agent's authority for its executors' certificates; made when there is none.
    pub(super) fn authority(&self, name: &str) -> Result<CertificateAuthority, RuntimeError> {
        let file = self.path.join("authority.pem");
        if file.exists() {
            return Ok(CertificateAuthority::load(&file)?);
        }
        let authority = CertificateAuthority::create(name)?;
        authority.save(&file)?;
        Ok(authority)
    }

    /// Where the agent's last life took executors, if there was one.
    pub(super) fn executors_address(&self) -> Option<SocketAddr> {
        std::fs::read_to_string(self.path.join(EXECUTORS_ADDRESS)).ok()?.trim().parse().ok()
    }

    /// Takes note of where executors are taken now.
    pub(super) fn save_executors_address(&self, address: SocketAddr) -> Result<(), RuntimeError> {
        let path = self.path.join(EXECUTORS_ADDRESS);
        std::fs::write(&path, format!("{address}\n")).map_err(|error| RuntimeError::File {
            action: "write",
            path,
            error,
        })
    }

    /// The sandboxes of a framework's tasks.
    pub(super) fn sandboxes(&self, framework: &FrameworkId) -> PathBuf {
        self.path.join("tasks").join(framework.as_str())
    }

    /// The folders with frameworks' sandboxes.
    pub(super) fn framework_folders(&self) -> Vec<PathBuf> {
        folders(&self.path.join("tasks"))
    }

    /// A task's sandbox.
    pub(super) fn sandbox(&self, framework: &FrameworkId, task: &TaskId) -> PathBuf {
        self.sandboxes(framework).join(task.as_str())
    }

    /// Where persistent volumes are.
    pub(super) fn volumes(&self) -> PathBuf {
        self.path.join("volumes")
    }

    /// Puts all volumes but these out of the way. The folders that are returned are to be removed, which may take long.
    pub(super) fn keep_volumes(&self, kept: &BTreeSet<VolumeName>) -> Result<Vec<PathBuf>, RuntimeError> {
        let kept: BTreeSet<PathBuf> = kept.iter().map(|name| self.volumes().join(name.folder())).collect();
        let mut others: Vec<PathBuf> =
            folders(&self.volumes()).iter().flat_map(|role| folders(role)).collect();
        others.retain(|volume| !kept.contains(volume));
        let removed = self.path.join("removed");
        for volume in others {
            tracing::info!(volume = %volume.display(), "a volume is removed");
            let failed = |error| RuntimeError::File { action: "remove", path: volume.clone(), error };
            std::fs::create_dir_all(&removed).map_err(failed)?;
            let free = (0_u64..).map(|number| removed.join(number.to_string())).find(|at| !at.exists());
            std::fs::rename(&volume, free.unwrap_or_default()).map_err(failed)?;
        }
        Ok(folders(&removed))
    }

    /// Puts a sandbox out of the way, and whatever was there before: to where it can be removed, which may take long.
    pub(super) fn put_away(&self, sandbox: &Path) -> Result<PathBuf, RuntimeError> {
        let away = self.path.join("sandbox.removed");
        let failed = |error| RuntimeError::File { action: "remove", path: sandbox.to_owned(), error };
        match std::fs::remove_dir_all(&away) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        std::fs::rename(sandbox, &away).map_err(failed)?;
        Ok(away)
    }

    /// An executor's folder.
    pub(super) fn executor(&self, framework: &FrameworkId, executor: &ExecutorId) -> PathBuf {
        self.path.join("executors").join(framework.as_str()).join(executor.as_str())
    }

    /// An executor's credentials.
    pub(super) fn credentials(&self, framework: &FrameworkId, executor: &ExecutorId) -> PathBuf {
        self.executor(framework, executor).join("credentials.pem")
    }
}

/// The folders in a folder; none when it is not there.
pub(super) fn folders(path: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}
