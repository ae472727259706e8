//! A handle on an authenticated connection.

use std::{net::SocketAddr, sync::Arc};

use rustls::pki_types::CertificateDer;

use crate::{
    net::{
        bulk::{BulkReader, BulkWriter},
        certificate::Subject,
        error::{CloseCode, NetError},
    },
    protocol::identity::Identity,
};

/// An authenticated connection: who the peer is, further streams, the end. Clones are handles on the same connection, which ends when
/// the last of them and of its streams is gone.
#[derive(Debug, Clone)]
pub struct Link {
    connection: quinn::Connection,
    peer: Arc<Identity>,
}

impl Link {
    /// Takes the peer's identity from the certificate that the handshake has verified.
    pub(super) fn authenticated(connection: quinn::Connection) -> Result<Self, NetError> {
        let chain = connection
            .peer_identity()
            .and_then(|chain| chain.downcast::<Vec<CertificateDer<'static>>>().ok())
            .ok_or(NetError::NoCertificate)?;
        let certificate = chain.first().ok_or(NetError::NoCertificate)?;
        let peer = Arc::new(Subject::of(certificate)?.identity);
        Ok(Self { connection, peer })
    }

    /// Who the peer is, as its certificate says.
    pub fn peer(&self) -> &Identity {
        &self.peer
    }

    /// The peer's current address.
    pub fn remote_address(&self) -> SocketAddr {
        self.connection.remote_address()
    }

    /// How many packets have come from the peer: as long as there are more and more, it is there.
    pub fn packets_received(&self) -> u64 {
        self.connection.stats().udp_rx.datagrams
    }

    /// Opens a further stream. The peer learns of it with the first bytes written.
    ///
    /// # Errors
    /// The connection's end.
    pub async fn open_bulk(&self) -> Result<(BulkWriter, BulkReader), NetError> {
        let (send, receive) = self.connection.open_bi().await?;
        Ok((BulkWriter::new(send), BulkReader::new(receive)))
    }

    /// The next stream that the peer opens.
    ///
    /// # Errors
    /// The connection's end.
    pub async fn accept_bulk(&self) -> Result<(BulkWriter, BulkReader), NetError> {
        let (send, receive) = self.connection.accept_bi().await?;
        Ok((BulkWriter::new(send), BulkReader::new(receive)))
    }

    /// Ends the connection at once and tells the peer why; what is under way is dropped. A long reason may be cut.
    pub fn close(&self, code: CloseCode, reason: &str) {
        self.connection.close(code.into(), reason.as_bytes());
    }

    /// Ends the connection because of `error`, with its code and text.
    pub(super) fn fail(&self, error: &NetError) {
        fail(&self.connection, error);
    }

    /// Waits for the connection's end and says why it came.
    pub async fn closed(&self) -> NetError {
        self.connection.closed().await.into()
    }
}

/// Closes a connection because of `error`, with its code and text. Nothing happens when it is closed already.
pub(super) fn fail(connection: &quinn::Connection, error: &NetError) {
    connection.close(error.close_code().into(), error.to_string().as_bytes());
}
