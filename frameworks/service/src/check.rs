//! How it is found out whether an instance works, as people write it.

use apportion::protocol::{Check, Checks, Command, Probe};
use apportion::spec::{Delay, PortName, TaskTable};
use serde::{Deserialize, Serialize};

/// The checks of an instance: startup gates the other two.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckTables {
    /// Until it has passed once, the other two do not run; when it fails, the instance has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup: Option<CheckTable>,
    /// Whether the instance can serve. Without it, it can as soon as it has started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readiness: Option<CheckTable>,
    /// When it fails, the instance has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub liveness: Option<CheckTable>,
}

/// One check: exactly one of `http`, `tcp` and `cmd` says what is tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckTable {
    /// The path of a GET request; any status from 200 to 399 passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
    /// `true`, or the name of a port: a connection that is accepted passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpPort>,
    /// A program and its arguments; exit code 0 passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// The name of the port for `http` and `tcp`; the task's first one by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<PortName>,
    /// From the end of one try to the start of the next; 5 s by default.
    #[serde(default = "default_every")]
    pub every: Delay,
    /// A try that takes longer has failed; 2 s by default.
    #[serde(default = "default_timeout")]
    pub timeout: Delay,
    /// So many failed tries in a row make the check fail; 3 by default, and 30 for the startup check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failures: Option<u32>,
}

/// The value of `tcp` in a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TcpPort {
    /// The port is the one that `port` says, or the first one.
    Any(bool),
    /// The port of that name.
    Named(PortName),
}

fn default_every() -> Delay {
    Delay::from_secs(5)
}

fn default_timeout() -> Delay {
    Delay::from_secs(2)
}

const DEFAULT_FAILURES: u32 = 3;
const DEFAULT_STARTUP_FAILURES: u32 = 30;

impl CheckTables {
    /// The checks, as the executor is told them.
    pub(crate) fn checks(&self) -> Checks {
        let check = |table: &Option<CheckTable>, failures| table.as_ref()?.check(failures);
        Checks {
            startup: check(&self.startup, DEFAULT_STARTUP_FAILURES),
            readiness: check(&self.readiness, DEFAULT_FAILURES),
            liveness: check(&self.liveness, DEFAULT_FAILURES),
        }
    }

    /// The first mistake in each check: the check, the key, and what is wrong.
    pub(crate) fn mistakes(&self, task: &TaskTable) -> Vec<(&'static str, &'static str, String)> {
        let checks =
            [("startup", &self.startup), ("readiness", &self.readiness), ("liveness", &self.liveness)];
        let mistake = |(name, table): (_, &Option<CheckTable>)| {
            let (key, message) = table.as_ref()?.mistake(task)?;
            Some((name, key, message))
        };
        checks.into_iter().filter_map(mistake).collect()
    }
}

impl CheckTable {
    /// The check; `None` when it says not what is tried, which no spec does that passed its own checks.
    fn check(&self, default_failures: u32) -> Option<Check> {
        let port = || self.port.as_ref().map(PortName::to_string);
        let probe = match (&self.http, &self.tcp, &self.cmd) {
            (Some(path), None, None) => Probe::Http { port: port(), path: path.clone() },
            (None, Some(TcpPort::Any(true)), None) => Probe::Tcp { port: port() },
            (None, Some(TcpPort::Named(name)), None) => Probe::Tcp { port: Some(name.to_string()) },
            (None, None, Some(argv)) => Probe::Command(Command::Argv(argv.clone())),
            _ => return None,
        };
        Some(Check {
            probe,
            every: self.every.duration(),
            timeout: self.timeout.duration(),
            failures: self.failures.unwrap_or(default_failures),
        })
    }

    /// The first mistake, and the key that it is in.
    fn mistake(&self, task: &TaskTable) -> Option<(&'static str, String)> {
        let Some(check) = self.check(DEFAULT_FAILURES) else {
            let message =
                "a check has exactly one of 'http' (a path), 'tcp' (true or a port's name) and 'cmd'";
            return Some(("http", message.to_owned()));
        };
        let (key, port) = match &check.probe {
            Probe::Http { path, .. } if !path.starts_with('/') => {
                return Some(("http", format!("a path begins with '/', not as '{path}'")));
            }
            Probe::Command(Command::Argv(argv)) if argv.is_empty() => {
                return Some((
                    "cmd",
                    "'cmd' is empty; write for example [\"test\", \"-e\", \"ready\"]".to_owned(),
                ));
            }
            Probe::Command(_) if self.port.is_some() => {
                return Some(("port", "a check by 'cmd' has no port".to_owned()));
            }
            Probe::Command(_) => ("cmd", None),
            Probe::Http { port, .. } => (if port.is_some() { "port" } else { "http" }, Some(port)),
            Probe::Tcp { port } => (if self.port.is_some() { "port" } else { "tcp" }, Some(port)),
        };
        let is_known = |name: &str| task.ports.iter().any(|port| port.as_str() == name);
        match port {
            Some(None) if task.ports.is_empty() => {
                return Some((
                    key,
                    "the task has no port to check; write for example ports = [\"http\"]".to_owned(),
                ));
            }
            Some(Some(name)) if !is_known(name) => {
                return Some((key, format!("the task has no port named '{name}'")));
            }
            _ => {}
        }
        if self.port.is_some() && matches!(self.tcp, Some(TcpPort::Named(_))) {
            return Some(("port", "both 'tcp' and 'port' name a port; keep one".to_owned()));
        }
        for (key, delay) in [("every", self.every), ("timeout", self.timeout)] {
            if delay.duration().is_zero() {
                return Some((key, format!("'{key}' is to be more than nothing")));
            }
        }
        (self.failures == Some(0))
            .then(|| ("failures", "a check fails after at least 1 failed try".to_owned()))
    }
}
