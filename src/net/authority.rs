//! The cluster's own certificate authority.

use std::{
    fmt,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType,
};
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer};

use crate::{
    net::{
        credentials::Credentials,
        digest::Digest,
        error::NetError,
        pem::{self, Bundle, PemError},
        reset::ResetSecret,
    },
    protocol::identity::Identity,
};

/// How long an authority is valid: ten years, since replacing it means joining every machine anew.
pub const AUTHORITY_LIFETIME: Duration = Duration::from_secs(10 * 365 * 86_400);

/// How long a party's certificate is valid: 90 days bound what a stolen one is good for, and leave weeks to renew.
pub const CERTIFICATE_LIFETIME: Duration = Duration::from_secs(90 * 86_400);

/// Certificates are valid from an hour before they are made, for machines whose clocks are behind; those that last shorter, from so long
/// before.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(3600);

/// Signs certificates that name identities: ECDSA P-256, made on a cluster's first start. `Debug` shows the fingerprint alone.
pub struct CertificateAuthority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    certificate_pem: String,
    /// How long what it signs is valid.
    lifetime: Duration,
}

impl CertificateAuthority {
    /// A new authority with a fresh key; `name` is for the humans who look at its certificate.
    ///
    /// # Errors
    /// [`NetError::Signing`] when the system has no randomness to give.
    pub fn create(name: &str) -> Result<Self, NetError> {
        let key = KeyPair::generate()?;
        let mut params = parameters(&format!("apportion authority {name}"), AUTHORITY_LIFETIME);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key)?;
        Self::assemble(key, certificate.der().clone(), certificate.pem())
    }

    fn assemble(
        key: KeyPair,
        certificate: CertificateDer<'static>,
        certificate_pem: String,
    ) -> Result<Self, NetError> {
        let issuer = Issuer::from_ca_cert_der(&certificate, key)?;
        Ok(Self { issuer, certificate, certificate_pem, lifetime: CERTIFICATE_LIFETIME })
    }

    /// Reads what [`CertificateAuthority::to_pem`] gave.
    ///
    /// # Errors
    /// [`NetError::Pem`] or [`NetError::Signing`] when a part is missing or not what it should be.
    pub fn from_pem(text: &str) -> Result<Self, NetError> {
        let Bundle { key, certificates } = pem::parse(text)?;
        let certificate = certificates.into_iter().next().ok_or(PemError::Missing { part: "certificate" })?;
        let start =
            text.find("-----BEGIN CERTIFICATE-----").ok_or(PemError::Missing { part: "certificate" })?;
        Self::assemble(KeyPair::try_from(&key)?, certificate, text[start..].to_owned())
    }

    /// The same authority, whose certificates are valid for so long instead of [`CERTIFICATE_LIFETIME`].
    #[must_use]
    pub fn signing_for(self, lifetime: Duration) -> Self {
        Self { lifetime, ..self }
    }

    /// The private key and the certificate as one PEM text.
    pub fn to_pem(&self) -> String {
        self.issuer.key().serialize_pem() + &self.certificate_pem
    }

    /// Reads what [`CertificateAuthority::save`] wrote.
    ///
    /// # Errors
    /// As [`CertificateAuthority::from_pem`].
    pub fn load(path: &Path) -> Result<Self, NetError> {
        Self::from_pem(&pem::load(path)?)
    }

    /// Writes the PEM text to `path`, with mode 0600, replacing the file in one step.
    ///
    /// # Errors
    /// [`NetError::Pem`] when the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), NetError> {
        Ok(pem::save(path, &self.to_pem())?)
    }

    /// The authority's certificate, for those who are to trust it.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// SHA-256 of the authority's certificate (DER).
    pub fn fingerprint(&self) -> Digest {
        Digest::of(&self.certificate)
    }

    /// A fresh key and a certificate that names `identity`. A server with credentials that were issued where it runs tells its peers when it
    /// was killed and started again: they need not wait for the idle timeout.
    ///
    /// # Errors
    /// [`NetError::Signing`].
    pub fn issue(&self, identity: &Identity) -> Result<Credentials, NetError> {
        let key = KeyPair::generate()?;
        let certificate = self.sign(&key, identity)?;
        let pem = key.serialize_pem() + &certificate.pem() + &self.certificate_pem;
        let resets = ResetSecret::new(self.issuer.key().serialized_der(), identity);
        Ok(Credentials::from_pem(pem)?.resetting(resets))
    }

    /// A certificate (PEM) for the key of a PKCS #10 request (DER). Of the request only the key is used: who its holder is, is the
    /// caller's decision.
    ///
    /// # Errors
    /// [`NetError::Signing`] when the request is malformed or not signed with its own key.
    pub fn sign_request(&self, request_der: &[u8], identity: &Identity) -> Result<String, NetError> {
        let request =
            CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(request_der))?;
        Ok(self.sign(&request.public_key, identity)?.pem())
    }

    fn sign(&self, key: &impl PublicKeyData, identity: &Identity) -> Result<Certificate, NetError> {
        let mut params = parameters(&format!("apportion {}", identity.kind()), self.lifetime);
        params.subject_alt_names = vec![SanType::URI(identity.to_string().try_into()?)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        Ok(params.signed_by(key, &self.issuer)?)
    }
}

