//! Feeds one decoder, which the environment variable `DECODER` names, what the fuzzer makes up. With `DECODER_SEEDS=FOLDER` it writes
//! what each decoder's runs begin with into a folder of its own there instead: its good inputs, and those of `corpus/DECODER.hex`, one
//! in each line.

#![no_main]

#[path = "../cli/tests/decoders/catalogue.rs"]
mod catalogue;
#[path = "../cli/tests/decoders/samples.rs"]
mod samples;

use std::path::Path;
use std::sync::OnceLock;

use catalogue::Decoder;

static CHOSEN: OnceLock<Decoder> = OnceLock::new();

libfuzzer_sys::fuzz_target!(init: choose(), |bytes: &[u8]| {
    if let Some(decoder) = CHOSEN.get()
        && (!decoder.is_text || std::str::from_utf8(bytes).is_ok())
    {
        (decoder.check)(bytes);
    }
});

fn choose() {
    if let Some(folder) = std::env::var_os("DECODER_SEEDS") {
        catalogue::all().iter().for_each(|decoder| write_seeds(Path::new(&folder), decoder));
        std::process::exit(0);
    }
    let name = std::env::var("DECODER").unwrap_or_default();
    let Some(decoder) = catalogue::all().into_iter().find(|decoder| decoder.name == name) else {
        eprintln!("DECODER={name:?} names no decoder; fuzz/run knows them");
        std::process::exit(2);
    };
    // It is called once.
    let _ = CHOSEN.set(decoder);
}

fn write_seeds(folder: &Path, decoder: &Decoder) {
    let own = folder.join(&decoder.name);
    std::fs::create_dir_all(&own).expect("a folder");
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(format!("{}.hex", decoder.name));
    let corpus = std::fs::read_to_string(corpus).unwrap_or_default();
    let inputs = decoder.samples.iter().cloned().chain(corpus.lines().map(bytes_of));
    for (number, input) in inputs.enumerate() {
        std::fs::write(own.join(number.to_string()), input).expect("it can be written");
    }
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        hex.chars().map(|digit| digit.to_digit(16).expect("a hexadecimal digit") as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}
