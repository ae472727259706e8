//! Makes a scenario ready: reads its traces and draws its random numbers.
//!
//! Each framework draws from streams of its own, named `framework/<name>/arrivals`, `.../tasks` and `.../durations`: another
//! framework, or another distribution of one thing, shifts nothing else.

use std::cmp::Ordering;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use apportion::allocator::Quota;
use apportion::protocol::{AgentId, Attributes, FrameworkId};
use apportion::resources::{GpuRequest, Kind as ResourceKind, Resources, Scalar};
use apportion::time::Time;
use compact_str::{CompactString, format_compact};
use rustc_hash::FxHashMap;

use super::model::{GPU_COUNT, GPU_MODEL};
use super::{
    AgentModel, ArrivalProcess, Arrivals, Fidelity, FrameworkModel, FrameworkTable, InputFile, JobTable,
    Kind, LatencyModel, Model, ModelError, Player, RoleModel, Scenario, Until, WorkloadTable,
};
use crate::digest::Digest;
use crate::frameworks::production::can_be_specified;
use crate::frameworks::{QueueOptions, QueuePolicy};
use crate::gpus;
use crate::random::Stream;
use crate::traces::{Format, Malformed, TraceError, TraceFile, TraceJob};
use crate::values::{Count, Length, Span};
use crate::workload::{Job, Lengths, Terms, Workload, WorkloadBuilder};

/// So many machines a cluster has at most.
pub(super) const MAX_MACHINES: u64 = 1_000_000;

/// So many tasks all frameworks of a run have at most: each takes some memory.
const MAX_TASKS: u64 = 100_000_000;

impl Scenario {
    /// Reads the traces and draws the random numbers.
    ///
    /// # Errors
    /// When a trace can't be read, has malformed lines that are not to be skipped, or does not say all that is needed.
    pub fn resolve(&self) -> Result<Model, ModelError> {
        let mut inputs = Vec::new();
        let mut library = Library::default();
        let machines = self.draw_agents(&mut inputs)?;
        let until = match self.until {
            Until::AllDone => None,
            Until::At(span) => Some(span),
        };
        let (mut workloads, mut room) = (Vec::new(), MAX_TASKS);
        for table in &self.frameworks {
            workloads.push(self.draw_workload(table, until, &mut library, &mut inputs, &mut room)?);
        }
        let gpus_are_shared = workloads.iter().any(WorkloadBuilder::shares_gpus)
            || machines.iter().any(|machine| gpus::are_numbered(&machine.resources));
        let agents: Vec<AgentModel> = machines
            .into_iter()
            .map(|machine| machine.finish(gpus_are_shared))
            .collect::<Result<_, ModelError>>()?;
        let frameworks = self
            .frameworks
            .iter()
            .zip(workloads)
            .map(|(table, workload)| framework(table, Arc::new(workload.finish(gpus_are_shared))));
        let role = |table: &super::RoleTable| {
            let quota = table.quota.clone().unwrap_or_default();
            let (guarantee, limit) = (quota.guarantee().ok()?, quota.limit().ok()?);
            let quota = if gpus_are_shared {
                let in_shares =
                    |(kind, amount): (&ResourceKind, Scalar)| gpus::in_shares(kind.clone(), amount);
                Quota {
                    guarantee: guarantee.iter().map(in_shares).collect(),
                    limit: limit.iter().map(in_shares).collect(),
                }
            } else {
                Quota { guarantee, limit }
            };
            Some(RoleModel { role: table.name.clone(), weight: table.weight()?, quota, offers: table.offers })
        };
        let echo = serde_json::to_vec(self).unwrap_or_default();
        let failures = self.draw_failures(&agents, &mut inputs)?;
        Ok(Model {
            name: self.name.clone(),
            seed: self.seed,
            until,
            simultaneous: self.simultaneous,
            fidelity: self.fidelity,
            latency: match self.fidelity {
                Fidelity::Full => self.latencies.over(&self.latency),
                Fidelity::Placement => LatencyModel::uniform(&Length::Same(Span::ZERO)),
            },
            failures,
            slowdown: Some(self.contention.slowdown).filter(|slowdown| *slowdown > 0.0),
            allocator: self.allocator,
            agents,
            roles: self.roles.iter().filter_map(role).collect(),
            frameworks: frameworks.collect::<Result<_, _>>()?,
            output: self.output,
            scenario_hash: self.hash.unwrap_or_else(|| Digest::of(&echo)),
            scenario: self.clone(),
            inputs,
        })
    }

    fn open(&self, whose: &str, file: &Path) -> Result<TraceFile, ModelError> {
        TraceFile::open(&self.folder.join(file)).map_err(|error| wrong_trace(whose, error))
    }

