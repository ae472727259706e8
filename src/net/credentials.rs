//! What a party shows and what it trusts.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use parking_lot::RwLock;
use rustls::{pki_types::CertificateDer, sign::CertifiedKey};

use crate::{
    net::{
        certificate::{CertificateError, Subject},
        error::NetError,
        pem::{self, Bundle, PemError},
        reset::ResetSecret,
        tls,
    },
    protocol::identity::Identity,
};

/// Where a certificate ends in a PEM text.
const END_OF_CERTIFICATE: &str = "-----END CERTIFICATE-----";

/// A certificate is renewed when only this part of its time is left.
const RENEWED_WITH_LEFT: u32 = 3;

/// A party's private key, the certificate that names it, and the authorities that it trusts, its own issuer first.
///
/// Kept as one PEM text in that order. Clones are handles on the same credentials: when these are [renewed](Credentials::renew), every
/// endpoint that was made with one of them shows the new certificate from the next connection on. `Debug` shows the identity alone.
#[derive(Clone)]
pub struct Credentials {
    identity: Identity,
    authorities: Arc<[CertificateDer<'static>]>,
    authorities_pem: Arc<str>,
    current: Arc<RwLock<Current>>,
    resets: Option<ResetSecret>,
}

/// The key and the certificate of now.
struct Current {
    /// Of the key and the certificate.
    pem: String,
    /// In milliseconds since the Unix epoch.
    valid_from: u64,
    expires_at: u64,
    shown: Arc<CertifiedKey>,
    /// Where they are kept.
    file: Option<PathBuf>,
}

impl Credentials {
    /// Reads a private key, a certificate and one or more authorities' certificates, in this order.
    ///
    /// # Errors
    /// [`NetError::Pem`]; or [`NetError::Certificate`] when the certificate names no identity, is out of date, or none of the authorities
    /// signed it.
    pub fn from_pem(text: impl Into<String>) -> Result<Self, NetError> {
        let pem: String = text.into();
        let (own_pem, authorities_pem) = pem.split_once(END_OF_CERTIFICATE).unwrap_or((&pem, ""));
        let own_pem = format!("{own_pem}{END_OF_CERTIFICATE}\n");
        let Bundle { key, certificates } = pem::parse(&pem)?;
        let mut certificates = certificates.into_iter();
        let certificate = certificates.next().ok_or(PemError::Missing { part: "certificate" })?;
        let authorities: Arc<[_]> = certificates.collect();
        let issuer = authorities.first().ok_or(PemError::Missing { part: "authority certificate" })?;
        tls::verify_signed_by(&certificate, &authorities)?;
        let Subject { identity, valid_from, expires_at } = Subject::of(&certificate)?;
        // The issuer's is sent along for those who know only its fingerprint.
        let shown = Arc::new(tls::certified(vec![certificate, issuer.clone()], key)?);
        let current = Current { pem: own_pem, valid_from, expires_at, shown, file: None };
        Ok(Self {
            identity,
            authorities,
            authorities_pem: authorities_pem.trim_start().into(),
            current: Arc::new(RwLock::new(current)),
            resets: None,
        })
    }

    /// The same credentials, trusting peers of one more authority: an agent's endpoint trusts its executors' authority too. They are
    /// renewed apart from these.
    ///
    /// # Errors
    /// As [`Credentials::from_pem`], of which `authority_pem` becomes a part.
    pub fn trusting(&self, authority_pem: &str) -> Result<Self, NetError> {
        Self::from_pem(format!("{}{authority_pem}", self.to_pem()))
    }

    /// The same credentials, with which servers tell their peers that connections of an earlier life are lost.
    pub(super) fn resetting(self, secret: ResetSecret) -> Self {
        Self { resets: Some(secret), ..self }
    }

    /// Reads what [`Credentials::save`] wrote. When they are renewed, the file is written anew.
    ///
    /// # Errors
    /// As [`Credentials::from_pem`].
    pub fn load(path: &Path) -> Result<Self, NetError> {
        let credentials = Self::from_pem(pem::load(path)?)?;
        credentials.current.write().file = Some(path.to_owned());
        Ok(credentials)
    }

    /// Writes the PEM text to `path`, with mode 0600, replacing the file in one step; again when they are renewed.
    ///
    /// # Errors
    /// [`NetError::Pem`] when the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), NetError> {
        pem::save(path, &self.to_pem())?;
        self.current.write().file = Some(path.to_owned());
        Ok(())
    }

