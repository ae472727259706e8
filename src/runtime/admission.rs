//! Who may join the cluster: the authority that signs, the tokens that are good, and the names that are taken.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::renewal::keep_fresh;
use super::{Clock, RuntimeError};
use crate::net::{
    CertificateAuthority, Credentials, JoinError, JoinRequest, JoinSecret, Link, NetError, TokenBook,
    TokenEntry, serve_renewals,
};
use crate::protocol::identity::{Identity, IdentityKind};
use crate::store::{Change, Key, Record, RedbStore, Secret, Store, StoreError};

/// How long a join token is good.
pub const TOKEN_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// The store of an admission that has a folder of its own.
const STORE_FILE: &str = "admission.redb";

/// A cluster's authority with what it has promised and issued. Shared by the tasks of a master.
#[derive(Debug)]
pub struct Admission {
    cluster: String,
    authority: CertificateAuthority,
    ledger: Mutex<Ledger>,
    clock: Clock,
}

/// What was promised and issued, and where that is kept.
struct Ledger {
    store: Box<dyn Store>,
    tokens: TokenBook,
    /// Identities that were given to newcomers: a name is given once.
    issued: BTreeSet<Identity>,
}

impl Admission {
    /// The admission kept in a store of its own in `directory`, made on first use.
    ///
    /// # Errors
    /// When the folder can't be made; and as [`Admission::in_store`].
    pub fn open(directory: &Path, cluster: &str) -> Result<Self, RuntimeError> {
        std::fs::create_dir_all(directory).map_err(|error| RuntimeError::File {
            action: "create",
            path: directory.to_owned(),
            error,
        })?;
        Self::in_store(RedbStore::open(&directory.join(STORE_FILE))?, cluster)
    }

    /// The admission kept in a store, which can be the registry's; the authority is made on first use. Whoever reads the store can
    /// make themselves any party of the cluster.
    ///
    /// # Errors
    /// When the store can't be read or written, or is another cluster's.
    pub fn in_store(mut store: impl Store + 'static, cluster: &str) -> Result<Self, RuntimeError> {
        let (mut tokens, mut issued) = (TokenBook::default(), BTreeSet::new());
        let mut authority = None;
        for record in store.load()? {
            match record {
                Record::Authority { .. } => authority = Some(record),
                Record::Token { digest, kind, expires_at, used } => {
                    let corrupt = |error: crate::net::DigestError| StoreError::Corrupt {
                        key: Key::Token(digest.clone()).to_string(),
                        problem: error.to_string(),
                    };
                    tokens.restore(digest.parse().map_err(corrupt)?, TokenEntry { kind, expires_at, used });
                }
                Record::Issued { identity } => {
                    issued.insert(identity);
                }
                _ => {}
            }
        }
        let authority = match authority {
            Some(record) => record,
            None => {
                let record = new_authority(cluster)?;
                store.commit(&[Change::Put(record.clone())])?;
                record
            }
        };
        Ok(Admission {
            cluster: cluster.to_owned(),
            authority: authority_of(&authority, cluster)?,
            ledger: Mutex::new(Ledger { store: Box::new(store), tokens, issued }),
            clock: Clock::start(),
        })
    }

    /// The same admission, whose certificates are valid for so long instead of
    /// [`CERTIFICATE_LIFETIME`](crate::net::CERTIFICATE_LIFETIME).
    #[must_use]
    pub fn signing_for(self, lifetime: Duration) -> Self {
        Admission { authority: self.authority.signing_for(lifetime), ..self }
    }

    /// The cluster's name.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// Credentials for a party of the cluster that runs here.
    ///
    /// # Errors
    /// When the name can't be part of an identity, or signing fails.
    pub fn credentials(&self, kind: IdentityKind, name: &str) -> Result<Credentials, RuntimeError> {
        Ok(self.authority.issue(&Identity::new(self.cluster.as_str(), kind, name)?)?)
    }

    /// A new token with which one process can join as a party of this kind, within [`TOKEN_LIFETIME`]. Waits for the store.
    ///
    /// # Errors
    /// When the system has no randomness, or the store can't be written.
    pub fn create_token(&self, kind: IdentityKind) -> Result<String, RuntimeError> {
        let expires_at = self.now_ms().saturating_add(TOKEN_LIFETIME.as_millis() as u64);
        let secret = JoinSecret::random()?;
        let mut ledger = self.ledger.lock();
        let mut tokens = ledger.tokens.clone();
        let old = tokens.prune(self.now_ms());
        let token = tokens.create(kind, self.authority.fingerprint(), secret, expires_at);
        let mut changes: Vec<_> =
            old.iter().map(|digest| Change::Delete(Key::Token(digest.to_string()))).collect();
        changes.extend(token_change(&tokens, &token.secret));
        ledger.store.commit(&changes)?;
        ledger.tokens = tokens;
        Ok(token.to_string())
    }

    /// Lets a name be joined by once more, whose party has lost its credentials or let them run out. Certificates that it still has stay
    /// good. Waits for the store.
    ///
    /// # Errors
    /// When the name can't be part of an identity, or the store can't be written.
    pub fn free_name(&self, kind: IdentityKind, name: &str) -> Result<(), RuntimeError> {
        let identity = Identity::new(self.cluster.as_str(), kind, name)?;
        let mut ledger = self.ledger.lock();
        if ledger.issued.contains(&identity) {
            ledger.store.commit(&[Change::Delete(Key::Issued(identity.clone()))])?;
            ledger.issued.remove(&identity);
        }
        Ok(())
    }

    /// Renews the certificates of a connection's peer whenever it asks, until the connection ends.
    ///
    /// # Errors
    /// The connection's end.
    pub async fn serve_renewals(&self, link: &Link) -> Result<(), NetError> {
        serve_renewals(link, &self.authority).await
    }

