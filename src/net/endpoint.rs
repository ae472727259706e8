//! A UDP socket that QUIC connections begin and end at.

use std::{
    fmt,
    future::Future,
    net::{SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use quinn::{
    ClientConfig, ConnectionClose, ConnectionError, ServerConfig, TokioRuntime,
    crypto::rustls::QuicClientConfig,
};
use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_send_buffer_size};

use crate::{
    net::{
        connection::Connection,
        credentials::Credentials,
        error::{CloseCode, NetError},
        incoming::{Incoming, Listening},
        link::{self, Link},
        refusal,
        reset::ResetSecret,
        settings::Settings,
        tls::{self, SERVER_NAME, Trust},
    },
    protocol::identity::{Identity, IdentityKind},
};

/// When a server that has too many handshakes under way is asked again.
const BUSY_RETRY: Duration = Duration::from_millis(100);

/// QUIC's code for that (RFC 9000, section 20.1).
const CONNECTION_REFUSED: u64 = 0x2;

/// Whom a connecting party expects to find.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expect {
    /// Anyone of a kind, such as a master.
    Kind(IdentityKind),
    /// One party.
    Exactly(Identity),
}

impl Expect {
    pub(super) fn check(&self, found: &Identity) -> Result<(), NetError> {
        let fits = match self {
            Self::Kind(kind) => found.kind() == *kind,
            Self::Exactly(identity) => found == identity,
        };
        if fits {
            Ok(())
        } else {
            Err(NetError::UnexpectedPeer { expected: self.to_string(), found: found.clone() })
        }
    }
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind(kind) => write!(f, "any {kind}"),
            Self::Exactly(identity) => identity.fmt(f),
        }
    }
}

/// A UDP socket with which a party connects and, if it is a server, accepts. Dropping it leaves its connections alive.
pub struct Endpoint {
    quinn: quinn::Endpoint,
    address: SocketAddr,
    kind: IdentityKind,
    client: Arc<QuicClientConfig>,
    settings: Settings,
    listening: Option<Arc<Listening>>,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("address", &self.address)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

impl Endpoint {
    /// An endpoint that accepts connections at `bind` (port 0: any free one), and can connect. Must be called within a tokio runtime, as
    /// all of this module's functions on endpoints and connections.
    ///
    /// # Errors
    /// [`NetError::Bind`]; [`NetError::Transport`] for credentials whose parts do not fit together.
    pub fn server(bind: SocketAddr, credentials: &Credentials, settings: Settings) -> Result<Self, NetError> {
        let crypto = Arc::new(tls::server(credentials)?);
        let config = |peer: SocketAddr| {
            let mut config = ServerConfig::with_crypto(crypto.clone());
            config.transport_config(settings.transport(peer.ip()));
            Arc::new(config)
        };
        let listening = Listening {
            kind: credentials.identity().kind(),
            network: config(([0, 0, 0, 0], 0).into()),
            loopback: config(([127, 0, 0, 1], 0).into()),
            settings: settings.clone(),
        };
        Self::new(bind, credentials, settings, Some(Arc::new(listening)))
    }

    /// An endpoint that only connects, from `bind`.
    ///
    /// # Errors
    /// As [`Endpoint::server`].
    pub fn client(bind: SocketAddr, credentials: &Credentials, settings: Settings) -> Result<Self, NetError> {
        Self::new(bind, credentials, settings, None)
    }

    fn new(
        bind: SocketAddr,
        credentials: &Credentials,
        settings: Settings,
        listening: Option<Arc<Listening>>,
    ) -> Result<Self, NetError> {
        let client = client_crypto(credentials)?;
        let server = listening.as_ref().map(|listening| listening.network.as_ref().clone());
        let resets = credentials.resets().filter(|_| listening.is_some());
        let (quinn, address) = open_socket(bind, server, &settings, resets)?;
        Ok(Self { quinn, address, kind: credentials.identity().kind(), client, settings, listening })
    }

    /// Another party at this endpoint's socket, which only connects: many parties of one program need no socket each. Closing either closes
    /// both.
    ///
    /// # Errors
    /// [`NetError::Transport`] for credentials whose parts do not fit together.
    pub fn shared_by(&self, credentials: &Credentials) -> Result<Self, NetError> {
        Ok(Self {
            quinn: self.quinn.clone(),
            address: self.address,
            kind: credentials.identity().kind(),
            client: client_crypto(credentials)?,
            settings: self.settings.clone(),
            listening: None,
        })
    }

