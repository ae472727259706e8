//! Simulations that programs put together: schedulers, allocators and observers of one's own.

use std::sync::Arc;

use apportion::allocator::{Allocator, Quota};
use apportion::protocol::{AgentId, Attributes, FrameworkId, OfferMode, Weight};
use apportion::resources::{Resources, Role};
use apportion::scheduler::{Planned, Reconciler, Scheduler, Score};
use rustc_hash::FxHashMap;

use crate::engine::{Observer, Party, Plugged, Progress, RunError, Simulation, drf};
use crate::frameworks::QueueOptions;
use crate::scenario::{
    AgentModel, Decision, Fidelity, FrameworkModel, Model, ModelError, Player, RoleModel, Scenario,
};
use crate::values::Span;
use crate::{Run, run};

/// Puts a simulation together: from nothing ([`SimulationBuilder::new`]) or from what a scenario describes ([`SimulationBuilder::of`]).
///
/// Any [`Scheduler`] or [`Reconciler`] plugs in as it is, without a change. Its tasks last as long as their label `length` says (such as `"90s"`), and
/// until they are stopped where they have none:
///
/// ```
/// use std::sync::Arc;
///
/// use apportion::protocol::{Command, CommandInfo, FrameworkInfo, TaskId, Work};
/// use apportion::resources::{Resources, Role, Shape};
/// use apportion::scheduler::{Plan, Reconciler, TaskRequest, View};
/// use apportion_simulations::SimulationBuilder;
///
/// /// Keeps `wanted` tasks running.
/// struct Keeper {
///     wanted: usize,
///     launched: usize,
/// }
///
/// impl Reconciler for Keeper {
///     fn framework_info(&self) -> FrameworkInfo {
///         FrameworkInfo::new("keeper", Role::any())
///     }
///
///     fn reconcile(&mut self, view: &View<'_>, plan: &mut Plan) {
///         for (id, _) in view.terminal() {
///             plan.forget(id.clone());
///         }
///         for _ in view.live().count() + view.queued()..self.wanted {
///             self.launched += 1;
///             let id = TaskId::new(format!("t{}", self.launched)).expect("a short name");
///             let shape = Arc::new(Shape::from(Resources::cpus_mem(1000, 64)));
///             let work = Work::Command(Arc::new(CommandInfo::new(Command::Shell("serve".into()))));
///             let mut task = TaskRequest::new(id, Role::any(), shape, work);
///             task.labels.insert("length".to_owned(), "10s".to_owned());
///             plan.launch(task);
///         }
///     }
/// }
///
/// let run = SimulationBuilder::new("own")
///     .agents(2, "cpus:4;mem:1024".parse()?)?
///     .reconciler(Keeper { wanted: 6, launched: 0 })?
///     .until("60s".parse()?)
///     .run()?;
/// let summary = run.summary();
/// assert_eq!(summary.frameworks["keeper"].running_max, 6);
/// assert_eq!(summary.utilisation["cpus"].mean, 0.75);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// The same with the jobs of a scenario or trace: [`played_by`](Self::played_by). Placement policies of one's own:
/// [`placing_by`](Self::placing_by). Metrics of one's own: [`observe`](Self::observe). What is plugged in is not part of the hash of the scenario in
/// the manifest; the hash of the events tells two runs apart.
pub struct SimulationBuilder<'a> {
    model: Model,
    allocator: Option<Box<dyn Allocator>>,
    parties: FxHashMap<usize, Box<dyn Party>>,
    observers: Vec<&'a mut dyn Observer>,
}

/// Why a simulation can't be put together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// A name can't be that of a party, or another has it.
    #[error("'{0}' can't be the name of a party, or another one has it")]
    Name(String),
    /// A framework has no role.
    #[error("framework '{0}' is of no role")]
    NoRole(String),
    /// There is no such framework.
    #[error("there is no framework '{0}'")]
    Unknown(String),
}

impl<'a> SimulationBuilder<'a> {
    /// A simulation of nothing: without machines and frameworks. Seed 1, fidelity `full`, no latencies.
    pub fn new(name: &str) -> Self {
        SimulationBuilder::of(Model::empty(name))
    }

