//! How a service gets to a version, and what happens when it does not.

use std::fmt;
use std::time::Duration;

use apportion::time::Time;
use serde::{Deserialize, Serialize};

use crate::spec::OnFailure;

/// Where a deployment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Instances are brought to the version and the number that are wanted.
    Progressing,
    /// All instances are of the version and healthy.
    Succeeded,
    /// It failed; instances are brought back to the last version that succeeded.
    RollingBack,
    /// All instances are of the last version that succeeded, and healthy.
    RolledBack,
    /// It failed, and so it stands: nothing is updated further; what ends is replaced by the last version that succeeded.
    Paused,
    /// It failed, and there is no version to go back to. Instances are launched on, under their backoff; when all are healthy
    /// after all, it has succeeded.
    Failed,
}

impl Phase {
    /// Whether the deployment is over.
    pub fn is_ended(self) -> bool {
        !matches!(self, Phase::Progressing | Phase::RollingBack)
    }

    /// The phase's name, as it is printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Progressing => "progressing",
            Phase::Succeeded => "succeeded",
            Phase::RollingBack => "rolling back",
            Phase::RolledBack => "rolled back",
            Phase::Paused => "paused",
            Phase::Failed => "failed",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a deployment is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Observed {
    /// Healthy instances of the target version.
    pub(crate) healthy: u32,
    /// How many are wanted.
    pub(crate) wanted: u32,
    /// Instances of other versions that were not asked to stop.
    pub(crate) outdated: u32,
}

/// What a deployment does when it gets no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Patience {
    /// How long it waits for one more healthy instance.
    pub(crate) deadline: Duration,
    /// What then.
    pub(crate) on_failure: OnFailure,
}

/// What a framework that starts anew must know of a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeploymentRecord {
    target: u32,
    stable: Option<u32>,
    phase: Phase,
}

/// A deployment: a target, and how far it got.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Deployment {
    target: u32,
    /// The last version that succeeded, when it is another one.
    stable: Option<u32>,
    phase: Phase,
    /// The most healthy instances that there were: only more of them are progress, so that instances which come and go are
    /// none.
    most_healthy: u32,
    deadline: Time,
}

impl Deployment {
    /// A deployment of a version. It goes back to `stable` if it fails, unless there is none or that is the target itself.
    pub(crate) fn new(now: Time, target: u32, stable: Option<u32>, patience: Patience) -> Self {
        Deployment {
            target,
            stable: stable.filter(|stable| *stable != target),
            phase: Phase::Progressing,
            most_healthy: 0,
            deadline: now + patience.deadline,
        }
    }

    pub(crate) fn record(&self) -> DeploymentRecord {
        DeploymentRecord { target: self.target, stable: self.stable, phase: self.phase }
    }

    /// The deployment that an earlier life recorded. Its time begins again.
    pub(crate) fn restore(now: Time, record: DeploymentRecord, patience: Patience) -> Self {
        let DeploymentRecord { target, stable, phase } = record;
        Deployment { target, stable, phase, most_healthy: 0, deadline: now + patience.deadline }
    }

    /// The version that instances are brought to.
    pub(crate) fn target(&self) -> u32 {
        self.target
    }

