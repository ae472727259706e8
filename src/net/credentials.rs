//! What a party shows and what it trusts.

use std::{fmt, path::Path};

use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::{
    net::{
        certificate::Subject,
        error::NetError,
        pem::{self, Bundle, PemError},
        tls,
    },
    protocol::identity::Identity,
};

/// A party's private key, the certificate that names it, and the authorities that it trusts, its own issuer first.
///
/// Kept as one PEM text in that order. `Debug` shows the identity alone.
pub struct Credentials {
    pem: String,
    subject: Subject,
    key: PrivateKeyDer<'static>,
    certificate: CertificateDer<'static>,
    authorities: Vec<CertificateDer<'static>>,
}

impl Credentials {
    /// Reads a private key, a certificate and one or more authorities' certificates, in this order.
    ///
    /// # Errors
    /// [`NetError::Pem`]; or [`NetError::Certificate`] when the certificate names no identity, is out of date, or none of the authorities
    /// signed it.
    pub fn from_pem(text: impl Into<String>) -> Result<Self, NetError> {
        let pem = text.into();
        let Bundle { key, certificates } = pem::parse(&pem)?;
        let mut certificates = certificates.into_iter();
        let certificate = certificates.next().ok_or(PemError::Missing { part: "certificate" })?;
        let authorities: Vec<_> = certificates.collect();
        if authorities.is_empty() {
            return Err(PemError::Missing { part: "authority certificate" }.into());
        }
        tls::verify_signed_by(&certificate, &authorities)?;
        let subject = Subject::of(&certificate)?;
        Ok(Self { pem, subject, key, certificate, authorities })
    }

    /// The same credentials, trusting peers of one more authority: an agent's endpoint trusts its executors' authority too.
    ///
    /// # Errors
    /// As [`Credentials::from_pem`], of which `authority_pem` becomes a part.
    pub fn trusting(&self, authority_pem: &str) -> Result<Self, NetError> {
        Self::from_pem(format!("{}{authority_pem}", self.pem))
    }

    /// Reads what [`Credentials::save`] wrote.
    ///
    /// # Errors
    /// As [`Credentials::from_pem`].
    pub fn load(path: &Path) -> Result<Self, NetError> {
        Self::from_pem(pem::load(path)?)
    }

    /// Writes the PEM text to `path`, with mode 0600, replacing the file in one step.
    ///
    /// # Errors
    /// [`NetError::Pem`] when the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), NetError> {
        Ok(pem::save(path, &self.pem)?)
    }

    /// The PEM text, private key included.
    pub fn to_pem(&self) -> &str {
        &self.pem
    }

    /// Whom the certificate names.
    pub fn identity(&self) -> &Identity {
        &self.subject.identity
    }

    /// When the certificate expires, in milliseconds since the Unix epoch.
    pub fn expires_at(&self) -> u64 {
        self.subject.expires_at
    }

    /// The certificate and its issuer's. The issuer's is sent along for those who know only its fingerprint.
    pub(super) fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.certificate.clone(), self.authorities[0].clone()]
    }

    pub(super) fn key(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key()
    }

    pub(super) fn authorities(&self) -> &[CertificateDer<'static>] {
        &self.authorities
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("identity", &self.subject.identity)
            .field("expires_at", &self.subject.expires_at)
            .field("authorities", &self.authorities.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::{
        net::{CertificateAuthority, CertificateError},
        protocol::identity::IdentityKind,
    };

    fn agent() -> Identity {
        Identity::new("c", IdentityKind::Agent, "x").unwrap()
    }

    #[test]
    fn saved_credentials_load_again_and_are_private() {
        let credentials = CertificateAuthority::create("c").unwrap().issue(&agent()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent.pem");
        credentials.save(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let loaded = Credentials::load(&path).unwrap();
        assert_eq!((loaded.identity(), loaded.to_pem()), (&agent(), credentials.to_pem()));
    }

    #[test]
    fn debug_never_shows_the_key() {
        let credentials = CertificateAuthority::create("c").unwrap().issue(&agent()).unwrap();
        let shown = format!("{credentials:?}");
        let key_line = credentials.to_pem().lines().nth(1).unwrap();
        assert!(
            shown.contains("\"x\"") && !shown.contains(key_line) && !shown.contains("PRIVATE"),
            "{shown}"
        );
    }

    #[test]
    fn a_certificate_of_another_authority_is_refused_when_loading() {
        let (ours, foreign) =
            (CertificateAuthority::create("c").unwrap(), CertificateAuthority::create("c").unwrap());
        let text =
            ours.issue(&agent()).unwrap().to_pem().replace(ours.certificate_pem(), foreign.certificate_pem());
        let error = Credentials::from_pem(text).unwrap_err();
        assert!(matches!(error, NetError::Certificate(CertificateError::Untrusted { .. })), "{error}");
    }

    #[test]
    fn missing_parts_are_named() {
        let authority = CertificateAuthority::create("c").unwrap();
        let text = |pem: &str| Credentials::from_pem(pem).unwrap_err().to_string();
        assert_eq!(text(""), "the PEM text holds no private key");
        assert_eq!(text(authority.certificate_pem()), "the PEM text holds no private key");
        assert_eq!(text(&authority.to_pem()), "the PEM text holds no authority certificate");
    }
}
