//! Who an executor is, and where its agent is, as the agent tells it.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use crate::isolation::IsolationPreference;
use crate::net::Credentials;
use crate::protocol::{ExecutorId, FrameworkId};
use crate::runtime::RuntimeError;

/// The folder of our cgroups below our own.
pub const CGROUP_ROOT: &str = "apportion";

// The environment in which an agent starts an executor.
const AGENT: &str = "APPORTION_AGENT";
pub(in crate::runtime) const CREDENTIALS: &str = "APPORTION_CREDENTIALS";
const FRAMEWORK: &str = "APPORTION_FRAMEWORK";
const EXECUTOR: &str = "APPORTION_EXECUTOR";
const SANDBOXES: &str = "APPORTION_SANDBOXES";
const VOLUMES: &str = "APPORTION_VOLUMES";
const ISOLATION: &str = "APPORTION_ISOLATION";
const RECOVERY_TIMEOUT: &str = "APPORTION_RECOVERY_TIMEOUT";

/// What an executor needs to run.
#[derive(Debug)]
pub struct ExecutorConfig {
    /// Where its agent takes executors.
    pub agent: SocketAddr,
    /// Its certificate, by the agent's own authority.
    pub credentials: Credentials,
    /// Whose executor it is.
    pub framework: FrameworkId,
    /// Which.
    pub executor: ExecutorId,
    /// Where its tasks' sandboxes belong.
    pub sandboxes: PathBuf,
    /// Where the agent's persistent volumes are, each in [`VolumeName::folder`](crate::resources::VolumeName::folder).
    pub volumes: PathBuf,
    /// How tasks are contained.
    pub isolation: IsolationPreference,
    /// How long it waits for an agent that has gone, before it ends with its tasks.
    pub recovery_timeout: Duration,
}

impl ExecutorConfig {
    /// What the agent that started this process says: in the environment variables `APPORTION_AGENT`, `APPORTION_CREDENTIALS` (a
    /// file), `APPORTION_FRAMEWORK`, `APPORTION_EXECUTOR`, `APPORTION_SANDBOXES`, `APPORTION_VOLUMES`, `APPORTION_ISOLATION` and
    /// `APPORTION_RECOVERY_TIMEOUT` (whole seconds).
    ///
    /// # Errors
    /// [`RuntimeError::Environment`] naming the variable; whatever is wrong with the credentials.
    pub fn from_env() -> Result<Self, RuntimeError> {
        Ok(ExecutorConfig {
            agent: parsed(AGENT)?,
            credentials: Credentials::load(Path::new(&variable(CREDENTIALS)?))?,
            framework: parsed(FRAMEWORK)?,
            executor: parsed(EXECUTOR)?,
            sandboxes: variable(SANDBOXES)?.into(),
            volumes: variable(VOLUMES)?.into(),
            isolation: parsed(ISOLATION)?,
            recovery_timeout: Duration::from_secs(parsed(RECOVERY_TIMEOUT)?),
        })
    }
}

/// What an agent says to an executor that it starts.
pub(in crate::runtime) struct Environment<'a> {
    pub(in crate::runtime) agent: SocketAddr,
    /// A file.
    pub(in crate::runtime) credentials: &'a Path,
    pub(in crate::runtime) framework: &'a FrameworkId,
    pub(in crate::runtime) executor: &'a ExecutorId,
    pub(in crate::runtime) sandboxes: &'a Path,
    pub(in crate::runtime) volumes: &'a Path,
    pub(in crate::runtime) isolation: IsolationPreference,
    pub(in crate::runtime) recovery_timeout: Duration,
}

impl Environment<'_> {
    /// The variables that [`ExecutorConfig::from_env`] reads.
    pub(in crate::runtime) fn variables(&self) -> [(&'static str, OsString); 8] {
        [
            (AGENT, self.agent.to_string().into()),
            (CREDENTIALS, self.credentials.into()),
            (FRAMEWORK, self.framework.as_str().into()),
            (EXECUTOR, self.executor.as_str().into()),
            (SANDBOXES, self.sandboxes.into()),
            (VOLUMES, self.volumes.into()),
            (ISOLATION, self.isolation.to_string().into()),
            (RECOVERY_TIMEOUT, self.recovery_timeout.as_secs().to_string().into()),
        ]
    }
}

fn variable(name: &'static str) -> Result<OsString, RuntimeError> {
    std::env::var_os(name)
        .ok_or_else(|| RuntimeError::Environment { name, problem: "it is not set".to_owned() })
}

fn parsed<T: FromStr<Err: ToString>>(name: &'static str) -> Result<T, RuntimeError> {
    let text = variable(name)?;
    text.to_string_lossy()
        .parse()
        .map_err(|error: T::Err| RuntimeError::Environment { name, problem: error.to_string() })
}
