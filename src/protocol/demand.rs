//! Demand: what a framework waits for, so that it is offered what it can use.

use serde::{Deserialize, Serialize};

use crate::resources::Quantities;

/// Tasks of one shape that a framework waits for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DemandGroup {
    /// How many.
    pub count: u32,
    /// What each of them takes. A shape of nothing fits anywhere, once.
    pub shape: Quantities,
}
