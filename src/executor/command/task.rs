//! One task's life, from its start to its end.

use std::sync::Arc;
use std::time::Duration;

use super::action::{CheckKind, CommandAction};
use super::checks::{Checks, Verdict};
use super::plan::Plan;
use crate::executor::ExecutorDriver;
use crate::protocol::{CommandInfo, Exit, Reason, StopPolicy, TaskId, TaskState, TaskStatus};

/// What a task waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// Its time limit.
    Timeout,
    /// The end of the grace period.
    Grace,
    /// The next try of a check.
    Check(CheckKind),
}

impl Timer {
    /// The timers of a task are numbered within eight.
    const PER_TASK: u64 = 8;

    fn id(self, number: u64) -> u64 {
        let timer = match self {
            Timer::Timeout => 0,
            Timer::Grace => 1,
            Timer::Check(CheckKind::Startup) => 2,
            Timer::Check(CheckKind::Readiness) => 3,
            Timer::Check(CheckKind::Liveness) => 4,
        };
        number * Self::PER_TASK + timer
    }

    /// The task's number and the timer that an id stands for.
    pub(super) fn of_id(id: u64) -> (u64, Option<Timer>) {
        let timer = match id % Self::PER_TASK {
            0 => Some(Timer::Timeout),
            1 => Some(Timer::Grace),
            2 => Some(Timer::Check(CheckKind::Startup)),
            3 => Some(Timer::Check(CheckKind::Readiness)),
            4 => Some(Timer::Check(CheckKind::Liveness)),
            _ => None,
        };
        (id / Self::PER_TASK, timer)
    }
}

/// Why a task is stopped.
#[derive(Debug)]
enum Why {
    Requested,
    TimedOut(Duration),
    CheckFailed(String),
}

#[derive(Debug)]
struct Stopping {
    why: Why,
    policy: StopPolicy,
}

/// A task that has not ended.
#[derive(Debug)]
pub(super) struct Task {
    id: TaskId,
    number: u64,
    command: Arc<CommandInfo>,
    checks: Checks,
    started: bool,
    ready: bool,
    stopping: Option<Stopping>,
    /// Timers that were set and may still fire.
    has_timers: bool,
}

type Driver = ExecutorDriver<CommandAction>;

impl Task {
    /// Has the process started.
    pub(super) fn start(number: u64, plan: Plan, driver: &mut Driver) -> Task {
        let Plan { id, command, process, startup, readiness, liveness } = plan;
        driver.act(CommandAction::Start { task: id.clone(), process });
        let checks = Checks::new(startup, readiness, liveness);
        Task { id, number, command, checks, started: false, ready: false, stopping: None, has_timers: false }
    }

