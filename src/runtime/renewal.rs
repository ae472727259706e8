//! Keeps the certificates of running parties from expiring.

use std::time::Duration;

use crate::net::{Credentials, NetError};

/// From a renewal that failed to the next try; at least this much of a certificate's time is left then, a month usually.
const RETRY: Duration = Duration::from_secs(60);

/// The shortest time between two tries, for certificates that last for seconds.
const SHORTEST_RETRY: Duration = Duration::from_millis(200);

/// Renews credentials whenever it is time, as long as it is driven.
pub(super) async fn keep_fresh<F>(credentials: &Credentials, renew: impl Fn() -> F)
where
    F: Future<Output = Result<(), NetError>>,
{
    loop {
        tokio::time::sleep(credentials.renewal_due_in()).await;
        let identity = credentials.identity();
        match renew().await {
            Ok(()) => tracing::info!(%identity, "certificate renewed"),
            Err(error) => {
                tracing::warn!(%identity, %error, "the certificate could not be renewed; trying again");
                tokio::time::sleep(RETRY.min(credentials.time_left() / 8).max(SHORTEST_RETRY)).await;
            }
        }
    }
}
