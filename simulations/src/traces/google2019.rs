//! Google's Borg cells of 2019 (`clusterdata-2019`): `instance_events` and `machine_events`, JSON with a row per line.
//!
//! Columns are those of `clusterdata_trace_format_v3.proto` in <https://github.com/google/cluster-data>; files are those of the
//! buckets `clusterdata_2019_<cell>`. Numbers may stand in quotes, as BigQuery exports 64-bit ones; event types may be numbers or
//! names. [`events`](super::events) says what is made of them. Instances of alloc sets are reservations, not tasks: they are left
//! out, while tasks in them count with what they ask for themselves. A task's role is its scheduling class, as of 2011; users
//! are in another table.

use serde::Deserialize;
use serde::de::{Deserializer, Error};

use super::events::{MachineEvent, TaskEvent, WHOLE_CPUS, WHOLE_MEM, What, machines, micros, share, tasks};
use super::{LineError, Problem, TraceFile, TraceJob, TraceNode};

#[derive(Deserialize)]
struct InstanceRow {
    time: Number,
    #[serde(rename = "type")]
    event: Event,
    collection_id: Number,
    instance_index: Number,
    #[serde(default)]
    collection_type: Option<Event>,
    #[serde(default)]
    scheduling_class: Option<Event>,
    #[serde(default)]
    resource_request: Option<Amounts>,
}

#[derive(Deserialize)]
struct MachineRow {
    machine_id: Number,
    #[serde(rename = "type")]
    event: Event,
    #[serde(default)]
    capacity: Option<Amounts>,
}

#[derive(Default, Deserialize)]
struct Amounts {
    cpus: Option<f64>,
    memory: Option<f64>,
}

/// A whole number, maybe in quotes.
struct Number(u64);

/// A value of an enumeration, by number or name.
enum Event {
    Number(u64),
    Name(String),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum NumberOrText {
    Number(u64),
    Text(String),
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match NumberOrText::deserialize(deserializer)? {
            NumberOrText::Number(number) => Ok(Number(number)),
            NumberOrText::Text(text) => text
                .parse()
                .map(Number)
                .map_err(|_| D::Error::custom(format!("'{text}' is not a whole number of at least 0"))),
        }
    }
}

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match NumberOrText::deserialize(deserializer)? {
            NumberOrText::Number(number) => Event::Number(number),
            NumberOrText::Text(text) => text.parse().map_or(Event::Name(text), Event::Number),
        })
    }
}

impl Event {
    /// Its number, where `names` are those of 0, 1, 2, ...
    fn of(&self, column: &str, names: &[&str]) -> Result<usize, Problem> {
        let place = match self {
            Event::Number(number) => usize::try_from(*number).ok().filter(|number| *number < names.len()),
            Event::Name(name) => names.iter().position(|known| known == name),
        };
        let value = || match self {
            Event::Number(number) => number.to_string(),
            Event::Name(name) => name.clone(),
        };
        place.ok_or_else(|| Problem::Value {
            column: column.to_owned(),
            value: value(),
            expected: "a value that the trace's documentation has",
        })
    }
}

const EVENTS: [&str; 11] = [
    "SUBMIT",
    "QUEUE",
    "ENABLE",
    "SCHEDULE",
    "EVICT",
    "FAIL",
    "FINISH",
    "KILL",
    "LOST",
    "UPDATE_PENDING",
    "UPDATE_RUNNING",
];

const COLLECTIONS: [&str; 2] = ["JOB", "ALLOC_SET"];

const CLASSES: [&str; 4] = ["MOST_INSENSITIVE", "INSENSITIVE", "SENSITIVE", "MOST_SENSITIVE"];

const MACHINE_EVENTS: [&str; 4] = ["EVENT_TYPE_UNKNOWN", "ADD", "REMOVE", "UPDATE"];

pub(super) fn jobs(file: &TraceFile) -> Vec<Result<TraceJob, LineError>> {
    tasks(lines(file, instance).into_iter().filter_map(Result::transpose))
}

pub(super) fn nodes(file: &TraceFile) -> Vec<Result<TraceNode, LineError>> {
    machines(lines(file, |_, row| machine(row)))
}

/// Rows of JSON, one a line; empty lines are none.
fn lines<'a, R: Deserialize<'a>, T>(
    file: &'a TraceFile,
    read: impl Fn(u64, R) -> Result<T, Problem>,
) -> Vec<Result<T, LineError>> {
    let rows = file.bytes().split(|byte| *byte == b'\n').zip(1..);
    rows.filter(|(row, _)| !row.trim_ascii().is_empty())
        .map(|(row, line)| {
            let parsed = serde_json::from_slice(row).map_err(|error| Problem::Text(error.to_string()));
            parsed.and_then(|row| read(line, row)).map_err(|problem| LineError { line, problem })
        })
        .collect()
}

