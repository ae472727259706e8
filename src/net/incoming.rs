//! Connections that others begin.

use std::{net::SocketAddr, sync::Arc};

use quinn::{ServerConfig, crypto::rustls::HandshakeData};

use crate::{
    net::{
        connection::Connection,
        endpoint::within,
        error::{CloseCode, NetError},
        join::JoinRequest,
        link::{self, Link},
        settings::Settings,
        tls::{ALPN_JOIN, ALPN_MESSAGES},
    },
    protocol::identity::{Identity, IdentityKind},
};

/// What a server needs to know to let a connection in.
#[derive(Debug)]
pub(super) struct Listening {
    pub(super) kind: IdentityKind,
    pub(super) network: Arc<ServerConfig>,
    pub(super) loopback: Arc<ServerConfig>,
    pub(super) settings: Settings,
}

/// A connection that wants in. [`Incoming::establish`] it in a task of its own, so that a slow peer holds up no other.
#[derive(Debug)]
pub struct Incoming {
    quinn: quinn::Incoming,
    listening: Arc<Listening>,
}

/// What a connection turned out to be.
#[derive(Debug)]
pub enum Accepted {
    /// A member of the cluster, ready for messages.
    Member(Box<Connection>),
    /// A newcomer, who waits for an answer.
    Newcomer(JoinRequest),
}

impl Incoming {
    pub(super) fn new(quinn: quinn::Incoming, listening: Arc<Listening>) -> Self {
        Self { quinn, listening }
    }

    /// Where the connection comes from; not yet verified.
    pub fn remote_address(&self) -> SocketAddr {
        self.quinn.remote_address()
    }

    /// Turns the connection away before anything is computed for it; the peer may try again.
    pub fn refuse(self) {
        self.quinn.refuse();
    }

    /// Completes handshake and hello. A peer that fails is told why.
    ///
    /// # Errors
    /// [`NetError::NoCertificate`], [`NetError::UntrustedPeer`], [`NetError::RoleRefused`], [`NetError::VersionMismatch`],
    /// [`NetError::JoinsNotTaken`], [`NetError::Codec`], [`NetError::TimedOut`], or the connection's end. All of them concern this
    /// connection alone.
    pub async fn establish(self) -> Result<Accepted, NetError> {
        let listening = self.listening.clone();
        within(&listening.settings, async {
            let connection = self.shake_hands().await?;
            welcome(&connection, &listening).await.inspect_err(|error| link::fail(&connection, error))
        })
        .await
    }

    /// Completes the handshake with a peer that is not to stay.
    ///
    /// # Errors
    /// When the handshake fails.
    pub async fn hear_out(self) -> Result<Visitor, NetError> {
        let listening = self.listening.clone();
        let connection = within(&listening.settings, self.shake_hands()).await?;
        let who = Link::authenticated(connection.clone()).ok().map(|link| link.peer().clone());
        Ok(Visitor { connection, who })
    }

    async fn shake_hands(self) -> Result<quinn::Connection, NetError> {
        let Self { quinn, listening } = self;
        let near = quinn.remote_address().ip().to_canonical().is_loopback();
        let config = if near { &listening.loopback } else { &listening.network };
        Ok(quinn.accept_with(config.clone())?.await?)
    }
}

/// A peer that is not to stay.
#[derive(Debug)]
pub struct Visitor {
    connection: quinn::Connection,
    who: Option<Identity>,
}

impl Visitor {
    /// Who it is, unless it is a newcomer.
    pub fn who(&self) -> Option<&Identity> {
        self.who.as_ref()
    }

    /// Ends the connection as a master that does not lead, and names the one that does, if that is known.
    pub fn turn_away(self, leader: Option<SocketAddr>) {
        let reason = leader.map(|leader| leader.to_string()).unwrap_or_default();
        self.connection.close(CloseCode::NotLeader.into(), reason.as_bytes());
    }
}

async fn welcome(connection: &quinn::Connection, listening: &Listening) -> Result<Accepted, NetError> {
    let protocol = connection
        .handshake_data()
        .and_then(|data| data.downcast::<HandshakeData>().ok()?.protocol)
        .unwrap_or_default();
    let protocol = String::from_utf8_lossy(&protocol);
    if protocol == ALPN_JOIN {
        if !listening.settings.joins {
            return Err(NetError::JoinsNotTaken);
        }
        return Ok(Accepted::Newcomer(JoinRequest::receive(connection).await?));
    }
    if protocol != ALPN_MESSAGES {
        let detail = format!("the peer asked for {protocol}");
        return Err(NetError::VersionMismatch { ours: ALPN_MESSAGES, detail });
    }
    let link = Link::authenticated(connection.clone())?;
    let own = (listening.kind, listening.settings.software.as_str());
    Ok(Accepted::Member(Box::new(Connection::accept(connection.clone(), link, own).await?)))
}
