//! What is measured, and how.
//!
//! All is reckoned after a run from its [`Record`](crate::engine::Record): starts and ends of tasks. So nothing that is measured,
//! and no interval of time series, can change what happens. Means over time are integrals of step functions divided by the length
//! of the run, never means of samples.
//!
//! | name | unit | definition |
//! | --- | --- | --- |
//! | `utilisation.<kind>` | share | what tasks use, divided by what all agents have |
//! | `roles.<role>.dominant_share` | share | of the kinds that the cluster has, the largest share that the tasks of the role and its children use |
//! | `jain_index` | | mean over time of (Σx)² / (n Σx²), where x is the dominant share divided by the weight, over the n roles that then run or wait for something; 1 when it is fair, 1/n when one has all |
//! | `wait_s` | s | of each job of which a task has started: from its arrival to the start of its first task |
//! | `jct_s` | s | of each job that has ended: from its arrival to the end of its last task |
//! | `bounded_slowdown` | | of each such job: max(1, JCT / max(run time, 10 s)), where the run time is from its first start to its last end |
//! | `makespan_s` | s | when the last task ended |
//! | `fragmentation` | share | FGD's F (Weng et al., ATC 2023), divided by what is idle: [`fragmentation`](Fragmentation) |
//! | `offers`, `declines` | | offers made to a framework, and those of which it used nothing |
//! | `offers_per_cycle` | | offers of all frameworks, divided by the allocations that were made |
//! | `decline_ratio` | share | declines of all frameworks, divided by their offers |
//! | `preemptions` | | runs of tasks that were ended to make room for others |
//! | `busyness` | share | of the run's time, how long a framework was deciding |
//! | `conflict_fraction` | | acceptances that came too late, since others had taken what they used, divided by those that did not (Omega's conflicts per transaction) |
//! | `held_cpus` | cores | mean over time of the cores that were offered to a framework alone while it decided |
//! | `goodput` | share | of the time that tasks used, weighted with their cores, the part of those that finished |
//!
//! Percentiles are interpolated between the two values around them (method 7 of Hyndman and Fan, as NumPy and R do).

mod changes;
mod fragmentation;
mod jain;
mod jobs;
mod shares;
mod spread;
mod timeline;

pub use fragmentation::Fragmentation;
pub use jobs::{JobTimes, job_times, jobs_of};
pub(crate) use shares::framework_shares;
pub use spread::Spread;
pub use timeline::{AgentSample, FrameworkUse, RoleSample, RoleUse, Timeline, Use};

/// A time in seconds from the start.
pub(crate) fn seconds_of(time: apportion::time::Time) -> f64 {
    time.as_nanos() as f64 / 1e9
}
