//! A batch job as people write it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use apportion::protocol::Command;
use apportion::resources::Role;
use apportion::spec::{Delay, Document, ExpandError, Header, SpecErrors, WithTask, references};
use serde::{Deserialize, Serialize};

use crate::graph::{GraphError, StepGraph};
use crate::step::{Retry, WINDOW};

/// The `kind` of batch specs.
pub const KIND: &str = "batch";

/// The largest array that a step can be.
pub const MAX_COUNT: u32 = 1_000_000;

/// The longest name of a step or last part of a job's id, in bytes: task ids hold both.
pub const MAX_NAME_BYTES: usize = 80;

/// Where the spec's own directory is, for its tasks; see [`BatchSpec::set_base_dir`].
pub const SPEC_DIR: &str = "SPEC_DIR";

/// The directory that the tasks of one run share: `<SPEC_DIR>/.apportion/<run>`.
pub const RUN_DIR: &str = "RUN_DIR";

/// What every task is told about itself.
const TASK_NAMES: [&str; 5] = ["INDEX", "ATTEMPT", "STEP", "RUN", "COUNT"];

/// A job: steps that run arrays of tasks, one after the other as they need it.
///
/// Each task finds in its environment `RUN`, `STEP`, `INDEX` (from 0), `COUNT` (the array's size) and `ATTEMPT` (from 1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchSpec {
    /// The version of the language.
    pub schema: u32,
    /// [`KIND`].
    pub kind: String,
    /// Names the job, such as `/ml/nightly`. Runs are called after the last part: `nightly-1`.
    pub id: String,
    /// Who pays.
    pub role: Role,
    /// The environment of all tasks; a step's own goes before it.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// The steps.
    pub step: Vec<WithTask<StepKeys>>,
}

/// The keys of a step besides those of its tasks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepKeys {
    /// Unique in the job: letters, digits, `-` and `_`.
    pub name: String,
    /// The steps that it waits for: `a` (succeeded), `a.done` (ended, whichever way, or skipped) or `a.failed`. All of them
    /// must hold; when one can't any more, the step is skipped.
    #[serde(default)]
    pub needs: Vec<String>,
    /// How many tasks it has.
    #[serde(default = "one")]
    pub count: u32,
    /// So many of them are queued or run together at most; all when it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallel: Option<u32>,
    /// Whether its tasks start together, or not at all. When one of them is to be tried again, all that have not succeeded are
    /// stopped, and start again together.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gang: bool,
    /// What happens when a task fails.
    #[serde(default)]
    pub retry: RetryTable,
}

/// How often and when a failed index is tried again. Only failures of the program count: a task whose agent is lost, say, is
/// started again soon, however often that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetryTable {
    /// So many failures of an index are followed by another try; none by default.
    pub limit: u32,
    /// The wait after the first failure, doubled with each further one.
    pub backoff: Delay,
    /// The longest wait.
    pub max_backoff: Delay,
}

impl Default for RetryTable {
    fn default() -> Self {
        RetryTable { limit: 0, backoff: Delay::from_secs(10), max_backoff: Delay::from_secs(360) }
    }
}

impl RetryTable {
    pub(crate) fn policy(&self) -> Retry {
        Retry {
            limit: self.limit,
            backoff: self.backoff.duration(),
            max_backoff: self.max_backoff.duration(),
        }
    }
}

fn one() -> u32 {
    1
}

/// A spec that says what can't be done; each mistake with the path of the value that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidSpec(Vec<(Vec<String>, String)>);

impl fmt::Display for InvalidSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<String> =
            self.0.iter().map(|(path, message)| format!("{}: {message}", path.join("."))).collect();
        f.write_str(&texts.join("; "))
    }
}

impl std::error::Error for InvalidSpec {}

impl BatchSpec {
    /// Reads a spec and checks it.
    ///
    /// # Errors
    /// When it can't be parsed, or says what can't be done: unknown steps, cycles, empty arrays, references to names that a
    /// task does not have.
    pub fn parse(document: &Document) -> Result<Self, SpecErrors> {
        Header::peek(document)?.expect_kind(document, &[KIND])?;
        let spec: BatchSpec = document.parse()?;
        match spec.check() {
            Ok(_) => Ok(spec),
            Err(InvalidSpec(mistakes)) => {
                let located = mistakes.into_iter().map(|(path, message)| {
                    let path: Vec<&str> = path.iter().map(String::as_str).collect();
                    document.error_at(&path, message)
                });
                Err(SpecErrors(located.collect()))
            }
        }
    }

