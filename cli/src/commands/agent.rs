//! `apportion agent` and the hidden `apportion executor`: this machine as a part of a cluster.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;

use apportion::protocol::{FaultDomain, IdentityKind};
use apportion::runtime::{
    Addresses, AgentConfig, ExecutorConfig, ExecutorLauncher, ExecutorProgram, ShutdownHandle,
    SimulatedAgents, machine_resources, run_agent, run_command_executor, run_simulated_agents,
};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::joining::{admitted, admitted_by};
use crate::arguments::{AgentArguments, SimulatedArguments};
use crate::context::{Context, state_folder};
use crate::failure::Failure;
use crate::output::{amounts, note};
use crate::signals::Signals;

/// How many simulated agents join at a time.
const JOINS_AT_A_TIME: usize = 32;

/// Runs an agent until it is asked to end; its tasks end with it.
pub(crate) async fn agent(
    arguments: AgentArguments,
    context: impl FnOnce() -> Result<Context, Failure>,
) -> Result<(), Failure> {
    let signals = Signals::take()?;
    let name = match arguments.name {
        Some(name) => name,
        None => this_machine()?,
    };
    if let Some(number) = arguments.simulated_agents {
        let context = context()?;
        let master = arguments.join.master.unwrap_or_else(|| context.master.clone());
        return simulated(number, &name, master, arguments.simulated, (context, signals)).await;
    }
    let (master, credentials) = admitted(IdentityKind::Agent, &name, &arguments.join, context).await?;
    let work_dir = match arguments.work_dir {
        Some(folder) => folder,
        None => state_folder()?.join("agents").join(&name),
    };
    std::fs::create_dir_all(&work_dir)
        .map_err(|error| Failure::Unwritable { file: work_dir.clone(), error })?;
    let resources = match arguments.resources {
        Some(resources) => resources,
        None => machine_resources(&work_dir)?,
    };
    note(format_args!(
        "agent {name} offers {} to the master at {master}; its tasks write to {}",
        amounts(&resources),
        work_dir.display()
    ));
    let config = AgentConfig {
        credentials,
        master,
        listen: arguments.listen,
        advertise: arguments.advertise,
        work_dir,
        resources,
        attributes: arguments.attributes.into_iter().collect(),
        domain: arguments.region.zip(arguments.zone).map(|(region, zone)| FaultDomain { region, zone }),
        isolation: arguments.isolation,
        keep_sandboxes: arguments.keep_sandboxes.duration(),
        recovery_timeout: Some(arguments.recovery_timeout.duration()).filter(|timeout| !timeout.is_zero()),
        launcher: this_program()?,
    };
    let (stop, shutdown) = ShutdownHandle::new();
    Ok(signals.stop_on_request(stop, run_agent(config, shutdown)).await?)
}

/// Runs agents whose tasks are timers until it is asked to end; they join by the operator's authority.
async fn simulated(
    number: NonZeroU32,
    name: &str,
    master: Addresses,
    arguments: SimulatedArguments,
    (context, signals): (Context, Signals),
) -> Result<(), Failure> {
    let (context, door) = (Arc::new(context), Arc::new(Semaphore::new(JOINS_AT_A_TIME)));
    let mut joining = JoinSet::new();
    for number in 1..=number.get() {
        let (context, door, master) = (context.clone(), door.clone(), master.clone());
        let name = format!("{name}-{number}");
        joining.spawn(async move {
            // Never closed.
            let _permit = door.acquire().await;
            admitted_by(&context, &master, IdentityKind::Agent, &name).await
        });
    }
    let credentials = joining.join_all().await.into_iter().collect::<Result<_, _>>()?;
    note(format_args!(
        "{number} simulated agents offer {} each to the master at {master}",
        amounts(&arguments.simulated_resources)
    ));
    let (resources, task_time) = (arguments.simulated_resources, arguments.task_time.duration());
    let agents = SimulatedAgents { master, credentials, resources, task_time };
    let (stop, shutdown) = ShutdownHandle::new();
    Ok(signals.stop_on_request(stop, run_simulated_agents(agents, shutdown)).await?)
}

/// Runs the command executor, as the agent that started this process says.
pub(crate) fn executor() -> Result<(), Failure> {
    // Its work is done by threads that start processes; one thread for all else costs the least of hand-overs.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(run_command_executor(ExecutorConfig::from_env()?))?)
}

/// Executors are this very program.
pub(super) fn this_program() -> Result<ExecutorLauncher, Failure> {
    let program: PathBuf = std::env::current_exe()?;
    let arguments = vec!["executor".to_owned()];
    Ok(ExecutorLauncher::Processes(ExecutorProgram { program, arguments }))
}

fn this_machine() -> Result<String, Failure> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname")?;
    Ok(name.trim().to_owned())
}
