//! What holds in every run: nothing is used twice, nothing depends on chance or threads, and who leaves harms nobody.

use apportion::protocol::{AgentId, OfferId, OfferInfo, Operation};
use apportion::resources::Kind;
use apportion::spec::Document;
use apportion::time::Time;
use rustc_hash::FxHashMap;

use super::{Case, CaseError, Checks, Pace, run};
use crate::engine::{Observer, TaskRun};
use crate::output::tables;
use crate::random::Stream;
use crate::scenario::Model;
use crate::{Progress, Run, Scenario, SimulationBuilder};

pub(super) const CASES: &[Case] = &[
    Case { number: "27", title: "Conservation", pace: Pace::Quick, play: conservation },
    Case { number: "28", title: "Determinism", pace: Pace::Quick, play: determinism },
    Case { number: "30", title: "Who leaves lowers nobody's share", pace: Pace::Slow, play: monotonicity },
];

/// Two frameworks with random jobs on five agents.
fn mixed(fidelity: &str, more: &str) -> Result<Run, CaseError> {
    run(&mixture(fidelity, more))
}

fn mixture(fidelity: &str, more: &str) -> String {
    format!(
        r#"
        schema = 1
        name = "mixed"
        seed = 7
        fidelity = "{fidelity}"
        agents = [{{ count = 5, resources = "cpus:8;mem:8192" }}]
        [[frameworks]]
        name = "a"
        role = "a"
        workload = {{ arrivals = {{ distribution = "poisson", rate_per_s = 0.5 }}, limit = 200, tasks = {{ distribution = "uniform", min = 1, max = 5 }}, resources = "cpus:2;mem:512", duration = {{ distribution = "lognormal", median = "10s", sigma = 1.0 }} }}
        [[frameworks]]
        name = "b"
        role = "b"
        policy = "skip"
        jobs = [{{ tasks = 50, resources = "cpus:1;mem:1024", duration = {{ distribution = "exponential", mean = "20s" }} }}]
        {more}
        "#
    )
}

/// What is offered and used of each agent's cores, in thousandths, as things happen.
struct Ledger {
    /// The cores of each framework's jobs' tasks.
    wanted: Vec<Vec<i64>>,
    agents: FxHashMap<AgentId, usize>,
    out: FxHashMap<OfferId, (usize, i64)>,
    used: Vec<i64>,
    offered: Vec<i64>,
    /// The most of an agent that was offered or used at a time.
    most: i64,
    /// The least that was offered, or used.
    least: i64,
    events: u64,
}

impl Ledger {
    fn of(model: &Model) -> Self {
        let wanted = model.frameworks.iter().map(|framework| {
            let of = |job| framework.workload.class_of(job).amounts.get(&Kind::Cpus).milli();
            framework.workload.jobs.iter().map(of).collect()
        });
        let agents = model.agents.iter().enumerate().map(|(place, agent)| (agent.id.clone(), place));
        let none = vec![0; model.agents.len()];
        Ledger {
            wanted: wanted.collect(),
            agents: agents.collect(),
            out: FxHashMap::default(),
            used: none.clone(),
            offered: none,
            most: 0,
            least: 0,
            events: 0,
        }
    }

    fn note(&mut self, agent: usize, offered: i64, used: i64) {
        self.offered[agent] += offered;
        self.used[agent] += used;
        self.most = self.most.max(self.offered[agent] + self.used[agent]);
        self.least = self.least.min(self.offered[agent]).min(self.used[agent]);
        self.events += 1;
    }

    fn back(&mut self, offers: &[OfferId]) {
        for offer in offers {
            if let Some((agent, cores)) = self.out.remove(offer) {
                self.note(agent, -cores, 0);
            }
        }
    }

    fn cores(&self, task: &TaskRun) -> i64 {
        self.wanted[task.framework as usize][task.job as usize]
    }
}

