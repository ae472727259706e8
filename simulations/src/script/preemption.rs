//! Preemption: tasks that are named to make room for others, and that end when their time is over.

use std::collections::BTreeMap;

use apportion::allocator::{Allocation, Allocator, Preemption, RunningTask};
use apportion::protocol::TaskId;
use apportion::time::Time;

use super::form::{self, Preempted};
use super::player::{World, Wrong, id};

/// A task that runs.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) allocation: Allocation,
    pub(super) priority: i32,
    pub(super) started: Time,
}

/// What was named since the last expectation, and what is still to end.
#[derive(Debug, Default)]
pub(super) struct Preemptions {
    recent: Vec<Preemption>,
    /// By task.
    ending: BTreeMap<String, Preemption>,
}

impl Preemptions {
    /// When the next task has to have ended.
    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.ending.values().map(|preemption| preemption.deadline).min()
    }
}

impl World {
    /// Ends the tasks whose time is over and whose room is still waited for, and names others when that is due.
    pub(super) fn preempt(&mut self) -> Result<(), Wrong> {
        let over: Vec<String> = self
            .preemptions
            .ending
            .iter()
            .filter(|(_, preemption)| preemption.deadline <= self.now)
            .map(|(task, _)| task.clone())
            .collect();
        for name in over {
            let awaited = self
                .preemptions
                .ending
                .remove(&name)
                .is_some_and(|preemption| self.allocator.is_room_awaited(&preemption));
            if let Some(task) = awaited.then(|| self.tasks.remove(&name)).flatten() {
                self.allocator.recover(self.now, &task.allocation, None);
            }
        }
        if self.allocator.preemption_due(self.now).is_some_and(|due| due <= self.now) {
            let running = self.running_tasks()?;
            for preemption in self.allocator.preempt(self.now, &running) {
                for (_, task) in &preemption.victims {
                    self.preemptions.ending.insert(task.to_string(), preemption.clone());
                }
                self.preemptions.recent.push(preemption);
            }
        }
        Ok(())
    }

    fn running_tasks(&self) -> Result<Vec<RunningTask>, Wrong> {
        let running = |(name, task): (&String, &Task)| {
            let Allocation { framework, role, agent, resources } = task.allocation.clone();
            Ok(RunningTask {
                framework,
                task: id::<TaskId>(name)?,
                role,
                agent,
                resources,
                priority: task.priority,
                started: task.started,
                ending: self.preemptions.ending.contains_key(name),
            })
        };
        self.tasks.iter().map(running).collect()
    }

    /// Compares what was named since the last time with what is expected, in any order.
    pub(super) fn expect_preemptions(&mut self, expected: &[Preempted]) -> Result<(), Wrong> {
        let told = |framework: &str, agent: &str, mut victims: Vec<String>| {
            victims.sort();
            format!("\n  {framework} on {agent}: {}", victims.join(", "))
        };
        let victims = |preemption: &Preemption| {
            preemption.victims.iter().map(|(_, task)| task.to_string()).collect::<Vec<_>>()
        };
        let mut found: Vec<String> = std::mem::take(&mut self.preemptions.recent)
            .iter()
            .map(|each| told(each.framework.as_str(), each.agent.as_str(), victims(each)))
            .collect();
        let mut expected: Vec<String> = expected
            .iter()
            .map(|form::Preempted { framework, agent, victims }| {
                told(framework.0.as_str(), agent.0.as_str(), victims.clone())
            })
            .collect();
        found.sort();
        expected.sort();
        if found == expected {
            return Ok(());
        }
        let list = |lines: &[String]| if lines.is_empty() { " none".to_owned() } else { lines.concat() };
        Err(Wrong {
            message: "the preemptions are not those that are expected".to_owned(),
            details: format!("\nexpected:{}\nfound:{}", list(&expected), list(&found)),
        })
    }
}
