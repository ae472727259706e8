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
//! | `google2011` | yes | yes | Google's cluster of 2011: `task_events`, `machine_events` |
//! | `google2019` | yes | yes | Google's Borg cells of 2019: `instance_events`, `machine_events` |
//! | `alibaba2018` | yes | yes | Alibaba's cluster of 2018: `batch_task`, `container_meta`, `machine_meta` |
//! | `azure-packing` | yes | | Azure's virtual machines of 2020 |
//!
//! [`W100k`] is a synthetic workload, made here.
//!
//! Our own tables may be Parquet too (feature `parquet`).
//!
//! A reader turns each line into a [`TraceJob`] or a [`TraceNode`]. A line that it can't read is never guessed at: it is told
//! with its number, and refused or skipped as the caller asks ([`Malformed`]).

mod alibaba2018;
mod azure;
mod batsim;
mod error;
mod events;
mod format;
mod google2011;
mod google2019;
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
pub use format::Format;
pub use info::{JobsInfo, NodesInfo};
pub use job::{TraceJob, TraceNode};
pub use w100k::W100k;

/// What becomes of lines that can't be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
    /// Reads a file. One of Parquet is read as the table of our own that it holds.
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
        #[cfg(feature = "parquet")]
        if bytes.starts_with(crate::columnar::MAGIC) {
            bytes = crate::columnar::to_csv(bytes)
                .map_err(|error| TraceError::Columnar { file: name.clone(), error })?;
        }
        Ok(Self::from_bytes(name, bytes))
    }

    /// A trace that is in memory already. A mark of UTF-8 at its beginning, as spreadsheets write it, is no part of it.
    pub fn from_bytes(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        const MARK: &[u8] = "\u{feff}".as_bytes();
        let mut bytes = bytes.into();
        if bytes.starts_with(MARK) {
            bytes.drain(..MARK.len());
        }
        TraceFile { name: name.into(), bytes }
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
        Format::guess(Path::new(&self.name), &self.start())
    }

    /// Whether it describes nodes rather than jobs: their tables begin otherwise.
    pub fn holds_nodes(&self, format: Format) -> bool {
        format.holds_nodes(&self.start())
    }

    /// Headings and comments stand at the beginning.
    fn start(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes[..self.bytes.len().min(4096)])
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
            Format::Google2011 => Ok(google2011::jobs(self)),
            Format::Google2019 => Ok(google2019::jobs(self)),
            Format::Alibaba2018 => Ok(alibaba2018::jobs(self)),
            Format::AzurePacking => azure::jobs(self),
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
            Format::Google2011 => Ok(google2011::nodes(self)),
            Format::Google2019 => Ok(google2019::nodes(self)),
            Format::Alibaba2018 => Ok(alibaba2018::nodes(self)),
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
