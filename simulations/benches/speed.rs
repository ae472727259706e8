//! How fast the simulator is, on what simulators are compared by. The longest runs are in `scale`.

mod support;

use apportion::scheduler::Placement;
use apportion::time::Time;
use apportion_simulations::engine::{Calendar, Class};
use apportion_simulations::output::tables;
use apportion_simulations::packing::Inflation;
use apportion_simulations::scenario::Model;
use apportion_simulations::traces::{Format, Malformed, TraceFile, W100k};
use apportion_simulations::{Progress, Run};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs a model, and writes its table of jobs.
fn play(model: Model) -> Run {
    let run = model.run(&mut Progress::silent()).expect("it runs");
    let mut table = Vec::new();
    tables::jobs(&mut table, run.model(), run.jobs()).expect("memory takes all");
    assert!(!table.is_empty());
    run
}

/// A hundred thousand jobs on a thousand machines, with `jobs.csv`.
fn w100k(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("w100k");
    group.sample_size(10).throughput(Throughput::Elements(W100k::STANDARD.jobs as u64));
    for (name, workload, fidelity) in [
        ("placement", W100k::STANDARD, "placement"),
        ("placement, load 1.07", W100k::HOT, "placement"),
        ("full", W100k::STANDARD, "full"),
        ("full, load 1.07", W100k::HOT, "full"),
    ] {
        let model = support::w100k(workload, fidelity, "");
        group.bench_function(name, |bencher| {
            bencher.iter_batched(|| model.clone(), play, BatchSize::PerIteration);
        });
    }
    // Whoever is offered everything and thinks for a second locks most of the cluster (simulation.md 1.3; Omega, EuroSys 2013).
    let slow = "states_demand = false\nper_offer = \"all\"\ndecision = { per_job = \"1s\" }";
    let mut model = support::w100k(W100k::STANDARD, "placement", slow);
    model.until = Some("31000s".parse().expect("a span"));
    group.bench_function("think time 1 s", |bencher| {
        bencher.iter_batched(|| model.clone(), play, BatchSize::PerIteration);
    });
    group.finish();
}

/// The calendar alone: timers that are set again when they are due.
fn timers(criterion: &mut Criterion) {
    const TIMERS: u64 = 1000;
    const CHURN: u64 = 1_000_000;
    let mut group = criterion.benchmark_group("engine");
    group.sample_size(10).throughput(Throughput::Elements(CHURN));
    group.bench_function("timer churn", |bencher| {
        bencher.iter(|| {
            let mut calendar = Calendar::default();
            let mut state = 1_u64;
            let mut after = |now: Time| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                Time::from_nanos(now.as_nanos() + 1 + (state >> 40))
            };
            for timer in 0..TIMERS {
                calendar.push(after(Time::ZERO), Class::Framework, timer);
            }
            for _ in 0..CHURN {
                let now = calendar.next_time().unwrap_or_default();
                if let Some(timer) = calendar.pop_due(now) {
                    calendar.push(after(now), Class::Framework, timer);
                }
            }
            calendar.next_time()
        });
    });
    group.finish();
}

/// Master, agents and messages: many short tasks on many agents.
fn full(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("full");
    group.sample_size(10);
    for agents in [1000, 100_000] {
        let model = support::model(&format!(
            "schema = 1\nname = \"full\"\nagents = [{{ count = {agents}, resources = \"cpus:4;mem:4096\" }}]\n\
             [[frameworks]]\nname = \"f\"\nrole = \"r\"\npolicy = \"skip\"\n\
             workload = {{ arrivals = {{ distribution = \"poisson\", rate_per_s = {} }}, limit = 200000, resources = \"cpus:1;mem:512\", \
             duration = {{ distribution = \"exponential\", mean = \"30s\" }} }}\n",
            agents / 10
        ));
        let events = play(model.clone()).record().events;
        group.throughput(Throughput::Elements(events));
        group.bench_function(format!("{agents} agents"), |bencher| {
            bencher.iter_batched(
                || model.clone(),
                |model| model.run(&mut Progress::silent()),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

/// The FGD paper's experiment, once: the openb cluster is filled to 130 %.
fn fgd(criterion: &mut Criterion) {
    let folder = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/papers/fgd"));
    let open = |name: &str| TraceFile::open(&folder.join(name)).expect("it is in the repository");
    let nodes = open("openb_node_list_gpu_node.csv.gz").nodes(Format::Openb, Malformed::Refuse);
    let pods = open("openb_pod_list_default.csv.gz").jobs(Format::Openb, Malformed::Refuse);
    let experiment =
        Inflation::new(&nodes.expect("it is well formed").rows, &pods.expect("it is well formed").rows);
    let mut group = criterion.benchmark_group("openb");
    group.sample_size(10);
    for (name, policy) in [("fgd", Placement::GradientDescent), ("best-fit", Placement::BestFit)] {
        group.bench_function(name, |bencher| bencher.iter(|| experiment.run(policy, 1, &[130])));
    }
    group.finish();
}

criterion_group!(benches, timers, w100k, full, fgd);
criterion_main!(benches);
