//! Keeps principals to the rates that the rules allow.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::protocol::{Identity, Rules};

/// How much faster than its rate someone may be for a moment, as the time that the burst would take at that rate.
const BURST: Duration = Duration::from_secs(1);

/// What all connections of each principal have said together: more connections don't make anyone faster.
#[derive(Debug)]
pub(super) struct Paces {
    rules: watch::Receiver<Arc<Rules>>,
    /// By those who have a limit: when all their calls so far would have come at the rate. Those who are gone are kept until then.
    paid_until: Mutex<FxHashMap<Identity, Instant>>,
}

impl Paces {
    pub(super) fn new(rules: watch::Receiver<Arc<Rules>>) -> Arc<Self> {
        Arc::new(Paces { rules, paid_until: Mutex::default() })
    }

    /// For one more connection of a principal.
    pub(super) fn of(self: &Arc<Self>, who: Identity) -> Pace {
        let rules = self.rules.clone();
        let limit = rules.borrow().calls_per_s(&who);
        Pace { who, rules, limit, paces: self.clone() }
    }

    /// Counts calls; when they are within the rate.
    fn charge(&self, who: &Identity, calls: usize, limit: u32) -> Option<Instant> {
        let now = Instant::now();
        let cost = Duration::from_secs(1).mul_f64(calls as f64 / f64::from(limit));
        let mut all = self.paid_until.lock();
        let paid_until = all.entry(who.clone()).or_insert(now);
        *paid_until = now.max(*paid_until) + cost;
        paid_until.checked_sub(BURST).filter(|start| *start > now)
    }
}

/// Makes the reader of a connection wait, so that its sender is held back by the connection's own flow control and nobody else is.
#[derive(Debug)]
pub(super) struct Pace {
    who: Identity,
    rules: watch::Receiver<Arc<Rules>>,
    limit: Option<u32>,
    paces: Arc<Paces>,
}

impl Pace {
    /// Waits until so many calls more are within the rate.
    pub(super) async fn keep(&mut self, calls: usize) {
        if self.rules.has_changed().unwrap_or(false) {
            self.limit = self.rules.borrow_and_update().calls_per_s(&self.who);
        }
        let Some(limit) = self.limit else { return };
        if let Some(start) = self.paces.charge(&self.who, calls, limit) {
            tracing::debug!(who = %self.who, limit, "held back to its rate");
            tokio::time::sleep_until(start).await;
        }
    }
}

/// Whoever has paid is forgotten.
impl Drop for Pace {
    fn drop(&mut self) {
        let mut all = self.paces.paid_until.lock();
        if all.get(&self.who).is_some_and(|paid_until| *paid_until <= Instant::now()) {
            all.remove(&self.who);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::rules::RateLimit;

    fn ten_per_s() -> Arc<Rules> {
        let limit = RateLimit { principals: vec!["*".parse().unwrap()], calls_per_s: 10.try_into().unwrap() };
        Arc::new(Rules { limit: vec![limit], ..Rules::default() })
    }

    fn framework(name: &str) -> Identity {
        format!("spiffe://test/framework/{name}").parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn bursts_pass_and_floods_wait() {
        let (publish, rules) = watch::channel(ten_per_s());
        let mut pace = Paces::new(rules).of(framework("f"));
        let start = Instant::now();
        pace.keep(10).await;
        assert_eq!(start.elapsed(), Duration::ZERO, "a burst of a second");
        pace.keep(30).await;
        assert_eq!(start.elapsed().as_secs(), 3);
        publish.send_replace(Arc::default());
        pace.keep(1_000_000).await;
        assert_eq!(start.elapsed().as_secs(), 3, "no limit any more");
    }

    #[tokio::test(start_paused = true)]
    async fn more_connections_are_no_faster_and_neither_are_new_ones() {
        let (_publish, rules) = watch::channel(ten_per_s());
        let paces = Paces::new(rules);
        let (mut first, mut second) = (paces.of(framework("f")), paces.of(framework("f")));
        let mut other = paces.of(framework("g"));
        let start = Instant::now();
        first.keep(10).await;
        second.keep(10).await;
        assert_eq!(start.elapsed().as_secs(), 1, "the other connection has used the burst up");
        drop((first, second));
        paces.of(framework("f")).keep(10).await;
        assert_eq!(start.elapsed().as_secs(), 2, "whoever connects anew has what is left");
        other.keep(10).await;
        assert_eq!(start.elapsed().as_secs(), 2, "others don't wait for it");
        tokio::time::advance(BURST).await;
        drop(other);
        drop(paces.of(framework("f")));
        assert!(paces.paid_until.lock().is_empty(), "nobody is kept who has paid");
    }
}
