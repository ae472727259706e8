//! `apportion sim`: clusters in virtual time.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Instant;

use apportion_simulations::output::Extras;
use apportion_simulations::script::Script;
use apportion_simulations::{Progress, Scenario};
use indicatif::{ProgressBar, ProgressStyle};

use super::read;
use crate::arguments::{Global, SimRunArguments};
use crate::failure::Failure;
use crate::output::{print, print_json, print_json_line};

/// Runs a scenario, prints its summary, and writes its tables where it is asked to.
pub(crate) fn run(arguments: &SimRunArguments, global: &Global) -> Result<(), Failure> {
    let mut scenario = parse(&arguments.scenario)?;
    scenario.seed = arguments.seed.unwrap_or(scenario.seed);
    let model = scenario.resolve()?;
    for input in model.inputs.iter().filter(|input| input.skipped_lines > 0) {
        tracing::warn!(file = %input.file.display(), lines = input.skipped_lines, "malformed lines were left out");
    }
    let bar = bar(global.quiet);
    let started = Instant::now();
    let run = model.run(&mut Progress::new(|now, events| {
        let per_second = events as f64 / started.elapsed().as_secs_f64().max(1e-9);
        let virtual_s = now.as_nanos() / 1_000_000_000;
        bar.set_message(format!(
            "{virtual_s} s of virtual time, {events} events, {per_second:.0} per second"
        ));
        bar.tick();
    }))?;
    bar.finish_and_clear();
    if let Some(folder) = &arguments.out {
        let (events, parquet, plots) = (arguments.events, arguments.parquet, arguments.plot);
        run.write_with(folder, Extras { events, parquet, plots })?;
    }
    if global.json { print_json(run.summary()) } else { print(&run.summary().to_string()) }
}

/// Plays an allocator script, printing each step, to its end or to the first expectation that is not met.
pub(crate) fn allocator(script: &Path, global: &Global) -> Result<(), Failure> {
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
pub(crate) fn check(scenarios: &[PathBuf]) -> Result<(), Failure> {
    for file in scenarios {
        let model = parse(file)?.resolve()?;
        let (jobs, tasks) = model.frameworks.iter().fold((0, 0), |(jobs, tasks), framework| {
            (jobs + framework.workload.jobs.len(), tasks + framework.workload.tasks())
        });
        print(&format!(
            "{}: right; {} agents, {} frameworks, {jobs} jobs, {tasks} tasks\n",
            file.display(),
            model.agents.len(),
            model.frameworks.len(),
        ))?;
    }
    Ok(())
}

fn parse(file: &Path) -> Result<Scenario, Failure> {
    Ok(Scenario::parse(&read(file)?)?)
}

fn bar(quiet: bool) -> ProgressBar {
    if quiet || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} {elapsed} {msg}");
    // The template is a constant that parses; the default style is as good as an error here.
    ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
}
