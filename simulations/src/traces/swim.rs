//! SWIM: Facebook's Hadoop workloads of 2009 and 2010, as samples of a day.
//!
//! Six columns, separated by tabs, without headings: job, submit time, gap to the job before, and bytes of map input, shuffle and
//! reduce output. The trace has no resources or run times. We derive them as its authors' tools do their tasks: a map task of one
//! core and 1 GiB for each 128 MiB of input, and for each 128 MiB of shuffle another; each task reads and writes its part at
//! 64 MiB/s, and takes at least a second.

use apportion::resources::{GpuRequest, Scalar};

use super::reader::{Line, read_plain};
use super::{LineError, Problem, TraceError, TraceFile, TraceJob};
use crate::values::Span;

const COLUMNS: [&str; 6] = ["job", "submit", "gap", "input", "shuffle", "output"];

/// What a task reads, in bytes.
const SPLIT: u64 = 128 << 20;

/// How fast a task reads and writes, in bytes per second.
const RATE: u64 = 64 << 20;

pub(super) fn jobs(file: &TraceFile) -> Result<Vec<Result<TraceJob, LineError>>, TraceError> {
    Ok(read_plain(file, b'\t', &COLUMNS, job))
}

fn job(line: &Line<'_>) -> Result<TraceJob, Problem> {
    let bytes = |column: &str| line.whole(&[column])?.ok_or_else(|| Problem::empty(column));
    let (input, shuffle, output) = (bytes("input")?, bytes("shuffle")?, bytes("output")?);
    let tasks = (input.div_ceil(SPLIT) + shuffle.div_ceil(SPLIT)).max(1);
    let moved = u128::from(input) + u128::from(shuffle) + u128::from(output);
    let nanos = moved * 1_000_000_000 / u128::from(RATE) / u128::from(tasks);
    let runtime = Span::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX).max(1_000_000_000));
    Ok(TraceJob {
        id: line.needed("job")?.to_owned(),
        submit: line.seconds(&["submit"])?.ok_or_else(|| Problem::empty("submit"))?,
        runtime: Some(runtime),
        tasks: u32::try_from(tasks).map_err(|_| line.wrong(&["input"], "a size below 2^32 splits"))?,
        cpus: Scalar::whole(1),
        mem: Scalar::whole(1024),
        gpus: GpuRequest::NONE,
        ..TraceJob::default()
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Format, Malformed};
    use super::*;

    #[test]
    fn tasks_come_from_bytes() {
        let text =
            "job0\t49\t49\t740773\t2339561\t627471\njob1\t101\t52\t1342177280\t0\t0\njob2\t1\t1\tx\t0\t0\n";
        let file = TraceFile::from_bytes("day.tsv", text);
        let trace = file.jobs(Format::Swim, Malformed::Skip).unwrap();
        assert_eq!((trace.rows[0].tasks, trace.rows[0].runtime.unwrap().secs()), (2, 1.0));
        assert_eq!((trace.rows[1].tasks, trace.rows[1].runtime.unwrap().secs()), (10, 2.0));
        assert_eq!(trace.skipped[0].line, 3);
    }
}
