//! How a newcomer exchanges a token for credentials.
//!
//! The newcomer makes its key, connects without a certificate, knows the master by the authority's fingerprint in the token, and sends the
//! token's secret, the name that it wants and a certificate request. The private key never leaves it.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use rcgen::{CertificateParams, KeyPair};
use serde::{Deserialize, Serialize};

use crate::{
    net::{
        authority::CertificateAuthority,
        certificate::CertificateError,
        credentials::Credentials,
        digest::Digest,
        endpoint::{Expect, dial, open_socket, within},
        error::{CloseCode, NetError},
        frames,
        link::{self, Link},
        settings::Settings,
        tls::{self, Trust},
        token::{JoinError, JoinSecret, JoinToken},
    },
    protocol::{
        codec::FrameDecoder,
        identity::{Identity, IdentityKind},
    },
};

/// Largest frame of a join: the peers do not trust each other yet, and certificates are small.
const MAX_JOIN_FRAME_BYTES: usize = 64 << 10;

#[derive(Serialize, Deserialize)]
struct Ask {
    secret: JoinSecret,
    name: String,
    /// PKCS #10, DER.
    request: Vec<u8>,
}

/// Both certificates are PEM.
#[derive(Serialize, Deserialize)]
struct Grant {
    certificate: String,
    authority: String,
}

type Answer = Result<Grant, JoinError>;

/// Joins the cluster of the master at `master` under `name`, with a fresh key.
///
/// # Errors
/// [`NetError::Join`] with the master's reason; [`NetError::UntrustedPeer`] when the server's authority is not the token's;
/// [`NetError::UnexpectedPeer`] when the server is no master; or the connection's end.
pub async fn join(
    master: SocketAddr,
    token: &JoinToken,
    name: &str,
    settings: &Settings,
) -> Result<Credentials, NetError> {
    let any: SocketAddr =
        if master.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let (endpoint, _) = open_socket(any, None, settings, None)?;
    let crypto = Arc::new(tls::client(Trust::Fingerprint(token.fingerprint), None)?);
    let result = within(settings, async {
        let connection = dial(&endpoint, master, crypto, settings).await?;
        ask(&connection, token, name).await.inspect_err(|error| link::fail(&connection, error))
    })
    .await;
    endpoint.close(CloseCode::Done.into(), b"");
    endpoint.wait_idle().await;
    result
}

async fn ask(connection: &quinn::Connection, token: &JoinToken, name: &str) -> Result<Credentials, NetError> {
    // A member with any certificate of the authority must not be able to collect tokens.
    Expect::Kind(IdentityKind::Master).check(Link::authenticated(connection.clone())?.peer())?;

    let key = KeyPair::generate()?;
    let request = CertificateParams::default().serialize_request(&key)?.der().to_vec();
    let (mut send, mut receive) = connection.open_bi().await?;
    let written =
        frames::write(&mut send, &Ask { secret: token.secret.clone(), name: name.to_owned(), request }).await;
    let mut decoder = FrameDecoder::with_limit(MAX_JOIN_FRAME_BYTES);
    let answer: Answer = frames::read(&mut receive, &mut decoder).await?;
    written?;

    let Grant { certificate, authority } = answer?;
    let credentials = Credentials::from_pem(key.serialize_pem() + &certificate + &authority)?;
    check_grant(&credentials, token, name)?;
    Ok(credentials)
}

fn check_grant(credentials: &Credentials, token: &JoinToken, name: &str) -> Result<(), NetError> {
    let untrusted = |reason: String| NetError::Certificate(CertificateError::Untrusted { reason });
    if credentials.authorities().iter().any(|authority| Digest::of(authority) != token.fingerprint) {
        return Err(untrusted("it comes with an authority that is not the token's".to_owned()));
    }
    let identity = credentials.identity();
    if (identity.kind(), identity.name()) != (token.kind, name) {
        return Err(untrusted(format!("it names {identity}, which is not what was asked for")));
    }
    Ok(())
}

/// A newcomer's request, waiting for the master's decision.
#[derive(Debug)]
pub struct JoinRequest {
    connection: quinn::Connection,
    send: quinn::SendStream,
    secret: JoinSecret,
    name: String,
    request: Vec<u8>,
}

impl JoinRequest {
    pub(super) async fn receive(connection: &quinn::Connection) -> Result<Self, NetError> {
        let (send, mut receive) = connection.accept_bi().await?;
        let mut decoder = FrameDecoder::with_limit(MAX_JOIN_FRAME_BYTES);
        let Ask { secret, name, request } = frames::read(&mut receive, &mut decoder).await?;
        Ok(Self { connection: connection.clone(), send, secret, name, request })
    }

    /// What the newcomer proves itself with; for [`TokenBook::redeem`](crate::net::TokenBook::redeem).
    pub fn secret(&self) -> &JoinSecret {
        &self.secret
    }

    /// The name that the newcomer wants; unchecked.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the newcomer is.
    pub fn remote_address(&self) -> SocketAddr {
        self.connection.remote_address()
    }

    /// Gives the newcomer a certificate for the identity decided on, or the reason why not, and ends the connection.
    ///
    /// # Errors
    /// [`NetError::Signing`] for a malformed request, of which the newcomer is told; or the connection's end before the answer was out.
    pub async fn answer(
        mut self,
        authority: &CertificateAuthority,
        decision: Result<Identity, JoinError>,
    ) -> Result<(), NetError> {
        let answer: Answer = match decision {
            Ok(identity) => {
                let certificate = authority
                    .sign_request(&self.request, &identity)
                    .inspect_err(|error| link::fail(&self.connection, error))?;
                Ok(Grant { certificate, authority: authority.certificate_pem().to_owned() })
            }
            Err(refusal) => Err(refusal),
        };
        frames::write(&mut self.send, &answer).await?;
        // The newcomer closes when it has the answer, which is what ends the waiting.
        let _ = self.send.finish();
        let _ = self.send.stopped().await;
        Ok(())
    }
}