fn instance(line: u64, row: InstanceRow) -> Result<Option<TaskEvent>, Problem> {
    let collection = row.collection_type.map(|of| of.of("collection_type", &COLLECTIONS)).transpose()?;
    if collection == Some(1) {
        return Ok(None);
    }
    let what = match EVENTS[row.event.of("type", &EVENTS)?] {
        "SCHEDULE" => What::Starts,
        "EVICT" | "FAIL" | "FINISH" | "KILL" | "LOST" => What::Ends,
        _ => What::Waits,
    };
    let class = row.scheduling_class.map(|of| of.of("scheduling_class", &CLASSES)).transpose()?;
    let asked = row.resource_request.unwrap_or_default();
    Ok(Some(TaskEvent {
        line,
        at: micros(row.time.0),
        what,
        task: format!("{}.{}", row.collection_id.0, row.instance_index.0),
        cpus: amount(asked.cpus, "resource_request.cpus", WHOLE_CPUS)?,
        mem: amount(asked.memory, "resource_request.memory", WHOLE_MEM)?,
        disk: None,
        queue: class.map_or_else(String::new, |class| format!("class{class}")),
        user: String::new(),
    }))
}

fn machine(row: MachineRow) -> Result<MachineEvent, Problem> {
    if MACHINE_EVENTS[row.event.of("type", &MACHINE_EVENTS)?] != "ADD" {
        return Ok(None);
    }
    let has = row.capacity.unwrap_or_default();
    Ok(Some(TraceNode {
        id: row.machine_id.0.to_string(),
        cpus: amount(has.cpus, "capacity.cpus", WHOLE_CPUS)?
            .ok_or_else(|| Problem::empty("capacity.cpus"))?,
        mem: amount(has.memory, "capacity.memory", WHOLE_MEM)?
            .ok_or_else(|| Problem::empty("capacity.memory"))?,
        ..TraceNode::default()
    }))
}

fn amount(
    value: Option<f64>,
    column: &str,
    whole: f64,
) -> Result<Option<apportion::resources::Scalar>, Problem> {
    let Some(value) = value else { return Ok(None) };
    let wrong = || Problem::Value {
        column: column.to_owned(),
        value: value.to_string(),
        expected: "a share of at least 0",
    };
    share(value, whole).map(Some).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::super::{Format, Malformed};
    use super::*;

    const INSTANCES: &str = r#"{"time":"0","type":"0","collection_id":"330587160469","scheduling_class":"2","collection_type":"0","instance_index":"5","resource_request":{"cpus":0.013671875,"memory":0.004669189453125}}
{"time":"1000000","type":"SCHEDULE","collection_id":330587160469,"scheduling_class":2,"collection_type":"JOB","instance_index":5,"machine_id":"9"}
{"time":"1000000","type":"0","collection_id":"1","collection_type":"1","instance_index":"0","resource_request":{"cpus":1,"memory":1}}

{"time":"3500000","type":"6","collection_id":"330587160469","collection_type":"0","instance_index":"5"}
{"time":"3500000","type":"11","collection_id":"330587160469","collection_type":"0","instance_index":"5"}
{"time":"x","type":"6","collection_id":"330587160469","instance_index":"5"}
{"time":"1"
{"time":"9223372036854775807","type":"6","collection_id":"4","instance_index":"5"}
"#;

    #[test]
    fn tasks_are_made_of_their_events() {
        let trace = TraceFile::from_bytes("instance_events.json", INSTANCES)
            .jobs(Format::Google2019, Malformed::Skip)
            .unwrap();
        assert_eq!(trace.rows.len(), 1, "{:?}", trace.rows);
        let job = &trace.rows[0];
        assert_eq!((job.id.as_str(), job.queue.as_str()), ("330587160469.5", "class2"));
        assert_eq!(job.resources().to_string(), "cpus:1.367;mem:478.125");
        assert_eq!(job.runtime.unwrap().secs(), 2.5);
        let lines: Vec<u64> = trace.skipped.iter().map(|error| error.line).collect();
        assert_eq!(lines, [6, 7, 8]);
    }

    #[test]
    fn machines_are_those_that_were_added() {
        let text = r#"{"time":"0","machine_id":"5","type":"1","capacity":{"cpus":0.5,"memory":0.25}}
{"time":"9","machine_id":"5","type":"REMOVE"}
{"time":"9","machine_id":"6","type":"1","capacity":{"cpus":0.5}}
"#;
        let file = TraceFile::from_bytes("machine_events.json", text);
        assert!(file.holds_nodes(Format::Google2019));
        let trace = file.nodes(Format::Google2019, Malformed::Skip).unwrap();
        assert_eq!(trace.rows[0].resources().to_string(), "cpus:50;mem:25600");
        assert_eq!((trace.rows.len(), trace.skipped[0].line), (1, 3));
    }
}
