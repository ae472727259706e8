//! The time in which a master leads.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

use super::{Etcd, EtcdStore};
use crate::protocol::Epoch;
use crate::store::StoreError;

/// A lease is renewed this many times within its length, so that one member that hangs ends nothing.
const RENEWALS: u32 = 4;

/// From a renewal that failed to the next try.
const RETRY: Duration = Duration::from_millis(100);

/// A master's time as the leader. It ends when its lease can't be renewed, by this machine's own clock and so no later than for etcd; or
/// when another master leads. Dropping it lets the lease run out.
#[derive(Debug)]
pub struct Tenure {
    shared: Arc<Shared>,
    renewing: AbortHandle,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) etcd: Etcd,
    pub(super) address: String,
    pub(super) epoch: Epoch,
    pub(super) lease: i64,
    /// Until when the lease holds at least; `None` when the tenure has ended.
    valid_until: watch::Sender<Option<Instant>>,
    /// How often the leader's key was written in this tenure; etcd counts the same. Held while a transaction is under way.
    pub(super) writes: Mutex<i64>,
}

impl Tenure {
    pub(super) fn begin(
        etcd: Etcd,
        address: String,
        epoch: Epoch,
        lease: i64,
        length: Duration,
        valid_until: Instant,
    ) -> Self {
        let shared = Arc::new(Shared {
            etcd,
            address,
            epoch,
            lease,
            valid_until: watch::Sender::new(Some(valid_until)),
            writes: Mutex::new(1),
        });
        let renewing = shared.etcd.members.spawn(keep(shared.clone(), length / RENEWALS));
        Tenure { shared, renewing }
    }

    /// Its epoch.
    pub fn epoch(&self) -> Epoch {
        self.shared.epoch
    }

    /// A store that takes writes while this tenure lasts, and refuses them afterwards.
    pub fn store(&self) -> EtcdStore {
        EtcdStore::new(self.shared.clone())
    }

    /// Tells at any time whether the tenure lasts.
    pub fn watch(&self) -> impl Fn() -> bool + Send + 'static {
        let shared = self.shared.clone();
        move || shared.lasts()
    }

    /// Waits for its end.
    pub async fn ended(&self) {
        let mut valid = self.shared.valid_until.subscribe();
        // The sender is here.
        let _ = valid.wait_for(Option::is_none).await;
    }

    /// Ends it, so that another master can lead at once.
    ///
    /// # Errors
    /// When etcd does not answer; the lease then runs out by itself.
    pub async fn resign(self) -> Result<(), StoreError> {
        self.renewing.abort();
        self.shared.end();
        self.shared.etcd.members.revoke(self.shared.lease).await
    }
}

impl Drop for Tenure {
    fn drop(&mut self) {
        self.renewing.abort();
        self.shared.end();
    }
}

impl Shared {
    pub(super) fn lasts(&self) -> bool {
        self.valid_until.borrow().is_some_and(|until| Instant::now() < until)
    }

    pub(super) fn end(&self) {
        self.valid_until.send_replace(None);
    }
}

/// Renews the lease until that fails for as long as it lasts.
async fn keep(shared: Arc<Shared>, interval: Duration) {
    let mut pause = interval;
    loop {
        tokio::time::sleep(pause).await;
        let Some(until) = *shared.valid_until.borrow() else { return };
        pause = match timeout_at(until, shared.etcd.members.renew(shared.lease)).await {
            Ok(Ok(Some(until))) => {
                shared
                    .valid_until
                    .send_if_modified(|valid| valid.as_mut().map(|valid| *valid = until).is_some());
                interval
            }
            Ok(Ok(None)) | Err(_) => {
                tracing::warn!(epoch = %shared.epoch, "the leader's lease has ended");
                return shared.end();
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "the leader's lease could not be renewed; trying again");
                RETRY
            }
        };
    }
}
