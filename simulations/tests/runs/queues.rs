//! Queues, on schedules that can be worked out by hand.

use crate::{assert_close, run};

/// One agent of four cores; three jobs that arrive together and a small one later.
fn four_cores(policy: &str) -> String {
    format!(
        r#"
        schema = 1
        name = "four-cores"
        agents = [{{ resources = "cpus:4" }}]
        [[frameworks]]
        name = "q"
        role = "r"
        policy = "{policy}"
        jobs = [
            {{ name = "wide", tasks = 3, resources = "cpus:1", duration = "10s" }},
            {{ name = "large", resources = "cpus:4", duration = "20s", priority = 1 }},
            {{ name = "small", at = "1s", resources = "cpus:1", duration = "5s" }},
        ]
        "#
    )
}

/// When each job started, by name, in seconds.
fn starts(text: &str) -> Vec<(String, f64)> {
    let run = run(text);
    assert_eq!(run.summary().jobs_finished, 3);
    let jobs = &run.model().frameworks[0].workload.jobs;
    let at =
        |job: &apportion_simulations::metrics::JobTimes| job.first_start().unwrap().as_nanos() as f64 / 1e9;
    run.jobs().iter().map(|times| (jobs[times.job as usize].id.to_string(), at(times))).collect()
}

fn expected(starts: [(&str, f64); 3]) -> Vec<(String, f64)> {
    starts.map(|(name, at)| (name.to_owned(), at)).to_vec()
}

#[test]
fn a_strict_queue_is_held_up_by_its_head() {
    assert_eq!(starts(&four_cores("fifo")), expected([("wide", 0.0), ("large", 10.0), ("small", 30.0)]));
}

#[test]
fn a_queue_that_skips_fills_the_gap() {
    assert_eq!(starts(&four_cores("skip")), expected([("wide", 0.0), ("large", 10.0), ("small", 1.0)]));
}

#[test]
fn a_priority_goes_before_the_order_of_arrival() {
    assert_eq!(starts(&four_cores("priority")), expected([("wide", 20.0), ("large", 0.0), ("small", 20.0)]));
}

#[test]
fn shorter_jobs_go_first() {
    let text = r#"
        schema = 1
        name = "one-core"
        agents = [{ resources = "cpus:1" }]
        [[frameworks]]
        name = "q"
        role = "r"
        policy = "shortest-first"
        jobs = [
            { name = "first", resources = "cpus:1", duration = "10s" },
            { name = "long", at = "1s", resources = "cpus:1", duration = "20s" },
            { name = "short", at = "2s", resources = "cpus:1", duration = "5s" },
        ]
        "#;
    assert_eq!(starts(text), expected([("first", 0.0), ("long", 15.0), ("short", 10.0)]));
}

#[test]
fn fair_jobs_get_equal_parts_of_what_becomes_free() {
    // Twelve tasks of the first fill six cores; of what they leave the second gets three cores, and they share from then on.
    let text = r#"
        schema = 1
        name = "fair"
        agents = [{ resources = "cpus:6;mem:600" }]
        [[frameworks]]
        name = "q"
        role = "r"
        policy = "POLICY"
        jobs = [
            { name = "first", tasks = 12, resources = "cpus:1;mem:10", duration = "10s" },
            { name = "second", at = "1s", tasks = 6, resources = "cpus:1;mem:20", duration = "10s" },
        ]
    "#;
    let second = |policy: &str| {
        let run = run(&text.replace("POLICY", policy));
        let tasks = run.record().tasks.iter().filter(|task| task.job == 1);
        tasks.map(|task| task.start.as_nanos() / 1_000_000_000).collect::<Vec<_>>()
    };
    assert_eq!(second("fair"), [10, 10, 10, 20, 20, 20]);
    assert_eq!(second("skip"), [20; 6]);
}

