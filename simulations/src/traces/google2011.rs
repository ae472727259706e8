//! Google's cluster of 2011 (`clusterdata-2011`): `task_events` and `machine_events`, CSV without headings.
//!
//! Columns are those of "Google cluster-usage traces: format + schema" (Reiss, Wilkes, Hellerstein; version 2.1 of the trace).
//! [`events`](super::events) says what is made of them. A task's role is its scheduling class, `class0` (most batch-like) to
//! `class3` (most latency-sensitive).

use super::events::{
    MachineEvent, TaskEvent, WHOLE_CPUS, WHOLE_DISK, WHOLE_MEM, What, machines, micros, tasks,
};
use super::reader::{Line, read_plain};
use super::{LineError, Problem, TraceFile, TraceJob, TraceNode};

const TASK_COLUMNS: [&str; 13] = [
    "time",
    "missing info",
    "job ID",
    "task index",
    "machine ID",
    "event type",
    "user",
    "scheduling class",
    "priority",
    "CPU request",
    "memory request",
    "disk space request",
    "different machines restriction",
];

const MACHINE_COLUMNS: [&str; 6] = ["time", "machine ID", "event type", "platform ID", "CPUs", "Memory"];

pub(super) fn jobs(file: &TraceFile) -> Vec<Result<TraceJob, LineError>> {
    tasks(read_plain(file, b',', &TASK_COLUMNS, task_event))
}

pub(super) fn nodes(file: &TraceFile) -> Vec<Result<TraceNode, LineError>> {
    machines(read_plain(file, b',', &MACHINE_COLUMNS, machine_event))
}

fn task_event(line: &Line<'_>) -> Result<TaskEvent, Problem> {
    let what = match line.needed("event type")? {
        "0" | "7" | "8" => What::Waits,
        "1" => What::Starts,
        "2" | "3" | "4" | "5" | "6" => What::Ends,
        _ => return Err(line.wrong(&["event type"], "an event type from 0 to 8")),
    };
    let index = line.whole(&["task index"])?.ok_or_else(|| Problem::empty("task index"))?;
    Ok(TaskEvent {
        line: line.number(),
        at: micros(line.whole(&["time"])?.ok_or_else(|| Problem::empty("time"))?),
        what,
        task: format!("{}.{index}", line.needed("job ID")?),
        cpus: line.share("CPU request", WHOLE_CPUS)?,
        mem: line.share("memory request", WHOLE_MEM)?,
        disk: line.share("disk space request", WHOLE_DISK)?,
        queue: line.text(&["scheduling class"]).map_or_else(String::new, |class| format!("class{class}")),
        user: line.text(&["user"]).unwrap_or_default().to_owned(),
    })
}

fn machine_event(line: &Line<'_>) -> Result<MachineEvent, Problem> {
    match line.needed("event type")? {
        "0" => {}
        "1" | "2" => return Ok(None),
        _ => return Err(line.wrong(&["event type"], "an event type from 0 to 2")),
    }
    Ok(Some(TraceNode {
        id: line.needed("machine ID")?.to_owned(),
        cpus: line.share("CPUs", WHOLE_CPUS)?.ok_or_else(|| Problem::empty("CPUs"))?,
        mem: line.share("Memory", WHOLE_MEM)?.ok_or_else(|| Problem::empty("Memory"))?,
        ..TraceNode::default()
    }))
}

#[cfg(test)]
mod tests {
    use super::super::{Format, Malformed};
    use super::*;

    const TASKS: &str = "\
0,2,3418309,0,4155527081,0,alice,3,9,0.125,0.07446,0.0004244,0
600000000,,7,0,,0,bob,0,2,0.025,0.01,0.0002,0
600000000,,7,1,,0,bob,0,2,0.025,0.01,0.0002,0
601000000,,7,0,5,1,bob,0,2,0.025,0.01,0.0002,0
603000000,,7,1,,5,bob,0,2,0.025,0.01,0.0002,0
604000000,,7,0,5,2,bob,0,2,0.025,0.01,0.0002,0
604000000,,7,0,,0,bob,0,2,0.025,0.01,0.0002,0
605000000,,7,0,6,1,bob,0,2,0.025,0.01,0.0002,0
607500000,,7,0,6,4,bob,0,2,0.025,0.01,0.0002,0
608000000,,8,0,,9,bob,0,2,0.025,0.01,0.0002,0
608000000,,9,0,,0,bob,0,2,,,,0
";

    #[test]
    fn tasks_are_made_of_their_events() {
        let trace = TraceFile::from_bytes("task_events.csv", TASKS)
            .jobs(Format::Google2011, Malformed::Skip)
            .unwrap();
        let ids: Vec<&str> = trace.rows.iter().map(|job| job.id.as_str()).collect();
        assert_eq!(ids, ["3418309.0", "7.0"], "a task that was killed before it started is left out");
        assert_eq!(trace.rows[0].resources().to_string(), "cpus:12.5;mem:7624.704;disk:434.586");
        assert_eq!((trace.rows[0].runtime, trace.rows[0].queue.as_str()), (None, "class3"));
        assert_eq!(trace.rows[1].submit.secs(), 600.0);
        assert_eq!(trace.rows[1].runtime.unwrap().secs(), 2.5, "the last run counts");
        let lines: Vec<u64> = trace.skipped.iter().map(|error| error.line).collect();
        assert_eq!(lines, [10, 11], "an unknown event, a task that asks for nothing");
        assert!(trace.skipped[1].to_string().contains("cpu request"), "{}", trace.skipped[1]);
    }

    #[test]
    fn machines_are_there_once() {
        let text = "0,5,0,HofLG,0.5,0.2493\n0,6,0,HofLG,1,1\n900,5,1,HofLG,0.5,0.2493\n950,5,0,HofLG,0.25,0.2493\n951,7,0,H,,\n";
        let trace = TraceFile::from_bytes("machine_events.csv", text)
            .nodes(Format::Google2011, Malformed::Skip)
            .unwrap();
        let texts: Vec<String> = trace.rows.iter().map(|node| node.resources().to_string()).collect();
        assert_eq!(texts, ["cpus:50;mem:25528.32", "cpus:100;mem:102400"]);
        assert_eq!(trace.skipped[0].line, 5);
    }
}
