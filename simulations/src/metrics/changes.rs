//! What changed in a run, from its beginning to its end.

use std::cmp::Reverse;

use apportion::time::Time;
use dary_heap::QuaternaryHeap;

use crate::engine::{Outcome, Record};
use crate::scenario::Model;

/// A change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    End { run: u32 },
    Arrival { framework: u32, tasks: u32 },
    Start { run: u32 },
}

/// The changes of a run with their times. Of one time, ends come first, then arrivals, then starts; each by numbers. Only the end of
/// a task that ends as it starts comes after that.
///
/// Nothing is sorted: starts and each framework's arrivals are recorded in the order of time, and the ends of what runs wait in a heap.
pub(super) struct Changes<'a> {
    model: &'a Model,
    record: &'a Record,
    /// How many starts were told.
    started: u32,
    /// Of each framework that has any, the next arrival: when, whose, and its place.
    arrivals: QuaternaryHeap<Reverse<(Time, u32, usize)>>,
    ends: QuaternaryHeap<Reverse<(Time, u32)>>,
}

impl<'a> Changes<'a> {
    pub(super) fn of(model: &'a Model, record: &'a Record) -> Self {
        let mut changes = Changes {
            model,
            record,
            started: 0,
            arrivals: QuaternaryHeap::new(),
            ends: QuaternaryHeap::new(),
        };
        (0..model.frameworks.len() as u32).for_each(|framework| changes.expect_arrival(framework, 0));
        changes
    }

    fn expect_arrival(&mut self, framework: u32, place: usize) {
        let (known, seen) =
            (self.model.frameworks.get(framework as usize), self.record.frameworks.get(framework as usize));
        let (Some(known), Some(seen)) = (known, seen) else { return };
        if let Some(job) = known.workload.jobs.get(place).filter(|_| place < seen.arrived) {
            self.arrivals.push(Reverse((job.at, framework, place)));
        }
    }

    fn start(&mut self, run: u32) -> What {
        self.started += 1;
        let task = &self.record.tasks[run as usize];
        if task.outcome != Outcome::Running {
            self.ends.push(Reverse((task.end, run)));
        }
        What::Start { run }
    }
}

impl Iterator for Changes<'_> {
    type Item = (Time, What);

    fn next(&mut self) -> Option<(Time, What)> {
        let start = self.record.tasks.get(self.started as usize).map(|task| task.start);
        let arrival = self.arrivals.peek().map(|Reverse((at, ..))| *at);
        let end = self.ends.peek().map(|Reverse((at, _))| *at);
        let next = [start, arrival, end].into_iter().flatten().min()?;
        if end == Some(next) {
            let Reverse((at, run)) = self.ends.pop()?;
            return Some((at, What::End { run }));
        }
        if arrival == Some(next) {
            let Reverse((at, framework, place)) = self.arrivals.pop()?;
            self.expect_arrival(framework, place + 1);
            let tasks = self.model.frameworks[framework as usize].workload.jobs[place].tasks;
            return Some((at, What::Arrival { framework, tasks }));
        }
        let run = self.started;
        Some((next, self.start(run)))
    }
}
