//! A synthetic workload that simulators are compared by: a hundred thousand jobs of one task on a thousand machines.
//!
//! It is made of whole numbers from one stream (splitmix64), so that every implementation gives the same jobs. In the order of the
//! draws, for each job: when it arrives (modulo the horizon), how long it runs (60 to 3600 s), its cores (1, 2, 4 or 8), its
//! memory (1, 2, 4 or 8 GiB) and its role (r0 to r3).

use apportion::resources::{GpuRequest, Scalar};

use super::TraceJob;
use crate::values::Span;
use crate::workload::{Workload, WorkloadBuilder};

/// The workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct W100k {
    /// Jobs arrive within so many seconds. With 26,800 they ask for 80 % of the machines' cores, with 20,000 for 107 %.
    pub horizon_s: u64,
    /// How many jobs.
    pub jobs: usize,
    /// What the stream begins with.
    pub seed: u64,
}

impl W100k {
    /// As published.
    pub const STANDARD: Self = W100k { horizon_s: 26_800, jobs: 100_000, seed: 42 };
    /// The same jobs in less time: more than the machines can do.
    pub const HOT: Self = W100k { horizon_s: 20_000, ..Self::STANDARD };
    /// What each machine has, of which there are [`MACHINES`](Self::MACHINES).
    pub const MACHINE: &'static str = "cpus:32;mem:131072";
    /// How many machines there are.
    pub const MACHINES: usize = 1000;
    /// How many roles the jobs are of: `r0`, `r1` and so on.
    pub const ROLES: usize = 4;

    /// The jobs, in the order of their arrival; names are their numbers in that order.
    pub fn jobs(self) -> Vec<TraceJob> {
        let mut state = self.seed;
        let mut draw = |bound: u64| {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut mixed = state;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            (mixed ^ (mixed >> 31)) % bound
        };
        let seconds = |seconds: u64| Span::from_nanos(seconds * 1_000_000_000);
        let mut jobs: Vec<TraceJob> = (0..self.jobs)
            .map(|_| TraceJob {
                submit: seconds(draw(self.horizon_s)),
                runtime: Some(seconds(60 + draw(3541))),
                cpus: Scalar::whole(1 << draw(4)),
                mem: Scalar::whole(1024 << draw(4)),
                queue: format!("r{}", draw(Self::ROLES as u64)),
                tasks: 1,
                gpus: GpuRequest::NONE,
                ..TraceJob::default()
            })
            .collect();
        jobs.sort_by_key(|job| job.submit);
        for (number, job) in jobs.iter_mut().enumerate() {
            job.id = number.to_string();
        }
        jobs
    }

    /// What a framework of one of the roles plays, from 0; `None`: of all.
    pub fn workload(self, role: Option<usize>) -> Workload {
        let queue = role.map(|role| format!("r{role}"));
        let mut builder = WorkloadBuilder::default();
        for job in self.jobs().iter().filter(|job| queue.as_ref().is_none_or(|queue| job.queue == *queue)) {
            builder.push_traced(job);
        }
        builder.finish(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_jobs_are_those_of_the_published_generator() {
        let jobs = W100k::STANDARD.jobs();
        let cores = |job: &TraceJob| job.cpus.milli() as u64 / 1000;
        let work: u64 =
            jobs.iter().map(|job| cores(job) * (job.runtime.unwrap().nanos() / 1_000_000_000)).sum();
        assert_eq!((jobs.len(), work), (100_000, 685_973_780));
    }
}
