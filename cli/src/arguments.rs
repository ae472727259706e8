//! What can be typed.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use clap_complete::Shell;

/// Schedules services and batch jobs fairly on shared machines.
#[derive(Debug, Parser)]
#[command(
    name = "apportion",
    version,
    max_term_width = 100,
    after_help = "Exit codes: 0 it worked; 1 it failed; 2 the command line or a file is wrong.\n\n\
                  Start with: apportion sim run examples/scenarios/drf.toml"
)]
pub(crate) struct Arguments {
    /// Print JSON, for programs
    #[arg(long, global = true)]
    pub(crate) json: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Simulate clusters in virtual time, on the production code
    #[command(subcommand)]
    Sim(SimCommand),
    /// Look at specs of services and batch jobs
    #[command(subcommand)]
    Spec(SpecCommand),
    /// Print a script that completes this command in your shell
    #[command(
        after_help = "For bash: apportion completions bash > ~/.local/share/bash-completion/completions/apportion"
    )]
    Completions {
        /// The shell
        shell: Shell,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SimCommand {
    /// Run a scenario and print what came out
    #[command(after_help = "Example: apportion sim run examples/scenarios/drf.toml --json")]
    Run {
        /// The scenario, as TOML or JSON
        scenario: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SpecCommand {
    /// Say whether specs are right; if not, where and what to do
    Check {
        /// Specs, as TOML or JSON
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Print a spec with its defaults filled in
    Explain {
        /// The spec, as TOML or JSON
        file: PathBuf,
    },
}
