//! Runs every combination of a sweep's values.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use apportion::spec::{Document, SpecErrors};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::axis::set;
use super::{Axis, AxisError, Estimate};
use crate::digest::Digest;
use crate::engine::{Progress, RunError};
use crate::scenario::{ModelError, Scenario};

/// The axis of replicates.
const SEED: &str = "seed";

/// What depends on the machine and not on the run.
const NOT_COMPARED: [&str; 2] = ["wall_s", "events_per_s"];

/// A part of a sweep: `3/16` is the third of sixteen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// From 0.
    place: usize,
    of: usize,
}

impl Shard {
    /// All of it.
    pub const WHOLE: Shard = Shard { place: 0, of: 1 };
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is not a shard; write for example 3/16 for the third of sixteen");
        let (place, of) = text.split_once('/').ok_or_else(wrong)?;
        let (place, of): (usize, usize) = place.parse().ok().zip(of.parse().ok()).ok_or_else(wrong)?;
        if place == 0 || place > of { Err(wrong()) } else { Ok(Shard { place: place - 1, of }) }
    }
}

/// Why a sweep, or a run of it, does not work.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// An axis leads nowhere.
    #[error(transparent)]
    Axis(#[from] AxisError),
    /// With these values the scenario is wrong.
    #[error("with {values}: {errors}")]
    Scenario {
        /// What was set.
        values: String,
        /// What is wrong.
        errors: SpecErrors,
    },
    /// With these values the scenario can't be made ready.
    #[error("with {values}: {error}")]
    Model {
        /// What was set.
        values: String,
        /// Why.
        error: Box<ModelError>,
    },
    /// With these values the run can't go on.
    #[error("with {values}: {error}")]
    Run {
        /// What was set.
        values: String,
        /// Why.
        error: RunError,
    },
    /// A file can't be read or written.
    #[error("cannot use {}: {error}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// One run of a sweep.
#[derive(Clone, Debug)]
struct Point {
    /// What is set, by path.
    values: Values,
    scenario: Scenario,
    /// Tells it apart from others: the hash of the scenario with its values.
    hash: Digest,
}

/// A sweep whose runs are all known to be right.
#[derive(Clone, Debug)]
pub struct Sweep {
    points: Vec<Point>,
    paths: Vec<String>,
}

/// The numbers of a run, as they are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Kept {
    values: Values,
    metrics: BTreeMap<String, f64>,
}

/// What is set to what, by path.
pub type Values = Vec<(String, Value)>;

/// Runs that differ in their seed alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// What was set, besides the seed.
    pub values: Values,
    /// By the path of each number in a summary.
    pub metrics: BTreeMap<String, Estimate>,
}

/// What came out of a sweep.
#[derive(Clone, Debug)]
pub struct SweepResult {
    paths: Vec<String>,
    runs: Vec<Kept>,
    /// How many were run now; the others had been before.
    pub ran: usize,
}

impl Sweep {
    /// The sweep of a scenario over some axes: every combination of their values.
    ///
    /// # Errors
    /// When an axis leads nowhere, or a combination is wrong.
    pub fn new(document: &Document, axes: &[Axis]) -> Result<Self, SweepError> {
        let base: Value = document
            .parse()
            .map_err(|errors| SweepError::Scenario { values: "no values".to_owned(), errors })?;
        let mut combinations: Vec<Values> = vec![Vec::new()];
        for axis in axes {
            let with = |before: &Values| {
                let before = before.clone();
                axis.values
                    .iter()
                    .map(move |value| {
                        before.iter().cloned().chain([(axis.path.clone(), value.clone())]).collect()
                    })
                    .collect::<Vec<_>>()
            };
            combinations = combinations.iter().flat_map(with).collect();
        }
        let point = |values: Values| {
            let mut tree = base.clone();
            for (path, value) in &values {
                set(&mut tree, path, value.clone())?;
            }
            let text = tree.to_string();
            let hash = Digest::of(text.as_bytes());
            // The name says where files are; its ending, how the text is written.
            let name = Path::new(document.file_name()).with_extension("json");
            let parsed = |text| Scenario::parse(&Document::new(name.display().to_string(), text));
            let scenario = parsed(text).map_err(|errors| {
                // Mistakes are shown with their lines, which are to be short.
                let errors = parsed(format!("{tree:#}")).err().unwrap_or(errors);
                SweepError::Scenario { values: written(&values), errors }
            })?;
            Ok(Point { values, scenario, hash })
        };
        let points = combinations.into_iter().map(point).collect::<Result<_, SweepError>>()?;
        Ok(Sweep { points, paths: axes.iter().map(|axis| axis.path.clone()).collect() })
    }

