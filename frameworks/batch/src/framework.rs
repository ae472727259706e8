//! The framework: runs by name, tasks by run, requests from operators.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use apportion::protocol::{
    Checks, CommandInfo, Explanation, FrameworkInfo, Obstacle, RequestId, TaskId, TaskState, TaskStatus, Work,
};
use apportion::resources::{Role, Shape};
use apportion::scheduler::{DamagedRecord, Plan, Reconciler, Records, TaskRequest, View};
use apportion::time::{Time, Timers};

use crate::records::{Key, decode, encode};
use crate::request::{BatchReply, BatchRequest, RunResult, RunState, RunSummary};
use crate::run::{Action, Attempt, Run, RunRecord};
use crate::spec::{BatchSpec, RUN_DIR, SPEC_DIR};

/// So many runs that have ended are remembered; older ones are forgotten.
pub const MAX_FINISHED_RUNS: usize = 100;

/// Progress is told to a follower at most once in so long.
pub const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// What runs is kept for so long when the framework and the master have lost each other.
pub const FAILOVER_TIMEOUT: Duration = Duration::from_secs(600);

/// The batch framework, to be run on the library's reconciler layer.
///
/// Its state is kept up to date by each status update; a reconciliation looks at the runs that something happened to and
/// nothing else.
#[derive(Debug)]
pub struct BatchFramework {
    info: FrameworkInfo,
    next_run: u64,
    runs: BTreeMap<u64, ActiveRun>,
    by_name: HashMap<String, u64>,
    /// By the numbers of their runs.
    finished: VecDeque<(u64, RunResult)>,
    dirty: BTreeSet<u64>,
    wakes: Timers<u64>,
    followers: BTreeMap<RequestId, Follower>,
    /// Tasks that have ended, whose records are not needed.
    ended: Vec<TaskId>,
    actions: Vec<Action>,
}

/// A run and what its tasks share.
#[derive(Debug)]
struct ActiveRun {
    run: Run,
    templates: Vec<Template>,
}

/// What all tasks of a step have in common.
#[derive(Debug)]
struct Template {
    shape: Arc<Shape>,
    command: Arc<CommandInfo>,
}

/// Somebody who wants to know how a run goes.
#[derive(Debug)]
struct Follower {
    run: u64,
    told_version: Option<u64>,
    next_at: Time,
}

impl BatchFramework {
    /// A framework of that name that runs jobs of these roles; of any role when none are given.
    pub fn new(name: impl Into<String>, roles: Vec<Role>) -> Self {
        let mut info = FrameworkInfo::new(name, Role::default()).with_failover_timeout(FAILOVER_TIMEOUT);
        info.roles = roles;
        BatchFramework {
            info,
            next_run: 1,
            runs: BTreeMap::new(),
            by_name: HashMap::new(),
            finished: VecDeque::new(),
            dirty: BTreeSet::new(),
            wakes: Timers::default(),
            followers: BTreeMap::new(),
            ended: Vec::new(),
            actions: Vec::new(),
        }
    }

    /// Numbers runs from `first` on instead of from 1. Ids of tasks, which hold the number, must never come again under the
    /// same framework id; so a framework that starts anew goes on above the runs that it had before.
    #[must_use]
    pub fn numbering_from(mut self, first: u64) -> Self {
        self.next_run = first;
        self
    }

    /// Runs a job; returns the name of the run, such as `nightly-1`.
    ///
    /// # Errors
    /// When the spec does not pass its checks or is of a role that the framework does not have.
    pub fn submit(&mut self, now: Time, spec: BatchSpec) -> Result<String, SubmitError> {
        if !self.info.roles.is_empty() && !self.info.roles.contains(&spec.role) {
            return Err(SubmitError::UnknownRole { role: spec.role, roles: self.info.roles.clone() });
        }
        let number = self.next_run;
        let name = format!("{}-{number}", spec.name());
        let run = Run::new(name.clone(), spec, now)?;
        self.next_run += 1;
        self.add(number, run);
        tracing::info!(run = %name, "run submitted");
        Ok(name)
    }

