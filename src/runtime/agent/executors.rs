//! Executors' connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

use super::driver::Event;
use crate::net::{Accepted, CloseCode, Connection, Endpoint, NetError};
use crate::protocol::{ConnectionId, ExecutorCall, ExecutorEvent, ExecutorId, FrameworkId, Identity};

/// Takes executors' connections until the agent has ended.
pub(super) async fn take_executors(endpoint: Endpoint, events: mpsc::Sender<Event>) {
    let last_connection = Arc::new(AtomicU64::new(0));
    while let Some(incoming) = endpoint.accept().await {
        let (events, last_connection) = (events.clone(), last_connection.clone());
        tokio::spawn(async move {
            let from = incoming.remote_address();
            let outcome = match incoming.establish().await {
                Ok(Accepted::Member(connection)) => {
                    let id = ConnectionId(last_connection.fetch_add(1, Ordering::Relaxed) + 1);
                    converse(*connection, id, events).await
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
    let mut outcome = Ok(());
    let mut is_heard = events.send(connected).await.is_ok();
    while is_heard {
        let mut calls = Vec::new();
        match receiver.recv_batch(&mut calls).await {
            Ok(0) => break,
            Ok(_) => is_heard = events.send(Event::ExecutorCalls { connection: id, calls }).await.is_ok(),
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