    /// How many runs it has.
    pub fn len(&self) -> usize {
        self.points.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// Takes over runs of this sweep that are kept in other folders, such as those of its shards; returns how many.
    ///
    /// # Errors
    /// When a file can't be copied.
    pub fn gather(&self, folder: &Path, from: &[PathBuf]) -> Result<usize, SweepError> {
        let runs = folder.join("runs");
        let failed = |file: &Path| {
            let file = file.to_owned();
            move |error| SweepError::File { file, error }
        };
        std::fs::create_dir_all(&runs).map_err(failed(&runs))?;
        let mut gathered = 0;
        for point in self.points.iter().filter(|point| kept(&point.file(&runs)).is_none()) {
            let elsewhere = from.iter().map(|folder| point.file(&folder.join("runs")));
            if let Some(file) = elsewhere.into_iter().find(|file| kept(file).is_some()) {
                std::fs::copy(&file, point.file(&runs)).map_err(failed(&file))?;
                gathered += 1;
            }
        }
        Ok(gathered)
    }

    /// Runs a shard in parallel, keeping the numbers of each run in `folder`; those that are kept there already are not run again.
    /// `done` is called after each run.
    ///
    /// # Errors
    /// The first error of a run, or of a file.
    pub fn run(
        &self,
        folder: &Path,
        shard: Shard,
        done: impl Fn() + Sync,
    ) -> Result<SweepResult, SweepError> {
        let runs = folder.join("runs");
        std::fs::create_dir_all(&runs).map_err(|error| SweepError::File { file: runs.clone(), error })?;
        let own = self.points.iter().enumerate().filter(|(place, _)| place % shard.of == shard.place);
        let ran: Vec<bool> = own
            .collect::<Vec<_>>()
            .into_par_iter()
            .map(|(_, point)| {
                let ran = point.run_unless_kept(&runs)?;
                done();
                Ok(ran)
            })
            .collect::<Result<_, SweepError>>()?;
        let kept = self.points.iter().filter_map(|point| kept(&point.file(&runs))).collect();
        let result = SweepResult {
            paths: self.paths.clone(),
            runs: kept,
            ran: ran.into_iter().filter(|ran| *ran).count(),
        };
        result.write(folder)?;
        Ok(result)
    }
}

fn kept(file: &Path) -> Option<Kept> {
    serde_json::from_slice(&std::fs::read(file).ok()?).ok()
}

fn written(values: &[(String, Value)]) -> String {
    let each = |(path, value): &(String, Value)| format!("{path}={}", plain(value));
    values.iter().map(each).collect::<Vec<_>>().join(" ")
}

/// A value as it was typed.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

impl Point {
    fn file(&self, folder: &Path) -> PathBuf {
        folder.join(format!("{}.json", self.hash))
    }

