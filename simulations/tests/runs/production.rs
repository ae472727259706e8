//! The frameworks of production, played on the virtual clock.

use apportion_simulations::scenario::Player;

use crate::run;

const DRF: &str = r#"
    schema = 1
    name = "drf"
    until = "50s"
    agents = [{ resources = "cpus:9;mem:18432" }]
    [[frameworks]]
    name = "A"
    role = "a"
    kind = "batch"
    jobs = [{ tasks = 100, resources = "cpus:1;mem:4096", duration = "100s" }]
    [[frameworks]]
    name = "B"
    role = "b"
    kind = "KIND"
    jobs = [{ tasks = 100, resources = "cpus:3;mem:1024"DURATION }]
"#;

#[test]
fn production_frameworks_share_as_drf_has_it() {
    for (kind, duration, player) in
        [("batch", ", duration = '100s'", Player::Batch), ("service", "", Player::Service)]
    {
        let run = run(&DRF.replace("KIND", kind).replace("DURATION", duration));
        let (a, b) = (&run.summary().frameworks["A"], &run.summary().frameworks["B"]);
        assert_eq!((a.played_by, b.played_by), (Player::Batch, player));
        assert_eq!((a.running_max, b.running_max), (3, 2), "{kind}");
    }
}

#[test]
fn what_specs_can_not_say_is_played_by_the_queue() {
    let batch = |keys: &str, job: &str| {
        run(&format!(
            r#"
            schema = 1
            name = "who"
            agents = [{{ resources = "cpus:4;mem:4;gpus:1;licences:2" }}]
            [[frameworks]]
            name = "b"
            role = "b"
            kind = "batch"
            {keys}
            jobs = [{{ duration = "1s", {job} }}]
            "#
        ))
        .summary()
        .frameworks["b"]
            .played_by
    };
    for (keys, job) in [
        ("", "resources = 'cpus:0.5;mem:1;gpus:1'"),
        ("placement = 'best-fit'", "resources = 'cpus:1'"),
        ("", "resources = 'cpus:1', tasks = 2, gang = true"),
        ("placement = 'fgd'", "resources = 'cpus:1;gpus:1'"),
        ("placement = 'gpu-packing'", "resources = 'cpus:1;gpus:1'"),
        ("placement = 'gpu-clustering'", "resources = 'cpus:1;gpus:1'"),
        ("placement = 'fgd'", "resources = 'cpus:1;gpus:0.5'"),
    ] {
        assert_eq!(batch(keys, job), Player::Batch, "{keys} {job}");
    }
    for (keys, job) in [
        ("policy = 'easy'", "resources = 'cpus:1'"),
        ("", "resources = 'cpus:1;licences:1'"),
        ("", "resources = 'cpus:1;mem:0.5'"),
    ] {
        assert_eq!(batch(keys, job), Player::Queue, "{keys} {job}");
    }
}

/// The starts of all jobs of a random workload on three machines.
fn starts(kind: &str, placement: &str) -> Vec<(usize, u64)> {
    let text = format!(
        r#"
        schema = 1
        name = "random"
        seed = 11
        agents = [{{ count = 3, resources = "cpus:8;mem:64" }}]
        [[frameworks]]
        name = "f"
        role = "r"
        {kind}
        placement = "{placement}"
        workload = {{ arrivals = {{ distribution = "poisson", rate_per_s = 2 }}, limit = 400, resources = "cpus:1;mem:8",
                      duration = {{ distribution = "exponential", mean = "11s" }} }}
        "#
    );
    let run = run(&text);
    assert_eq!(run.summary().jobs_finished, 400);
    run.jobs().iter().map(|job| (job.job as usize, job.first_start().unwrap().as_nanos())).collect()
}

#[test]
fn the_batch_framework_starts_jobs_when_the_queue_does() {
    let queue = starts("policy = 'skip'", "first-fit");
    assert_eq!(starts("kind = 'batch'", "first-fit"), queue);
}

#[test]
fn instances_that_end_by_themselves_are_not_replaced() {
    let run = run(r#"
        schema = 1
        name = "services"
        agents = [{ resources = "cpus:4" }]
        [[frameworks]]
        name = "s"
        role = "r"
        kind = "service"
        jobs = [
            { name = "web", tasks = 3, resources = "cpus:1", duration = "100s" },
            { name = "api", at = "10s", tasks = 4, resources = "cpus:1", duration = "50s" },
        ]
    "#);
    let summary = run.summary();
    assert_eq!((summary.tasks_finished, summary.jobs_finished, run.record().tasks.len()), (7, 2, 7));
    assert_eq!(summary.makespan_s, 150.0);
}

/// How many of the tasks that want whole machines find room beside small ones, which arrived together before.
fn large_tasks_that_run(kind: &str, placement: &str) -> u64 {
    let text = format!(
        r#"
        schema = 1
        name = "large-and-small"
        until = "50s"
        agents = [{{ count = 8, resources = "cpus:64;gpus:8" }}]
        [[frameworks]]
        name = "f"
        role = "r"
        kind = "{kind}"
        placement = "{placement}"
        jobs = [
            {{ tasks = 8, resources = "cpus:1;gpus:1", duration = "100s" }},
            {{ at = "1s", tasks = 100, resources = "cpus:8;gpus:8", duration = "100s" }},
        ]
        "#
    );
    let run = run(&text);
    assert_eq!(run.summary().frameworks["f"].played_by == Player::Queue, kind == "queue");
    run.record().tasks.iter().filter(|task| task.job == 1).count() as u64
}

#[test]
fn tasks_that_arrive_together_are_packed_by_policies_that_pack() {
    for kind in ["batch", "service", "queue"] {
        assert_eq!(large_tasks_that_run(kind, "worst-fit"), 0, "{kind}: a small task is on every machine");
        for placement in ["gpu-packing", "gpu-clustering", "fgd", "best-fit"] {
            assert_eq!(large_tasks_that_run(kind, placement), 7, "{kind} {placement}");
        }
    }
}
