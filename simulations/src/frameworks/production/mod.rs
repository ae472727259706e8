//! The frameworks of production, in virtual time: `apportion-batch` and `apportion-service`, unchanged.
//!
//! A job of a workload is submitted to [`BatchParty`] as a batch job of one step, or to [`ServiceParty`] as a service with a replica
//! for each task. Requests are the very ones that operators send. What a task runs is the command `timer <job>`, which simulated
//! agents play.
//!
//! Tasks that fail are run again, without end, after the frameworks' own backoff. An instance of a service whose task has a length
//! ends by itself; its operator then scales the service down by one, and takes it away with the last.

mod batch;
mod service;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use apportion::protocol::Command;
use apportion::resources::{Kind, Quantities, Role};
use apportion::scheduler::{Alignment, GradientDescent, Placement, Planned, RandomFit, Reconciler};
use apportion::spec::{Cpus, Memory, SharedGpus, StopTable, TaskTable};

pub use batch::BatchParty;
pub use service::ServiceParty;

use super::own::OwnPlacement;
use super::timer::TIMER;
use crate::random::Stream;
use crate::workload::{TaskClass, Workload};

/// Whether specs can say what the jobs of a workload need: whole MiB, whole GPUs of any model, and gangs in the batch framework alone.
pub fn can_be_specified(workload: &Workload, as_batch: bool) -> bool {
    let is_plain = |class: &TaskClass| class.gpu_models.is_empty() && task_table(class, 0).is_some();
    workload
        .jobs
        .iter()
        .all(|job| job.tasks <= MAX_TASKS && (!job.is_gang() || as_batch && job.tasks <= MAX_GANG))
        && workload.classes.iter().all(is_plain)
}

/// So many tasks a job has at most in either framework.
const MAX_TASKS: u32 = apportion_service::MAX_REPLICAS;

/// So many tasks a gang of the batch framework has at most.
const MAX_GANG: u32 = 4096;

/// What a task of a class needs, as a spec; `None` when specs can't say that.
fn task_table(class: &TaskClass, job: u32) -> Option<TaskTable> {
    let mut table = TaskTable {
        command: Command::Argv(vec![TIMER.to_owned(), job.to_string()]),
        env: BTreeMap::new(),
        cpus: Cpus::from_milli(0),
        memory: Memory::from_mib(0),
        disk: Memory::from_mib(0),
        gpus: 0,
        shared_gpus: SharedGpus::new(class.shape.gpus)?,
        ports: Vec::new(),
        stop: StopTable::default(),
        timeout: None,
        user: None,
    };
    for (kind, amount) in class.amounts.iter() {
        let milli = u32::try_from(amount.milli()).ok();
        let whole = (amount.milli() % 1000 == 0).then(|| u32::try_from(amount.milli() / 1000).ok()).flatten();
        match kind {
            Kind::Cpus => table.cpus = Cpus::from_milli(milli?),
            Kind::Mem => table.memory = Memory::from_mib(whole?),
            Kind::Disk => table.disk = Memory::from_mib(whole?),
            Kind::Gpus => table.gpus = whole?,
            _ if kind.is_gpu_milli() && !class.shape.gpus.is_none() => {}
            _ => return None,
        }
    }
    Some(table)
}

/// A name for a job that every spec takes.
fn job_name(job: u32) -> String {
    format!("j{job}")
}

/// What a party is made of.
#[derive(Debug)]
pub struct Blueprint {
    /// The framework's name.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// Where tasks go.
    pub placement: Placement,
    /// A policy that goes before that.
    pub own: Option<OwnPlacement>,
    /// How many tasks are launched on an offer before the rest is given back.
    pub per_offer: u32,
    /// Its jobs.
    pub workload: Arc<Workload>,
    /// The most that an agent has of each kind.
    pub largest: Quantities,
    /// What random placements draw from.
    pub stream: Stream,
}

impl Blueprint {
    /// The scheduler of a production framework, with a placement.
    fn scheduler<R: Reconciler>(mut self, reconciler: R) -> Planned<R> {
        let planned = Planned::new(reconciler);
        let planned = match self.placement {
            _ if self.own.is_some() => self.own.into_iter().fold(planned, Planned::score),
            Placement::Random => planned.score(RandomFit { seed: self.stream.bits() }),
            Placement::DotProduct => planned.score(Alignment::new(self.largest)),
            Placement::GradientDescent => {
                let tasks = self.workload.tasks_by_class();
                let shapes = tasks.into_iter().map(|(class, count)| (&class.shape, count));
                planned.score(GradientDescent::expecting(shapes))
            }
            // The others need to know nothing of what is to come.
            other => planned.placing(other),
        };
        match NonZeroU32::new(self.per_offer) {
            Some(limit) if limit < NonZeroU32::MAX => planned.per_offer(limit),
            _ => planned,
        }
    }
}
