//! A run of a job: when its steps start, what becomes of their tasks, and how it ends.

use std::collections::BTreeMap;

use apportion::protocol::{AgentId, Obstacle, TaskId, TaskState, TaskStatus};
use apportion::time::Time;
use serde::{Deserialize, Serialize};

use crate::graph::{Condition, Need, StepGraph};
use crate::request::{
    Failure, RunProgress, RunResult, RunState, RunSummary, StepResult, StepState, TaskPlace,
};
use crate::spec::{BatchSpec, InvalidSpec};
use crate::step::{Doing, Event, IndexRecord, Outcome, Step, WINDOW};

/// So many tasks are listed in a [`RunProgress`] or a [`RunResult`] at most.
pub const MAX_TASKS_SHOWN: usize = 50;

/// So many failed attempts of a run are kept at most.
pub const MAX_FAILURES_KEPT: usize = 20;

/// So many reasons are given at most for why a run does not go on.
const MAX_OBSTACLES: usize = 20;

/// One attempt at one index of a step of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Attempt {
    pub(crate) step: usize,
    pub(crate) index: u32,
    pub(crate) attempt: u32,
}

/// What a run wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Launch(Attempt),
    /// All of these, or none.
    LaunchTogether(Vec<Attempt>),
    Kill(Attempt),
}

/// What a framework that starts anew must know of a run, beside its indexes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RunRecord {
    id: String,
    spec: BatchSpec,
    submitted_at: Time,
    cancelled: bool,
    failures: Vec<Failure>,
    outputs: Vec<TaskPlace>,
}

/// A run that goes on.
#[derive(Debug)]
pub(crate) struct Run {
    id: String,
    spec: BatchSpec,
    graph: StepGraph,
    steps: Vec<Step>,
    submitted_at: Time,
    cancelled: bool,
    /// What is on agents, and on which.
    places: BTreeMap<Attempt, Option<AgentId>>,
    failures: Vec<Failure>,
    outputs: Vec<TaskPlace>,
    version: u64,
    /// Its record is not up to date.
    is_unrecorded: bool,
}

impl Run {
    /// A run of a job, of which nothing has started.
    pub(crate) fn new(id: String, spec: BatchSpec, now: Time) -> Result<Self, InvalidSpec> {
        let graph = spec.check()?;
        let step = |keys: &crate::spec::StepKeys| {
            if keys.gang {
                return Step::gang(keys.count, keys.retry.policy());
            }
            let parallel = keys.parallel.unwrap_or(u32::MAX);
            Step::new(keys.count, parallel, keys.retry.policy())
        };
        Ok(Run {
            steps: spec.step.iter().map(|with_task| step(&with_task.rest)).collect(),
            id,
            spec,
            graph,
            submitted_at: now,
            cancelled: false,
            places: BTreeMap::new(),
            failures: Vec::new(),
            outputs: Vec::new(),
            version: 0,
            is_unrecorded: true,
        })
    }

    /// What is to be recorded of it, if that changed since the last call.
    pub(crate) fn take_record(&mut self) -> Option<RunRecord> {
        std::mem::take(&mut self.is_unrecorded).then(|| RunRecord {
            id: self.id.clone(),
            spec: self.spec.clone(),
            submitted_at: self.submitted_at,
            cancelled: self.cancelled,
            failures: self.failures.clone(),
            outputs: self.outputs.clone(),
        })
    }

    /// What is to be recorded of an attempt's index, when the attempt is over.
    pub(crate) fn index_record(&self, attempt: Attempt) -> Option<IndexRecord> {
        let record = self.steps.get(attempt.step)?.index_record(attempt.index)?;
        (record.attempt == attempt.attempt).then_some(record)
    }

    /// Steps and indexes of which something may be recorded.
    pub(crate) fn recorded(&self) -> impl Iterator<Item = (usize, u32)> {
        let steps = self.steps.iter().enumerate();
        steps.flat_map(|(number, step)| step.recorded().map(move |index| (number, index)))
    }

