//! Whatever bytes or texts come in, decoders answer with a value or an error: they never panic, and what they take for a value they
//! write as something that they read as the same value.
//!
//! Each decoder is fed damaged versions of good inputs: the messages of `samples`, and the project's own specs, scenarios and
//! scripts. `DECODER_CASES=1000000 cargo test --release -p apportion-cli --test decoders` goes on for longer; a failure prints the
//! seed and the smallest input found.

mod damage;
mod samples;

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use apportion::allocator::DrfOptions;
use apportion::master::journal::{Entry, HEADER, JournalReader, OutputsHash};
use apportion::master::{Input, PingOptions};
use apportion::net::JoinToken;
use apportion::protocol::codec::{self, encode_frame};
use apportion::protocol::operator::{OperatorAnswer, OperatorRequest};
use apportion::protocol::{
    AgentCall, AgentEvent, ConnectionId, Epoch, ExecutorCall, ExecutorEvent, Identity, Limits, Pattern,
    Rules, SchedulerCall, SchedulerEvent,
};
use apportion::resources::{Quantities, Resources, Role, Scalar};
use apportion::spec::{Delay, Document, Memory};
use apportion::store::Record;
use apportion::time::Time;
use apportion_batch::BatchSpec;
use apportion_service::ServiceSpec;
use apportion_simulations::scenario::Scenario;
use apportion_simulations::script::Script;
use apportion_simulations::traces::{Format, Malformed, TraceFile, table};
use proptest::test_runner::{Config, TestRunner};
use serde::Serialize;
use serde::de::DeserializeOwned;

use damage::{damaged, damaged_text};

/// How many damaged inputs each decoder gets unless `DECODER_CASES` says otherwise.
const CASES: u32 = 2000;

fn runner() -> TestRunner {
    let cases = std::env::var("DECODER_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(CASES);
    TestRunner::new(Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..Config::default()
    })
}

fn encoded<M: Serialize>(messages: &[M]) -> Vec<Vec<u8>> {
    let encode = |message| {
        let mut bytes = Vec::new();
        codec::encode(message, &mut bytes).expect("a sample");
        bytes
    };
    messages.iter().map(encode).collect()
}

/// Damages encoded messages of one kind.
fn check_messages<M: Serialize + DeserializeOwned + PartialEq + Debug>(samples: &[M]) {
    for (sample, bytes) in samples.iter().zip(encoded(samples)) {
        assert_eq!(&codec::decode::<M>(&bytes).expect("a sample"), sample);
    }
    let check = |bytes: Vec<u8>| {
        if let Ok(message) = codec::decode::<M>(&bytes) {
            let again = encoded(&[message]).remove(0);
            let read = codec::decode::<M>(&again).expect("it was written just now");
            assert_eq!(encoded(&[read]).remove(0), again);
        }
        Ok(())
    };
    runner().run(&damaged(encoded(samples)), check).unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn messages_of_schedulers() {
    check_messages::<SchedulerCall>(&samples::scheduler_calls());
    check_messages::<SchedulerEvent>(&samples::scheduler_events());
}

#[test]
fn messages_of_agents() {
    check_messages::<AgentCall>(&samples::agent_calls());
    check_messages::<AgentEvent>(&samples::agent_events());
}

#[test]
fn messages_of_executors() {
    check_messages::<ExecutorCall>(&samples::executor_calls());
    check_messages::<ExecutorEvent>(&samples::executor_events());
}

#[test]
fn messages_of_operators() {
    check_messages::<OperatorRequest>(&samples::operator_requests());
    check_messages::<OperatorAnswer>(&samples::operator_answers());
}

#[test]
fn records_of_the_registry() {
    let samples: Vec<Vec<u8>> =
        samples::records().iter().map(|record| record.to_bytes().expect("a sample")).collect();
    let check = |bytes: Vec<u8>| {
        if let Ok(record) = Record::from_bytes("key", &bytes) {
            let again = record.to_bytes().expect("it was read just now");
            assert!(Record::from_bytes("key", &again).is_ok());
        }
        Ok(())
    };
    runner().run(&damaged(samples), check).unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn journals_of_masters() {
    let mut sample = HEADER.to_vec();
    encode_frame(
        &Entry::begin(Time::ZERO, Epoch::FIRST, Some(&DrfOptions::default()), PingOptions::default(), true),
        &mut sample,
    )
    .expect("a sample");
    for call in samples::scheduler_calls() {
        let input = Input::Scheduler { connection: ConnectionId(1), call };
        encode_frame(&Entry::input(Time::from_secs(1), &input), &mut sample).expect("a sample");
        encode_frame(&Entry::Outputs(OutputsHash::of(&[])), &mut sample).expect("a sample");
    }
    let check = |bytes: Vec<u8>| {
        if let Ok(mut reader) = JournalReader::new(bytes.as_slice()) {
            while let Ok(Some(_)) = reader.next_entry() {}
        }
        Ok(())
    };
    runner().run(&damaged(vec![sample]), check).unwrap_or_else(|failure| panic!("{failure}"));
}

/// Damages texts and has them read.
fn check_texts(samples: Vec<String>, read: impl Fn(&str)) {
    assert!(!samples.is_empty());
    let check = |text: String| {
        read(&text);
        Ok(())
    };
    runner().run(&damaged_text(samples), check).unwrap_or_else(|failure| panic!("{failure}"));
}

/// Damages texts of values that are written as they are read.
fn check_values<T: FromStr + ToString + PartialEq + Debug>(samples: &[&str]) {
    for sample in samples {
        assert!(sample.parse::<T>().is_ok(), "{sample}");
    }
    check_texts(samples.iter().map(ToString::to_string).collect(), |text| {
        if let Ok(value) = text.parse::<T>() {
            assert_eq!(value.to_string().parse::<T>().ok(), Some(value), "{text:?}");
        }
    });
}

#[test]
fn values_written_as_text() {
    check_values::<Resources>(&[
        "cpus:2;mem:1024;disk:0;ports:[31000-32000]",
        "cpus(eng/ads):1.5;ports:[1-10,20-30];labels:{a,b}",
        "cpus(web):2;mem[REVOCABLE]:64",
    ]);
    check_values::<Quantities>(&["cpus:1;mem:512;gpus:0.5"]);
    check_values::<Limits>(&["cpus:4;gpus:0"]);
    check_values::<Scalar>(&["1.5", "0.001"]);
    check_values::<Role>(&["eng/search/ads", "*"]);
    check_values::<Identity>(&["spiffe://test/framework/f1", "spiffe://test/executor/a/b"]);
    check_values::<Pattern>(&["rack-[0-9]+", "(a|b)*"]);
    check_values::<Delay>(&["1h30m", "500ms"]);
    check_values::<Memory>(&["2GiB", "512MB"]);
    let token = format!("apportion-agent-{}-{}", "ab".repeat(32), "cd".repeat(32));
    check_texts(vec![token], |text| drop(text.parse::<JoinToken>()));
}

/// The files of a folder, and of those in it, that end with `.toml`.
fn specs_in(folder: &Path, found: &mut Vec<String>) {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            specs_in(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "toml") {
            found.push(std::fs::read_to_string(&path).expect("a text"));
        }
    }
}

fn specs(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    specs_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder), &mut found);
    found
}