    /// The address that the endpoint is bound to.
    pub fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// How its connections are tuned.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The next connection that wants in; `None` when the endpoint is closed, or only connects.
    pub async fn accept(&self) -> Option<Incoming> {
        let listening = self.listening.clone()?;
        Some(Incoming::new(self.quinn.accept().await?, listening))
    }

    /// Connects to the party at `address`, which must be whom we expect.
    ///
    /// # Errors
    /// [`NetError::UntrustedPeer`], [`NetError::UnexpectedPeer`], [`NetError::VersionMismatch`], [`NetError::CertificateRefused`],
    /// [`NetError::ClosedByPeer`] with the peer's reason, [`NetError::Refused`], [`NetError::TimedOut`], or [`NetError::Transport`].
    pub async fn connect(&self, address: SocketAddr, expect: &Expect) -> Result<Connection, NetError> {
        let connecting = within(&self.settings, async {
            let connection = dial(&self.quinn, address, self.client.clone(), &self.settings).await?;
            let greet = async {
                let link = Link::authenticated(connection.clone())?;
                expect.check(link.peer())?;
                Connection::open(connection.clone(), link, (self.kind, &self.settings.software)).await
            };
            greet.await.inspect_err(|error| link::fail(&connection, error))
        });
        tokio::select! {
            connected = connecting => connected,
            refused = refusal::refused(self.address, address) => Err(refused),
        }
    }

    /// Waits until the machine at `address` says that nobody listens there any more: sooner known than by a connection's silence. Never
    /// ends when the machine says nothing, as one that is gone itself.
    pub async fn deserted(&self, address: SocketAddr) -> NetError {
        refusal::refused(self.address, address).await
    }

    /// Ends all connections with a reason and accepts no more.
    pub fn close(&self, code: CloseCode, reason: &str) {
        self.quinn.close(code.into(), reason.as_bytes());
    }

    /// Waits until all peers were told of their connections' end; a process that exits before leaves them to their timeouts.
    pub async fn wait_idle(&self) {
        self.quinn.wait_idle().await;
    }
}

fn client_crypto(credentials: &Credentials) -> Result<Arc<QuicClientConfig>, NetError> {
    let trust = Trust::Authorities(tls::roots(credentials.authorities())?);
    Ok(Arc::new(tls::client(trust, Some(credentials))?))
}

/// A QUIC connection after the TLS handshake, before anything is said. A server that is busy is asked again; the caller bounds how long.
pub(super) async fn dial(
    quinn: &quinn::Endpoint,
    address: SocketAddr,
    crypto: Arc<QuicClientConfig>,
    settings: &Settings,
) -> Result<quinn::Connection, NetError> {
    let mut config = ClientConfig::new(crypto);
    config.transport_config(settings.transport(address.ip()));
    loop {
        let connecting = quinn
            .connect_with(config.clone(), address, SERVER_NAME)
            .map_err(|error| NetError::Transport { reason: error.to_string() })?;
        match connecting.await {
            Err(ConnectionError::ConnectionClosed(close)) if is_busy(&close) => {
                tokio::time::sleep(BUSY_RETRY).await;
            }
            outcome => return Ok(outcome?),
        }
    }
}

/// Whether a server has too many handshakes under way to begin another.
fn is_busy(close: &ConnectionClose) -> bool {
    u64::from(close.error_code) == CONNECTION_REFUSED
}

/// Bounds a connection's beginning by the handshake timeout.
pub(super) async fn within<T>(
    settings: &Settings,
    work: impl Future<Output = Result<T, NetError>>,
) -> Result<T, NetError> {
    tokio::time::timeout(settings.handshake_timeout, work).await.unwrap_or(Err(NetError::TimedOut))
}

pub(super) fn open_socket(
    bind: SocketAddr,
    server: Option<ServerConfig>,
    settings: &Settings,
    resets: Option<&ResetSecret>,
) -> Result<(quinn::Endpoint, SocketAddr), NetError> {
    let open = || {
        let socket = UdpSocket::bind(bind)?;
        // A system that grants less works as well, only with more losses under load.
        let _ = set_socket_recv_buffer_size(&socket, settings.socket_buffer_bytes);
        let _ = set_socket_send_buffer_size(&socket, settings.socket_buffer_bytes);
        let address = socket.local_addr()?;
        let mut config = settings.endpoint();
        if let Some(resets) = resets {
            resets.apply(address, &mut config);
        }
        let quinn = quinn::Endpoint::new(config, server, socket, Arc::new(TokioRuntime))?;
        Ok((quinn, address))
    };
    open().map_err(|source| NetError::Bind { address: bind, source })
}
