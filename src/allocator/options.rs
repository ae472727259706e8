//! What can be set about the allocator.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::preemption::PreemptionOptions;
use crate::resources::{Kind, Quantities, Resources};

/// What can be set about a [`DrfAllocator`](super::DrfAllocator).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DrfOptions {
    /// Less than this is not offered: one of these amounts suffices, and without any, everything is offered. Mesos'
    /// default: 0.01 cpus or 32 MiB.
    pub min_allocatable: Vec<Quantities>,
    /// Resources that come back, and changed rules, wait for the next multiple of this interval, so that much is allocated
    /// at once; Mesos' default is a second. With zero, as by default, nothing waits.
    pub allocation_interval: Duration,
    /// Whether newcomers and revivals do not wait: they are served at once.
    pub allocate_on_events: bool,
    /// Who is served first.
    pub sorter: Sorter,
    /// Who of those that are equally far below their fair share is served first.
    pub ties: Ties,
    /// Looks at agents in an order that is shuffled for each cycle by this seed, instead of that in which they joined.
    pub shuffle_agents: Option<u64>,
    /// Kinds of which shares do not count, such as gpus.
    pub fairness_excluded: Vec<Kind>,
    /// For how long a gang gathers resources at most, before another has its turn; see [`OfferSet`](super::OfferSet).
    pub gang_hold: Duration,
    /// Whether tasks of roles that have too much make room for others.
    pub preemption: PreemptionOptions,
    /// The master's region: agents of other regions are remote. `None`: the region of the first agent that has one.
    pub region: Option<String>,
}

/// Who is served first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sorter {
    /// Whoever is furthest below its fair share.
    #[default]
    Drf,
    /// Anyone, in proportion to the weights.
    Random {
        /// The same seed gives the same orders.
        seed: u64,
    },
}

/// Who of those that are equally far below their fair share is served first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ties {
    /// Whoever was given something less often, then the first by name: as in Mesos, equals take turns.
    #[default]
    FewerAllocations,
    /// The first by name: as papers work out their examples.
    Name,
}

impl Default for DrfOptions {
    fn default() -> Self {
        let cpus = Resources::cpus_mem(10, 0).quantities();
        let memory = Resources::cpus_mem(0, 32).quantities();
        DrfOptions {
            min_allocatable: vec![cpus, memory],
            allocation_interval: Duration::ZERO,
            allocate_on_events: true,
            sorter: Sorter::Drf,
            ties: Ties::default(),
            shuffle_agents: None,
            fairness_excluded: Vec::new(),
            gang_hold: Duration::from_secs(300),
            preemption: PreemptionOptions::default(),
            region: None,
        }
    }
}
