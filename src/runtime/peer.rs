//! Keeps a party connected with the one peer that it depends on.

use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

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

/// A peer that should have shown a sign of life so long ago may be gone, and another in its place.
const SIGN_OVERDUE: Duration = Duration::from_secs(1);

/// How often it is looked for signs of life.
const LOOK: Duration = Duration::from_secs(1);

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
        settings: Settings,
    ) -> Result<Self, RuntimeError> {
        let local = any_address_like(addresses.first());
        let endpoint = Endpoint::client(local, credentials, settings)?;
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
    async fn connect(&self, addresses: &[SocketAddr]) -> Result<Found, NetError> {
        let connect = |address| {
            let (endpoint, expect) = (self.endpoint.clone(), self.expect.clone());
            async move { endpoint.connect(address, &expect).await }
        };
        addresses::find(addresses, connect).await
    }

    /// Waits until the peer at an address is known to be gone, sooner than its silence ends the connection.
    async fn departure(&self, address: SocketAddr, link: &Link) -> Departure {
        tokio::select! {
            gone = self.endpoint.deserted(address) => Departure { reason: gone.to_string(), successor: None },
            successor = self.successor(address, link) => Departure {
                reason: format!("it is silent, and {} has taken its place", successor.0),
                successor: Some(successor),
            },
        }
    }

    /// Waits until the peer is silent and one of the others has taken its place.
    async fn successor(&self, address: SocketAddr, link: &Link) -> Found {
        let others: Vec<_> = self.addresses.iter().copied().filter(|other| *other != address).collect();
        if others.is_empty() {
            return std::future::pending().await;
        }
        let patience = self.endpoint.settings().keep_alive + SIGN_OVERDUE;
        loop {
            silence(link, patience).await;
            tokio::select! {
                found = self.connect(&others) => match found {
                    Ok(found) => return found,
                    Err(error) => tracing::debug!(%error, "the peer is silent, and nobody is in its place"),
                },
                () = sign_of_life(link) => {}
            }
            tokio::time::sleep(RECONNECT_MAX).await;
        }
    }

    /// Has a peer whose connection was lost tried last.
    fn put_last(&mut self, address: SocketAddr) {
        self.addresses.sort_by_key(|known| *known == address);
    }
}

/// A connection, and where to.
type Found = (SocketAddr, Connection);

/// Why there is nothing to be expected of a peer any more.
struct Departure {
    reason: String,
    /// Who is in its place, if that is known.
    successor: Option<Found>,
}

/// Waits until nothing has come over a connection for so long.
async fn silence(link: &Link, patience: Duration) {
    while tokio::time::timeout(patience, sign_of_life(link)).await.is_ok() {}
}

/// Waits until something comes over a connection.
async fn sign_of_life(link: &Link) {
    let received = link.packets_received();
    while link.packets_received() == received {
        tokio::time::sleep(LOOK).await;
    }
}

