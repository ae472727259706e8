//! Certificates for an etcd of tests: one who signs, and one key for its members and their clients.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

/// Files as etcd takes them.
#[derive(Clone, Debug)]
pub(crate) struct TlsFiles {
    pub(crate) authority: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl TlsFiles {
    /// Makes them, for parties at `127.0.0.1`.
    pub(crate) fn make(folder: &Path) -> Self {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate().expect("a key");
        let signed = authority.self_signed(&authority_key).expect("a certificate");
        let issuer = Issuer::new(authority, authority_key);
        let mut party = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name");
        party.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().expect("a key");
        let certificate = party.signed_by(&key, &issuer).expect("a certificate");
        let write = |name: &str, text: String| {
            let path = folder.join(name);
            std::fs::write(&path, text).expect("it can be written");
            path
        };
        TlsFiles {
            authority: write("ca.pem", signed.pem()),
            certificate: write("cert.pem", certificate.pem()),
            key: write("key.pem", key.serialize_pem()),
        }
    }
}