    fn draw_agents(&self, inputs: &mut Vec<InputFile>) -> Result<Vec<Machine>, ModelError> {
        let mut agents: Vec<Machine> = Vec::new();
        for group in &self.agents {
            let (resources, gpus) = parsed("agents", &group.resources)?;
            for number in 1..=group.count {
                let name = match &group.name {
                    Some(name) if group.count == 1 => name.clone(),
                    Some(name) => format!("{name}{number}"),
                    None => format!("agent{:06}", agents.len() + 1),
                };
                let id = AgentId::new(name).map_err(|error| wrong_name("agents", error))?;
                let attributes = group.attributes.clone();
                agents.push(Machine { id, resources: resources.clone(), gpus, attributes });
            }
        }
        if let Some(cluster) = &self.cluster {
            let (file, whose) = (&cluster.nodes, "cluster.nodes");
            let trace = self.open(whose, &file.file)?;
            let nodes =
                trace.nodes(file.format, file.malformed).map_err(|error| wrong_trace(whose, error))?;
            inputs.push(input(&file.file, &trace, nodes.skipped.len()));
            for node in nodes.rows.iter().take(file.limit.unwrap_or(usize::MAX)) {
                let id = AgentId::new(node.id.as_str()).map_err(|error| wrong_name(whose, error))?;
                let model = Some(&node.gpu_model).filter(|model| !model.is_empty());
                let attributes =
                    model.map(|model| (GPU_MODEL.to_owned(), model.clone())).into_iter().collect();
                let gpus = GpuRequest::whole(node.gpus);
                agents.push(Machine { id, resources: node.resources(), gpus, attributes });
            }
        }
        let mut names: Vec<&AgentId> = agents.iter().map(|agent| &agent.id).collect();
        names.sort();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(wrong_name("agents", format!("two agents are named '{}'", pair[0]))),
            None => Ok(agents),
        }
    }

    fn draw_workload(
        &self,
        table: &FrameworkTable,
        until: Option<Span>,
        library: &mut Library,
        inputs: &mut Vec<InputFile>,
        room: &mut u64,
    ) -> Result<WorkloadBuilder, ModelError> {
        let whose = format!("framework '{}'", table.name);
        let mut draw = Draw {
            whose: &whose,
            table,
            name: table.name.clone(),
            tasks: self.stream(table, "tasks"),
            durations: self.stream(table, "durations"),
            room,
            builder: WorkloadBuilder::default(),
        };
        for (place, job) in table.jobs.iter().enumerate() {
            draw.listed(place, job)?;
        }
        for (place, workload) in table.workload.iter().chain(&table.workloads).enumerate() {
            if place > 0 {
                // Each draws from streams of its own.
                draw.tasks = self.stream(table, &format!("tasks/{place}"));
                draw.durations = self.stream(table, &format!("durations/{place}"));
                draw.name = format!("{}-w{place}", table.name);
            }
            match (&workload.file, workload.format, &workload.arrivals) {
                (Some(file), Some(format), _) => {
                    let key = (file.clone(), format, workload.malformed);
                    let shelved = match library.entry(key) {
                        Entry::Occupied(known) => known.into_mut(),
                        Entry::Vacant(new) => {
                            let file_read = self.open(&whose, file)?;
                            new.insert(Shelved::read(&whose, file, &file_read, format, workload.malformed)?)
                        }
                    };
                    draw.trace(workload, &shelved.jobs)?;
                    inputs.push(shelved.input.clone());
                }
                (_, _, Some(arrivals)) => {
                    let suffix = if place > 0 { format!("/{place}") } else { String::new() };
                    let stream = self.stream(table, &format!("arrivals{suffix}"));
                    draw.arrivals(workload, arrivals, until, stream)?;
                }
                _ => {}
            }
        }
        Ok(draw.builder)
    }

    fn stream(&self, framework: &FrameworkTable, purpose: &str) -> Stream {
        Stream::named(self.seed, &format!("framework/{}/{purpose}", framework.name))
    }
}

/// A machine whose GPUs are not yet known to be shared or not.
struct Machine {
    id: AgentId,
    resources: Resources,
    gpus: GpuRequest,
    attributes: Attributes,
}

impl Machine {
    fn finish(mut self, gpus_are_shared: bool) -> Result<AgentModel, ModelError> {
        let gpus = gpus::devices(&self.resources, self.gpus);
        if gpus > 0 {
            self.attributes.insert(GPU_COUNT.to_owned(), gpus.to_string());
        }
        let resources = gpus::of_agent(&self.resources, self.gpus, gpus_are_shared).map_err(|error| {
            ModelError::Incomplete { whose: format!("agent '{}'", self.id), problem: error.to_string() }
        })?;
        Ok(AgentModel { id: self.id, resources, attributes: self.attributes, gpus })
    }
}

