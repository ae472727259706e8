//! What is true, and what may never be: safety, checked as things happen.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use apportion::protocol::operator::ClusterState;
use apportion::protocol::{Exit, FrameworkId, TaskId, TaskState, TaskStatus, UpdateNumber};
use apportion::resources::Resources;
use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Serialize, Serializer};

use super::packet::brief;

/// What may never happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// What is allocated and offered of an agent is no more than it has.
    Conservation,
    /// Nothing is offered that a task uses.
    OneOwner,
    /// A task runs at most once.
    RunsOnce,
    /// What a framework knows to be done is not done again.
    DoneOnce,
    /// A framework hears of a task's states in their order.
    UpdateOrder,
    /// A framework is told of a task's end only when it has ended, and as it has.
    TrueEnds,
    /// Who is told that something holds can rely on it: it is durable.
    ToldIsDurable,
    /// The registry refuses what a master writes that another has succeeded.
    Fenced,
    /// No agent takes a master for its leader that has a successor of which the agent has heard.
    OneLeader,
    /// After the last fault everything comes to rest in bounded time.
    Convergence,
    /// Nobody is busy for ever at one moment.
    Progress,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Rule::Conservation => "what is allocated and offered of an agent is no more than it has",
            Rule::OneOwner => "nothing is offered that a task uses",
            Rule::RunsOnce => "a task runs at most once",
            Rule::DoneOnce => "what a framework knows to be done is not done again",
            Rule::UpdateOrder => "a framework hears of a task's states in their order",
            Rule::TrueEnds => "a framework is told of a task's end only when it has ended, and as it has",
            Rule::ToldIsDurable => "who is told that something holds can rely on it",
            Rule::Fenced => "the registry refuses what a deposed master writes",
            Rule::OneLeader => "no agent takes a master for its leader whose successor it has heard of",
            Rule::Convergence => "after the last fault everything comes to rest",
            Rule::Progress => "nobody is busy for ever",
        })
    }
}

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Which.
    pub rule: Rule,
    /// How, for people.
    pub what: String,
    /// When, after the start.
    #[serde(rename = "at_s", serialize_with = "seconds")]
    pub at: Duration,
}

fn seconds<S: Serializer>(of: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(of.as_secs_f64())
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "after {:.6} s: {}. The rule: {}", self.at.as_secs_f64(), self.what, self.rule)
    }
}

/// A task of some framework.
pub(super) type TaskKey = (FrameworkId, TaskId);

/// A task's process.
#[derive(Debug)]
struct Process {
    agent: usize,
    exit: Option<Exit>,
    /// Its agent has said that its end is safe.
    is_end_safe: bool,
    /// Its framework was away for too long: nobody is told of its end.
    is_given_up: bool,
}

/// How far a framework has heard of a task.
#[derive(Debug, Default)]
struct Heard {
    number: Option<UpdateNumber>,
    has_ended: bool,
}

/// What is true of all processes of tasks, and what frameworks were told of them.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    processes: FxHashMap<TaskKey, Process>,
    /// By agent: the tasks whose processes run, and what they use.
    running: Vec<BTreeMap<TaskKey, Resources>>,
    /// By agent: the master that heard it register last, and what it had then.
    registered: Vec<Option<(usize, Resources)>>,
    heard: FxHashMap<TaskKey, Heard>,
    /// By task without its attempt's number: the attempt that its framework launched last.
    attempts: FxHashMap<(FrameworkId, String), TaskId>,
    /// Those of which a framework knows that their last attempt succeeded.
    done: FxHashSet<(FrameworkId, String)>,
    /// The first rule that was broken, and how.
    pub(super) broken: Option<(Rule, String)>,
}

impl Ledger {
    pub(super) fn new(agents: usize) -> Self {
        Ledger { running: vec![BTreeMap::new(); agents], registered: vec![None; agents], ..Ledger::default() }
    }

    pub(super) fn violate(&mut self, rule: Rule, what: impl FnOnce() -> String) {
        if self.broken.is_none() {
            self.broken = Some((rule, what()));
        }
    }

    /// The tasks whose processes run on an agent.
    pub(super) fn running(&self, agent: usize) -> &BTreeMap<TaskKey, Resources> {
        &self.running[agent]
    }

    /// The tasks of a framework whose processes run.
    pub(super) fn running_of<'a>(&'a self, framework: &'a FrameworkId) -> impl Iterator<Item = &'a TaskId> {
        let of = |agent: &'a BTreeMap<TaskKey, Resources>| agent.keys();
        self.running.iter().flat_map(of).filter(move |(whose, _)| whose == framework).map(|(_, task)| task)
    }

    /// A master has heard an agent register.
    pub(super) fn registered(&mut self, agent: usize, master: usize, resources: &Resources) {
        self.registered[agent] = Some((master, resources.clone()));
    }

    /// A task's process is started.
    pub(super) fn started(&mut self, agent: usize, key: TaskKey, resources: Resources) {
        if let Some(before) = self.processes.get(&key) {
            let (first, state) = (before.agent + 1, if before.exit.is_some() { "ran" } else { "runs" });
            self.violate(Rule::RunsOnce, || {
                format!("{} is started on agent-{}, but {state} on agent-{first}", key.1, agent + 1)
            });
        }
        self.running[agent].insert(key.clone(), resources);
        self.processes.insert(key, Process { agent, exit: None, is_end_safe: false, is_given_up: false });
    }

