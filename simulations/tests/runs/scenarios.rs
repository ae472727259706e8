//! Scenario files: what is wrong with them is told with its place.

use apportion::spec::Document;
use apportion_simulations::Scenario;

use crate::{mistakes, run};

const RIGHT: &str = r#"schema = 1
name = "right"
until = "all-done"
fidelity = "full"
[[agents]]
count = 1
resources = "cpus:9;mem:18432"
[agents.attributes]
zone = "a"
[[roles]]
name = "a"
weight = 1.0
[[frameworks]]
name = "A"
role = "a"
kind = "batch"
placement = "first-fit"
decision = { per_job = "0s", per_task = "0s" }
[[frameworks.jobs]]
at = "0s"
tasks = 2
resources = "cpus:1;mem:4096"
duration = { distribution = "exponential", mean = "100s" }
"#;

#[test]
fn the_documented_shape_is_right() {
    let summary = run(RIGHT).summary().clone();
    assert_eq!((summary.tasks_finished, summary.frameworks["A"].running_max), (2, 2));
    let json = serde_json::to_value(&summary).unwrap();
    for key in [
        "virtual_s",
        "events",
        "wall_s",
        "events_per_s",
        "jobs_finished",
        "tasks_finished",
        "tasks_failed",
        "tasks_pending",
        "makespan_s",
        "jain_index",
        "fragmentation",
        "preemptions",
        "offers_per_cycle",
        "decline_ratio",
        "goodput",
        "seed",
        "scenario_hash",
        "version",
    ] {
        assert!(!json[key].is_null(), "{key}");
    }
    for path in [
        "/utilisation/cpus/mean",
        "/utilisation/mem/max",
        "/wait_s/mean",
        "/wait_s/p50",
        "/wait_s/p90",
        "/wait_s/p99",
        "/wait_s/max",
        "/jct_s/p99",
        "/bounded_slowdown/mean",
        "/roles/a/dominant_share/mean",
        "/roles/a/dominant_share/max",
        "/frameworks/A/running_max",
        "/frameworks/A/tasks_finished",
        "/frameworks/A/offers",
        "/frameworks/A/declines",
    ] {
        assert!(json.pointer(path).is_some_and(serde_json::Value::is_number), "{path}");
    }
}

#[test]
fn mistakes_are_told_with_their_place_and_what_to_do() {
    for (wrong, instead, expected) in [
        ("wieght = 1.0", "weight = 1.0", "test.toml:12:1: unknown key 'wieght'; did you mean 'weight'?"),
        ("until = \"50\"", "until = \"all-done\"", "test.toml:3:9: '50' is not a length of time"),
        (
            "kind = \"batsh\"",
            "kind = \"batch\"",
            "test.toml:16:8: unknown value 'batsh'; did you mean 'batch'?",
        ),
        ("weight = -1", "weight = 1.0", "test.toml:12:1: a weight is from 0.001"),
        ("resources = \"cpus:x\"", "resources = \"cpus:1;mem:4096\"", "test.toml:22:1: at byte 5"),
        ("tasks = 0", "tasks = 2", "test.toml:21:1: a job has at least 1 task"),
        ("mean = \"100\"", "mean = \"100s\"", "'100' is not a length of time"),
        ("distribution = \"expo\"", "distribution = \"exponential\"", "unknown value 'expo'"),
        ("schema = 2", "schema = 1", "test.toml:1:1: only schema 1 is known"),
        (
            "until = 50",
            "until = \"all-done\"",
            "test.toml:3:9: wrong type: found integer '50', expected a length of time",
        ),
        (
            "\"cpu:1\"",
            "\"cpus:1;mem:4096\"",
            "test.toml:22:1: no machine has 'cpu'; there are 'cpus', 'disk'",
        ),
        ("count = 2000000\n", "count = 1\n", "test.toml:6:1: a cluster has at most 1000000 machines"),
        (
            "quota = { guarantee = \"cpus:2\", limit = \"cpus:1\" }",
            "weight = 1.0",
            "test.toml:12:1: a can't be guaranteed 2 of cpus when it is limited to 1",
        ),
    ] {
        let text = RIGHT.replace(instead, wrong);
        let told = mistakes(&text);
        assert!(told.contains(expected), "{wrong}: {told}");
    }
}

