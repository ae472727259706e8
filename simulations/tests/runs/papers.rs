//! Experiments of papers that are quick enough to be tests; their pages are in `papers/`.

use apportion::spec::Document;
use apportion_simulations::{Progress, Run, Scenario};

use crate::assert_close;

fn paper(name: &str) -> Run {
    changed_paper(name, |text| text)
}

/// An experiment whose scenario is changed before it is read.
fn changed_paper(name: &str, change: impl FnOnce(String) -> String) -> Run {
    let path = format!("{}/papers/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = change(std::fs::read_to_string(&path).unwrap());
    let scenario = Scenario::parse(&Document::new(&path, text));
    scenario.unwrap().resolve().unwrap().run(&mut Progress::silent()).unwrap()
}

/// What part of the cluster the tasks of a framework hold on average between two times: of cores and of memory.
fn shares(run: &Run, framework: u32, from_s: u64, to_s: u64) -> (f64, f64) {
    let nanos = |seconds: u64| seconds * 1_000_000_000;
    let workload = &run.model().frameworks[framework as usize].workload;
    let total = |kind: &str| {
        run.model().agents.iter().map(|agent| amount(&agent.resources.quantities(), kind)).sum::<f64>()
    };
    let held = |kind: &str| {
        let tasks = run.record().tasks.iter().filter(|task| task.framework == framework);
        let time = |task: &apportion_simulations::engine::TaskRun| {
            let (start, end) =
                (task.start.as_nanos().max(nanos(from_s)), task.end.as_nanos().min(nanos(to_s)));
            end.saturating_sub(start) as f64 / 1e9
        };
        tasks
            .map(|task| {
                amount(&workload.class_of(&workload.jobs[task.job as usize]).amounts, kind) * time(task)
            })
            .sum::<f64>()
    };
    let share = |kind: &str| held(kind) / ((to_s - from_s) as f64 * total(kind));
    (share("cpus"), share("mem"))
}

fn amount(amounts: &apportion::resources::Quantities, kind: &str) -> f64 {
    amounts.iter().find(|(known, _)| known.as_str() == kind).map_or(0.0, |(_, amount)| amount.as_f64())
}

#[test]
fn jobs_with_changing_demands_share_dynamically() {
    let run = paper("drf/dynamic.toml");
    // Job 1 wants memory and job 2 cores: 48 tasks of 10 of 14 GB, and 3 of 4 cores.
    let (first, second) = (shares(&run, 0, 30, 120), shares(&run, 1, 30, 120));
    assert_close(first.1, 10.0 / 14.0, 0.02);
    assert_close(second.0, 0.75, 0.02);
    // Both want cores, and all are used. Job 1 gets less than half: it needs pairs, and single ones become free.
    let (first, second) = (shares(&run, 0, 150, 240).0, shares(&run, 1, 150, 240).0);
    assert_close(first, 0.386, 0.01);
    assert!(first + second > 0.9, "{second}");
    // Both want memory: no node is filled by one of each.
    let (first, second) = (shares(&run, 0, 270, 360).1, shares(&run, 1, 270, 360).1);
    assert!(first > 0.3 && second > 0.3 && first + second > 0.7, "{first} {second}");
}

/// The mean wait of batch jobs and the busyness of the service scheduler, when that decides for so long, in so many seconds.
fn omega(architecture: &str, decision: &str, until: &str) -> (f64, f64) {
    let run = changed_paper(&format!("omega/{architecture}.toml"), |text| {
        let text = text.replace("until = \"7200s\"", &format!("until = \"{until}\""));
        let at = text.rfind("per_job = \"100ms\"").unwrap();
        format!("{}{}", &text[..at], text[at..].replacen("100ms", decision, 1))
    });
    let of = |name: &str| run.summary().frameworks[name].clone();
    (of("batch").wait_s.mean, of("service").busyness)
}

#[test]
fn optimistic_offers_remove_the_weakness_of_two_levels() {
    // A service job is decided on for 30 s; what there is to decide makes the scheduler busy for 30 % of the time.
    let (batch, _) = omega("two-level", "30s", "1800s");
    assert!(batch > 5.0, "whoever decides keeps the other waiting: {batch}");
    let (batch, service) = omega("two-level-optimistic", "30s", "1800s");
    assert!(batch < 0.2 && service < 0.9, "{batch} {service}");
}
