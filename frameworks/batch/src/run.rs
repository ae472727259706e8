//! A run of a job: when its steps start, what becomes of their tasks, and how it ends.

use std::collections::BTreeMap;

use apportion::protocol::{AgentId, Obstacle, TaskId, TaskState, TaskStatus};
use apportion::time::Time;

use crate::graph::{Condition, Need, StepGraph};
use crate::request::{
    Failure, RunProgress, RunResult, RunState, RunSummary, StepResult, StepState, TaskPlace,
};
use crate::spec::{BatchSpec, InvalidSpec};
use crate::step::{Doing, Event, Outcome, Step, WINDOW};

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Launch(Attempt),
    Kill(Attempt),
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
}

impl Run {
    /// A run of a job, of which nothing has started.
    pub(crate) fn new(id: String, spec: BatchSpec, now: Time) -> Result<Self, InvalidSpec> {
        let graph = spec.check()?;
        let step = |keys: &crate::spec::StepKeys| {
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
        })
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
            let launch = |index, attempt| out.push(Action::Launch(Attempt { step, index, attempt }));
            self.steps[step].fill(now, launch);
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
            Outcome::Ended | Outcome::Closing => {
                if outcome == Outcome::Closing {
                    let Attempt { step: number, .. } = attempt;
                    let kill =
                        |index, attempt| out.push(Action::Kill(Attempt { step: number, index, attempt }));
                    step.stop(false, kill);
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
            }
            Event::Failed | Event::Refused if self.failures.len() < MAX_FAILURES_KEPT => {
                self.failures.push(Failure { place: place(), message: describe(status) });
            }
            // It may come back though its index has been given to another attempt.
            Event::Mishap if status.state == TaskState::Unreachable => out.push(Action::Kill(attempt)),
            _ => {}
        }
    }

    /// Stops everything.
    pub(crate) fn cancel(&mut self, out: &mut Vec<Action>) {
        self.cancelled = true;
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
