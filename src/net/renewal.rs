//! How a party renews its certificate before it expires: on a stream beside the main one of its connection with whoever signed it.
//!
//! The connection says who asks. As when it joined, the party makes a fresh key and sends a certificate request; the key never leaves it.

use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;

use crate::net::{authority::CertificateAuthority, credentials::Credentials, error::NetError, link::Link};

/// How long an answer may take; a peer that does not know of renewals gives none.
const PATIENCE: Duration = Duration::from_secs(10);

/// From one answer on a connection to the next: signing costs more than asking.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Serialize, Deserialize)]
struct Ask {
    /// PKCS #10, DER.
    request: Vec<u8>,
}

/// A certificate (PEM), or why there is none.
type Answer = Result<String, String>;

/// Has the peer, who must be able to sign for the authority that signed `credentials`, sign a fresh key, and goes on with that.
///
/// # Errors
/// [`NetError::RenewalRefused`], [`NetError::TimedOut`], the connection's end; or what [`Credentials::renew`] says.
pub async fn renew(link: &Link, credentials: &Credentials) -> Result<(), NetError> {
    let key = KeyPair::generate()?;
    let request = CertificateParams::default().serialize_request(&key)?.der().to_vec();
    let exchange = async {
        let (mut writer, mut reader) = link.open_bulk().await?;
        writer.write_frame(&Ask { request }).await?;
        reader.read_frame::<Answer>().await
    };
    let answer = tokio::time::timeout(PATIENCE, exchange).await.unwrap_or(Err(NetError::TimedOut))?;
    let certificate = answer.map_err(|reason| NetError::RenewalRefused { reason })?;
    credentials
        .renew(&Credentials::from_pem(key.serialize_pem() + &certificate + credentials.authorities_pem())?)
}

/// Signs for the peer of a connection whenever it asks, until the connection ends.
///
/// # Errors
/// The connection's end.
pub async fn serve_renewals(link: &Link, authority: &CertificateAuthority) -> Result<(), NetError> {
    loop {
        let (mut writer, mut reader) = link.accept_bulk().await?;
        let exchange = async {
            let Ask { request } = reader.read_frame().await?;
            let answer: Answer =
                authority.sign_request(&request, link.peer()).map_err(|error| error.to_string());
            writer.write_frame(&answer).await?;
            writer.shutdown().await.map_err(|error| NetError::Transport { reason: error.to_string() })
        };
        match tokio::time::timeout(PATIENCE, exchange).await.unwrap_or(Err(NetError::TimedOut)) {
            Ok(()) => tracing::info!(peer = %link.peer(), "certificate renewed"),
            Err(error) => tracing::warn!(peer = %link.peer(), %error, "certificate not renewed"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}
