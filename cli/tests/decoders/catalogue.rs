//! Every decoder, with good inputs and what must hold of whatever it is fed: it answers with a value or an error and never panics, and
//! what it takes for a value is written as something that it reads as the same value.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use apportion::agent::Checkpoint;
use apportion::allocator::DrfOptions;
use apportion::master::journal::{Entry, HEADER, JournalReader, OutputsHash};
use apportion::master::{Input, PingOptions};
use apportion::protocol::codec::{self, FrameDecoder, encode_frame};
use apportion::protocol::operator::{OperatorAnswer, OperatorRequest};
use apportion::protocol::{
    AgentCall, AgentEvent, ConnectionId, Epoch, ExecutorCall, ExecutorEvent, Identity, Limits, Pattern,
    RequestId, Rules, SchedulerCall, SchedulerEvent,
};
use apportion::resources::{Quantities, Resources, Role, Scalar};
use apportion::scheduler::{
    Planned, RecordChange, Records, Scheduler, SchedulerInput, SchedulerOutput, SchedulerProcess,
};
use apportion::spec::{Delay, Document, Memory};
use apportion::store::Record;
use apportion::time::Time;
use apportion_batch::{BatchFramework, BatchReply, BatchRequest, BatchSpec};
use apportion_service::{ServiceFramework, ServiceReply, ServiceRequest, ServiceSpec};
use apportion_simulations::scenario::Scenario;
use apportion_simulations::script::Script;
use apportion_simulations::traces::{Format, Malformed, TraceFile, table};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::samples;

/// A decoder, and how it is tried.
pub(crate) struct Decoder {
    pub(crate) name: String,
    /// Whether it reads texts.
    pub(crate) is_text: bool,
    /// What it must read.
    pub(crate) samples: Vec<Vec<u8>>,
    /// Feeds it anything, and panics when it does not answer as it should.
    pub(crate) check: Check,
}

pub(crate) type Check = Box<dyn Fn(&[u8]) + Send + Sync>;

/// All of them.
pub(crate) fn all() -> Vec<Decoder> {
    let mut all = vec![
        messages::<SchedulerCall>("scheduler-calls", &samples::scheduler_calls()),
        messages::<SchedulerEvent>("scheduler-events", &samples::scheduler_events()),
        messages::<AgentCall>("agent-calls", &samples::agent_calls()),
        messages::<AgentEvent>("agent-events", &samples::agent_events()),
        messages::<ExecutorCall>("executor-calls", &samples::executor_calls()),
        messages::<ExecutorEvent>("executor-events", &samples::executor_events()),
        messages::<OperatorRequest>("operator-requests", &samples::operator_requests()),
        messages::<OperatorAnswer>("operator-answers", &samples::operator_answers()),
        frames(),
        checkpoints(),
        records(),
        journals(),
        values::<Resources>(
            "resources",
            &[
                "cpus:2;mem:1024;disk:0;ports:[31000-32000]",
                "cpus(eng/ads):1.5;ports:[1-10,20-30];labels:{a,b}",
                "cpus(web):2;mem[REVOCABLE]:64",
            ],
        ),
        values::<Quantities>("quantities", &["cpus:1;mem:512;gpus:0.5"]),
        values::<Limits>("limits", &["cpus:4;gpus:0"]),
        values::<Scalar>("scalars", &["1.5", "0.001"]),
        values::<Role>("roles", &["eng/search/ads", "*"]),
        values::<Identity>("identities", &["spiffe://test/framework/f1", "spiffe://test/executor/a/b"]),
        values::<Pattern>("patterns", &["rack-[0-9]+", "(a|b)*"]),
        values::<Delay>("delays", &["1h30m", "500ms"]),
        values::<Memory>("memory", &["2GiB", "512MB"]),
        texts("specs", specs("examples/trace-stats"), |text| {
            let document = Document::new("spec", text);
            drop((BatchSpec::parse(&document), ServiceSpec::parse(&document)));
        }),
        texts("scenarios", specs("examples/scenarios"), |text| {
            drop(Scenario::parse(&Document::new("scenario", text)));
        }),
        texts("scripts", specs("simulations/tests/scripts"), |text| {
            drop(Script::parse(Document::new("script", text)));
        }),
        texts("rules", vec![samples::RULES.to_owned()], |text| {
            drop(Document::new("rules.toml", text).parse::<Rules>());
        }),
        framework_records(),
        texts("framework-messages", framework_messages(), |text| {
            let bytes = text.as_bytes();
            drop((BatchRequest::decode(bytes), BatchReply::decode(bytes)));
            drop((ServiceRequest::decode(bytes), ServiceReply::decode(bytes)));
        }),
    ];
    all.extend(traces());
    all
}

fn encoded<M: Serialize>(message: &M) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec::encode(message, &mut bytes).expect("it can be written");
    bytes
}

