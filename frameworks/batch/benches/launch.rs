//! Array jobs of `/bin/true` through the whole path, beside what the machine must pay for so many processes.
//!
//! `cargo bench -p apportion-batch --bench launch [-- tasks]`. An operator submits one array job to the batch framework of a cluster on
//! this machine, over QUIC, and waits for its result: submit, offer, accept, launch on the agent, executor (a process of its own), sandbox
//! with two files, cgroup, spawn, exit, updates, acknowledgements. Rounds alternate with a tight loop of `posix_spawn` on two threads, and
//! with HyperQueue when `python3` finds its package (`pip install hyperqueue`), so that a noisy minute hurts all alike.

#[path = "../../../benches/support/posix_spawn.rs"]
mod posix_spawn;

#[path = "support/cluster.rs"]
mod cluster;

use std::process::Command;
use std::time::{Duration, Instant};

use apportion::protocol::IdentityKind;
use apportion::runtime::LocalCluster;
use apportion::scheduler::Planned;
use apportion_batch::BatchFramework;
use cluster::{Client, Failed, config, median, rate, tasks_asked_for, was_executor};

/// As in the command.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 5;
const THREADS: usize = 2;

fn main() -> Result<(), Failed> {
    if was_executor()? {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let tasks = tasks_asked_for();
    let folder = tempfile::tempdir()?;
    let (mut raw, mut ours, mut small, mut single) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut peers: [Vec<f64>; 2] = Default::default();
    runtime.block_on(async {
        let mut cluster = LocalCluster::start(config(folder.path(), None)?)?;
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
