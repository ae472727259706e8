//! Demand: what a framework waits for, so that it is offered what it can use.

use serde::{Deserialize, Serialize};

use crate::resources::Quantities;

/// Tasks of one shape that a framework waits for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DemandGroup {
    /// How many; [`ANY_NUMBER`](Self::ANY_NUMBER) has no bound.
    pub count: u32,
    /// What each of them takes. A shape of nothing fits anywhere, once.
    pub shape: Quantities,
}

impl DemandGroup {
    /// A count without bound: whatever fits one task is offered, for whoever wants to choose.
    pub const ANY_NUMBER: u32 = u32::MAX;
}