/// Messages of one kind.
fn messages<M: Serialize + DeserializeOwned + PartialEq + Debug>(name: &str, samples: &[M]) -> Decoder {
    for sample in samples {
        assert_eq!(&codec::decode::<M>(&encoded(sample)).expect("a sample"), sample);
    }
    let check = |bytes: &[u8]| {
        if let Ok(message) = codec::decode::<M>(bytes) {
            let again = encoded(&message);
            let read = codec::decode::<M>(&again).expect("it was written just now");
            assert_eq!(encoded(&read), again);
        }
    };
    of_bytes(name, samples.iter().map(encoded).collect(), check)
}

fn of_bytes(name: &str, samples: Vec<Vec<u8>>, check: impl Fn(&[u8]) + Send + Sync + 'static) -> Decoder {
    Decoder { name: name.to_owned(), is_text: false, samples, check: Box::new(check) }
}

/// Messages on a stream, in whatever pieces they come: the first byte tells how long those are.
fn frames() -> Decoder {
    let mut stream = vec![7];
    for call in samples::scheduler_calls() {
        encode_frame(&call, &mut stream).expect("a sample");
    }
    let read = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let (mut decoder, mut read) = (FrameDecoder::new(), Vec::new());
        for piece in pieces {
            decoder.feed(piece);
            loop {
                match decoder.next_frame::<SchedulerCall>() {
                    Ok(Some(call)) => read.push(encoded(&call)),
                    Ok(None) => break,
                    Err(error) => return (read, Err(error)),
                }
            }
        }
        (read, Ok(decoder.pending()))
    };
    of_bytes("frames", vec![stream], move |bytes| {
        let Some((length, stream)) = bytes.split_first() else { return };
        let (in_pieces, end) = read(&mut stream.chunks(usize::from(*length).max(1)));
        let (at_once, end_at_once) = read(&mut std::iter::once(stream));
        assert_eq!((in_pieces, end.ok()), (at_once, end_at_once.ok()));
    })
}

/// What an agent keeps: as it is, and with a checksum that is right, which chance would never hit.
fn checkpoints() -> Decoder {
    let read = |bytes: &[u8]| {
        let mut checkpoint = Checkpoint::new("a1".parse().expect("a name"));
        checkpoint.read(bytes).is_ok().then_some(checkpoint)
    };
    // A batch without a record, and one with each kind.
    of_bytes("checkpoints", vec![vec![0], encoded(&samples::agent_records())], move |bytes| {
        read(bytes);
        let mut whole = b"apagent\x01".to_vec();
        whole.extend(u32::try_from(bytes.len()).expect("a small input").to_le_bytes());
        whole.extend(crc32fast::hash(bytes).to_le_bytes());
        whole.extend(bytes);
        if let Some(checkpoint) = read(&whole) {
            let again = checkpoint.to_bytes().expect("it was read just now");
            let read = read(&again).expect("it was written just now");
            assert_eq!(read.to_bytes().expect("as before"), again);
        }
    })
}

fn records() -> Decoder {
    let samples = samples::records().iter().map(|record| record.to_bytes().expect("a sample")).collect();
    of_bytes("records", samples, |bytes| {
        if let Ok(record) = Record::from_bytes("key", bytes) {
            let again = record.to_bytes().expect("it was read just now");
            assert!(Record::from_bytes("key", &again).is_ok());
        }
    })
}

fn journals() -> Decoder {
    let mut sample = HEADER.to_vec();
    let begin =
        Entry::begin(Time::ZERO, Epoch::FIRST, Some(&DrfOptions::default()), PingOptions::default(), true);
    encode_frame(&begin, &mut sample).expect("a sample");
    for call in samples::scheduler_calls() {
        let input = Input::Scheduler { connection: ConnectionId(1), call };
        encode_frame(&Entry::input(Time::from_secs(1), &input), &mut sample).expect("a sample");
        encode_frame(&Entry::Outputs(OutputsHash::of(&[])), &mut sample).expect("a sample");
    }
    of_bytes("journals", vec![sample], |bytes| {
        if let Ok(mut reader) = JournalReader::new(bytes) {
            while let Ok(Some(_)) = reader.next_entry() {}
        }
    })
}

fn texts(name: &str, samples: Vec<String>, check: impl Fn(&str) + Send + Sync + 'static) -> Decoder {
    assert!(!samples.is_empty(), "{name}");
    Decoder {
        name: name.to_owned(),
        is_text: true,
        samples: samples.into_iter().map(String::into_bytes).collect(),
        check: Box::new(move |bytes| check(&String::from_utf8_lossy(bytes))),
    }
}

/// Values that are written as they are read.
fn values<T: FromStr + ToString + PartialEq + Debug>(name: &str, samples: &[&str]) -> Decoder {
    for sample in samples {
        assert!(sample.parse::<T>().is_ok(), "{sample}");
    }
    texts(name, samples.iter().map(ToString::to_string).collect(), |text| {
        if let Ok(value) = text.parse::<T>() {
            assert_eq!(value.to_string().parse::<T>().ok(), Some(value), "{text:?}");
        }
    })
}

