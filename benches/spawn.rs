//! What a task's launch costs beyond what the machine must pay: launches of `/bin/true` on two threads, side by side.
//!
//! `cargo bench --bench spawn [-- launches]`. Rounds alternate between the ways, so that a noisy minute hurts all alike; the best and
//! median round of each are printed. Sandboxes are made under `TMPDIR`: the file system is part of what is measured. They are removed at
//! the very end, because ext4 makes files several times slower for a while after many were deleted (so a second run starts slow, too).

#[path = "support/posix_spawn.rs"]
mod posix_spawn;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use apportion::isolation::{Isolation, IsolationPreference, Limits, Output, ProcessSpec, Status};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

const THREADS: usize = 2;
const ROUNDS: usize = 5;
const PROGRAM: &str = "/bin/true";

type Launch<'a> = Box<dyn Fn(&Path) + Sync + 'a>;

fn main() {
    // cargo passes flags such as `--bench`.
    let launches = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(2000);
    let plain = Isolation::plain();
    let auto = Isolation::detect(IsolationPreference::Auto, "apportion-bench").expect("a valid root");
    println!(
        "{launches} launches of {PROGRAM} on {THREADS} threads, {ROUNDS} rounds\nAuto: {}\n",
        auto.describe()
    );

    let limits = Limits { cpus_milli: 100, hard_cpu: false, memory_bytes: Some(64 << 20), pids: Some(16) };
    let ways: Vec<(&str, Launch<'_>)> = vec![
        ("raw posix_spawn + waitpid", Box::new(|_| posix_spawn::run_true())),
        ("std::process::Command, no files", Box::new(|_| std_command())),
        ("sandbox and 2 files only", Box::new(sandbox_only)),
        ("plain, no files", Box::new(|_| spawn(&plain, &bare()))),
        ("plain, sandbox and 2 files", Box::new(|directory| spawn(&plain, &sandboxed(directory)))),
        ("auto, no files", Box::new(|_| spawn(&auto, &bare()))),
        ("auto, sandbox and 2 files", Box::new(|directory| spawn(&auto, &sandboxed(directory)))),
        ("auto, with limits, no files", Box::new(|_| spawn(&auto, &bare().limits(limits)))),
        ("auto, with limits, no files, tokio", Box::new(|_| spawn_async(&auto, &bare().limits(limits)))),
    ];
    let mut rates: Vec<Vec<f64>> = vec![Vec::new(); ways.len()];
    let home = TempDir::new().expect("a directory for the sandboxes");
    for round in 0..ROUNDS {
        for (way, ((_, launch), rates)) in ways.iter().zip(&mut rates).enumerate() {
            rates.push(rate(launch, launches, &home.path().join(format!("{round}-{way}"))));
        }
    }
    let medians: Vec<f64> = rates.iter_mut().map(|rates| median(rates)).collect();
    println!("{:<38} {:>9} {:>9} {:>8}", "", "median/s", "best/s", "of raw");
    for (((name, _), rates), median) in ways.iter().zip(&rates).zip(&medians) {
        let best = rates.last().copied().unwrap_or_default();
        println!("{name:<38} {median:>9.0} {best:>9.0} {:>7.0}%", 100.0 * median / medians[0]);
    }
}

/// Sorts, too.
fn median(rates: &mut [f64]) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

/// Launches in a second, over all threads.
fn rate(launch: &Launch<'_>, launches: usize, home: &Path) -> f64 {
    let start = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let parent = home.join(thread.to_string());
            fs::create_dir_all(&parent).expect("a directory for the thread");
            scope.spawn(move || {
                (0..launches / THREADS).for_each(|number| launch(&parent.join(number.to_string())))
            });
        }
    });
    launches as f64 / start.elapsed().as_secs_f64()
}

fn std_command() {
    let status = Command::new(PROGRAM)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    assert!(status.expect("it starts").success());
}

fn sandbox_only(directory: &Path) {
    fs::create_dir(directory).expect("a new sandbox");
    for name in ["stdout", "stderr"] {
        fs::File::create(directory.join(name)).expect("a file in it");
    }
}

fn bare() -> ProcessSpec {
    ProcessSpec::new([PROGRAM], "/").env("PATH", "/usr/bin:/bin")
}

fn sandboxed(directory: &Path) -> ProcessSpec {
    fs::create_dir(directory).expect("a new sandbox");
    let output = |name: &str| Output::Create(PathBuf::from(name));
    ProcessSpec::new([PROGRAM], directory)
        .env("PATH", "/usr/bin:/bin")
        .stdout(output("stdout"))
        .stderr(output("stderr"))
}

fn spawn(isolation: &Isolation, spec: &ProcessSpec) {
    let exit = isolation.spawn(spec).expect("it starts").wait_blocking().expect("it ends");
    assert_eq!(exit.status, Status::Code(0));
}

fn spawn_async(isolation: &Isolation, spec: &ProcessSpec) {
    thread_local! {
        static RUNTIME: Runtime = Builder::new_current_thread().enable_io().build().expect("a runtime");
    }
    let process = isolation.spawn(spec).expect("it starts");
    let exit = RUNTIME.with(|runtime| runtime.block_on(process.wait())).expect("it ends");
    assert_eq!(exit.status, Status::Code(0));
}
