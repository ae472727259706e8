//! The command line of `apportion sim`.

use std::path::PathBuf;

use apportion_simulations::output::PlotFormat;
use apportion_simulations::replay::Setting;
use apportion_simulations::sweep::{Axis, Shard};
use apportion_simulations::traces::Format;
use apportion_simulations::values::Span;
use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum SimCommand {
    /// Run a scenario, print what came out, and write tables of it
    #[command(after_help = "\
Into the folder of --out go summary.json, manifest.json, jobs.csv, tasks.csv, roles.csv, agents.csv and report.html; on request, \
events.jsonl, the tables as Parquet, and the figures as files. The same scenario and \
seed give the same tables and the same hash of events, on any machine.

Example: apportion sim run examples/scenarios/drf.toml --json
With tables: apportion sim run examples/scenarios/drf.toml --seed 7 --out results")]
    Run(SimRunArguments),
    /// Drive the allocator alone by a script, and compare its offers to those that the script expects
    #[command(after_help = "\
Prints each step with the offers that it brought about; with --json, as one line of JSON each. Ends with exit code 1 at the \
first expectation that is not met, and tells what was expected, what was found, and why.

Example: apportion sim allocator simulations/tests/scripts/drf-unreserved.toml")]
    Allocator {
        /// The script, as TOML or JSON
        script: PathBuf,
    },
    /// Play cases whose right answers are known, and print what was expected beside what came out
    #[command(after_help = "\
The cases are from the papers on dominant-resource fairness, from queueing theory, and from published runs and traces. Ends with \
exit code 1 when anything differs.

Example: apportion sim validate
Some of them: apportion sim validate 1 22 --json
Those that take no time: apportion sim validate --quick")]
    Validate(ValidateArguments),
    /// Let an adversary crash, cut off and slow down simulated clusters, and check that nothing is lost or given twice
    #[command(after_help = "\
Each seed is a cluster of its own: the production master, agents, executors, service and batch frameworks, what is asked of them, and \
a plan of faults. Safety is checked with each step; after the last fault everything has to come to rest. When a seed fails, the \
fewest faults for which it does are looked for and told, with the last steps before the end. Ends with exit code 1 then.

Example: apportion sim faults --seeds 1000 --jobs 2
Again, exactly: apportion sim faults --seed 42")]
    Faults(FaultsArguments),
    /// Say whether scenarios are right, traces included; if not, where and what to do
    #[command(after_help = "Example: apportion sim check examples/scenarios/drf.toml")]
    Check {
        /// Scenarios, as TOML or JSON
        #[arg(required = true)]
        scenarios: Vec<PathBuf>,
    },
    /// Run a scenario for every combination of some values, in parallel
    #[command(after_help = "\
Runs that differ in their seed alone are replicates of one cell: cells.csv tells means and 95 % confidence intervals, runs.csv \
every run, and sweep.html shows the cells side by side. Interrupted, the sweep goes on where it was when it is started again.

Example: apportion sim sweep s.toml --set frameworks.0.placement=best-fit,fgd --set seed=1..20 --out results
One of four parts: apportion sim sweep s.toml --set seed=1..20 --out part2 --shard 2/4
All of them: apportion sim sweep s.toml --set seed=1..20 --out results --merge part1 part2 part3 part4")]
    Sweep(SweepArguments),
    /// Look at traces of clusters and workloads, and convert them
    #[command(subcommand)]
    Trace(TraceCommand),
    /// Play a master again from its journal, to the same decisions
    #[command(after_help = "\
The journal is what `apportion master --journal FOLDER` writes. What the master decides is compared with what it decided then; ends \
with exit code 1 at the first difference. It can be stopped at any time, and asked why a task that ran later waited then.

Example: apportion sim replay journal
Why did it wait: apportion sim replay journal --until 90s --why nightly-1.merge.0.1")]
    Replay(ReplayArguments),
    /// Go on from a master's journal with another weight, quota, or more agents
    #[command(after_help = "\
The cluster is taken over as it was at a time, with the tasks that ran and those that came later, for as long as they ran. It is \
simulated as it was and with what is changed; both are printed side by side. Paths lead into the scenario that --scenario prints, \
with roles by name.

Example: apportion sim whatif journal --set roles.web.weight=2
More agents, from a time on: apportion sim whatif journal --from 1h --set agents.0.count=20 --out results")]
    Whatif(WhatIfArguments),
}

