//! Writes a run into a folder.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::{Manifest, events, report, tables};
use crate::charts::Figure;
use crate::metrics::Timeline;
use crate::run::Run;

/// Why a run can't be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {error}", file.display())]
pub struct OutputError {
    /// The file or folder.
    pub file: PathBuf,
    /// Why.
    pub error: io::Error,
}

/// What a figure is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlotFormat {
    /// Which follows whether its reader prefers light or dark.
    Svg,
    /// Light, by the fonts of this machine.
    #[cfg(feature = "png")]
    Png,
}

/// What is written besides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extras {
    /// `events.jsonl`.
    pub events: bool,
    /// The tables as Parquet too.
    #[cfg(feature = "parquet")]
    pub parquet: bool,
    /// Each figure of the report as a file of its own, in the folder `plots`.
    pub plots: Option<PlotFormat>,
}

impl Run {
    /// Writes summary, manifest and tables into a folder, which is made when it is not there.
    ///
    /// # Errors
    /// When the folder or a file can't be written.
    pub fn write(&self, folder: &Path) -> Result<(), OutputError> {
        self.write_with(folder, Extras::default())
    }

    /// The same, and more.
    ///
    /// # Errors
    /// When the folder or a file can't be written.
    pub fn write_with(&self, folder: &Path, extras: Extras) -> Result<(), OutputError> {
        std::fs::create_dir_all(folder).map_err(|error| OutputError { file: folder.to_owned(), error })?;
        let jobs = |out: &mut dyn Write| tables::jobs(out, self.model(), self.jobs());
        let tasks = |out: &mut dyn Write| tables::tasks(out, self.model(), self.record());
        // What takes long goes on side by side; each file is written by one.
        let (timeline, written) = rayon::join(
            || Timeline::of(self.model(), self.record(), true),
            || write_tables(folder, extras, &[("jobs", &jobs), ("tasks", &tasks)]),
        );
        written?;
        let roles = |out: &mut dyn Write| tables::roles(out, &timeline);
        let agents = |out: &mut dyn Write| tables::agents(out, self.model(), &timeline);
        let (written, reported) = rayon::join(
            || write_tables(folder, extras, &[("roles", &roles), ("agents", &agents)]),
            || self.write_report(folder, &timeline),
        );
        written.and(reported)?;
        if extras.events {
            write_file(folder, "events.jsonl", |out| events::write(out, self.model(), self.record()))?;
        }
        if let Some(format) = extras.plots {
            let plots = folder.join("plots");
            std::fs::create_dir_all(&plots).map_err(|error| OutputError { file: plots.clone(), error })?;
            for figure in report::figures(self, &timeline) {
                write_plot(&plots, &figure, format)?;
            }
        }
        Ok(())
    }

    fn write_report(&self, folder: &Path, timeline: &Timeline) -> Result<(), OutputError> {
        let (summary, manifest) = (self.summary_by(timeline), Manifest::new(self.model(), self.record()));
        write_file(folder, "summary.json", |out| write_json(out, summary))?;
        write_file(folder, "manifest.json", |out| write_json(out, &manifest))?;
        write_file(folder, "report.html", |out| report::write(out, self, timeline))
    }
}

/// Writes a table as CSV.
type WriteTable<'a> = dyn Fn(&mut dyn Write) -> io::Result<()> + Sync + 'a;

/// Writes tables, by their names, side by side.
#[cfg_attr(not(feature = "parquet"), expect(unused_variables, reason = "extras of tables are Parquet"))]
fn write_tables(
    folder: &Path,
    extras: Extras,
    tables: &[(&str, &WriteTable<'_>)],
) -> Result<(), OutputError> {
    tables.par_iter().try_for_each(|(name, write)| {
        write_file(folder, &format!("{name}.csv"), |out| write(out))?;
        #[cfg(feature = "parquet")]
        if extras.parquet {
            write_file(folder, &format!("{name}.parquet"), |out| write_parquet(out, *write))?;
        }
        Ok(())
    })
}

#[cfg(feature = "parquet")]
fn write_parquet(out: &mut dyn Write, write: &WriteTable<'_>) -> io::Result<()> {
    let mut table = Vec::new();
    write(&mut table)?;
    out.write_all(&crate::columnar::from_csv(&table).map_err(io::Error::other)?)
}

fn write_plot(folder: &Path, figure: &Figure, format: PlotFormat) -> Result<(), OutputError> {
    let name = &figure.name;
    match format {
        PlotFormat::Svg => {
            write_file(folder, &format!("{name}.svg"), |out| out.write_all(figure.svg(true).as_bytes()))
        }
        #[cfg(feature = "png")]
        PlotFormat::Png => {
            write_file(folder, &format!("{name}.png"), |out| out.write_all(&crate::charts::png(figure)?))
        }
    }
}

fn write_file(
    folder: &Path,
    name: &str,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), OutputError> {
    let file = folder.join(name);
    let written = File::create(&file).and_then(|open| {
        let mut out = BufWriter::new(open);
        write(&mut out)?;
        out.flush()
    });
    written.map_err(|error| OutputError { file, error })
}

fn write_json(out: &mut dyn Write, value: &impl serde::Serialize) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)
}
