//! Microsoft's Philly cluster of 2017, condensed to one row per job: submit time, run time, GPUs, virtual cluster.
//!
//! A job is a gang of tasks of one GPU each, and of 4 cores and 32 GiB, which the trace does not tell (a server of that cluster
//! had about so much per GPU). The first submit time is the start of the trace.

use apportion::resources::{GpuRequest, Scalar};

use super::reader::{Line, read_table};
use super::table::small;
use super::{LineError, Problem, TraceError, TraceFile, TraceJob};
use crate::values::Span;

pub(super) fn jobs(file: &TraceFile) -> Result<Vec<Result<TraceJob, LineError>>, TraceError> {
    let columns = ["timestamp", "duration", "num_gpus", "cluster"];
    let mut rows = read_table(file, "philly", &columns, |_| job)?;
    let start = rows.iter().flatten().map(|job| job.submit).min().unwrap_or_default();
    for job in rows.iter_mut().flatten() {
        job.submit = Span::from_nanos(job.submit.nanos() - start.nanos());
    }
    Ok(rows)
}

fn job(line: &Line<'_>) -> Result<TraceJob, Problem> {
    let submit = line
        .parsed(&["timestamp"], "a time such as 2017-10-09 07:01:55", since_epoch)?
        .ok_or_else(|| Problem::empty("timestamp"))?;
    Ok(TraceJob {
        // The trace has no ids; a line's number is one.
        id: format!("line{}", line.number()),
        submit,
        runtime: Some(line.seconds(&["duration"])?.ok_or_else(|| Problem::empty("duration"))?),
        tasks: small(line, &["num_gpus"], 1)?.max(1),
        gang: true,
        cpus: Scalar::whole(4),
        mem: Scalar::whole(32 * 1024),
        gpus: GpuRequest::whole(1),
        queue: line.needed("cluster")?.to_owned(),
        ..TraceJob::default()
    })
}

/// A time of the day in some year, as seconds since 1970.
fn since_epoch(text: &str) -> Option<Span> {
    let (date, time) = text.split_once(' ')?;
    let numbers = |text: &str, by: char| -> Option<[u64; 3]> {
        let parts: Vec<u64> = text.split(by).map(|part| part.parse().ok()).collect::<Option<_>>()?;
        parts.try_into().ok()
    };
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(time, ':')?;
    let in_range = (1970..2500).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second < 61;
    in_range.then(|| {
        let seconds = (days_since_epoch(year, month, day) * 24 + hour) * 3600 + minute * 60 + second;
        Span::from_nanos(seconds * 1_000_000_000)
    })
}

/// Days of the Gregorian calendar since 1970-01-01 (Hinnant's algorithm, for years from 1970 on).
fn days_since_epoch(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::super::{Format, Malformed};
    use super::*;

    #[test]
    fn times_start_with_the_first_job() {
        let text = "\
timestamp,duration,num_gpus,gpu_time,cluster
2017-10-09 07:01:55,66.0,1,66.0,11cb48
2017-10-09 07:01:05,2951.0,8,23608.0,6214e9
yesterday,1,1,1,6214e9
";
        let file = TraceFile::from_bytes("philly.csv", text);
        let trace = file.jobs(Format::Philly, Malformed::Skip).unwrap();
        let submits: Vec<f64> = trace.rows.iter().map(|job| job.submit.secs()).collect();
        assert_eq!(submits, [50.0, 0.0]);
        assert_eq!((trace.rows[1].tasks, trace.rows[1].queue.as_str()), (8, "6214e9"));
        assert_eq!(trace.skipped[0].line, 4);
    }

    #[test]
    fn days_are_counted_as_calendars_do() {
        assert_eq!(days_since_epoch(1970, 1, 1), 0);
        assert_eq!(days_since_epoch(2000, 3, 1), 11_017);
        assert_eq!(days_since_epoch(2017, 10, 9), 17_448);
    }
}
