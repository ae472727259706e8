//! What frameworks run: jobs of tasks, with all that was to be drawn drawn.

use apportion::resources::{GpuRequest, Quantities, Resources, Scalar, Shape, WHOLE_GPU};
use apportion::time::Time;
use compact_str::CompactString;
use rustc_hash::FxHashMap;

use crate::gpus;
use crate::scenario::JobDecision;
use crate::traces::TraceJob;
use crate::values::Span;

/// What all tasks of a class need. Classes are numbered by their first appearance in a workload.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskClass {
    /// What each task takes of an offer.
    pub shape: Shape,
    /// The same in amounts.
    pub amounts: Quantities,
    /// The GPUs among them, shared or not, by device.
    pub gpus: GpuRequest,
    /// Models of GPU that will do; any when there are none.
    pub gpu_models: Vec<String>,
}

/// How long the tasks of a job run.
#[derive(Clone, Debug, PartialEq)]
pub enum Lengths {
    /// All so long.
    Same(Span),
    /// Each for itself, by its index.
    Each(Box<[Span]>),
    /// Until they are stopped.
    Forever,
}

impl Lengths {
    /// How long the task of that index runs; `None` for ever.
    pub fn of(&self, index: u32) -> Option<Span> {
        match self {
            Lengths::Same(span) => Some(*span),
            Lengths::Each(spans) => spans.get(index as usize).copied(),
            Lengths::Forever => None,
        }
    }
}

/// Tasks that arrive together.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Its name.
    pub id: CompactString,
    /// When it arrives.
    pub at: Time,
    /// How many tasks it has; at least 1.
    pub tasks: u32,
    /// What each needs: the place of its class in the workload.
    pub class: u32,
    /// How long each runs.
    pub lengths: Lengths,
    /// On what terms it is served, if not on the usual ones, as most of millions of jobs are; see [`Job::with_terms`].
    pub terms: Option<Box<Terms>>,
}

/// On what terms a job is served.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Terms {
    /// Whether all tasks start together or none does.
    pub gang: bool,
    /// How long each task runs at most, as its owner says: what backfilling plans with.
    pub limit: Option<Span>,
    /// The higher, the earlier, where the queue's policy looks at it.
    pub priority: i32,
    /// How long it takes to decide on the job, where that is not as for all jobs of the framework.
    pub decision: Option<JobDecision>,
}

impl Job {
    /// A job without a name, of one task of that class and length, that arrives then.
    pub fn new(at: Time, class: u32, lengths: Lengths) -> Self {
        Job { id: CompactString::default(), at, tasks: 1, class, lengths, terms: None }
    }

    /// The same on these terms.
    #[must_use]
    pub fn with_terms(mut self, terms: Terms) -> Self {
        self.terms = (terms != Terms::default()).then(|| Box::new(terms));
        self
    }

    /// On what terms it is served.
    pub fn terms(&self) -> Terms {
        self.terms.as_deref().copied().unwrap_or_default()
    }

    /// Whether it has tasks that start together or not at all.
    pub fn is_gang(&self) -> bool {
        self.tasks > 1 && self.terms.as_ref().is_some_and(|terms| terms.gang)
    }
}

/// A framework's jobs, in the order of their arrival.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Workload {
    /// The classes of their tasks.
    pub classes: Vec<TaskClass>,
    /// The jobs.
    pub jobs: Vec<Job>,
}

impl Workload {
    /// The class of a job's tasks.
    pub fn class_of(&self, job: &Job) -> &TaskClass {
        &self.classes[job.class as usize]
    }

    /// Adds a job of one task that arrives now, after all others; returns its place.
    pub(crate) fn note(&mut self, id: &str, at: Time, resources: &Resources, length: Option<Span>) -> u32 {
        let known = self.classes.iter().position(|class| class.shape.resources == *resources);
        let class = known.unwrap_or_else(|| {
            self.classes.push(TaskClass {
                shape: Shape::from(resources.clone()),
                amounts: resources.quantities(),
                gpus: GpuRequest::NONE,
                gpu_models: Vec::new(),
            });
            self.classes.len() - 1
        });
        let lengths = length.map_or(Lengths::Forever, Lengths::Same);
        self.jobs.push(Job { id: id.into(), ..Job::new(at, class as u32, lengths) });
        (self.jobs.len() - 1) as u32
    }

