//! TLS: who is trusted, and which protocols are spoken.

use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::{
    CertificateError as TlsCertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError,
    RootCertStore, ServerConfig, SignatureScheme,
    client::{
        ResolvesClientCert, Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime},
    server::{ClientHello, ParsedCertificate, ResolvesServerCert, WebPkiClientVerifier},
    sign::CertifiedKey,
    version::TLS13,
};

use crate::net::{certificate::CertificateError, credentials::Credentials, digest::Digest, error::NetError};

/// The protocol that carries messages, with its version.
pub const ALPN_MESSAGES: &str = "apportion/1";

/// The protocol with which a newcomer exchanges a token for a certificate.
pub const ALPN_JOIN: &str = "apportion-join/1";

/// Servers finish the handshake for versions up to this one, only to tell the peer in words that they don't speak them.
const LAST_KNOWN_OF_VERSION: u32 = 16;

/// Names in TLS's sense play no part, since identities do; the field can't be left out.
pub(super) const SERVER_NAME: &str = "apportion";

/// Whom a client takes for a server.
#[derive(Debug)]
pub(super) enum Trust {
    /// Whoever one of these authorities vouches for.
    Authorities(RootCertStore),
    /// Whoever is vouched for by the authority with this fingerprint, whose certificate the server sends along.
    Fingerprint(Digest),
}

/// Shows credentials as they are at the time of each handshake.
#[derive(Debug)]
struct Shown(Credentials);

impl ResolvesClientCert for Shown {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.shown())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.shown())
    }
}

/// A certificate with its issuer's, and the key that it is about.
pub(super) fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, TlsError> {
    CertifiedKey::from_der(chain, key, &provider())
}

/// Checks a server's certificate chain. Who the server is, is checked after the handshake, before anything is said to it.
#[derive(Debug)]
struct ServerVerifier {
    trust: Trust,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        match &self.trust {
            Trust::Authorities(roots) => verify_chain(end_entity, intermediates, roots, now, &self.provider)?,
            Trust::Fingerprint(fingerprint) => {
                let pinned = intermediates
                    .iter()
                    .find(|certificate| Digest::of(certificate) == *fingerprint)
                    .ok_or(TlsError::InvalidCertificate(TlsCertificateError::UnknownIssuer))?;
                let mut roots = RootCertStore::empty();
                roots.add(pinned.clone().into_owned())?;
                verify_chain(end_entity, intermediates, &roots, now, &self.provider)?;
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn verify_chain(
    end_entity: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    roots: &RootCertStore,
    now: UnixTime,
    provider: &CryptoProvider,
) -> Result<(), TlsError> {
    let certificate = ParsedCertificate::try_from(end_entity)?;
    let algorithms = provider.signature_verification_algorithms.all;
    verify_server_cert_signed_by_trust_anchor(&certificate, roots, intermediates, now, algorithms)
}

/// Checks that one of `authorities` signed `certificate` and that its time is now.
pub(super) fn verify_signed_by(
    certificate: &CertificateDer<'_>,
    authorities: &[CertificateDer<'static>],
) -> Result<(), CertificateError> {
    roots(authorities)
        .and_then(|roots| verify_chain(certificate, &[], &roots, UnixTime::now(), &provider()))
        .map_err(|error| CertificateError::Untrusted { reason: error.to_string() })
}

pub(super) fn roots(authorities: &[CertificateDer<'static>]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    authorities.iter().try_for_each(|authority| roots.add(authority.clone()))?;
    Ok(roots)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// For connections that carry messages, if there are credentials to show; else for a newcomer who joins.
pub(super) fn client(trust: Trust, credentials: Option<&Credentials>) -> Result<QuicClientConfig, NetError> {
    let provider = provider();
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(ServerVerifier { trust, provider }));
    let (mut config, protocol) = match credentials {
        Some(own) => (builder.with_client_cert_resolver(Arc::new(Shown(own.clone()))), ALPN_MESSAGES),
        None => (builder.with_no_client_auth(), ALPN_JOIN),
    };
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    // Every connection proves both identities anew.
    config.resumption = Resumption::disabled();
    QuicClientConfig::try_from(config).map_err(|error| NetError::Transport { reason: error.to_string() })
}

/// Clients without a certificate pass the handshake, so that they can join, or be told in words why they can't stay.
pub(super) fn server(credentials: &Credentials) -> Result<QuicServerConfig, NetError> {
    let provider = provider();
    let verifier = WebPkiClientVerifier::builder_with_provider(
        Arc::new(roots(credentials.authorities())?),
        provider.clone(),
    )
    .allow_unauthenticated()
    .build()
    .map_err(|error| NetError::Transport { reason: error.to_string() })?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(Shown(credentials.clone())));
    config.alpn_protocols = [ALPN_MESSAGES, ALPN_JOIN].map(|protocol| protocol.as_bytes().to_vec()).to_vec();
    config
        .alpn_protocols
        .extend((2..=LAST_KNOWN_OF_VERSION).map(|version| format!("apportion/{version}").into_bytes()));
    config.send_tls13_tickets = 0;
    QuicServerConfig::try_from(config).map_err(|error| NetError::Transport { reason: error.to_string() })
}
