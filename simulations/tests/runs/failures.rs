//! Machines and tasks that fail, and tasks that slow each other down.

use crate::{assert_close, mistakes, run};

/// One core, one job of 10 s.
fn one_core(fidelity: &str, kind: &str, rest: &str) -> apportion_simulations::Run {
    run(&format!(
        r#"
        schema = 1
        name = "failures"
        fidelity = "{fidelity}"
        agents = [{{ name = "m", resources = "cpus:1" }}]
        {rest}
        [[frameworks]]
        name = "q"
        role = "r"
        kind = "{kind}"
        jobs = [{{ resources = "cpus:1", duration = "10s" }}]
        "#
    ))
}

#[test]
fn what_ran_on_a_failed_machine_runs_again_when_it_is_repaired() {
    let failures = r#"failures = { schedule = [{ agent = "m", at = "4s", repair_after = "6s" }] }"#;
    for fidelity in ["full", "placement"] {
        let run = one_core(fidelity, "queue", failures);
        let summary = run.summary();
        assert_eq!((summary.tasks_lost, summary.tasks_finished), (1, 1), "{fidelity}");
        assert_eq!(summary.makespan_s, 20.0, "{fidelity}");
        assert_close(summary.goodput, 10.0 / 14.0, 1e-9);
        // The batch framework waits 100 ms before it tries again, which is over by then.
        assert_eq!(one_core(fidelity, "batch", failures).summary().makespan_s, 20.0, "{fidelity}");
    }
}

#[test]
fn a_failure_is_known_only_when_it_is_detected() {
    let failures =
        r#"failures = { detection = "3s", schedule = [{ agent = "m", at = "4s", repair_after = "1m" }] }"#;
    for fidelity in ["full", "placement"] {
        let run = one_core(fidelity, "queue", failures);
        assert_eq!(run.summary().makespan_s, 74.0, "{fidelity}");
    }
}

#[test]
fn failures_by_rate_end_and_repeat_exactly() {
    let text = |fidelity: &str| {
        format!(
            r#"
            schema = 1
            name = "rates"
            fidelity = "{fidelity}"
            agents = [{{ count = 10, resources = "cpus:4" }}]
            [failures]
            agents = {{ time_to_failure = {{ distribution = "exponential", mean = "100s" }}, time_to_repair = "20s" }}
            tasks = {{ time_to_failure = {{ distribution = "exponential", mean = "60s" }} }}
            [[frameworks]]
            name = "b"
            role = "b"
            kind = "batch"
            jobs = [{{ tasks = 200, resources = "cpus:1", duration = {{ distribution = "exponential", mean = "10s" }} }}]
            "#
        )
    };
    for fidelity in ["full", "placement"] {
        let (once, again) = (run(&text(fidelity)), run(&text(fidelity)));
        assert_eq!(once.record().digest, again.record().digest);
        let summary = once.summary();
        assert_eq!((summary.tasks_finished, summary.jobs_finished), (200, 1), "{fidelity}");
        assert!((20..120).contains(&summary.tasks_lost), "{fidelity}: {}", summary.tasks_lost);
    }
}

#[test]
fn a_queue_does_not_run_again_what_failed() {
    let run = one_core("full", "queue", r#"failures = { tasks = { time_to_failure = "4s" } }"#);
    assert_eq!((run.summary().tasks_failed, run.summary().makespan_s), (1, 4.0));
}

#[test]
fn tasks_on_one_machine_slow_each_other_down() {
    let run = run(r#"
        schema = 1
        name = "contention"
        agents = [{ resources = "cpus:2" }]
        contention = { slowdown = 0.5 }
        [[frameworks]]
        name = "q"
        role = "r"
        jobs = [
            { name = "long", resources = "cpus:1", duration = "10s" },
            { name = "short", resources = "cpus:1", duration = "2s" },
        ]
    "#);
    let ends: Vec<u64> = run.record().tasks.iter().map(|task| task.end.as_nanos() / 1_000_000).collect();
    // Together everything takes half as long again: 3 s for the short one; then the long one has 8 s to go.
    assert_eq!(ends, [11_000, 3_000]);
}

#[test]
fn each_direction_can_have_a_latency_of_its_own() {
    let wait = |rest: &str| one_core("full", "queue", rest).summary().wait_s.mean;
    let none = wait("");
    assert_eq!(none, 0.0);
    assert_close(wait(r#"latencies = { to_agents = "2s" }"#), 2.0, 1e-9);
    assert!(wait(r#"latencies = { to_frameworks = "2s", from_frameworks = "1s" }"#) >= 3.0);
}

#[test]
fn mistakes_in_failures_are_told_with_their_place() {
    let text = "schema = 1\nname = \"x\"\nagents = [{ resources = \"cpus:1\" }]\n[failures]\ndetecton = \"1s\"\n\
                [[frameworks]]\nname = \"q\"\nrole = \"r\"\njobs = [{ resources = \"cpus:1\", duration = \"1s\" }]";
    assert_eq!(
        mistakes(text),
        "test.toml:5:1: unknown key 'detecton'; did you mean 'detection'?\n    detecton = \"1s\"\n    ^"
    );
}