#[test]
fn specs_of_batch_jobs_and_services() {
    check_texts(specs("examples/trace-stats"), |text| {
        let document = Document::new("spec", text);
        drop((BatchSpec::parse(&document), ServiceSpec::parse(&document)));
    });
}

#[test]
fn scenarios() {
    check_texts(specs("examples/scenarios"), |text| {
        drop(Scenario::parse(&Document::new("scenario", text)));
    });
}

#[test]
fn scripts_of_allocators() {
    check_texts(specs("simulations/tests/scripts"), |text| {
        drop(Script::parse(Document::new("script", text)));
    });
}

/// What is read of a damaged trace is written as a table that is read as the same.
#[test]
fn traces() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../simulations/tests/traces");
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let good = TraceFile::open(&path).expect("a trace");
        let format = good.guess().unwrap_or_else(|| panic!("{} tells no format", path.display()));
        let text = String::from_utf8(good.bytes().to_vec()).expect("a text");
        if good.holds_nodes(format) {
            assert!(!good.nodes(format, Malformed::Refuse).expect("good nodes").rows.is_empty());
        } else {
            assert!(!good.jobs(format, Malformed::Refuse).expect("good jobs").rows.is_empty());
        }
        check_texts(vec![text], |text| {
            let damaged = TraceFile::from_bytes("trace", text);
            let own = |bytes| TraceFile::from_bytes("own", bytes);
            if let Ok(read) = damaged.jobs(format, Malformed::Skip) {
                let mut written = Vec::new();
                table::write_jobs(&mut written, &read.rows).expect("to memory");
                let again = own(written).jobs(Format::Csv, Malformed::Refuse).expect("our own table");
                assert_eq!(again.rows.len(), read.rows.len());
            }
            if let Ok(read) = damaged.nodes(format, Malformed::Skip) {
                let mut written = Vec::new();
                table::write_nodes(&mut written, &read.rows).expect("to memory");
                let again = own(written).nodes(Format::Csv, Malformed::Refuse).expect("our own table");
                assert_eq!(again.rows, read.rows);
            }
        });
    }
}

#[test]
fn rules_of_clusters() {
    check_texts(vec![samples::RULES.to_owned()], |text| {
        drop(Document::new("rules.toml", text).parse::<Rules>());
    });
}
