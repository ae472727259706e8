//! Alibaba's cluster of 2018 (`cluster-trace-v2018`): `batch_task`, `container_meta` and `machine_meta`, CSV without headings.
//!
//! Columns are those of `schema.md` in <https://github.com/alibaba/clusterdata/tree/master/cluster-trace-v2018>; the number of
//! columns tells the tables apart. 100 of the trace's units of processor are a core. Memory is in hundredths of the largest machine,
//! which is written as 100 GiB, so that a unit is 1 GiB.
//!
//! - A line of `batch_task` is a job with as many tasks as it has instances. The trace has no time of submission: a job arrives when
//!   its task started, after those that it depends on, which `M2_1` and the like name; so dependencies are kept by time. A
//!   task without an end, which is 0, has no run time.
//! - A container is a job of one task that runs for ever, from the first line about it on; its role is its deploy unit.
//! - A machine is there from the beginning, as the first line about it says.

use apportion::resources::{GpuRequest, Scalar};
use rustc_hash::FxHashSet;

use super::events::share;
use super::reader::{Line, read_plain};
use super::{LineError, Problem, TraceFile, TraceJob, TraceNode};
use crate::values::Span;

const TASK_COLUMNS: [&str; 9] = [
    "task_name",
    "inst_num",
    "job_name",
    "task_type",
    "status",
    "start_time",
    "end_time",
    "plan_cpu",
    "plan_mem",
];

const CONTAINER_COLUMNS: [&str; 8] =
    ["container_id", "machine_id", "time_stamp", "app_du", "status", "cpu_request", "cpu_limit", "mem_size"];

const MACHINE_COLUMNS: [&str; 7] =
    ["machine_id", "time_stamp", "failure_domain_1", "failure_domain_2", "cpu_num", "mem_size", "status"];

/// A unit of memory, in thousandths of MiB.
const MEM_UNIT: f64 = 1_024_000.0;

/// A unit of processor, in thousandths of a core.
const CPU_UNIT: f64 = 10.0;

pub(super) fn jobs(file: &TraceFile) -> Vec<Result<TraceJob, LineError>> {
    let first = file.bytes().split(|byte| *byte == b'\n').next().unwrap_or_default();
    if first.iter().filter(|byte| **byte == b',').count() + 1 == CONTAINER_COLUMNS.len() {
        return once(read_plain(file, b',', &CONTAINER_COLUMNS, container), |job| &job.id);
    }
    read_plain(file, b',', &TASK_COLUMNS, task)
}

pub(super) fn nodes(file: &TraceFile) -> Vec<Result<TraceNode, LineError>> {
    once(read_plain(file, b',', &MACHINE_COLUMNS, machine), |node| &node.id)
}

/// The first row of each.
fn once<T>(rows: Vec<Result<T, LineError>>, id: impl Fn(&T) -> &String) -> Vec<Result<T, LineError>> {
    let mut seen = FxHashSet::default();
    let first = |row: &Result<T, LineError>| row.as_ref().map_or(true, |row| seen.insert(id(row).clone()));
    rows.into_iter().filter(first).collect()
}

fn amount(line: &Line<'_>, column: &str, unit: f64) -> Result<Scalar, Problem> {
    let read = |text: &str| share(text.parse().ok()?, unit);
    let amount = line.parsed(&[column], "an amount of at least 0", read)?;
    amount.ok_or_else(|| Problem::empty(column))
}

fn time(line: &Line<'_>, column: &str) -> Result<Span, Problem> {
    line.seconds(&[column])?.ok_or_else(|| Problem::empty(column))
}

