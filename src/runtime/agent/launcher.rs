//! How executors are started and killed.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::AgentConfig;
use super::driver::Event;
use super::work_dir::WorkDir;
use crate::executor::command::{DEFAULT_PATH, SANDBOX_VARIABLE};
use crate::isolation::{
    FoundProcess, Isolation, IsolationPreference, Output, Process, ProcessSpec, kill_processes_with,
};
use crate::net::{CertificateAuthority, Credentials, NetError};
use crate::protocol::{Command, ExecutorId, ExecutorInfo, FrameworkId, Identity, IdentityKind};
use crate::resources::VolumeName;
use crate::runtime::RuntimeError;
use crate::runtime::executor::{CGROUP_ROOT, CREDENTIALS, Environment, ExecutorConfig, run_command_executor};

/// How long executors wait for an agent that keeps no checkpoints: as long as a lost connection may take to come back.
const ORPHAN_TIMEOUT: Duration = Duration::from_secs(15);

/// How an agent starts executors.
#[derive(Clone, Debug)]
pub enum ExecutorLauncher {
    /// As processes of their own, which outlive a crash of the agent: the usual way.
    Processes(ExecutorProgram),
    /// Within the agent's program: for tests, for embedding, and for tasks that are no processes.
    InProgram(InProgram),
}

/// The program that is the command executor: it calls [`run_command_executor`] with an [`ExecutorConfig::from_env`]. A framework's
/// own executors are started by the command that their [`ExecutorInfo`] names.
#[derive(Clone, Debug)]
pub struct ExecutorProgram {
    /// The program's path.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
}

type Running = Pin<Box<dyn Future<Output = Result<(), RuntimeError>> + Send>>;

/// Runs executors within the agent's program.
#[derive(Clone)]
pub struct InProgram(Arc<dyn Fn(ExecutorConfig, Option<Arc<ExecutorInfo>>) -> Running + Send + Sync>);

impl InProgram {
    /// Executors that are the futures that `run` makes: of a framework's own executor if there is an [`ExecutorInfo`], of the command
    /// executor otherwise. Such a future is usually [`run_executor`](crate::runtime::run_executor).
    pub fn new<F>(
        run: impl Fn(ExecutorConfig, Option<Arc<ExecutorInfo>>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), RuntimeError>> + Send + 'static,
    {
        InProgram(Arc::new(move |config, info| Box::pin(run(config, info))))
    }

    /// The command executor alone: tasks are processes, their executors are not.
    pub fn commands() -> Self {
        InProgram::new(|config, info| async move {
            match info {
                None => run_command_executor(config).await,
                Some(info) => Err(RuntimeError::Refused(format!(
                    "this agent runs commands only, and has no executor {}",
                    info.id
                ))),
            }
        })
    }
}

impl fmt::Debug for InProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InProgram")
    }
}

/// Where an executor runs.
enum Handle {
    Process(Arc<Process>),
    /// Started by an earlier life of the agent.
    Found(Arc<FoundProcess>),
    Task(AbortHandle),
}

/// Starts an agent's executors, and reports their ends.
pub(super) struct Launches {
    launcher: ExecutorLauncher,
    authority: Arc<CertificateAuthority>,
    cluster: String,
    /// Where executors find the agent.
    agent: SocketAddr,
    work_dir: WorkDir,
    isolation: IsolationPreference,
    /// For how long executors outlive the agent, if they are to.
    recovery_timeout: Option<Duration>,
    events: mpsc::Sender<Event>,
    running: FxHashMap<(FrameworkId, ExecutorId), Handle>,
}

