//! The allocator alone, on the workloads that Mesos' own benchmarks made known. Each prints its figures: agents,
//! frameworks, offers, processor time, time per offer, and the peak of memory.
//!
//! Medians on a virtual machine of two cores that did other things as well, beside Mesos 1.11's allocator on one of the same kind:
//!
//! | workload | Mesos: CPU, memory | here: CPU, peak |
//! | --- | --- | --- |
//! | cycle 10,000 x 200 own roles | 432 ms, 1.5 GB | 2.7 to 3.4 ms, 26 MB |
//! | cycle 10,000 x 1,000 own roles | 1,446 ms, 5.9 GB | 3.8 to 4.6 ms, 29 MB |
//! | cycle 50,000 x 200 own roles | 3,547 ms, 7.4 GB | 16 to 21 ms, 82 MB |
//! | cycle 1,000,000 x 1,000 own roles | out of reach | 370 to 480 ms, 1.4 GB |
//! | add 1,000 frameworks to 10,000 agents | 43.6 s | 0.4 ms |
//! | recover 10,000 offers | 345 ms | 2.0 ms |
//! | decline 10,000 x 200, long filters | 706 ms | 7.8 ms, 88 MB |
//! | all filtered 1,000 x 50 | 500 ms | below 1 us |
//! | quota 2,500 + 500 roles, 3,000 agents | 17.9 s; idle 15.4 s | 12 to 17 ms; idle below 1 us |
//! | 100 agents change in 50,000 x 200 | a full cycle | 0.07 ms |
//! | preempt for 64 tasks, 10,000 x 200, 100,000 run | does not | 190 ms, 47 MB |
//!
//! `cargo bench --bench allocator -- 'cycle 10,000'` runs those whose names contain the text.

mod cluster;
#[path = "../support/counting.rs"]
mod counting;
mod measure;

use std::time::Duration;

use cluster::{BIG, Cluster, FRAGMENTED, Roles};
use criterion::{Criterion, criterion_group, criterion_main};
use measure::CpuTime;

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// Every offer is recovered in full, without a filter, and one cycle offers everything again.
fn cycle(c: &mut Criterion<CpuTime>) {
    for (name, agents, frameworks, roles) in [
        ("cycle 10,000 x 200 own roles", 10_000, 200, Roles::Own),
        ("cycle 10,000 x 200 shared role", 10_000, 200, Roles::Shared),
        ("cycle 10,000 x 1,000 own roles", 10_000, 1_000, Roles::Own),
        ("cycle 50,000 x 200 own roles", 50_000, 200, Roles::Own),
    ] {
        let whole = || {
            let mut cluster = Cluster::of(agents, frameworks, roles);
            cluster.cycle();
            cluster
        };
        measure::bench(c, name, whole, |cluster, figures| {
            cluster.recover(Duration::ZERO);
            figures.time(|| cluster.cycle());
        });
    }
}

/// A million agents, once from nothing to all offered, then as the other cycles.
fn million(c: &mut Criterion<CpuTime>) {
    let all = || Cluster::of(1_000_000, 1_000, Roles::Own);
    measure::bench(c, "cycle 1,000,000 x 1,000 own roles", all, |cluster, figures| {
        cluster.recover(Duration::ZERO);
        figures.time(|| cluster.cycle());
    });
}

/// A thousand frameworks, each in a role of its own, join ten thousand agents, one after the other; nothing is allocated
/// before all are there.
fn add_frameworks(c: &mut Criterion<CpuTime>) {
    let agents = || Cluster::of(10_000, 0, Roles::Own);
    measure::bench(c, "add 1,000 frameworks to 10,000 agents", agents, |cluster, figures| {
        figures.time(|| cluster.add_frameworks(1_000, Roles::Own));
        cluster.remove_frameworks();
    });
}