impl Observer for Ledger {
    fn offered(&mut self, _at: Time, _framework: u32, offers: &[OfferInfo]) {
        for offer in offers {
            let cores = offer.resources.quantities().get(&Kind::Cpus).milli();
            let agent = self.agents[&offer.agent];
            self.out.insert(offer.id, (agent, cores));
            self.note(agent, cores, 0);
        }
    }

    fn declined(&mut self, _at: Time, _framework: u32, offers: &[OfferId]) {
        self.back(offers);
    }

    fn accepted(&mut self, _at: Time, _framework: u32, offers: &[OfferId], _operations: &[Operation]) {
        self.back(offers);
    }

    fn started(&mut self, _run: usize, task: &TaskRun) {
        self.note(task.agent as usize, 0, self.cores(task));
    }

    fn ended(&mut self, _run: usize, task: &TaskRun) {
        self.note(task.agent as usize, 0, -self.cores(task));
    }
}

fn conservation(checks: &mut Checks) -> Result<(), CaseError> {
    for fidelity in ["full", "placement"] {
        let model = Scenario::parse(&Document::new("case.toml", mixture(fidelity, "")))?.resolve()?;
        let mut ledger = Ledger::of(&model);
        let run = SimulationBuilder::of(model).observe(&mut ledger).run()?;
        let what = format!("{fidelity}: cores offered and used of an agent of 8, at each event");
        let found = format!("{} to {}", ledger.least as f64 / 1000.0, ledger.most as f64 / 1000.0);
        let holds = ledger.events > 0 && ledger.least == 0 && ledger.most <= 8000;
        checks.so(&what, "0 to at most 8", found, holds);
        let (model, tasks) = (run.model(), &run.record().tasks);
        let cores = |task: &TaskRun| {
            let workload = &model.frameworks[task.framework as usize].workload;
            workload.class_of(&workload.jobs[task.job as usize]).amounts.get(&Kind::Cpus).milli()
        };
        let (mut least, mut most) = (i64::MAX, i64::MIN);
        for agent in 0..model.agents.len() as u32 {
            let of_it = || tasks.iter().filter(|task| task.agent == agent);
            let starts = of_it().map(|task| (task.start, cores(task)));
            let mut changes: Vec<_> = of_it().map(|task| (task.end, -cores(task))).chain(starts).collect();
            changes.sort_unstable();
            let mut used = 0;
            for (_, change) in changes {
                used += change;
                (least, most) = (least.min(used), most.max(used));
            }
        }
        let what = format!("{fidelity}: cores used of an agent of 8");
        let found = format!("{} to {}", least as f64 / 1000.0, most as f64 / 1000.0);
        checks.so(&what, "0 to at most 8", found, least == 0 && most <= 8000);
        let seconds: f64 = tasks
            .iter()
            .map(|task| cores(task) as f64 / 1e3 * task.end.since(task.start).as_secs_f64())
            .sum();
        let used = run.summary().utilisation.get("cpus").map_or(0.0, |of| of.mean);
        let integral = used * 40.0 * run.summary().virtual_s;
        checks.close(
            &format!("{fidelity}: core seconds of all tasks, and of the cluster"),
            seconds,
            integral,
            1e-3,
        );
    }
    Ok(())
}