    /// Keeps the credentials of a party that runs here from expiring, as long as it is driven.
    pub async fn keep_fresh(&self, credentials: &Credentials) {
        keep_fresh_by(&self.authority, credentials).await;
    }

    /// Answers a newcomer.
    ///
    /// # Errors
    /// When the answer can't be signed or sent.
    pub async fn answer(self: Arc<Self>, request: JoinRequest) -> Result<(), NetError> {
        let (secret, name) = (request.secret().clone(), request.name().to_owned());
        let admission = self.clone();
        let decision = tokio::task::spawn_blocking(move || admission.redeem(&secret, &name))
            .await
            .unwrap_or_else(|_| Err(JoinError::Denied { reason: "the master failed".to_owned() }));
        match &decision {
            Ok(identity) => tracing::info!(%identity, from = %request.remote_address(), "newcomer joins"),
            Err(refusal) => tracing::warn!(%refusal, from = %request.remote_address(), "newcomer refused"),
        }
        request.answer(&self.authority, decision).await
    }

    /// Uses up a token; durable before anything is signed by it.
    fn redeem(&self, secret: &JoinSecret, name: &str) -> Result<Identity, JoinError> {
        let mut ledger = self.ledger.lock();
        let mut tokens = ledger.tokens.clone();
        let identity = tokens.redeem(self.now_ms(), secret, &self.cluster, name)?;
        if ledger.issued.contains(&identity) {
            let kind = identity.kind();
            let reason = format!(
                "the name {name} is taken; if it is this one's, whose credentials are lost or out of date, join with a token of \
                 `apportion token create {kind} --again {name}`"
            );
            return Err(JoinError::Denied { reason });
        }
        let issued = Change::Put(Record::Issued { identity: identity.clone() });
        let changes: Vec<_> = token_change(&tokens, secret).into_iter().chain([issued]).collect();
        ledger
            .store
            .commit(&changes)
            .map_err(|error| JoinError::Denied { reason: format!("the master cannot record it: {error}") })?;
        ledger.tokens = tokens;
        ledger.issued.insert(identity.clone());
        Ok(identity)
    }

    fn now_ms(&self) -> u64 {
        self.clock.now().as_nanos() / 1_000_000
    }
}

/// Renews the credentials of a party of the authority's own process whenever it is time, as long as it is driven.
pub(super) async fn keep_fresh_by(authority: &CertificateAuthority, credentials: &Credentials) {
    keep_fresh(credentials, || async { credentials.renew(&authority.issue(credentials.identity())?) }).await;
}

/// A fresh authority for a cluster, as it is kept.
pub(super) fn new_authority(cluster: &str) -> Result<Record, RuntimeError> {
    let pem = Secret(CertificateAuthority::create(cluster)?.to_pem());
    Ok(Record::Authority { cluster: cluster.to_owned(), pem })
}

/// The authority that a record keeps, which must be this cluster's.
pub(super) fn authority_of(record: &Record, cluster: &str) -> Result<CertificateAuthority, RuntimeError> {
    match record {
        Record::Authority { cluster: found, pem } if found == cluster => {
            Ok(CertificateAuthority::from_pem(&pem.0)?)
        }
        Record::Authority { cluster: found, .. } => {
            Err(RuntimeError::OtherCluster { found: found.clone(), wanted: cluster.to_owned() })
        }
        other => Err(StoreError::Corrupt {
            key: Key::Authority.to_string(),
            problem: format!("it holds the record of {}", other.key()),
        }
        .into()),
    }
}

/// Keeps what the book knows of a token.
fn token_change(tokens: &TokenBook, secret: &JoinSecret) -> Option<Change> {
    let (digest, TokenEntry { kind, expires_at, used }) = tokens.entry(secret)?;
    Some(Change::Put(Record::Token { digest: digest.to_string(), kind, expires_at, used }))
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger").field("issued", &self.issued.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::JoinToken;

    #[test]
    fn a_token_is_used_up_across_restarts() {
        let directory = tempfile::tempdir().unwrap();
        let admission = Admission::open(directory.path(), "test").unwrap();
        let token: JoinToken = admission.create_token(IdentityKind::Agent).unwrap().parse().unwrap();
        let fingerprint = admission.authority.fingerprint();
        drop(admission);

        let admission = Admission::open(directory.path(), "test").unwrap();
        assert_eq!(admission.authority.fingerprint(), fingerprint);
        assert_eq!(admission.redeem(&token.secret, "a1").unwrap().to_string(), "spiffe://test/agent/a1");
        drop(admission);

        let admission = Admission::open(directory.path(), "test").unwrap();
        assert!(matches!(admission.redeem(&token.secret, "a2"), Err(JoinError::Used)));
        let other: JoinToken = admission.create_token(IdentityKind::Agent).unwrap().parse().unwrap();
        assert!(matches!(admission.redeem(&other.secret, "a1"), Err(JoinError::Denied { .. })));
        admission.free_name(IdentityKind::Agent, "a1").unwrap();
        drop(admission);

        let admission = Admission::open(directory.path(), "test").unwrap();
        assert_eq!(admission.redeem(&other.secret, "a1").unwrap().to_string(), "spiffe://test/agent/a1");
    }

    #[test]
    fn a_store_belongs_to_one_cluster() {
        let directory = tempfile::tempdir().unwrap();
        drop(Admission::open(directory.path(), "test").unwrap());
        let error = Admission::open(directory.path(), "other").unwrap_err();
        assert!(matches!(error, RuntimeError::OtherCluster { .. }), "{error}");
    }
}
