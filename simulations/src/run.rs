//! A run: a model, what happened, and the numbers of it.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::SimulationBuilder;
use crate::engine::{Progress, Record, RunError};
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

/// When a run began.
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Clock(Instant::now())
    }
}

impl Model {
    /// Runs the model.
    ///
    /// # Errors
    /// When the simulation can't go on.
    pub fn run(self, progress: &mut Progress<'_>) -> Result<Run, RunError> {
        SimulationBuilder::of(self).run_telling(progress)
    }
}

impl Run {
    pub(crate) fn new(model: Model, record: Record, clock: Clock) -> Self {
        let wall = clock.0.elapsed();
        let jobs = job_times(&model, &record);
        Run { model, record, jobs, wall, summary: OnceLock::new() }
    }

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
        self.summary.get_or_init(|| self.summarise(&Timeline::of(&self.model, &self.record, false)))
    }

    /// The same, where the timeline is at hand.
    pub(crate) fn summary_by(&self, timeline: &Timeline) -> &Summary {
        self.summary.get_or_init(|| self.summarise(timeline))
    }

    fn summarise(&self, timeline: &Timeline) -> Summary {
        Summary::new(&self.model, &self.record, &self.jobs, timeline, self.wall)
    }
}
