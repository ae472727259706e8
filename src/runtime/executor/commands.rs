//! What the command executor wants of the world: processes.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crossbeam::channel;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio::runtime::Handle;

use super::probes::try_probe;
use super::{CGROUP_ROOT, ExecutorConfig, Reporter, run_executor};
use crate::executor::CommandExecutor;
use crate::executor::command::{CommandAction, CommandEvent, ProcessPlan, VolumeMount};
use crate::isolation::{self, Isolation, Limits, Output, Process, ProcessSpec, Status, User};
use crate::protocol::logs::OutputName;
use crate::protocol::{Exit, TaskId};
use crate::runtime::RuntimeError;
use crate::runtime::limits::allow_many_files;

/// Threads that start processes. A launch blocks its thread until the program runs, and two overlap well: while one waits for
/// the kernel, the other prepares.
const SPAWNERS: usize = 2;

/// How many processes and threads a task may have at once: enough for every program, and an end to fork bombs.
const MAX_PIDS: u64 = 32_768;

/// Runs the command executor: tasks are processes, in sandboxes of their own.
///
/// # Errors
/// As [`run_executor`]; when the wanted isolation can't be had, or the system refuses a thread or a folder.
pub async fn run_command_executor(config: ExecutorConfig) -> Result<(), RuntimeError> {
    let isolation = Isolation::detect(config.isolation, CGROUP_ROOT)?;
    tracing::info!(isolation = isolation.describe(), "command executor starts");
    let sandboxes = config.sandboxes.clone();
    std::fs::create_dir_all(&sandboxes).map_err(|error| RuntimeError::File {
        action: "create",
        path: sandboxes.clone(),
        error,
    })?;
    allow_many_files();
    let (starts, todo) = channel::unbounded();
    let world = Arc::new(World { isolation, processes: Mutex::default() });
    for _ in 0..SPAWNERS {
        let (world, todo, handle) = (world.clone(), todo.clone(), Handle::current());
        std::thread::Builder::new()
            .name("apportion-spawn".to_owned())
            .spawn(move || world.start_processes(&todo, &handle))
            .map_err(|error| RuntimeError::Start { what: "a thread that starts processes", error })?;
    }
    let act = |action, reporter: &Reporter<CommandEvent>| match action {
        CommandAction::Start { task, process } => {
            // The threads take what there is as long as `starts` lives.
            let _ = starts.send(Start { task, plan: process, reporter: reporter.clone() });
        }
        CommandAction::Signal { task, signal } => world.signal(&task, signal),
        CommandAction::KillAll { task } => world.kill(&task),
        CommandAction::Probe { task, check, probe, timeout } => {
            let (isolation, reporter) = (world.isolation.clone(), reporter.clone());
            tokio::spawn(async move {
                let result = try_probe(probe, timeout, isolation).await;
                reporter.report(CommandEvent::Probed { task, check, result });
            });
        }
    };
    let executor = CommandExecutor::new(sandboxes).with_volumes(&config.volumes);
    run_executor(executor, config, act).await
}

/// A process that is to start.
struct Start {
    task: TaskId,
    plan: ProcessPlan,
    reporter: Reporter<CommandEvent>,
}

/// The processes that run.
struct World {
    isolation: Isolation,
    processes: Mutex<FxHashMap<TaskId, Arc<Process>>>,
}

impl World {
    fn start_processes(self: &Arc<Self>, todo: &channel::Receiver<Start>, handle: &Handle) {
        for Start { task, plan, reporter } in todo {
            match start(&self.isolation, &plan) {
                Ok(process) => {
                    let process = Arc::new(process);
                    self.processes.lock().insert(task.clone(), process.clone());
                    reporter.report(CommandEvent::Started { task: task.clone(), pid: process.pid() });
                    handle.spawn(self.clone().wait(task, process, reporter));
                }
                Err(error) => reporter.report(CommandEvent::NotStarted { task, error }),
            }
        }
    }

