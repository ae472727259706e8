//! The instances of one service, and what is known of each.

use std::collections::BTreeMap;
use std::time::Duration;

use apportion::protocol::{AgentId, Reason, TaskState, TaskStatus};
use apportion::time::Time;
use serde::{Deserialize, Serialize};

/// An instance on an agent that can't be reached is replaced after so long.
pub const REPLACE_UNREACHABLE_AFTER: Duration = Duration::from_secs(300);

/// What is known of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstanceState {
    /// It waits for an offer.
    Queued,
    /// It is on an agent and does not run yet.
    Starting,
    /// It runs, but can't serve.
    Running,
    /// It runs and can serve.
    Ready,
    /// Its agent can't be reached.
    Unreachable,
    /// It was asked to stop.
    Stopping,
}

/// One task of a service.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Instance {
    pub(crate) version: u32,
    pub(crate) state: InstanceState,
    pub(crate) agent: Option<AgentId>,
    /// Since when it is in its state.
    pub(crate) since: Time,
    /// Whether its agent will be away: it serves, but is to be replaced.
    pub(crate) is_leaving: bool,
    /// Whether we asked it to stop. The executor also stops tasks by itself, whose checks failed: that is their failure.
    is_unwanted: bool,
}

impl Instance {
    /// Whether it is to go on.
    pub(crate) fn is_kept(&self) -> bool {
        self.state != InstanceState::Stopping
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.state == InstanceState::Ready
    }

    /// Whether it has been ready for long enough.
    pub(crate) fn is_healthy(&self, now: Time, min_healthy: Duration) -> bool {
        self.is_ready() && now.since(self.since) >= min_healthy
    }

    fn enter(&mut self, now: Time, state: InstanceState) {
        if self.state != state {
            self.state = state;
            self.since = now;
        }
    }
}

/// Why an instance ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// By its own doing: it failed, or it ended although a service has no end.
    Itself,
    /// It was stopped on request, ours or somebody else's.
    Stopped,
    /// The platform lost it.
    Platform,
}

/// The instances of a service by number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Instances {
    by_number: BTreeMap<u64, Instance>,
}

impl Instances {
    /// A new instance, which waits for an offer.
    pub(crate) fn queue(&mut self, now: Time, number: u64, version: u32) {
        let instance = Instance {
            version,
            state: InstanceState::Queued,
            agent: None,
            since: now,
            is_leaving: false,
            is_unwanted: false,
        };
        self.by_number.insert(number, instance);
    }

    /// An instance that an earlier life launched; how it is now is told by and by.
    pub(crate) fn restore(&mut self, now: Time, number: u64, version: u32, agent: AgentId) {
        self.queue(now, number, version);
        if let Some(instance) = self.by_number.get_mut(&number) {
            instance.agent = Some(agent);
            instance.enter(now, InstanceState::Starting);
        }
    }

    /// It was asked to stop.
    pub(crate) fn stop(&mut self, now: Time, number: u64) {
        if let Some(instance) = self.by_number.get_mut(&number) {
            instance.enter(now, InstanceState::Stopping);
            instance.is_unwanted = true;
        }
    }

    /// An agent will be away. Whether any instance has to leave it.
    pub(crate) fn leave(&mut self, agent: &AgentId) -> bool {
        let mut any = false;
        for instance in self.by_number.values_mut().filter(|instance| instance.agent.as_ref() == Some(agent))
        {
            instance.is_leaving = true;
            any = true;
        }
        any
    }

    pub(crate) fn get(&self, number: u64) -> Option<&Instance> {
        self.by_number.get(&number)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_number.is_empty()
    }

    /// By number: oldest first.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, &Instance)> {
        self.by_number.iter().map(|(number, instance)| (*number, instance))
    }

    /// Those that are to go on.
    pub(crate) fn kept(&self) -> impl DoubleEndedIterator<Item = (u64, &Instance)> {
        self.iter().filter(|(_, instance)| instance.is_kept())
    }

    /// Takes a task's new state in. When the instance is over by that, it is taken out and returned with how it ended.
    pub(crate) fn update(
        &mut self,
        now: Time,
        number: u64,
        status: &TaskStatus,
    ) -> Option<(Instance, Ended)> {
        let instance = self.by_number.get_mut(&number)?;
        if status.agent.is_some() {
            instance.agent.clone_from(&status.agent);
        }
        let is_unwanted = instance.is_unwanted;
        let ended = match status.state {
            TaskState::Finished | TaskState::Failed | TaskState::Error if !is_unwanted => Ended::Itself,
            TaskState::Killed if !is_unwanted && status.reason == Some(Reason::Preempted) => Ended::Platform,
            TaskState::Finished | TaskState::Failed | TaskState::Error | TaskState::Killed => Ended::Stopped,
            TaskState::Dropped | TaskState::Lost | TaskState::Gone | TaskState::Unknown => Ended::Platform,
            // It is to go on stopping where it can't be reached; but nothing waits for it any more.
            TaskState::Unreachable if is_unwanted => Ended::Platform,
            going_on => {
                let state = match going_on {
                    TaskState::Killing => InstanceState::Stopping,
                    TaskState::Unreachable => InstanceState::Unreachable,
                    TaskState::Running if status.ready => InstanceState::Ready,
                    TaskState::Running => InstanceState::Running,
                    _ => InstanceState::Starting,
                };
                if !is_unwanted {
                    instance.enter(now, state);
                }
                return None;
            }
        };
        self.by_number.remove(&number).map(|instance| (instance, ended))
    }

    /// Takes out those that could not be reached for too long.
    pub(crate) fn give_up_unreachable(&mut self, now: Time) -> Vec<(u64, Instance)> {
        let is_given_up = |instance: &Instance| {
            instance.state == InstanceState::Unreachable
                && now.since(instance.since) >= REPLACE_UNREACHABLE_AFTER
        };
        self.by_number.extract_if(.., |_, instance| is_given_up(instance)).collect()
    }

    /// When time alone next changes what an instance counts as: it becomes healthy, or is given up.
    pub(crate) fn next_change(&self, now: Time, min_healthy: Duration) -> Option<Time> {
        let change = |instance: &Instance| match instance.state {
            InstanceState::Ready => Some(instance.since + min_healthy),
            InstanceState::Unreachable => Some(instance.since + REPLACE_UNREACHABLE_AFTER),
            _ => None,
        };
        self.by_number.values().filter_map(change).filter(|at| *at > now).min()
    }
}
