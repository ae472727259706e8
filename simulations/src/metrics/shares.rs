//! Dominant shares of frameworks over time.

use apportion::resources::{Kind, Quantities};

use crate::engine::{Outcome, Record};
use crate::scenario::Model;
use crate::values::Span;

/// Of each framework, the mean of its dominant share of the cluster in each interval of a run.
pub(crate) fn framework_shares(model: &Model, record: &Record, interval: Span) -> Vec<Vec<f64>> {
    let mut totals = Quantities::new();
    model.agents.iter().for_each(|agent| totals.add(&agent.resources.quantities()));
    let kinds: Vec<(Kind, f64)> =
        totals.iter().map(|(kind, amount)| (kind.clone(), amount.milli().max(1) as f64)).collect();
    let mut changes = Vec::with_capacity(record.tasks.len() * 2);
    for task in &record.tasks {
        changes.push((task.start.as_nanos(), task.framework, task.job, 1));
        if task.outcome != Outcome::Running {
            changes.push((task.end.as_nanos(), task.framework, task.job, -1));
        }
    }
    changes.sort_unstable();
    let (end, length) = (record.end.as_nanos(), interval.nanos().max(1));
    let intervals = end.div_ceil(length) as usize;
    let mut all = vec![
        Walk { used: vec![0; kinds.len()], since: 0, share: 0.0, sums: vec![0.0; intervals] };
        model.frameworks.len()
    ];
    for (at, framework, job, sign) in changes {
        let Some(known) = model.frameworks.get(framework as usize) else { continue };
        let Some(job) = known.workload.jobs.get(job as usize) else { continue };
        let walk = &mut all[framework as usize];
        walk.advance(at, length);
        let amounts = &known.workload.classes[job.class as usize].amounts;
        for (used, (kind, _)) in walk.used.iter_mut().zip(&kinds) {
            *used += sign * amounts.get(kind).milli();
        }
        let shares = walk.used.iter().zip(&kinds).map(|(used, (_, total))| *used as f64 / total);
        walk.share = shares.fold(0.0, f64::max);
    }
    let finish = |mut walk: Walk| {
        walk.advance(end, length);
        let lasts = |place: usize| (end - place as u64 * length).min(length) as f64;
        walk.sums.into_iter().enumerate().map(|(place, sum)| sum / lasts(place)).collect()
    };
    all.into_iter().map(finish).collect()
}

/// One framework while the walk goes on.
#[derive(Clone)]
struct Walk {
    used: Vec<i64>,
    since: u64,
    share: f64,
    /// Integrals of the share over each interval.
    sums: Vec<f64>,
}

impl Walk {
    fn advance(&mut self, to: u64, length: u64) {
        while self.since < to {
            let place = self.since / length;
            let until = ((place + 1) * length).min(to);
            if let Some(sum) = self.sums.get_mut(place as usize) {
                *sum += self.share * (until - self.since) as f64;
            }
            self.since = until;
        }
    }
}
