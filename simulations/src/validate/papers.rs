//! Experiments of papers whose scenarios are in `papers/`; the pages there say more of them.

use apportion::resources::Kind;
use apportion::time::Time;

use super::{Case, CaseError, Checks, Pace, run};
use crate::Run;
use crate::output::FrameworkSummary;

pub(super) const CASES: &[Case] = &[
    Case {
        number: "drf-dynamic",
        title: "DRF: two jobs with changing demands",
        pace: Pace::Slow,
        play: dynamic_sharing,
    },
    Case {
        number: "mesos-sharing",
        title: "Mesos: four frameworks share a cluster, or have a quarter of it each",
        pace: Pace::Slow,
        play: partitions,
    },
    Case {
        number: "mesos-scale",
        title: "Mesos: how long a probe waits among 200 frameworks, 1,000 agents",
        pace: Pace::Slow,
        play: |checks| scale(1000, checks),
    },
    Case {
        number: "mesos-scale-50000",
        title: "Mesos: the same, 50,000 agents",
        pace: Pace::Long,
        play: |checks| scale(50_000, checks),
    },
    Case {
        number: "omega",
        title: "Omega: architectures against decision times",
        pace: Pace::Slow,
        play: architectures,
    },
];

/// What part of the cluster's cores and of its memory the tasks of a framework hold in the mean between two times.
fn shares(run: &Run, framework: u32, from_s: u64, to_s: u64) -> [f64; 2] {
    let workload = &run.model().frameworks[framework as usize].workload;
    let (from, to) = (Time::from_secs(from_s), Time::from_secs(to_s));
    [Kind::Cpus, Kind::Mem].map(|kind| {
        let total: f64 =
            run.model().agents.iter().map(|agent| agent.resources.quantities().get(&kind).as_f64()).sum();
        let tasks = run.record().tasks.iter().filter(|task| task.framework == framework);
        let held: f64 = tasks
            .map(|task| {
                let amounts = &workload.class_of(&workload.jobs[task.job as usize]).amounts;
                let (start, end) = (task.start.clamp(from, to), task.end.clamp(from, to));
                amounts.get(&kind).as_f64() * end.since(start).as_secs_f64()
            })
            .sum();
        held / total / (to_s - from_s) as f64
    })
}

fn dynamic_sharing(checks: &mut Checks) -> Result<(), CaseError> {
    let run = run(include_str!("../../papers/drf/dynamic.toml"))?;
    let share = |framework, from_s, to_s| shares(&run, framework, from_s, to_s);
    // The first half minute of each interval, in which shares change, is left out.
    checks.close("0-2 min: job 1's memory, %", 70.0, 100.0 * share(0, 30, 120)[1], 2.0);
    checks.close("0-2 min: job 2's cores, %", 75.0, 100.0 * share(1, 30, 120)[0], 2.0);
    let used = share(0, 150, 240)[0] + share(1, 150, 240)[0];
    checks.close("2-4 min: cores of both, who want cores, %", 100.0, 100.0 * used, 3.0);
    let used = share(0, 270, 360)[1] + share(1, 270, 360)[1];
    // No node is filled by one task of 7 GB and one of 4.
    checks.close("4-6 min: memory of both, who want memory, %", 87.5, 100.0 * used, 3.0);
    Ok(())
}

fn partitions(checks: &mut Checks) -> Result<(), CaseError> {
    let shared = run(include_str!("../../papers/mesos/shared.toml"))?;
    let sum = |run: &Run, name: &str| -> f64 {
        let is_of = |framework: u32| run.model().frameworks[framework as usize].id.as_str() == name;
        run.jobs().iter().filter(|job| is_of(job.framework)).filter_map(|job| job.jct_s()).sum()
    };
    for (name, alone, published) in [
        ("facebook", include_str!("../../papers/mesos/static-facebook.toml"), 1.14),
        ("large", include_str!("../../papers/mesos/static-large.toml"), 2.10),
        ("spark", include_str!("../../papers/mesos/static-spark.toml"), 1.26),
        ("torque", include_str!("../../papers/mesos/static-torque.toml"), 0.96),
    ] {
        let gain = sum(&run(alone)?, name) / sum(&shared, name);
        let what = format!("{name}: times alone to times shared (published: {published})");
        // How long the paper's tasks run is not known; who gains is what can be compared.
        let (expected, holds) = if published > 1.0 {
            ("more than 1", gain > 1.0)
        } else {
            ("0.9 to 1", (0.9..=1.0).contains(&gain))
        };
        checks.so(&what, expected, format!("{gain:.2}"), holds);
    }
    Ok(())
}

