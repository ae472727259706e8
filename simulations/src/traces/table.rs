//! This project's own tables of jobs and nodes, which all other formats can be converted to.
//!
//! Both are CSV with a line of headings. Columns may stand in any order; those that are not needed may be left out, and so may
//! their fields.
//!
//! | jobs | unit | |
//! | --- | --- | --- |
//! | `job_id` | | needed; unique |
//! | `submit_s` | seconds | needed; from the start of the trace |
//! | `runtime_s` | seconds | how long each task runs; for ever when it is empty |
//! | `limit_s` | seconds | how long each task may run, as its owner says: what backfilling plans with |
//! | `tasks` | | 1 by default |
//! | `gang` | `true`, `false` | whether all tasks start together; `false` by default |
//! | `cpus` | cores | up to three decimals |
//! | `mem_mib`, `disk_mib` | MiB | |
//! | `gpus` | devices | |
//! | `gpu_milli` | thousandths | of each device; 1000 by default |
//! | `gpu_models` | | models that will do, separated by `\|` |
//! | `role` (or `queue`) | | what it counts for |
//! | `user` | | |
//!
//! | nodes | unit | |
//! | --- | --- | --- |
//! | `node_id` | | needed; unique |
//! | `cpus` | cores | |
//! | `mem_mib`, `disk_mib` | MiB | |
//! | `gpus` | devices | |
//! | `gpu_model` | | |

use std::io::{self, Write};

use apportion::resources::{GpuRequest, WHOLE_GPU};

use super::reader::{Column, Columns, Line, Locate, read_table};
use super::{LineError, Problem, TraceError, TraceFile, TraceJob, TraceNode};

/// The headings of a table of jobs.
pub const JOB_COLUMNS: [&str; 14] = [
    "job_id",
    "submit_s",
    "runtime_s",
    "limit_s",
    "tasks",
    "gang",
    "cpus",
    "mem_mib",
    "disk_mib",
    "gpus",
    "gpu_milli",
    "gpu_models",
    "role",
    "user",
];

/// The headings of a table of nodes.
pub const NODE_COLUMNS: [&str; 6] = ["node_id", "cpus", "mem_mib", "disk_mib", "gpus", "gpu_model"];

pub(super) fn jobs(file: &TraceFile) -> Result<Vec<Result<TraceJob, LineError>>, TraceError> {
    read_table(file, "csv", &["job_id", "submit_s"], |columns| {
        let columns = JobColumns::of(columns);
        move |line: &Line<'_>| columns.job(line)
    })
}

pub(super) fn nodes(file: &TraceFile) -> Result<Vec<Result<TraceNode, LineError>>, TraceError> {
    read_table(file, "csv", &["node_id"], |_| node)
}

/// Where the columns of a table of jobs are: these tables have millions of lines.
struct JobColumns {
    id: Column,
    submit: Column,
    runtime: Column,
    limit: Column,
    tasks: Column,
    gang: Column,
    cpus: Column,
    mem: Column,
    disk: Column,
    gpus: Column,
    gpu_milli: Column,
    gpu_models: Column,
    role: Column,
    user: Column,
}

impl JobColumns {
    fn of(columns: &Columns) -> Self {
        JobColumns {
            id: columns.column(["job_id"]),
            submit: columns.column(["submit_s"]),
            runtime: columns.column(["runtime_s", "duration_s"]),
            limit: columns.column(["limit_s"]),
            tasks: columns.column(["tasks"]),
            gang: columns.column(["gang"]),
            cpus: columns.column(["cpus"]),
            mem: columns.column(["mem_mib"]),
            disk: columns.column(["disk_mib"]),
            gpus: columns.column(["gpus"]),
            gpu_milli: columns.column(["gpu_milli"]),
            gpu_models: columns.column(["gpu_models"]),
            role: columns.column(["role", "queue"]),
            user: columns.column(["user"]),
        }
    }

    fn job(&self, line: &Line<'_>) -> Result<TraceJob, Problem> {
        Ok(TraceJob {
            id: line.text(&self.id).ok_or_else(|| Problem::empty("job_id"))?.to_owned(),
            submit: line.seconds(&self.submit)?.ok_or_else(|| Problem::empty("submit_s"))?,
            runtime: line.seconds(&self.runtime)?,
            limit: line.seconds(&self.limit)?,
            tasks: small(line, &self.tasks, 1)?,
            gang: line.parsed(&self.gang, "true or false", |text| text.parse().ok())?.unwrap_or(false),
            cpus: line.amount(&self.cpus)?.unwrap_or_default(),
            mem: line.amount(&self.mem)?.unwrap_or_default(),
            disk: line.amount(&self.disk)?.unwrap_or_default(),
            gpus: gpus(line, &self.gpus, &self.gpu_milli)?,
            gpu_models: models(line.text(&self.gpu_models)),
            queue: line.text(&self.role).unwrap_or_default().to_owned(),
            user: line.text(&self.user).unwrap_or_default().to_owned(),
        })
    }
}

fn node(line: &Line<'_>) -> Result<TraceNode, Problem> {
    Ok(TraceNode {
        id: line.needed("node_id")?.to_owned(),
        cpus: line.amount(&["cpus"])?.unwrap_or_default(),
        mem: line.amount(&["mem_mib"])?.unwrap_or_default(),
        disk: line.amount(&["disk_mib"])?.unwrap_or_default(),
        gpus: small(line, &["gpus"], 0)?,
        gpu_model: line.text(&["gpu_model"]).unwrap_or_default().to_owned(),
    })
}

