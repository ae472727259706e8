//! Identities, certificates and QUIC.
//!
//! Every party proves who it is with a certificate that names its [`Identity`](crate::protocol::identity::Identity), signed by a
//! [`CertificateAuthority`]; a party's certificate, key and trusted authorities are its [`Credentials`]. A newcomer gets them with a
//! one-time [`JoinToken`], which the master's side keeps track of in a [`TokenBook`].
//!
//! An [`Endpoint`] opens connections and accepts [`Incoming`] ones. Both sides authenticate in TLS 1.3, then exchange a hello; only then
//! is there a [`Connection`]. Its one main stream splits into a [`Sender`], fed through a clonable [`Outbox`], and a [`Receiver`], both
//! generic over the message type:
//!
//! ```text
//! Outbox::push -> queue -> Sender::drive -> one write per batch -> QUIC -> Receiver::recv_batch
//! ```
//!
//! Certificates are short-lived and [renewed](renew) on the way: [`Credentials`] are shared handles, so that running endpoints show the new one.
//!
//! Logs and files go over [`bulk`] streams of the same connection, which do not hold messages up. What goes wrong is a [`NetError`]; what
//! ends a connection is told to the peer as a [`CloseCode`] and a sentence.

mod authority;
pub mod bulk;
mod certificate;
mod connection;
mod credentials;
mod digest;
mod endpoint;
mod error;
mod frames;
mod incoming;
mod join;
mod link;
mod outbox;
mod pem;
mod receiver;
mod refusal;
mod renewal;
mod reset;
mod settings;
mod tls;
mod token;

pub use authority::{AUTHORITY_LIFETIME, CERTIFICATE_LIFETIME, CertificateAuthority};
pub use certificate::CertificateError;
pub use connection::Connection;
pub use credentials::Credentials;
pub use digest::{Digest, DigestError};
pub use endpoint::{Endpoint, Expect};
pub use error::{CloseCode, NetError};
pub use incoming::{Accepted, Incoming, Visitor};
pub use join::{JoinRequest, join};
pub use link::Link;
pub use outbox::{Outbox, OutboxError, Sender};
pub use pem::PemError;
pub use receiver::Receiver;
pub use renewal::{renew, serve_renewals};
pub use settings::Settings;
pub use tls::{ALPN_JOIN, ALPN_MESSAGES};
pub use token::{JoinError, JoinSecret, JoinToken, JoinTokenError, TokenBook, TokenEntry};
