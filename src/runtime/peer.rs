//! Keeps a party connected with the one peer that it depends on.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::RuntimeError;
use super::addresses::{self, Addresses, is_final};
use super::renewal::keep_fresh;
use crate::net::{
    CloseCode, Connection, Credentials, Endpoint, Expect, Link, NetError, Outbox, Receiver, Settings, renew,
};

/// From a failed try to connect to the next, at first; doubled up to [`RECONNECT_MAX`].
const RECONNECT_FIRST: Duration = Duration::from_millis(50);

/// The longest wait between two tries to connect.
const RECONNECT_MAX: Duration = Duration::from_secs(1);

/// How long what is queued may take to go out when a party ends.
const FAREWELL: Duration = Duration::from_secs(5);

/// Batches that were received and wait for their machine; more hold the sender up.
const BATCHES_WAITING: usize = 16;

/// What happens between a party and its peer.
#[derive(Debug)]
pub(super) enum PeerEvent<Out, In> {
    /// There is a connection.
    Connected {
        /// What is sent there.
        outbox: Outbox<Out>,
        /// To end it with a reason.
        link: Link,
    },
    /// The peer speaks.
    Received(Vec<In>),
    /// There is no connection any more; another one is tried for.
    Disconnected,
    /// The peer won't have us, and trying again can't help.
    Refused(NetError),
}

/// A connection that is made again whenever it is lost.
#[derive(Debug)]
pub(super) struct Peer<Out, In> {
    events: mpsc::Receiver<PeerEvent<Out, In>>,
    keeping: JoinHandle<()>,
}

impl<Out, In> Peer<Out, In>
where
    Out: Serialize + Send + 'static,
    In: DeserializeOwned + Send + 'static,
{
    /// Begins to connect with whoever is at one of these addresses and as expected.
    ///
    /// # Errors
    /// When the credentials or the system don't allow for a socket.
    pub(super) fn seek(
        addresses: &Addresses,
        expect: Expect,
        credentials: &Credentials,
    ) -> Result<Self, RuntimeError> {
        let local = any_address_like(addresses.first());
        let endpoint = Endpoint::client(local, credentials, Settings::default())?;
        Ok(Self::seek_from(endpoint, addresses, expect, credentials))
    }

    /// As [`Peer::seek`], from a given endpoint that was made with these credentials.
    pub(super) fn seek_from(
        endpoint: Endpoint,
        addresses: &Addresses,
        expect: Expect,
        credentials: &Credentials,
    ) -> Self {
        let (events, receiver) = mpsc::channel(BATCHES_WAITING);
        let search = Search {
            endpoint: Arc::new(endpoint),
            addresses: addresses.all().to_vec(),
            expect,
            credentials: credentials.clone(),
        };
        let keeping = tokio::spawn(keep_connected(search, events));
        Peer { events: receiver, keeping }
    }

    /// What happens next. Safe to drop and call again.
    pub(super) async fn next(&mut self) -> PeerEvent<Out, In> {
        match self.events.recv().await {
            Some(event) => event,
            // After a refusal nothing comes any more.
            None => std::future::pending().await,
        }
    }

    /// Ends the connection once what was queued is sent, or can't be. `outbox` is the last one that there is.
    pub(super) async fn end(self, outbox: Option<Outbox<Out>>) {
        let Peer { events, keeping } = self;
        drop(events);
        drop(outbox);
        let stop = keeping.abort_handle();
        if tokio::time::timeout(FAREWELL, keeping).await.is_err() {
            stop.abort();
        }
    }
}

/// An address from which a peer at `address` can be reached; any port.
pub(super) fn any_address_like(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(_) => SocketAddr::from(([0, 0, 0, 0], 0)),
        SocketAddr::V6(_) => SocketAddr::from(([0; 16], 0)),
    }
}