/// A whole number of at most 32 bits.
pub(super) fn small(line: &Line<'_>, column: &impl Locate, default: u32) -> Result<u32, Problem> {
    let number = line.parsed(column, "a whole number from 0 to 4294967295", |text| text.parse().ok())?;
    Ok(number.unwrap_or(default))
}

/// GPUs, all of each unless a share is said. What is said of the share of none does not matter.
pub(super) fn gpus(line: &Line<'_>, count: &impl Locate, share: &impl Locate) -> Result<GpuRequest, Problem> {
    let count = small(line, count, 0)?;
    if count == 0 {
        return Ok(GpuRequest::NONE);
    }
    let milli = small(line, share, WHOLE_GPU)?;
    match (1..=WHOLE_GPU).contains(&milli) {
        true => Ok(GpuRequest { count, milli }),
        false => Err(line.wrong(share, "a share of a GPU from 1 to 1000")),
    }
}

/// Models of GPU, separated by `|`.
pub(super) fn models(text: Option<&str>) -> Vec<String> {
    text.into_iter()
        .flat_map(|text| text.split('|'))
        .filter(|model| !model.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Writes a table of jobs.
///
/// # Errors
/// When the writer fails.
pub fn write_jobs<'a>(out: impl Write, jobs: impl IntoIterator<Item = &'a TraceJob>) -> io::Result<()> {
    let mut out = csv::Writer::from_writer(out);
    out.write_record(JOB_COLUMNS)?;
    for job in jobs {
        let seconds =
            |span: Option<crate::values::Span>| span.map_or(String::new(), |span| span.secs().to_string());
        out.write_record([
            job.id.clone(),
            seconds(Some(job.submit)),
            seconds(job.runtime),
            seconds(job.limit),
            job.tasks.to_string(),
            job.gang.to_string(),
            job.cpus.to_string(),
            job.mem.to_string(),
            job.disk.to_string(),
            job.gpus.count.to_string(),
            job.gpus.milli.to_string(),
            job.gpu_models.join("|"),
            job.queue.clone(),
            job.user.clone(),
        ])?;
    }
    out.flush()
}

/// Writes a table of nodes.
///
/// # Errors
/// When the writer fails.
pub fn write_nodes<'a>(out: impl Write, nodes: impl IntoIterator<Item = &'a TraceNode>) -> io::Result<()> {
    let mut out = csv::Writer::from_writer(out);
    out.write_record(NODE_COLUMNS)?;
    for node in nodes {
        out.write_record([
            node.id.clone(),
            node.cpus.to_string(),
            node.mem.to_string(),
            node.disk.to_string(),
            node.gpus.to_string(),
            node.gpu_model.clone(),
        ])?;
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::super::{Format, Malformed};
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let text = "job_id,submit_s,runtime_s,cpus,mem_mib,role\n0,1.5,100,0.5,1024,r1\n\"a,b\",2,,4,0,\n";
        let file = TraceFile::from_bytes("jobs.csv", text);
        let jobs = file.jobs(Format::Csv, Malformed::Refuse).unwrap().rows;
        assert_eq!(jobs[0].resources().to_string(), "cpus:0.5;mem:1024");
        assert_eq!((jobs[0].queue.as_str(), jobs[0].tasks), ("r1", 1));
        assert_eq!((jobs[1].id.as_str(), jobs[1].runtime), ("a,b", None));
        let mut written = Vec::new();
        write_jobs(&mut written, &jobs).unwrap();
        let again = TraceFile::from_bytes("again.csv", written).jobs(Format::Csv, Malformed::Refuse).unwrap();
        assert_eq!(again.rows, jobs);
    }

    #[test]
    fn a_malformed_line_is_named_and_refused_or_skipped() {
        let text = "job_id,submit_s,cpus\n0,0,1\n1,x,1\n2,0\n3,0,-1\n,0,1\n4,0,1\n";
        let file = TraceFile::from_bytes("jobs.csv", text);
        let error = file.jobs(Format::Csv, Malformed::Refuse).unwrap_err().to_string();
        assert!(error.starts_with("jobs.csv: line 3: 'submit_s' is \"x\""), "{error}");
        assert!(error.contains("line 4: 2 fields instead of 3"), "{error}");
        let trace = file.jobs(Format::Csv, Malformed::Skip).unwrap();
        assert_eq!(trace.rows.len(), 2);
        let lines: Vec<u64> = trace.skipped.iter().map(|error| error.line).collect();
        assert_eq!(lines, [3, 4, 5, 6]);
    }

    #[test]
    fn shares_of_gpus_are_at_most_whole() {
        let read = |gpus: &str| {
            let text = format!("job_id,submit_s,gpus,gpu_milli\n0,0,{gpus}\n");
            TraceFile::from_bytes("jobs.csv", text).jobs(Format::Csv, Malformed::Refuse)
        };
        let gpus = |text: &str| read(text).unwrap().rows[0].gpus;
        assert_eq!(gpus("2,"), GpuRequest::whole(2));
        assert_eq!(gpus("1,460"), GpuRequest { count: 1, milli: 460 });
        assert_eq!(gpus("0,1000"), GpuRequest::NONE);
        for wrong in ["1,0", "2,1001"] {
            let error = read(wrong).unwrap_err().to_string();
            assert!(error.contains("which is not a share of a GPU from 1 to 1000"), "{error}");
        }
    }

    #[test]
    fn another_table_is_no_trace() {
        let file = TraceFile::from_bytes("x.csv", "a,b\n1,2\n");
        let error = file.jobs(Format::Csv, Malformed::Skip).unwrap_err().to_string();
        assert_eq!(error, "x.csv is not of format 'csv': it has no column 'job_id'");
    }
}
