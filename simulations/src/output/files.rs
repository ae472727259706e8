//! Writes a run into a folder.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::{Manifest, report, tables};
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

impl Run {
    /// Writes summary, manifest and tables into a folder, which is made when it is not there.
    ///
    /// # Errors
    /// When the folder or a file can't be written.
    pub fn write(&self, folder: &Path) -> Result<(), OutputError> {
        std::fs::create_dir_all(folder).map_err(|error| OutputError { file: folder.to_owned(), error })?;
        let timeline = Timeline::of(self.model(), self.record(), true);
        let manifest = Manifest::new(self.model(), self.record());
        write_file(folder, "summary.json", |out| write_json(out, self.summary()))?;
        write_file(folder, "manifest.json", |out| write_json(out, &manifest))?;
        write_file(folder, "jobs.csv", |out| tables::jobs(out, self.model(), self.jobs()))?;
        write_file(folder, "tasks.csv", |out| tables::tasks(out, self.model(), self.record()))?;
        write_file(folder, "roles.csv", |out| tables::roles(out, &timeline))?;
        write_file(folder, "agents.csv", |out| tables::agents(out, self.model(), &timeline))?;
        write_file(folder, "report.html", |out| report::write(out, self, &timeline))
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
