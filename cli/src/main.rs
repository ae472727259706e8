//! The `apportion` command: run a master and frameworks, submit work, look inside clusters, simulate them.

#![warn(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "they panic where nobody reads; `output` does not"
)]

mod arguments;
mod commands;
mod context;
mod failure;
mod output;
mod progress;
mod signals;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use arguments::{Arguments, Command, Global};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let is_simulated = matches!(arguments.command, Command::Sim(_));
    log_to_stderr(&arguments.global, is_simulated);
    match commands::execute(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::note(&failure);
            failure.exit_code()
        }
    }
}

/// What a simulated cluster's machines warn of is what the simulation is about.
const SIMULATED: &str = "warn,apportion::agent=error,apportion::executor=error,apportion::master=error,apportion::scheduler=error,\
                         apportion_batch=error,apportion_service=error";

/// `RUST_LOG` decides what is logged; without it, `-v` and `-q` do.
fn log_to_stderr(global: &Global, is_simulated: bool) {
    let level = match (global.quiet, global.verbose) {
        (true, _) => "error",
        (false, 0) if is_simulated => SIMULATED,
        (false, 0) => "warn",
        (false, 1) => "info",
        (false, _) => "debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let colours =
        std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colours)
        .with_target(false)
        // Where a line can't be written, its failure can't either.
        .log_internal_errors(false)
        .init();
}
