//! What the tests of the real binary share.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Nothing here takes long; a test that hangs says so.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn command(state: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_apportion"));
    command.args(arguments).env("APPORTION_STATE", state).env_remove("RUST_LOG");
    let says_otherwise =
        ["--recovery-timeout", "--simulated-agents"].iter().any(|word| arguments.contains(word));
    if arguments.first() == Some(&"agent") && !says_otherwise {
        // What a test leaves behind is to end with it.
        command.args(["--recovery-timeout", "0s"]);
    }
    command
}

pub(crate) fn apportion(state: &Path, arguments: &[&str]) -> Output {
    command(state, arguments).output().expect("the binary runs")
}

/// What a command that must succeed printed.
pub(crate) fn printed(state: &Path, arguments: &[&str]) -> String {
    let output = apportion(state, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A process that ends with the test, whatever happens.
pub(crate) struct Background(pub Child);

impl Background {
    pub(crate) fn start(state: &Path, arguments: &[&str]) -> Self {
        Self::spawn(command(state, arguments))
    }

    pub(crate) fn spawn(mut command: Command) -> Self {
        Background(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the binary runs"))
    }

    /// The first line that it prints.
    pub(crate) fn first_line(&mut self) -> String {
        let mut line = String::new();
        let out = self.0.stdout.take().expect("it is piped");
        BufReader::new(out).read_line(&mut line).expect("it can be read");
        line
    }

    /// The address of the master that its first line tells.
    pub(crate) fn master(&mut self) -> SocketAddr {
        let line = self.first_line();
        let address = line.split_whitespace().nth(2).and_then(|word| word.trim_end_matches(',').parse().ok());
        address.unwrap_or_else(|| panic!("no address in {line:?}"))
    }

    /// Asks it to end by the signal, and expects that it ends in order.
    pub(crate) fn end(mut self, signal: &str) {
        let id = self.0.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().expect("kill runs").success());
        assert!(self.0.wait().expect("it ends").success());
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "{what}: it did not come about");
        std::thread::sleep(Duration::from_millis(20));
    }
}