fn framework(table: &FrameworkTable, workload: Arc<Workload>) -> Result<FrameworkModel, ModelError> {
    let whose = format!("framework '{}'", table.name);
    let is_specified = !table.is_of_queue() && can_be_specified(&workload, table.kind == Kind::Batch);
    Ok(FrameworkModel {
        player: match table.kind {
            Kind::Batch if is_specified => Player::Batch,
            Kind::Service if is_specified => Player::Service,
            Kind::Batch | Kind::Service | Kind::Queue => Player::Queue,
        },
        id: FrameworkId::new(table.name.as_str()).map_err(|error| wrong_name(&whose, error))?,
        role: table.role.clone(),
        options: QueueOptions {
            policy: table.policy.unwrap_or(match table.kind {
                Kind::Queue => QueuePolicy::Fifo,
                Kind::Batch | Kind::Service => QueuePolicy::Skip,
            }),
            placement: table.placement,
            per_offer: table.per_offer.0,
            refuse: table.refuse,
            states_demand: table.states_demand,
            jobs_per_decision: table.decision.jobs.map_or(u32::MAX, std::num::NonZeroU32::get),
        },
        own_placement: None,
        decision: table.decision,
        workload,
    })
}

/// Traces that were read, since several workloads may be parts of one.
type Library = FxHashMap<(PathBuf, Format, Malformed), Shelved>;

/// A trace that was read.
struct Shelved {
    /// In the order of their arrival; those that arrive together in the order of their names, whatever the order of the file.
    jobs: Vec<TraceJob>,
    input: InputFile,
}

impl Shelved {
    fn read(
        whose: &str,
        name: &Path,
        file: &TraceFile,
        format: Format,
        malformed: Malformed,
    ) -> Result<Self, ModelError> {
        let (hash, trace) = rayon::join(|| Digest::of(file.bytes()), || file.jobs(format, malformed));
        let trace = trace.map_err(|error| wrong_trace(whose, error))?;
        let mut jobs = trace.rows;
        jobs.sort_by(|a, b| a.submit.cmp(&b.submit).then_with(|| natural(&a.id, &b.id)));
        let input = InputFile { file: name.to_owned(), hash, skipped_lines: trace.skipped.len() };
        Ok(Shelved { jobs, input })
    }
}

/// Draws the jobs of one framework.
struct Draw<'a> {
    whose: &'a str,
    table: &'a FrameworkTable,
    /// What jobs without names are called after.
    name: String,
    tasks: Stream,
    durations: Stream,
    /// How many tasks there is still room for.
    room: &'a mut u64,
    builder: WorkloadBuilder,
}