    /// Tells tasks where the spec is, so that they find what lies beside it: `SPEC_DIR` is `path`, and each run gets a
    /// directory for what its tasks hand each other, `RUN_DIR` = `<path>/.apportion/<run>`, which the first task that needs it
    /// makes.
    ///
    /// Tasks find files there only on machines that have the directory, as when the cluster is one machine or shares a file
    /// system. `path` should be absolute: tasks run elsewhere.
    pub fn set_base_dir(&mut self, path: &std::path::Path) {
        self.env.insert(SPEC_DIR.to_owned(), path.to_string_lossy().into_owned());
    }

    /// The last part of the id, after which runs are called.
    pub fn name(&self) -> &str {
        self.id.rsplit('/').next().unwrap_or_default()
    }

    /// How many tasks a run of it has.
    pub fn total(&self) -> u64 {
        self.step.iter().map(|step| u64::from(step.rest.count)).sum()
    }

    /// Checks what types can't say.
    pub(crate) fn check(&self) -> Result<StepGraph, InvalidSpec> {
        let mut mistakes = Vec::new();
        if !is_name(self.name()) {
            mistakes.push((vec!["id".to_owned()], name_rule("the last part of the id", self.name())));
        }
        if self.step.is_empty() {
            mistakes.push((vec!["step".to_owned()], "a job needs at least one [[step]]".to_owned()));
        }
        let mut names = BTreeSet::new();
        for (at, step) in self.step.iter().enumerate() {
            let mut wrong = |key: &str, message: String| {
                mistakes.push((vec!["step".to_owned(), at.to_string(), key.to_owned()], message));
            };
            let keys = &step.rest;
            if !is_name(&keys.name) {
                wrong("name", name_rule("a step's name", &keys.name));
            }
            if !names.insert(&keys.name) {
                wrong("name", format!("two steps are named '{}'", keys.name));
            }
            if keys.count == 0 || keys.count > MAX_COUNT {
                wrong("count", format!("a step has from 1 to {MAX_COUNT} tasks, not {}", keys.count));
            }
            if keys.parallel == Some(0) {
                wrong("parallel", "with 'parallel' 0 no task could ever run".to_owned());
            }
            if keys.gang && keys.parallel.is_some() {
                wrong("parallel", "with 'gang' all tasks run together; leave 'parallel' out".to_owned());
            }
            if keys.gang && keys.count > WINDOW {
                wrong("count", format!("a gang has at most {WINDOW} tasks, not {}", keys.count));
            }
            for message in self.bad_references(step) {
                wrong("cmd", message);
            }
        }
        let graph = self.graph();
        if let Err(error) = &graph {
            let (step, need) = match error {
                GraphError::UnknownStep { step, need_at, .. } => (*step, Some(need_at.to_string())),
                GraphError::Cycle { step, .. } => (*step, None),
            };
            let path = ["step".to_owned(), step.to_string(), "needs".to_owned()];
            mistakes.push((path.into_iter().chain(need).collect(), error.to_string()));
        }
        match graph {
            Ok(graph) if mistakes.is_empty() => Ok(graph),
            _ => Err(InvalidSpec(mistakes)),
        }
    }

    fn graph(&self) -> Result<StepGraph, GraphError> {
        let steps: Vec<(&str, &[String])> =
            self.step.iter().map(|step| (step.rest.name.as_str(), step.rest.needs.as_slice())).collect();
        StepGraph::new(&steps)
    }

    /// References in a step's command to names that its tasks will not have.
    fn bad_references(&self, step: &WithTask<StepKeys>) -> Vec<String> {
        let Command::Argv(argv) = &step.task.command else {
            // A shell knows names of its own.
            return Vec::new();
        };
        let found = argv.iter().flat_map(|argument| references(argument));
        let mistake = |reference: Result<&str, ExpandError>| match reference {
            Ok(name) if self.has_name(step, name) => None,
            Ok(name) => Some(format!(
                "unknown name '{name}': a task has {}, its ports as PORT_<NAME>, and what 'env' says; write $${{{name}}} if it \
                 is not a reference",
                TASK_NAMES.join(", ")
            )),
            Err(error) => Some(error.to_string()),
        };
        found.filter_map(mistake).collect()
    }

