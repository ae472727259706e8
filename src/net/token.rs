//! One-time tokens with which newcomers join, and the book that knows which are good.

use std::{collections::BTreeMap, fmt, str::FromStr};

use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};

use crate::{
    net::{
        digest::{self, Digest},
        error::NetError,
    },
    protocol::identity::{Identity, IdentityError, IdentityKind},
};

const PREFIX: &str = "apportion";

/// How long the book remembers a token after its expiry, in milliseconds, to tell "expired" from "never was": a day.
const MEMORY_MS: u64 = 86_400_000;

/// What proves a token: 32 random bytes. `Debug` hides them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JoinSecret([u8; 32]);

impl JoinSecret {
    /// A secret from the system's randomness.
    ///
    /// # Errors
    /// [`NetError::Transport`] when the system has none to give.
    pub fn random() -> Result<Self, NetError> {
        let mut bytes = [0; 32];
        SystemRandom::new()
            .fill(&mut bytes)
            .map_err(|_| NetError::Transport { reason: "the system gives no random bytes".to_owned() })?;
        Ok(Self(bytes))
    }

    /// A secret of given bytes, for callers with their own source of randomness.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for JoinSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JoinSecret(..)")
    }
}

impl TryFrom<String> for JoinSecret {
    type Error = JoinTokenError;

    fn try_from(text: String) -> Result<Self, JoinTokenError> {
        digest::from_hex(&text).map(Self).ok_or(JoinTokenError::Secret)
    }
}

impl From<JoinSecret> for String {
    fn from(secret: JoinSecret) -> Self {
        digest::to_hex(&secret.0)
    }
}

/// Why a text is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JoinTokenError {
    /// It has not the form of a token.
    #[error("a join token has the form apportion-<kind>-<fingerprint>-<secret>")]
    Form,
    /// Its kind is none that exists.
    #[error("in the join token: {0}")]
    Kind(#[from] IdentityError),
    /// Its fingerprint is not 64 hexadecimal digits.
    #[error("the join token's fingerprint is not 64 hexadecimal digits")]
    Fingerprint,
    /// Its secret is not 64 hexadecimal digits.
    #[error("the join token's secret is not 64 hexadecimal digits")]
    Secret,
}

/// A one-time permission to join, as handed to the newcomer: `apportion-<kind>-<fingerprint>-<secret>`. The fingerprint is that of the
/// cluster's authority, so that the newcomer, too, knows whom it talks to. `Debug` hides the secret; `Display` is the token itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// What the newcomer will be.
    pub kind: IdentityKind,
    /// SHA-256 of the cluster authority's certificate.
    pub fingerprint: Digest,
    /// What the master recognises the token by.
    pub secret: JoinSecret,
}

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}-{}-{}-{}", self.kind, self.fingerprint, digest::to_hex(&self.secret.0))
    }
}

impl FromStr for JoinToken {
    type Err = JoinTokenError;

    fn from_str(text: &str) -> Result<Self, JoinTokenError> {
        let parts: Vec<&str> = text.trim().split('-').collect();
        let [PREFIX, kind, fingerprint, secret] = parts[..] else { return Err(JoinTokenError::Form) };
        Ok(Self {
            kind: kind.parse()?,
            fingerprint: fingerprint.parse().map_err(|_| JoinTokenError::Fingerprint)?,
            secret: JoinSecret::try_from(secret.to_owned())?,
        })
    }
}

/// Why a newcomer may not join, as it is told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum JoinError {
    /// No such token was made here.
    #[error("the token is unknown here; ask the operator for a new one")]
    Unknown,
    /// Somebody joined with it.
    #[error("the token was used before; each is good for one join")]
    Used,
    /// Its time is over.
    #[error("the token expired {ago_ms} ms ago; ask the operator for a new one")]
    Expired {
        /// How long ago, in milliseconds.
        ago_ms: u64,
    },
    /// The wanted name cannot be had.
    #[error("the name cannot be had: {0}")]
    Name(#[from] IdentityError),
    /// The master decided otherwise.
    #[error("{reason}")]
    Denied {
        /// Why.
        reason: String,
    },
}

/// What a book knows of one token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenEntry {
    /// What a newcomer becomes by it.
    pub kind: IdentityKind,
    /// Until when it is good, in milliseconds since the Unix epoch.
    pub expires_at: u64,
    /// Whether somebody has joined by it.
    pub used: bool,
}

/// Which tokens are good. Holds digests, never secrets. All times are milliseconds since the Unix epoch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenBook {
    entries: BTreeMap<Digest, TokenEntry>,
}

