//! What happened in a run: all that metrics are reckoned from.

use apportion::time::Time;
use rustc_hash::FxHashMap;

use super::offers::OfferHistory;
use crate::digest::Digest;

/// How a task's run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It ran when the simulation ended.
    Running,
    /// With success.
    Finished,
    /// Without.
    Failed,
    /// It was stopped on request.
    Killed,
    /// It made room for others; it runs again.
    Preempted,
    /// Its agent failed; it runs again.
    Lost,
}

impl Outcome {
    /// As tables write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Running => "running",
            Outcome::Finished => "finished",
            Outcome::Failed => "failed",
            Outcome::Killed => "killed",
            Outcome::Preempted => "preempted",
            Outcome::Lost => "lost",
        }
    }
}

/// One run of a task: from its start on an agent to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskRun {
    /// The place of its framework.
    pub framework: u32,
    /// The place of its job in the framework's workload.
    pub job: u32,
    /// Which task of the job, from 0.
    pub index: u32,
    /// The place of its agent.
    pub agent: u32,
    /// When it started.
    pub start: Time,
    /// When it ended; [`Time::MAX`] while it runs.
    pub end: Time,
    /// How it ended.
    pub outcome: Outcome,
}

/// What a framework went through, besides its tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameworkRecord {
    /// Offers that it was made.
    pub offers: u64,
    /// Offers of which it used nothing.
    pub declines: u64,
    /// Offers that were taken back.
    pub rescinds: u64,
    /// How long it was deciding, in nanoseconds.
    pub busy_ns: u64,
    /// Acceptances of offers that it sent.
    pub accepts: u64,
    /// How many of them came too late, since others had taken what they used.
    pub conflicts: u64,
    /// What it held of the cluster's cores while it decided, in thousandths of a core, times nanoseconds.
    pub held_cpu_ns: u128,
    /// How many of its jobs have arrived.
    pub arrived: usize,
    /// Whether it runs tasks again that have failed.
    pub retries: bool,
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// All tasks that end by themselves have ended.
    AllDone,
    /// Its time was up.
    Until,
    /// Tasks wait that nobody will ever place: nothing runs that would make room.
    Stalled,
}

impl FrameworkRecord {
    /// Whether a task whose run ended like this is run again.
    pub fn runs_again(&self, outcome: Outcome) -> bool {
        match outcome {
            Outcome::Running | Outcome::Finished => false,
            Outcome::Failed | Outcome::Killed => self.retries,
            Outcome::Preempted | Outcome::Lost => true,
        }
    }
}

/// Parts of shared GPUs of an agent, by the place of the run of a task that had them: the device's number, and thousandths of it.
pub type GpuParts = FxHashMap<u32, Vec<(usize, u32)>>;

/// A run as it happened.
#[derive(Clone, Debug)]
pub struct Record {
    /// Every run of every task, in the order of their starts.
    pub tasks: Vec<TaskRun>,
    /// The parts of shared GPUs that they had, by their place; none for those that had none.
    pub gpu_parts: GpuParts,
    /// By the place of the framework.
    pub frameworks: Vec<FrameworkRecord>,
    /// How many allocations there were.
    pub cycles: u64,
    /// What each framework was offered when.
    pub offers: OfferHistory,
    /// When the run ended.
    pub end: Time,
    /// Why.
    pub ending: Ending,
    /// How many events were handled.
    pub events: u64,
    /// The hash of all of them, in their order.
    pub digest: Digest,
}
