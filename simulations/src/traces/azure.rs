//! Azure's virtual machines of 2020 (`AzureTracesForPacking2020`), as CSV with headings.
//!
//! Columns are those of `AzureTracesForPacking2020.md` in <https://github.com/Azure/AzurePublicDataset>. The trace is published as an
//! SQLite database whose tables `vm` and `vmType` are joined for one kind of machine, since what a type takes is a share of
//! a machine:
//!
//! ```sh
//! sqlite3 -header -csv packing_trace_zone_a_v1.sqlite \
//!   "select vmId, tenantId, vm.vmTypeId, priority, starttime, endtime, core, memory, ssd \
//!    from vm join vmType on vm.vmTypeId = vmType.vmTypeId where machineId = 16" > vms.csv
//! ```
//!
//! A machine is written as 100 cores, 100 GiB of memory and 1,000 GiB of SSD, as disk. Times are in days. A machine that was there
//! before the trace, whose start is below 0, arrives at its beginning and stays for what is left; without an end it stays. The role is
//! `high` or `low`, as its priority (0 or 1).

use apportion::resources::GpuRequest;

use super::events::{WHOLE_CPUS, WHOLE_DISK, WHOLE_MEM};
use super::reader::{Line, read_table};
use super::{LineError, Problem, TraceError, TraceFile, TraceJob};
use crate::values::Span;

const SECONDS_PER_DAY: f64 = 86_400.0;

pub(super) fn jobs(file: &TraceFile) -> Result<Vec<Result<TraceJob, LineError>>, TraceError> {
    read_table(file, "azure-packing", &["vmId", "starttime", "endtime", "core", "memory"], |_| vm)
}

fn vm(line: &Line<'_>) -> Result<TraceJob, Problem> {
    let days = |column: &str| {
        let read = |text: &str| text.parse().ok().filter(|days: &f64| days.abs() <= 36_500.0);
        line.parsed(&[column], "a number of days", read)
    };
    let start = days("starttime")?.ok_or_else(|| Problem::empty("starttime"))?.max(0.0);
    let end = if line.text(&["endtime"]) == Some("NULL") { None } else { days("endtime")? };
    if end.is_some_and(|end| end < start) {
        return Err(line.wrong(&["endtime"], "a time after the start and the beginning of the trace"));
    }
    let queue = match line.text(&["priority"]) {
        Some("0") => "high",
        Some("1") => "low",
        None => "",
        Some(_) => return Err(line.wrong(&["priority"], "0 or 1")),
    };
    Ok(TraceJob {
        id: line.needed("vmId")?.to_owned(),
        submit: Span::from_secs_f64(start * SECONDS_PER_DAY),
        runtime: end.map(|end| Span::from_secs_f64((end - start) * SECONDS_PER_DAY)),
        tasks: 1,
        cpus: line.share("core", WHOLE_CPUS)?.ok_or_else(|| Problem::empty("core"))?,
        mem: line.share("memory", WHOLE_MEM)?.ok_or_else(|| Problem::empty("memory"))?,
        disk: line.share("ssd", WHOLE_DISK)?.unwrap_or_default(),
        gpus: GpuRequest::NONE,
        queue: queue.to_owned(),
        user: line.text(&["tenantId"]).unwrap_or_default().to_owned(),
        ..TraceJob::default()
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Format, Malformed};
    use super::*;

    #[test]
    fn machines_that_were_there_before_arrive_at_the_beginning() {
        let text = "\
vmId,tenantId,vmTypeId,priority,starttime,endtime,core,memory,ssd
0,45,38,1,-27.5,0.5,0.03125,0.0278,0
1,45,38,0,1.5,,0.5,0.5,0.25
2,45,38,0,1.5,NULL,0.5,0.5,0.25
3,45,38,0,1.5,1.0,0.5,0.5,0.25
4,45,38,7,1.5,2.0,0.5,0.5,0.25
5,45,38,0,1.5,2.0,-0.5,0.5,0.25
";
        let trace =
            TraceFile::from_bytes("vms.csv", text).jobs(Format::AzurePacking, Malformed::Skip).unwrap();
        let jobs: Vec<_> = trace
            .rows
            .iter()
            .map(|job| (job.submit.secs(), job.runtime.map(Span::secs), job.queue.as_str()))
            .collect();
        assert_eq!(
            jobs,
            [(0.0, Some(43_200.0), "low"), (129_600.0, None, "high"), (129_600.0, None, "high")]
        );
        assert_eq!(trace.rows[0].resources().to_string(), "cpus:3.125;mem:2846.72");
        let lines: Vec<u64> = trace.skipped.iter().map(|error| error.line).collect();
        assert_eq!(lines, [5, 6, 7]);
    }
}
