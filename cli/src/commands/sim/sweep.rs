//! `apportion sim sweep`: a scenario for every combination of some values.

use apportion_simulations::sweep::{Cell, Estimate, Sweep};
use indicatif::{ProgressBar, ProgressDrawTarget};
use serde_json::{Map, json};

use crate::arguments::{Global, SweepArguments};
use crate::commands::read;
use crate::failure::Failure;
use crate::output::{print, print_json, print_table};

/// The metrics that are printed; the tables have all.
const PRINTED: [&str; 5] = ["wait_s.mean", "jct_s.mean", "makespan_s", "jain_index", "fragmentation"];

/// Runs a sweep, or a part of it, and prints its cells.
pub(crate) fn sweep(arguments: &SweepArguments, global: &Global) -> Result<(), Failure> {
    let sweep = Sweep::new(&read(&arguments.scenario)?, &arguments.axes)?;
    let threads = rayon::ThreadPoolBuilder::new().num_threads(arguments.jobs.unwrap_or(0)).build();
    let threads = threads.map_err(|error| Failure::Unsuccessful(format!("cannot start threads: {error}")))?;
    let bar = ProgressBar::new(sweep.len() as u64);
    if global.quiet {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    sweep.gather(&arguments.out, &arguments.merge)?;
    let result = threads.install(|| sweep.run(&arguments.out, arguments.shard, || bar.inc(1)))?;
    bar.finish_and_clear();
    let cells = result.cells();
    if global.json {
        let cell = |cell: &Cell| {
            let metric = |(name, of): (&String, &Estimate)| {
                let ci95 = of.ci95.is_finite().then_some(of.ci95);
                (name.clone(), json!({ "n": of.count, "mean": of.mean, "sd": of.sd, "ci95": ci95 }))
            };
            let metrics: Map<_, _> = cell.metrics.iter().map(metric).collect();
            let values: Map<_, _> = cell.values.iter().cloned().collect();
            json!({ "values": values, "metrics": metrics })
        };
        return print_json(&cells.iter().map(cell).collect::<Vec<_>>());
    }
    let rows = cells.iter().map(|Cell { values, metrics }| {
        let values: Vec<String> = values.iter().map(|(path, value)| format!("{path}={value}")).collect();
        let mut row = [const { String::new() }; PRINTED.len() + 2];
        row[0] = if values.is_empty() { "all".to_owned() } else { values.join(" ") };
        row[1] = metrics.get(PRINTED[0]).map_or(String::new(), |of| of.count.to_string());
        for (cell, name) in row[2..].iter_mut().zip(PRINTED) {
            *cell = metrics.get(name).map_or(String::new(), |of| {
                if of.ci95.is_finite() {
                    format!("{:.4} ± {:.4}", of.mean, of.ci95)
                } else {
                    format!("{:.4}", of.mean)
                }
            });
        }
        row
    });
    let [a, b, c, d, e] = PRINTED;
    print_table(["cell", "runs", a, b, c, d, e], rows.collect(), "no runs")?;
    print(&format!(
        "{} of {} runs were made now; tables are in {}\n",
        result.ran,
        sweep.len(),
        arguments.out.display()
    ))
}