    /// Stops a run and what runs of it; the run ends when its tasks have. Whether there is such a run that goes on.
    pub fn cancel(&mut self, run: &str, plan: &mut Plan) -> bool {
        let Some(number) = self.by_name.get(run).copied() else { return false };
        if let Some(active) = self.runs.get_mut(&number) {
            active.run.cancel(&mut self.actions);
            apply(active, &mut self.actions, plan);
        }
        self.dirty.insert(number);
        true
    }

    /// All runs that are remembered: ended ones, then those that go on; both oldest first.
    pub fn runs(&self) -> Vec<RunSummary> {
        let ended = self.finished.iter().map(|(_, result)| result.summary());
        ended.chain(self.runs.values().map(|active| active.run.summary())).collect()
    }

    /// How a run ended; `None` when it goes on, or there is none.
    pub fn result(&self, run: &str) -> Option<&RunResult> {
        let results = self.finished.iter().rev().map(|(_, result)| result);
        results.into_iter().find(|result| result.run == run)
    }

    fn active(&self, run: &str) -> Option<(u64, &Run)> {
        let number = *self.by_name.get(run)?;
        Some((number, &self.runs.get(&number)?.run))
    }

    /// What is to be answered at once; a follower of a run that goes on gets its answers later.
    fn answer(
        &mut self,
        now: Time,
        id: RequestId,
        request: BatchRequest,
        plan: &mut Plan,
    ) -> Option<BatchReply> {
        let unknown = |run: &str| {
            BatchReply::Refused(format!("there is no run '{run}'; 'list' tells those that are remembered"))
        };
        Some(match request {
            BatchRequest::Submit { spec } => match self.submit(now, *spec) {
                Ok(run) => BatchReply::Accepted { run },
                Err(error) => BatchReply::Refused(error.to_string()),
            },
            BatchRequest::List => BatchReply::Runs(self.runs()),
            BatchRequest::Cancel { run } => match self.cancel(&run, plan) {
                true => BatchReply::Accepted { run },
                false if self.result(&run).is_some() => {
                    BatchReply::Refused(format!("run '{run}' has ended already"))
                }
                false => unknown(&run),
            },
            BatchRequest::Results { run } | BatchRequest::Follow { run } if self.result(&run).is_some() => {
                BatchReply::Finished(self.result(&run)?.clone())
            }
            BatchRequest::Results { run } => match self.active(&run) {
                Some((_, active)) => BatchReply::Progress(active.progress()),
                None => unknown(&run),
            },
            BatchRequest::Follow { run } => match self.active(&run) {
                Some((number, _)) => {
                    let follower = Follower { run: number, told_version: None, next_at: now };
                    self.followers.insert(id, follower);
                    return None;
                }
                None => unknown(&run),
            },
        })
    }

    /// Lets a run go on, and puts it among those that have ended when that is so.
    fn advance(&mut self, now: Time, number: u64, plan: &mut Plan) {
        let Some(active) = self.runs.get_mut(&number) else { return };
        active.run.advance(now, &mut self.actions);
        apply(active, &mut self.actions, plan);
        if active.run.state() == RunState::Running {
            record(number, &mut active.run, plan);
            match active.run.next_deadline() {
                Some(at) => self.wakes.set(number, at),
                None => self.wakes.cancel(&number),
            }
            return;
        }
        let result = active.run.result(now);
        plan.record(Key::Run(number).to_string(), None);
        for (step, index) in active.run.recorded() {
            plan.record(Key::Index { run: number, step, index }.to_string(), None);
        }
        tracing::info!(run = %result.run, state = ?result.state, "run ended");
        self.runs.remove(&number);
        self.wakes.cancel(&number);
        self.by_name.remove(&result.run);
        let reply = BatchReply::Finished(result.clone()).encode();
        self.followers.retain(|request, follower| {
            let follows = follower.run == number;
            if follows {
                plan.reply(*request, reply.clone(), true);
            }
            !follows
        });
        plan.record(Key::Result(number).to_string(), encode(&result));
        self.finished.push_back((number, result));
        if self.finished.len() > MAX_FINISHED_RUNS
            && let Some((oldest, _)) = self.finished.pop_front()
        {
            plan.record(Key::Result(oldest).to_string(), None);
        }
    }

