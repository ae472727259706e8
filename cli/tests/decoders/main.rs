//! Whatever bytes or texts come in, decoders answer with a value or an error: see `catalogue`.
//!
//! Each is fed damaged versions of good inputs: the messages of `samples`, and the project's own specs, scenarios, scripts and traces.
//! `DECODER_CASES=1000000 cargo test --release -p apportion-cli --test decoders` goes on for longer; a failure prints the seed and the
//! smallest input found. `formats` sees that what is written stays what it was. (`fuzz/` looks for inputs that lead to code that no other has led to.)

mod catalogue;
mod damage;
mod formats;
mod samples;

use apportion::net::JoinToken;
use catalogue::Decoder;
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, TestRunner};

use damage::{damaged, damaged_text};

/// How many damaged inputs each decoder gets unless `DECODER_CASES` says otherwise.
const CASES: u32 = 2000;

fn check(inputs: impl Strategy<Value = Vec<u8>>, check: impl Fn(&[u8])) {
    let cases = std::env::var("DECODER_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(CASES);
    let mut runner = TestRunner::new(Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..Config::default()
    });
    let check = |bytes: Vec<u8>| {
        check(&bytes);
        Ok(())
    };
    runner.run(&inputs, check).unwrap_or_else(|failure| panic!("{failure}"));
}

fn check_all(is_chosen: impl Fn(&Decoder) -> bool) {
    for decoder in catalogue::all().into_iter().filter(is_chosen) {
        println!("{}", decoder.name);
        if decoder.is_text {
            check(damaged_text(decoder.samples), decoder.check);
        } else {
            check(damaged(decoder.samples), decoder.check);
        }
    }
}

#[test]
fn bytes_that_are_damaged_are_read_or_refused() {
    check_all(|decoder| !decoder.is_text);
}

#[test]
fn traces_that_are_damaged_are_read_or_refused() {
    check_all(|decoder| decoder.name.starts_with("trace-"));
}

#[test]
fn texts_that_are_damaged_are_read_or_refused() {
    check_all(|decoder| decoder.is_text && !decoder.name.starts_with("trace-"));
}

#[test]
fn tokens_that_are_damaged_are_read_or_refused() {
    let token = format!("apportion-agent-{}-{}", "ab".repeat(32), "cd".repeat(32));
    check(damaged_text(vec![token.into_bytes()]), |bytes| {
        drop(String::from_utf8_lossy(bytes).parse::<JoinToken>());
    });
}
