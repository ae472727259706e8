//! `apportion sim trace`: traces of clusters and workloads.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use apportion_simulations::columnar;
use apportion_simulations::traces::{Format, JobsInfo, Malformed, NodesInfo, TraceError, TraceFile, table};

use crate::arguments::TraceArguments;
use crate::failure::Failure;
use crate::output::{print, print_json};

/// Says what a trace holds.
pub(crate) fn info(arguments: &TraceArguments, json: bool) -> Result<(), Failure> {
    let (trace, format) = open(arguments)?;
    if trace.holds_nodes(format) {
        let info = NodesInfo::of(&trace.nodes(format, Malformed::Skip)?);
        return if json { print_json(&info) } else { print(&format!("{}: {info}", format.as_str())) };
    }
    let info = JobsInfo::of(&trace.jobs(format, Malformed::Skip)?);
    if json { print_json(&info) } else { print(&format!("{}: {info}", format.as_str())) }
}

/// Converts a trace to our own table.
pub(crate) fn convert(arguments: &TraceArguments, out: Option<&Path>, skip: bool) -> Result<(), Failure> {
    let (trace, format) = open(arguments)?;
    let malformed = if skip { Malformed::Skip } else { Malformed::Refuse };
    let mut written = Vec::new();
    let skipped = if trace.holds_nodes(format) {
        let nodes = trace.nodes(format, malformed).map_err(refused)?;
        table::write_nodes(&mut written, &nodes.rows)?;
        nodes.skipped
    } else {
        let jobs = trace.jobs(format, malformed).map_err(refused)?;
        table::write_jobs(&mut written, &jobs.rows)?;
        jobs.skipped
    };
    if !skipped.is_empty() {
        tracing::warn!(file = trace.name(), lines = skipped.len(), first = %skipped[0], "malformed lines were left out");
    }
    if out.is_some_and(|file| file.extension().is_some_and(|ending| ending == "parquet")) {
        written = columnar::from_csv(&written)?;
    }
    let Some(file) = out else { return print(&String::from_utf8_lossy(&written)) };
    let write = || -> io::Result<()> {
        let mut out = BufWriter::new(File::create(file)?);
        out.write_all(&written)?;
        out.flush()
    };
    write().map_err(|error| Failure::Unwritable { file: file.to_owned(), error })
}

/// A trace that can't be read, and what to do about it.
fn refused(error: TraceError) -> Failure {
    match error {
        TraceError::Malformed { .. } => {
            Failure::Usage(format!("{error}; --skip-malformed leaves such lines out"))
        }
        _ => error.into(),
    }
}

fn open(arguments: &TraceArguments) -> Result<(TraceFile, Format), Failure> {
    let trace = TraceFile::open(&arguments.file)?;
    let unknown = || {
        let name = arguments.file.display();
        Failure::Usage(format!(
            "the format of {name} can't be told from its name and first lines; give --format"
        ))
    };
    let format = arguments.format.or_else(|| trace.guess()).ok_or_else(unknown)?;
    Ok((trace, format))
}
