//! Measures processor time and memory, and prints the figures of a workload.

use std::time::Duration;

use criterion::Criterion;
use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use rustix::time::{ClockId, clock_gettime};

use crate::cluster::Cluster;
use crate::counting;

/// The processor time that this process has used.
fn cpu() -> Duration {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(used.tv_sec as u64, used.tv_nsec as u32)
}

/// Processor time instead of wall time: the machine may be busy with other things.
pub(crate) struct CpuTime;

impl Measurement for CpuTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        cpu()
    }

    fn end(&self, start: Duration) -> Duration {
        cpu() - start
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        *a + *b
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        WallTime.to_f64(value)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

/// What rounds of a workload took.
#[derive(Default)]
pub(crate) struct Figures {
    rounds: Vec<Duration>,
}

impl Figures {
    /// Does what is to be measured; the rest of a round is not.
    pub(crate) fn time(&mut self, work: impl FnOnce()) {
        let start = cpu();
        work();
        self.rounds.push(cpu() - start);
    }

    fn median(&mut self) -> Duration {
        self.rounds.sort_unstable();
        self.rounds.get(self.rounds.len() / 2).copied().unwrap_or_default()
    }
}

/// Sets a cluster up, then measures rounds on it.
pub(crate) fn bench(
    c: &mut Criterion<CpuTime>,
    name: &str,
    set_up: impl Fn() -> Cluster,
    round: impl Fn(&mut Cluster, &mut Figures),
) {
    let mut state: Option<Cluster> = None;
    let before = counting::forget_peak();
    let mut all = Figures::default();
    c.bench_function(name, |bencher| {
        let cluster = state.get_or_insert_with(&set_up);
        bencher.iter_custom(|rounds| {
            let mut figures = Figures::default();
            for _ in 0..rounds {
                round(cluster, &mut figures);
            }
            let sum = figures.rounds.iter().sum();
            all.rounds.append(&mut figures.rounds);
            sum
        });
    });
    let Some(cluster) = state else { return };
    let peak = counting::peak() - before;
    let median = all.median();
    let per_offer = median.as_nanos() as f64 / cluster.offered().max(1) as f64;
    println!(
        "{name}: {} agents, {} frameworks, {} offers, {:.3} ms CPU, {per_offer:.0} ns per offer, {:.1} MB at most\n",
        cluster.agents(),
        cluster.frameworks(),
        cluster.offered(),
        median.as_secs_f64() * 1e3,
        peak as f64 / 1e6,
    );
}
