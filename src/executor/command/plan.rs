//! From a task to the process to start.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::action::{ProbePlan, ProcessLimits, ProcessPlan, VolumeMount};
use crate::protocol::{Check, Command, CommandInfo, Probe, TaskId, TaskInfo, Work};
use crate::spec::{ExpandError, expand, port_variable};

/// The `PATH` of a task that does not set its own.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Tells a task its sandbox, and whose a process is.
pub(crate) const SANDBOX_VARIABLE: &str = "APPORTION_SANDBOX";

/// Tell a task on which of its agent's shared GPUs it has a part: whoever asks, and programs that use CUDA, which number the devices that
/// they see from zero.
const GPU_VARIABLES: [&str; 2] = ["APPORTION_GPUS", "CUDA_VISIBLE_DEVICES"];

/// Bytes in a MiB, the unit of `mem`.
const MIB: u64 = 1 << 20;

/// Why a task can't be run as described.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidTask {
    #[error("the command executor runs commands only; this task is for the framework's own executor")]
    NotACommand,
    #[error("the command is empty")]
    EmptyCommand,
    #[error(transparent)]
    Expand(#[from] ExpandError),
    #[error("it names {names} ports, but its resources hold {numbers}; ask for as many ports as it names")]
    TooFewPorts { names: usize, numbers: usize },
    #[error("the {check} check asks for port '{port}', which the task does not name")]
    UnknownPort { check: &'static str, port: String },
    #[error("the {check} check asks for the task's first port, but it has none")]
    NoPort { check: &'static str },
    #[error("it has a persistent volume, but its executor was not told where these are")]
    NoVolumes,
    #[error("volume '{id}' can't be at '{path}': a volume's path is relative to the task's sandbox")]
    AbsolutePath { id: String, path: String },
}

/// All that is known of a task before it starts.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) id: TaskId,
    pub(super) command: Arc<CommandInfo>,
    pub(super) process: ProcessPlan,
    pub(super) startup: Option<(Check, ProbePlan)>,
    pub(super) readiness: Option<(Check, ProbePlan)>,
    pub(super) liveness: Option<(Check, ProbePlan)>,
}

impl Plan {
    pub(super) fn of(task: TaskInfo, sandboxes: &Path, volumes: Option<&Path>) -> Result<Plan, InvalidTask> {
        let Work::Command(command) = &task.work else { return Err(InvalidTask::NotACommand) };
        let ports = port_numbers(&task, command)?;
        let sandbox = sandboxes.join(task.id.as_str());
        let env = environment(&task, command, &ports, &sandbox);
        let argv = arguments(&command.command, &env)?;
        let mem_milli = task.resources.mem().milli().unsigned_abs();
        let limits = ProcessLimits {
            cpus_milli: task.resources.cpus().milli(),
            memory_bytes: (mem_milli > 0).then(|| mem_milli.saturating_mul(MIB) / 1000),
        };
        let probes = Probes {
            user: command.user.as_ref(),
            names: &command.ports,
            numbers: &ports,
            env: &env,
            sandbox: &sandbox,
            limits,
        };
        let startup = probes.resolve("startup", command.checks.startup.as_ref())?;
        let readiness = probes.resolve("readiness", command.checks.readiness.as_ref())?;
        let liveness = probes.resolve("liveness", command.checks.liveness.as_ref())?;
        let (env, user) = (env.into_iter().collect(), command.user.clone());
        let volumes = mounts(&task, volumes)?;
        let process = ProcessPlan { argv, env, user, sandbox, volumes, limits };
        Ok(Plan { id: task.id, command: command.clone(), process, startup, readiness, liveness })
    }
}

fn mounts(task: &TaskInfo, volumes: Option<&Path>) -> Result<Vec<VolumeMount>, InvalidTask> {
    let named =
        task.resources.iter().filter_map(|resource| Some((resource.volume_name()?, resource.volume()?)));
    named
        .map(|(name, volume)| {
            let path = PathBuf::from(volume.container_path.as_str());
            if path.is_absolute() {
                let (id, path) = (name.id.to_string(), volume.container_path.to_string());
                return Err(InvalidTask::AbsolutePath { id, path });
            }
            let folder = volumes.ok_or(InvalidTask::NoVolumes)?.join(name.folder());
            Ok(VolumeMount { folder, path })
        })
        .collect()
}

fn port_numbers(task: &TaskInfo, command: &CommandInfo) -> Result<Vec<u16>, InvalidTask> {
    let numbers: Vec<u16> =
        task.resources.ports().values().filter_map(|port| u16::try_from(port).ok()).collect();
    if numbers.len() < command.ports.len() {
        return Err(InvalidTask::TooFewPorts { names: command.ports.len(), numbers: numbers.len() });
    }
    Ok(numbers)
}

/// What the executor adds, then the command's own variables, then the task's; later ones win.
fn environment(
    task: &TaskInfo,
    command: &CommandInfo,
    ports: &[u16],
    sandbox: &Path,
) -> BTreeMap<String, String> {
    let sandbox = sandbox.to_string_lossy().into_owned();
    let mut env = BTreeMap::from([
        ("PATH".to_owned(), DEFAULT_PATH.to_owned()),
        ("HOME".to_owned(), sandbox.clone()),
        (SANDBOX_VARIABLE.to_owned(), sandbox),
        ("APPORTION_TASK_ID".to_owned(), task.id.to_string()),
    ]);
    if let Some(first) = ports.first() {
        env.insert("PORT".to_owned(), first.to_string());
    }
    for (name, number) in command.ports.iter().zip(ports) {
        env.insert(port_variable(name), number.to_string());
    }
    let gpus: Vec<String> =
        task.resources.gpu_parts().into_iter().map(|(device, _)| device.to_string()).collect();
    if !gpus.is_empty() {
        env.extend(GPU_VARIABLES.map(|name| (name.to_owned(), gpus.join(","))));
    }
    let own = command.env.iter().chain(&task.env);
    env.extend(own.map(|(name, value)| (name.clone(), value.clone())));
    env
}

fn arguments(command: &Command, env: &BTreeMap<String, String>) -> Result<Vec<String>, InvalidTask> {
    match command {
        Command::Argv(argv) if argv.is_empty() => Err(InvalidTask::EmptyCommand),
        Command::Argv(argv) => {
            let lookup = |name: &str| env.get(name).map(String::as_str);
            Ok(argv.iter().map(|template| expand(template, lookup)).collect::<Result<_, _>>()?)
        }
        Command::Shell(line) => Ok(vec!["/bin/sh".to_owned(), "-c".to_owned(), line.clone()]),
    }
}

/// What probes are resolved with.
struct Probes<'a> {
    user: Option<&'a String>,
    names: &'a [String],
    numbers: &'a [u16],
    env: &'a BTreeMap<String, String>,
    sandbox: &'a PathBuf,
    limits: ProcessLimits,
}

