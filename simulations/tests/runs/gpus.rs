//! GPUs of which several tasks have parts.

use crate::{assert_close, mistakes, run};

/// The starts of three tasks of 0.6 GPU, of two frameworks, on two devices.
fn starts(fidelity: &str, kind: &str, placement: &str, agents: &str) -> Vec<f64> {
    let run = run(&format!(
        r#"
        schema = 1
        name = "shares"
        fidelity = "{fidelity}"
        agents = [{{ resources = "cpus:8;{agents}" }}]
        [[frameworks]]
        name = "a"
        role = "a"
        kind = "{kind}"
        placement = "{placement}"
        jobs = [{{ tasks = 2, resources = "cpus:1;gpus:0.6", duration = "100s" }}]
        [[frameworks]]
        name = "b"
        role = "b"
        kind = "{kind}"
        placement = "{placement}"
        jobs = [{{ at = "1s", resources = "cpus:1;gpus:0.6", duration = "100s" }}]
        "#
    ));
    assert_eq!(run.summary().jobs_finished, 2);
    run.record().tasks.iter().map(|task| task.start.as_nanos() as f64 / 1e9).collect()
}

#[test]
fn what_is_left_of_two_devices_is_not_taken_for_one() {
    for fidelity in ["full", "placement"] {
        for placement in [
            "first-fit",
            "best-fit",
            "worst-fit",
            "random",
            "dot-product",
            "gpu-packing",
            "gpu-clustering",
            "fgd",
        ] {
            let starts = starts(fidelity, "queue", placement, "gpus:2");
            assert!(starts[..2].iter().all(|start| *start < 1.0), "{fidelity} {placement}: {starts:?}");
            assert!(starts[2] >= 100.0, "{fidelity} {placement}: {starts:?}");
        }
    }
}

#[test]
fn production_frameworks_share_devices_too() {
    for kind in ["batch", "service"] {
        for agents in ["gpus:2", "gpu_milli:[0-1999]"] {
            let starts = starts("full", kind, "fgd", agents);
            assert!(starts[..2].iter().all(|start| *start < 2.0), "{kind}: {starts:?}");
            assert!(starts[2] >= 100.0, "{kind}: {starts:?}");
        }
    }
}

#[test]
fn what_is_left_of_a_device_is_fragmented_when_typical_tasks_want_more() {
    let run = run(r#"
        schema = 1
        name = "fragments"
        fidelity = "placement"
        agents = [{ resources = "cpus:8;gpus:2" }]
        [[frameworks]]
        name = "a"
        role = "a"
        kind = "queue"
        jobs = [{ tasks = 3, resources = "cpus:1;gpus:0.6", duration = "100s" }]
    "#);
    // At first 400 are left of each device, of no use to a task; then of one of them.
    assert_close(run.summary().fragmentation, (1.0 + 400.0 / 1400.0) / 2.0, 1e-9);
}

#[test]
fn quotas_are_in_devices_whether_they_are_shared_or_not() {
    for (gpus, most) in [("0.5", 3), ("1", 1)] {
        let run = run(&format!(
            r#"
            schema = 1
            name = "quota"
            agents = [{{ resources = "cpus:8;gpus:4" }}]
            roles = [{{ name = "a", quota = {{ limit = "gpus:1.5" }} }}]
            [[frameworks]]
            name = "a"
            role = "a"
            kind = "queue"
            jobs = [{{ tasks = 5, resources = "cpus:1;gpus:{gpus}", duration = "10s" }}]
            "#
        ));
        let summary = run.summary();
        assert_eq!((summary.frameworks["a"].running_max, summary.tasks_finished), (most, 5), "{gpus}");
    }
}

#[test]
fn agents_have_gpus_of_one_kind_and_not_too_many() {
    let with = |gpus: &str| {
        mistakes(&format!(
            r#"
            schema = 1
            name = "wrong"
            agents = [{{ resources = "cpus:1;{gpus}" }}]
            [[frameworks]]
            name = "a"
            role = "a"
            kind = "queue"
            jobs = [{{ resources = "cpus:1", duration = "1s" }}]
            "#
        ))
    };
    let twice = with("gpus:1;gpu_milli:[0-999]");
    assert!(
        twice.contains("test.toml:4:") && twice.contains("either as 'gpus' or as 'gpu_milli'"),
        "{twice}"
    );
    assert!(with("gpus:5000").contains("at most 4096 GPUs, not 5000"));
}