/// Why an executor could not be started.
#[derive(Debug, thiserror::Error)]
enum LaunchError {
    #[error(transparent)]
    Identity(#[from] crate::protocol::identity::IdentityError),
    #[error(transparent)]
    Net(#[from] NetError),
    #[error("cannot make its folder {}: {error}", path.display())]
    Folder { path: PathBuf, error: io::Error },
    #[error(transparent)]
    Spawn(#[from] crate::isolation::SpawnError),
}

impl Launches {
    /// Nothing runs yet.
    pub(super) fn new(
        config: &AgentConfig,
        authority: Arc<CertificateAuthority>,
        agent: SocketAddr,
        work_dir: WorkDir,
        events: mpsc::Sender<Event>,
    ) -> Self {
        Launches {
            launcher: config.launcher.clone(),
            authority,
            cluster: config.credentials.identity().cluster().to_owned(),
            agent,
            work_dir,
            isolation: config.isolation,
            recovery_timeout: config.recovery_timeout,
            events,
            running: FxHashMap::default(),
        }
    }

    /// Starts an executor. Its end is reported, also when it could not be started.
    pub(super) fn start(
        &mut self,
        framework: FrameworkId,
        executor: ExecutorId,
        info: Option<Arc<ExecutorInfo>>,
    ) {
        match self.try_start(&framework, &executor, info) {
            Ok(handle) => {
                self.running.insert((framework, executor), handle);
            }
            Err(error) => {
                let report = self.report(&framework, &executor);
                tokio::spawn(report.send(format!("it could not be started: {error}")));
            }
        }
    }

    /// Watches an executor that an earlier life of the agent started. Its end is reported, also when it is not there any more.
    pub(super) fn adopt(&mut self, framework: FrameworkId, executor: ExecutorId) {
        let credentials = self.work_dir.credentials(&framework, &executor);
        let report = self.report(&framework, &executor);
        match FoundProcess::leader_with(CREDENTIALS, &credentials.to_string_lossy()) {
            Ok(Some(process)) => {
                tracing::info!(%framework, %executor, pid = process.pid(), "an executor has outlived its agent");
                let process = Arc::new(process);
                self.running.insert((framework, executor), Handle::Found(process.clone()));
                tokio::spawn(async move {
                    report
                        .send(match process.ended().await {
                            Ok(()) => "its process ended".to_owned(),
                            Err(error) => format!("its process was lost sight of: {error}"),
                        })
                        .await;
                });
            }
            Ok(None) => {
                let message = "its process was gone when the agent came back: it had ended, or the machine was restarted";
                tokio::spawn(report.send(message.to_owned()));
            }
            Err(error) => {
                tokio::spawn(report.send(format!("it can't be looked for: {error}")));
            }
        }
    }

    fn report(&self, framework: &FrameworkId, executor: &ExecutorId) -> Report {
        Report {
            events: self.events.clone(),
            framework: framework.clone(),
            executor: executor.clone(),
            sandboxes: (*executor == ExecutorId::command()).then(|| self.work_dir.sandboxes(framework)),
        }
    }

    /// Kills an executor with the tasks that it contains.
    pub(super) fn kill(&mut self, framework: &FrameworkId, executor: &ExecutorId) {
        match self.running.get(&(framework.clone(), executor.clone())) {
            None => {}
            Some(Handle::Task(task)) => task.abort(),
            Some(Handle::Process(process)) => tell_failure(framework, executor, process.kill_all()),
            Some(Handle::Found(process)) => tell_failure(framework, executor, process.kill_all()),
        }
    }

    /// Removes volumes that are no more.
    pub(super) fn keep_volumes(&self, volumes: &BTreeSet<VolumeName>) {
        match self.work_dir.keep_volumes(volumes) {
            Ok(removed) => {
                tokio::task::spawn_blocking(move || removed.iter().for_each(|folder| remove(folder)));
            }
            Err(error) => tracing::warn!(%error, "cannot remove a volume"),
        }
    }

    /// Takes note of an executor's end.
    pub(super) fn ended(&mut self, framework: &FrameworkId, executor: &ExecutorId) {
        self.running.remove(&(framework.clone(), executor.clone()));
    }

    fn try_start(
        &self,
        framework: &FrameworkId,
        executor: &ExecutorId,
        info: Option<Arc<ExecutorInfo>>,
    ) -> Result<Handle, LaunchError> {
        let name = format!("{framework}/{executor}");
        let identity = Identity::new(self.cluster.as_str(), IdentityKind::Executor, name)?;
        let credentials = self.authority.issue(&identity)?;
        let report = self.report(framework, executor);
        match &self.launcher {
            ExecutorLauncher::InProgram(InProgram(run)) => {
                let config = ExecutorConfig {
                    agent: self.agent,
                    credentials,
                    framework: framework.clone(),
                    executor: executor.clone(),
                    sandboxes: self.work_dir.sandboxes(framework),
                    volumes: self.work_dir.volumes(),
                    isolation: self.isolation,
                    recovery_timeout: self.recovery_timeout.unwrap_or(ORPHAN_TIMEOUT),
                };
                let task = tokio::spawn(run(config, info));
                let handle = task.abort_handle();
                tokio::spawn(async move {
                    let message = match task.await {
                        Ok(Ok(())) => "it ended".to_owned(),
                        Ok(Err(error)) => error.to_string(),
                        Err(error) => error.to_string(),
                    };
                    report.send(message).await;
                });
                Ok(Handle::Task(handle))
            }
            ExecutorLauncher::Processes(program) => {
                let process =
                    Arc::new(self.spawn(program, framework, executor, info.as_deref(), &credentials)?);
                let handle = Handle::Process(process.clone());
                tokio::spawn(async move {
                    let message = match process.wait().await {
                        Ok(exit) => format!("its process ended: {:?}", exit.status),
                        Err(error) => format!("its process was lost sight of: {error}"),
                    };
                    report.send(message).await;
                });
                Ok(handle)
            }
        }
    }

    fn spawn(
        &self,
        program: &ExecutorProgram,
        framework: &FrameworkId,
        executor: &ExecutorId,
        info: Option<&ExecutorInfo>,
        credentials: &Credentials,
    ) -> Result<Process, LaunchError> {
        let folder = self.work_dir.executor(framework, executor);
        std::fs::create_dir_all(&folder)
            .map_err(|error| LaunchError::Folder { path: folder.clone(), error })?;
        let credentials_file = self.work_dir.credentials(framework, executor);
        credentials.save(&credentials_file)?;
        let (argv, own_env) = match info.map(|info| (&info.command, &info.env)) {
            None => {
                let ExecutorProgram { program, arguments } = program;
                let program = program.to_string_lossy().into_owned();
                (std::iter::once(program).chain(arguments.iter().cloned()).collect(), None)
            }
            Some((Command::Argv(argv), env)) => (argv.clone(), Some(env)),
            Some((Command::Shell(line), env)) => {
                (vec!["/bin/sh".to_owned(), "-c".to_owned(), line.clone()], Some(env))
            }
        };
        let told = Environment {
            agent: self.agent,
            credentials: &credentials_file,
            framework,
            executor,
            sandboxes: &self.work_dir.sandboxes(framework),
            volumes: &self.work_dir.volumes(),
            isolation: self.isolation,
            recovery_timeout: self.recovery_timeout.unwrap_or(ORPHAN_TIMEOUT),
        };
        let told = told.variables();
        let logging = std::env::var("RUST_LOG").ok().map(|filter| ("RUST_LOG", filter));
        let spec = ProcessSpec::new(argv, &folder)
            .env("PATH", DEFAULT_PATH)
            .envs(logging)
            .envs(own_env.into_iter().flatten())
            .envs(told)
            .stdout(Output::Append("stdout".into()))
            .stderr(Output::Append("stderr".into()));
        let process = Isolation::plain().spawn(&spec)?;
        if self.recovery_timeout.is_some() {
            process.outlive_us();
        }
        Ok(process)
    }
}

fn tell_failure(framework: &FrameworkId, executor: &ExecutorId, killed: io::Result<bool>) {
    if let Err(error) = killed {
        tracing::error!(%framework, %executor, %error, "cannot kill an executor");
    }
}

/// Tells of an executor's end.
struct Report {
    events: mpsc::Sender<Event>,
    framework: FrameworkId,
    executor: ExecutorId,
    /// Of the command executor: those of its tasks.
    sandboxes: Option<PathBuf>,
}

impl Report {
    /// Tells of it once what the executor may have left behind is gone.
    async fn send(self, message: String) {
        let Report { events, framework, executor, sandboxes } = self;
        let cleaned = tokio::task::spawn_blocking(move || clean_up_after(sandboxes.as_deref()));
        if let Ok(Err(error)) = cleaned.await {
            tracing::warn!(%framework, %executor, error, "cannot clean up after an executor");
        }
        // Fails when the agent has ended, which needs to know nothing more.
        let _ = events.send(Event::ExecutorExited { framework, executor, message }).await;
    }
}

fn clean_up_after(sandboxes: Option<&Path>) -> Result<(), String> {
    if let Some(sandboxes) = sandboxes {
        // Without cgroups, what a task has started is known by its environment alone.
        let start = format!("{}/", sandboxes.display());
        kill_processes_with(SANDBOX_VARIABLE, &start).map_err(|error| error.to_string())?;
    }
    Isolation::clean_up(CGROUP_ROOT).map(drop).map_err(|error| error.to_string())
}

/// Two removals of the same folder may meet.
fn remove(folder: &Path) {
    if let Err(error) = std::fs::remove_dir_all(folder)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(folder = %folder.display(), %error, "cannot remove what was in a volume");
    }
}
