//! A run: a model, what happened, and the numbers of it.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::engine::{Progress, Record, RunError, Simulation};
use crate::metrics::{JobTimes, Timeline, job_times};
use crate::output::Summary;
use crate::scenario::Model;

/// A run that has ended.
#[derive(Debug)]
pub struct Run {
    model: Model,
    record: Record,
    jobs: Vec<JobTimes>,
    wall: Duration,
    summary: OnceLock<Summary>,
}

impl Model {
    /// Runs the model.
    ///
    /// # Errors
    /// When the simulation can't go on.
    pub fn run(self, progress: &mut Progress<'_>) -> Result<Run, RunError> {
        let started = Instant::now();
        let mut simulation = Simulation::new(&self)?;
        let record = simulation.run(self.until, progress)?;
        let wall = started.elapsed();
        let jobs = job_times(&self, &record);
        Ok(Run { model: self, record, jobs, wall, summary: OnceLock::new() })
    }
}

impl Run {
    /// What was run.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// What happened.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The lives of its jobs.
    pub fn jobs(&self) -> &[JobTimes] {
        &self.jobs
    }

    /// The numbers of it.
    pub fn summary(&self) -> &Summary {
        self.summary.get_or_init(|| {
            let timeline = Timeline::of(&self.model, &self.record, false);
            Summary::new(&self.model, &self.record, &self.jobs, &timeline, self.wall)
        })
    }
}
