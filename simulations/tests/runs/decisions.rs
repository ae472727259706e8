//! Latencies and decision times, against formulas.

use crate::{assert_close, run};

#[test]
fn a_framework_is_busy_for_its_decisions() {
    // A job every 2 s of 10 tasks: 0.1 s for the job and 0.005 s for each task (Omega, EuroSys 2013): 7.5 %.
    let run = run(r#"
        schema = 1
        name = "busyness"
        until = "2000s"
        agents = [{ count = 10, resources = "cpus:100" }]
        [[frameworks]]
        name = "q"
        role = "r"
        per_offer = "all"
        decision = { per_job = "100ms", per_task = "5ms" }
        workload = { arrivals = { distribution = "constant", rate_per_s = 0.5 }, tasks = 10, resources = "cpus:1", duration = "1s" }
        "#);
    assert_close(run.summary().frameworks["q"].busyness, 0.075, 0.001);
    // The first of its tasks starts when the job has been decided on.
    assert_close(run.summary().wait_s.p50, 0.15, 1e-9);
}

#[test]
fn a_slow_framework_hears_what_was_said_when_it_has_decided() {
    let run = run(r#"
        schema = 1
        name = "slow"
        agents = [{ resources = "cpus:4" }]
        [[frameworks]]
        name = "q"
        role = "r"
        decision = { per_job = "1s" }
        jobs = [
            { resources = "cpus:1", duration = "1s" },
            { resources = "cpus:1", duration = "1s" },
            { at = "500ms", resources = "cpus:1", duration = "1s" },
        ]
        "#);
    let starts: Vec<u64> = run.record().tasks.iter().map(|task| task.start.as_nanos() / 1_000_000).collect();
    assert_eq!(starts, [1000, 2000, 3000]);
}

#[test]
fn offers_that_are_held_keep_others_waiting() {
    // Two-level scheduling's weakness: who thinks locks what it was offered.
    let text = |per_job: &str| {
        format!(
            r#"
            schema = 1
            name = "hoarding"
            agents = [{{ resources = "cpus:4" }}]
            [[frameworks]]
            name = "slow"
            role = "a"
            decision = {{ per_job = "{per_job}" }}
            jobs = [{{ resources = "cpus:1", duration = "1s" }}]
            [[frameworks]]
            name = "quick"
            role = "b"
            jobs = [{{ at = "1ms", resources = "cpus:1", duration = "1s" }}]
            "#
        )
    };
    let wait = |per_job| run(&text(per_job)).summary().frameworks["quick"].wait_s.mean;
    assert_close(wait("0s"), 0.0, 1e-9);
    assert_close(wait("10s"), 9.999, 1e-9);
}

#[test]
fn optimistic_offers_keep_nobody_waiting() {
    // Omega's argument against two-level scheduling (EuroSys 2013): while a slow framework decides, others get nothing. Batch
    // jobs come every few seconds; service jobs are few, and take longer and longer to decide.
    let text = |offers: &str, decision: u32| {
        format!(
            r#"
            schema = 1
            name = "omega"
            until = "1000s"
            agents = [{{ resources = "cpus:80" }}]
            roles = [{{ name = "service", offers = "{offers}" }}, {{ name = "batch", offers = "{offers}" }}]
            [[frameworks]]
            name = "service"
            role = "service"
            decision = {{ per_job = "{decision}s" }}
            workload = {{ arrivals = {{ distribution = "constant", rate_per_s = 0.02 }}, tasks = 20, resources = "cpus:1", duration = "10s" }}
            [[frameworks]]
            name = "batch"
            role = "batch"
            decision = {{ per_job = "10ms" }}
            workload = {{ arrivals = {{ distribution = "constant", rate_per_s = 0.3 }}, tasks = 20, resources = "cpus:1", duration = "2s" }}
            "#
        )
    };
    let waits = |offers: &str, decision: u32| {
        let run = run(&text(offers, decision));
        let wait = |name: &str| run.summary().frameworks[name].wait_s.mean;
        (wait("service"), wait("batch"))
    };
    for (decision, expected) in [(10, 0.649), (30, 8.968)] {
        let ((_, batch), (service, optimistic)) =
            (waits("exclusive", decision), waits("optimistic", decision));
        assert_close(batch, expected, 0.05);
        assert_close(optimistic, 0.01, 0.001);
        assert!(service < f64::from(decision) + 1.0, "the slow one is served too: {service}");
    }
}

#[test]
fn jobs_of_one_framework_can_take_different_times_to_decide() {
    // Omega's monolithic scheduler with two paths: 0.5/s of 0.1 s + 10 · 5 ms, and 0.01/s of 10 s: 7.5 % and 10 %, but for the last job of 10 s.
    let run = run(r#"
        schema = 1
        name = "two-paths"
        until = "4000s"
        agents = [{ count = 10, resources = "cpus:100" }]
        [[frameworks]]
        name = "q"
        role = "r"
        per_offer = "all"
        decision = { jobs = 1, per_job = "100ms", per_task = "5ms" }
        [[frameworks.workloads]]
        arrivals = { distribution = "constant", rate_per_s = 0.5 }
        tasks = 10
        resources = "cpus:1"
        duration = "1s"
        [[frameworks.workloads]]
        arrivals = { distribution = "constant", rate_per_s = 0.01 }
        resources = "cpus:2"
        duration = "1s"
        decision = { per_job = "10s" }
        "#);
    assert_close(run.summary().frameworks["q"].busyness, 0.1725, 1e-4);
}

/// Two frameworks that think for 2 s and 3 s about the only core, and then for as long about the one that is left.
fn two_thinkers(offers: &str) -> apportion_simulations::Run {
    let framework = |name: &str, think: u32| {
        format!(
            r#"
            [[roles]]
            name = "{name}"
            offers = "{offers}"
            [[frameworks]]
            name = "{name}"
            role = "{name}"
            decision = {{ per_job = "{think}s" }}
            jobs = [{{ resources = "cpus:1", duration = "10s" }}]
            "#
        )
    };
    let agents = r#"agents = [{ resources = "cpus:1" }]"#;
    run(&format!("schema = 1\nname = \"thinkers\"\n{agents}\n{}{}", framework("a", 2), framework("b", 3)))
}

#[test]
fn who_decides_holds_what_it_was_offered_or_meets_conflicts() {
    let exclusive = two_thinkers("exclusive");
    let of = |run: &apportion_simulations::Run, name: &str| run.summary().frameworks[name].clone();
    // It runs from 2 s to 12 s, then b decides until 15 s and runs until 25 s.
    assert_eq!(exclusive.summary().makespan_s, 25.0);
    assert_close(of(&exclusive, "a").held_cpus, 2.0 / 25.0, 1e-9);
    assert_close(of(&exclusive, "b").held_cpus, 3.0 / 25.0, 1e-9);
    assert_eq!(of(&exclusive, "b").conflict_fraction, 0.0);
    let optimistic = two_thinkers("optimistic");
    assert_eq!(of(&optimistic, "a").held_cpus + of(&optimistic, "b").held_cpus, 0.0);
    // b decides in vain until 3 s.
    assert_eq!((of(&optimistic, "a").conflict_fraction, of(&optimistic, "b").conflict_fraction), (0.0, 1.0));
}

#[test]
fn messages_take_their_time() {
    let text = |latency: &str| {
        format!(
            r#"
            schema = 1
            name = "latency"
            latency = {latency}
            agents = [{{ resources = "cpus:4" }}]
            [[frameworks]]
            name = "q"
            role = "r"
            jobs = [{{ at = "10s", resources = "cpus:1", duration = "1s" }}]
            "#
        )
    };
    // Revive to the master, offer to the framework, accept to the master, launch to the agent.
    assert_close(run(&text("\"50ms\"")).summary().wait_s.mean, 0.2, 1e-9);
    let drawn =
        run(&text(r#"{ distribution = "uniform", min = "10ms", max = "20ms" }"#)).summary().wait_s.mean;
    assert!((0.04..0.08).contains(&drawn), "{drawn}");
}

#[test]
fn waits_in_an_m_m_1_queue_are_those_of_the_formula() {
    // Utilisation 0.8, mean service 1 s: the mean wait is 4 s, and 80 % of the jobs wait.
    let run = run(r#"
        schema = 1
        name = "mm1"
        seed = 5
        agents = [{ resources = "cpus:1" }]
        [[frameworks]]
        name = "q"
        role = "r"
        [frameworks.workload]
        arrivals = { distribution = "poisson", rate_per_s = 0.8 }
        limit = 40000
        resources = "cpus:1"
        duration = { distribution = "exponential", mean = "1s" }
        "#);
    assert_close(run.summary().wait_s.mean, 4.0, 0.5);
    let waited = run.jobs().iter().filter(|job| job.wait_s() > Some(0.0)).count();
    assert_close(waited as f64 / run.jobs().len() as f64, 0.8, 0.02);
}
