//! What an agent must not forget: records, and what they add up to.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::tasks::Task;
use crate::protocol::{
    AgentId, ExecutorId, ExecutorInfo, FrameworkId, TaskId, TaskInfo, TaskStatus, UpdateNumber,
};
use crate::resources::Role;
use crate::time::Time;

/// One thing that an agent must not forget, in the order in which it happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Record {
    /// An executor is started.
    ExecutorStarted {
        /// Whose executor it is.
        framework: FrameworkId,
        /// The role that its resources count for.
        role: Role,
        /// Which.
        executor: ExecutorId,
        /// The framework's own executor; the built-in command executor when `None`.
        info: Option<Arc<ExecutorInfo>>,
    },
    /// An executor has ended.
    ExecutorEnded {
        /// Whose executor it was.
        framework: FrameworkId,
        /// Which.
        executor: ExecutorId,
    },
    /// Tasks are handed to their executor.
    Launched {
        /// Whose they are.
        framework: FrameworkId,
        /// The role that their resources count for.
        role: Role,
        /// When.
        at: Time,
        /// What they are.
        tasks: Vec<TaskInfo>,
    },
    /// A task's next update.
    Updated {
        /// Whose task it is.
        framework: FrameworkId,
        /// The update.
        status: TaskStatus,
    },
    /// The scheduler has recorded an update, and all before it.
    Acknowledged {
        /// Whose task it is.
        framework: FrameworkId,
        /// Which.
        task: TaskId,
        /// The newest recorded update.
        number: UpdateNumber,
    },
}

/// What an agent's records add up to: its executors, and the tasks that have not ended or whose end is not acknowledged.
///
/// ```
/// use apportion::agent::{Checkpoint, Record};
///
/// let mut checkpoint = Checkpoint::new("a1".parse()?);
/// checkpoint.apply(Record::ExecutorStarted {
///     framework: "f1".parse()?,
///     role: "web".parse()?,
///     executor: "default".parse()?,
///     info: None,
/// });
/// let again = checkpoint.records().into_iter().fold(Checkpoint::new("a1".parse()?), |mut again, record| {
///     again.apply(record);
///     again
/// });
/// assert_eq!(again, checkpoint);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    agent: AgentId,
    pub(super) frameworks: BTreeMap<FrameworkId, Held>,
}

/// What a framework has.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Held {
    pub(super) executors: BTreeMap<ExecutorId, (Role, Option<Arc<ExecutorInfo>>)>,
    pub(super) tasks: BTreeMap<TaskId, Task>,
}

impl Checkpoint {
    /// What no records of this agent add up to.
    pub fn new(agent: AgentId) -> Self {
        Checkpoint { agent, frameworks: BTreeMap::new() }
    }

    /// Whether there is nothing to go on with.
    pub fn is_empty(&self) -> bool {
        self.frameworks.is_empty()
    }

    /// Adds the next record. One about something that is not known changes nothing.
    pub fn apply(&mut self, record: Record) {
        match record {
            Record::ExecutorStarted { framework, role, executor, info } => {
                self.frameworks.entry(framework).or_default().executors.insert(executor, (role, info));
            }
            Record::ExecutorEnded { framework, executor } => self.change(&framework, |held| {
                held.executors.remove(&executor);
            }),
            Record::Launched { framework, role, at, tasks } => {
                let held = self.frameworks.entry(framework).or_default();
                for info in tasks {
                    let id = info.id.clone();
                    held.tasks.insert(id, Task::launched(info, role.clone(), &self.agent, at));
                }
            }
            Record::Updated { framework, status } => self.change(&framework, |held| {
                if let Some(task) = held.tasks.get_mut(&status.task) {
                    task.updated(status);
                }
            }),
            Record::Acknowledged { framework, task: id, number } => self.change(&framework, |held| {
                if let Some(task) = held.tasks.get_mut(&id) {
                    task.acknowledged(number);
                    if task.is_settled() {
                        held.tasks.remove(&id);
                    }
                }
            }),
        }
    }

    fn change(&mut self, framework: &FrameworkId, change: impl FnOnce(&mut Held)) {
        let Some(held) = self.frameworks.get_mut(framework) else { return };
        change(held);
        if held.executors.is_empty() && held.tasks.is_empty() {
            self.frameworks.remove(framework);
        }
    }

    /// The fewest records that add up to the same.
    pub fn records(&self) -> Vec<Record> {
        let mut records = Vec::new();
        for (framework, held) in &self.frameworks {
            records.extend(held.executors.iter().map(|(executor, (role, info))| Record::ExecutorStarted {
                framework: framework.clone(),
                role: role.clone(),
                executor: executor.clone(),
                info: info.clone(),
            }));
            for task in held.tasks.values() {
                task.record(framework, &mut records);
            }
        }
        records
    }
}

impl Task {
    fn record(&self, framework: &FrameworkId, records: &mut Vec<Record>) {
        records.push(Record::Launched {
            framework: framework.clone(),
            role: self.role.clone(),
            at: self.status.at,
            tasks: vec![self.info.clone()],
        });
        let updated =
            |status: &TaskStatus| Record::Updated { framework: framework.clone(), status: status.clone() };
        match self.status.number {
            Some(number) if self.pending.is_empty() => {
                records.push(updated(&self.status));
                records.push(Record::Acknowledged {
                    framework: framework.clone(),
                    task: self.info.id.clone(),
                    number,
                });
            }
            _ => records.extend(self.pending.iter().map(updated)),
        }
    }
}
