//! A store that several masters share, by etcd, and the election of the one that leads.
//!
//! [`Etcd`] asks the members of an etcd cluster. A master that wants to lead [claims](Etcd::claim) the leader's key, which lives as long as
//! a lease that it renews: it then holds a [`Tenure`]. The tenure's epoch is the revision at which the key was created. Its [`EtcdStore`]
//! writes in transactions that hold only while the key has that revision, so what a deposed master writes is refused by etcd itself,
//! however late it arrives.
//!
//! Under the prefix of an [`EtcdLocation`] there are the key `leader`, with the leading master's address, and one record per thing under
//! `registry/`, as in every store. The cluster's authority is among them: whoever reads them can be anyone in the cluster, so keep etcd as
//! safe as its private key.

mod location;
mod members;
mod records;
mod security;
mod tenure;

use std::time::Duration;

use etcd_client::{Compare, CompareOp, GetOptions, KeyValue, PutOptions, Txn, TxnOp, TxnOpResponse};

pub use location::{EtcdLocation, EtcdLocationError};
use members::Members;
pub use records::EtcdStore;
pub use security::EtcdSecurity;
pub use tenure::Tenure;

use super::{Record, StoreError};
use crate::protocol::Epoch;

/// How long a leader that dies still counts as one, unless it is told otherwise.
pub const DEFAULT_LEASE: Duration = Duration::from_secs(5);

/// An etcd cluster, as far as masters use it. Clones are handles on the same connections.
#[derive(Clone, Debug)]
pub struct Etcd {
    members: Members,
    prefix: String,
}

/// What came of the wish to lead.
#[derive(Debug)]
pub enum Claim {
    /// This master leads.
    Won(Tenure),
    /// Another one does.
    Lost {
        /// What it wrote as its address.
        leader: String,
    },
}

impl Etcd {
    /// Begins to connect, which requests then wait for; without `security` nothing of it is encrypted, and nobody proves who they are:
    /// for members on this machine, and networks that nobody else is on.
    ///
    /// # Errors
    /// When an endpoint's address or a certificate can't be used, or the system refuses threads.
    pub fn connect(location: &EtcdLocation, security: Option<&EtcdSecurity>) -> Result<Self, StoreError> {
        let members = Members::connect(location.endpoints(), security)?;
        Ok(Etcd { members, prefix: location.prefix().to_owned() })
    }

    /// Keeps a record unless there is one under its key, whoever leads. Returns the one that there is.
    ///
    /// # Errors
    /// When no member answers, or what is there is no record.
    pub async fn establish(&self, record: &Record) -> Result<Record, StoreError> {
        let (key, bytes) = (record.key().to_string(), record.to_bytes()?);
        let full = self.record_key(&key);
        let transaction = Txn::new()
            .when([Compare::version(full.as_str(), CompareOp::Equal, 0)])
            .and_then([TxnOp::put(full.as_str(), bytes, None)])
            .or_else([TxnOp::get(full.as_str(), None)]);
        let answer = self.members.transact("write", transaction).await?;
        match found(answer.op_responses()) {
            Some(known) => Record::from_bytes(&key, known.value()),
            None => Ok(record.clone()),
        }
    }

    /// Becomes the leader, unless there is one. `address` tells the others where the leader is; the claim ends `lease` after the last
    /// sign of life.
    ///
    /// # Errors
    /// When no member answers.
    pub async fn claim(&self, address: &str, lease: Duration) -> Result<Claim, StoreError> {
        let leader_key = self.leader_key();
        let known = self.members.get("read", leader_key.clone(), GetOptions::new()).await?;
        if let Some(leader) = known.kvs().first() {
            return Ok(Claim::Lost { leader: String::from_utf8_lossy(leader.value()).into_owned() });
        }
        let (lease_id, valid_until) = self.members.grant(lease).await?;
        let transaction = Txn::new()
            .when([Compare::version(leader_key.as_str(), CompareOp::Equal, 0)])
            .and_then([TxnOp::put(
                leader_key.as_str(),
                address,
                Some(PutOptions::new().with_lease(lease_id)),
            )])
            .or_else([TxnOp::get(leader_key.as_str(), None)]);
        let answer = self.members.transact("write", transaction).await?;
        let revision = match found(answer.op_responses()) {
            None => answer.header().map_or(0, |header| header.revision()),
            // An earlier try of this very request was carried out, and its answer lost.
            Some(leader) if leader.lease() == lease_id => leader.create_revision(),
            Some(leader) => {
                self.members.revoke(lease_id).await?;
                return Ok(Claim::Lost { leader: String::from_utf8_lossy(leader.value()).into_owned() });
            }
        };
        let epoch = Epoch(u64::try_from(revision).unwrap_or(0));
        Ok(Claim::Won(Tenure::begin(self.clone(), address.to_owned(), epoch, lease_id, lease, valid_until)))
    }

    fn leader_key(&self) -> String {
        format!("{}/leader", self.prefix)
    }

    fn record_key(&self, key: &str) -> String {
        format!("{}/registry/{key}", self.prefix)
    }
}

/// What the reading half of a transaction found.
fn found(responses: Vec<TxnOpResponse>) -> Option<KeyValue> {
    responses.into_iter().find_map(|response| match response {
        TxnOpResponse::Get(response) => response.kvs().first().cloned(),
        _ => None,
    })
}
