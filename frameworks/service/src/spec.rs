//! A service as people write it.

use std::fmt;

use apportion::resources::Role;
use apportion::spec::{CountOrPercent, Delay, Document, Header, SCHEMA, SpecErrors, TaskTable};
use serde::{Deserialize, Serialize};

use crate::backoff::BackoffPolicy;
use crate::check::CheckTables;
use crate::deployment::Patience;

/// The `kind` of service specs.
pub const KIND: &str = "service";

/// The most instances that a service can have.
pub const MAX_REPLICAS: u32 = 100_000;

/// The longest id of a service, in bytes: task ids hold it.
pub const MAX_NAME_BYTES: usize = 120;

/// The highest priority.
const MAX_PRIORITY: u8 = 100;

/// A service: a program of which so many instances are kept running.
///
/// Each task finds in its environment `SERVICE` (the service's name), `VERSION` and `INSTANCE` (its number).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceSpec {
    /// The version of the language.
    pub schema: u32,
    /// [`KIND`].
    pub kind: String,
    /// Names the service, such as `/shop/web`.
    pub id: String,
    /// Who pays.
    pub role: Role,
    /// From 0 to 100: instances of services with more of it are queued before those of others; 50 by default.
    #[serde(default = "default_priority")]
    pub priority: u8,
    /// How many instances there are to be; one by default.
    #[serde(default = "one")]
    pub replicas: u32,
    /// What an instance runs, and what it needs.
    pub task: TaskTable,
    /// How it is found out whether an instance works.
    #[serde(default)]
    pub check: CheckTables,
    /// How instances are replaced by those of another version.
    #[serde(default)]
    pub update: UpdateTable,
    /// How long to wait before an instance that failed is replaced.
    #[serde(default)]
    pub backoff: BackoffTable,
}

/// The limits of a rolling update, and when it has failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UpdateTable {
    /// So many instances more than `replicas` there may be, rounded up; 25 % by default.
    pub max_surge: CountOrPercent,
    /// So many fewer than `replicas` may be ready, rounded down; none by default.
    pub max_unavailable: CountOrPercent,
    /// A new instance counts when it has been ready for so long; 10 s by default.
    pub min_healthy: Delay,
    /// When no further instance became healthy for so long, the deployment has failed; 10 minutes by default.
    pub deadline: Delay,
    /// What then; rollback by default.
    pub on_failure: OnFailure,
}

impl Default for UpdateTable {
    fn default() -> Self {
        UpdateTable {
            max_surge: CountOrPercent::Percent(25),
            max_unavailable: CountOrPercent::Count(0),
            min_healthy: Delay::from_secs(10),
            deadline: Delay::from_secs(600),
            on_failure: OnFailure::Rollback,
        }
    }
}

impl UpdateTable {
    pub(crate) fn patience(&self) -> Patience {
        Patience { deadline: self.deadline.duration(), on_failure: self.on_failure }
    }

    /// The largest surge, and the most instances that may not be ready, of `replicas`. When both are rounded to nothing, one
    /// instance may be not ready: otherwise nothing could ever be replaced.
    pub(crate) fn limits(&self, replicas: u32) -> (u32, u32) {
        let surge = self.max_surge.resolve_up(replicas);
        let unavailable = self.max_unavailable.resolve_down(replicas);
        (surge, if surge == 0 { unavailable.max(1) } else { unavailable })
    }
}

/// What happens when a deployment fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// Goes back to the last version that succeeded.
    #[default]
    Rollback,
    /// Stays as it is until somebody decides.
    Pause,
}

/// How the delay grows before instances are launched again that failed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BackoffTable {
    /// The first delay; 1 s by default.
    pub initial: Delay,
    /// By how much each further failure multiplies it, from 1 to 100; 1.15 by default.
    pub factor: f64,
    /// The longest delay; 300 s by default.
    pub max: Delay,
}

impl Default for BackoffTable {
    fn default() -> Self {
        BackoffTable { initial: Delay::from_secs(1), factor: 1.15, max: Delay::from_secs(300) }
    }
}

impl BackoffTable {
    pub(crate) fn policy(&self) -> BackoffPolicy {
        BackoffPolicy { initial: self.initial.duration(), factor: self.factor, max: self.max.duration() }
    }
}

fn one() -> u32 {
    1
}

fn default_priority() -> u8 {
    50
}

/// A spec that says what can't be done; each mistake with the path of the value that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidSpec(Vec<(Vec<&'static str>, String)>);