/// All offers come back.
fn recover(c: &mut Criterion<CpuTime>) {
    let whole = || Cluster::of(10_000, 200, Roles::Own);
    measure::bench(c, "recover 10,000 offers", whole, |cluster, figures| {
        cluster.cycle();
        figures.time(|| cluster.recover(Duration::ZERO));
    });
}

/// Agents partly in use, their ports in 16 ranges; every offer is declined with the longest filter before the cycle,
/// until everyone has declined everything.
fn decline(c: &mut Criterion<CpuTime>) {
    let used = || {
        let mut cluster = Cluster::of(0, 200, Roles::Shared);
        for agent in 0..10_000 {
            cluster.add_agent_in_use(BIG, &format!("cpus:16;mem:2014;disk:1024;{FRAGMENTED}"), agent);
        }
        cluster.cycle();
        cluster
    };
    measure::bench(c, "decline 10,000 x 200, long filters", used, |cluster, figures| {
        if cluster.is_nothing_out() {
            cluster.revive();
            cluster.cycle();
        }
        cluster.recover(YEAR);
        figures.time(|| cluster.cycle());
    });
}

/// Every framework has filtered every agent: a cycle has nothing to do.
fn all_filtered(c: &mut Criterion<CpuTime>) {
    let filtered = || {
        let mut cluster = Cluster::of(1_000, 50, Roles::Own);
        for _ in 0..50 {
            cluster.cycle();
            cluster.recover(YEAR);
        }
        cluster.cycle();
        cluster
    };
    measure::bench(c, "all filtered 1,000 x 50", filtered, |cluster, figures| {
        figures.time(|| cluster.cycle());
    });
}

/// Many roles with small guarantees, some with large ones, and as many agents as the guarantees need and a few more.
fn quota(c: &mut Criterion<CpuTime>) {
    let cluster = || Cluster::with_quotas(2_500, 500);
    measure::bench(c, "quota 2,500 + 500 roles, 3,000 agents", cluster, |cluster, figures| {
        cluster.recover(Duration::ZERO);
        figures.time(|| cluster.cycle());
    });
    let satisfied = || {
        let mut cluster = Cluster::with_quotas(2_500, 500);
        cluster.cycle();
        cluster.cycle();
        cluster
    };
    measure::bench(c, "quota 2,500 + 500 roles, 3,000 agents, idle", satisfied, |cluster, figures| {
        figures.time(|| cluster.cycle());
    });
}

/// A hundred of many agents change, without quotas and with one that binds nobody.
fn few_change(c: &mut Criterion<CpuTime>) {
    let whole = || Cluster::of(50_000, 200, Roles::Own);
    let limited = || {
        let mut cluster = whole();
        cluster.add_loose_quota();
        cluster
    };
    measure_few(c, "100 agents change in 50,000 x 200", whole);
    measure_few(c, "100 agents change in 50,000 x 200, one role limited", limited);
}

fn measure_few(c: &mut Criterion<CpuTime>, name: &str, cluster: impl Fn() -> Cluster) {
    let full = || {
        let mut cluster = cluster();
        cluster.cycle();
        cluster
    };
    measure::bench(c, name, full, |cluster, figures| {
        figures.time(|| {
            cluster.recover_some(100);
            cluster.cycle()
        });
    });
}

/// Every agent is full, and room is made for 64 tasks, two others each.
fn preempt(c: &mut Criterion<CpuTime>) {
    let full = || Cluster::full(10_000, 200);
    measure::bench(c, "preempt for 64 tasks, 10,000 x 200, 100,000 run", full, |cluster, figures| {
        cluster.wait_for_preemption();
        let mut made = Vec::new();
        figures.time(|| made = cluster.preempt());
        assert_eq!(made.len(), 64);
    });
}

fn configured() -> Criterion<CpuTime> {
    Criterion::default()
        .with_measurement(CpuTime)
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1))
}

criterion_group! {
    name = benches;
    config = configured();
    targets = cycle, add_frameworks, recover, decline, all_filtered, quota, few_change, preempt, million
}
criterion_main!(benches);