#[test]
fn all_mistakes_are_told_at_once() {
    let text = RIGHT.replace("weight = 1.0", "weight = 0").replace("tasks = 2", "tasks = 0");
    assert_eq!(mistakes(&text).matches("test.toml:").count(), 2);
}

#[test]
fn a_workload_says_where_its_jobs_come_from() {
    let with = |workload: &str| {
        format!(
            "schema = 1\nname = \"w\"\nagents = [{{ resources = \"cpus:1\" }}]\n[[frameworks]]\nname = \"A\"\nrole = \"a\"\nworkload = {workload}\n"
        )
    };
    for (workload, expected) in [
        ("{ limit = 3 }", "needs 'format' and 'file', or 'arrivals'"),
        ("{ file = \"x.csv\" }", "missing key 'format'"),
        (
            "{ arrivals = { distribution = \"poisson\", rate_per_s = 1 }, resources = \"cpus:1\", duration = \"1s\" }",
            "would never end",
        ),
        (
            "{ arrivals = { distribution = \"poisson\", rate_per_s = 0 }, limit = 1, resources = \"cpus:1\", duration = \"1s\" }",
            "a rate is above 0",
        ),
        ("{ format = \"csv\", file = \"x.csv\", where = { colour = \"red\" } }", "can't be told by 'colour'"),
    ] {
        let told = mistakes(&with(workload));
        assert!(told.contains(expected), "{workload}: {told}");
    }
}

#[test]
fn more_tasks_than_there_is_room_for_are_refused_before_they_are_made() {
    for (wrong, instead) in [
        ("tasks = 4000000000", "tasks = 2"),
        (
            "[[frameworks.jobs]]\nresources = \"cpus:1\"\nduration = \"1s\"\n\
             [frameworks.workload]\narrivals = { distribution = \"constant\", rate_per_s = 1e12, until = \"1h\" }\n\
             resources = \"cpus:1\"\nduration = \"1s\"\ntasks = 1000000\n[[frameworks.jobs]]",
            "[[frameworks.jobs]]",
        ),
    ] {
        let scenario = Scenario::parse(&Document::new("test.toml", RIGHT.replace(instead, wrong))).unwrap();
        let refused = scenario.resolve().unwrap_err().to_string();
        assert!(refused.contains("framework 'A': a run has at most 100000000 tasks"), "{wrong}: {refused}");
    }
}

#[test]
fn attributes_may_be_numbers() {
    let text = RIGHT.replace("zone = \"a\"", "rack = 3\nspeed = 2.5\nspot = true");
    let run = run(&text);
    let attributes: Vec<_> = run.model().agents[0].attributes.iter().collect();
    let expected = [("rack", "3"), ("speed", "2.5"), ("spot", "true")];
    assert!(
        attributes.iter().map(|(name, text)| (name.as_str(), text.as_str())).eq(expected),
        "{attributes:?}"
    );
}

#[test]
fn a_run_with_an_end_lasts_until_then_whatever_is_left_to_do() {
    for kind in ["batch", "service", "queue"] {
        for fidelity in ["full", "placement"] {
            let text = RIGHT
                .replace("all-done", "1h")
                .replace("kind = \"batch\"", &format!("kind = \"{kind}\""))
                .replace("fidelity = \"full\"", &format!("fidelity = \"{fidelity}\""));
            let summary = run(&text).summary().clone();
            assert_eq!(summary.virtual_s, 3600.0, "{kind}, {fidelity}");
        }
    }
    // A service that runs on uses its cores to the end.
    let text = RIGHT.replace("all-done", "1h").replace("kind = \"batch\"", "kind = \"service\"");
    let text = text.replace("duration = { distribution = \"exponential\", mean = \"100s\" }", "");
    let summary = run(&text).summary().clone();
    assert_eq!((summary.virtual_s, summary.tasks_running), (3600.0, 2));
    crate::assert_close(summary.utilisation["cpus"].mean, 2.0 / 9.0, 1e-9);
}

#[test]
fn quotas_of_a_role_may_be_told_before_those_of_its_parent() {
    let text = RIGHT.replace(
        "[[roles]]\nname = \"a\"\n",
        "[[roles]]\nname = \"a/b\"\nquota = { guarantee = \"cpus:2\" }\n[[roles]]\nname = \"a\"\nquota = { guarantee = \"cpus:4\" }\n",
    );
    assert_eq!(run(&text).summary().tasks_finished, 2);
}