async fn keep_connected<Out, In>(mut search: Search, events: mpsc::Sender<PeerEvent<Out, In>>)
where
    Out: Serialize + Send + 'static,
    In: DeserializeOwned + Send + 'static,
{
    let mut delay = RECONNECT_FIRST;
    let mut successor = None;
    while !events.is_closed() {
        let found = match successor.take() {
            Some(found) => Ok(found),
            None => search.connect(&search.addresses).await,
        };
        match found {
            Ok((address, connection)) => {
                let (link, begun) = (connection.link().clone(), Instant::now());
                let ended = tokio::select! {
                    ended = converse(connection, search.departure(address, &link), &events) => ended,
                    () = keep_fresh(&search.credentials, || renew(&link, &search.credentials)) => {
                        ControlFlow::Continue(None)
                    }
                };
                // A peer that ends each connection at once, or is refused each time, is not tried as often as possible.
                if begun.elapsed() > RECONNECT_MAX {
                    delay = RECONNECT_FIRST;
                }
                match ended {
                    ControlFlow::Break(()) => break,
                    ControlFlow::Continue(next) => successor = next,
                }
                search.put_last(address);
                if successor.is_some() {
                    continue;
                }
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

/// Passes messages both ways until the connection ends, or is ended from here: that breaks. Otherwise returns whom to turn to, if that
/// is known.
async fn converse<Out, In>(
    connection: Connection,
    departure: impl Future<Output = Departure>,
    events: &mpsc::Sender<PeerEvent<Out, In>>,
) -> ControlFlow<(), Option<Found>>
where
    Out: Serialize + Send + 'static,
    In: DeserializeOwned + Send + 'static,
{
    let (peer, link) = (connection.peer().clone(), connection.link().clone());
    let (outbox, sender, mut receiver) = connection.split();
    let mut sending = tokio::spawn(sender.drive());
    if events.send(PeerEvent::Connected { outbox, link: link.clone() }).await.is_err() {
        return ControlFlow::Break(());
    }
    let mut successor = None;
    let lost = tokio::select! {
        lost = receive(&mut receiver, events) => lost,
        _ = &mut sending => None,
        departure = departure => {
            link.close(CloseCode::TimedOut, &departure.reason);
            successor = departure.successor;
            Some(departure.reason)
        }
    };
    match lost {
        Some(reason) => {
            tracing::warn!(%peer, reason, "connection lost");
            sending.abort();
        }
        None if events.is_closed() => {
            // What is queued still goes out.
            let _ = sending.await;
            return ControlFlow::Break(());
        }
        None => tracing::warn!(%peer, "connection lost while sending"),
    }
    match events.send(PeerEvent::Disconnected).await {
        Ok(()) => ControlFlow::Continue(successor),
        // The caller has ended, and needs to know nothing more.
        Err(_) => ControlFlow::Break(()),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Accepted, CertificateAuthority};
    use crate::protocol::{Identity, IdentityKind};

    const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

    /// The next one that connects.
    async fn accept(server: &Endpoint) -> Connection {
        match server.accept().await.expect("it is open").establish().await.expect("a connection") {
            Accepted::Member(connection) => *connection,
            Accepted::Newcomer(_) => panic!("nobody joins"),
        }
    }

    #[tokio::test]
    async fn one_that_falls_silent_is_left_when_another_is_in_its_place() {
        let authority = CertificateAuthority::create("test").expect("an authority");
        let issue = |kind, name| {
            authority.issue(&Identity::new("test", kind, name).expect("a name")).expect("credentials")
        };
        let master = issue(IdentityKind::Master, "master");
        // Its silence alone would end no connection.
        let settings = Settings {
            keep_alive: Duration::from_millis(50),
            idle_timeout: Duration::from_secs(3600),
            ..Settings::default()
        };
        let (tell, told) = std::sync::mpsc::channel();
        let (hush, hushed) = tokio::sync::oneshot::channel::<()>();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let first = (master.clone(), settings.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let server = Endpoint::server(LOOPBACK, &first.0, first.1).expect("a socket");
                tell.send(server.local_address()).expect("it is waited for");
                let _connection = accept(&server).await;
                hushed.await.expect("the test goes on");
                // Its socket stays, and nothing is read or said any more.
                let _ = ended.recv();
            });
        });
        let address = told.recv().expect("it starts");
        let successor = Endpoint::server(LOOPBACK, &master, settings.clone()).expect("a socket");
        let agent = issue(IdentityKind::Agent, "a1");
        let endpoint = Endpoint::client(LOOPBACK, &agent, settings).expect("a socket");
        let addresses = Addresses::from(address).and(&successor.local_address().into());
        let mut peer =
            Peer::<u32, u32>::seek_from(endpoint, &addresses, Expect::Kind(IdentityKind::Master), &agent);
        let PeerEvent::Connected { link, .. } = peer.next().await else { panic!("the first is there") };
        assert_eq!(link.remote_address(), address);
        hush.send(()).expect("it waits");
        let _second = accept(&successor).await;
        assert!(matches!(peer.next().await, PeerEvent::Disconnected));
        let PeerEvent::Connected { link, .. } = peer.next().await else { panic!("the second is there") };
        assert_eq!(link.remote_address(), successor.local_address());
        drop(end);
    }
}