/// Plays a trace with these lines.
fn traced(rows: &[String]) -> Result<Run, CaseError> {
    let wrong = |error: std::io::Error| CaseError::Other(error.to_string());
    let folder = std::env::temp_dir().join(format!("apportion-validate-rows-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(wrong)?;
    let file = folder.join("jobs.csv");
    std::fs::write(&file, format!("job_id,submit_s,runtime_s,cpus\n{}\n", rows.join("\n"))).map_err(wrong)?;
    let text = r#"
        schema = 1
        name = "rows"
        agents = [{ count = 2, resources = "cpus:4;mem:64" }]
        [[frameworks]]
        name = "a"
        role = "a"
        workload = { format = "csv", file = "jobs.csv" }
        "#;
    let name = folder.join("case.toml").display().to_string();
    let run = Scenario::parse(&Document::new(name, text))?.resolve()?.run(&mut Progress::silent());
    // What is left there harms nobody.
    let _ = std::fs::remove_dir_all(&folder);
    Ok(run?)
}

fn determinism(checks: &mut Checks) -> Result<(), CaseError> {
    let hash = || Ok::<_, CaseError>(mixed("full", "")?.record().digest.to_string());
    let here = hash()?;
    let threads: Vec<_> = (0..8).map(|_| std::thread::spawn(move || hash().unwrap_or_default())).collect();
    let same =
        threads.into_iter().filter_map(|thread| thread.join().ok()).filter(|other| *other == here).count();
    checks.same("threads of 8 with the hash of one", 8, same);
    let table = |run: &Run| {
        let mut table = Vec::new();
        let written = tables::jobs(&mut table, run.model(), run.jobs());
        written.map(|()| table).map_err(|error| CaseError::Other(error.to_string()))
    };
    let [a, b] =
        [mixed("full", "[output]\ninterval = \"1s\"")?, mixed("full", "[output]\ninterval = \"7s\"")?];
    let is_same = table(&a)? == table(&b)?;
    let word = |same: bool| if same { "the same" } else { "another" };
    checks.so("jobs.csv with another interval of samples", "the same", word(is_same), is_same);
    let placement = mixed("placement", "")?;
    let is_same = table(&placement)? == table(&a)?;
    checks.so("jobs.csv of the other fidelity", "the same", word(is_same), is_same);
    // Ten jobs at a time; then the same lines in another order.
    let mut rows: Vec<String> =
        (0..60).map(|job| format!("j{job},{},{},{}", job / 10, 1 + job % 7, 1 + job % 3)).collect();
    let ordered = traced(&rows)?;
    Stream::named(28, "validate/rows").shuffle(&mut rows);
    let shuffled = traced(&rows)?;
    let is_same =
        table(&ordered)? == table(&shuffled)? && ordered.record().digest == shuffled.record().digest;
    checks.so("a trace whose lines are in another order", "the same", word(is_same), is_same);
    Ok(())
}

/// Random users of small tasks share a cluster; then one of them is not there.
fn monotonicity(checks: &mut Checks) -> Result<(), CaseError> {
    let mut stream = Stream::named(30, "validate/monotonicity");
    let mut worst = 0.0_f64;
    for _ in 0..20 {
        let users: Vec<(usize, usize)> =
            (0..2 + stream.below(3)).map(|_| (1 + stream.below(9), 1 + stream.below(9))).collect();
        let shares = |without: Option<usize>| {
            let frameworks: String = (0..users.len())
                .filter(|user| Some(*user) != without)
                .map(|user| {
                    let (cpus, mem) = users[user];
                    format!(
                        "[[frameworks]]\nname = \"f{user}\"\nrole = \"r{user}\"\njobs = [{{ tasks = 3000, resources = \
                         \"cpus:{cpus};mem:{}\", duration = \"10s\" }}]\n",
                        mem * 64
                    )
                })
                .collect();
            let text = format!(
                "schema = 1\nname = \"users\"\nuntil = \"1s\"\nfidelity = \"placement\"\nagents = [{{ resources = \"cpus:2000;mem:128000\" }}]\n{frameworks}"
            );
            Ok::<_, CaseError>(run(&text)?.summary().roles.clone())
        };
        let all = shares(None)?;
        let fewer = shares(Some(stream.below(users.len())))?;
        for (role, share) in &fewer {
            let before = all.get(role).map_or(0.0, |of| of.dominant_share.max);
            worst = worst.max(before - share.dominant_share.max);
        }
    }
    // A task is up to 0.45 % of the cluster; with whole tasks shares are only so exact.
    checks.close("largest loss of a dominant share in 20 clusters, %", 0.0, 100.0 * worst, 0.45);
    Ok(())
}