impl fmt::Display for InvalidSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<String> =
            self.0.iter().map(|(path, message)| format!("{}: {message}", path.join("."))).collect();
        f.write_str(&texts.join("; "))
    }
}

impl std::error::Error for InvalidSpec {}

impl ServiceSpec {
    /// Reads a spec and checks it.
    ///
    /// # Errors
    /// When it can't be parsed, or says what can't be done: checks of ports that the task does not have, an update that could
    /// never move or never end in time.
    pub fn parse(document: &Document) -> Result<Self, SpecErrors> {
        Header::peek(document)?.expect_kind(document, &[KIND])?;
        let spec: ServiceSpec = document.parse()?;
        spec.check().map_err(|InvalidSpec(mistakes)| {
            let located = mistakes.into_iter().map(|(path, message)| document.error_at(&path, message));
            SpecErrors(located.collect())
        })?;
        Ok(spec)
    }

    /// What instances are called after: the id without its first slash, with dots for the others.
    pub fn name(&self) -> String {
        name_of(&self.id)
    }

    /// Whether both run the same: if not, they are different versions.
    pub(crate) fn runs_the_same(&self, other: &ServiceSpec) -> bool {
        self.role == other.role && self.task == other.task && self.check == other.check
    }

    /// Checks what types can't say.
    pub(crate) fn check(&self) -> Result<(), InvalidSpec> {
        let mut mistakes = Vec::new();
        let mut wrong = |path: &[&'static str], message: String| mistakes.push((path.to_vec(), message));
        // A request can hold a spec that was not read from a document.
        if self.schema != SCHEMA {
            wrong(&["schema"], format!("unknown schema {}; this version knows schema {SCHEMA}", self.schema));
        }
        if self.kind != KIND {
            wrong(&["kind"], format!("the kind is '{KIND}', not '{}'", self.kind));
        }
        if !is_id(&self.id) {
            let rule =
                "parts of letters, digits, '-' and '_' with slashes between; write for example \"/shop/web\"";
            wrong(&["id"], format!("a service's id is at most {MAX_NAME_BYTES} bytes: {rule}"));
        }
        if self.replicas > MAX_REPLICAS {
            wrong(
                &["replicas"],
                format!("a service has at most {MAX_REPLICAS} instances, not {}", self.replicas),
            );
        }
        if self.priority > MAX_PRIORITY {
            wrong(&["priority"], format!("a priority is from 0 to {MAX_PRIORITY}, not {}", self.priority));
        }
        for (check, key, message) in self.check.mistakes(&self.task) {
            wrong(&["check", check, key], message);
        }
        self.check_update(&mut wrong);
        if !(1.0..=100.0).contains(&self.backoff.factor) {
            wrong(&["backoff", "factor"], format!("a factor is from 1 to 100, not {}", self.backoff.factor));
        }
        if self.backoff.initial.duration().is_zero() || self.backoff.initial > self.backoff.max {
            let message = "the first delay is more than nothing and not more than 'max'";
            wrong(&["backoff", "initial"], message.to_owned());
        }
        if mistakes.is_empty() { Ok(()) } else { Err(InvalidSpec(mistakes)) }
    }

    fn check_update(&self, wrong: &mut impl FnMut(&[&'static str], String)) {
        let update = &self.update;
        let is_zero = |limit| matches!(limit, CountOrPercent::Count(0) | CountOrPercent::Percent(0));
        if is_zero(update.max_surge) && is_zero(update.max_unavailable) {
            let message = "with 'max_surge' and 'max_unavailable' both 0 no instance could ever be replaced";
            wrong(&["update", "max_surge"], message.to_owned());
        }
        let startup = self.check.checks().startup.map_or(std::time::Duration::ZERO, |check| {
            (check.every + check.timeout).saturating_mul(check.failures)
        });
        let needed = startup.saturating_add(update.min_healthy.duration());
        if update.deadline.duration() <= needed {
            wrong(
                &["update", "deadline"],
                format!(
                    "the deadline of {} is not longer than what one instance may take to become healthy, {} s: the startup \
                     check's failures × (every + timeout), and 'min_healthy'",
                    update.deadline,
                    needed.as_secs_f64()
                ),
            );
        }
    }
}

/// What instances of a service are called after.
pub(crate) fn name_of(id: &str) -> String {
    id.trim_start_matches('/').replace('/', ".")
}

fn is_id(id: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let path = id.strip_prefix('/').unwrap_or(id);
    id.len() <= MAX_NAME_BYTES && path.split('/').all(|part| !part.is_empty() && part.bytes().all(allowed))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use apportion::protocol::Probe;

    use super::*;

    const HEADER: &str =
        "schema = 1\nkind = 'service'\nid = '/shop/web'\nrole = 'shop'\n[task]\ncmd = ['web']\n";

    fn parse(text: &str) -> Result<ServiceSpec, SpecErrors> {
        ServiceSpec::parse(&Document::new("web.toml", text))
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        for (rest, expected) in [
            (
                "[update]\nmax_surge = 0",
                "web.toml:8:1: with 'max_surge' and 'max_unavailable' both 0 no instance could ever be replaced\n    max_surge = 0\n    ^",
            ),
            (
                "[check.startup]\ncmd = ['ok']\nevery = '4s'\ntimeout = '1s'\n[update]\ndeadline = '2m'",
                "web.toml:12:1: the deadline of 2m is not longer than what one instance may take to become healthy, 160 s: the \
                 startup check's failures × (every + timeout), and 'min_healthy'\n    deadline = '2m'\n    ^",
            ),
            (
                "[check.readiness]\nhttp = '/ready'",
                "web.toml:8:1: the task has no port to check; write for example ports = [\"http\"]\n    http = '/ready'\n    ^",
            ),
            (
                "ports = ['http']\n[check.readiness]\ntcp = 'admin'",
                "web.toml:9:1: the task has no port named 'admin'\n    tcp = 'admin'\n    ^",
            ),
            (
                "[check.liveness]\nevery = '1s'",
                "web.toml:7:8: a check has exactly one of 'http' (a path), 'tcp' (true or a port's name) and 'cmd'\n    [check.liveness]\n           ^",
            ),
            (
                "[update]\non_failure = 'rolback'",
                "web.toml:8:14: unknown value 'rolback'; did you mean 'rollback'?\n    on_failure = 'rolback'\n                 ^",
            ),
            (
                "[backoff]\nfactor = 0.5",
                "web.toml:8:1: a factor is from 1 to 100, not 0.5\n    factor = 0.5\n    ^",
            ),
            (
                "[updates]",
                "web.toml:7:2: unknown key 'updates'; did you mean 'update'?\n    [updates]\n     ^",
            ),
        ] {
            assert_eq!(parse(&format!("{HEADER}{rest}")).unwrap_err().to_string(), expected, "{rest}");
        }
    }

    #[test]
    fn ids_become_names_of_tasks() {
        for id in ["/shop/web", "web", "a/b-c/d_1"] {
            assert!(is_id(id), "{id}");
        }
        for id in ["", "/", "//web", "web/", "shop.web", "/sh op", &"x".repeat(121)] {
            assert!(!is_id(id), "{id}");
        }
        assert_eq!(name_of("/shop/web"), "shop.web");
    }

    #[test]
    fn what_is_not_said_has_defaults_and_survives_json() {
        let text = format!(
            "{HEADER}ports = ['http']\n[check.startup]\nhttp = '/ready'\n[check.liveness]\ntcp = true"
        );
        let spec = parse(&text).unwrap();
        let checks = spec.check.checks();
        assert_eq!(checks.startup.as_ref().unwrap().failures, 30);
        assert_eq!(checks.liveness.as_ref().unwrap().failures, 3);
        assert_eq!(checks.liveness.unwrap().probe, Probe::Tcp { port: None });
        assert_eq!((spec.replicas, spec.priority), (1, 50));
        assert_eq!(spec.update.limits(6), (2, 0));
        assert_eq!(spec.backoff.policy().max, Duration::from_secs(300));
        let json = serde_json::to_string(&spec).unwrap();
        assert_eq!(serde_json::from_str::<ServiceSpec>(&json).unwrap(), spec);
        let explained = apportion::spec::explain(&spec, &Document::new("web.toml", text));
        assert_eq!(parse(&explained).unwrap(), spec);
    }

    #[test]
    fn limits_that_are_rounded_to_nothing_let_one_go() {
        let mut spec = parse(HEADER).unwrap();
        spec.update.max_surge = CountOrPercent::Count(0);
        spec.update.max_unavailable = CountOrPercent::Percent(25);
        assert_eq!(spec.update.limits(3), (0, 1));
        assert_eq!(spec.update.limits(8), (0, 2));
    }
}
