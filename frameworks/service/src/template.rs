//! What the tasks of one version have in common.

use std::sync::Arc;

use apportion::protocol::{CommandInfo, TaskId, Work};
use apportion::resources::{Role, Shape};
use apportion::scheduler::TaskRequest;

use crate::spec::ServiceSpec;

/// Makes the tasks of one version.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    role: Role,
    shape: Arc<Shape>,
    command: Arc<CommandInfo>,
    priority: i32,
}

impl Template {
    pub(crate) fn new(spec: &ServiceSpec, version: u32) -> Self {
        let mut command = spec.task.command_info(spec.check.checks());
        command.env.insert("SERVICE".to_owned(), spec.name());
        command.env.insert("VERSION".to_owned(), version.to_string());
        Template {
            role: spec.role.clone(),
            shape: Arc::new(spec.task.shape()),
            command: Arc::new(command),
            priority: spec.priority.into(),
        }
    }

    /// The task of one instance.
    pub(crate) fn request(&self, id: TaskId, number: u64) -> TaskRequest {
        let work = Work::Command(Arc::clone(&self.command));
        let mut request = TaskRequest::new(id, self.role.clone(), Arc::clone(&self.shape), work);
        request.priority = self.priority;
        request.env.insert("INSTANCE".to_owned(), number.to_string());
        request
    }
}
