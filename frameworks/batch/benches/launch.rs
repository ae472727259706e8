//! Array jobs of `/bin/true` through the whole path, beside what the machine must pay for so many processes.
//!
//! `cargo bench -p apportion-batch --bench launch [-- tasks]`. An operator submits one array job to the batch framework of a cluster on
//! this machine, over QUIC, and waits for its result: submit, offer, accept, launch on the agent, executor (a process of its own), sandbox
//! with two files, cgroup, spawn, exit, updates, acknowledgements. Rounds alternate with a tight loop of `posix_spawn` on two threads, and
//! with HyperQueue when `python3` finds its package (`pip install hyperqueue`), so that a noisy minute hurts all alike.

#[path = "../../../benches/support/posix_spawn.rs"]
mod posix_spawn;

use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use apportion::allocator::PreemptionOptions;
use apportion::isolation::IsolationPreference;
use apportion::net::Credentials;
use apportion::protocol::{FrameworkId, IdentityKind, OperatorCall, OperatorEvent};
use apportion::resources::Resources;
use apportion::runtime::{
    ExecutorConfig, ExecutorLauncher, ExecutorProgram, LocalCluster, LocalConfig, OperatorClient,
    run_command_executor,
};
use apportion::scheduler::Planned;
use apportion::spec::Document;
use apportion_batch::{BatchFramework, BatchReply, BatchRequest, BatchSpec, RunState};

/// As in the command.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 5;
const THREADS: usize = 2;

/// Thousandths of a core that each task asks for: forty run at a time on two cores.
const TASK_CPUS: &str = "0.05";

type Failed = Box<dyn Error>;

fn main() -> Result<(), Failed> {
    let mut arguments = std::env::args().skip(1);
    let first = arguments.next();
    if first.as_deref() == Some("executor") {
        // As in the command.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        return Ok(runtime.block_on(run_command_executor(ExecutorConfig::from_env()?))?);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    // cargo passes flags such as `--bench`.
    let tasks = first.into_iter().chain(arguments).find_map(|text| text.parse().ok()).unwrap_or(10_000);
    let folder = tempfile::tempdir()?;
    let (mut raw, mut ours, mut small, mut single) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut peers: [Vec<f64>; 2] = Default::default();
    runtime.block_on(async {
        let mut cluster = LocalCluster::start(config(folder.path())?)?;
        cluster.run_framework("batch", Planned::new(BatchFramework::new("batch", Vec::new())))?;
        cluster.ready().await?;
        let operator = cluster.credentials(IdentityKind::Operator, "bench")?;
        let client = Client::connect(&cluster, &operator).await?;
        client.run(100).await?;
        for round in 0..ROUNDS {
            raw.push(rate(tasks, tokio::task::spawn_blocking(move || posix_spawns(tasks)).await?));
            ours.push(rate(tasks, client.run(tasks).await?));
            small.push(rate(1_000, client.run(1_000).await?));
            for (rates, found) in peers.iter_mut().zip(hyperqueue(tasks)) {
                rates.push(found);
            }
            for _ in 0..20 {
                single.push(client.run(1).await?.as_secs_f64() * 1e3);
            }
            eprintln!("round {} of {ROUNDS}", round + 1);
        }
        drop(client);
        Ok::<_, Failed>(cluster.stop().await?)
    })?;
    let reference = median(&mut raw);
    println!("{tasks} tasks of /bin/true, {ROUNDS} rounds: median tasks/s (lowest to highest), share of raw");
    for (name, mut rates) in [
        ("raw posix_spawn + waitpid, 2 threads", raw),
        ("apportion", ours),
        ("apportion, 1,000 tasks", small),
        ("HyperQueue, worker of 2 cpus", peers[0].clone()),
        ("HyperQueue, worker of 8 cpus", peers[1].clone()),
    ] {
        if rates.is_empty() {
            println!("{name:<38} skipped: python3 finds no package hyperqueue");
            continue;
        }
        let median = median(&mut rates);
        let (lowest, highest) = (rates[0], rates[rates.len() - 1]);
        let share = 100.0 * median / reference;
        println!("{name:<38} {median:>6.0} ({lowest:.0} to {highest:.0}) {share:>4.0}%");
    }
    let typical = median(&mut single);
    println!(
        "one task, submit to result: median {typical:.2} ms ({:.2} to {:.2})",
        single[0],
        single[single.len() - 1]
    );
    Ok(())
}

fn config(folder: &Path) -> Result<LocalConfig, Failed> {
    let program = std::env::current_exe()?;
    Ok(LocalConfig {
        agents: vec![Resources::cpus_mem(2000, 4096)],
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        state_dir: folder.to_owned(),
        isolation: IsolationPreference::Auto,
        recovery_timeout: None,
        launcher: ExecutorLauncher::Processes(ExecutorProgram {
            program,
            arguments: vec!["executor".to_owned()],
        }),
        preemption: PreemptionOptions::default(),
    })
}

/// An operator of the cluster.
struct Client {
    operator: OperatorClient,
    framework: FrameworkId,
}

impl Client {
    async fn connect(cluster: &LocalCluster, operator: &Credentials) -> Result<Self, Failed> {
        let operator = OperatorClient::connect(cluster.address(), operator).await?;
        Ok(Client { operator, framework: FrameworkId::new("batch")? })
    }

    /// How long an array job of so many tasks takes.
    async fn run(&self, tasks: u32) -> Result<Duration, Failed> {
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

    async fn ask(&self, request: &BatchRequest) -> Result<BatchReply, Failed> {
        let call = OperatorCall::Request { framework: self.framework.clone(), data: request.encode() };
        match self.operator.call(call).await? {
            OperatorEvent::Reply { data, .. } => Ok(BatchReply::decode(&data)?),
            other => Err(format!("{other:?}").into()),
        }
    }
}

fn posix_spawns(tasks: u32) -> Duration {
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| (0..tasks as usize / THREADS).for_each(|_| posix_spawn::run_true()));
        }
    });
    start.elapsed()
}

/// HyperQueue's rates, with workers of 2 and of 8 cpus; none when it is not here.
fn hyperqueue(tasks: u32) -> Vec<f64> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peer_hyperqueue.py");
    let output = Command::new("python3").args([script, &tasks.to_string()]).output();
    let Some(output) = output.ok().filter(|output| output.status.success()) else { return Vec::new() };
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().filter_map(|line| line.split_whitespace().nth(1)?.parse().ok()).collect()
}

fn rate(tasks: u32, took: Duration) -> f64 {
    f64::from(tasks) / took.as_secs_f64()
}

/// Sorts, too.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