    /// The run that an earlier life recorded. Its indexes and launched attempts follow, then [`resume`](Run::resume).
    pub(crate) fn restore(record: RunRecord) -> Result<Self, InvalidSpec> {
        let RunRecord { id, spec, submitted_at, cancelled, failures, outputs } = record;
        let run = Run::new(id, spec, submitted_at)?;
        Ok(Run { cancelled, failures, outputs, is_unrecorded: false, ..run })
    }

    /// Whether there is such an index.
    pub(crate) fn restore_index(&mut self, now: Time, step: usize, index: u32, record: IndexRecord) -> bool {
        self.steps.get_mut(step).is_some_and(|step| step.restore_index(now, index, record))
    }

    /// Whether the attempt is one that counts.
    pub(crate) fn restore_launched(&mut self, now: Time, attempt: Attempt, agent: AgentId) -> bool {
        let counts = self.steps[attempt.step].restore_launched(now, attempt.index, attempt.attempt);
        if counts {
            self.places.insert(attempt, Some(agent));
        }
        counts
    }

    /// Goes on after all was restored. [`advance`](Run::advance) follows.
    pub(crate) fn resume(&mut self, out: &mut Vec<Action>) {
        for place in 0..self.graph.order().len() {
            let step = self.graph.order()[place];
            self.begin(step);
            self.steps[step]
                .resume(|index, attempt| out.push(Action::Kill(Attempt { step, index, attempt })));
            self.steps[step].settle();
        }
        if self.cancelled {
            self.cancel(out);
        }
    }

