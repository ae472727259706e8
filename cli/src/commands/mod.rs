//! One file per command.

pub(crate) mod sim;
pub(crate) mod spec;

use std::io::{ErrorKind, Write};
use std::path::Path;

use apportion::spec::Document;
use clap::CommandFactory;
use clap_complete::Shell;

use crate::arguments::Arguments;
use crate::failure::Failure;

/// Prints the completion script.
pub(crate) fn completions(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "apportion", &mut script);
    print(&String::from_utf8_lossy(&script))
}

/// Reads a file that people write.
fn read(file: &Path) -> Result<Document, Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::Unreadable { file: file.to_owned(), error })?;
    Ok(Document::new(file.display().to_string(), text))
}

/// Writes to standard output. A reader that has seen enough is no failure.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