    /// The classes, and how many tasks there are of each.
    pub fn tasks_by_class(&self) -> Vec<(&TaskClass, u64)> {
        let mut counts: Vec<(&TaskClass, u64)> = self.classes.iter().map(|class| (class, 0)).collect();
        for job in &self.jobs {
            counts[job.class as usize].1 += u64::from(job.tasks);
        }
        counts
    }

    /// How many tasks all jobs have together.
    pub fn tasks(&self) -> u64 {
        self.jobs.iter().map(|job| u64::from(job.tasks)).sum()
    }
}

/// Collects jobs into a [`Workload`].
#[derive(Debug, Default)]
pub struct WorkloadBuilder {
    workload: Workload,
    by_text: FxHashMap<(String, Vec<String>), u32>,
    /// Classes of jobs of traces: texts are dear to make for each of many jobs.
    by_amounts: FxHashMap<([Scalar; 3], GpuRequest, Vec<String>), u32>,
}

impl WorkloadBuilder {
    /// The number of a class, new or known.
    pub fn class(&mut self, resources: &Resources, gpus: GpuRequest, gpu_models: &[String]) -> u32 {
        let key = (format!("{resources};{}x{}", gpus.count, gpus.milli), gpu_models.to_vec());
        let classes = &mut self.workload.classes;
        *self.by_text.entry(key).or_insert_with(|| {
            let (shape, gpu_models) = (Shape::from(resources.clone()), gpu_models.to_vec());
            classes.push(TaskClass { amounts: Quantities::new(), shape, gpus, gpu_models });
            (classes.len() - 1) as u32
        })
    }

    /// The number of the class of a trace's job, new or known.
    pub fn class_of(&mut self, job: &TraceJob) -> u32 {
        let key = ([job.cpus, job.mem, job.disk], job.gpus, job.gpu_models.clone());
        if let Some(known) = self.by_amounts.get(&key) {
            return *known;
        }
        let class = self.class(&job.resources(), job.gpus, &job.gpu_models);
        self.by_amounts.insert(key, class);
        class
    }

    /// Adds a job. Jobs that have no tasks are left out: nothing could ever happen to them.
    pub fn push(&mut self, job: Job) {
        if job.tasks > 0 {
            self.workload.jobs.push(job);
        }
    }

    /// Adds a job as its trace has it; one whose run time the trace does not say runs for ever.
    pub fn push_traced(&mut self, job: &TraceJob) {
        let class = self.class_of(job);
        let lengths = job.runtime.map_or(Lengths::Forever, Lengths::Same);
        let made = Job {
            id: job.id.as_str().into(),
            tasks: job.tasks,
            ..Job::new(Time::from_nanos(job.submit.nanos()), class, lengths)
        };
        self.push(made.with_terms(Terms { gang: job.gang, limit: job.limit, ..Terms::default() }));
    }

    /// Whether any task asks for a part of a GPU.
    pub fn shares_gpus(&self) -> bool {
        self.workload.classes.iter().any(|class| !class.gpus.is_none() && class.gpus.milli != WHOLE_GPU)
    }

    /// The workload, in a cluster whose GPUs are shared or are not. Jobs that arrive together are in the order in which they were
    /// added.
    pub fn finish(mut self, gpus_are_shared: bool) -> Workload {
        for class in &mut self.workload.classes {
            class.shape = gpus::of_task(&class.shape.resources, class.gpus, gpus_are_shared);
            class.amounts = class.shape.quantities();
        }
        self.workload.jobs.sort_by_key(|job| job.at);
        self.workload.jobs.shrink_to_fit();
        self.workload
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alike_tasks_share_a_class() {
        let mut builder = WorkloadBuilder::default();
        let none = GpuRequest::NONE;
        let one: Resources = "cpus:1;mem:2".parse().unwrap();
        let same: Resources = "mem:2;cpus:1".parse().unwrap();
        assert_eq!(builder.class(&one, none, &[]), builder.class(&same, none, &[]));
        assert_ne!(builder.class(&one, none, &[]), builder.class(&one, none, &["T4".to_owned()]));
    }
}
