//! What a run leaves behind: how much happened, what was covered, and a trace for people.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use apportion::protocol::{FrameworkId, TaskId, TaskState, TaskStatus};
use rustc_hash::FxHashMap;

use super::plan::FaultKind;
use crate::digest::Digester;

/// So many of the last lines of a trace are kept.
const LINES_KEPT: usize = 1000;

/// Kinds of steps and how often they were taken.
pub type Coverage = BTreeMap<(&'static str, &'static str), u64>;

/// What is noted while a run goes on.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) steps: u64,
    pub(super) injected: BTreeMap<FaultKind, u64>,
    pub(super) coverage: Coverage,
    pub(super) digest: Digester,
    /// The last state of each task that its framework was told.
    last_told: FxHashMap<(FrameworkId, TaskId), TaskState>,
    trace: Option<VecDeque<String>>,
}

impl Record {
    /// A record that keeps a trace, or not.
    pub(super) fn new(is_traced: bool) -> Self {
        Record { trace: is_traced.then(VecDeque::new), ..Record::default() }
    }

    /// A message arrived.
    pub(super) fn covered(&mut self, label: (&'static str, &'static str)) {
        *self.coverage.entry(label).or_default() += 1;
    }

    /// A framework was told of a task: how that moved on is worth covering.
    pub(super) fn told(&mut self, framework: &FrameworkId, status: &TaskStatus) {
        let key = (framework.clone(), status.task.clone());
        let before = self.last_told.insert(key, status.state).map_or("new", TaskState::as_str);
        self.covered((before, status.state.as_str()));
    }

    /// Notes a line for people, if anybody wants a trace.
    pub(super) fn say(&mut self, since_start: Duration, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            if trace.len() == LINES_KEPT {
                trace.pop_front();
            }
            trace.push_back(format!("{:12.6} {}", since_start.as_secs_f64(), line()));
        }
    }

    /// The last lines.
    pub(super) fn take_trace(&mut self) -> Vec<String> {
        self.trace.take().map(Vec::from).unwrap_or_default()
    }
}
