//! What is wrong with a scenario beyond what types can say.

use std::collections::BTreeSet;

use apportion::allocator::{Allocator, DrfAllocator, DrfOptions, PreemptionPolicy, Quota};
use apportion::protocol::FrameworkId;
use apportion::resources::Kind;
use apportion::spec::{Document, SpecError};

use super::draw::MAX_MACHINES;
use super::workload::WorkloadTable;
use super::{Fidelity, FrameworkTable, JobTable, SCHEMA, Scenario, Until};
use crate::gpus;
use crate::values::{Count, Length};

/// All mistakes, in the order of the file's parts.
pub(super) fn mistakes(scenario: &Scenario, document: &Document) -> Vec<SpecError> {
    let mut check =
        Check { document, kinds: kinds_of_machines(scenario), path: Vec::new(), mistakes: Vec::new() };
    if scenario.schema != SCHEMA {
        check.wrong(&["schema"], format!("only schema {SCHEMA} is known"));
    }
    check.cluster(scenario);
    check.roles(scenario);
    check.quotas(scenario);
    if scenario.allocator.preemption != PreemptionPolicy::Never && scenario.fidelity == Fidelity::Placement {
        check.wrong(&["allocator", "preemption"], "preemption needs fidelity = \"full\"");
    }
    if !(scenario.contention.slowdown >= 0.0 && scenario.contention.slowdown.is_finite()) {
        check.wrong(&["contention", "slowdown"], "a slowdown is a number of at least 0");
    }
    if scenario.frameworks.is_empty() {
        check.wrong(&["frameworks"], "without a framework nothing happens: add [[frameworks]]");
    }
    for (place, framework) in scenario.frameworks.iter().enumerate() {
        check.within(&["frameworks", &place.to_string()], |check| {
            if scenario.frameworks[..place].iter().any(|other| other.name == framework.name) {
                check.wrong(&["name"], format!("two frameworks are named '{}'", framework.name));
            }
            check.framework(framework, scenario.until);
        });
    }
    check.mistakes
}

/// Mistakes that were found so far, and where the check is.
struct Check<'a> {
    document: &'a Document,
    /// What machines have or may have.
    kinds: BTreeSet<String>,
    path: Vec<String>,
    mistakes: Vec<SpecError>,
}