/// Waits for so long; for ever when there is nothing to wait for.
pub(super) async fn sleep_or_forever(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

/// Where the peer may be, and as whom it is sought.
struct Search {
    endpoint: Arc<Endpoint>,
    /// In the order in which they are tried.
    addresses: Vec<SocketAddr>,
    expect: Expect,
    /// The peer renews them.
    credentials: Credentials,
}

impl Search {
    async fn connect(&self) -> Result<(SocketAddr, Connection), NetError> {
        let connect = |address| {
            let (endpoint, expect) = (self.endpoint.clone(), self.expect.clone());
            async move { endpoint.connect(address, &expect).await }
        };
        addresses::find(&self.addresses, connect).await
    }

    /// Has a peer whose connection was lost tried last.
    fn put_last(&mut self, address: SocketAddr) {
        self.addresses.sort_by_key(|known| *known == address);
    }
}

async fn keep_connected<Out, In>(mut search: Search, events: mpsc::Sender<PeerEvent<Out, In>>)
where
    Out: Serialize + Send + 'static,
    In: DeserializeOwned + Send + 'static,
{
    let mut delay = RECONNECT_FIRST;
    while !events.is_closed() {
        match search.connect().await {
            Ok((address, connection)) => {
                delay = RECONNECT_FIRST;
                let link = connection.link().clone();
                let is_over = tokio::select! {
                    is_over = converse(connection, search.endpoint.deserted(address), &events) => is_over,
                    () = keep_fresh(&search.credentials, || renew(&link, &search.credentials)) => false,
                };
                if is_over {
                    break;
                }
                search.put_last(address);
            }
            Err(error) if is_final(&error) => {
                // Nobody left to be told is as good as told.
                let _ = events.send(PeerEvent::Refused(error)).await;
                break;
            }
            Err(error) => tracing::debug!(%error, "cannot connect; trying again"),
        }
        tokio::select! {
            () = tokio::time::sleep(delay) => delay = (delay * 2).min(RECONNECT_MAX),
            () = events.closed() => {}
        }
    }
    // The peer then knows of the end; it goes by the idle timeout otherwise.
    let _ = tokio::time::timeout(FAREWELL, search.endpoint.wait_idle()).await;
}

/// Passes messages both ways until the connection ends. Returns whether it was ended from here.
async fn converse<Out, In>(
    connection: Connection,
    deserted: impl Future<Output = NetError>,
    events: &mpsc::Sender<PeerEvent<Out, In>>,
) -> bool
where
    Out: Serialize + Send + 'static,
    In: DeserializeOwned + Send + 'static,
{
    let (peer, link) = (connection.peer().clone(), connection.link().clone());
    let (outbox, sender, mut receiver) = connection.split();
    let mut sending = tokio::spawn(sender.drive());
    if events.send(PeerEvent::Connected { outbox, link: link.clone() }).await.is_err() {
        return true;
    }
    let lost = tokio::select! {
        lost = receive(&mut receiver, events) => lost,
        _ = &mut sending => None,
        gone = deserted => {
            link.close(CloseCode::TimedOut, &gone.to_string());
            Some(gone.to_string())
        }
    };
    match lost {
        Some(reason) => {
            tracing::warn!(%peer, reason, "connection lost");
            sending.abort();
            // Fails when the caller has ended, who needs to know nothing more.
            events.send(PeerEvent::Disconnected).await.is_err()
        }
        None if events.is_closed() => {
            // What is queued still goes out.
            let _ = sending.await;
            true
        }
        None => {
            tracing::warn!(%peer, "connection lost while sending");
            events.send(PeerEvent::Disconnected).await.is_err()
        }
    }
}

/// Hands on what comes in. `None`: nobody takes it any more; otherwise why nothing comes any more.
async fn receive<Out, In: DeserializeOwned>(
    receiver: &mut Receiver<In>,
    events: &mpsc::Sender<PeerEvent<Out, In>>,
) -> Option<String> {
    loop {
        let mut batch = Vec::new();
        tokio::select! {
            received = receiver.recv_batch(&mut batch) => match received {
                Ok(0) => return Some("the peer ended it".to_owned()),
                Ok(_) => {}
                Err(error) => return Some(error.to_string()),
            },
            () = events.closed() => return None,
        }
        if events.send(PeerEvent::Received(batch)).await.is_err() {
            return None;
        }
    }
}