    /// Its name.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn spec(&self) -> &BatchSpec {
        &self.spec
    }

    /// Goes up with everything that changes its progress.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// The step of that name.
    pub(crate) fn step_named(&self, name: &str) -> Option<usize> {
        self.spec.step.iter().position(|step| step.rest.name == name)
    }

    /// Starts, skips and ends steps as it is their time, and tasks of those that run.
    pub(crate) fn advance(&mut self, now: Time, out: &mut Vec<Action>) {
        let before = out.len();
        for place in 0..self.graph.order().len() {
            let step = self.graph.order()[place];
            if self.steps[step].state() == StepState::Waiting {
                self.begin(step);
            }
            let mut started = Vec::new();
            self.steps[step].fill(now, |index, attempt| started.push(Attempt { step, index, attempt }));
            if self.steps[step].is_gang() && !started.is_empty() {
                out.push(Action::LaunchTogether(started));
            } else {
                out.extend(started.into_iter().map(Action::Launch));
            }
            self.steps[step].settle();
        }
        if out.len() > before {
            self.version += 1;
        }
    }

    fn begin(&mut self, step: usize) {
        let needs = self.graph.needs(step);
        let verdicts = || needs.iter().map(|need| verdict(*need, self.steps[need.step].state()));
        if verdicts().any(|verdict| verdict == Some(false)) {
            self.steps[step].skip();
        } else if verdicts().all(|verdict| verdict == Some(true)) {
            self.steps[step].start();
        } else {
            return;
        }
        self.version += 1;
    }

    /// Takes note of a task's state. [`advance`](Run::advance) follows.
    pub(crate) fn update(&mut self, now: Time, attempt: Attempt, status: &TaskStatus, out: &mut Vec<Action>) {
        let Some(step) = self.steps.get_mut(attempt.step) else { return };
        let event = event_of(status.state);
        let outcome = step.record(now, attempt.index, attempt.attempt, event);
        match outcome {
            Outcome::Stale => {
                if event == Event::Launched && status.state != TaskState::Killing {
                    out.push(Action::Kill(attempt));
                }
                return;
            }
            Outcome::Alive => {
                let unchanged =
                    self.places.insert(attempt, status.agent.clone()) == Some(status.agent.clone());
                if unchanged {
                    return;
                }
            }
            Outcome::Ended | Outcome::Closing | Outcome::Restarting => {
                let Attempt { step: number, .. } = attempt;
                let kill = |index, attempt| out.push(Action::Kill(Attempt { step: number, index, attempt }));
                match outcome {
                    Outcome::Closing => step.stop(step.is_gang(), kill),
                    Outcome::Restarting => step.restart(kill),
                    _ => {}
                }
                self.places.remove(&attempt);
                self.note_end(attempt, status, event, out);
            }
        }
        self.version += 1;
    }

    fn note_end(&mut self, attempt: Attempt, status: &TaskStatus, event: Event, out: &mut Vec<Action>) {
        let place = || TaskPlace { task: status.task.clone(), agent: status.agent.clone() };
        match event {
            Event::Succeeded if self.graph.is_sink(attempt.step) && self.outputs.len() < MAX_TASKS_SHOWN => {
                self.outputs.push(place());
                self.is_unrecorded = true;
            }
            Event::Failed | Event::Refused if self.failures.len() < MAX_FAILURES_KEPT => {
                self.failures.push(Failure { place: place(), message: describe(status) });
                self.is_unrecorded = true;
            }
            // It may come back though its index has been given to another attempt.
            Event::Mishap if status.state == TaskState::Unreachable => out.push(Action::Kill(attempt)),
            _ => {}
        }
    }

    /// Stops everything.
    pub(crate) fn cancel(&mut self, out: &mut Vec<Action>) {
        self.cancelled = true;
        self.is_unrecorded = true;
        self.version += 1;
        for (number, step) in self.steps.iter_mut().enumerate() {
            step.cancel(|index, attempt| out.push(Action::Kill(Attempt { step: number, index, attempt })));
            step.settle();
        }
    }

    /// When something is to be done next though nothing happens.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.steps.iter().filter_map(Step::next_deadline).min()
    }

    /// Whether and how it ended.
    pub(crate) fn state(&self) -> RunState {
        if !self.steps.iter().all(|step| step.state().is_ended()) {
            RunState::Running
        } else if self.cancelled {
            RunState::Cancelled
        } else if self.steps.iter().any(|step| step.state() == StepState::Failed) {
            RunState::Failed
        } else {
            RunState::Succeeded
        }
    }

    /// The id of an attempt's task: `<run>.<step>.<index>.<attempt>`.
    pub(crate) fn task_name(&self, attempt: Attempt) -> String {
        let step = &self.spec.step[attempt.step].rest.name;
        format!("{}.{step}.{}.{}", self.id, attempt.index, attempt.attempt)
    }

    pub(crate) fn progress(&self) -> RunProgress {
        let shown = self.places.iter().take(MAX_TASKS_SHOWN);
        RunProgress {
            run: self.id.clone(),
            steps: self.named_steps().map(|(name, step)| step.progress(name)).collect(),
            tasks: shown
                .filter_map(|(attempt, agent)| {
                    let task = TaskId::new(self.task_name(*attempt)).ok()?;
                    Some(TaskPlace { task, agent: agent.clone() })
                })
                .collect(),
        }
    }

    pub(crate) fn summary(&self) -> RunSummary {
        RunSummary {
            run: self.id.clone(),
            job: self.spec.id.clone(),
            state: self.state(),
            submitted_at: self.submitted_at,
            total: self.spec.total(),
            succeeded: self.steps.iter().map(|step| u64::from(step.succeeded())).sum(),
        }
    }

    /// What is kept of a run that has ended.
    pub(crate) fn result(&self, now: Time) -> RunResult {
        let steps = self.named_steps().map(|(name, step)| StepResult {
            progress: step.progress(name),
            failed_indexes: step.failed_indexes(),
        });
        RunResult {
            run: self.id.clone(),
            job: self.spec.id.clone(),
            state: self.state(),
            submitted_at: self.submitted_at,
            ended_at: now,
            steps: steps.collect(),
            failures: self.failures.clone(),
            outputs: self.outputs.clone(),
        }
    }

    fn named_steps(&self) -> impl Iterator<Item = (&str, &Step)> {
        self.spec.step.iter().map(|step| step.rest.name.as_str()).zip(&self.steps)
    }

    /// What keeps the run, a step of it or an index of that from going on; `None` when there is no such index.
    pub(crate) fn obstacles(&self, step: Option<usize>, index: Option<u32>) -> Option<Vec<Obstacle>> {
        let Some(step) = step else {
            let all = (0..self.steps.len()).flat_map(|step| self.step_obstacles(step));
            return Some(all.take(MAX_OBSTACLES).collect());
        };
        let Some(index) = index else { return Some(self.step_obstacles(step)) };
        let what = |what: &str| vec![Obstacle::InProgress { what: what.to_owned() }];
        Some(match self.steps[step].doing(index)? {
            Doing::Waiting if self.steps[step].state() == StepState::Waiting => self.step_obstacles(step),
            Doing::Waiting => vec![self.limit(step)],
            Doing::Queued => what("it is queued for the next offer"),
            Doing::Launched => what("it has been launched"),
            Doing::BackingOff(until) => vec![Obstacle::Backoff { until }],
            Doing::Ended => Vec::new(),
        })
    }

    fn step_obstacles(&self, number: usize) -> Vec<Obstacle> {
        let step = &self.steps[number];
        match step.state() {
            StepState::Waiting => {
                let open = self.graph.needs(number).iter();
                let open = open.filter(|need| verdict(**need, self.steps[need.step].state()).is_none());
                open.map(|need| Obstacle::Dependency { on: self.describe_need(*need) }).collect()
            }
            StepState::Running => {
                let backoff = step.next_deadline().map(|until| Obstacle::Backoff { until });
                let limit = step.is_limited().then(|| self.limit(number));
                backoff.into_iter().chain(limit).collect()
            }
            _ => Vec::new(),
        }
    }

    fn limit(&self, step: usize) -> Obstacle {
        Obstacle::LimitReached { limit: u64::from(self.steps[step].parallel().min(WINDOW)) }
    }

    fn describe_need(&self, need: Need) -> String {
        let progress = self.steps[need.step].progress(&self.spec.step[need.step].rest.name);
        let wanted = match need.condition {
            Condition::Succeeded => "to succeed",
            Condition::Done => "to end",
            Condition::Failed => "to fail",
        };
        let (name, done, total) = (progress.name, progress.succeeded, progress.total);
        format!("step {name} {wanted} ({done} of {total} tasks have succeeded)")
    }
}