impl Probes<'_> {
    fn resolve(
        &self,
        kind: &'static str,
        check: Option<&Check>,
    ) -> Result<Option<(Check, ProbePlan)>, InvalidTask> {
        let Some(check) = check else { return Ok(None) };
        let plan = match &check.probe {
            Probe::Http { port, path } => {
                ProbePlan::Http { port: self.port(kind, port.as_deref())?, path: path.clone() }
            }
            Probe::Tcp { port } => ProbePlan::Tcp { port: self.port(kind, port.as_deref())? },
            Probe::Command(command) => ProbePlan::Command(Box::new(ProcessPlan {
                user: self.user.cloned(),
                argv: arguments(command, self.env)?,
                env: self.env.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
                sandbox: self.sandbox.clone(),
                volumes: Vec::new(),
                limits: self.limits,
            })),
        };
        Ok(Some((check.clone(), plan)))
    }

    fn port(&self, check: &'static str, name: Option<&str>) -> Result<u16, InvalidTask> {
        let Some(name) = name else {
            return self.numbers.first().copied().ok_or(InvalidTask::NoPort { check });
        };
        let place = self.names.iter().position(|known| known == name);
        let unknown = || InvalidTask::UnknownPort { check, port: name.to_owned() };
        place.and_then(|place| self.numbers.get(place)).copied().ok_or_else(unknown)
    }
}