    fn has_name(&self, step: &WithTask<StepKeys>, name: &str) -> bool {
        let is_port = |port: &str| {
            name.strip_prefix("PORT_").is_some_and(|rest| rest == port.to_uppercase().replace('-', "_"))
        };
        TASK_NAMES.contains(&name)
            || [SPEC_DIR, RUN_DIR, "PATH", "HOME"].contains(&name)
            || name.starts_with("APPORTION_")
            || self.env.contains_key(name)
            || step.task.env.contains_key(name)
            || step.task.ports.iter().any(|port| is_port(port.as_str()))
    }
}

fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    !text.is_empty() && text.len() <= MAX_NAME_BYTES && text.bytes().all(allowed)
}

fn name_rule(what: &str, text: &str) -> String {
    format!("{what} is 1 to {MAX_NAME_BYTES} letters, digits, '-' and '_', not '{text}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "schema = 1\nkind = 'batch'\nid = '/ml/nightly'\nrole = 'ml'\n";

    fn mistake(steps: &str) -> String {
        BatchSpec::parse(&Document::new("job.toml", format!("{HEADER}{steps}"))).unwrap_err().to_string()
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        for (steps, expected) in [
            (
                "[[step]]\nname = 'a'\ncmd = ['a']\nneeds = ['b']\n[[step]]\nname = 'b'\ncmd = ['b']\nneeds = ['a.done']",
                "job.toml:8:1: steps wait for each other: a -> b -> a\n    needs = ['b']\n    ^",
            ),
            (
                "[[step]]\nname = 'a'\ncmd = ['a']\nneeds = ['c.done']",
                "job.toml:8:10: step 'a' needs 'c.done', but there is no step of that name\n    needs = ['c.done']\n             ^",
            ),
            (
                "[[step]]\nname = 'a'\ncmd = ['a']\ncount = 0",
                "job.toml:8:1: a step has from 1 to 1000000 tasks, not 0\n    count = 0\n    ^",
            ),
            (
                "[[step]]\nname = 'a'\ncmd = ['a']\ncount = 2\nparallel = 1\ngang = true",
                "job.toml:9:1: with 'gang' all tasks run together; leave 'parallel' out\n    parallel = 1\n    ^",
            ),
            (
                "[[step]]\nname = 'a.b'\ncmd = ['a']",
                "job.toml:6:1: a step's name is 1 to 80 letters, digits, '-' and '_', not 'a.b'\n    name = 'a.b'\n    ^",
            ),
            (
                "[[step]]\nname = 'a'\ncmd = ['a', '${INDX}']",
                "job.toml:7:1: unknown name 'INDX': a task has INDEX, ATTEMPT, STEP, RUN, COUNT, its ports as \
                 PORT_<NAME>, and what 'env' says; write $${INDX} if it is not a reference\n    cmd = ['a', '${INDX}']\n    ^",
            ),
            (
                "[[step]]\nname = 'a'\ncmd = ['a']\npriority = 3",
                "job.toml:8:1: unknown key 'priority'; known are 'name', 'needs', 'count', 'parallel', 'gang', 'retry', 'cmd', \
                 'shell', 'env', 'cpus', 'memory', 'disk', 'gpus', 'shared_gpus', 'ports', 'stop', 'timeout', 'user'\n    priority = 3\n    ^",
            ),
        ] {
            assert_eq!(mistake(steps), expected, "{steps}");
        }
    }

    #[test]
    fn a_spec_survives_json() {
        let text = format!(
            "{HEADER}[[step]]\nname = 'a'\ncmd = ['a', '${{INDEX}}', '${{PORT_HTTP}}']\nports = ['http']\ncount = 3\n\
             retry = {{ limit = 2, backoff = '1s' }}\n[[step]]\nname = 'b'\nshell = 'echo $X'\nneeds = ['a.done']"
        );
        let mut spec = BatchSpec::parse(&Document::new("job.toml", text)).unwrap();
        spec.set_base_dir(std::path::Path::new("/srv/job"));
        let json = serde_json::to_string(&spec).unwrap();
        assert_eq!(serde_json::from_str::<BatchSpec>(&json).unwrap(), spec);
        assert_eq!((spec.name(), spec.total()), ("nightly", 4));
        assert_eq!(spec.step[0].rest.retry.max_backoff, Delay::from_secs(360));
    }

    #[test]
    fn the_example_is_a_valid_spec() {
        let text =
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/trace-stats/batch.toml"));
        let spec = BatchSpec::parse(&Document::new("batch.toml", text)).unwrap();
        assert_eq!((spec.name(), spec.total()), ("trace-stats", 9));
    }
}
