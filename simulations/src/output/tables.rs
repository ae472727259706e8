//! The tables of a run, as CSV. Times are in seconds from the start of the run; what has not happened is left empty.
//!
//! | table | columns |
//! | --- | --- |
//! | `jobs.csv` | `framework`, `role`, `job_id`, `submit_s`, `tasks`, `finished`, `failed`, `first_start_s`, `last_start_s`, `end_s`, `wait_s`, `wait_all_s` (until all its tasks had started), `jct_s`, `bounded_slowdown` |
//! | `tasks.csv` | `framework`, `role`, `job_id`, `task`, `agent`, `submit_s`, `start_s`, `end_s`, `wait_s`, `run_s`, `outcome`; one row for each time that it was started |
//! | `roles.csv` | `time_s`, `role`, `weight`, `dominant_share`, `running`, `waiting`, `offers`, `declines`, then the share of the cluster for each kind of resource; means over the interval that begins at `time_s`, offers and declines counted in it |
//! | `agents.csv` | `time_s`, `agent`, `running`, then the share of the agent for each kind of resource; likewise |

use std::io::{self, Write};

use super::row::Row;
use crate::engine::{Outcome, Record};
use crate::gpus::label;
use crate::metrics::{JobTimes, Timeline};
use crate::scenario::Model;

/// Writes `jobs.csv`.
///
/// # Errors
/// When the writer fails.
pub fn jobs(mut out: impl Write, model: &Model, jobs: &[JobTimes]) -> io::Result<()> {
    writeln!(
        out,
        "framework,role,job_id,submit_s,tasks,finished,failed,first_start_s,last_start_s,end_s,wait_s,wait_all_s,jct_s,bounded_slowdown"
    )?;
    let mut row = Row::default();
    for times in jobs {
        let framework = &model.frameworks[times.framework as usize];
        let job = &framework.workload.jobs[times.job as usize];
        row.text(framework.id.as_str())
            .text(framework.role.as_str())
            .text(&job.id)
            .time(times.arrived)
            .whole(job.tasks)
            .whole(times.finished)
            .whole(times.failed)
            .time(times.first_start())
            .time(times.last_start())
            .time(times.ended())
            .between(times.arrived, times.first_start())
            .between(times.arrived, times.last_start())
            .between(times.arrived, times.ended())
            .number(times.slowdown())
            .write_to(&mut out)?;
    }
    out.flush()
}

/// Writes `tasks.csv`.
///
/// # Errors
/// When the writer fails.
pub fn tasks(mut out: impl Write, model: &Model, record: &Record) -> io::Result<()> {
    writeln!(out, "framework,role,job_id,task,agent,submit_s,start_s,end_s,wait_s,run_s,outcome")?;
    let mut row = Row::default();
    for run in &record.tasks {
        let Some(framework) = model.frameworks.get(run.framework as usize) else { continue };
        let Some(job) = framework.workload.jobs.get(run.job as usize) else { continue };
        let end = (run.outcome != Outcome::Running).then_some(run.end);
        row.text(framework.id.as_str())
            .text(framework.role.as_str())
            .text(&job.id)
            .whole(run.index)
            .text(model.agents[run.agent as usize].id.as_str())
            .time(job.at)
            .time(run.start)
            .time(end)
            .between(job.at, run.start)
            .between(run.start, end)
            .text(run.outcome.as_str())
            .write_to(&mut out)?;
    }
    out.flush()
}

/// Writes `roles.csv`.
///
/// # Errors
/// When the writer fails.
pub fn roles(mut out: impl Write, timeline: &Timeline) -> io::Result<()> {
    write!(out, "time_s,role,weight,dominant_share,running,waiting,offers,declines")?;
    timeline.kinds.iter().try_for_each(|kind| write!(out, ",{}", label(kind)))?;
    writeln!(out)?;
    let mut row = Row::default();
    for sample in &timeline.role_series {
        let (name, role) = &timeline.roles[sample.role];
        row.time(sample.at)
            .text(name.as_str())
            .number(role.weight)
            .number(sample.dominant_share)
            .number(sample.running)
            .number(sample.waiting)
            .whole(sample.offers)
            .whole(sample.declines);
        sample.used.iter().fold(&mut row, |row, used| row.number(*used)).write_to(&mut out)?;
    }
    out.flush()
}

/// Writes `agents.csv`.
///
/// # Errors
/// When the writer fails.
pub fn agents(mut out: impl Write, model: &Model, timeline: &Timeline) -> io::Result<()> {
    write!(out, "time_s,agent,running")?;
    timeline.kinds.iter().try_for_each(|kind| write!(out, ",{}", label(kind)))?;
    writeln!(out)?;
    let mut row = Row::default();
    for sample in &timeline.agent_series {
        row.time(sample.at).text(model.agents[sample.agent].id.as_str()).number(sample.running);
        sample.used.iter().fold(&mut row, |row, used| row.number(*used)).write_to(&mut out)?;
    }
    out.flush()
}
