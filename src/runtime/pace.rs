//! Keeps a connection to the rate that the rules allow.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::protocol::{Identity, Rules};

/// How much faster than its rate someone may be for a moment, as the time that the burst would take at that rate.
const BURST: Duration = Duration::from_secs(1);

/// Makes the reader of a connection wait, so that its sender is held back by the connection's own flow control and nobody else is.
#[derive(Debug)]
pub(super) struct Pace {
    who: Identity,
    rules: watch::Receiver<Arc<Rules>>,
    limit: Option<u32>,
    /// When all calls so far would have come at the rate.
    paid_until: Instant,
}

impl Pace {
    pub(super) fn new(who: Identity, rules: watch::Receiver<Arc<Rules>>) -> Self {
        let limit = rules.borrow().calls_per_s(&who);
        Pace { who, rules, limit, paid_until: Instant::now() }
    }

    /// Waits until so many calls more are within the rate.
    pub(super) async fn keep(&mut self, calls: usize) {
        if self.rules.has_changed().unwrap_or(false) {
            self.limit = self.rules.borrow_and_update().calls_per_s(&self.who);
        }
        let Some(limit) = self.limit else { return };
        let now = Instant::now();
        let cost = Duration::from_secs(1).mul_f64(calls as f64 / f64::from(limit));
        self.paid_until = self.paid_until.max(now) + cost;
        if let Some(start) = self.paid_until.checked_sub(BURST).filter(|start| *start > now) {
            tracing::debug!(who = %self.who, limit, "held back to its rate");
            tokio::time::sleep_until(start).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::rules::RateLimit;

    #[tokio::test(start_paused = true)]
    async fn bursts_pass_and_floods_wait() {
        let limit = RateLimit { principals: vec!["*".parse().unwrap()], calls_per_s: 10.try_into().unwrap() };
        let (publish, rules) = watch::channel(Arc::new(Rules { limit: vec![limit], ..Rules::default() }));
        let mut pace = Pace::new("spiffe://test/framework/f".parse().unwrap(), rules);
        let start = Instant::now();
        pace.keep(10).await;
        assert_eq!(start.elapsed(), Duration::ZERO, "a burst of a second");
        pace.keep(30).await;
        assert_eq!(start.elapsed().as_secs(), 3);
        publish.send_replace(Arc::default());
        pace.keep(1_000_000).await;
        assert_eq!(start.elapsed().as_secs(), 3, "no limit any more");
    }
}
