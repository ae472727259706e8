//! What this version writes, byte for byte, as it was written down when its format was decided: masters, agents and executors of other
//! versions read it.

use std::path::{Path, PathBuf};

use crate::catalogue::{self, Decoder, frameworks_restore};

/// Has the formats written down anew.
const WRITE: &str = "APPORTION_WRITE_FORMATS";

/// What is kept, and what is said between those of whom one may be newer.
const LASTING: [&str; 6] =
    ["records", "checkpoints", "agent-calls", "agent-events", "executor-calls", "executor-events"];

/// What frameworks keep: in JSON, to which fields may be added that older records lack.
const FRAMEWORK_RECORDS: &str = "framework-records";

fn written_down(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/decoders/formats").join(format!("{name}.hex"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).expect("digits"));
    digits.map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal digits")).collect()
}

/// What is written now, and what was written down.
fn now_and_before(all: &[Decoder], name: &str) -> (Vec<String>, Vec<String>) {
    let decoder = all.iter().find(|decoder| decoder.name == name).expect("it is a decoder");
    let now: Vec<String> = decoder.samples.iter().map(|sample| hex(sample)).collect();
    let file = written_down(name);
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&file, now.join("\n") + "\n").expect("it can be written");
    }
    let before = std::fs::read_to_string(&file).expect("it was written down");
    (now, before.lines().map(str::to_owned).collect())
}

/// A kind of message, record or field that is added at the end of its enumeration changes nothing that was there. Whatever else changes
/// needs another version (of the wire: `apportion::net::ALPN_MESSAGES`; of the registry: `store::FORMAT_VERSION`; of agents' records:
/// their header), and a reader of the one before.
#[test]
fn what_was_written_down_is_written_as_it_was() {
    let all = catalogue::all();
    for name in LASTING {
        let (now, before) = now_and_before(&all, name);
        for (number, (now, before)) in now.iter().zip(&before).enumerate() {
            assert_eq!(now, before, "sample {number} of {name} is written otherwise than it was");
        }
        assert_eq!(
            now.len(),
            before.len(),
            "{name} has other samples than before; {WRITE}=1 writes them down"
        );
    }
}

#[test]
fn frameworks_go_on_with_what_they_kept_when_their_format_was_decided() {
    let (_, before) = now_and_before(&catalogue::all(), FRAMEWORK_RECORDS);
    let restored = before.iter().map(|sample| String::from_utf8(bytes_of(sample)).expect("a text"));
    let restored: Vec<[bool; 2]> = restored.map(|sample| frameworks_restore(&sample)).collect();
    assert_eq!(restored, [[true, false], [false, true]], "of jobs, and of services");
}