fn task(line: &Line<'_>) -> Result<TraceJob, Problem> {
    let (start, end) = (time(line, "start_time")?, time(line, "end_time")?);
    let runtime = match end.nanos() {
        0 => None,
        end => Some(
            end.checked_sub(start.nanos())
                .map(Span::from_nanos)
                .ok_or_else(|| line.wrong(&["end_time"], "a time after the task's start, or 0"))?,
        ),
    };
    // The table writes whole numbers with decimals too.
    let count = |text: &str| {
        let number: f64 = text.parse().ok()?;
        ((1.0..=f64::from(u32::MAX)).contains(&number) && libm::floor(number) == number)
            .then_some(number as u32)
    };
    let tasks = line.parsed(&["inst_num"], "a whole number of at least 1", count)?;
    Ok(TraceJob {
        id: format!("{}.{}", line.needed("job_name")?, line.needed("task_name")?),
        submit: start,
        runtime,
        tasks: tasks.ok_or_else(|| Problem::empty("inst_num"))?,
        cpus: amount(line, "plan_cpu", CPU_UNIT)?,
        mem: amount(line, "plan_mem", MEM_UNIT)?,
        gpus: GpuRequest::NONE,
        queue: "batch".to_owned(),
        ..TraceJob::default()
    })
}

fn container(line: &Line<'_>) -> Result<TraceJob, Problem> {
    Ok(TraceJob {
        id: line.needed("container_id")?.to_owned(),
        submit: time(line, "time_stamp")?,
        tasks: 1,
        cpus: amount(line, "cpu_request", CPU_UNIT)?,
        mem: amount(line, "mem_size", MEM_UNIT)?,
        gpus: GpuRequest::NONE,
        queue: line.text(&["app_du"]).unwrap_or_default().to_owned(),
        ..TraceJob::default()
    })
}

fn machine(line: &Line<'_>) -> Result<TraceNode, Problem> {
    let cpus = line.amount(&["cpu_num"])?;
    Ok(TraceNode {
        id: line.needed("machine_id")?.to_owned(),
        cpus: cpus.ok_or_else(|| Problem::empty("cpu_num"))?,
        mem: amount(line, "mem_size", MEM_UNIT)?,
        ..TraceNode::default()
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Format, Malformed};
    use super::*;

    fn read(text: &str) -> super::super::Trace<TraceJob> {
        TraceFile::from_bytes("t.csv", text).jobs(Format::Alibaba2018, Malformed::Skip).unwrap()
    }

    #[test]
    fn a_task_is_a_job_of_its_instances() {
        let trace = read(
            "M1,2.0,j_1,1,Terminated,582687,582749,100.0,0.39\n\
             R2_1,1,j_1,1,Running,582750,0,50,0.2\n\
             M1,1,j_2,1,Failed,10,5,100,0.1\n\
             M1,1,j_3,1,Terminated,10,15,,\n\
             M1,1.5,j_4,1,Terminated,10,15,1,1\n",
        );
        let jobs: Vec<_> =
            trace.rows.iter().map(|job| (job.id.as_str(), job.tasks, job.resources().to_string())).collect();
        assert_eq!(
            jobs,
            [("j_1.M1", 2, "cpus:1;mem:399.36".to_owned()), ("j_1.R2_1", 1, "cpus:0.5;mem:204.8".to_owned())]
        );
        assert_eq!((trace.rows[0].runtime.unwrap().secs(), trace.rows[1].runtime), (62.0, None));
        let lines: Vec<u64> = trace.skipped.iter().map(|error| error.line).collect();
        assert_eq!(lines, [3, 4, 5]);
    }

    #[test]
    fn containers_stay_and_machines_are_there_once() {
        let containers =
            "c_1,m_2556,0,app_5052,started,400,400,1.56\nc_1,m_2556,287942,app_5052,started,400,400,1.56\n";
        let trace = read(containers);
        assert_eq!(trace.rows.len(), 1);
        assert_eq!(trace.rows[0].resources().to_string(), "cpus:4;mem:1597.44");
        let file = TraceFile::from_bytes("m.csv", "m_1,0,1,1,96,100,USING\nm_1,300,1,1,96,100,IMPORT\n");
        assert!(file.holds_nodes(Format::Alibaba2018));
        let nodes = file.nodes(Format::Alibaba2018, Malformed::Refuse).unwrap().rows;
        assert_eq!((nodes.len(), nodes[0].resources().to_string().as_str()), (1, "cpus:96;mem:102400"));
    }
}