/// Whether a need is met, or can't be met any more.
fn verdict(need: Need, state: StepState) -> Option<bool> {
    if !state.is_ended() {
        return None;
    }
    Some(match need.condition {
        Condition::Succeeded => state == StepState::Succeeded,
        Condition::Done => true,
        Condition::Failed => state == StepState::Failed,
    })
}

fn event_of(state: TaskState) -> Event {
    use TaskState::*;
    match state {
        Staging | Starting | Running | Killing => Event::Launched,
        Finished => Event::Succeeded,
        Failed => Event::Failed,
        Error => Event::Refused,
        Killed | Dropped | Lost | Gone | Unreachable | Unknown => Event::Mishap,
    }
}

fn describe(status: &TaskStatus) -> String {
    match status.exit() {
        _ if !status.message.is_empty() => status.message.clone(),
        Some(exit) => exit.to_string(),
        None => status.state.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use apportion::spec::Document;
    use proptest::prelude::*;

    use super::*;

    /// A run and the tasks that it believes to be somewhere.
    struct World {
        run: Run,
        now: Time,
        alive: BTreeSet<Attempt>,
        asked_to_stop: BTreeSet<Attempt>,
        succeeded: BTreeSet<(usize, u32)>,
        newest: BTreeMap<(usize, u32), u32>,
        over: Vec<Attempt>,
    }

    impl World {
        fn new(steps: &str) -> Self {
            let text = format!("schema = 1\nkind = 'batch'\nid = '/j'\nrole = 'r'\n{steps}");
            let spec = BatchSpec::parse(&Document::new("j.toml", text)).unwrap();
            let mut world = World {
                run: Run::new("j-1".to_owned(), spec, Time::ZERO).unwrap(),
                now: Time::ZERO,
                alive: BTreeSet::new(),
                asked_to_stop: BTreeSet::new(),
                succeeded: BTreeSet::new(),
                newest: BTreeMap::new(),
                over: Vec::new(),
            };
            world.advance(Vec::new());
            world
        }

        /// Lets the run go on, and checks what it asks for.
        fn advance(&mut self, mut actions: Vec<Action>) {
            self.run.advance(self.now, &mut actions);
            for action in actions {
                match action {
                    Action::Kill(attempt) => {
                        self.asked_to_stop.insert(attempt);
                    }
                    Action::Launch(attempt) => self.launched(attempt),
                    Action::LaunchTogether(attempts) => {
                        let lives = |other: &&Attempt| other.step == attempts[0].step;
                        assert_eq!(self.alive.iter().find(lives), None, "part of the gang still lives");
                        attempts.into_iter().for_each(|attempt| self.launched(attempt));
                    }
                }
            }
        }

        fn launched(&mut self, attempt: Attempt) {
            let index = (attempt.step, attempt.index);
            assert!(!self.succeeded.contains(&index), "{attempt:?} has succeeded before");
            let newest = self.newest.insert(index, attempt.attempt);
            assert_eq!(attempt.attempt, newest.unwrap_or(0) + 1);
            let before = Attempt { attempt: newest.unwrap_or(0), ..attempt };
            assert!(!self.alive.contains(&before), "{before:?} still lives");
            self.alive.insert(attempt);
        }

        fn tell(&mut self, attempt: Attempt, state: TaskState) {
            let task = TaskId::new(self.run.task_name(attempt)).unwrap();
            let ends = state.is_terminal() || state == TaskState::Unreachable;
            if ends && self.alive.remove(&attempt) {
                self.over.push(attempt);
                if state == TaskState::Finished {
                    self.succeeded.insert((attempt.step, attempt.index));
                }
            }
            let mut actions = Vec::new();
            self.run.update(self.now, attempt, &TaskStatus::new(task, state, self.now), &mut actions);
            self.advance(actions);
        }

        /// Everything goes well from now on; the run ends.
        fn settle(&mut self) {
            for _ in 0..1000 {
                while let Some(attempt) = self.alive.first().copied() {
                    let stops = self.asked_to_stop.contains(&attempt);
                    self.tell(attempt, if stops { TaskState::Killed } else { TaskState::Finished });
                }
                let Some(at) = self.run.next_deadline() else { break };
                self.now = self.now.max(at);
                self.advance(Vec::new());
            }
            assert_ne!(self.run.state(), RunState::Running);
        }

        fn states(&self) -> Vec<StepState> {
            self.run.steps.iter().map(Step::state).collect()
        }
    }

    const DIAMOND: &str = "
[[step]]
name = 'a'
cmd = ['a']
count = 3
retry = { limit = 1, backoff = '1s' }
[[step]]
name = 'b'
cmd = ['b']
needs = ['a']
count = 2
parallel = 1
[[step]]
name = 'rescue'
cmd = ['c']
needs = ['a.failed']
[[step]]
name = 'report'
cmd = ['d']
needs = ['b.done', 'rescue.done']
";

    fn attempt(step: usize, index: u32, attempt: u32) -> Attempt {
        Attempt { step, index, attempt }
    }

    #[test]
    fn steps_run_in_the_order_of_their_needs() {
        use StepState::*;
        let mut world = World::new(DIAMOND);
        assert_eq!(world.states(), [Running, Waiting, Waiting, Waiting]);
        for index in 0..3 {
            world.tell(attempt(0, index, 1), TaskState::Finished);
        }
        assert_eq!(world.states(), [Succeeded, Running, Skipped, Waiting]);
        world.settle();
        assert_eq!(world.states(), [Succeeded, Succeeded, Skipped, Succeeded]);
        let result = world.run.result(world.now);
        assert_eq!(result.state, RunState::Succeeded);
        assert_eq!(result.outputs[0].task.as_str(), "j-1.report.0.1");
    }

    #[test]
    fn a_failed_step_skips_what_needs_its_success_and_starts_what_needs_its_failure() {
        use StepState::*;
        let mut world = World::new(DIAMOND);
        world.tell(attempt(0, 1, 1), TaskState::Failed);
        assert_eq!(
            world.run.obstacles(Some(0), Some(1)),
            Some(vec![Obstacle::Backoff { until: Time::from_secs(1) }])
        );
        world.now = Time::from_secs(1);
        world.advance(Vec::new());
        world.tell(attempt(0, 1, 2), TaskState::Error);
        assert_eq!(world.asked_to_stop, BTreeSet::from([attempt(0, 0, 1), attempt(0, 2, 1)]));
        world.settle();
        assert_eq!(world.states(), [Failed, Skipped, Succeeded, Succeeded]);
        let result = world.run.result(world.now);
        assert_eq!((result.state, result.steps[0].failed_indexes.clone()), (RunState::Failed, vec![(1, 1)]));
        assert_eq!(result.failures.len(), 2);
    }

    #[test]
    fn a_task_that_comes_back_after_it_was_given_up_is_stopped() {
        let mut world = World::new(DIAMOND);
        world.tell(attempt(0, 0, 1), TaskState::Running);
        world.tell(attempt(0, 0, 1), TaskState::Unreachable);
        world.now = Time::from_secs(1);
        world.advance(Vec::new());
        assert!(world.alive.contains(&attempt(0, 0, 2)));
        world.asked_to_stop.clear();
        world.tell(attempt(0, 0, 1), TaskState::Running);
        assert_eq!(world.asked_to_stop, BTreeSet::from([attempt(0, 0, 1)]));
    }

    #[test]
    fn a_cancelled_run_stops_what_runs_and_ends() {
        use StepState::*;
        let mut world = World::new(DIAMOND);
        world.tell(attempt(0, 0, 1), TaskState::Finished);
        world.tell(attempt(0, 1, 1), TaskState::Running);
        let mut actions = Vec::new();
        world.run.cancel(&mut actions);
        assert_eq!(actions, [Action::Kill(attempt(0, 1, 1)), Action::Kill(attempt(0, 2, 1))]);
        world.advance(actions);
        assert_eq!(world.run.state(), RunState::Running);
        world.settle();
        assert_eq!(world.states(), [Cancelled; 4]);
        assert_eq!(world.run.state(), RunState::Cancelled);
    }

    #[test]
    fn waiting_is_explained() {
        let world = World::new(DIAMOND);
        let on = "step a to succeed (0 of 3 tasks have succeeded)".to_owned();
        assert_eq!(world.run.obstacles(Some(1), Some(0)), Some(vec![Obstacle::Dependency { on }]));
        assert_eq!(world.run.obstacles(Some(1), Some(2)), None);
    }

    #[test]
    fn a_large_array_runs_through() {
        let mut world = World::new("[[step]]\nname = 'a'\ncmd = ['a']\ncount = 10000");
        let mut updates = 0;
        while let Some(attempt) = world.alive.first().copied() {
            for state in [TaskState::Staging, TaskState::Starting, TaskState::Running, TaskState::Finished] {
                world.tell(attempt, state);
                updates += 1;
            }
        }
        assert_eq!((updates, world.run.state()), (40_000, RunState::Succeeded));
    }

    fn any_state() -> impl Strategy<Value = TaskState> {
        use TaskState::*;
        prop::sample::select(vec![
            Staging,
            Running,
            Running,
            Killing,
            Finished,
            Finished,
            Failed,
            Killed,
            Error,
            Dropped,
            Lost,
            Gone,
            Unreachable,
        ])
    }

    proptest! {
        /// Whatever happens: one attempt of an index at a time, success is final, the run ends.
        #[test]
        fn laws_hold_whatever_happens(
            gang: bool,
            events in prop::collection::vec((any::<prop::sample::Index>(), any_state(), 0..4_u8, 0..3000_u64), 0..60),
            cancel_at in prop::option::of(0..60_usize),
        ) {
            let mut world = World::new(&DIAMOND.replacen("count = 3", &format!("count = 3\ngang = {gang}"), 1));
            for (number, (pick, state, kind, millis)) in events.into_iter().enumerate() {
                if cancel_at == Some(number) {
                    let mut actions = Vec::new();
                    world.run.cancel(&mut actions);
                    world.advance(actions);
                }
                world.now = world.now + Duration::from_millis(millis);
                // Mostly of tasks that are somewhere, sometimes a repetition or of one that was given up.
                let known: Vec<Attempt> =
                    if kind == 0 { world.over.clone() } else { world.alive.iter().copied().collect() };
                if !known.is_empty() {
                    world.tell(*pick.get(&known), state);
                }
            }
            world.settle();
            let result = world.run.result(world.now);
            let counted: u32 = result.steps.iter().map(|step| step.progress.succeeded).sum();
            prop_assert_eq!(counted as usize, world.succeeded.len());
        }
    }
}