    /// The PEM text, private key included.
    pub fn to_pem(&self) -> String {
        format!("{}{}", self.current.read().pem, self.authorities_pem)
    }

    /// The certificates of the authorities, its own issuer's first.
    pub(super) fn authorities_pem(&self) -> &str {
        &self.authorities_pem
    }

    /// Whom the certificate names.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// When the certificate expires, in milliseconds since the Unix epoch.
    pub fn expires_at(&self) -> u64 {
        self.current.read().expires_at
    }

    /// How long it is until they should be renewed, which is when a third of their time is left; zero when that has passed.
    pub fn renewal_due_in(&self) -> Duration {
        let (valid_from, expires_at) = {
            let current = self.current.read();
            (Duration::from_millis(current.valid_from), Duration::from_millis(current.expires_at))
        };
        let due = expires_at.saturating_sub(expires_at.saturating_sub(valid_from) / RENEWED_WITH_LEFT);
        due.saturating_sub(now())
    }

    /// How long the certificate is valid from now on.
    pub fn time_left(&self) -> Duration {
        Duration::from_millis(self.expires_at()).saturating_sub(now())
    }

    /// Goes on with the key and the certificate of newer credentials of the same party, also in the file where these are kept. What these
    /// trust stays as it is.
    ///
    /// # Errors
    /// [`NetError::Certificate`] when they are somebody else's; [`NetError::Pem`] when the file cannot be written: then the new
    /// certificate is shown all the same.
    pub fn renew(&self, newer: &Credentials) -> Result<(), NetError> {
        if newer.identity != self.identity {
            let reason = format!("it names {}, which is not {}", newer.identity, self.identity);
            return Err(CertificateError::Untrusted { reason }.into());
        }
        let file = {
            let newer = newer.current.read();
            let mut current = self.current.write();
            current.pem.clone_from(&newer.pem);
            current.shown.clone_from(&newer.shown);
            (current.valid_from, current.expires_at) = (newer.valid_from, newer.expires_at);
            current.file.clone()
        };
        match file {
            Some(file) => Ok(pem::save(&file, &self.to_pem())?),
            None => Ok(()),
        }
    }

    /// What a handshake shows now.
    pub(super) fn shown(&self) -> Arc<CertifiedKey> {
        self.current.read().shown.clone()
    }

    /// What resets of its servers' connections are made of, when that is known here.
    pub(super) fn resets(&self) -> Option<&ResetSecret> {
        self.resets.as_ref()
    }

    pub(super) fn authorities(&self) -> &[CertificateDer<'static>] {
        &self.authorities
    }
}

/// Since the Unix epoch.
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("identity", &self.identity)
            .field("expires_at", &self.expires_at())
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
        let pem = credentials.to_pem();
        let key_line = pem.lines().nth(1).unwrap();
        assert!(
            shown.contains("\"x\"") && !shown.contains(key_line) && !shown.contains("PRIVATE"),
            "{shown}"
        );
    }

    #[test]
    fn renewed_credentials_are_kept_and_seen_by_all_handles() {
        let authority = CertificateAuthority::create("c").unwrap();
        let credentials = authority
            .issue(&agent())
            .unwrap()
            .trusting(CertificateAuthority::create("d").unwrap().certificate_pem());
        let credentials = credentials.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent.pem");
        credentials.save(&path).unwrap();
        let (handle, newer) = (credentials.clone(), authority.issue(&agent()).unwrap());
        credentials.renew(&newer).unwrap();
        assert!(handle.to_pem().starts_with(&newer.to_pem()), "what it trusts besides stays");
        let kept = Credentials::load(&path).unwrap();
        assert_eq!((kept.to_pem(), kept.authorities().len()), (handle.to_pem(), 2));
        let master = authority.issue(&Identity::new("c", IdentityKind::Master, "x").unwrap()).unwrap();
        let error = credentials.renew(&master).unwrap_err();
        assert!(matches!(error, NetError::Certificate(CertificateError::Untrusted { .. })), "{error}");
    }

    #[test]
    fn renewal_is_due_when_a_third_of_the_time_is_left() {
        let day = Duration::from_secs(86_400);
        let authority = CertificateAuthority::create("c").unwrap();
        let due = authority.issue(&agent()).unwrap().renewal_due_in();
        assert!(due > 59 * day && due < 60 * day, "{due:?}");
        let short = authority.signing_for(Duration::from_secs(60)).issue(&agent()).unwrap();
        assert!(short.renewal_due_in() <= Duration::from_secs(20), "valid from a minute before");
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