    /// What its timers carry.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn started(&mut self, driver: &mut Driver) {
        self.started = true;
        if self.stopping.is_some() {
            return self.signal(driver);
        }
        self.ready = self.checks.ready_at_start();
        self.tell(TaskState::Running, driver);
        if let Some(timeout) = self.command.timeout {
            self.set(Timer::Timeout, timeout, driver);
        }
        let first = self.checks.first();
        self.begin(first, driver);
    }

    pub(super) fn not_started(&mut self, error: String, driver: &mut Driver) {
        let status = match self.stopping {
            Some(_) => self.status(TaskState::Killed, driver),
            None => self.status(TaskState::Failed, driver),
        };
        driver.update(status.because(Reason::NotStarted, error));
    }

    /// Stops it on request; a later request with a policy of its own goes before an earlier one.
    pub(super) fn kill(&mut self, stop: Option<StopPolicy>, driver: &mut Driver) {
        if let Some(stopping) = &mut self.stopping {
            if let Some(policy) = stop {
                stopping.policy = policy;
                if self.started {
                    self.signal(driver);
                }
            }
            return;
        }
        self.stop(Why::Requested, stop, driver);
    }

    pub(super) fn probed(&mut self, kind: CheckKind, result: Result<(), String>, driver: &mut Driver) {
        if self.stopping.is_some() {
            return;
        }
        match self.checks.result(kind, result) {
            None => {}
            Some(Verdict::Again(wait)) => self.set(Timer::Check(kind), wait, driver),
            Some(Verdict::Ready(ready, wait)) => {
                self.set_ready(ready, driver);
                self.set(Timer::Check(kind), wait, driver);
            }
            Some(Verdict::StartedUp) => {
                self.set_ready(self.checks.ready_after_startup(), driver);
                let next = self.checks.after_startup();
                self.begin(next, driver);
            }
            Some(Verdict::Failed(problem)) => self.stop(Why::CheckFailed(problem), None, driver),
        }
    }

    pub(super) fn timer(&mut self, timer: Timer, driver: &mut Driver) {
        match timer {
            Timer::Grace => driver.act(CommandAction::KillAll { task: self.id.clone() }),
            Timer::Timeout => {
                if let (Some(timeout), None) = (self.command.timeout, &self.stopping) {
                    self.stop(Why::TimedOut(timeout), None, driver);
                }
            }
            Timer::Check(kind) => {
                if self.stopping.is_none() {
                    self.probe(kind, driver);
                }
            }
        }
    }

    /// Tells how it ended.
    pub(super) fn exited(&mut self, exit: Exit, oom_killed: bool, driver: &mut Driver) {
        if self.has_timers {
            for timer in 0..Timer::PER_TASK {
                driver.cancel_timer(self.number * Timer::PER_TASK + timer);
            }
        }
        self.ready = false;
        let (state, reason, message) = match self.stopping.take().map(|stopping| stopping.why) {
            Some(Why::Requested) => {
                (TaskState::Killed, Reason::Exited(exit), format!("killed on request; {exit}"))
            }
            Some(Why::TimedOut(timeout)) => {
                (TaskState::Failed, Reason::TimedOut, format!("it ran for longer than {timeout:?}; {exit}"))
            }
            Some(Why::CheckFailed(problem)) => (TaskState::Failed, Reason::CheckFailed, problem),
            None if exit.is_success() => (TaskState::Finished, Reason::Exited(exit), String::new()),
            None if oom_killed => {
                let message = format!("it used more memory than it had asked for; {exit}");
                (TaskState::Failed, Reason::OutOfMemory, message)
            }
            None => (TaskState::Failed, Reason::Exited(exit), exit.to_string()),
        };
        driver.update(self.status(state, driver).because(reason, message));
    }

    fn stop(&mut self, why: Why, stop: Option<StopPolicy>, driver: &mut Driver) {
        self.stopping = Some(Stopping { why, policy: stop.unwrap_or(self.command.stop) });
        self.ready = false;
        self.tell(TaskState::Killing, driver);
        // One that is still being started is signalled as soon as it runs.
        if self.started {
            self.signal(driver);
        }
    }

    /// Asks the process to end, and sees to it that it does.
    fn signal(&mut self, driver: &mut Driver) {
        let Some(Stopping { policy, .. }) = &self.stopping else { return };
        let StopPolicy { signal, grace } = *policy;
        driver.act(CommandAction::Signal { task: self.id.clone(), signal });
        self.set(Timer::Grace, grace, driver);
    }

    fn begin(&mut self, checks: Vec<(CheckKind, Duration)>, driver: &mut Driver) {
        for (kind, wait) in checks {
            if wait.is_zero() {
                self.probe(kind, driver);
            } else {
                self.set(Timer::Check(kind), wait, driver);
            }
        }
    }

    fn probe(&self, check: CheckKind, driver: &mut Driver) {
        if let Some((probe, timeout)) = self.checks.probe(check) {
            driver.act(CommandAction::Probe { task: self.id.clone(), check, probe, timeout });
        }
    }

    fn set_ready(&mut self, ready: bool, driver: &mut Driver) {
        if self.ready != ready {
            self.ready = ready;
            self.tell(TaskState::Running, driver);
        }
    }

    fn set(&mut self, timer: Timer, wait: Duration, driver: &mut Driver) {
        self.has_timers = true;
        driver.set_timer(timer.id(self.number), wait);
    }

    fn tell(&self, state: TaskState, driver: &mut Driver) {
        driver.update(self.status(state, driver));
    }

    fn status(&self, state: TaskState, driver: &Driver) -> TaskStatus {
        TaskStatus { ready: self.ready, ..TaskStatus::new(self.id.clone(), state, driver.now()) }
    }
}