impl Draw<'_> {
    fn listed(&mut self, place: usize, job: &JobTable) -> Result<(), ModelError> {
        let (resources, gpus) = parsed(self.whose, &job.resources)?;
        let default = || format_compact!("{}-{}", self.table.name, place + 1);
        let drawn = job.tasks.draw(&mut self.tasks);
        let tasks = self.counted(drawn)?;
        let class = self.builder.class(&resources, gpus, &[]);
        let lengths = self.lengths(job.duration.as_ref(), tasks);
        let made = Job {
            id: job.name.as_deref().map_or_else(default, CompactString::from),
            tasks,
            ..Job::new(Time::from_nanos(job.at.nanos()), class, lengths)
        };
        let JobTable { gang, limit, priority, decision, .. } = *job;
        self.builder.push(made.with_terms(Terms { gang, limit, priority, decision }));
        Ok(())
    }

    fn trace(&mut self, workload: &WorkloadTable, jobs: &[TraceJob]) -> Result<(), ModelError> {
        let matches = |job: &&TraceJob| {
            workload.filter.iter().all(|(column, text)| job.text(column) == Some(text.as_str()))
        };
        let limit = workload.limit.unwrap_or(usize::MAX);
        jobs.iter().filter(matches).take(limit).try_for_each(|job| self.traced(workload, job))
    }

    fn traced(&mut self, workload: &WorkloadTable, job: &TraceJob) -> Result<(), ModelError> {
        let class = match &workload.resources {
            Some(text) => {
                let (resources, gpus) = parsed(self.whose, text)?;
                self.builder.class(&resources, gpus, &job.gpu_models)
            }
            None => {
                if job.needs_nothing() {
                    let problem =
                        format!("job '{}' needs no resources; give the workload 'resources'", job.id);
                    return Err(ModelError::Incomplete { whose: self.whose.to_owned(), problem });
                }
                self.builder.class_of(job)
            }
        };
        let drawn = workload.tasks.as_ref().map_or(job.tasks, |tasks| tasks.draw(&mut self.tasks));
        let tasks = self.counted(drawn)?;
        let lengths = match (&workload.duration, job.runtime) {
            (Some(length), _) => self.lengths(Some(length), tasks),
            (None, Some(span)) => Lengths::Same(span),
            (None, None) if self.table.kind == Kind::Service => Lengths::Forever,
            (None, None) => {
                let problem = format!(
                    "the trace does not say how long job '{}' runs; give the workload a 'duration', \
                     or run it as kind = \"service\"",
                    job.id
                );
                return Err(ModelError::Incomplete { whose: self.whose.to_owned(), problem });
            }
        };
        let at = if workload.time_scale == 1.0 {
            job.submit
        } else {
            Span::from_secs_f64(job.submit.secs() * workload.time_scale)
        };
        let made = Job {
            id: CompactString::from(job.id.as_str()),
            tasks,
            ..Job::new(Time::from_nanos(at.nanos()), class, lengths)
        };
        let (gang, limit, decision) = (workload.gang.unwrap_or(job.gang), job.limit, workload.decision);
        self.builder.push(made.with_terms(Terms { gang, limit, decision, ..Terms::default() }));
        Ok(())
    }

    fn arrivals(
        &mut self,
        workload: &WorkloadTable,
        arrivals: &Arrivals,
        until: Option<Span>,
        mut stream: Stream,
    ) -> Result<(), ModelError> {
        let (resources, gpus) = parsed(self.whose, workload.resources.as_deref().unwrap_or_default())?;
        let class = self.builder.class(&resources, gpus, &[]);
        let end = [arrivals.until, until].into_iter().flatten().min().unwrap_or(Span::MAX);
        let one = Count::Same(1);
        let mut at = arrivals.from;
        for number in 1..=workload.limit.unwrap_or(usize::MAX) {
            let gap = match arrivals.distribution {
                ArrivalProcess::Poisson => stream.exponential(),
                ArrivalProcess::Constant => 1.0,
                ArrivalProcess::Uniform => 2.0 * stream.unit(),
            };
            at = Span::from_nanos(
                at.nanos().saturating_add(Span::from_secs_f64(gap / arrivals.rate_per_s).nanos()),
            );
            if at > end || at == Span::MAX {
                break;
            }
            let drawn = workload.tasks.as_ref().unwrap_or(&one).draw(&mut self.tasks);
            let tasks = self.counted(drawn)?;
            let lengths = self.lengths(workload.duration.as_ref(), tasks);
            let made = Job {
                id: format_compact!("{}-{number}", self.name),
                tasks,
                ..Job::new(Time::from_nanos(at.nanos()), class, lengths)
            };
            let (gang, decision) = (workload.gang.unwrap_or(false), workload.decision);
            self.builder.push(made.with_terms(Terms { gang, decision, ..Terms::default() }));
        }
        Ok(())
    }

    /// Takes room for the tasks of a job, before anything is made for each of them.
    fn counted(&mut self, tasks: u32) -> Result<u32, ModelError> {
        let left = self.room.checked_sub(u64::from(tasks));
        let whose = || self.whose.to_owned();
        *self.room = left.ok_or_else(|| ModelError::TooManyTasks { whose: whose(), most: MAX_TASKS })?;
        Ok(tasks)
    }

    fn lengths(&mut self, length: Option<&Length>, tasks: u32) -> Lengths {
        match length {
            None => Lengths::Forever,
            Some(Length::Same(span)) => Lengths::Same(*span),
            Some(length) => Lengths::Each((0..tasks).map(|_| length.draw(&mut self.durations)).collect()),
        }
    }
}

/// Numbers by their value, other names by their letters, numbers first.
fn natural(a: &str, b: &str) -> Ordering {
    match (a.parse::<u64>(), b.parse::<u64>()) {
        (Ok(a), Ok(b)) => a.cmp(&b),
        (Ok(_), Err(_)) => Ordering::Less,
        (Err(_), Ok(_)) => Ordering::Greater,
        (Err(_), Err(_)) => a.cmp(b),
    }
}

fn parsed(whose: &str, text: &str) -> Result<(Resources, GpuRequest), ModelError> {
    gpus::read(text)
        .map_err(|error| ModelError::Incomplete { whose: whose.to_owned(), problem: error.to_string() })
}

fn input(file: &Path, trace: &TraceFile, skipped_lines: usize) -> InputFile {
    InputFile { file: file.to_owned(), hash: Digest::of(trace.bytes()), skipped_lines }
}

fn wrong_trace(whose: &str, error: TraceError) -> ModelError {
    ModelError::Trace { whose: whose.to_owned(), error }
}

fn wrong_name(whose: &str, problem: impl ToString) -> ModelError {
    ModelError::Name { whose: whose.to_owned(), problem: problem.to_string() }
}
