//! The tables of a run, as CSV. Times are in seconds from the start of the run; what has not happened is left empty.
//!
//! | table | columns |
//! | --- | --- |
//! | `jobs.csv` | `framework`, `role`, `job_id`, `submit_s`, `tasks`, `finished`, `failed`, `first_start_s`, `last_start_s`, `end_s`, `wait_s`, `wait_all_s` (until all its tasks had started), `jct_s`, `bounded_slowdown` |
//! | `tasks.csv` | `framework`, `role`, `job_id`, `task`, `agent`, `submit_s`, `start_s`, `end_s`, `wait_s`, `run_s`, `outcome`; one row for each time that it was started |
//! | `roles.csv` | `time_s`, `role`, `weight`, `dominant_share`, `running`, `waiting`, `offers`, `declines`, then the share of the cluster for each kind of resource; means over the interval that begins at `time_s`, offers and declines counted in it |
//! | `agents.csv` | `time_s`, `agent`, `running`, then the share of the agent for each kind of resource; likewise |

use std::fmt;
use std::io::{self, Write};

use apportion::time::Time;

use crate::engine::{Outcome, Record};
use crate::gpus::label;
use crate::metrics::{JobTimes, Timeline};
use crate::scenario::Model;

/// A time in seconds with as many decimals as it has, exactly.
struct Seconds(u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / 1_000_000_000, self.0 % 1_000_000_000);
        if rest == 0 {
            return write!(f, "{whole}");
        }
        let digits = format!("{rest:09}");
        write!(f, "{whole}.{}", digits.trim_end_matches('0'))
    }
}

/// Something, or nothing.
struct Maybe<T>(Option<T>);

impl<T: fmt::Display> fmt::Display for Maybe<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |value| value.fmt(f))
    }
}

fn at(time: Time) -> Seconds {
    Seconds(time.as_nanos())
}

fn between(later: Option<Time>, earlier: Time) -> Maybe<Seconds> {
    Maybe(later.map(|later| Seconds(later.as_nanos().saturating_sub(earlier.as_nanos()))))
}

/// A text as a field: in quotes when it needs them.
struct Field<'a>(&'a str);

impl fmt::Display for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.contains(['"', ',', '\n', '\r']) {
            write!(f, "\"{}\"", self.0.replace('"', "\"\""))
        } else {
            f.write_str(self.0)
        }
    }
}

/// Writes `jobs.csv`.
///
/// # Errors
/// When the writer fails.
pub fn jobs(mut out: impl Write, model: &Model, jobs: &[JobTimes]) -> io::Result<()> {
    writeln!(
        out,
        "framework,role,job_id,submit_s,tasks,finished,failed,first_start_s,last_start_s,end_s,wait_s,wait_all_s,jct_s,bounded_slowdown"
    )?;
    for times in jobs {
        let framework = &model.frameworks[times.framework as usize];
        let job = &framework.workload.jobs[times.job as usize];
        writeln!(
            out,
            "{},{},{},{},{},{},{},{},{},{},{},{},{},{}",
            Field(framework.id.as_str()),
            framework.role,
            Field(&job.id),
            at(times.arrived),
            job.tasks,
            times.finished,
            times.failed,
            Maybe(times.first_start().map(at)),
            Maybe(times.last_start().map(at)),
            Maybe(times.ended().map(at)),
            between(times.first_start(), times.arrived),
            between(times.last_start(), times.arrived),
            between(times.ended(), times.arrived),
            Maybe(times.slowdown()),
        )?;
    }
    out.flush()
}

/// Writes `tasks.csv`.
///
/// # Errors
/// When the writer fails.
pub fn tasks(mut out: impl Write, model: &Model, record: &Record) -> io::Result<()> {
    writeln!(out, "framework,role,job_id,task,agent,submit_s,start_s,end_s,wait_s,run_s,outcome")?;
    for run in &record.tasks {
        let Some(framework) = model.frameworks.get(run.framework as usize) else { continue };
        let Some(job) = framework.workload.jobs.get(run.job as usize) else { continue };
        let end = (run.outcome != Outcome::Running).then_some(run.end);
        writeln!(
            out,
            "{},{},{},{},{},{},{},{},{},{},{}",
            Field(framework.id.as_str()),
            framework.role,
            Field(&job.id),
            run.index,
            Field(model.agents[run.agent as usize].id.as_str()),
            at(job.at),
            at(run.start),
            Maybe(end.map(at)),
            between(Some(run.start), job.at),
            between(end, run.start),
            run.outcome.as_str(),
        )?;
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
    for sample in &timeline.role_series {
        let (name, role) = &timeline.roles[sample.role];
        write!(
            out,
            "{},{name},{},{},{},{},{},{}",
            at(sample.at),
            role.weight,
            sample.dominant_share,
            sample.running,
            sample.waiting,
            sample.offers,
            sample.declines
        )?;
        sample.used.iter().try_for_each(|used| write!(out, ",{used}"))?;
        writeln!(out)?;
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
    for sample in &timeline.agent_series {
        let name = model.agents[sample.agent].id.as_str();
        write!(out, "{},{},{}", at(sample.at), Field(name), sample.running)?;
        sample.used.iter().try_for_each(|used| write!(out, ",{used}"))?;
        writeln!(out)?;
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_exact() {
        let text = |nanos| Seconds(nanos).to_string();
        assert_eq!(text(0), "0");
        assert_eq!(text(1_500_000_000), "1.5");
        assert_eq!(text(16_088_510_000_001), "16088.510000001");
        assert_eq!(Maybe::<Seconds>(None).to_string(), "");
    }

    #[test]
    fn fields_are_quoted_when_they_need_it() {
        assert_eq!(Field("a-1").to_string(), "a-1");
        assert_eq!(Field("a,\"b\"").to_string(), "\"a,\"\"b\"\"\"");
    }
}