    async fn wait(self: Arc<Self>, task: TaskId, process: Arc<Process>, reporter: Reporter<CommandEvent>) {
        let exit = match process.wait().await {
            Ok(exit) => exit,
            Err(error) => {
                tracing::warn!(%task, %error, "a process cannot be watched; a thread waits for it instead");
                let waiting = process.clone();
                match tokio::task::spawn_blocking(move || waiting.wait_blocking()).await {
                    Ok(Ok(exit)) => exit,
                    lost => {
                        tracing::error!(%task, ?lost, "a process was lost sight of, and is killed");
                        self.kill(&task);
                        self.forget(&task);
                        let exit = Exit::Signal(libc::SIGKILL);
                        return reporter.report(CommandEvent::Exited { task, exit, oom_killed: false });
                    }
                }
            }
        };
        self.forget(&task);
        let isolation::Exit { status, oom_killed, .. } = exit;
        let exit = match status {
            Status::Code(code) => Exit::Code(code),
            Status::Signal { signal, .. } => Exit::Signal(signal),
        };
        reporter.report(CommandEvent::Exited { task, exit, oom_killed });
    }

    fn forget(&self, task: &TaskId) {
        self.processes.lock().remove(task);
    }

    fn process(&self, task: &TaskId) -> Option<Arc<Process>> {
        self.processes.lock().get(task).cloned()
    }

    /// A process that has just ended needs no signal.
    fn signal(&self, task: &TaskId, signal: i32) {
        if let Some(Err(error)) = self.process(task).map(|process| process.signal(signal)) {
            tracing::warn!(%task, signal, %error, "cannot signal a task; it is killed when its grace period is over");
        }
    }

    fn kill(&self, task: &TaskId) {
        if let Some(Err(error)) = self.process(task).map(|process| process.kill_all()) {
            tracing::error!(%task, %error, "cannot kill a task");
        }
    }
}

/// Starts a task's process in its sandbox; an error is for people.
fn start(isolation: &Isolation, plan: &ProcessPlan) -> Result<Process, String> {
    make_sandbox(&plan.sandbox)
        .map_err(|error| format!("cannot make its sandbox {}: {error}", plan.sandbox.display()))?;
    let user = user_of(plan)?;
    if let Some(user) = &user {
        user.own(&plan.sandbox)
            .map_err(|error| format!("cannot give its sandbox to another user, which takes root: {error}"))?;
    }
    for mount in &plan.volumes {
        mount_volume(mount, &plan.sandbox, user.as_ref())
            .map_err(|error| format!("cannot have its volume at {}: {error}", mount.path.display()))?;
    }
    let spec = spec(plan)?
        .die_with_parent()
        .stdout(Output::Create(OutputName::Stdout.file_name().into()))
        .stderr(Output::Create(OutputName::Stderr.file_name().into()));
    isolation.spawn(&spec).map_err(|error| error.to_string())
}

fn make_sandbox(sandbox: &Path) -> io::Result<()> {
    match std::fs::create_dir(sandbox) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && sandbox.is_dir() => Ok(()),
        made => made,
    }
}

/// Makes the volume's folder, which is the first user's own, if it is not there yet; and the link to it.
fn mount_volume(mount: &VolumeMount, sandbox: &Path, user: Option<&User>) -> io::Result<()> {
    if !mount.folder.is_dir() {
        std::fs::create_dir_all(&mount.folder)?;
        user.map_or(Ok(()), |user| user.own(&mount.folder))?;
    }
    let link = sandbox.join(&mount.path);
    if let Some(above) = link.parent() {
        std::fs::create_dir_all(above)?;
    }
    match std::os::unix::fs::symlink(&mount.folder, &link) {
        // The sandbox is that of an earlier run of the task.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if std::fs::read_link(&link)? == mount.folder { Ok(()) } else { Err(error) }
        }
        linked => linked,
    }
}

fn user_of(plan: &ProcessPlan) -> Result<Option<User>, String> {
    plan.user.as_deref().map(User::named).transpose().map_err(|error| error.to_string())
}

/// What is started, without its outputs; an error is for people.
pub(super) fn spec(plan: &ProcessPlan) -> Result<ProcessSpec, String> {
    let limits = Limits {
        cpus_milli: plan.limits.cpus_milli,
        hard_cpu: false,
        memory_bytes: plan.limits.memory_bytes,
        pids: Some(MAX_PIDS),
    };
    let spec = ProcessSpec::new(&plan.argv, &plan.sandbox)
        .envs(plan.env.iter().map(|(name, value)| (name, value)))
        .limits(limits);
    Ok(match user_of(plan)? {
        Some(user) => spec.user(user),
        None => spec,
    })
}