fn scale(agents: u32, checks: &mut Checks) -> Result<(), CaseError> {
    // As many tasks as keep nine tenths of the slots busy.
    let rate = format!("rate_per_s = {}", 0.0003 * f64::from(agents));
    let text = include_str!("../../papers/mesos/scale.toml")
        .replace("count = 1000", &format!("count = {agents}"))
        .replace("rate_per_s = 0.3 ", &format!("{rate} "));
    let run = run(&text)?;
    let waits = run.jobs().iter().filter(|job| job.framework == 0).filter_map(|job| job.wait_s());
    let longest = waits.fold(0.0, f64::max);
    checks.so("the probe's longest wait, s", "less than 1", format!("{longest:.3}"), longest < 1.0);
    // The first minute, in which the cluster fills, is left out.
    let used: f64 = (0..run.model().frameworks.len() as u32).map(|of| shares(&run, of, 60, 300)[0]).sum();
    checks.close("slots busy from the second minute on, %", 90.0, 100.0 * used, 2.0);
    Ok(())
}

fn of<'a>(run: &'a Run, framework: &str) -> Result<&'a FrameworkSummary, CaseError> {
    let of = run.summary().frameworks.get(framework);
    of.ok_or_else(|| CaseError::Other(format!("there is no framework '{framework}'")))
}

fn architectures(checks: &mut Checks) -> Result<(), CaseError> {
    /// Plays an architecture whose last decision time per job, that of service jobs where there are two, is this one.
    fn play(text: &str, decision: &str) -> Result<Run, CaseError> {
        let (before, after) = text.rsplit_once("per_job = \"100ms\"").unwrap_or((text, ""));
        run(&format!("{before}per_job = \"{decision}\"{after}"))
    }
    let single = include_str!("../../papers/omega/single-path.toml");
    let multi = include_str!("../../papers/omega/multi-path.toml");
    // 0.7 batch jobs of 2 tasks and 0.01 service jobs of 4 a second; 5 ms for each task.
    let busy = |batch_s: f64, service_s: f64| 0.7 * (batch_s + 0.01) + 0.01 * (service_s + 0.02);
    for (name, text, decision, expected) in [
        ("single path, 0.1 s", single, "100ms", busy(0.1, 0.1)),
        ("single path, 10 s", single, "10s", 1.0),
        ("multi-path, 10 s", multi, "10s", busy(0.1, 10.0)),
    ] {
        let run = play(text, decision)?;
        let busyness = run.summary().frameworks.values().map(|of| of.busyness).sum();
        checks.close(&format!("{name}: busyness"), expected, busyness, 0.02);
    }
    let pessimistic = play(include_str!("../../papers/omega/two-level.toml"), "30s")?;
    let wait = of(&pessimistic, "batch")?.wait_s.mean;
    checks.so(
        "two-level, 30 s: mean wait of batch jobs, s",
        "more than 10",
        format!("{wait:.1}"),
        wait > 10.0,
    );
    let busyness = of(&pessimistic, "batch")?.busyness;
    checks.close("though their scheduler's busyness is", busy(0.1, 0.0), busyness, 0.02);
    for (name, text) in [
        ("two-level optimistic", include_str!("../../papers/omega/two-level-optimistic.toml")),
        ("shared state", include_str!("../../papers/omega/shared-state.toml")),
    ] {
        let run = play(text, "30s")?;
        let wait = of(&run, "batch")?.wait_s.mean;
        checks.close(&format!("{name}, 30 s: mean wait of batch jobs, s"), 0.12, wait, 0.02);
        let conflicts = of(&run, "service")?.conflict_fraction;
        let what = format!("{name}, 30 s: conflicts for each of service jobs' acceptances");
        checks.so(&what, "some", format!("{conflicts:.3}"), conflicts > 0.0);
    }
    Ok(())
}
