//! How tasks on one machine slow each other down.
//!
//! A task has work to do: its length, when it is alone. Among n tasks of its machine it gets on 1 / (1 + s · (n - 1)) times as
//! quickly. Whenever a task starts or ends, the others' ends move.

use std::time::Duration;

use apportion::time::Time;
use rustc_hash::FxHashMap;

use super::agent::RunId;

/// A task that will end by itself, or not.
#[derive(Debug)]
struct Working {
    run: RunId,
    /// What is left to do, in nanoseconds of a task that is alone; `None` for one that goes on for ever.
    left: Option<f64>,
}

/// Who runs where, and how far each has come.
#[derive(Debug)]
pub(super) struct Contention {
    slowdown: f64,
    /// By machine: since when, and who.
    machines: FxHashMap<u32, (Time, Vec<Working>)>,
    /// When each run ends as things are.
    ends: FxHashMap<RunId, Time>,
}

impl Contention {
    pub(super) fn new(slowdown: f64) -> Self {
        Contention { slowdown, machines: FxHashMap::default(), ends: FxHashMap::default() }
    }

    /// A run starts; appends when the machine's runs end now.
    pub(super) fn start(
        &mut self,
        now: Time,
        machine: u32,
        run: RunId,
        length: Option<Duration>,
        ends: &mut Vec<(RunId, Time)>,
    ) {
        let working = self.advance(now, machine);
        working.push(Working { run, left: length.map(|length| length.as_nanos() as f64) });
        self.plan(now, machine, ends);
    }

    /// A run is over; appends when the others on its machine end now.
    pub(super) fn end(&mut self, now: Time, machine: u32, run: RunId, ends: &mut Vec<(RunId, Time)>) {
        self.ends.remove(&run);
        let working = self.advance(now, machine);
        working.retain(|known| known.run != run);
        self.plan(now, machine, ends);
    }

    /// Whether a run ends now, and not at another time.
    pub(super) fn is_due(&self, now: Time, run: RunId) -> bool {
        self.ends.get(&run) == Some(&now)
    }

    /// Lets the machine's runs get on until now.
    fn advance(&mut self, now: Time, machine: u32) -> &mut Vec<Working> {
        let (since, working) = self.machines.entry(machine).or_insert_with(|| (now, Vec::new()));
        let done = now.since(*since).as_nanos() as f64 / pace(self.slowdown, working.len());
        for left in working.iter_mut().filter_map(|known| known.left.as_mut()) {
            *left = (*left - done).max(0.0);
        }
        *since = now;
        working
    }

    fn plan(&mut self, now: Time, machine: u32, ends: &mut Vec<(RunId, Time)>) {
        let Some((_, working)) = self.machines.get(&machine) else { return };
        let pace = pace(self.slowdown, working.len());
        for known in working {
            let Some(left) = known.left else { continue };
            // Rounded to whole nanoseconds: a few of them more or less are nothing to a task.
            let end = now + Duration::from_nanos((left * pace).round() as u64);
            if self.ends.insert(known.run, end) != Some(end) {
                ends.push((known.run, end));
            }
        }
    }
}

/// How much longer everything takes among so many.
fn pace(slowdown: f64, tasks: usize) -> f64 {
    1.0 + slowdown * tasks.saturating_sub(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_tasks_take_longer_together_than_alone() {
        // With slowdown 1 two tasks share a machine as if it were one core.
        let mut contention = Contention::new(1.0);
        let (second, mut ends) = (Duration::from_secs(1), Vec::new());
        contention.start(Time::ZERO, 0, RunId(0), Some(second * 10), &mut ends);
        assert_eq!(ends.pop(), Some((RunId(0), Time::from_secs(10))));
        contention.start(Time::from_secs(4), 0, RunId(1), Some(second * 2), &mut ends);
        assert_eq!(ends, [(RunId(0), Time::from_secs(16)), (RunId(1), Time::from_secs(8))]);
        assert!(!contention.is_due(Time::from_secs(10), RunId(0)));
        ends.clear();
        contention.end(Time::from_secs(8), 0, RunId(1), &mut ends);
        assert_eq!(ends, [(RunId(0), Time::from_secs(12))]);
        assert!(contention.is_due(Time::from_secs(12), RunId(0)));
    }
}
