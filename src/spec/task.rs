//! What a task needs, as people write it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{Error, MapAccess};
use serde::{Deserialize, Deserializer, Serialize};

use super::units::WholeGpus;
use super::{Cpus, Delay, Memory, SharedGpus, StopSignal, WithTask};
use crate::protocol::task::DEFAULT_GRACE;
use crate::protocol::{Checks, Command, CommandInfo, StopPolicy};
use crate::resources::{Resources, Shape};

/// The cores of a task whose spec does not say: a tenth of one.
pub const DEFAULT_CPUS: Cpus = Cpus::from_milli(100);

/// The memory of a task whose spec does not say: 32 MiB.
pub const DEFAULT_MEMORY: Memory = Memory::from_mib(32);

/// The name of a port: a small letter, then small letters, digits, `_` and `-`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PortName(String);

impl PortName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for PortName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
        if name.starts_with(|first: char| first.is_ascii_lowercase()) && name.bytes().all(allowed) {
            Ok(PortName(name))
        } else {
            Err(format!(
                "'{name}' is not a port's name: small letters, digits, _ and -; write for example \"http\""
            ))
        }
    }
}

impl From<PortName> for String {
    fn from(name: PortName) -> String {
        name.0
    }
}

impl fmt::Display for PortName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The environment variable that tells a task the number of a port: `PORT_HTTP` for `http`, with `_` for `-`.
///
/// ```
/// assert_eq!(apportion::spec::port_variable("admin-ui"), "PORT_ADMIN_UI");
/// ```
pub fn port_variable(name: &str) -> String {
    format!("PORT_{}", name.to_ascii_uppercase().replace('-', "_"))
}

/// How a task is asked to stop, as a table: `{ signal = "TERM", grace = "30s" }`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StopTable {
    /// The signal; `TERM` by default.
    pub signal: StopSignal,
    /// After so long it is killed; [`DEFAULT_GRACE`] by default.
    pub grace: Delay,
}

impl Default for StopTable {
    fn default() -> Self {
        StopTable { signal: StopSignal::DEFAULT, grace: Delay::from_secs(DEFAULT_GRACE.as_secs() as u32) }
    }
}

/// What a task needs. As a table of its own it deserialises by itself; [`WithTask`] puts its keys among those of another
/// table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TaskTable {
    /// What runs: the key `cmd` (a program and its arguments) or `shell` (a line for `/bin/sh`).
    #[serde(flatten, serialize_with = "serialize_command")]
    pub command: Command,
    /// The environment.
    pub env: BTreeMap<String, String>,
    /// Cores; [`DEFAULT_CPUS`] by default.
    pub cpus: Cpus,
    /// Memory; [`DEFAULT_MEMORY`] by default.
    pub memory: Memory,
    /// Disk space; none by default.
    pub disk: Memory,
    /// The user of the agent's machine as whom it runs; as whom the agent runs by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Graphics processors of its own; none by default.
    pub gpus: u32,
    /// Shares of graphics processors that agents let tasks share; none by default.
    #[serde(skip_serializing_if = "SharedGpus::is_none")]
    pub shared_gpus: SharedGpus,
    /// Names of ports that are assigned at launch.
    pub ports: Vec<PortName>,
    /// How it is asked to stop.
    pub stop: StopTable,
    /// It has failed when it runs for longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Delay>,
}

fn serialize_command<S: serde::Serializer>(command: &Command, serializer: S) -> Result<S::Ok, S::Error> {
    match command {
        Command::Argv(argv) => serializer.collect_map([("cmd", argv)]),
        Command::Shell(line) => serializer.collect_map([("shell", line)]),
    }
}

impl TaskTable {
    /// The keys that it has.
    pub const KEYS: [&'static str; 12] = [
        "cmd",
        "shell",
        "env",
        "cpus",
        "memory",
        "disk",
        "gpus",
        "shared_gpus",
        "ports",
        "stop",
        "timeout",
        "user",
    ];

    /// What the command executor is told.
    pub fn command_info(&self, checks: Checks) -> CommandInfo {
        CommandInfo {
            command: self.command.clone(),
            env: self.env.clone(),
            user: self.user.clone(),
            ports: self.ports.iter().map(PortName::to_string).collect(),
            stop: StopPolicy { signal: self.stop.signal.number(), grace: self.stop.grace.duration() },
            timeout: self.timeout.map(Delay::duration),
            checks,
        }
    }

    /// What one task takes of an offer.
    pub fn shape(&self) -> Shape {
        let resources = Resources::builder()
            .cpus_milli(self.cpus.milli())
            .mem_mib(self.memory.mib())
            .disk_mib(self.disk.mib())
            .gpus(self.gpus)
            .build();
        // A spec with so many ports could not be parsed in memory.
        let ports = u32::try_from(self.ports.len()).unwrap_or(u32::MAX);
        Shape::new(resources, ports).with_gpus(self.shared_gpus.request())
    }
}

impl<'de> Deserialize<'de> for TaskTable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct NothingElse {}

        Ok(WithTask::<NothingElse>::deserialize(deserializer)?.task)
    }
}