impl TokenBook {
    /// Enters a token of the cluster whose authority has this fingerprint, good once until `expires_at`.
    pub fn create(
        &mut self,
        kind: IdentityKind,
        fingerprint: Digest,
        secret: JoinSecret,
        expires_at: u64,
    ) -> JoinToken {
        self.entries.insert(Digest::of(&secret.0), TokenEntry { kind, expires_at, used: false });
        JoinToken { kind, fingerprint, secret }
    }

    /// Uses a token up. Who joins is of the kind that the token was made for.
    ///
    /// # Errors
    /// [`JoinError`]. A name that cannot be had leaves the token good.
    pub fn redeem(
        &mut self,
        now: u64,
        secret: &JoinSecret,
        cluster: &str,
        name: &str,
    ) -> Result<Identity, JoinError> {
        let entry = self.entries.get_mut(&Digest::of(&secret.0)).ok_or(JoinError::Unknown)?;
        if entry.used {
            return Err(JoinError::Used);
        }
        if now >= entry.expires_at {
            return Err(JoinError::Expired { ago_ms: now - entry.expires_at });
        }
        let identity = Identity::new(cluster, entry.kind, name)?;
        entry.used = true;
        Ok(identity)
    }

    /// Enters what was known of a token by its secret's digest.
    pub fn restore(&mut self, digest: Digest, entry: TokenEntry) {
        self.entries.insert(digest, entry);
    }

    /// What is known of the token with this secret, and the digest that it is known by.
    pub fn entry(&self, secret: &JoinSecret) -> Option<(Digest, TokenEntry)> {
        let digest = Digest::of(&secret.0);
        self.entries.get(&digest).map(|entry| (digest, *entry))
    }

    /// Forgets tokens that expired more than a day ago, and says which.
    pub fn prune(&mut self, now: u64) -> Vec<Digest> {
        let is_old = |entry: &TokenEntry| now >= entry.expires_at.saturating_add(MEMORY_MS);
        self.entries.extract_if(.., |_, entry| is_old(entry)).map(|(digest, _)| digest).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book() -> (TokenBook, JoinToken) {
        let mut book = TokenBook::default();
        let token = book.create(
            IdentityKind::Agent,
            Digest::of(b"authority"),
            JoinSecret::from_bytes([0xab; 32]),
            1000,
        );
        (book, token)
    }

    #[test]
    fn a_token_prints_and_parses() {
        let (_, token) = book();
        let text = token.to_string();
        assert!(text.starts_with("apportion-agent-"), "{text}");
        assert_eq!(text.parse::<JoinToken>(), Ok(token));
    }

    #[test]
    fn debug_hides_the_secret() {
        let (book, token) = book();
        for shown in [format!("{token:?}"), format!("{book:?}")] {
            assert!(!shown.contains("abab") && !shown.contains("171, 171"), "{shown}");
        }
    }

    #[test]
    fn what_is_no_token_is_refused_without_repeating_it() {
        let (_, token) = book();
        let text = token.to_string();
        assert_eq!("x".parse::<JoinToken>(), Err(JoinTokenError::Form));
        assert_eq!(text[..text.len() - 1].parse::<JoinToken>(), Err(JoinTokenError::Secret));
        let error = text.replace("agent", "boss").parse::<JoinToken>().unwrap_err();
        assert!(error.to_string().contains("`boss` is no kind of identity"), "{error}");
    }

    #[test]
    fn a_token_is_good_once_and_until_it_expires() {
        let (mut book, token) = book();
        assert_eq!(book.clone().redeem(1005, &token.secret, "c", "a"), Err(JoinError::Expired { ago_ms: 5 }));
        assert!(matches!(book.redeem(999, &token.secret, "c", "a b"), Err(JoinError::Name(_))));
        let identity = book.redeem(999, &token.secret, "c", "a").unwrap();
        assert_eq!(identity.to_string(), "spiffe://c/agent/a");
        assert_eq!(book.redeem(999, &token.secret, "c", "b"), Err(JoinError::Used));
        assert_eq!(book.redeem(0, &JoinSecret::from_bytes([1; 32]), "c", "a"), Err(JoinError::Unknown));
    }

    #[test]
    fn a_book_survives_storing_and_forgets_in_time() {
        let (mut book, token) = book();
        let (digest, entry) = book.entry(&token.secret).unwrap();
        let mut restored = TokenBook::default();
        restored.restore(digest, entry);
        assert_eq!(restored, book);
        assert_eq!(book.prune(1000), []);
        assert_eq!(book.prune(1000 + MEMORY_MS), [digest]);
        assert!(book.entries.is_empty());
    }
}
