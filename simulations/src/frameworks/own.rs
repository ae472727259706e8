//! Placement policies of one's own.

use std::fmt;
use std::sync::Arc;

use apportion::scheduler::{Offer, Score, TaskRequest};

/// A placement policy that does not come with the simulator: any [`Score`], the very trait that schedulers use in production.
#[derive(Clone)]
pub struct OwnPlacement(Arc<dyn Score + Send + Sync>);

impl OwnPlacement {
    /// The policy that prefers what scores highest; among equals, the first.
    pub fn new(score: impl Score + Send + Sync + 'static) -> Self {
        OwnPlacement(Arc::new(score))
    }
}

impl Score for OwnPlacement {
    fn score(&self, task: &TaskRequest, offer: &Offer) -> f64 {
        self.0.score(task, offer)
    }
}

impl fmt::Debug for OwnPlacement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnPlacement")
    }
}

impl PartialEq for OwnPlacement {
    /// The same policy; one that is made alike is another.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