    /// The simulation that a scenario describes.
    ///
    /// # Errors
    /// When its traces can't be read.
    pub fn of_scenario(scenario: &Scenario) -> Result<Self, ModelError> {
        Ok(SimulationBuilder::of(scenario.resolve()?))
    }

    /// The simulation of a model.
    pub fn of(model: Model) -> Self {
        SimulationBuilder { model, allocator: None, parties: FxHashMap::default(), observers: Vec::new() }
    }

    /// Seeds all random streams.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.model.seed = seed;
        self
    }

    /// Ends then. Otherwise it ends when all jobs have ended; or, where there are tasks of schedulers that have no jobs, when nothing has happened for an hour.
    #[must_use]
    pub fn until(mut self, end: Span) -> Self {
        self.model.until = Some(end);
        self
    }

    /// How much of production is simulated.
    #[must_use]
    pub fn fidelity(mut self, fidelity: Fidelity) -> Self {
        self.model.fidelity = fidelity;
        self
    }

    /// Changes anything else of the model.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Model)) -> Self {
        change(&mut self.model);
        self
    }

    /// Adds machines that are alike.
    ///
    /// # Errors
    /// When another machine has the name of one of them.
    pub fn agents(mut self, count: u32, resources: Resources) -> Result<Self, BuildError> {
        for _ in 0..count {
            let name = format!("agent{:06}", self.model.agents.len() + 1);
            let id = AgentId::new(name.clone()).ok();
            let id = id.filter(|id| self.model.agents.last().is_none_or(|last| last.id != *id));
            let id = id.ok_or(BuildError::Name(name))?;
            let (resources, attributes) = (resources.clone(), Attributes::default());
            self.model.agents.push(AgentModel { id, resources, attributes, gpus: 0 });
        }
        Ok(self)
    }

    /// Gives a role a weight and a quota.
    #[must_use]
    pub fn role(mut self, role: Role, weight: Weight, quota: Quota) -> Self {
        self.model.roles.retain(|known| known.role != role);
        self.model.roles.push(RoleModel { role, weight, quota, offers: OfferMode::default() });
        self
    }

    /// Plugs in a scheduler, under the name that it gives itself. Each of its tasks counts as a job that arrives when the task starts, so that it has not waited.
    ///
    /// # Errors
    /// When it has no role, or its name is taken or can't be one.
    pub fn scheduler(mut self, scheduler: impl Scheduler + 'static) -> Result<Self, BuildError> {
        let info = scheduler.framework_info();
        let id: FrameworkId = info.name.parse().map_err(|_| BuildError::Name(info.name.clone()))?;
        if self.model.frameworks.iter().any(|known| known.id == id) {
            return Err(BuildError::Name(info.name));
        }
        let role = info.roles.first().cloned().ok_or(BuildError::NoRole(info.name))?;
        self.parties.insert(self.model.frameworks.len(), Box::new(Plugged::new(scheduler)));
        self.model.frameworks.push(FrameworkModel {
            id,
            role,
            player: Player::Queue,
            options: QueueOptions::default(),
            own_placement: None,
            decision: Decision::default(),
            workload: Arc::default(),
        });
        Ok(self)
    }

    /// Plugs in a reconciler, as [`scheduler`](Self::scheduler) does.
    ///
    /// # Errors
    /// As there.
    pub fn reconciler(self, reconciler: impl Reconciler + 'static) -> Result<Self, BuildError> {
        self.scheduler(Planned::new(reconciler))
    }

    /// Has a scheduler play the jobs of a framework of the scenario. It is asked for each when it arrives, by a
    /// [request](Scheduler::request) whose data is the job's place in the [workload](FrameworkModel::workload), four bytes, little-endian; and launches
    /// [`TimerTask`](crate::frameworks::TimerTask)s.
    ///
    /// # Errors
    /// When there is no such framework.
    pub fn played_by(
        mut self,
        framework: &str,
        scheduler: impl Scheduler + 'static,
    ) -> Result<Self, BuildError> {
        let place = self.model.frameworks.iter().position(|known| known.id.as_str() == framework);
        let place = place.ok_or_else(|| BuildError::Unknown(framework.to_owned()))?;
        self.parties.insert(place, Box::new(Plugged::new(scheduler)));
        Ok(self)
    }

    /// Lets the frameworks of the scenario place their tasks by a policy of one's own; see [`Model::placing_by`].
    #[must_use]
    pub fn placing_by(mut self, score: impl Score + Send + Sync + 'static) -> Self {
        self.model = self.model.placing_by(score);
        self
    }

    /// Has another allocator decide who is offered what, or that of production with options that scenarios don't have:
    ///
    /// ```
    /// use apportion::allocator::{DrfAllocator, DrfOptions};
    /// use apportion_simulations::SimulationBuilder;
    ///
    /// let options = DrfOptions { allocation_interval: std::time::Duration::from_secs(1), ..DrfOptions::default() };
    /// let builder = SimulationBuilder::new("batches").allocator(DrfAllocator::new(options));
    /// ```
    ///
    /// Weights, quotas and offer modes of the roles are set on it.
    #[must_use]
    pub fn allocator(mut self, allocator: impl Allocator + 'static) -> Self {
        self.allocator = Some(Box::new(allocator));
        self
    }

    /// Lets somebody be told what happens.
    ///
    /// ```
    /// use apportion::protocol::OfferId;
    /// use apportion::time::Time;
    /// use apportion_simulations::engine::Observer;
    /// use apportion_simulations::{Scenario, SimulationBuilder};
    /// use apportion::spec::Document;
    ///
    /// #[derive(Default)]
    /// struct Declined(usize);
    ///
    /// impl Observer for Declined {
    ///     fn declined(&mut self, _at: Time, _framework: u32, offers: &[OfferId]) {
    ///         self.0 += offers.len();
    ///     }
    /// }
    ///
    /// let text = r#"
    ///     schema = 1
    ///     name = "too-large"
    ///     agents = [{ count = 2, resources = "cpus:2" }, { resources = "cpus:4" }]
    ///     [[frameworks]]
    ///     name = "A"
    ///     role = "a"
    ///     states_demand = false
    ///     jobs = [{ resources = "cpus:3", duration = "1m" }]
    /// "#;
    /// let mut declined = Declined::default();
    /// let scenario = Scenario::parse(&Document::new("too-large.toml", text))?;
    /// SimulationBuilder::of_scenario(&scenario)?.observe(&mut declined).run()?;
    /// assert!(declined.0 > 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn observe(mut self, observer: &'a mut dyn Observer) -> Self {
        self.observers.push(observer);
        self
    }

    /// Runs it.
    ///
    /// # Errors
    /// When it can't go on.
    pub fn run(self) -> Result<Run, RunError> {
        self.run_telling(&mut Progress::silent())
    }

    /// Runs it, and tells how it goes.
    ///
    /// # Errors
    /// When it can't go on.
    pub fn run_telling(self, progress: &mut Progress<'_>) -> Result<Run, RunError> {
        let SimulationBuilder { mut model, allocator, parties, observers } = self;
        let clock = run::Clock::start();
        let is_free = |place: &usize| model.frameworks[*place].workload.jobs.is_empty();
        let mut free: Vec<usize> = parties.keys().copied().filter(is_free).collect();
        free.sort_unstable();
        let allocator = allocator.unwrap_or_else(|| Box::new(drf(&model)));
        let mut simulation = Simulation::with(&model, allocator, parties)?;
        free.iter().for_each(|place| simulation.free(*place));
        observers.into_iter().for_each(|observer| simulation.observe(observer));
        let record = simulation.run(model.until, progress)?;
        for place in free {
            model.frameworks[place].workload = simulation.workload(place);
        }
        Ok(Run::new(model, record, clock))
    }
}

