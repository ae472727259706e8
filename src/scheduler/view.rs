//! What a reconciler sees of its tasks.

use std::collections::BTreeMap;

use crate::protocol::{AgentId, TaskId, TaskState, TaskStatus};
use crate::time::Time;

/// A framework's tasks at one moment.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pub(crate) now: Time,
    pub(crate) tasks: &'a BTreeMap<TaskId, TaskRecord>,
    pub(crate) queued: usize,
}

/// What is known of a task that was launched.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskRecord {
    /// Where it runs.
    pub agent: AgentId,
    /// Its newest status.
    pub status: TaskStatus,
    /// When it was launched.
    pub launched_at: Time,
}

impl TaskRecord {
    /// Its newest state.
    pub fn state(&self) -> TaskState {
        self.status.state
    }
}

impl<'a> View<'a> {
    /// The time.
    pub fn now(&self) -> Time {
        self.now
    }

    /// How many tasks wait for an offer that they fit.
    pub fn queued(&self) -> usize {
        self.queued
    }

    /// A task that was launched and not forgotten.
    pub fn task(&self, id: &TaskId) -> Option<&'a TaskRecord> {
        self.tasks.get(id)
    }

    /// Tasks that were launched and not forgotten, by id.
    pub fn tasks(&self) -> impl Iterator<Item = (&'a TaskId, &'a TaskRecord)> + use<'a> {
        self.tasks.iter()
    }

    /// Those that have not ended, by id.
    pub fn live(&self) -> impl Iterator<Item = (&'a TaskId, &'a TaskRecord)> + use<'a> {
        self.tasks().filter(|(_, task)| !task.state().is_terminal())
    }

    /// Those that have ended, by id.
    pub fn terminal(&self) -> impl Iterator<Item = (&'a TaskId, &'a TaskRecord)> + use<'a> {
        self.tasks().filter(|(_, task)| task.state().is_terminal())
    }
}
