//! The service framework.

use std::sync::Arc;

use apportion::protocol::{RequestId, SchedulerEvent, TaskState};
use apportion::resources::Role;
use apportion::scheduler::{Planned, SchedulerInput, SchedulerOutput};
use apportion::time::Time;
use apportion_service::{
    BackoffTable, CheckTables, KIND, ServiceFramework, ServiceRequest, ServiceSpec, UpdateTable,
};

use super::{Blueprint, job_name, task_table};
use crate::frameworks::{Effort, Party, Plugged};
use crate::workload::Workload;

/// The priority of a service that does not say.
const PRIORITY: i32 = 50;

/// [`ServiceFramework`], to which the jobs of a workload are applied as services, and its operator.
#[derive(Debug)]
pub struct ServiceParty {
    plugged: Plugged<Planned<ServiceFramework>>,
    role: Role,
    workload: Arc<Workload>,
    /// How many instances of each service have not come to their end.
    left: Vec<u32>,
}

impl ServiceParty {
    /// The framework, without services as yet.
    pub fn new(blueprint: Blueprint) -> Self {
        let (role, workload) = (blueprint.role.clone(), blueprint.workload.clone());
        let framework = ServiceFramework::new(blueprint.name.as_str(), vec![role.clone()]);
        let left = workload.jobs.iter().map(|job| job.tasks).collect();
        ServiceParty { plugged: Plugged::new(blueprint.scheduler(framework)), role, workload, left }
    }

    fn spec(&self, number: u32) -> Option<ServiceSpec> {
        let job = self.workload.jobs.get(number as usize)?;
        Some(ServiceSpec {
            schema: apportion::spec::SCHEMA,
            kind: KIND.to_owned(),
            id: job_name(number),
            role: self.role.clone(),
            priority: u8::try_from(job.terms().priority.saturating_add(PRIORITY).clamp(0, 100))
                .unwrap_or_default(),
            replicas: job.tasks,
            task: task_table(self.workload.class_of(job), number)?,
            check: CheckTables::default(),
            update: UpdateTable::default(),
            backoff: BackoffTable::default(),
        })
    }

    /// One instance fewer is wanted.
    fn scale_down(&mut self, job: u32) -> Option<SchedulerInput> {
        let left = self.left.get_mut(job as usize)?;
        *left = left.saturating_sub(1);
        let id = job_name(job);
        let request = match *left {
            0 => ServiceRequest::Stop { id },
            replicas => ServiceRequest::Scale { id, replicas },
        };
        Some(SchedulerInput::LocalRequest { request: RequestId(u64::from(job)), data: request.encode() })
    }
}

/// The job that an instance is of: its service's name ends at the first dash.
fn job_of(instance: &str) -> Option<u32> {
    instance.split('-').next()?.strip_prefix('j')?.parse().ok()
}

impl Party for ServiceParty {
    fn handle(&mut self, now: Time, input: SchedulerInput, out: &mut Vec<SchedulerOutput>) {
        let finished = match &input {
            SchedulerInput::Event(SchedulerEvent::Update(status)) if status.state == TaskState::Finished => {
                job_of(status.task.as_str())
            }
            _ => None,
        };
        self.plugged.handle(now, input, out);
        if let Some(request) = finished.and_then(|job| self.scale_down(job)) {
            self.plugged.handle(now, request, out);
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        self.plugged.next_deadline()
    }

    fn effort(&self) -> Effort {
        self.plugged.effort()
    }

    fn arrival(&self, job: u32) -> Vec<u8> {
        self.spec(job).map(|spec| ServiceRequest::Apply { spec: Box::new(spec) }.encode()).unwrap_or_default()
    }
}
