//! The master: owns the cluster's resources and offers them.
//!
//! [`Master`] is a pure state machine. Its driver tells it what happened as an [`Input`] and carries out the [`Output`]s;
//! it asks [`Master::next_deadline`] when to call back with [`Input::Tick`]. Offers are made at ticks only, so that a batch
//! of inputs costs one allocation.
//!
//! | file | idea |
//! | --- | --- |
//! | `machine` | inputs, outputs, and who handles what |
//! | `agents` | registration, what agents say, the tasks that they bring along |
//! | `doubts` | tasks of which an agent has to show that it does not have them |
//! | `pings` | how long an agent may be silent |
//! | `unreachable` | pings, agents that can't be reached, and when those are forgotten |
//! | `frameworks` | subscription, failover, teardown, and the calls that need no offer |
//! | `offers` | offers that are out; making, rescinding and declining them |
//! | `accept` | operations on offers, validated and applied atomically |
//! | `tasks` | what runs, updates, kills, reconciliation |
//! | `maintenance` | agents that will be away, and frameworks that are asked to leave them |
//! | `rules` | quotas, and the machines that are used |
//! | `authorisation` | who may do what |
//! | `preemption` | tasks that are warned and stopped so that others find room |
//! | `registry` | what must not be forgotten, and outputs that wait until it is durable |
//! | `recovery` | a master that starts anew |
//! | `operators` | requests of operators, relayed questions, explanations |
//! | [`journal`] | what a master was told, so that it can be replayed |
//! | `state` | the cluster as operators see it |
//!
//! What the master knows of tasks is soft state: agents tell it again when it starts anew. The rest is in its registry, whose
//! changes it hands out as [`Output::Store`]; the outputs that follow wait inside the master for [`Input::Stored`].
//!
//! Its memory follows what there is: 2.9 kB per agent with its offer, 1.7 kB per task that runs and 1.9 kB per framework, names and command
//! lines of usual length included (`cargo bench --bench memory`): 29 MB for 10,000 agents, 169 MB for 100,000 tasks.

mod accept;
mod agents;
mod authorisation;
mod doubts;
mod frameworks;
mod gone;
pub mod journal;
mod machine;
mod maintenance;
mod offers;
mod operators;
mod pings;
mod preemption;
mod recovery;
mod registry;
mod rules;
mod state;
mod tasks;
mod unreachable;

#[cfg(test)]
mod optimistic_tests;
#[cfg(test)]
mod preemption_tests;
#[cfg(test)]
mod recovery_tests;
#[cfg(test)]
mod rules_tests;
#[cfg(test)]
mod set_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod volume_tests;

pub use frameworks::{RECOVERED_FRAMEWORK_TIMEOUT, UNACKNOWLEDGED_ENDS};
pub use machine::{Input, Master, Output};
pub use operators::QUESTIONS_PENDING;
pub use pings::{AGENT_PING_INTERVAL, AGENT_PING_LIMIT, PingInterval, PingIntervalError, PingOptions};
pub use recovery::{RECOVERED_FRAMEWORK_GRACE, RECOVERY_PERCENT, RECOVERY_TIMEOUT};
pub use tasks::COMPLETED_TASKS_KEPT;
pub use unreachable::{
    AGENT_REMOVAL_BURST, AGENT_REMOVAL_INTERVAL, UNREACHABLE_AGENT_MAX_AGE, UNREACHABLE_AGENTS_KEPT,
};