    fn tell_followers(&mut self, now: Time, plan: &mut Plan) {
        for (request, follower) in &mut self.followers {
            let Some(active) = self.runs.get(&follower.run) else { continue };
            if follower.told_version == Some(active.run.version()) {
                continue;
            }
            if follower.next_at > now {
                plan.wake_at(follower.next_at);
                continue;
            }
            plan.reply(*request, BatchReply::Progress(active.run.progress()).encode(), false);
            follower.told_version = Some(active.run.version());
            follower.next_at = now + PROGRESS_INTERVAL;
        }
    }

    /// The run that a task, step or run of that name belongs to, and what of it is meant.
    fn find(&self, name: &str) -> Option<Found<'_>> {
        let mut parts = name.split('.');
        let (run, step) = (parts.next()?, parts.next());
        let Some((_, run)) = self.active(run) else {
            // Perhaps only a step is named: that of the newest run that has one.
            let mut runs = self.runs.values().rev();
            return runs
                .find_map(|active| Some((&active.run, active.run.step_named(name)?)))
                .map(|(run, step)| Found { run, step: Some(step), index: None });
        };
        let step = step.map(|step| run.step_named(step).ok_or(())).transpose().ok()?;
        let index = parts.next().map(str::parse).transpose().ok()?;
        Some(Found { run, step, index })
    }
}

