//! Backfilling, by hand and against the schedules of Batsim.

use crate::run;

/// Four cores: one job runs, a wide one waits, and small ones follow.
fn starts(policy: &str) -> Vec<(String, u64)> {
    let run = run(&format!(
        r#"
        schema = 1
        name = "backfill"
        agents = [{{ resources = "cpus:4" }}]
        [[frameworks]]
        name = "q"
        role = "r"
        policy = "{policy}"
        jobs = [
            {{ name = "first", resources = "cpus:3", duration = "10s" }},
            {{ name = "wide", at = "1s", resources = "cpus:4", duration = "10s" }},
            {{ name = "long", at = "2s", resources = "cpus:1", duration = "9s" }},
            {{ name = "short", at = "3s", resources = "cpus:1", duration = "5s" }},
        ]
        "#
    ));
    let jobs = &run.model().frameworks[0].workload.jobs;
    let start = |times: &apportion_simulations::metrics::JobTimes| {
        (jobs[times.job as usize].id.to_string(), times.first_start().unwrap().as_nanos() / 1_000_000_000)
    };
    run.jobs().iter().map(start).collect()
}

#[test]
fn short_jobs_fill_the_gap_and_long_ones_would_delay_the_head() {
    let expected =
        [("first", 0), ("wide", 10), ("long", 20), ("short", 3)].map(|(name, at)| (name.to_owned(), at));
    assert_eq!(starts("easy"), expected);
    assert_eq!(starts("conservative"), expected);
}

/// Agents of one core stand for hosts; the workload and Batsim's own schedules are in `papers/batsim`.
fn batsim(policy: &str, column: usize) -> Vec<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/papers/batsim");
    let text = format!(
        r#"
        schema = 1
        name = "batsim"
        agents = [{{ count = 32, resources = "cpus:1" }}]
        [[frameworks]]
        name = "q"
        role = "r"
        policy = "{policy}"
        workload = {{ format = "csv", file = "{folder}/medium_late.csv" }}
        "#
    );
    let run = run(&text);
    let expected = std::fs::read_to_string(format!("{folder}/starts.csv")).unwrap();
    let expected: std::collections::BTreeMap<String, f64> = expected
        .lines()
        .skip(1)
        .map(|line| {
            let fields: Vec<&str> = line.split(',').collect();
            (fields[0].to_owned(), fields[column].parse().unwrap())
        })
        .collect();
    assert_eq!((run.summary().jobs_finished, expected.len()), (801, 801));
    let jobs = &run.model().frameworks[0].workload.jobs;
    let differs = |times: &&apportion_simulations::metrics::JobTimes| {
        let start = times.first_start().unwrap().as_nanos() as f64 / 1e9;
        (start - expected[jobs[times.job as usize].id.as_str()]).abs() > 2e-6
    };
    let told = |times: &apportion_simulations::metrics::JobTimes| {
        let id = &jobs[times.job as usize].id;
        format!("{id}: {} instead of {}", times.first_start().unwrap(), expected[id.as_str()])
    };
    run.jobs().iter().filter(differs).map(told).collect()
}

#[test]
fn easy_backfilling_gives_batsims_schedule() {
    assert_eq!(batsim("easy", 1), Vec::<String>::new());
}

#[test]
fn conservative_backfilling_gives_batsims_schedule() {
    assert_eq!(batsim("conservative", 2), Vec::<String>::new());
}
