//! When a task is probed, and what the results amount to.

use std::time::Duration;

use super::action::{CheckKind, ProbePlan};
use crate::protocol::Check;

/// One of a task's checks at work.
#[derive(Debug)]
struct Running {
    check: Check,
    probe: ProbePlan,
    failures: u32,
}

/// What a result means for the task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing changes; the check is tried again after this time.
    Again(Duration),
    /// The task is ready from now on, or not ready; the check is tried again after this time.
    Ready(bool, Duration),
    /// The startup check passed: the other two begin.
    StartedUp,
    /// The task is to be stopped; why, for people.
    Failed(String),
}

/// A task's checks at work.
#[derive(Debug)]
pub(super) struct Checks {
    startup: Option<Running>,
    readiness: Option<Running>,
    liveness: Option<Running>,
}

impl Checks {
    pub(super) fn new(
        startup: Option<(Check, ProbePlan)>,
        readiness: Option<(Check, ProbePlan)>,
        liveness: Option<(Check, ProbePlan)>,
    ) -> Self {
        let running = |(check, probe)| Running { check, probe, failures: 0 };
        Checks {
            startup: startup.map(running),
            readiness: readiness.map(running),
            liveness: liveness.map(running),
        }
    }

    /// Whether the task is ready as soon as it runs.
    pub(super) fn ready_at_start(&self) -> bool {
        self.startup.is_none() && self.ready_after_startup()
    }

    /// Whether the task is ready as soon as its startup check has passed.
    pub(super) fn ready_after_startup(&self) -> bool {
        self.readiness.is_none()
    }

    /// The checks that begin with the process, and when each is first tried. A process that was just started listens to nobody yet:
    /// only readiness, whose failures do no harm, is tried at once.
    pub(super) fn first(&self) -> Vec<(CheckKind, Duration)> {
        match &self.startup {
            Some(startup) => vec![(CheckKind::Startup, startup.check.every)],
            None => self.after_startup(),
        }
    }

    /// The checks that begin when the startup check has passed, and when each is first tried.
    pub(super) fn after_startup(&self) -> Vec<(CheckKind, Duration)> {
        let readiness = self.readiness.as_ref().map(|_| (CheckKind::Readiness, Duration::ZERO));
        let liveness = self.liveness.as_ref().map(|running| (CheckKind::Liveness, running.check.every));
        readiness.into_iter().chain(liveness).collect()
    }

    /// What to try for a check, and for how long.
    pub(super) fn probe(&self, kind: CheckKind) -> Option<(ProbePlan, Duration)> {
        let running = match kind {
            CheckKind::Startup => &self.startup,
            CheckKind::Readiness => &self.readiness,
            CheckKind::Liveness => &self.liveness,
        };
        running.as_ref().map(|running| (running.probe.clone(), running.check.timeout))
    }

    /// Takes note of a try's result.
    pub(super) fn result(&mut self, kind: CheckKind, result: Result<(), String>) -> Option<Verdict> {
        let running = match kind {
            CheckKind::Startup => &mut self.startup,
            CheckKind::Readiness => &mut self.readiness,
            CheckKind::Liveness => &mut self.liveness,
        };
        let running = running.as_mut()?;
        let every = running.check.every;
        let Err(problem) = result else {
            running.failures = 0;
            return Some(match kind {
                CheckKind::Startup => Verdict::StartedUp,
                CheckKind::Readiness => Verdict::Ready(true, every),
                CheckKind::Liveness => Verdict::Again(every),
            });
        };
        running.failures = running.failures.saturating_add(1);
        if running.failures < running.check.failures.max(1) {
            return Some(Verdict::Again(every));
        }
        Some(match kind {
            CheckKind::Readiness => Verdict::Ready(false, every),
            CheckKind::Startup | CheckKind::Liveness => Verdict::Failed(format!(
                "the {} check failed {} times in a row: {problem}",
                kind.as_str(),
                running.failures
            )),
        })
    }
}