impl Check<'_> {
    fn within(&mut self, path: &[&str], check: impl FnOnce(&mut Self)) {
        let depth = self.path.len();
        self.path.extend(path.iter().map(|part| (*part).to_owned()));
        check(self);
        self.path.truncate(depth);
    }

    fn wrong(&mut self, path: &[&str], message: impl Into<String>) {
        let full: Vec<&str> = self.path.iter().map(String::as_str).chain(path.iter().copied()).collect();
        self.mistakes.push(self.document.error_at(&full, message));
    }

    fn cluster(&mut self, scenario: &Scenario) {
        if scenario.agents.iter().all(|group| group.count == 0) && scenario.cluster.is_none() {
            self.wrong(&["agents"], "there are no machines: add [[agents]] or [cluster]");
        }
        let mut count: u64 = 0;
        for (place, group) in scenario.agents.iter().enumerate() {
            let before = count;
            count += u64::from(group.count);
            if before <= MAX_MACHINES && count > MAX_MACHINES {
                let message = format!("a cluster has at most {MAX_MACHINES} machines");
                self.wrong(&["agents", &place.to_string(), "count"], message);
            }
            self.within(&["agents", &place.to_string()], |check| {
                check.resources("resources", &group.resources, "an agent");
                if let Ok((resources, gpus)) = gpus::read(&group.resources)
                    && let Err(error) = gpus::of_agent(&resources, gpus, true)
                {
                    check.wrong(&["resources"], error.to_string());
                }
                if let Some(name) = &group.name
                    && let Err(error) = name.parse::<apportion::protocol::AgentId>()
                {
                    check.wrong(&["name"], error.to_string());
                }
            });
        }
    }

    fn roles(&mut self, scenario: &Scenario) {
        for (place, role) in scenario.roles.iter().enumerate() {
            self.within(&["roles", &place.to_string()], |check| {
                if scenario.roles[..place].iter().any(|other| other.name == role.name) {
                    check.wrong(&["name"], format!("role '{}' is described twice", role.name));
                }
                if role.weight().is_none() {
                    check.wrong(&["weight"], "a weight is from 0.001 to 4294967.295");
                }
                if let Some(quota) = &role.quota {
                    if let Err(error) = quota.guarantee() {
                        check.wrong(&["quota", "guarantee"], error.to_string());
                    }
                    if let Err(error) = quota.limit() {
                        check.wrong(&["quota", "limit"], error.to_string());
                    }
                }
            });
        }
    }

    /// Whether the quotas can be kept together. Where one of them can't be read, that is said already.
    fn quotas(&mut self, scenario: &Scenario) {
        let mut quotas = Vec::new();
        for (place, role) in scenario.roles.iter().enumerate() {
            let Some(table) = &role.quota else { continue };
            let (Ok(guarantee), Ok(limit)) = (table.guarantee(), table.limit()) else { return };
            quotas.push((&role.name, Quota { guarantee, limit }, place));
        }
        // Parents first, as they are set.
        quotas.sort_unstable_by_key(|(role, ..)| *role);
        let mut allocator = DrfAllocator::new(DrfOptions::default());
        for (role, quota, place) in quotas {
            if let Err(error) = allocator.set_quota(role, &quota, true) {
                self.wrong(&["roles", &place.to_string(), "quota"], error.to_string());
            }
        }
    }

    fn framework(&mut self, framework: &FrameworkTable, until: Until) {
        if let Err(error) = framework.name.parse::<FrameworkId>() {
            self.wrong(&["name"], error.to_string());
        }
        if framework.jobs.is_empty() && framework.workload.is_none() && framework.workloads.is_empty() {
            self.wrong(
                &["jobs"],
                format!("framework '{}' has nothing to run: add 'jobs' or 'workload'", framework.name),
            );
        }
        for (place, job) in framework.jobs.iter().enumerate() {
            self.within(&["jobs", &place.to_string()], |check| check.job(job, framework.kind));
        }
        if let Some(workload) = &framework.workload {
            self.within(&["workload"], |check| check.workload(workload, framework.kind, until));
        }
        for (place, workload) in framework.workloads.iter().enumerate() {
            let path = ["workloads", &place.to_string()];
            self.within(&path, |check| check.workload(workload, framework.kind, until));
        }
    }

    fn job(&mut self, job: &JobTable, kind: super::Kind) {
        self.resources("resources", &job.resources, "a task");
        self.count("tasks", &job.tasks);
        self.duration(job.duration.as_ref(), kind);
    }

    fn duration(&mut self, duration: Option<&Length>, kind: super::Kind) {
        if duration.is_none() && kind != super::Kind::Service {
            self.wrong(
                &["duration"],
                "missing key 'duration': only tasks of kind = \"service\" may run for ever",
            );
        }
    }

    fn workload(&mut self, workload: &WorkloadTable, kind: super::Kind, until: Until) {
        match (&workload.file, &workload.arrivals) {
            (Some(_), Some(_)) => {
                self.wrong(&["arrivals"], "jobs come from a 'file' or by 'arrivals', not both");
            }
            (None, None) => self.wrong(&[], "a workload needs 'format' and 'file', or 'arrivals'"),
            (Some(_), None) => self.trace(workload),
            (None, Some(arrivals)) => {
                if !(arrivals.rate_per_s > 0.0 && arrivals.rate_per_s.is_finite()) {
                    self.wrong(&["arrivals", "rate_per_s"], "a rate is above 0");
                }
                if workload.limit.is_none() && arrivals.until.is_none() && until == Until::AllDone {
                    let message = "arrivals would never end: add 'limit' to the workload, 'until' to the arrivals, \
                                   or a time as the scenario's 'until'";
                    self.wrong(&["arrivals"], message);
                }
                if workload.resources.is_none() {
                    self.wrong(&["resources"], "missing key 'resources': arrivals don't say what tasks need");
                }
                if workload.format.is_some() || !workload.filter.is_empty() {
                    self.wrong(&["arrivals"], "'format' and 'where' are for files");
                }
                self.duration(workload.duration.as_ref(), kind);
            }
        }
        if let Some(resources) = &workload.resources {
            self.resources("resources", resources, "a task");
        }
        if let Some(tasks) = &workload.tasks {
            self.count("tasks", tasks);
        }
    }

    fn trace(&mut self, workload: &WorkloadTable) {
        if workload.format.is_none() {
            self.wrong(&["file"], "missing key 'format'");
        }
        if !(workload.time_scale >= 0.0 && workload.time_scale.is_finite()) {
            self.wrong(&["time_scale"], "times are multiplied by a number of at least 0");
        }
        for column in workload.filter.keys() {
            if crate::traces::TraceJob::default().text(column).is_none() {
                let message =
                    format!("rows can't be told by '{column}'; there are 'role', 'user' and 'job_id'");
                self.wrong(&["where", column], message);
            }
        }
    }

    fn count(&mut self, key: &str, count: &Count) {
        if *count == Count::Same(0) {
            self.wrong(&[key], "a job has at least 1 task");
        }
    }

    fn resources(&mut self, key: &str, text: &str, whose: &str) {
        match gpus::read(text) {
            Err(error) => self.wrong(&[key], error.to_string()),
            Ok((resources, gpus)) if resources.is_empty() && gpus.is_none() => {
                self.wrong(&[key], format!("{whose} without resources can't take part"));
            }
            Ok((resources, _)) => {
                let quantities = resources.quantities();
                for kind in quantities.iter().map(|(kind, _)| kind.as_str()) {
                    if !self.kinds.contains(kind) {
                        let known: Vec<&str> = self.kinds.iter().map(String::as_str).collect();
                        let known = known.join("', '");
                        self.wrong(&[key], format!("no machine has '{kind}'; there are '{known}'"));
                    }
                }
            }
        }
    }
}

/// What machines have, and what they usually have: a task that wants none of the latter may wait for ever, but is no mistake of spelling.
fn kinds_of_machines(scenario: &Scenario) -> BTreeSet<String> {
    let of_groups = scenario.agents.iter().filter_map(|group| gpus::read(&group.resources).ok());
    let of_groups = of_groups.map(|(resources, _)| resources.quantities());
    let usual = [Kind::Cpus, Kind::Mem, Kind::Disk, Kind::Gpus, Kind::Ports];
    let of_groups: Vec<Kind> =
        of_groups.flat_map(|of| of.iter().map(|(kind, _)| kind.clone()).collect::<Vec<_>>()).collect();
    usual.iter().chain(&of_groups).map(|kind| kind.as_str().to_owned()).collect()
}
