//! `apportion up`, and the cluster of `apportion run --local`: everything on this machine.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;

use apportion::allocator::PreemptionOptions;
use apportion::isolation::{Isolation, IsolationPreference};
use apportion::protocol::IdentityKind;
use apportion::resources::Resources;
use apportion::runtime::executor::CGROUP_ROOT;
use apportion::runtime::{LocalCluster, LocalConfig, machine_parts};
use serde_json::json;

use super::agent::this_program;
use super::framework::{batch_framework, service_framework};
use super::run::Work;
use crate::arguments::{Global, SimulatedArguments, UpArguments};
use crate::context::{Context, state_folder};
use crate::failure::Failure;
use crate::output::{amounts, note, print, print_json};
use crate::signals::Signals;

/// Thousandths of a core in a whole one.
const WHOLE_CPU: i64 = 1000;

/// The most agents of a local run: enough to see that there are several.
const MOST_LOCAL_AGENTS: u32 = 3;

/// What a cluster is to be.
struct Plan<'a> {
    agents: Agents<'a>,
    listen: SocketAddr,
    state_dir: PathBuf,
    preemption: PreemptionOptions,
}

/// What a cluster's agents are.
enum Agents<'a> {
    /// So many that share this machine.
    OfThisMachine(NonZeroU32, IsolationPreference),
    /// So many whose tasks are timers.
    Simulated(NonZeroU32, &'a SimulatedArguments),
}

impl Agents<'_> {
    /// How tasks are contained, for people.
    fn contain(&self) -> String {
        match self {
            // Executors find out for themselves, and alike.
            Agents::OfThisMachine(_, isolation) => match Isolation::detect(*isolation, CGROUP_ROOT) {
                Ok(isolation) => isolation.describe().to_owned(),
                Err(error) => error.to_string(),
            },
            Agents::Simulated(_, agents) => {
                format!("tasks are timers of {:?}, or as SIMULATED_TIME says", agents.task_time.duration())
            }
        }
    }
}

/// Runs a cluster until it is asked to end.
pub(crate) async fn up(arguments: &UpArguments, json: bool) -> Result<(), Failure> {
    let signals = Signals::take()?;
    let state_dir = match &arguments.state_dir {
        Some(folder) => folder.clone(),
        None => state_folder()?,
    };
    let plan = Plan {
        agents: match arguments.simulated_agents {
            Some(number) => Agents::Simulated(number, &arguments.simulated),
            None => Agents::OfThisMachine(arguments.agents, arguments.isolation),
        },
        listen: arguments.listen,
        state_dir,
        preemption: arguments.preemption.options(),
    };
    let (cluster, parts) = start(&plan).await?;
    let told = tell(&cluster, &plan.agents, &parts, json);
    if told.is_ok() {
        signals.asked_to_end().await;
    }
    cluster.stop().await?;
    told
}

/// Runs work on a cluster that ends with it.
pub(crate) async fn run_local(
    agents: Option<NonZeroU32>,
    work: Vec<Work>,
    global: &Global,
) -> Result<(), Failure> {
    let signals = Signals::take()?;
    let agents = match agents {
        Some(agents) => agents,
        None => std::thread::available_parallelism()?
            .try_into()
            .unwrap_or(NonZeroU32::MIN)
            .min(NonZeroU32::MIN.saturating_add(MOST_LOCAL_AGENTS - 1)),
    };
    let folder = tempfile::Builder::new().prefix("apportion-").tempdir()?;
    let any_port = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
    let plan = Plan {
        agents: Agents::OfThisMachine(agents, IsolationPreference::Auto),
        listen: any_port,
        state_dir: folder.path().to_owned(),
        preemption: PreemptionOptions::default(),
    };
    let (cluster, _) = start(&plan).await?;
    let context = Context {
        master: cluster.address().into(),
        credentials: cluster.credentials(IdentityKind::Operator, "operator")?,
        folder: folder.path().to_owned(),
    };
    let outcome = tokio::select! {
        outcome = super::run::run(&context, work, false, global) => outcome,
        _ = signals.asked_to_end() => Err(Failure::Unsuccessful("it was interrupted".to_owned())),
    };
    cluster.stop().await?;
    if outcome.is_err() {
        note(format_args!("what the tasks wrote is kept in {}", folder.keep().display()));
    }
    outcome
}

/// Starts a cluster with both frameworks; returns also what each of its agents has.
async fn start(plan: &Plan<'_>) -> Result<(LocalCluster, Vec<Resources>), Failure> {
    let state_dir = &plan.state_dir;
    std::fs::create_dir_all(state_dir)
        .map_err(|error| Failure::Unwritable { file: state_dir.clone(), error })?;
    let (parts, isolation) = match plan.agents {
        Agents::OfThisMachine(number, isolation) => (machine_parts(state_dir, number)?, isolation),
        Agents::Simulated(..) => (Vec::new(), IsolationPreference::Plain),
    };
    let config = LocalConfig {
        agents: parts.clone(),
        listen: plan.listen,
        state_dir: state_dir.clone(),
        isolation,
        recovery_timeout: None,
        launcher: this_program()?,
        preemption: plan.preemption,
    };
    let mut cluster = LocalCluster::start(config)?;
    let parts = match plan.agents {
        Agents::OfThisMachine(..) => parts,
        Agents::Simulated(number, agents) => {
            let (number, resources) = (number.get() as usize, &agents.simulated_resources);
            cluster.simulate_agents(number, resources.clone(), agents.task_time.duration())?;
            vec![resources.clone(); number]
        }
    };
    cluster.run_framework(apportion_batch::KIND, batch_framework(apportion_batch::KIND, &[]))?;
    cluster.run_framework(apportion_service::KIND, service_framework(apportion_service::KIND, &[]))?;
    cluster.ready().await?;
    Ok((cluster, parts))
}

/// Lets operators find the cluster, and says what there is and what to do next.
fn tell(cluster: &LocalCluster, agents: &Agents<'_>, parts: &[Resources], json: bool) -> Result<(), Failure> {
    let operator = cluster.credentials(IdentityKind::Operator, "operator")?;
    let context = Context::save(cluster.state_dir(), cluster.address().into(), &operator)?;
    if json {
        return print_json(&json!({
            "master": cluster.address(), "state": cluster.state_dir(), "cluster": context, "agents": parts.len(),
        }));
    }
    let part = parts.first().map(amounts).unwrap_or_default();
    let contained = agents.contain();
    let usual = state_folder().is_ok_and(|folder| folder == cluster.state_dir());
    let option = if usual { String::new() } else { format!(" --cluster {}", context.display()) };
    print(&format!(
        "master at {}, state in {}\n\
         {} agents, each with {part}\n\
         {contained}\n\
         next, in another terminal:\n  \
         apportion{option} run examples/trace-stats/batch.toml --also examples/trace-stats/service.toml\n  \
         apportion{option} status\n\
         Ctrl-C ends the cluster with all that it runs\n",
        cluster.address(),
        cluster.state_dir().display(),
        parts.len(),
    ))?;
    if parts.iter().any(|part| part.cpus().milli() < WHOLE_CPU) {
        note(
            "no agent has a whole cpu: a task that asks for one fits none. Start fewer agents with --agents, or ask for less",
        );
    }
    Ok(())
}
