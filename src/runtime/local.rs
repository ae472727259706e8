//! A whole cluster in this program: one master and some agents, over real QUIC on loopback.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::agent::{AgentConfig, ExecutorLauncher, run_agent};
use super::framework::{FrameworkConfig, FrameworkHandle, FrameworkRunner};
use super::{
    Admission, MasterConfig, MasterServer, OperatorClient, RuntimeError, Shutdown, ShutdownHandle,
    SimulatedAgents, run_simulated_agents,
};
use crate::allocator::{DrfAllocator, DrfOptions, PreemptionOptions};
use crate::isolation::IsolationPreference;
use crate::master::PingOptions;
use crate::net::Credentials;
use crate::protocol::{Attributes, IdentityKind, OperatorCall, OperatorEvent};
use crate::resources::Resources;
use crate::scheduler::Scheduler;

/// The name that a local cluster's identities carry.
pub const LOCAL_CLUSTER: &str = "local";

/// From one look at whether all parts are there to the next.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// What a local cluster is made of.
#[derive(Clone, Debug)]
pub struct LocalConfig {
    /// What each agent has to give; one agent per entry.
    pub agents: Vec<Resources>,
    /// Where the master listens; port 0 lets the system choose one.
    pub listen: SocketAddr,
    /// Where certificates, sandboxes and logs are kept.
    pub state_dir: PathBuf,
    /// How tasks are contained.
    pub isolation: IsolationPreference,
    /// For how long tasks outlive their agent's death; see [`AgentConfig::recovery_timeout`]. They end with the cluster all the same, unless it is
    /// killed: then a next one on the same `state_dir` would not know their frameworks. `None` is the usual choice.
    pub recovery_timeout: Option<Duration>,
    /// How executors are started.
    pub launcher: ExecutorLauncher,
    /// Whether tasks of roles that have too much make room for others.
    pub preemption: PreemptionOptions,
}

/// A running cluster. [`LocalCluster::stop`] ends it in order; dropping it lets its tasks end on their own.
#[derive(Debug)]
pub struct LocalCluster {
    admission: Arc<Admission>,
    master: MasterServer,
    agents: Vec<JoinHandle<Result<(), RuntimeError>>>,
    /// How many agents the master is to know.
    expected: usize,
    frameworks: Vec<JoinHandle<Result<(), RuntimeError>>>,
    stop_agents: ShutdownHandle,
    agents_shutdown: Shutdown,
    stop_frameworks: ShutdownHandle,
    frameworks_shutdown: Shutdown,
    state_dir: PathBuf,
}

impl LocalCluster {
    /// Starts the master and the agents. Must be called within a multi-threaded tokio runtime.
    ///
    /// # Errors
    /// When the state folder can't be used, or an address can't be bound.
    pub fn start(config: LocalConfig) -> Result<Self, RuntimeError> {
        let admission = Arc::new(Admission::open(&config.state_dir, LOCAL_CLUSTER)?);
        let (stop_agents, agents_shutdown) = ShutdownHandle::new();
        let (stop_frameworks, frameworks_shutdown) = ShutdownHandle::new();
        let master = MasterServer::start(
            MasterConfig {
                listen: config.listen,
                credentials: admission.credentials(IdentityKind::Master, "master")?,
                admission: Some(admission.clone()),
                journal: None,
                pings: PingOptions::default(),
            },
            DrfAllocator::new(DrfOptions { preemption: config.preemption, ..DrfOptions::default() }),
            agents_shutdown.clone(),
        )?;
        let mut agents = Vec::new();
        for (number, resources) in config.agents.into_iter().enumerate() {
            let name = format!("agent{}", number + 1);
            let agent = AgentConfig {
                credentials: admission.credentials(IdentityKind::Agent, &name)?,
                master: master.address().into(),
                listen: SocketAddr::new(master.address().ip(), 0),
                advertise: None,
                work_dir: config.state_dir.join("agents").join(&name),
                resources,
                domain: None,
                attributes: Attributes::new(),
                isolation: config.isolation,
                recovery_timeout: config.recovery_timeout,
                keep_sandboxes: AgentConfig::KEEP_SANDBOXES,
                launcher: config.launcher.clone(),
            };
            agents.push(tokio::spawn(run_agent(agent, agents_shutdown.clone())));
        }
        Ok(LocalCluster {
            admission,
            master,
            expected: agents.len(),
            agents,
            frameworks: Vec::new(),
            stop_agents,
            agents_shutdown,
            stop_frameworks,
            frameworks_shutdown,
            state_dir: config.state_dir,
        })
    }

