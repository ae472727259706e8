//! Who may join the cluster: the authority that signs, the tokens that are good, and the names that are taken.

use std::collections::BTreeSet;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::{Clock, RuntimeError};
use crate::net::{
    CertificateAuthority, Credentials, JoinError, JoinRequest, JoinSecret, NetError, TokenBook,
};
use crate::protocol::identity::{Identity, IdentityKind};

/// How long a join token is good.
pub const TOKEN_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// The files of an admission within its folder.
const AUTHORITY_FILE: &str = "authority.pem";
const LEDGER_FILE: &str = "admission.json";

/// A cluster's authority with what it has promised and issued. Shared by the tasks of a master.
#[derive(Debug)]
pub struct Admission {
    cluster: String,
    authority: CertificateAuthority,
    ledger_path: PathBuf,
    ledger: Mutex<Ledger>,
    clock: Clock,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Ledger {
    tokens: TokenBook,
    /// Identities that were given to newcomers: a name is given once.
    issued: BTreeSet<Identity>,
}

impl Admission {
    /// The admission kept in `directory`, made on first use.
    ///
    /// # Errors
    /// When the folder or its files can't be read or written, or hold something else.
    pub fn open(directory: &Path, cluster: &str) -> Result<Self, RuntimeError> {
        std::fs::create_dir_all(directory).map_err(|error| RuntimeError::File {
            action: "create",
            path: directory.to_owned(),
            error,
        })?;
        let authority_path = directory.join(AUTHORITY_FILE);
        let authority = if authority_path.exists() {
            CertificateAuthority::load(&authority_path)?
        } else {
            let authority = CertificateAuthority::create(cluster)?;
            authority.save(&authority_path)?;
            authority
        };
        let ledger_path = directory.join(LEDGER_FILE);
        let ledger = match std::fs::read(&ledger_path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| RuntimeError::Corrupt {
                path: ledger_path.clone(),
                problem: error.to_string(),
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ledger::default(),
            Err(error) => return Err(RuntimeError::File { action: "read", path: ledger_path, error }),
        };
        Ok(Admission {
            cluster: cluster.to_owned(),
            authority,
            ledger_path,
            ledger: Mutex::new(ledger),
            clock: Clock::start(),
        })
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

    /// A new token with which one process can join as a party of this kind, within [`TOKEN_LIFETIME`].
    ///
    /// # Errors
    /// When the system has no randomness, or the ledger can't be written.
    pub fn create_token(&self, kind: IdentityKind) -> Result<String, RuntimeError> {
        let expires_at = self.now_ms().saturating_add(TOKEN_LIFETIME.as_millis() as u64);
        let mut ledger = self.ledger.lock();
        let mut changed = ledger.clone();
        changed.tokens.prune(self.now_ms());
        let token =
            changed.tokens.create(kind, self.authority.fingerprint(), JoinSecret::random()?, expires_at);
        self.commit(&mut ledger, changed)?;
        Ok(token.to_string())
    }

    /// Answers a newcomer.
    ///
    /// # Errors
    /// When the answer can't be signed or sent.
    pub async fn answer(&self, request: JoinRequest) -> Result<(), NetError> {
        let decision = self.redeem(request.secret(), request.name());
        match &decision {
            Ok(identity) => tracing::info!(%identity, from = %request.remote_address(), "newcomer joins"),
            Err(refusal) => tracing::warn!(%refusal, from = %request.remote_address(), "newcomer refused"),
        }
        request.answer(&self.authority, decision).await
    }

    /// Uses up a token; durable before anything is signed by it.
    fn redeem(&self, secret: &JoinSecret, name: &str) -> Result<Identity, JoinError> {
        let mut ledger = self.ledger.lock();
        let mut changed = ledger.clone();
        let identity = changed.tokens.redeem(self.now_ms(), secret, &self.cluster, name)?;
        if !changed.issued.insert(identity.clone()) {
            return Err(JoinError::Denied { reason: format!("the name {name} is taken") });
        }
        self.commit(&mut ledger, changed)
            .map_err(|error| JoinError::Denied { reason: format!("the master cannot record it: {error}") })?;
        Ok(identity)
    }

    /// Writes the ledger to disk, replacing the file whole, before it counts.
    fn commit(&self, ledger: &mut Ledger, changed: Ledger) -> Result<(), RuntimeError> {
        let beside = self.ledger_path.with_extension("new");
        let written = serde_json::to_vec_pretty(&changed).map_err(std::io::Error::other).and_then(|bytes| {
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&beside)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            std::fs::rename(&beside, &self.ledger_path)
        });
        written.map_err(|error| RuntimeError::File {
            action: "write",
            path: self.ledger_path.clone(),
            error,
        })?;
        *ledger = changed;
        Ok(())
    }

    fn now_ms(&self) -> u64 {
        self.clock.now().as_nanos() / 1_000_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_used_up_across_restarts() {
        let directory = tempfile::tempdir().unwrap();
        let secret = JoinSecret::from_bytes([7; 32]);
        let admission = Admission::open(directory.path(), "test").unwrap();
        {
            let mut ledger = admission.ledger.lock();
            let fingerprint = admission.authority.fingerprint();
            ledger.tokens.create(IdentityKind::Agent, fingerprint, secret, u64::MAX);
        }
        let secret = JoinSecret::from_bytes([7; 32]);
        assert_eq!(admission.redeem(&secret, "a1").unwrap().to_string(), "spiffe://test/agent/a1");
        let again = Admission::open(directory.path(), "test").unwrap();
        assert!(matches!(again.redeem(&secret, "a2"), Err(JoinError::Used)));
        assert_eq!(again.authority.fingerprint(), admission.authority.fingerprint());
    }
}
