//! The same scenario gives the same run; what does not matter changes nothing.

use apportion::spec::Document;
use apportion_simulations::{Progress, Run, Scenario};

use crate::run;

fn mixed(seed: u64, more: &str) -> String {
    format!(
        r#"
        schema = 1
        name = "mixed"
        seed = {seed}
        agents = [{{ count = 5, resources = "cpus:8;mem:8192" }}]
        [[frameworks]]
        name = "a"
        role = "a"
        workload = {{ arrivals = {{ distribution = "poisson", rate_per_s = 0.5 }}, limit = 100, tasks = {{ distribution = "uniform", min = 1, max = 5 }}, resources = "cpus:2;mem:512", duration = {{ distribution = "lognormal", median = "10s", sigma = 1.0 }} }}
        [[frameworks]]
        name = "b"
        role = "b"
        kind = "batch"
        jobs = [{{ tasks = 50, resources = "cpus:1;mem:1024", duration = {{ distribution = "exponential", mean = "20s" }} }}]
        {more}
        "#
    )
}

fn jobs_table(run: &Run) -> String {
    let mut table = Vec::new();
    apportion_simulations::output::tables::jobs(&mut table, run.model(), run.jobs()).unwrap();
    String::from_utf8(table).unwrap()
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_one_another() {
    let (first, again, other) = (run(&mixed(1, "")), run(&mixed(1, "")), run(&mixed(2, "")));
    assert_eq!(first.record().digest, again.record().digest);
    assert_eq!(jobs_table(&first), jobs_table(&again));
    assert_ne!(first.record().digest, other.record().digest);
}

#[test]
fn runs_are_the_same_in_any_thread() {
    let here = run(&mixed(1, "")).record().digest;
    let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(|| run(&mixed(1, "")).record().digest)).collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), here);
    }
}

#[test]
fn another_framework_shifts_nobodys_random_numbers() {
    let more = r#"
        [[frameworks]]
        name = "aa"
        role = "c"
        workload = { arrivals = { distribution = "poisson", rate_per_s = 1 }, limit = 10, resources = "cpus:1", duration = "1s" }
        "#;
    let (without, with) = (run(&mixed(1, "")), run(&mixed(1, more)));
    for place in [0, 1] {
        assert_eq!(without.model().frameworks[place].workload, with.model().frameworks[place].workload);
    }
}

#[test]
fn the_interval_of_series_changes_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let tables = |interval: &str| {
        let text = mixed(1, &format!("[output]\ninterval = \"{interval}\""));
        let out = folder.path().join(interval);
        run(&text).write(&out).unwrap();
        ["jobs.csv", "tasks.csv", "roles.csv"].map(|name| std::fs::read_to_string(out.join(name)).unwrap())
    };
    let ([jobs, tasks, roles], [same_jobs, same_tasks, other_roles]) = (tables("1s"), tables("7s"));
    assert_eq!((jobs, tasks), (same_jobs, same_tasks));
    assert_ne!(roles, other_roles);
}

#[test]
fn rows_of_a_trace_that_arrive_together_may_stand_in_any_order() {
    let folder = tempfile::tempdir().unwrap();
    let digest = |rows: &str| {
        let text = format!("job_id,submit_s,runtime_s,cpus\n{rows}");
        std::fs::write(folder.path().join("jobs.csv"), text).unwrap();
        let scenario = r#"
            schema = 1
            name = "rows"
            agents = [{ count = 2, resources = "cpus:3" }]
            [[frameworks]]
            name = "q"
            role = "r"
            workload = { format = "csv", file = "jobs.csv" }
            "#;
        let file = folder.path().join("rows.toml");
        let scenario = Scenario::parse(&Document::new(file.display().to_string(), scenario)).unwrap();
        scenario.resolve().unwrap().run(&mut Progress::silent()).unwrap().record().digest
    };
    let sorted = digest("2,0,5,1\n10,0,6,2\n9,0,7,3\n1,3,4,1\n");
    assert_eq!(digest("1,3,4,1\n9,0,7,3\n10,0,6,2\n2,0,5,1\n"), sorted);
    assert_ne!(digest("2,0,5,1\n10,0,6,2\n9,0,8,3\n1,3,4,1\n"), sorted);
}

#[test]
fn nothing_is_used_twice_and_every_second_is_accounted_for() {
    let run = run(&mixed(3, ""));
    let (model, record) = (run.model(), run.record());
    let cores = |task: &apportion_simulations::engine::TaskRun| {
        let workload = &model.frameworks[task.framework as usize].workload;
        let job = &workload.jobs[task.job as usize];
        workload.class_of(job).amounts.get(&apportion::resources::Kind::Cpus).milli()
    };
    for (agent, known) in model.agents.iter().enumerate() {
        let mut changes: Vec<(u64, i64)> = Vec::new();
        for task in record.tasks.iter().filter(|task| task.agent as usize == agent) {
            changes.push((task.start.as_nanos(), cores(task)));
            changes.push((task.end.as_nanos(), -cores(task)));
        }
        changes.sort_unstable();
        let mut used = 0;
        for (_, change) in changes {
            used += change;
            assert!((0..=known.resources.cpus().milli()).contains(&used));
        }
        assert_eq!(used, 0);
    }
    let used: i64 = record
        .tasks
        .iter()
        .map(|task| cores(task) * (task.end.since(task.start).as_nanos() as i64 / 1000))
        .sum();
    let mean = used as f64 / 1e9 / (40.0 * run.summary().virtual_s);
    crate::assert_close(run.summary().utilisation["cpus"].mean, mean, 1e-6);
}
