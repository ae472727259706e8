//! Feeds one decoder, which the environment variable `DECODER` names, what the fuzzer makes up. With `DECODER_SEEDS=FOLDER` it writes
//! the good inputs of each into a folder of its own there instead.

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
    for (number, sample) in decoder.samples.iter().enumerate() {
        std::fs::write(own.join(number.to_string()), sample).expect("it can be written");
    }
}
