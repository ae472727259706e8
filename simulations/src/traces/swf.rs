//! The Standard Workload Format of the Parallel Workloads Archive, version 2.
//!
//! Eighteen columns, separated by blanks; comments begin with `;`; -1 means that nothing is known. A job is a gang of as many
//! tasks of one core as it asked for processors (or was given, when it did not say). A job that ran for no known time, on no
//! known number of processors, never started: its line is malformed for us, since there is nothing to simulate.

use apportion::resources::{GpuRequest, Scalar};

use super::reader::seconds;
use super::{LineError, Problem, TraceError, TraceFile, TraceJob};
use crate::values::Span;

/// The columns' names, after the archive's definition.
const COLUMNS: [&str; 18] = [
    "job number",
    "submit time",
    "wait time",
    "run time",
    "allocated processors",
    "average cpu time",
    "used memory",
    "requested processors",
    "requested time",
    "requested memory",
    "status",
    "user",
    "group",
    "executable",
    "queue",
    "partition",
    "preceding job",
    "think time",
];

const KIB_PER_MIB: u64 = 1024;

pub(super) fn jobs(file: &TraceFile) -> Result<Vec<Result<TraceJob, LineError>>, TraceError> {
    let mut rows = Vec::new();
    for (number, line) in (1..).zip(file.bytes().split(|byte| *byte == b'\n')) {
        let line = line.trim_ascii();
        if line.is_empty() || line[0] == b';' {
            continue;
        }
        let read = std::str::from_utf8(line)
            .map_err(|_| Problem::Text("it is not in UTF-8".to_owned()))
            .and_then(|line| job(&line.split_ascii_whitespace().collect::<Vec<_>>()));
        rows.push(read.map_err(|problem| LineError { line: number, problem }));
    }
    Ok(rows)
}

fn job(fields: &[&str]) -> Result<TraceJob, Problem> {
    if fields.len() != COLUMNS.len() {
        return Err(Problem::Fields { found: fields.len(), expected: COLUMNS.len() });
    }
    let tasks = match (known_whole(fields, 7)?, known_whole(fields, 4)?) {
        (Some(requested), _) if requested > 0 => requested,
        (_, Some(allocated)) if allocated > 0 => allocated,
        _ => return Err(wrong(fields, 7, "a number of processors of at least 1")),
    };
    let runtime = known_time(fields, 3)?.ok_or_else(|| wrong(fields, 3, "a known run time"))?;
    // Memory is per processor.
    let mem = match (known_whole(fields, 9)?, known_whole(fields, 6)?) {
        (Some(kib), _) | (None, Some(kib)) => mebibytes(kib),
        (None, None) => Scalar::ZERO,
    };
    let text = |at: usize| if fields[at] == "-1" { String::new() } else { fields[at].to_owned() };
    Ok(TraceJob {
        id: fields[0].to_owned(),
        submit: known_time(fields, 1)?.ok_or_else(|| wrong(fields, 1, "a known submit time"))?,
        runtime: Some(runtime),
        limit: known_time(fields, 8)?,
        tasks: u32::try_from(tasks).map_err(|_| wrong(fields, 7, "a number of processors below 2^32"))?,
        gang: true,
        cpus: Scalar::whole(1),
        mem,
        disk: Scalar::ZERO,
        gpus: GpuRequest::NONE,
        gpu_models: Vec::new(),
        queue: text(14),
        user: text(11),
    })
}

fn mebibytes(kib: u64) -> Scalar {
    let milli = i64::try_from(u128::from(kib) * 1000 / u128::from(KIB_PER_MIB)).unwrap_or(i64::MAX);
    Scalar::from_milli(milli).unwrap_or_default().min(Scalar::LIMIT)
}

/// A whole number; `None` for -1. Some logs have decimals in columns of whole numbers; those are cut off.
fn known_whole(fields: &[&str], at: usize) -> Result<Option<u64>, Problem> {
    if fields[at].parse() == Ok(-1.0) {
        return Ok(None);
    }
    let whole = fields[at].split('.').next().unwrap_or_default();
    whole.parse().map(Some).map_err(|_| wrong(fields, at, "a whole number, or -1"))
}

fn known_time(fields: &[&str], at: usize) -> Result<Option<Span>, Problem> {
    if fields[at].parse() == Ok(-1.0) {
        return Ok(None);
    }
    seconds(fields[at]).map(Some).ok_or_else(|| wrong(fields, at, "a number of seconds, or -1"))
}

fn wrong(fields: &[&str], at: usize, expected: &'static str) -> Problem {
    Problem::Value { column: COLUMNS[at].to_owned(), value: fields[at].to_owned(), expected }
}

#[cfg(test)]
mod tests {
    use super::super::{Format, Malformed};
    use super::*;

    const LOG: &str = "\
; Version: 2.2
    1        0 477768  35541  160  32096 89734  160 108000    -1  1   1   1   1  1 -1 -1 -1

    2    83558      1 432024   36   1320  7566   -1 432000  2048  0   2   2   2  1 -1 -1 -1
    3    83559      1     -1   36   1320  7566   36 432000    -1  5   2   2   2  1 -1 -1 -1
    4    83560      1     10    1
";

    #[test]
    fn jobs_are_gangs_of_one_core_tasks() {
        let file = TraceFile::from_bytes("log.swf", LOG);
        let trace = file.jobs(Format::Swf, Malformed::Skip).unwrap();
        let first = &trace.rows[0];
        assert_eq!((first.tasks, first.gang, first.runtime.unwrap().secs()), (160, true, 35541.0));
        assert_eq!(first.resources().to_string(), "cpus:1;mem:87.63");
        assert_eq!(first.limit.unwrap().secs(), 108_000.0);
        assert_eq!(trace.rows[1].tasks, 36, "what was allocated, as the request is not known");
        assert_eq!(trace.rows[1].resources().to_string(), "cpus:1;mem:2");
        let lines: Vec<String> = trace.skipped.iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            ["line 5: 'run time' is \"-1\", which is not a known run time", "line 6: 5 fields instead of 18"]
        );
    }
}
