//! Executors' connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Semaphore, mpsc};

use super::backlog::BATCHES_OF_EXECUTOR;
use super::driver::Event;
use crate::net::{Accepted, CertificateAuthority, CloseCode, Connection, Endpoint, NetError, serve_renewals};
use crate::protocol::{ConnectionId, ExecutorCall, ExecutorEvent, ExecutorId, FrameworkId, Identity};

/// Takes executors' connections until the agent has ended.
pub(super) async fn take_executors(
    endpoint: Endpoint,
    authority: Arc<CertificateAuthority>,
    events: mpsc::Sender<Event>,
) {
    let last_connection = Arc::new(AtomicU64::new(0));
    while let Some(incoming) = endpoint.accept().await {
        let (events, authority, last_connection) =
            (events.clone(), authority.clone(), last_connection.clone());
        tokio::spawn(async move {
            let from = incoming.remote_address();
            let outcome = match incoming.establish().await {
                Ok(Accepted::Member(connection)) => {
                    let id = ConnectionId(last_connection.fetch_add(1, Ordering::Relaxed) + 1);
                    let link = connection.link().clone();
                    let renewals = async {
                        // It ends with the connection, of which the other side tells.
                        let _ = serve_renewals(&link, &authority).await;
                        std::future::pending().await
                    };
                    tokio::select! {
                        outcome = converse(*connection, id, events) => outcome,
                        outcome = renewals => outcome,
                    }
                }
                Ok(Accepted::Newcomer(_)) => Ok(()),
                Err(error) => Err(error),
            };
            if let Err(error) = outcome {
                tracing::debug!(%from, %error, "an executor's connection ended");
            }
        });
    }
}

async fn converse(
    connection: Connection,
    id: ConnectionId,
    events: mpsc::Sender<Event>,
) -> Result<(), NetError> {
    let link = connection.link().clone();
    let Some((framework, executor)) = executor_of(connection.peer()) else {
        link.close(CloseCode::RoleRefused, "only the agent's executors are taken here");
        return Ok(());
    };
    let (outbox, sender, mut receiver) = connection.split::<ExecutorEvent, ExecutorCall>();
    let sending = tokio::spawn(sender.drive());
    let connected = Event::ExecutorConnected { connection: id, framework, executor, outbox, link };
    let in_flight = Arc::new(Semaphore::new(BATCHES_OF_EXECUTOR));
    let mut outcome = Ok(());
    let mut is_heard = events.send(connected).await.is_ok();
    while is_heard {
        let mut calls = Vec::new();
        match receiver.recv_batch(&mut calls).await {
            Ok(0) => break,
            Ok(_) => {
                // The semaphore is never closed.
                let Ok(permit) = in_flight.clone().acquire_owned().await else { break };
                let calls = Event::ExecutorCalls { connection: id, calls, permit };
                is_heard = events.send(calls).await.is_ok();
            }
            Err(error) => {
                outcome = Err(error);
                break;
            }
        }
    }
    // Fails when the agent has ended.
    let _ = events.send(Event::ExecutorDisconnected(id)).await;
    sending.abort();
    outcome
}

/// The framework and the executor that a certificate of the agent's own names.
fn executor_of(identity: &Identity) -> Option<(FrameworkId, ExecutorId)> {
    let (framework, executor) = identity.name().split_once('/')?;
    Some((framework.parse().ok()?, executor.parse().ok()?))
}