    /// Whether it was run now.
    fn run_unless_kept(&self, folder: &Path) -> Result<bool, SweepError> {
        let file = self.file(folder);
        if kept(&file).is_some() {
            return Ok(false);
        }
        let values = || written(&self.values);
        let model = self
            .scenario
            .resolve()
            .map_err(|error| SweepError::Model { values: values(), error: Box::new(error) })?;
        let run = model
            .run(&mut Progress::silent())
            .map_err(|error| SweepError::Run { values: values(), error })?;
        let mut metrics = BTreeMap::new();
        flatten("", &serde_json::to_value(run.summary()).unwrap_or_default(), &mut metrics);
        metrics.retain(|name, _| !NOT_COMPARED.contains(&name.as_str()));
        let kept = Kept { values: self.values.clone(), metrics };
        // Written aside and renamed: what is there is whole.
        let part = file.with_extension("part");
        let text = serde_json::to_vec(&kept).unwrap_or_default();
        std::fs::write(&part, text)
            .and_then(|()| std::fs::rename(&part, &file))
            .map_err(|error| SweepError::File { file, error })?;
        Ok(true)
    }
}

/// All numbers of a tree, by their paths.
fn flatten(path: &str, value: &Value, into: &mut BTreeMap<String, f64>) {
    match value {
        Value::Object(table) => {
            for (key, value) in table {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                flatten(&path, value, into);
            }
        }
        Value::Number(number) => {
            into.extend(number.as_f64().map(|number| (path.to_owned(), number)));
        }
        _ => {}
    }
}

impl SweepResult {
    /// Each cell, in the order of its first run.
    pub fn cells(&self) -> Vec<Cell> {
        let mut groups: Vec<(Values, Vec<&Kept>)> = Vec::new();
        for run in &self.runs {
            let values: Values = run.values.iter().filter(|(path, _)| path != SEED).cloned().collect();
            match groups.iter_mut().find(|(known, _)| *known == values) {
                Some((_, runs)) => runs.push(run),
                None => groups.push((values, vec![run])),
            }
        }
        let estimate = |(values, runs): (Values, Vec<&Kept>)| {
            let names: BTreeSet<&String> = runs.iter().flat_map(|run| run.metrics.keys()).collect();
            let of = |name: &String| {
                let values: Vec<f64> = runs.iter().filter_map(|run| run.metrics.get(name).copied()).collect();
                Some((name.clone(), Estimate::of(&values)?))
            };
            Cell { values, metrics: names.into_iter().filter_map(of).collect() }
        };
        groups.into_iter().map(estimate).collect()
    }

    /// Writes `runs.csv` (a row per run, a column per axis and metric) and `cells.csv` (a row per cell and metric).
    fn write(&self, folder: &Path) -> Result<(), SweepError> {
        let names: BTreeSet<&String> = self.runs.iter().flat_map(|run| run.metrics.keys()).collect();
        let heading = self.paths.iter().chain(names.iter().copied()).cloned().collect();
        let row = |run: &Kept| {
            let values = run.values.iter().map(|(_, value)| plain(value));
            let metric = |name: &&String| run.metrics.get(*name).map_or(String::new(), f64::to_string);
            values.chain(names.iter().map(metric)).collect()
        };
        let runs = std::iter::once(heading).chain(self.runs.iter().map(row));
        write_table(&folder.join("runs.csv"), runs)?;
        let axes: Vec<&String> = self.paths.iter().filter(|path| *path != SEED).collect();
        let columns = ["metric", "n", "mean", "sd", "ci95"].map(str::to_owned);
        let heading: Vec<String> = axes.into_iter().cloned().chain(columns).collect();
        let cells = self.cells().into_iter().flat_map(|cell| {
            let values: Vec<String> = cell.values.iter().map(|(_, value)| plain(value)).collect();
            cell.metrics.into_iter().map(move |(name, of)| {
                let ci95 = if of.ci95.is_finite() { of.ci95.to_string() } else { String::new() };
                let numbers = [name, of.count.to_string(), of.mean.to_string(), of.sd.to_string(), ci95];
                values.iter().cloned().chain(numbers).collect()
            })
        });
        write_table(&folder.join("cells.csv"), std::iter::once(heading).chain(cells))?;
        let file = folder.join("sweep.html");
        let page = super::page::page(&self.cells(), self.runs.len());
        std::fs::write(&file, page).map_err(|error| SweepError::File { file, error })
    }
}

fn write_table(file: &Path, rows: impl Iterator<Item = Vec<String>>) -> Result<(), SweepError> {
    let failed = |error: io::Error| SweepError::File { file: file.to_owned(), error };
    let mut out = csv::Writer::from_path(file).map_err(|error| failed(error.into()))?;
    for row in rows {
        out.write_record(row).map_err(|error| failed(error.into()))?;
    }
    out.flush().map_err(failed)
}
