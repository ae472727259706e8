//! The frameworks of a scenario.

use std::num::NonZeroU32;

use apportion::resources::Role;
use apportion::scheduler::Placement;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{JobTable, WorkloadTable};
use crate::frameworks::QueuePolicy;
use crate::values::Span;

/// A framework and what it runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrameworkTable {
    /// Its name.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// What kind of framework it is.
    #[serde(default)]
    pub kind: Kind,
    /// Which of the offers that a task fits it is launched on.
    #[serde(default)]
    pub placement: Placement,
    /// Who is next; by default, as its kind has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<QueuePolicy>,
    /// How long it takes to decide.
    #[serde(default)]
    pub decision: Decision,
    /// How many tasks it launches on an offer before it gives back the rest.
    #[serde(default)]
    pub per_offer: PerOffer,
    /// How long an offer that it can't use is not made again, unless something else is to be launched or more is free.
    #[serde(default = "a_long_time")]
    pub refuse: Span,
    /// Whether it tells the master what it waits for, and is offered that; or is offered all that is free, as in Mesos.
    #[serde(default = "yes")]
    pub states_demand: bool,
    /// What it runs.
    #[serde(default)]
    pub jobs: Vec<JobTable>,
    /// What it runs, from a trace or a random process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<WorkloadTable>,
    /// More of that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workloads: Vec<WorkloadTable>,
}

impl FrameworkTable {
    /// Whether it has keys that only the queue knows.
    pub(super) fn is_of_queue(&self) -> bool {
        self.decision.jobs.is_some()
            || self.policy.is_some()
            || self.refuse != a_long_time()
            || !self.states_demand
    }
}

/// It asks for offers when it can use what it refused: nothing else has to bring them back.
fn a_long_time() -> Span {
    Span::from_nanos(365 * 24 * 3600 * 1_000_000_000)
}

fn yes() -> bool {
    true
}

/// What kind of framework it is.
///
/// `batch` and `service` run the code of production, as long as its specs can say what is asked for. Gangs of services, GPUs in parts or by model,
/// kinds of resource of one's own, and the keys `policy`, `refuse`,
/// `states_demand` and `decision.jobs` are only for the
/// simulator's queue, which then plays the framework instead; the summary tells who did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Jobs of tasks that end, in `apportion-batch`. A task that fits nowhere does not hold up others; one that fails runs again.
    Batch,
    /// A job is a service of `apportion-service`, a task one of its replicas: it runs until the end of the run, unless a duration is
    /// given. What is lost or fails is started again.
    Service,
    /// A plain queue for models: strictly first in, first out.
    #[default]
    Queue,
}

/// How long a framework takes to decide. Meanwhile it holds what it was offered, and hears nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// For each job that it begins to place, or tries to place again after it failed to.
    #[serde(default)]
    pub per_job: Span,
    /// For each task that it launches.
    #[serde(default)]
    pub per_task: Span,
    /// It decides on so many jobs at a time at most, and then says what it decided; on all that it can, by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jobs: Option<NonZeroU32>,
}

/// How many tasks are launched on an offer: a number, or `"all"` for as many as fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerOffer(
    /// At least 1.
    pub u32,
);

impl Default for PerOffer {
    /// One: after each task the allocator decides anew who is next, as dominant-resource fairness is defined.
    fn default() -> Self {
        PerOffer(1)
    }
}

impl Serialize for PerOffer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 == u32::MAX { serializer.serialize_str("all") } else { serializer.serialize_u32(self.0) }
    }
}

impl<'de> Deserialize<'de> for PerOffer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberOrAll;
        impl serde::de::Visitor<'_> for NumberOrAll {
            type Value = PerOffer;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a whole number of at least 1, or \"all\"")
            }
            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<PerOffer, E> {
                let number = u32::try_from(number).ok().filter(|number| *number > 0);
                let refused = || E::custom("on an offer at least 1 task is launched");
                number.map(PerOffer).ok_or_else(refused)
            }
            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<PerOffer, E> {
                self.visit_u64(u64::try_from(number).unwrap_or(0))
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<PerOffer, E> {
                let refused = || E::custom(format!("unknown value '{text}'; write a number, or \"all\""));
                (text == "all").then_some(PerOffer(u32::MAX)).ok_or_else(refused)
            }
        }
        deserializer.deserialize_any(NumberOrAll)
    }
}
