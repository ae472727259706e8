//! `apportion sim run`: one scenario.

use std::io::IsTerminal;
use std::time::Instant;

use apportion_simulations::Progress;
use apportion_simulations::output::Extras;
use apportion_simulations::scenario::Model;
use apportion_simulations::values::Span;
use indicatif::{ProgressBar, ProgressStyle};

use super::parse;
use crate::arguments::{Global, SimRunArguments};
use crate::failure::Failure;
use crate::output::{print, print_json};

const SECOND: u64 = 1_000_000_000;

/// Runs a scenario, prints its summary, and writes its tables where it is asked to.
pub(crate) fn run(arguments: &SimRunArguments, global: &Global) -> Result<(), Failure> {
    let mut scenario = parse(&arguments.scenario)?;
    scenario.seed = arguments.seed.unwrap_or(scenario.seed);
    scenario.output.interval = arguments.interval.or(scenario.output.interval);
    let model = scenario.resolve()?;
    for input in model.inputs.iter().filter(|input| input.skipped_lines > 0) {
        tracing::warn!(file = %input.file.display(), lines = input.skipped_lines, "malformed lines were left out");
    }
    let horizon = horizon(&model);
    let bar = bar(global.quiet, horizon);
    let started = Instant::now();
    let run = model.run(&mut Progress::new(|now, events| {
        let per_second = events as f64 / started.elapsed().as_secs_f64().max(1e-9);
        let virtual_s = now.as_nanos() / SECOND;
        bar.set_message(format!(
            "{virtual_s} s of virtual time, {events} events, {per_second:.0} per second"
        ));
        bar.set_position(virtual_s.min(horizon));
    }))?;
    bar.finish_and_clear();
    if let Some(folder) = &arguments.out {
        let (events, parquet, plots) = (arguments.events, arguments.parquet, arguments.plot);
        run.write_with(folder, Extras { events, parquet, plots })?;
    }
    if global.json {
        print_json(run.summary())?
    } else {
        print(&run.summary().to_string())?
    }
    // The process ends: the system takes all memory back at once, where dropping millions of tasks would take a while.
    std::mem::forget(run);
    Ok(())
}

/// The virtual second by which a bar is full: the end of the run where that is known, otherwise that of the last arrival.
fn horizon(model: &Model) -> u64 {
    let arrivals = model.frameworks.iter().filter_map(|framework| framework.workload.jobs.last());
    let last = arrivals.map(|job| job.at.as_nanos()).max().unwrap_or_default();
    model.until.map_or(last, Span::nanos).div_ceil(SECOND)
}

/// A bar of one line over the seconds of virtual time, or where these are not known a sign that something goes on.
fn bar(quiet: bool, horizon: u64) -> ProgressBar {
    if quiet || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match horizon {
        0 => (ProgressBar::new_spinner(), "{spinner} {wide_msg}"),
        horizon => (ProgressBar::new(horizon), "[{bar:16}] {wide_msg}"),
    };
    // The templates are constants that parse; the default style is as good as an error here.
    bar.with_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()))
}
