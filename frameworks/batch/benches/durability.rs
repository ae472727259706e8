//! What it costs that nothing is lost: array jobs of `/bin/true` through clusters whose agent keeps checkpoints or does not, and whose
//! framework keeps records or does not.
//!
//! `cargo bench -p apportion-batch --bench durability [-- tasks]`. Rounds alternate between the four, so that a noisy minute hurts all
//! alike; `TMPDIR` says on which disk they write.

#[path = "support/cluster.rs"]
mod cluster;

use std::path::Path;
use std::time::Duration;

use apportion::protocol::IdentityKind;
use apportion::runtime::{FrameworkConfig, FrameworkRunner, LocalCluster, ShutdownHandle};
use apportion::scheduler::Planned;
use apportion_batch::{BatchFramework, BatchRequest};
use cluster::{Client, Failed, config, median, rate, tasks_asked_for, was_executor};

/// As in the command.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 5;

/// For how long tasks of agents that keep checkpoints outlive them.
const RECOVERY: Duration = Duration::from_secs(60);

/// A cluster, and what it does not lose.
struct Subject {
    name: &'static str,
    cluster: LocalCluster,
    client: Client,
    rates: Vec<f64>,
    /// Its framework runs for as long as this is there.
    _framework: ShutdownHandle,
}

impl Subject {
    async fn start(
        name: &'static str,
        folder: &Path,
        has_checkpoints: bool,
        has_records: bool,
    ) -> Result<Self, Failed> {
        std::fs::create_dir(folder)?;
        let cluster = LocalCluster::start(config(folder, has_checkpoints.then_some(RECOVERY))?)?;
        let framework = FrameworkConfig {
            master: cluster.address().into(),
            credentials: cluster.credentials(IdentityKind::Framework, "batch")?,
        };
        let scheduler = Planned::new(BatchFramework::new("batch", Vec::new()));
        let (_handle, mut runner) = FrameworkRunner::new(scheduler, framework);
        if has_records {
            runner = runner.keeping_records(&folder.join("framework.redb"))?;
        }
        let (stop, shutdown) = ShutdownHandle::new();
        tokio::spawn(runner.run(shutdown));
        cluster.ready().await?;
        let client =
            Client::connect(&cluster, &cluster.credentials(IdentityKind::Operator, "bench")?).await?;
        while client.ask(&BatchRequest::List).await.is_err() {
            tokio::task::yield_now().await;
        }
        client.run(100).await?;
        Ok(Subject { name, cluster, client, rates: Vec::new(), _framework: stop })
    }
}

fn main() -> Result<(), Failed> {
    if was_executor()? {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (tasks, folder) = (tasks_asked_for(), tempfile::tempdir()?);
    runtime.block_on(async {
        let mut subjects = Vec::new();
        for (name, has_checkpoints, has_records) in [
            ("nothing is kept", false, false),
            ("agent's checkpoints", true, false),
            ("framework's records", false, true),
            ("checkpoints and records", true, true),
        ] {
            let own = folder.path().join(name.replace([' ', '\''], "-"));
            subjects.push(Subject::start(name, &own, has_checkpoints, has_records).await?);
        }
        for round in 0..ROUNDS {
            for subject in &mut subjects {
                subject.rates.push(rate(tasks, subject.client.run(tasks).await?));
            }
            eprintln!("round {} of {ROUNDS}", round + 1);
        }
        println!("{tasks} tasks of /bin/true, {ROUNDS} rounds: median launches/s (lowest to highest), share of the first");
        let mut reference = f64::NAN;
        for Subject { name, cluster, rates, .. } in subjects {
            let mut rates = rates;
            let median = median(&mut rates);
            reference = if reference.is_nan() { median } else { reference };
            let (lowest, highest, share) = (rates[0], rates[rates.len() - 1], 100.0 * median / reference);
            println!("{name:<24} {median:>6.0} ({lowest:.0} to {highest:.0}) {share:>4.0}%");
            cluster.stop().await?;
        }
        Ok(())
    })
}