impl BatchFramework {
    fn restore_record(&mut self, now: Time, key: &str, bytes: &[u8]) -> Result<(), DamagedRecord> {
        let damaged = |problem: &str| DamagedRecord::new(key, problem);
        match Key::parse(key).ok_or_else(|| damaged("nothing is recorded under such a key"))? {
            Key::Result(number) => {
                self.next_run = self.next_run.max(number + 1);
                self.finished.push_back((number, decode(key, bytes)?));
            }
            Key::Run(number) => {
                let run = Run::restore(decode::<RunRecord>(key, bytes)?);
                let run = run.map_err(|error| DamagedRecord::new(key, error))?;
                self.next_run = self.next_run.max(number + 1);
                self.add(number, run);
            }
            Key::Index { run, step, index } => {
                let active = self.runs.get_mut(&run).ok_or_else(|| damaged("there is no such run"))?;
                if !active.run.restore_index(now, step, index, decode(key, bytes)?) {
                    return Err(damaged("the run has no such index"));
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, number: u64, run: Run) {
        let name = run.id().to_owned();
        let templates = templates(run.spec(), &name);
        self.runs.insert(number, ActiveRun { run, templates });
        self.by_name.insert(name, number);
        self.dirty.insert(number);
    }

    /// The run and attempt that a task is.
    fn attempt_of(&self, task: &TaskId) -> Option<(u64, Attempt)> {
        let (run, step, index, attempt) = task_parts(task.as_str())?;
        let number = *self.by_name.get(run)?;
        let step = self.runs.get(&number)?.run.step_named(step)?;
        Some((number, Attempt { step, index, attempt }))
    }
}

/// Records what changed of a run.
fn record(number: u64, run: &mut Run, plan: &mut Plan) {
    if let Some(changed) = run.take_record() {
        plan.record(Key::Run(number).to_string(), encode(&changed));
    }
}

/// What a name means.
struct Found<'a> {
    run: &'a Run,
    step: Option<usize>,
    index: Option<u32>,
}

/// Why a job is not run.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SubmitError {
    /// The spec does not pass its checks.
    #[error(transparent)]
    Invalid(#[from] crate::InvalidSpec),
    /// The framework does not use that role.
    #[error("the framework runs jobs of {}, not of role '{role}'", list(roles))]
    UnknownRole {
        /// The job's.
        role: Role,
        /// The framework's.
        roles: Vec<Role>,
    },
}

fn list(roles: &[Role]) -> String {
    let names: Vec<String> = roles.iter().map(|role| format!("role '{role}'")).collect();
    names.join(", ")
}

impl Reconciler for BatchFramework {
    fn framework_info(&self) -> FrameworkInfo {
        self.info.clone()
    }

    fn restore(&mut self, view: &View<'_>, records: &Records, plan: &mut Plan) -> Result<(), DamagedRecord> {
        let now = view.now();
        for (key, bytes) in records {
            self.restore_record(now, key, bytes)?;
        }
        self.finished.make_contiguous().sort_by_key(|(number, result)| (result.ended_at, *number));
        for (task, launched) in view.live() {
            let counts = self.attempt_of(task).is_some_and(|(number, attempt)| {
                let run = self.runs.get_mut(&number).map(|active| &mut active.run);
                run.is_some_and(|run| run.restore_launched(now, attempt, launched.agent.clone()))
            });
            if !counts {
                plan.kill(task.clone());
            }
        }
        for active in self.runs.values_mut() {
            active.run.resume(&mut self.actions);
            apply(active, &mut self.actions, plan);
        }
        tracing::info!(running = self.runs.len(), ended = self.finished.len(), "runs restored");
        Ok(())
    }

    fn reconcile(&mut self, view: &View<'_>, plan: &mut Plan) {
        let now = view.now();
        for task in self.ended.drain(..) {
            plan.forget(task);
        }
        while let Some(number) = self.wakes.pop_due(now) {
            self.dirty.insert(number);
        }
        while let Some(number) = self.dirty.pop_first() {
            self.advance(now, number, plan);
        }
        self.tell_followers(now, plan);
        if let Some(at) = self.wakes.next_deadline() {
            plan.wake_at(at);
        }
    }

    fn status_update(&mut self, now: Time, status: &TaskStatus, plan: &mut Plan) {
        if status.state.is_terminal() {
            self.ended.push(status.task.clone());
        }
        let found = self.attempt_of(&status.task);
        let found = found.and_then(|(number, attempt)| Some((number, attempt, self.runs.get_mut(&number)?)));
        let Some((number, attempt, active)) = found else {
            // Of a run that has ended, or that an earlier life of this framework began without a record: nobody waits for it.
            use TaskState::*;
            if matches!(status.state, Staging | Starting | Running) {
                plan.kill(status.task.clone());
            }
            return;
        };
        let before = active.run.index_record(attempt);
        active.run.update(now, attempt, status, &mut self.actions);
        apply(active, &mut self.actions, plan);
        let after = active.run.index_record(attempt);
        if let Some(ended) = after.filter(|after| before != Some(*after)) {
            let Attempt { step, index, .. } = attempt;
            plan.record(Key::Index { run: number, step, index }.to_string(), encode(&ended));
        }
        record(number, &mut active.run, plan);
        self.dirty.insert(number);
    }

    fn request(&mut self, now: Time, request: RequestId, data: &[u8], plan: &mut Plan) {
        let reply = match BatchRequest::decode(data) {
            Ok(asked) => self.answer(now, request, asked, plan),
            Err(error) => Some(BatchReply::Refused(error.to_string())),
        };
        for number in &self.dirty {
            if let Some(active) = self.runs.get_mut(number) {
                record(*number, &mut active.run, plan);
            }
        }
        if let Some(reply) = reply {
            plan.reply(request, reply.encode(), true);
        }
    }

    fn request_cancelled(&mut self, request: RequestId) {
        self.followers.remove(&request);
    }

    fn explain(&self, _now: Time, task: &str) -> Option<Explanation> {
        if let Some(found) = self.find(task) {
            let obstacles = found.run.obstacles(found.step, found.index)?;
            return Some(Explanation { task: Some(task.to_owned()), wants: None, obstacles });
        }
        let run = task.split('.').next().unwrap_or(task);
        let result = self.result(run)?;
        let what = format!("run {run} has ended: {}", result.state);
        Some(Explanation::of(task, Obstacle::InProgress { what }))
    }
}

/// Hands on what a run wants done.
fn apply(active: &ActiveRun, actions: &mut Vec<Action>, plan: &mut Plan) {
    for action in actions.drain(..) {
        match action {
            Action::Kill(attempt) => task_id(active, attempt).into_iter().for_each(|id| plan.kill(id)),
            Action::Launch(attempt) => {
                task_request(active, attempt).into_iter().for_each(|request| plan.launch(request));
            }
            Action::LaunchTogether(attempts) => plan.launch_together(
                attempts.into_iter().filter_map(|attempt| task_request(active, attempt)).collect(),
            ),
        }
    }
}

fn task_id(active: &ActiveRun, attempt: Attempt) -> Option<TaskId> {
    let name = active.run.task_name(attempt);
    match TaskId::new(&name) {
        Ok(id) => Some(id),
        Err(error) => {
            tracing::error!(task = name, %error, "not a valid task id");
            None
        }
    }
}

fn task_request(active: &ActiveRun, attempt: Attempt) -> Option<TaskRequest> {
    let id = task_id(active, attempt)?;
    let template = &active.templates[attempt.step];
    let work = Work::Command(Arc::clone(&template.command));
    let mut request = TaskRequest::new(id, active.run.spec().role.clone(), Arc::clone(&template.shape), work);
    request.env.insert("INDEX".to_owned(), attempt.index.to_string());
    request.env.insert("ATTEMPT".to_owned(), attempt.attempt.to_string());
    Some(request)
}

/// What the tasks of each step of a run share.
fn templates(spec: &BatchSpec, run: &str) -> Vec<Template> {
    let run_dir = spec.env.get(SPEC_DIR).map(|base| format!("{base}/.apportion/{run}"));
    let template = |step: &apportion::spec::WithTask<crate::spec::StepKeys>| {
        let mut command = step.task.command_info(Checks::default());
        let own = std::mem::take(&mut command.env);
        command.env = spec.env.clone();
        command.env.extend(run_dir.clone().map(|dir| (RUN_DIR.to_owned(), dir)));
        command.env.extend(own);
        command.env.insert("RUN".to_owned(), run.to_owned());
        command.env.insert("STEP".to_owned(), step.rest.name.clone());
        command.env.insert("COUNT".to_owned(), step.rest.count.to_string());
        Template { shape: Arc::new(step.task.shape()), command: Arc::new(command) }
    };
    spec.step.iter().map(template).collect()
}

/// Takes `<run>.<step>.<index>.<attempt>` apart.
fn task_parts(task: &str) -> Option<(&str, &str, u32, u32)> {
    let mut parts = task.split('.');
    let found = (parts.next()?, parts.next()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    parts.next().is_none().then_some(found)
}

#[cfg(test)]
mod tests {
    use apportion::protocol::TaskState;
    use apportion::spec::Document;

    use super::*;

    fn spec() -> BatchSpec {
        let text = "schema = 1\nkind = 'batch'\nid = '/ml/nightly'\nrole = 'ml'\nenv = { A = '1', B = '1' }\n\
                    [[step]]\nname = 'a'\ncmd = ['a']\ncount = 2\nenv = { B = '2' }\n\
                    [[step]]\nname = 'b'\ncmd = ['b']\nneeds = ['a']";
        BatchSpec::parse(&Document::new("job.toml", text)).unwrap()
    }

    fn framework() -> BatchFramework {
        BatchFramework::new("batch", vec!["ml".parse().unwrap()])
    }

    #[test]
    fn tasks_are_told_who_they_are() {
        let mut spec = spec();
        spec.set_base_dir(std::path::Path::new("/srv/job"));
        let run = Run::new("nightly-7".to_owned(), spec, Time::ZERO).unwrap();
        let active = ActiveRun { templates: templates(run.spec(), "nightly-7"), run };
        let attempt = Attempt { step: 0, index: 1, attempt: 3 };
        let request = task_request(&active, attempt).unwrap();
        assert_eq!(request.id.as_str(), "nightly-7.a.1.3");
        let Work::Command(command) = &request.work else { panic!("not a command: {:?}", request.work) };
        let mut env = command.env.clone();
        env.extend(request.env.clone());
        let env: Vec<String> = env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            env,
            [
                "A=1",
                "ATTEMPT=3",
                "B=2",
                "COUNT=2",
                "INDEX=1",
                "RUN=nightly-7",
                "RUN_DIR=/srv/job/.apportion/nightly-7",
                "SPEC_DIR=/srv/job",
                "STEP=a",
            ]
        );
    }

    #[test]
    fn jobs_of_other_roles_are_refused() {
        let mut framework = BatchFramework::new("batch", vec!["web".parse().unwrap()]);
        let error = framework.submit(Time::ZERO, spec()).unwrap_err();
        assert_eq!(error.to_string(), "the framework runs jobs of role 'web', not of role 'ml'");
        assert_eq!(framework.runs(), []);
    }

    #[test]
    fn each_run_has_a_name_of_its_own_and_is_explained() {
        let mut framework = framework().numbering_from(4);
        assert_eq!(framework.submit(Time::ZERO, spec()).as_deref(), Ok("nightly-4"));
        assert_eq!(framework.submit(Time::ZERO, spec()).as_deref(), Ok("nightly-5"));
        let on = "step a to succeed (0 of 2 tasks have succeeded)".to_owned();
        for name in ["nightly-5", "nightly-5.b", "nightly-5.b.0", "nightly-5.b.0.1", "b"] {
            let explained = framework.explain(Time::ZERO, name).unwrap();
            assert_eq!(explained.obstacles, [Obstacle::Dependency { on: on.clone() }], "{name}");
        }
        for name in ["nightly-6", "nightly-5.c", "nightly-5.b.1", "nightly-5.b.x", ""] {
            assert_eq!(framework.explain(Time::ZERO, name), None, "{name}");
        }
    }

    #[test]
    fn running_tasks_that_nobody_waits_for_are_stopped() {
        for (name, state, stopped) in [
            ("nightly-1.a.0.1", TaskState::Running, true),
            ("stray", TaskState::Running, true),
            ("nightly-1.a.0.1", TaskState::Failed, false),
        ] {
            let mut plan = Plan::default();
            let status = TaskStatus::new(TaskId::new(name).unwrap(), state, Time::ZERO);
            framework().status_update(Time::ZERO, &status, &mut plan);
            assert_eq!(plan.is_empty(), !stopped, "{name} {state}");
        }
    }

    #[test]
    fn requests_survive_json_and_garbage_is_refused() {
        let request = BatchRequest::Submit { spec: Box::new(spec()) };
        assert_eq!(BatchRequest::decode(&request.encode()).unwrap(), request);
        assert!(BatchRequest::decode(b"{\"submit\":{}}").is_err());
        let reply = BatchReply::Runs(framework().runs());
        assert_eq!(BatchReply::decode(&reply.encode()).unwrap(), reply);
    }

    #[test]
    fn a_large_array_runs_through() {
        let text = "schema = 1\nkind = 'batch'\nid = 'big'\nrole = 'ml'\n[[step]]\nname = 'a'\ncmd = ['a']\ncount = 10000";
        let mut framework = framework();
        let spec = BatchSpec::parse(&Document::new("job.toml", text)).unwrap();
        let run = framework.submit(Time::ZERO, spec).unwrap();
        let mut plan = Plan::default();
        framework.advance(Time::ZERO, 1, &mut plan);
        for index in 0..10_000 {
            let task = TaskId::new(format!("{run}.a.{index}.1")).unwrap();
            for state in [TaskState::Staging, TaskState::Starting, TaskState::Running, TaskState::Finished] {
                framework.status_update(
                    Time::ZERO,
                    &TaskStatus::new(task.clone(), state, Time::ZERO),
                    &mut plan,
                );
                framework.advance(Time::ZERO, 1, &mut plan);
            }
        }
        assert_eq!(framework.ended.len(), 10_000);
        let summary = framework.result(&run).unwrap().summary();
        assert_eq!((summary.state, summary.succeeded), (RunState::Succeeded, 10_000));
    }
}
