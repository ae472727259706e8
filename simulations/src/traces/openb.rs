//! Alibaba's GPU cluster of 2023 (`cluster-trace-gpu-v2023`): nodes, and pods that share GPUs.
//!
//! Cores and GPUs are in thousandths, memory is in MiB. A pod asks for `num_gpu` devices and `gpu_milli` of each; `gpu_spec`
//! names the models that will do. A pod runs from `scheduled_time`, or from its creation when it was never scheduled, to
//! `deletion_time`. Files with the first five columns only have neither times nor models: all their pods arrive at once and stay.

use super::reader::{Line, read_table};
use super::table::{gpus, models, small};
use super::{LineError, Problem, TraceError, TraceFile, TraceJob, TraceNode};
use crate::values::Span;

pub(super) fn jobs(file: &TraceFile) -> Result<Vec<Result<TraceJob, LineError>>, TraceError> {
    let columns = ["name", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli"];
    read_table(file, "openb", &columns, |_| pod)
}

pub(super) fn nodes(file: &TraceFile) -> Result<Vec<Result<TraceNode, LineError>>, TraceError> {
    read_table(file, "openb", &["sn", "cpu_milli", "memory_mib", "gpu"], |_| node)
}

fn pod(line: &Line<'_>) -> Result<TraceJob, Problem> {
    let submit = line.seconds(&["creation_time"])?.unwrap_or_default();
    let start = line.seconds(&["scheduled_time"])?.unwrap_or(submit);
    let end = line.seconds(&["deletion_time"])?;
    let runtime = match end {
        Some(end) if end < start => {
            return Err(line.wrong(&["deletion_time"], "a time after the pod's start"));
        }
        Some(end) => Some(Span::from_nanos(end.nanos() - start.nanos())),
        None => None,
    };
    Ok(TraceJob {
        id: line.needed("name")?.to_owned(),
        submit,
        runtime,
        tasks: 1,
        cpus: line.milli(&["cpu_milli"])?.unwrap_or_default(),
        mem: line.amount(&["memory_mib"])?.unwrap_or_default(),
        gpus: gpus(line, &["num_gpu"], &["gpu_milli"])?,
        gpu_models: models(line.text(&["gpu_spec"])),
        queue: line.text(&["qos"]).unwrap_or_default().to_owned(),
        ..TraceJob::default()
    })
}

fn node(line: &Line<'_>) -> Result<TraceNode, Problem> {
    Ok(TraceNode {
        id: line.needed("sn")?.to_owned(),
        cpus: line.milli(&["cpu_milli"])?.unwrap_or_default(),
        mem: line.amount(&["memory_mib"])?.unwrap_or_default(),
        gpus: small(line, &["gpu"], 0)?,
        gpu_model: line.text(&["model"]).unwrap_or_default().to_owned(),
        ..TraceNode::default()
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Format, Malformed};
    use super::*;

    const PODS: &str = "\
name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,scheduled_time
p0,12000,16384,1,1000,,LS,Running,0,12537496,10
p1,6000,12288,1,460,V100M16|V100M32,LS,Running,427061,12902960,
p2,8000,1024,0,0,,BE,Succeeded,5,105,6
p3,8000,1024,1,1500,,BE,Succeeded,5,105,6
p4,8000,1024,0,0,,BE,Succeeded,5,105,106
";

    #[test]
    fn pods_are_read_in_their_units() {
        let file = TraceFile::from_bytes("pods.csv", PODS);
        let trace = file.jobs(Format::Openb, Malformed::Skip).unwrap();
        let texts: Vec<String> = trace.rows.iter().map(|job| job.resources().to_string()).collect();
        assert_eq!(texts, ["cpus:12;mem:16384", "cpus:6;mem:12288", "cpus:8;mem:1024"]);
        let gpus: Vec<i64> = trace.rows.iter().map(|job| job.gpus.total().milli()).collect();
        assert_eq!(gpus, [1000, 460, 0]);
        assert_eq!(trace.rows[0].runtime.unwrap().secs(), 12_537_486.0);
        assert_eq!(trace.rows[1].runtime.unwrap().secs(), 12_475_899.0);
        assert_eq!(trace.rows[1].gpu_models, ["V100M16", "V100M32"]);
        let marked = TraceFile::from_bytes("pods.csv", format!("\u{feff}{PODS}"));
        assert_eq!(marked.guess(), Some(Format::Openb));
        assert_eq!(marked.jobs(Format::Openb, Malformed::Skip).unwrap(), trace, "spreadsheets mark UTF-8");
        let lines: Vec<u64> = trace.skipped.iter().map(|error| error.line).collect();
        assert_eq!(lines, [5, 6], "a share above a device, an end before the start");
    }

    #[test]
    fn nodes_are_read_in_their_units() {
        let text = "sn,cpu_milli,memory_mib,gpu,model\nn0,64000,262144,2,P100\nn1,32000,262144,0,\n";
        let nodes =
            TraceFile::from_bytes("nodes.csv", text).nodes(Format::Openb, Malformed::Refuse).unwrap().rows;
        assert_eq!((nodes[0].resources().to_string().as_str(), nodes[0].gpus), ("cpus:64;mem:262144", 2));
        assert_eq!((nodes[0].gpu_model.as_str(), nodes[1].gpu_model.as_str()), ("P100", ""));
    }
}
