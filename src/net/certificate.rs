//! What a certificate says: whose it is and until when.

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{ASN1Time, FromDer, GeneralName, X509Certificate};

use crate::protocol::identity::{Identity, IdentityError};

/// Why a certificate does not tell who its holder is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// It is no X.509 certificate.
    #[error("not an X.509 certificate: {reason}")]
    Malformed {
        /// What the parser objected to.
        reason: String,
    },
    /// It must name exactly one identity and names none or several.
    #[error("the certificate has {found} URI names; it needs exactly one, its identity")]
    NotOneIdentity {
        /// How many it has.
        found: usize,
    },
    /// The URI that it names is no identity.
    #[error("the certificate's URI name is no identity: {0}")]
    Identity(#[from] IdentityError),
    /// No trusted authority signed it, or its time is over.
    #[error("the certificate is not trusted: {reason}")]
    Untrusted {
        /// What the verifier objected to.
        reason: String,
    },
}

/// What a certificate says about its holder. Says nothing about whether to believe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) identity: Identity,
    /// Milliseconds since the Unix epoch.
    pub(super) valid_from: u64,
    /// Milliseconds since the Unix epoch.
    pub(super) expires_at: u64,
}

impl Subject {
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Result<Self, CertificateError> {
        let malformed = |reason: String| CertificateError::Malformed { reason };
        let (_, certificate) =
            X509Certificate::from_der(certificate).map_err(|error| malformed(error.to_string()))?;
        let names = certificate.subject_alternative_name().map_err(|error| malformed(error.to_string()))?;
        let uris: Vec<&str> = names
            .iter()
            .flat_map(|extension| &extension.value.general_names)
            .filter_map(|name| match name {
                GeneralName::URI(uri) => Some(*uri),
                _ => None,
            })
            .collect();
        let [uri] = uris[..] else { return Err(CertificateError::NotOneIdentity { found: uris.len() }) };
        let millis = |time: ASN1Time| u64::try_from(time.timestamp()).unwrap_or(0).saturating_mul(1000);
        let validity = certificate.validity();
        Ok(Self {
            identity: uri.parse()?,
            valid_from: millis(validity.not_before),
            expires_at: millis(validity.not_after),
        })
    }
}
