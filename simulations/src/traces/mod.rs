//! Traces of real clusters and workloads, and the one table that they are read into.
//!
//! | format | jobs | nodes | what it is |
//! | --- | --- | --- | --- |
//! | `csv` | yes | yes | this project's own table ([`table`]); others are converted to it |
//! | `openb` | yes | yes | Alibaba's GPU cluster of 2023 |
//! | `swf` | yes | | the Standard Workload Format of the Parallel Workloads Archive |
//! | `swim` | yes | | Facebook's Hadoop workloads of 2009 and 2010 |
//! | `philly` | yes | | Microsoft's deep-learning cluster of 2017, condensed to one row per job |
//! | `batsim` | yes | | workloads of the Batsim simulator: JSON with delay profiles |
//!
//! [`W100k`] is a synthetic workload, made here.
//!
//! A reader turns each line into a [`TraceJob`] or a [`TraceNode`]. A line that it can't read is never guessed at: it is told
//! with its number, and refused or skipped as the caller asks ([`Malformed`]).

mod batsim;
mod error;
mod info;
mod job;
mod openb;
mod philly;
mod reader;
mod swf;
mod swim;
pub mod table;
mod w100k;

use std::path::Path;

use serde::{Deserialize, Serialize};

pub use error::{LineError, Problem, TraceError};
pub use info::{JobsInfo, NodesInfo};
pub use job::{GpuRequest, TraceJob, TraceNode};
pub use w100k::W100k;

/// A format of traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// This project's own table.
    #[serde(alias = "w100k")]
    Csv,
    /// Alibaba's GPU cluster of 2023.
    Openb,
    /// The Standard Workload Format.
    Swf,
    /// Facebook's Hadoop workloads.
    Swim,
    /// Microsoft's Philly cluster.
    Philly,
    /// Batsim's JSON.
    Batsim,
}

impl Format {
    /// All formats.
    pub const ALL: [Format; 6] =
        [Format::Csv, Format::Openb, Format::Swf, Format::Swim, Format::Philly, Format::Batsim];

    /// As scenarios write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Format::Csv => "csv",
            Format::Openb => "openb",
            Format::Swf => "swf",
            Format::Swim => "swim",
            Format::Philly => "philly",
            Format::Batsim => "batsim",
        }
    }

    /// The format of that name.
    pub fn named(name: &str) -> Option<Format> {
        Format::ALL.into_iter().find(|format| format.as_str() == name)
    }

    /// The format that a file's name and first lines speak of.
    pub fn guess(path: &Path, text: &str) -> Option<Format> {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        let name = name.strip_suffix(".gz").unwrap_or(&name);
        let first = text.lines().next().unwrap_or_default();
        let begins = |start: &str| first.starts_with(start);
        if name.ends_with(".swf") || begins(";") {
            Some(Format::Swf)
        } else if name.ends_with(".json") || text.trim_start().starts_with('{') {
            Some(Format::Batsim)
        } else if begins("name,cpu_milli,") || begins("sn,cpu_milli,") {
            Some(Format::Openb)
        } else if begins("timestamp,duration,num_gpus") {
            Some(Format::Philly)
        } else if name.ends_with(".tsv") || first.split('\t').count() == 6 {
            Some(Format::Swim)
        } else if begins("job_id,") || begins("node_id,") {
            Some(Format::Csv)
        } else {
            None
        }
    }
}

/// What becomes of lines that can't be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Malformed {
    /// The whole file is refused; the error names the first ones.
    #[default]
    Refuse,
    /// They are left out, and counted.
    Skip,
}

/// What was read: the rows, and the lines that were left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace<T> {
    /// In the order of the file.
    pub rows: Vec<T>,
    /// Lines that could not be read; empty unless skipping was asked for.
    pub skipped: Vec<LineError>,
}

/// A trace file in memory, with its name for errors. Files that are compressed by gzip are decompressed.
#[derive(Clone, Debug)]
pub struct TraceFile {
    name: String,
    bytes: Vec<u8>,
}

impl TraceFile {
    /// Reads a file.
    ///
    /// # Errors
    /// When it can't be read or decompressed.
    pub fn open(path: &Path) -> Result<Self, TraceError> {
        let name = path.display().to_string();
        let unreadable = |error: std::io::Error| TraceError::Unreadable { file: name.clone(), error };
        Self::decompress(name.clone(), std::fs::read(path).map_err(unreadable)?)
    }

    /// A trace that is in memory, compressed or not.
    ///
    /// # Errors
    /// When it can't be decompressed.
    pub fn decompress(name: impl Into<String>, mut bytes: Vec<u8>) -> Result<Self, TraceError> {
        let name = name.into();
        if bytes.starts_with(&[0x1f, 0x8b]) {
            let mut plain = Vec::new();
            std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(&bytes[..]), &mut plain)
                .map_err(|error| TraceError::Unreadable { file: name.clone(), error })?;
            bytes = plain;
        }
        Ok(TraceFile { name, bytes })
    }

    /// A trace that is in memory already.
    pub fn from_bytes(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        TraceFile { name: name.into(), bytes: bytes.into() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is in it, decompressed.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The format that its name and first lines speak of.
    pub fn guess(&self) -> Option<Format> {
        // Headings and comments stand at the beginning.
        let start = &self.bytes[..self.bytes.len().min(4096)];
        Format::guess(Path::new(&self.name), &String::from_utf8_lossy(start))
    }

    /// Whether it describes nodes rather than jobs: their tables begin otherwise.
    pub fn holds_nodes(&self) -> bool {
        self.bytes.starts_with(b"sn,") || self.bytes.starts_with(b"node_id,")
    }

    /// Reads it as jobs.
    ///
    /// # Errors
    /// When it is not of that format at all; and, unless they are to be skipped, when lines can't be read.
    pub fn jobs(&self, format: Format, malformed: Malformed) -> Result<Trace<TraceJob>, TraceError> {
        let rows = match format {
            Format::Csv => table::jobs(self),
            Format::Openb => openb::jobs(self),
            Format::Swf => swf::jobs(self),
            Format::Swim => swim::jobs(self),
            Format::Philly => philly::jobs(self),
            Format::Batsim => batsim::jobs(self),
        }?;
        self.decide(rows, malformed)
    }

    /// Reads it as nodes of a cluster.
    ///
    /// # Errors
    /// As [`TraceFile::jobs`], and when the format does not know nodes.
    pub fn nodes(&self, format: Format, malformed: Malformed) -> Result<Trace<TraceNode>, TraceError> {
        let rows = match format {
            Format::Csv => table::nodes(self),
            Format::Openb => openb::nodes(self),
            _ => Err(TraceError::NoNodes { format: format.as_str() }),
        }?;
        self.decide(rows, malformed)
    }

    fn decide<T>(
        &self,
        rows: Vec<Result<T, LineError>>,
        malformed: Malformed,
    ) -> Result<Trace<T>, TraceError> {
        let (mut read, mut skipped) = (Vec::with_capacity(rows.len()), Vec::new());
        for row in rows {
            match row {
                Ok(row) => read.push(row),
                Err(error) => skipped.push(error),
            }
        }
        if malformed == Malformed::Refuse && !skipped.is_empty() {
            return Err(TraceError::Malformed { file: self.name.clone(), lines: skipped });
        }
        Ok(Trace { rows: read, skipped })
    }
}