#[test]
fn a_gang_starts_together_or_waits() {
    let text = r#"
        schema = 1
        name = "gang"
        agents = [{ count = 2, resources = "cpus:2" }]
        [[frameworks]]
        name = "q"
        role = "r"
        jobs = [
            { name = "first", resources = "cpus:1", duration = "10s" },
            { name = "gang", tasks = 4, gang = true, resources = "cpus:1", duration = "5s" },
            { name = "last", resources = "cpus:1", duration = "1s" },
        ]
        "#;
    assert_eq!(starts(text), expected([("first", 0.0), ("gang", 10.0), ("last", 15.0)]));
    let run = run(text);
    assert_eq!(run.jobs()[1].first_start(), run.jobs()[1].last_start());
}

#[test]
fn placements_choose_among_the_offers() {
    for (placement, agents) in
        [("first-fit", ["a1", "a1"]), ("best-fit", ["a2", "a1"]), ("worst-fit", ["a3", "a3"])]
    {
        let run = run(&format!(
            r#"
            schema = 1
            name = "placements"
            agents = [
                {{ name = "a1", resources = "cpus:4" }},
                {{ name = "a2", resources = "cpus:1" }},
                {{ name = "a3", resources = "cpus:8" }},
            ]
            [[frameworks]]
            name = "q"
            role = "r"
            placement = "{placement}"
            jobs = [
                {{ resources = "cpus:1", duration = "10s" }},
                {{ at = "1s", resources = "cpus:2", duration = "10s" }},
            ]
            "#
        ));
        let placed: Vec<_> = run
            .record()
            .tasks
            .iter()
            .map(|task| run.model().agents[task.agent as usize].id.as_str().to_owned())
            .collect();
        assert_eq!(placed, agents, "{placement}");
    }
}

#[test]
fn waits_completions_and_slowdowns_are_measured_per_job() {
    let run = run(&four_cores("fifo"));
    let summary = run.summary();
    // Waits: 0, 10 and 29 s; completions: 10, 30 and 34 s; small ran for 5 s, which counts as 10.
    assert_close(summary.wait_s.mean, 13.0, 1e-9);
    assert_close(summary.wait_s.p50, 10.0, 1e-9);
    assert_close(summary.jct_s.mean, 74.0 / 3.0, 1e-9);
    assert_close(summary.bounded_slowdown.mean, (1.0 + 1.5 + 3.4) / 3.0, 1e-9);
    assert_close(summary.makespan_s, 35.0, 1e-9);
    // 30, 80 and 5 core seconds of 140.
    assert_close(summary.utilisation["cpus"].mean, 115.0 / 140.0, 1e-9);
    assert_close(summary.utilisation["cpus"].max, 1.0, 1e-9);
}

#[test]
fn what_fits_nowhere_stalls_the_run_and_is_told() {
    let run = run(r#"
        schema = 1
        name = "too-large"
        agents = [{ resources = "cpus:4" }]
        [[frameworks]]
        name = "q"
        role = "r"
        kind = "batch"
        jobs = [
            { resources = "cpus:8", duration = "10s" },
            { resources = "cpus:1", duration = "7s" },
        ]
        "#);
    let summary = run.summary();
    assert_eq!((summary.tasks_finished, summary.tasks_pending), (1, 1));
    assert_eq!(summary.virtual_s, 7.0);
    assert_eq!(summary.ending, apportion_simulations::engine::Ending::Stalled);
}

#[test]
fn services_run_until_the_end() {
    let run = run(r#"
        schema = 1
        name = "service"
        agents = [{ resources = "cpus:4" }]
        [[frameworks]]
        name = "web"
        role = "web"
        kind = "service"
        jobs = [{ tasks = 2, resources = "cpus:1" }]
        [[frameworks]]
        name = "batch"
        role = "batch"
        kind = "batch"
        jobs = [{ tasks = 4, resources = "cpus:1", duration = "10s" }]
        "#);
    let summary = run.summary();
    assert_eq!((summary.tasks_running, summary.tasks_finished, summary.virtual_s), (2, 4, 20.0));
}
