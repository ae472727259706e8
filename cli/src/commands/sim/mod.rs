//! `apportion sim`: clusters in virtual time.

mod faults;
mod replay;
mod run;
mod sweep;
mod trace;
mod validate;

use std::path::{Path, PathBuf};

use apportion_simulations::Scenario;
use apportion_simulations::script::Script;

use super::read;
use crate::arguments::{Global, SimCommand, TraceCommand};
use crate::failure::Failure;
use crate::output::{print, print_json_line};

/// Does what was asked.
pub(crate) fn execute(command: SimCommand, global: &Global) -> Result<(), Failure> {
    match command {
        SimCommand::Run(arguments) => run::run(&arguments, global),
        SimCommand::Check { scenarios } => check(&scenarios),
        SimCommand::Allocator { script } => allocator(&script, global),
        SimCommand::Faults(arguments) => faults::faults(&arguments, global),
        SimCommand::Validate(arguments) => validate::validate(&arguments, global),
        SimCommand::Replay(arguments) => replay::replay(&arguments, global),
        SimCommand::Whatif(arguments) => replay::whatif(&arguments, global),
        SimCommand::Sweep(arguments) => sweep::sweep(&arguments, global),
        SimCommand::Trace(TraceCommand::Info(trace)) => trace::info(&trace, global.json),
        SimCommand::Trace(TraceCommand::Convert { trace, out, skip_malformed }) => {
            trace::convert(&trace, out.as_deref(), skip_malformed)
        }
    }
}

/// Plays an allocator script, printing each step, to its end or to the first expectation that is not met.
fn allocator(script: &Path, global: &Global) -> Result<(), Failure> {
    let script = Script::parse(read(script)?)?;
    let mut printed = Ok(());
    let played = script.play(|step| {
        if printed.is_ok() {
            printed = if global.json { print_json_line(step) } else { print(&format!("{step}\n")) };
        }
    });
    printed?;
    played.map_err(|unmet| Failure::Unsuccessful(unmet.to_string()))
}

/// Says of each scenario whether it can be run.
fn check(scenarios: &[PathBuf]) -> Result<(), Failure> {
    for file in scenarios {
        let model = parse(file)?.resolve()?;
        let (jobs, tasks) = model.frameworks.iter().fold((0, 0), |(jobs, tasks), framework| {
            (jobs + framework.workload.jobs.len(), tasks + framework.workload.tasks())
        });
        let counted = [
            (model.agents.len() as u64, "agent"),
            (model.frameworks.len() as u64, "framework"),
            (jobs as u64, "job"),
            (tasks, "task"),
        ]
        .map(|(count, noun)| format!("{count} {noun}{}", if count == 1 { "" } else { "s" }));
        print(&format!("{}: right; {}\n", file.display(), counted.join(", ")))?;
    }
    Ok(())
}

fn parse(file: &Path) -> Result<Scenario, Failure> {
    Ok(Scenario::parse(&read(file)?)?)
}