    /// Where the master listens.
    pub fn address(&self) -> SocketAddr {
        self.master.address()
    }

    /// Where certificates, sandboxes and logs are.
    pub fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    /// Credentials for a party of the cluster.
    ///
    /// # Errors
    /// When the name can't be part of an identity.
    pub fn credentials(&self, kind: IdentityKind, name: &str) -> Result<Credentials, RuntimeError> {
        self.admission.credentials(kind, name)
    }

    /// Runs a framework of this name against the cluster, until the cluster stops.
    ///
    /// # Errors
    /// When the name can't be part of an identity.
    pub fn run_framework<S: Scheduler + Send + 'static>(
        &mut self,
        name: &str,
        scheduler: S,
    ) -> Result<FrameworkHandle, RuntimeError> {
        let config = FrameworkConfig {
            master: self.address().into(),
            credentials: self.credentials(IdentityKind::Framework, name)?,
        };
        let (handle, runner) = FrameworkRunner::new(scheduler, config);
        self.frameworks.push(tokio::spawn(runner.run(self.frameworks_shutdown.clone())));
        Ok(handle)
    }

    /// Adds agents whose tasks are timers, named `simulated1` and so on. `task_time` is how long a task lasts whose environment does not say so
    /// by [`TASK_TIME`](super::simulated::TASK_TIME).
    ///
    /// # Errors
    /// When their certificates can't be signed.
    pub fn simulate_agents(
        &mut self,
        number: usize,
        resources: Resources,
        task_time: Duration,
    ) -> Result<(), RuntimeError> {
        let credentials = (1..=number)
            .map(|number| self.credentials(IdentityKind::Agent, &format!("simulated{number}")))
            .collect::<Result<_, _>>()?;
        let agents = SimulatedAgents { master: self.address().into(), credentials, resources, task_time };
        self.expected += number;
        self.agents.push(tokio::spawn(run_simulated_agents(agents, self.agents_shutdown.clone())));
        Ok(())
    }

    /// Waits until every agent and every framework is known to the master: then work can be submitted.
    ///
    /// # Errors
    /// When the master can't be asked.
    pub async fn ready(&self) -> Result<(), RuntimeError> {
        let operator = self.credentials(IdentityKind::Operator, "cluster")?;
        let client = OperatorClient::connect(self.address(), &operator).await?;
        loop {
            if let OperatorEvent::State(state) = client.call(OperatorCall::GetState).await? {
                let agents = state.agents.iter().filter(|agent| agent.connected).count();
                let frameworks = state.frameworks.iter().filter(|framework| framework.connected).count();
                if agents >= self.expected && frameworks >= self.frameworks.len() {
                    client.close().await;
                    return Ok(());
                }
            }
            // Some that could not start will never come: their errors are told by `stop`.
            if self.agents.iter().chain(&self.frameworks).any(JoinHandle::is_finished) {
                return Ok(());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Stops frameworks, then agents with all that they run, then the master.
    ///
    /// # Errors
    /// The first error with which an agent or framework had ended.
    pub async fn stop(self) -> Result<(), RuntimeError> {
        self.stop_frameworks.stop();
        let mut outcome = Ok(());
        for part in self.frameworks {
            outcome = outcome.and(flatten(part.await));
        }
        self.stop_agents.stop();
        for part in self.agents {
            outcome = outcome.and(flatten(part.await));
        }
        self.master.stop().await;
        outcome
    }
}

/// A part that panicked has said so; it does not keep the others from stopping.
fn flatten(ended: Result<Result<(), RuntimeError>, tokio::task::JoinError>) -> Result<(), RuntimeError> {
    ended.unwrap_or(Ok(()))
}
