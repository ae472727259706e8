//! `apportion sim faults`: simulated clusters under an adversary.

use std::sync::atomic::{AtomicU64, Ordering};

use apportion_simulations::faults::{self, Failure as Broken, Outcome, Tally, Trial};
use indicatif::{ProgressBar, ProgressDrawTarget};
use serde::Serialize;
use serde_json::json;

use crate::arguments::{FaultsArguments, Global};
use crate::failure::Failure;
use crate::output::{note, print, print_json};

/// So many of the seeds that failed are looked into.
const FAILURES_EXPLAINED: usize = 3;

/// What is printed as JSON of many seeds.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    tally: &'a Tally,
    failures: &'a [Broken],
}

/// Runs seeds and prints what they add up to; of those that fail, why.
pub(crate) fn faults(arguments: &FaultsArguments, global: &Global) -> Result<(), Failure> {
    match arguments.seed {
        Some(seed) => one(seed, arguments.trace, global),
        None => many(arguments, global),
    }
}

fn many(arguments: &FaultsArguments, global: &Global) -> Result<(), Failure> {
    let threads = rayon::ThreadPoolBuilder::new().num_threads(arguments.jobs.unwrap_or(0)).build();
    let threads = threads.map_err(|error| Failure::Unsuccessful(format!("cannot start threads: {error}")))?;
    let bar = ProgressBar::new(arguments.seeds);
    if global.quiet {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    let seeds = arguments.first..arguments.first.saturating_add(arguments.seeds);
    let struck = AtomicU64::new(0);
    let tally = threads.install(|| {
        faults::run_all(seeds, |outcome| {
            let struck_now: u64 = outcome.injected.values().sum();
            let struck = struck.fetch_add(struck_now, Ordering::Relaxed) + struck_now;
            if let Some(violation) = &outcome.violation {
                bar.suspend(|| note(format!("seed {} failed {violation}", outcome.seed)));
            }
            bar.set_message(format!("{struck} faults"));
            bar.inc(1);
        })
    });
    bar.finish_and_clear();
    let failures: Vec<Broken> =
        tally.failed.iter().take(FAILURES_EXPLAINED).filter_map(|seed| Trial::of(*seed).minimise()).collect();
    if global.json {
        print_json(&Report { tally: &tally, failures: &failures })?;
    } else {
        print(&tally.to_string())?;
        failures.iter().try_for_each(explain)?;
    }
    verdict(&tally.failed)
}

fn one(seed: u64, is_traced: bool, global: &Global) -> Result<(), Failure> {
    let trial = Trial::of(seed);
    let outcome = if is_traced { trial.run_traced() } else { trial.run() };
    let mut tally = Tally::default();
    tally.add(&outcome);
    let failure = if outcome.violation.is_some() { trial.minimise() } else { None };
    let Outcome { digest, trace, .. } = &outcome;
    if global.json {
        print_json(&json!({ "tally": tally, "digest": digest, "trace": trace, "failure": failure }))?;
    } else {
        print(&trace.iter().map(|line| format!("{line}\n")).collect::<String>())?;
        print(&format!("{tally}events {digest}\n"))?;
        failure.iter().try_for_each(explain)?;
    }
    verdict(&tally.failed)
}

fn verdict(failed: &[u64]) -> Result<(), Failure> {
    let Some(first) = failed.first() else { return Ok(()) };
    Err(Failure::Unsuccessful(format!(
        "{} seeds failed, the first of them {first}; `apportion sim faults --seed {first}` runs it again",
        failed.len()
    )))
}

fn explain(failure: &Broken) -> Result<(), Failure> {
    let Broken { seed, violation, faults, prefix, needed, minimised, trace } = failure;
    let mut text = format!(
        "\nseed {seed} failed {violation}\nThe first {prefix} of its {faults} faults suffice; of these are needed:\n"
    );
    for fault in needed {
        text += &format!("  {fault}\n");
    }
    text += &format!("With them it fails {minimised}\nThe last that happened:\n");
    for line in trace {
        text += &format!("{line}\n");
    }
    print(&text)
}
