//! Fair sharing between the jobs of a framework: the next task is of the job that has the least.
//!
//! What a job has is the dominant share of its running tasks, reckoned against the most that an agent has of each kind; so jobs of
//! small tasks get more of them. Of jobs that have the same, the one that arrived first is next. A gang goes as a whole.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use apportion::resources::Quantities;
use rustc_hash::FxHashMap;

use super::options::QueuePolicy;
use super::queue::QueueFramework;
use super::shelf::Shelf;
use crate::workload::Workload;

/// What each job has.
#[derive(Debug)]
pub(super) struct FairShares {
    /// How many of its tasks run, by job.
    running: Vec<u32>,
    /// What one task counts, by class: its dominant share of the largest agent, in millionths.
    each: Vec<u64>,
}

impl FairShares {
    pub(super) fn new(workload: &Workload, largest: &Quantities) -> Self {
        let share = |amounts: &Quantities| {
            let shares = amounts.iter().map(|(kind, amount)| {
                amount.milli() as u64 * 1_000_000 / (largest.get(kind).milli() as u64).max(1)
            });
            shares.max().unwrap_or(0)
        };
        FairShares {
            running: vec![0; workload.jobs.len()],
            each: workload.classes.iter().map(|class| share(&class.amounts)).collect(),
        }
    }

    /// What a job of a class has.
    pub(super) fn of(&self, job: u32, class: u32) -> u64 {
        u64::from(self.running[job as usize]) * self.each[class as usize]
    }
}

impl QueueFramework {
    /// So many more (or fewer) tasks of a job run: under the fair policy, which alone counts them, it moves in the line.
    pub(super) fn note_running(&mut self, job: u32, change: i32) {
        if self.options.policy != QueuePolicy::Fair {
            return;
        }
        let class = self.workload.jobs[job as usize].class;
        let before = self.shares.of(job, class);
        let running = &mut self.shares.running[job as usize];
        *running = running.saturating_add_signed(change);
        self.line.rekey(class, job, before, self.shares.of(job, class));
    }

    /// Launches task by task of whoever has the least; leaves a class alone as soon as a job of it does not fit.
    pub(super) fn serve_fairly(&mut self, shelf: &mut Shelf<'_>) {
        let mut firsts = FxHashMap::default();
        let mut turns: BinaryHeap<_> = self.line.heads().map(Reverse).collect();
        while let Some(Reverse((entry, class))) = turns.pop() {
            let following = self.line.after(class, entry);
            if self.place_next(entry, class, shelf, firsts.entry(class).or_default()) {
                turns.extend(self.line.head_of(class).map(|head| Reverse((head, class))));
            } else if self.job(entry.job).is_gang() {
                turns.extend(following.map(|next| Reverse((next, class))));
            }
        }
    }
}
