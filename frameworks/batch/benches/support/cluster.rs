//! A cluster on this machine whose tasks are processes, and an operator who has the batch framework run array jobs of `/bin/true`.

use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use apportion::allocator::PreemptionOptions;
use apportion::isolation::IsolationPreference;
use apportion::net::Credentials;
use apportion::protocol::{FrameworkId, OperatorCall, OperatorEvent};
use apportion::resources::Resources;
use apportion::runtime::{
    ExecutorConfig, ExecutorLauncher, ExecutorProgram, LocalCluster, LocalConfig, OperatorClient,
    run_command_executor,
};
use apportion::spec::Document;
use apportion_batch::{BatchReply, BatchRequest, BatchSpec, RunState};

/// Thousandths of a core that each task asks for: forty run at a time on two cores.
const TASK_CPUS: &str = "0.05";

pub(crate) type Failed = Box<dyn Error>;

/// Whether an agent has started this process, to be an executor; then it was one.
pub(crate) fn was_executor() -> Result<bool, Failed> {
    if std::env::args().nth(1).as_deref() != Some("executor") {
        return Ok(false);
    }
    // As in the command.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run_command_executor(ExecutorConfig::from_env()?))?;
    Ok(true)
}

/// The number of tasks that the command line asks for, beside flags such as cargo's `--bench`.
pub(crate) fn tasks_asked_for() -> u32 {
    std::env::args().skip(1).find_map(|text| text.parse().ok()).unwrap_or(10_000)
}

/// A cluster of one agent, whose tasks outlive it for so long, if at all.
pub(crate) fn config(folder: &Path, recovery_timeout: Option<Duration>) -> Result<LocalConfig, Failed> {
    let program = std::env::current_exe()?;
    Ok(LocalConfig {
        agents: vec![Resources::cpus_mem(2000, 4096)],
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        state_dir: folder.to_owned(),
        isolation: IsolationPreference::Auto,
        recovery_timeout,
        launcher: ExecutorLauncher::Processes(ExecutorProgram {
            program,
            arguments: vec!["executor".to_owned()],
        }),
        preemption: PreemptionOptions::default(),
    })
}

/// An operator of the cluster.
pub(crate) struct Client {
    operator: OperatorClient,
    framework: FrameworkId,
}

impl Client {
    pub(crate) async fn connect(cluster: &LocalCluster, operator: &Credentials) -> Result<Self, Failed> {
        let operator = OperatorClient::connect(cluster.address(), operator).await?;
        Ok(Client { operator, framework: FrameworkId::new("batch")? })
    }

    /// How long an array job of so many tasks takes.
    pub(crate) async fn run(&self, tasks: u32) -> Result<Duration, Failed> {
        let text = format!(
            "schema = 1\nkind = 'batch'\nid = '/bench'\nrole = 'bench'\n\
             [[step]]\nname = 's'\ncount = {tasks}\ncpus = {TASK_CPUS}\nmemory = '32MiB'\ncmd = ['/bin/true']"
        );
        let spec = Box::new(BatchSpec::parse(&Document::new("bench.toml", text))?);
        let start = Instant::now();
        let BatchReply::Accepted { run } = self.ask(&BatchRequest::Submit { spec }).await? else {
            return Err("the job was not accepted".into());
        };
        let data = BatchRequest::Follow { run }.encode();
        let mut answers =
            self.operator.open(OperatorCall::Request { framework: self.framework.clone(), data })?;
        while let Some(OperatorEvent::Reply { data, .. }) = answers.next().await? {
            if let BatchReply::Finished(result) = BatchReply::decode(&data)? {
                let took = start.elapsed();
                return if result.state == RunState::Succeeded {
                    Ok(took)
                } else {
                    Err("the job failed".into())
                };
            }
        }
        Err("the framework stopped telling before the end".into())
    }

    pub(crate) async fn ask(&self, request: &BatchRequest) -> Result<BatchReply, Failed> {
        let call = OperatorCall::Request { framework: self.framework.clone(), data: request.encode() };
        match self.operator.call(call).await? {
            OperatorEvent::Reply { data, .. } => Ok(BatchReply::decode(&data)?),
            other => Err(format!("{other:?}").into()),
        }
    }
}

pub(crate) fn rate(tasks: u32, took: Duration) -> f64 {
    f64::from(tasks) / took.as_secs_f64()
}

/// Sorts, too.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