/// Which journal.
#[derive(Debug, Args)]
pub(crate) struct JournalArguments {
    /// The journal's folder, or a file in it
    #[arg(value_name = "JOURNAL")]
    pub(crate) path: PathBuf,
    /// Which start of the master, from 1 [default: the last, or that of the file]
    #[arg(long, value_name = "N")]
    pub(crate) start: Option<usize>,
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArguments {
    #[command(flatten)]
    pub(crate) journal: JournalArguments,
    /// Stop at this time from the master's start, such as 90s [default: at the end]
    #[arg(long, value_name = "DURATION")]
    pub(crate) until: Option<Span>,
    /// Say why this task did not run then
    #[arg(long, value_name = "TASK")]
    pub(crate) why: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct WhatIfArguments {
    #[command(flatten)]
    pub(crate) journal: JournalArguments,
    /// Go on from this time after the master's start [default: just before the first task was launched]
    #[arg(long, value_name = "DURATION")]
    pub(crate) from: Option<Span>,
    /// What is to be otherwise, such as roles.web.weight=2; may be repeated
    #[arg(long = "set", value_name = "PATH=VALUE", required_unless_present = "scenario")]
    pub(crate) settings: Vec<Setting>,
    /// Write tables and reports of both runs into this folder
    #[arg(long, value_name = "FOLDER")]
    pub(crate) out: Option<PathBuf>,
    /// Print the scenario that is made of the journal, and run nothing
    #[arg(long, conflicts_with_all = ["settings", "out"])]
    pub(crate) scenario: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SweepArguments {
    /// The scenario, as TOML or JSON
    pub(crate) scenario: PathBuf,
    /// What to set to what: path=value,value or path=first..last; may be repeated. A path leads into the scenario: keys, and of lists
    /// places from 0 or names
    #[arg(long = "set", value_name = "PATH=VALUES", required = true)]
    pub(crate) axes: Vec<Axis>,
    /// Keep runs and write tables in this folder
    #[arg(long, value_name = "FOLDER")]
    pub(crate) out: PathBuf,
    /// Run only this part, such as 3/16
    #[arg(long, default_value = "1/1")]
    pub(crate) shard: Shard,
    /// Take over what is kept in these folders of the same sweep, such as those of its shards on other machines
    #[arg(long, value_name = "FOLDER", num_args = 1..)]
    pub(crate) merge: Vec<PathBuf>,
    /// Run so many at a time [default: one per core]
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<usize>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TraceCommand {
    /// Say what a trace holds, and which of its lines can't be read
    #[command(after_help = "Example: apportion sim trace info log.swf.gz")]
    Info(TraceArguments),
    /// Convert a trace to the table that the simulator documents, as CSV or, for a file that ends with .parquet, as Parquet
    #[command(after_help = "Example: apportion sim trace convert log.swf.gz --out jobs.csv --skip-malformed")]
    Convert {
        #[command(flatten)]
        trace: TraceArguments,
        /// Where to write the table [default: standard output]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Leave out lines that can't be read, instead of refusing the trace
        #[arg(long)]
        skip_malformed: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct TraceArguments {
    /// The trace; gzip is unpacked
    pub(crate) file: PathBuf,
    /// Its format [default: as its name and first lines say]
    #[arg(long, value_parser = trace_format)]
    pub(crate) format: Option<Format>,
}

#[derive(Debug, Args)]
pub(crate) struct SimRunArguments {
    /// The scenario, as TOML or JSON
    pub(crate) scenario: PathBuf,
    /// Seed random numbers with this instead of the scenario's seed
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Write summary, manifest, tables and a report into this folder
    #[arg(long, value_name = "FOLDER")]
    pub(crate) out: Option<PathBuf>,
    /// The length of the intervals of roles.csv, agents.csv and the report's charts, such as 10s [default: that of the scenario, or
    /// about a two-hundredth of the run]
    #[arg(long, value_name = "DURATION", requires = "out")]
    pub(crate) interval: Option<Span>,
    /// Write events.jsonl too: what happened to jobs and tasks, a line each
    #[arg(long, requires = "out")]
    pub(crate) events: bool,
    /// Write the tables as Parquet too
    #[arg(long, requires = "out")]
    pub(crate) parquet: bool,
    /// Write each figure of the report as a file too: svg or png
    #[arg(long, value_name = "FORMAT", requires = "out", value_parser = plot_format)]
    pub(crate) plot: Option<PlotFormat>,
}

/// What `sim faults` runs.
#[derive(Debug, Args)]
pub(crate) struct FaultsArguments {
    /// Run so many seeds
    #[arg(long, value_name = "N", default_value_t = 100, conflicts_with = "seed")]
    pub(crate) seeds: u64,
    /// Begin with this seed
    #[arg(long, value_name = "SEED", default_value_t = 1, conflicts_with = "seed")]
    pub(crate) first: u64,
    /// Run this seed alone; the same one is the same run
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Print the last steps of the seed, also when it does not fail
    #[arg(long, requires = "seed")]
    pub(crate) trace: bool,
    /// Run so many at a time [default: one per core]
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<usize>,
}

/// What `sim validate` plays.
#[derive(Debug, Args)]
pub(crate) struct ValidateArguments {
    /// Numbers of cases; all by default
    pub(crate) cases: Vec<String>,
    /// Leave out cases that take longer than about a second
    #[arg(long)]
    pub(crate) quick: bool,
    /// Play those too that take longer than about ten seconds
    #[arg(long, conflicts_with = "quick")]
    pub(crate) long: bool,
}

fn plot_format(text: &str) -> Result<PlotFormat, String> {
    match text {
        "svg" => Ok(PlotFormat::Svg),
        "png" => Ok(PlotFormat::Png),
        _ => Err("it is 'svg' or 'png'".to_owned()),
    }
}

fn trace_format(text: &str) -> Result<Format, String> {
    let known: Vec<&str> = Format::ALL.into_iter().map(Format::as_str).collect();
    Format::named(text).ok_or_else(|| format!("known are {}", known.join(", ")))
}
