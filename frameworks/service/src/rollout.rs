//! The next step of a service towards what is wanted of it: which instances to stop, how many to launch.

use std::cmp::Reverse;
use std::time::Duration;

use apportion::time::Time;

use crate::deployment::Observed;
use crate::instances::{Instance, InstanceState, Instances};

/// What is wanted, and what must hold on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Goal {
    /// The version that instances are brought to.
    pub(crate) version: u32,
    /// How many instances are wanted.
    pub(crate) replicas: u32,
    /// So many more than that there may be.
    pub(crate) surge: u32,
    /// So many fewer than that may be ready.
    pub(crate) unavailable: u32,
    /// An instance is healthy when it has been ready for so long.
    pub(crate) min_healthy: Duration,
    /// Whether instances of other versions, and on agents that will be away, are left alone.
    pub(crate) is_paused: bool,
}

/// What to do next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Step {
    /// Instances to stop.
    pub(crate) stop: Vec<u64>,
    /// How many instances are missing that may be launched now.
    pub(crate) launch: u32,
}

impl Goal {
    /// How far the instances are from it.
    pub(crate) fn observe(&self, now: Time, instances: &Instances) -> Observed {
        let mut seen = Observed { healthy: 0, wanted: self.replicas, outdated: 0 };
        for (_, instance) in instances.kept() {
            if instance.version != self.version {
                seen.outdated += 1;
            } else if instance.is_healthy(now, self.min_healthy) {
                seen.healthy += 1;
            }
        }
        seen
    }

    /// The next step. To take it keeps, of what held before:
    /// - at least `replicas - unavailable` instances are ready;
    /// - at most `replicas + surge` instances exist, those that stop included.
    pub(crate) fn step(&self, now: Time, instances: &Instances) -> Step {
        let kept: Vec<(u64, &Instance)> = instances.kept().collect();
        let existing = count(instances.iter());
        let (current, outdated): (Vec<_>, Vec<_>) =
            kept.iter().partition(|(_, instance)| instance.version == self.version && !instance.is_leaving);
        let ceiling = self.replicas.saturating_add(self.surge);

        if self.is_paused {
            let excess = size(&kept).saturating_sub(ceiling);
            let launch = self.replicas.saturating_sub(size(&kept)).min(ceiling.saturating_sub(existing));
            return Step { stop: least_useful(kept, excess), launch };
        }

        let excess = size(&current).saturating_sub(self.replicas);
        let launch = self.replicas.saturating_sub(size(&current)).min(ceiling.saturating_sub(existing));
        let mut stop = least_useful(current.clone(), excess);
        let current: Vec<_> = current.into_iter().filter(|(number, _)| !stop.contains(number)).collect();
        stop.extend(self.replaced(now, &current, outdated));
        Step { stop, launch }
    }

    /// Instances that are to be replaced and not needed any more.
    fn replaced(&self, now: Time, current: &[(u64, &Instance)], outdated: Vec<(u64, &Instance)>) -> Vec<u64> {
        let floor = self.replicas.saturating_sub(self.unavailable);
        let healthy =
            count(current.iter().filter(|(_, instance)| instance.is_healthy(now, self.min_healthy)));
        // Instances that do not serve just now may serve again soon: so they count for the floor as long as they are kept.
        // Since they are stopped first, those that are ready are stopped only when enough others serve. New instances
        // count when they have proved healthy.
        let mut spare = (healthy + size(&outdated)).saturating_sub(floor);
        let mut stop = Vec::new();
        for (number, instance) in by_usefulness(outdated) {
            if spare > 0 || instance.state == InstanceState::Queued {
                spare = spare.saturating_sub(1);
                stop.push(number);
            }
        }
        stop
    }
}

fn count<T>(items: impl Iterator<Item = T>) -> u32 {
    u32::try_from(items.count()).unwrap_or(u32::MAX)
}

fn size<T>(items: &[T]) -> u32 {
    count(items.iter())
}

/// The least useful first: what does not serve, then the youngest.
fn by_usefulness(mut instances: Vec<(u64, &Instance)>) -> Vec<(u64, &Instance)> {
    let rank = |state: InstanceState| match state {
        InstanceState::Queued => 0,
        InstanceState::Unreachable => 1,
        InstanceState::Starting => 2,
        InstanceState::Running => 3,
        InstanceState::Ready | InstanceState::Stopping => 4,
    };
    instances.sort_by_key(|(number, instance)| (rank(instance.state), Reverse(*number)));
    instances
}

fn least_useful(instances: Vec<(u64, &Instance)>, wanted: u32) -> Vec<u64> {
    if wanted == 0 {
        return Vec::new();
    }
    let useless_first = by_usefulness(instances).into_iter();
    useless_first.take(wanted as usize).map(|(number, _)| number).collect()
}