    /// The version of which missing instances are launched.
    pub(crate) fn fill(&self) -> u32 {
        match self.phase {
            Phase::Paused => self.stable.unwrap_or(self.target),
            _ => self.target,
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// When it fails if there is no progress before.
    pub(crate) fn deadline(&self) -> Option<Time> {
        (!self.phase.is_ended()).then_some(self.deadline)
    }

    /// Another number of instances is wanted of the same version. What is paused stays so.
    pub(crate) fn rescale(&mut self, now: Time, patience: Patience) {
        match self.phase {
            Phase::Paused => {}
            Phase::RollingBack => self.restart(now, patience, Phase::RollingBack),
            _ => self.restart(now, patience, Phase::Progressing),
        }
    }

    /// Goes on after a pause.
    pub(crate) fn resume(&mut self, now: Time, patience: Patience) {
        if self.phase == Phase::Paused {
            self.restart(now, patience, Phase::Progressing);
        }
    }

    /// Goes back to a version that succeeded.
    pub(crate) fn roll_back(&mut self, now: Time, to: u32, patience: Patience) {
        self.target = to;
        self.stable = None;
        self.restart(now, patience, Phase::RollingBack);
    }

    /// Judges how it goes.
    pub(crate) fn observe(&mut self, now: Time, seen: Observed, patience: Patience) {
        let is_done = seen.healthy >= seen.wanted && seen.outdated == 0;
        match self.phase {
            Phase::Progressing | Phase::Failed if is_done => self.phase = Phase::Succeeded,
            Phase::RollingBack if is_done => self.phase = Phase::RolledBack,
            Phase::Progressing | Phase::RollingBack if seen.healthy > self.most_healthy => {
                self.most_healthy = seen.healthy;
                self.deadline = now + patience.deadline;
            }
            Phase::Progressing if now >= self.deadline => match (self.stable, patience.on_failure) {
                (None, _) => self.phase = Phase::Failed,
                (Some(_), OnFailure::Pause) => self.phase = Phase::Paused,
                (Some(stable), OnFailure::Rollback) => self.roll_back(now, stable, patience),
            },
            Phase::RollingBack if now >= self.deadline => self.phase = Phase::Paused,
            _ => {}
        }
    }

    fn restart(&mut self, now: Time, patience: Patience, phase: Phase) {
        self.phase = phase;
        self.most_healthy = 0;
        self.deadline = now + patience.deadline;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patience(on_failure: OnFailure) -> Patience {
        Patience { deadline: Duration::from_secs(10), on_failure }
    }

    fn seen(healthy: u32, outdated: u32) -> Observed {
        Observed { healthy, wanted: 3, outdated }
    }

    #[test]
    fn each_further_healthy_instance_extends_the_deadline() {
        let patience = patience(OnFailure::Rollback);
        let mut deployment = Deployment::new(Time::ZERO, 2, Some(1), patience);
        deployment.observe(Time::from_secs(9), seen(1, 2), patience);
        assert_eq!(deployment.deadline(), Some(Time::from_secs(19)));
        // One that fell and came back is no progress.
        deployment.observe(Time::from_secs(12), seen(0, 2), patience);
        deployment.observe(Time::from_secs(15), seen(1, 2), patience);
        assert_eq!(deployment.deadline(), Some(Time::from_secs(19)));
        deployment.observe(Time::from_secs(18), seen(3, 1), patience);
        assert_eq!(deployment.phase(), Phase::Progressing);
        deployment.observe(Time::from_secs(19), seen(3, 0), patience);
        assert_eq!((deployment.phase(), deployment.deadline()), (Phase::Succeeded, None));
    }

    #[test]
    fn what_fails_goes_back_pauses_or_goes_on() {
        for (stable, on_failure, phase, target) in [
            (Some(1), OnFailure::Rollback, Phase::RollingBack, 1),
            (Some(1), OnFailure::Pause, Phase::Paused, 2),
            (Some(2), OnFailure::Rollback, Phase::Failed, 2),
            (None, OnFailure::Rollback, Phase::Failed, 2),
            (None, OnFailure::Pause, Phase::Failed, 2),
        ] {
            let patience = patience(on_failure);
            let mut deployment = Deployment::new(Time::ZERO, 2, stable, patience);
            deployment.observe(Time::from_secs(10), seen(0, 3), patience);
            assert_eq!(
                (deployment.phase(), deployment.target()),
                (phase, target),
                "{stable:?} {on_failure:?}"
            );
        }
    }

    #[test]
    fn a_rollback_ends_or_pauses() {
        let patience = patience(OnFailure::Rollback);
        let mut deployment = Deployment::new(Time::ZERO, 2, Some(1), patience);
        deployment.observe(Time::from_secs(10), seen(0, 3), patience);
        let mut stuck = deployment.clone();
        deployment.observe(Time::from_secs(11), seen(3, 0), patience);
        assert_eq!(deployment.phase(), Phase::RolledBack);
        stuck.observe(Time::from_secs(20), seen(0, 1), patience);
        assert_eq!((stuck.phase(), stuck.fill()), (Phase::Paused, 1));
    }

    #[test]
    fn what_failed_succeeds_when_it_is_healthy_after_all() {
        let patience = patience(OnFailure::Rollback);
        let mut deployment = Deployment::new(Time::ZERO, 1, None, patience);
        deployment.observe(Time::from_secs(10), seen(0, 0), patience);
        assert_eq!(deployment.phase(), Phase::Failed);
        deployment.observe(Time::from_secs(99), seen(3, 0), patience);
        assert_eq!(deployment.phase(), Phase::Succeeded);
    }
}