    /// A framework launches a task.
    pub(super) fn launched(&mut self, framework: &FrameworkId, task: &TaskId) {
        let index = (framework.clone(), without_attempt(task));
        if self.done.contains(&index) {
            self.violate(Rule::DoneOnce, || {
                format!("{framework} launches {task}, but knows that to be done")
            });
        }
        self.attempts.insert(index, task.clone());
    }

    /// A task's process has ended. An exit that nobody saw is that of a signal.
    pub(super) fn ended(&mut self, key: &TaskKey, exit: Exit) {
        if let Some(process) = self.processes.get_mut(key) {
            process.exit.get_or_insert(exit);
            self.running[process.agent].remove(key);
        }
    }

    /// An agent has told an executor that a task's last update is safe.
    pub(super) fn end_is_safe(&mut self, key: &TaskKey) {
        if let Some(process) = self.processes.get_mut(key) {
            process.is_end_safe = !process.is_given_up;
        }
    }

    /// A framework was away for too long and is stopped.
    pub(super) fn torn_down(&mut self, framework: &FrameworkId) {
        for (_, process) in self.processes.iter_mut().filter(|((whose, _), _)| whose == framework) {
            (process.is_end_safe, process.is_given_up) = (false, true);
        }
    }

    /// A framework starts anew, and may have kept no records.
    pub(super) fn framework_starts_anew(&mut self, framework: &FrameworkId, knows_nothing: bool) {
        self.heard.retain(|(whose, _), _| whose != framework);
        if !knows_nothing {
            return;
        }
        self.done.retain(|(whose, _)| whose != framework);
        self.attempts.retain(|(whose, _), _| whose != framework);
    }

    /// A framework has recorded what it was told of a task, if it records anything.
    pub(super) fn recorded(&mut self, framework: &FrameworkId, status: &TaskStatus) {
        // One that was given up, and another one launched, does not count any more.
        let index = (framework.clone(), without_attempt(&status.task));
        if status.state == TaskState::Finished && self.attempts.get(&index) == Some(&status.task) {
            self.done.insert(index);
        }
    }

    /// A framework's scheduler was told of a task.
    pub(super) fn told(&mut self, framework: &FrameworkId, status: &TaskStatus) {
        let key = (framework.clone(), status.task.clone());
        let heard = self.heard.entry(key.clone()).or_default();
        let before = (heard.number, heard.has_ended);
        match status.number {
            None => {
                *heard = Heard::default();
                // Whether it is given up with that is up to the framework.
                self.attempts.remove(&(key.0.clone(), without_attempt(&key.1)));
            }
            Some(number) => {
                *heard = Heard {
                    number: heard.number.max(Some(number)),
                    has_ended: heard.has_ended || status.state.is_terminal(),
                };
                if before.0.is_some_and(|last| number < last) || before.1 && !status.state.is_terminal() {
                    self.violate(Rule::UpdateOrder, || {
                        let last = before.0.map_or(0, |last| last.0);
                        format!("{framework} is told {} after update {last}", brief(status))
                    });
                }
            }
        }
        if !status.state.is_terminal() {
            return;
        }
        let Some(process) = self.processes.get(&key) else {
            if matches!(status.state, TaskState::Finished) {
                self.violate(Rule::TrueEnds, || {
                    format!("{framework} is told {}, but it never ran", brief(status))
                });
            }
            return;
        };
        let (agent, exit, is_end_safe) = (process.agent + 1, process.exit, process.is_end_safe);
        let is_wrong = match (exit, status.exit()) {
            (None, _) => true,
            (Some(exit), Some(told)) => told != exit,
            // Whoever says that it is lost has lost what was safe.
            (Some(exit), None) => match status.state {
                TaskState::Finished => !exit.is_success(),
                TaskState::Lost | TaskState::Dropped | TaskState::Gone => is_end_safe,
                _ => false,
            },
        };
        if is_wrong {
            self.violate(Rule::TrueEnds, || match exit {
                None => format!("{framework} is told {}, but it runs on agent-{agent}", brief(status)),
                Some(exit) => format!("{framework} is told {}, but it ended with {exit}", brief(status)),
            });
        }
    }

    /// Compares a master's books with what is true.
    pub(super) fn check_books(
        &mut self,
        master: usize,
        state: &ClusterState,
        place: impl Fn(&str) -> Option<usize>,
    ) {
        for agent in &state.agents {
            let used = agent.allocated.clone() + &agent.offered;
            // One that came back with less than its tasks use has nothing to offer.
            if !agent.total.contains(&used) && !agent.offered.is_empty() {
                self.violate(Rule::Conservation, || {
                    let (id, total) = (&agent.id, &agent.total);
                    format!("{id} has {total}; allocated are {}, offered {}", agent.allocated, agent.offered)
                });
            }
            let Some(place) = place(agent.id.as_str()).filter(|_| agent.connected) else { continue };
            // Of one that has gone to another master since, what this one offers can't be had any more.
            let Some((_, has)) = self.registered[place].as_ref().filter(|(by, _)| *by == master) else {
                continue;
            };
            let in_use: Resources = self.running[place].values().sum();
            if !agent.offered.is_empty() && !has.contains(&(in_use.clone() + &agent.offered)) {
                self.violate(Rule::OneOwner, || {
                    let offered = &agent.offered;
                    format!(
                        "{offered} of {} are offered, but its tasks use {in_use} of its {}",
                        agent.id, agent.total
                    )
                });
            }
        }
    }
}

/// What a batch task is an attempt at; the id itself for other tasks, which are not done once and for all.
fn without_attempt(task: &TaskId) -> String {
    let text = task.as_str();
    text.rsplit_once('.').map_or(text, |(index, _)| index).to_owned()
}
