//! The batch framework.

use std::collections::BTreeMap;
use std::sync::Arc;

use apportion::resources::Role;
use apportion::scheduler::{Planned, SchedulerInput, SchedulerOutput};
use apportion::spec::WithTask;
use apportion::time::Time;
use apportion_batch::{BatchFramework, BatchRequest, BatchSpec, KIND, RetryTable, StepKeys};

use super::{Blueprint, job_name, task_table};
use crate::frameworks::{Effort, Party, Plugged};
use crate::workload::Workload;

/// [`BatchFramework`], to which the jobs of a workload are submitted.
#[derive(Debug)]
pub struct BatchParty {
    plugged: Plugged<Planned<BatchFramework>>,
    role: Role,
    workload: Arc<Workload>,
}

impl BatchParty {
    /// The framework, without jobs as yet.
    pub fn new(blueprint: Blueprint) -> Self {
        let (role, workload) = (blueprint.role.clone(), blueprint.workload.clone());
        let framework = BatchFramework::new(blueprint.name.as_str(), vec![role.clone()]);
        BatchParty { plugged: Plugged::new(blueprint.scheduler(framework)), role, workload }
    }

    /// A job as a spec of one step.
    fn spec(&self, number: u32) -> Option<BatchSpec> {
        let job = self.workload.jobs.get(number as usize)?;
        let keys = StepKeys {
            name: "t".to_owned(),
            needs: Vec::new(),
            count: job.tasks,
            parallel: None,
            gang: job.is_gang(),
            retry: RetryTable { limit: u32::MAX, ..RetryTable::default() },
        };
        let task = task_table(self.workload.class_of(job), number)?;
        Some(BatchSpec {
            schema: apportion::spec::SCHEMA,
            kind: KIND.to_owned(),
            id: job_name(number),
            role: self.role.clone(),
            env: BTreeMap::new(),
            step: vec![WithTask { rest: keys, task }],
        })
    }
}

impl Party for BatchParty {
    fn handle(&mut self, now: Time, input: SchedulerInput, out: &mut Vec<SchedulerOutput>) {
        self.plugged.handle(now, input, out);
    }

    fn next_deadline(&self) -> Option<Time> {
        self.plugged.next_deadline()
    }

    fn effort(&self) -> Effort {
        self.plugged.effort()
    }

    fn arrival(&self, job: u32) -> Vec<u8> {
        self.spec(job).map(|spec| BatchRequest::Submit { spec: Box::new(spec) }.encode()).unwrap_or_default()
    }
}