impl std::fmt::Debug for SimulationBuilder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimulationBuilder").field("model", &self.model).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use apportion::protocol::{Command, CommandInfo, FrameworkInfo, TaskId, Work};
    use apportion::resources::{Quantities, Shape};
    use apportion::scheduler::{Plan, TaskRequest, View};
    use apportion::spec::Document;

    use super::*;
    use crate::frameworks::QueueFramework;
    use crate::random::Stream;

    /// Runs so many tasks, one after the other's end, with room for `width` at a time.
    struct Tasks {
        left: usize,
        width: usize,
    }

    impl Reconciler for Tasks {
        fn framework_info(&self) -> FrameworkInfo {
            FrameworkInfo::new("tasks", Role::any())
        }

        fn reconcile(&mut self, view: &View<'_>, plan: &mut Plan) {
            for (id, _) in view.terminal() {
                plan.forget(id.clone());
            }
            let busy = view.live().count() + view.queued();
            for _ in busy..self.width.min(busy + self.left) {
                self.left -= 1;
                let id = TaskId::new(format!("t{}", self.left)).unwrap();
                let shape = Arc::new(Shape::from(Resources::cpus_mem(1000, 64)));
                let work = Work::Command(Arc::new(CommandInfo::new(Command::Shell("work".into()))));
                let mut task = TaskRequest::new(id, Role::any(), shape, work);
                task.labels.insert("length".to_owned(), "10s".to_owned());
                plan.launch(task);
            }
        }
    }

    #[test]
    fn tasks_of_a_plugged_in_reconciler_are_measured_with_both_fidelities() {
        for fidelity in [Fidelity::Full, Fidelity::Placement] {
            let run = SimulationBuilder::new("tasks")
                .fidelity(fidelity)
                .agents(2, "cpus:4;mem:1024".parse().unwrap())
                .and_then(|builder| builder.reconciler(Tasks { left: 12, width: 6 }))
                .unwrap()
                .run()
                .unwrap();
            let summary = run.summary();
            assert_eq!((summary.tasks_finished, summary.jobs_finished), (12, 12), "{fidelity:?}");
            assert_eq!((summary.makespan_s, summary.frameworks["tasks"].running_max), (20.0, 6));
            assert_eq!(run.jobs().len(), 12);
        }
    }

    const SCENARIO: &str = r#"
        schema = 1
        name = "jobs"
        agents = [{ count = 3, resources = "cpus:4;mem:4096" }]
        [[frameworks]]
        name = "A"
        role = "a"
        workload = { arrivals = { distribution = "poisson", rate_per_s = 0.2 }, limit = 200, resources = "cpus:2;mem:64",
                     duration = { distribution = "exponential", mean = "30s" } }
        "#;

    fn model() -> Model {
        Scenario::parse(&Document::new("jobs.toml", SCENARIO)).unwrap().resolve().unwrap()
    }

    #[test]
    fn a_scheduler_that_plays_a_scenarios_jobs_does_as_the_built_in_one() {
        let model = model();
        let framework = model.frameworks[0].clone();
        let queue = QueueFramework::new(
            "A",
            framework.role,
            framework.options,
            framework.workload,
            Quantities::new(),
            Stream::named(1, "own"),
        );
        let expected = SimulationBuilder::of(model.clone()).run().unwrap();
        let run = SimulationBuilder::of(model).played_by("A", queue).unwrap().run().unwrap();
        assert_eq!(run.summary().jobs_finished, 200);
        assert_eq!(run.jobs(), expected.jobs());
    }

    #[test]
    fn an_allocator_of_ones_own_decides() {
        use apportion::allocator::{DrfAllocator, DrfOptions};
        let every = std::time::Duration::from_secs(100);
        let options =
            DrfOptions { allocation_interval: every, allocate_on_events: false, ..DrfOptions::default() };
        let own = SimulationBuilder::of(model()).allocator(DrfAllocator::new(options)).run().unwrap();
        let usual = SimulationBuilder::of(model()).run().unwrap();
        assert!(own.summary().wait_s.mean > usual.summary().wait_s.mean + 10.0);
    }

    #[test]
    fn what_can_not_be_put_together_is_said() {
        let tasks = || Tasks { left: 1, width: 1 };
        let twice =
            SimulationBuilder::new("x").reconciler(tasks()).and_then(|builder| builder.reconciler(tasks()));
        assert_eq!(twice.unwrap_err(), BuildError::Name("tasks".to_owned()));
        let unknown = SimulationBuilder::of(model()).played_by("B", Planned::new(tasks()));
        assert_eq!(unknown.unwrap_err(), BuildError::Unknown("B".to_owned()));
    }
}
