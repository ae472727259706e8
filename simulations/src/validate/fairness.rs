//! Dominant-resource fairness, on the examples of its paper (Ghodsi et al., NSDI 2011), and Jain's index.

use super::{Case, CaseError, Checks, Pace, run};
use crate::Run;

pub(super) const CASES: &[Case] = &[
    case("1", "DRF: 9 CPUs and 18 GB, A wants <1,4>, B <3,1>", worked_example),
    case("2", "DRF: the same, a thousand times as large", continuous_limit),
    case("3", "DRF: weights 2:1 and 1:2", weights),
    case("4", "DRF: 100 CPUs and 10,000 GB, <2,300> and <6,100>", larger_example),
    case("5", "DRF: <30,30>, <1,3> and <1,1>", asset_example),
    case("6", "DRF gives everyone at least what half of the cluster would", sharing_incentive),
    case("7", "DRF: nobody would rather have what the other has", envy),
    case("8", "DRF: A lies and wants <2,4>", lying),
    case("11", "Jain's index", jain),
];

const fn case(
    number: &'static str,
    title: &'static str,
    play: fn(&mut Checks) -> Result<(), CaseError>,
) -> Case {
    Case { number, title, pace: Pace::Quick, play }
}

/// Two users with more tasks than fit, A in role `a` and B in role `b`.
struct Users<'a> {
    total: &'a str,
    a: &'a str,
    b: &'a str,
    weights: [u32; 2],
    /// Who comes first by name.
    names: [&'a str; 2],
}

impl Users<'static> {
    const EXAMPLE: Self = Users {
        total: "cpus:9;mem:18432",
        a: "cpus:1;mem:4096",
        b: "cpus:3;mem:1024",
        weights: [1, 1],
        names: ["A", "B"],
    };
}

/// What two users hold, and in which order they got it.
struct Held {
    tasks: [u64; 2],
    order: String,
    run: Run,
}

impl Users<'_> {
    fn play(&self) -> Result<Held, CaseError> {
        let Users { total, a, b, weights, names } = self;
        let run = run(&format!(
            r#"
            schema = 1
            name = "two-users"
            until = "1s"
            allocator = {{ ties = "name" }}
            agents = [{{ resources = "{total}" }}]
            roles = [{{ name = "{first}", weight = {} }}, {{ name = "{second}", weight = {} }}]
            [[frameworks]]
            name = "{first}"
            role = "{first}"
            jobs = [{{ tasks = 10000, resources = "{a}", duration = "10s" }}]
            [[frameworks]]
            name = "{second}"
            role = "{second}"
            jobs = [{{ tasks = 10000, resources = "{b}", duration = "10s" }}]
            "#,
            weights[0],
            weights[1],
            first = names[0],
            second = names[1],
        ))?;
        let tasks = names.map(|name| run.summary().frameworks.get(name).map_or(0, |of| of.running_max));
        let letter = |place: u32| if place == 0 { 'A' } else { 'B' };
        let order = run.record().tasks.iter().map(|task| letter(task.framework)).collect();
        Ok(Held { tasks, order, run })
    }
}

fn pair(tasks: [u64; 2]) -> String {
    format!("A {}, B {}", tasks[0], tasks[1])
}

fn worked_example(checks: &mut Checks) -> Result<(), CaseError> {
    let held = Users::EXAMPLE.play()?;
    checks.same("tasks", pair([3, 2]), pair(held.tasks));
    checks.same("order, A first by name", "ABABA", &held.order);
    for role in ["A", "B"] {
        let share = held.run.summary().roles.get(role).map_or(0.0, |of| of.dominant_share.max);
        checks.close(&format!("dominant share of {role}"), 2.0 / 3.0, share, 1e-9);
    }
    let used = |kind: &str| held.run.summary().utilisation.get(kind).map_or(0.0, |of| of.mean);
    checks.close("CPUs used", 9.0, 9.0 * used("cpus"), 1e-9);
    checks.close("GB used", 14.0, 18.0 * used("mem"), 1e-9);
    let other = Users { names: ["b", "a"], ..Users::EXAMPLE }.play()?;
    checks.same("order, B first by name", "BAABA", &other.order);
    Ok(())
}

fn continuous_limit(checks: &mut Checks) -> Result<(), CaseError> {
    let held = Users { total: "cpus:9000;mem:18432000", ..Users::EXAMPLE }.play()?;
    checks.same("tasks", pair([3000, 2000]), pair(held.tasks));
    Ok(())
}

fn weights(checks: &mut Checks) -> Result<(), CaseError> {
    for (weights, tasks, order) in [([2, 1], [4, 1], "ABAAA"), ([1, 2], [3, 2], "ABBAA")] {
        let held = Users { weights, ..Users::EXAMPLE }.play()?;
        let [a, b] = weights;
        checks.same(&format!("tasks, {a}:{b}"), pair(tasks), pair(held.tasks));
        checks.same(&format!("order, {a}:{b}"), order, &held.order);
    }
    Ok(())
}

fn larger_example(checks: &mut Checks) -> Result<(), CaseError> {
    let users = Users {
        total: "cpus:100;mem:10240000",
        a: "cpus:2;mem:307200",
        b: "cpus:6;mem:102400",
        ..Users::EXAMPLE
    };
    let held = users.play()?;
    checks.same("tasks", pair([20, 10]), pair(held.tasks));
    let used = |kind: &str| held.run.summary().utilisation.get(kind).map_or(0.0, |of| of.mean);
    checks.close("CPUs used", 100.0, 100.0 * used("cpus"), 1e-9);
    checks.close("GB used", 7000.0, 10_000.0 * used("mem"), 1e-6);
    Ok(())
}

