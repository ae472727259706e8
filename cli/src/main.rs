//! The `apportion` command: simulate clusters, check specs.

mod arguments;
mod commands;
mod failure;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Command, SimCommand, SpecCommand};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.command {
        Command::Sim(SimCommand::Run { scenario }) => commands::sim::run(&scenario, arguments.json),
        Command::Spec(SpecCommand::Check { files }) => commands::spec::check(&files),
        Command::Spec(SpecCommand::Explain { file }) => commands::spec::explain(&file),
        Command::Completions { shell } => commands::completions(shell),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            failure.exit_code()
        }
    }
}
