//! Workloads of the Batsim simulator: JSON with jobs that ask for hosts, and profiles that say how long they take.
//!
//! Only delay profiles are read: how long a job takes that computes and communicates depends on a platform that Batsim
//! simulates and we do not. A job that takes `res` hosts is a gang of so many tasks of one core; a host of the platform is an agent
//! of one core.

use std::collections::BTreeMap;

use apportion::resources::{GpuRequest, Scalar};
use serde::Deserialize;

use super::{LineError, Problem, TraceError, TraceFile, TraceJob};
use crate::values::Span;

#[derive(Deserialize)]
struct Workload {
    jobs: Vec<Job>,
    profiles: BTreeMap<String, Profile>,
}

#[derive(Deserialize)]
struct Job {
    id: Id,
    profile: String,
    res: u32,
    subtime: f64,
    walltime: Option<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Id {
    Number(u64),
    Name(String),
}

#[derive(Deserialize)]
struct Profile {
    #[serde(rename = "type")]
    kind: String,
    delay: Option<f64>,
}

pub(super) fn jobs(file: &TraceFile) -> Result<Vec<Result<TraceJob, LineError>>, TraceError> {
    let workload: Workload =
        serde_json::from_slice(file.bytes()).map_err(|error| TraceError::NotThisFormat {
            file: file.name().to_owned(),
            format: "batsim",
            problem: error.to_string(),
        })?;
    // JSON has no lines to speak of: jobs are counted instead.
    let read = |(number, entry): (u64, &Job)| {
        job(entry, &workload.profiles).map_err(|problem| LineError { line: number, problem })
    };
    Ok((1..).zip(&workload.jobs).map(read).collect())
}

fn job(job: &Job, profiles: &BTreeMap<String, Profile>) -> Result<TraceJob, Problem> {
    let wrong = |column: &str, value: &dyn ToString, expected| Problem::Value {
        column: column.to_owned(),
        value: value.to_string(),
        expected,
    };
    let delay = profiles
        .get(&job.profile)
        .filter(|profile| profile.kind == "delay")
        .and_then(|profile| profile.delay)
        .ok_or_else(|| wrong("profile", &job.profile, "the name of a delay profile"))?;
    let seconds = |column, value: f64| {
        let known = (0.0..=Span::MAX.secs()).contains(&value);
        known
            .then(|| Span::from_secs_f64(value))
            .ok_or_else(|| wrong(column, &value, "a number of seconds of at least 0"))
    };
    if job.res == 0 {
        return Err(wrong("res", &job.res, "a number of hosts of at least 1"));
    }
    let limit = job.walltime.filter(|walltime| *walltime >= 0.0);
    Ok(TraceJob {
        id: match &job.id {
            Id::Number(number) => number.to_string(),
            Id::Name(name) => name.clone(),
        },
        submit: seconds("subtime", job.subtime)?,
        runtime: Some(seconds("delay", delay)?),
        limit: limit.map(|walltime| seconds("walltime", walltime)).transpose()?,
        tasks: job.res,
        gang: true,
        cpus: Scalar::whole(1),
        gpus: GpuRequest::NONE,
        ..TraceJob::default()
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Format, Malformed};
    use super::*;

    #[test]
    fn delay_jobs_are_read_and_others_named() {
        let text = r#"{"nb_res": 4, "jobs": [
            {"id": 1, "profile": "d", "res": 2, "subtime": 0.5, "walltime": 20},
            {"id": "w!2", "profile": "p", "res": 2, "subtime": 1}
        ], "profiles": {"d": {"type": "delay", "delay": 10.25}, "p": {"type": "parallel"}}}"#;
        let file = TraceFile::from_bytes("w.json", text);
        let trace = file.jobs(Format::Batsim, Malformed::Skip).unwrap();
        assert_eq!((trace.rows[0].tasks, trace.rows[0].gang), (2, true));
        assert_eq!(trace.rows[0].runtime.unwrap().secs(), 10.25);
        assert_eq!(
            trace.skipped[0].to_string(),
            "line 2: 'profile' is \"p\", which is not the name of a delay profile"
        );
    }
}
