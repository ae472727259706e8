//! What comes out of a simulation.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::queue::QueueRecord;
use crate::simulation::Simulation;

/// A run in numbers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The scenario's name.
    pub name: String,
    /// Virtual time from the start to the end, in seconds.
    pub virtual_s: f64,
    /// When the last task ended, in seconds.
    pub makespan_s: f64,
    /// How many events were handled.
    pub events: u64,
    /// Tasks that ended with success, of all frameworks.
    pub tasks_finished: u64,
    /// Tasks that ended otherwise.
    pub tasks_failed: u64,
    /// Tasks that never started.
    pub tasks_pending: u64,
    /// By name.
    pub frameworks: BTreeMap<String, QueueRecord>,
}

impl Summary {
    /// The numbers of a simulation as it stands.
    pub fn of(name: &str, simulation: &Simulation) -> Self {
        let frameworks: BTreeMap<String, QueueRecord> =
            simulation.frameworks().map(|(id, framework)| (id.to_string(), framework.record())).collect();
        let sum = |count: fn(&QueueRecord) -> u64| frameworks.values().map(count).sum();
        let last_end = frameworks.values().map(|record| record.last_end_ns).max().unwrap_or(0);
        Summary {
            name: name.to_owned(),
            virtual_s: simulation.elapsed().as_secs_f64(),
            makespan_s: last_end as f64 / 1e9,
            events: simulation.events(),
            tasks_finished: sum(|record| record.tasks_finished),
            tasks_failed: sum(|record| record.tasks_failed),
            tasks_pending: sum(|record| record.tasks_pending),
            frameworks,
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {:.3} s of virtual time, {} events", self.name, self.virtual_s, self.events)?;
        writeln!(
            f,
            "tasks: {} finished, {} failed, {} pending; the last ended at {:.3} s",
            self.tasks_finished, self.tasks_failed, self.tasks_pending, self.makespan_s
        )?;
        writeln!(
            f,
            "{:<20} {:>10} {:>8} {:>8} {:>8} {:>8} {:>12}",
            "framework", "finished", "pending", "most", "offers", "declines", "mean wait"
        )?;
        for (name, record) in &self.frameworks {
            let launched = record.tasks_finished + record.tasks_failed + record.running;
            let wait_s = record.wait_ns as f64 / 1e9 / launched.max(1) as f64;
            writeln!(
                f,
                "{name:<20} {:>10} {:>8} {:>8} {:>8} {:>8} {wait_s:>10.3} s",
                record.tasks_finished,
                record.tasks_pending,
                record.running_max,
                record.offers,
                record.declines
            )?;
        }
        Ok(())
    }
}