fn asset_example(checks: &mut Checks) -> Result<(), CaseError> {
    let users = Users { total: "cpus:30;mem:30", a: "cpus:1;mem:3", b: "cpus:1;mem:1", ..Users::EXAMPLE };
    checks.same("tasks by DRF", pair([5, 15]), pair(users.play()?.tasks));
    // What others would give is reckoned, since the allocator knows only DRF.
    let users = Reckoning { total: [30.0, 30.0], each: [[1.0, 3.0], [1.0, 1.0]] };
    checks.same("tasks by asset fairness", pair([6, 12]), pair(users.asset_fair()));
    let [a, b] = Reckoning { total: [9.0, 18.0], each: [[1.0, 4.0], [3.0, 1.0]] }.equal_incomes();
    checks.close("A's tasks by CEEI in case 1", 45.0 / 11.0, a, 1e-4);
    checks.close("B's tasks by CEEI in case 1", 18.0 / 11.0, b, 1e-4);
    Ok(())
}

/// Two users and two kinds of resources, and what a task of each user needs.
struct Reckoning {
    total: [f64; 2],
    each: [[f64; 2]; 2],
}

impl Reckoning {
    /// Asset fairness: the next task is of the user whose shares of all kinds have the smallest sum.
    fn asset_fair(&self) -> [u64; 2] {
        let assets = |user: usize| (0..2).map(|kind| self.each[user][kind] / self.total[kind]).sum::<f64>();
        let fit = |tasks: [u64; 2]| {
            let used = |kind| (0..2).map(|user| tasks[user] as f64 * self.each[user][kind]).sum::<f64>();
            (0..2).all(|kind| used(kind) <= self.total[kind])
        };
        let mut tasks = [0, 0];
        loop {
            let next = usize::from(tasks[0] as f64 * assets(0) > tasks[1] as f64 * assets(1) + 1e-12);
            let mut more = tasks;
            more[next] += 1;
            if !fit(more) {
                return tasks;
            }
            tasks = more;
        }
    }

    /// Competitive equilibrium from equal incomes: the product of what both have is the largest (Nash).
    fn equal_incomes(&self) -> [f64; 2] {
        let second = |first: f64| {
            let left =
                (0..2).map(|kind| (self.total[kind] - first * self.each[0][kind]) / self.each[1][kind]);
            left.fold(f64::MAX, f64::min).max(0.0)
        };
        let steps = (0..=1_000_000).map(|step| self.total[0] / self.each[0][0] * f64::from(step) / 1e6);
        let best = steps.max_by(|a, b| (a * second(*a)).total_cmp(&(b * second(*b)))).unwrap_or_default();
        [best, second(best)]
    }
}

fn sharing_incentive(checks: &mut Checks) -> Result<(), CaseError> {
    let [a, b] = Users::EXAMPLE.play()?.tasks;
    // Half of the cluster is 4.5 CPUs and 9 GB.
    checks.so("A's tasks", "at least 2.25", a, a as f64 >= 9.0 / 4.0);
    checks.so("B's tasks", "at least 1.5", b, b as f64 >= 4.5 / 3.0);
    Ok(())
}

fn envy(checks: &mut Checks) -> Result<(), CaseError> {
    let [a, b] = Users::EXAMPLE.play()?.tasks.map(|tasks| tasks as f64);
    // A's tasks on what B has, and the other way round.
    let (a_as_b, b_as_a) = ((b * 3.0).min(b * 1.0 / 4.0), (a * 1.0 / 3.0).min(a * 4.0));
    checks.close("A's tasks on B's bundle", 0.5, a_as_b, 1e-9);
    checks.close("B's tasks on A's bundle", 1.0, b_as_a, 1e-9);
    checks.so(
        "envy",
        "none",
        if a_as_b < a && b_as_a < b { "none" } else { "some" },
        a_as_b < a && b_as_a < b,
    );
    Ok(())
}

fn lying(checks: &mut Checks) -> Result<(), CaseError> {
    // A thousand times as large, where whole tasks don't matter.
    let total = "cpus:9000;mem:18432000";
    let honest = Users { total, ..Users::EXAMPLE }.play()?.tasks[0];
    let lying = Users { total, a: "cpus:2;mem:4096", ..Users::EXAMPLE }.play()?.tasks;
    checks.same("tasks", pair([2250, 1500]), pair(lying));
    checks.so("A's useful tasks", "fewer than 3000", lying[0], lying[0] < honest);
    Ok(())
}

fn jain(checks: &mut Checks) -> Result<(), CaseError> {
    let index = |cores: u32, tasks: &[(u32, &str)]| {
        let frameworks: String = tasks
            .iter()
            .enumerate()
            .map(|(place, (tasks, at))| {
                format!(
                    "[[frameworks]]\nname = \"f{place}\"\nrole = \"r{place}\"\njobs = [{{ at = \"{at}\", tasks = {tasks}, \
                     resources = \"cpus:1\", duration = \"100s\" }}]\n"
                )
            })
            .collect();
        let agents = format!("agents = [{{ resources = \"cpus:{cores}\" }}]");
        let text = format!("schema = 1\nname = \"jain\"\nuntil = \"10s\"\n{agents}\n{frameworks}");
        Ok::<f64, CaseError>(run(&text)?.summary().jain_index)
    };
    checks.close("of (4, 1)", 25.0 / 34.0, index(5, &[(4, "0s"), (1, "0s")])?, 1e-9);
    checks.close("of 4 alike", 1.0, index(8, &[(2, "0s"); 4])?, 1e-9);
    // The others come when the hog has all.
    let hog = index(4, &[(4, "0s"), (4, "1ns"), (4, "1ns"), (4, "1ns"), (4, "1ns")])?;
    checks.close("of a hog among 5", 0.2, hog, 1e-6);
    Ok(())
}
