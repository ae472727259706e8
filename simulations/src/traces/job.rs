//! A row of a trace, whatever its format.

use apportion::resources::{GpuRequest, Kind, Resource, Resources, Scalar, Value};

use crate::values::Span;

/// Tasks that arrive together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TraceJob {
    /// Its name.
    pub id: String,
    /// When it arrives, from the start of the trace.
    pub submit: Span,
    /// How long each task runs; `None` when the trace does not say.
    pub runtime: Option<Span>,
    /// How long its owner says that each task runs at most.
    pub limit: Option<Span>,
    /// How many tasks.
    pub tasks: u32,
    /// Whether all tasks start together or none does.
    pub gang: bool,
    /// What each task needs, in cores.
    pub cpus: Scalar,
    /// In MiB.
    pub mem: Scalar,
    /// In MiB.
    pub disk: Scalar,
    /// GPUs.
    pub gpus: GpuRequest,
    /// Models of GPU that will do; any when there are none.
    pub gpu_models: Vec<String>,
    /// The role, queue, or virtual cluster that it counts for.
    pub queue: String,
    /// Who submitted it.
    pub user: String,
}

impl TraceJob {
    /// What each task needs, without GPUs.
    pub fn resources(&self) -> Resources {
        bundle([(Kind::Cpus, self.cpus), (Kind::Mem, self.mem), (Kind::Disk, self.disk)])
    }

    /// Whether it needs neither resources nor GPUs.
    pub fn needs_nothing(&self) -> bool {
        [self.cpus, self.mem, self.disk].iter().all(|amount| amount.is_zero()) && self.gpus.count == 0
    }

    /// The text of a column, by any of the names that traces have for it; `None` for a column that there is not.
    pub fn text(&self, column: &str) -> Option<&str> {
        match column {
            "job_id" | "id" | "name" => Some(&self.id),
            "queue" | "role" | "vc" | "cluster" | "qos" => Some(&self.queue),
            "user" => Some(&self.user),
            _ => None,
        }
    }
}

/// A machine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TraceNode {
    /// Its name.
    pub id: String,
    /// In cores.
    pub cpus: Scalar,
    /// In MiB.
    pub mem: Scalar,
    /// In MiB.
    pub disk: Scalar,
    /// How many GPUs it has.
    pub gpus: u32,
    /// Their model; empty when it has none or the trace does not say.
    pub gpu_model: String,
}

impl TraceNode {
    /// What it has, without GPUs.
    pub fn resources(&self) -> Resources {
        bundle([(Kind::Cpus, self.cpus), (Kind::Mem, self.mem), (Kind::Disk, self.disk)])
    }
}

/// Scalars of well-known kinds, without those that are zero.
fn bundle<const N: usize>(amounts: [(Kind, Scalar); N]) -> Resources {
    let some = amounts.into_iter().filter(|(_, amount)| !amount.is_zero());
    some.filter_map(|(kind, amount)| Resource::new(kind, Value::Scalar(amount)).ok()).collect()
}