fn parameters(common_name: &str, lifetime: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + now.saturating_sub(CLOCK_TOLERANCE.min(lifetime));
    params.not_after = epoch + now + lifetime;
    params
}

impl fmt::Debug for CertificateAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateAuthority")
            .field("fingerprint", &self.fingerprint())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::identity::IdentityKind;

    fn identity(kind: IdentityKind) -> Identity {
        Identity::new("c", kind, "x").unwrap()
    }

    #[test]
    fn a_reloaded_authority_signs_as_before() {
        let authority = CertificateAuthority::create("c").unwrap();
        let reloaded = CertificateAuthority::from_pem(&authority.to_pem()).unwrap();
        assert_eq!(reloaded.fingerprint(), authority.fingerprint());
        assert_eq!(reloaded.to_pem(), authority.to_pem());
        assert_eq!(reloaded.issue(&identity(IdentityKind::Agent)).unwrap().identity().name(), "x");
    }

    #[test]
    fn a_request_cannot_choose_its_identity() {
        let authority = CertificateAuthority::create("c").unwrap();
        let key = KeyPair::generate().unwrap();
        let mut wish = CertificateParams::default();
        wish.subject_alt_names = vec![SanType::URI("spiffe://c/master/x".try_into().unwrap())];
        let request = wish.serialize_request(&key).unwrap();
        let certificate = authority.sign_request(request.der(), &identity(IdentityKind::Agent)).unwrap();
        let pem = key.serialize_pem() + &certificate + authority.certificate_pem();
        assert_eq!(Credentials::from_pem(pem).unwrap().identity(), &identity(IdentityKind::Agent));
    }

    #[test]
    fn a_damaged_request_is_refused() {
        let authority = CertificateAuthority::create("c").unwrap();
        let key = KeyPair::generate().unwrap();
        let mut request = CertificateParams::default().serialize_request(&key).unwrap().der().to_vec();
        *request.last_mut().unwrap() ^= 1;
        let error = authority.sign_request(&request, &identity(IdentityKind::Agent)).unwrap_err();
        assert!(matches!(error, NetError::Signing(_)), "{error}");
    }

    #[test]
    fn certificates_last_ninety_days() {
        let credentials =
            CertificateAuthority::create("c").unwrap().issue(&identity(IdentityKind::Agent)).unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let left = Duration::from_millis(credentials.expires_at()) - now;
        assert!(left <= CERTIFICATE_LIFETIME && left + Duration::from_secs(3600) > CERTIFICATE_LIFETIME);
    }
}