/// A file or folder of the project.
fn place(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// The files of a folder, and of those in it, that end with `.toml`.
fn specs(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    specs_in(&place(folder), &mut found);
    found
}

fn specs_in(folder: &Path, found: &mut Vec<String>) {
    for path in files(folder) {
        if path.is_dir() {
            specs_in(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "toml") {
            found.push(std::fs::read_to_string(&path).expect("a text"));
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

/// What operators send to frameworks.
fn framework_messages() -> Vec<String> {
    let json = |bytes: Vec<u8>| String::from_utf8(bytes).expect("JSON");
    vec![json(BatchRequest::List.encode()), json(ServiceRequest::List.encode())]
}

/// What frameworks keep: lines of keys and values.
fn framework_records() -> Decoder {
    let job = "schema = 1\nkind = \"batch\"\nid = \"/job\"\nrole = \"research\"\n[[step]]\nname = \"work\"\ncmd = [\"true\"]\ncount = 3\n\
               [[step]]\nname = \"sum\"\ncmd = [\"true\"]\nneeds = [\"work\"]\nretry = { limit = 2 }\n";
    let job = BatchSpec::parse(&Document::new("job", job)).expect("a spec");
    let service = "schema = 1\nkind = \"service\"\nid = \"/web\"\nrole = \"web\"\nreplicas = 2\n[task]\ncmd = [\"web\"]\n";
    let service = ServiceSpec::parse(&Document::new("service", service)).expect("a spec");
    let samples = vec![
        recorded(batch(), BatchRequest::Submit { spec: Box::new(job) }.encode()),
        recorded(services(), ServiceRequest::Apply { spec: Box::new(service) }.encode()),
    ];
    texts("framework-records", samples, |text| {
        frameworks_restore(text);
    })
}

/// Whether the framework of jobs, and that of services, go on with what one of them kept.
pub(crate) fn frameworks_restore(text: &str) -> [bool; 2] {
    let each = text.lines().filter_map(|line| line.split_once(' '));
    let records: Records = each.map(|(key, value)| (key.to_owned(), value.as_bytes().to_vec())).collect();
    let (jobs, services) = (
        batch().restore(Time::ZERO, &records, &mut Vec::new()),
        services().restore(Time::ZERO, &records, &mut Vec::new()),
    );
    [jobs.is_ok(), services.is_ok()]
}

fn batch() -> SchedulerProcess<Planned<BatchFramework>> {
    SchedulerProcess::new(Planned::new(BatchFramework::new("batch", Vec::new())))
}

fn services() -> SchedulerProcess<Planned<ServiceFramework>> {
    SchedulerProcess::new(Planned::new(ServiceFramework::new("service", Vec::new())))
}

/// What a framework keeps of a request.
fn recorded<S: Scheduler>(mut process: SchedulerProcess<S>, data: Vec<u8>) -> String {
    let mut outputs = Vec::new();
    process.restore(Time::ZERO, &Records::new(), &mut outputs).expect("there is nothing");
    process.handle(Time::ZERO, SchedulerInput::LocalRequest { request: RequestId(1), data }, &mut outputs);
    let mut lines = String::new();
    for output in outputs {
        let SchedulerOutput::Record(changes) = output else { continue };
        for RecordChange { key, value } in changes {
            let value = String::from_utf8(value.expect("nothing is dropped")).expect("a text");
            lines += &format!("{key} {value}\n");
        }
    }
    assert!(!lines.is_empty());
    lines
}

/// Traces, one decoder for each of those here: what is read of one is written as a table that is read as the same.
fn traces() -> impl Iterator<Item = Decoder> {
    files(&place("simulations/tests/traces")).into_iter().map(|path| {
        let good = TraceFile::open(&path).expect("a trace");
        let format = good.guess().unwrap_or_else(|| panic!("{} tells no format", path.display()));
        let text = String::from_utf8(good.bytes().to_vec()).expect("a text");
        if good.holds_nodes(format) {
            assert!(!good.nodes(format, Malformed::Refuse).expect("good nodes").rows.is_empty());
        } else {
            assert!(!good.jobs(format, Malformed::Refuse).expect("good jobs").rows.is_empty());
        }
        let stem = path.file_stem().expect("a file").to_string_lossy();
        texts(&format!("trace-{stem}"), vec![text], move |text| {
            let read = TraceFile::from_bytes("trace", text);
            let own = |bytes| TraceFile::from_bytes("own", bytes);
            if let Ok(read) = read.jobs(format, Malformed::Skip) {
                let mut written = Vec::new();
                table::write_jobs(&mut written, &read.rows).expect("to memory");
                let again = own(written).jobs(Format::Csv, Malformed::Refuse).expect("our own table");
                assert_eq!(again.rows.len(), read.rows.len());
            }
            if let Ok(read) = read.nodes(format, Malformed::Skip) {
                let mut written = Vec::new();
                table::write_nodes(&mut written, &read.rows).expect("to memory");
                let again = own(written).nodes(Format::Csv, Malformed::Refuse).expect("our own table");
                assert_eq!(again.rows, read.rows);
            }
        })
    })
}