/// A program and its arguments, as the operating system takes them.
#[derive(Deserialize)]
#[serde(try_from = "Vec<String>")]
struct Argv(Vec<String>);

impl TryFrom<Vec<String>> for Argv {
    type Error = &'static str;

    fn try_from(argv: Vec<String>) -> Result<Self, Self::Error> {
        if argv.first().is_none_or(String::is_empty) {
            return Err("'cmd' names no program; write for example [\"sleep\", \"10\"]");
        }
        if argv.iter().any(|argument| argument.contains('\0')) {
            return Err("'cmd' has a zero character, which no argument can have");
        }
        Ok(Argv(argv))
    }
}

/// A line for the shell.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct ShellLine(String);

impl TryFrom<String> for ShellLine {
    type Error = &'static str;

    fn try_from(line: String) -> Result<Self, Self::Error> {
        if line.contains('\0') {
            return Err("'shell' has a zero character, which no command can have");
        }
        Ok(ShellLine(line))
    }
}

/// An environment, as the operating system takes it.
#[derive(Deserialize)]
#[serde(try_from = "BTreeMap<String, String>")]
struct Variables(BTreeMap<String, String>);

impl TryFrom<BTreeMap<String, String>> for Variables {
    type Error = String;

    fn try_from(variables: BTreeMap<String, String>) -> Result<Self, String> {
        for (name, value) in &variables {
            if name.is_empty() || name.contains(['=', '\0']) {
                return Err(format!(
                    "'{name}' is not a variable's name: it needs a character, and none is '='"
                ));
            }
            if value.contains('\0') {
                return Err(format!("the variable '{name}' has a zero character, which no value can have"));
            }
        }
        Ok(Variables(variables))
    }
}

/// The keys of a task table that were read so far.
#[derive(Default)]
pub(super) struct TaskKeys {
    seen: BTreeSet<&'static str>,
    cmd: Option<Vec<String>>,
    shell: Option<String>,
    env: BTreeMap<String, String>,
    cpus: Option<Cpus>,
    memory: Option<Memory>,
    disk: Memory,
    gpus: u32,
    shared_gpus: SharedGpus,
    ports: Vec<PortName>,
    stop: StopTable,
    timeout: Option<Delay>,
    user: Option<String>,
}

impl TaskKeys {
    /// Reads the value of a key.
    pub(super) fn read<'de, A: MapAccess<'de>>(
        &mut self,
        key: &'static str,
        map: &mut A,
    ) -> Result<(), A::Error> {
        if !self.seen.insert(key) {
            return Err(A::Error::duplicate_field(key));
        }
        match key {
            "cmd" => self.cmd = Some(map.next_value::<Argv>()?.0),
            "shell" => self.shell = Some(map.next_value::<ShellLine>()?.0),
            "env" => self.env = map.next_value::<Variables>()?.0,
            "cpus" => self.cpus = Some(map.next_value()?),
            "memory" => self.memory = Some(map.next_value()?),
            "disk" => self.disk = map.next_value()?,
            "gpus" => self.gpus = map.next_value::<WholeGpus>()?.0,
            "shared_gpus" => self.shared_gpus = map.next_value()?,
            "ports" => self.ports = map.next_value()?,
            "stop" => self.stop = map.next_value()?,
            "timeout" => self.timeout = Some(map.next_value()?),
            "user" => self.user = Some(map.next_value()?),
            other => return Err(A::Error::unknown_field(other, &TaskTable::KEYS)),
        }
        Ok(())
    }

    /// The table, when its keys fit together.
    pub(super) fn finish<E: Error>(self) -> Result<TaskTable, E> {
        let command = match (self.cmd, self.shell) {
            (Some(argv), None) => Command::Argv(argv),
            (None, Some(line)) => Command::Shell(line),
            (Some(_), Some(_)) => return Err(E::custom("both 'cmd' and 'shell' are given; keep one")),
            (None, None) => {
                return Err(E::custom(
                    "missing key 'cmd' (a program and its arguments) or 'shell' (a line for sh)",
                ));
            }
        };
        let mut variables = BTreeMap::new();
        for port in &self.ports {
            let variable = port_variable(port.as_str());
            match variables.insert(variable.clone(), port) {
                None => {}
                Some(other) if other == port => {
                    return Err(E::custom(format!("two ports are named '{port}'")));
                }
                Some(other) => {
                    let message =
                        format!("ports '{other}' and '{port}' would both be exported as {variable}");
                    return Err(E::custom(message));
                }
            }
        }
        Ok(TaskTable {
            command,
            env: self.env,
            cpus: self.cpus.unwrap_or(DEFAULT_CPUS),
            memory: self.memory.unwrap_or(DEFAULT_MEMORY),
            disk: self.disk,
            user: self.user,
            gpus: self.gpus,
            shared_gpus: self.shared_gpus,
            ports: self.ports,
            stop: self.stop,
            timeout: self.timeout,
        })
    }
}
