//! A registry in etcd, as the master that leads reads and writes it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use etcd_client::{Compare, CompareOp, GetOptions, PutOptions, Txn, TxnOp};

use super::found;
use super::tenure::Shared;
use crate::protocol::Epoch;
use crate::store::{Change, Record, Store, StoreError};

/// How many records are read with one request.
const PAGE: i64 = 500;

/// How many changes go into one transaction; etcd takes 128 operations unless it is told otherwise.
const CHANGES_PER_TRANSACTION: usize = 100;

/// How large one transaction may become before the next begins, in bytes; etcd takes 1.5 MiB unless it is told otherwise.
const BYTES_PER_TRANSACTION: usize = 1 << 20;

/// From a write that nobody answered to the next try.
const RETRY: Duration = Duration::from_millis(100);

/// A key's text, and what is kept there, if anything.
type Write = (String, Option<Vec<u8>>);

/// The registry during one master's tenure. Clones belong to the same tenure.
///
/// Each transaction also writes the leader's key, and holds only if that key is this tenure's and was written as often as is known
/// here. So a write that was sent again, because its answer was late, takes effect once and never after a later one.
#[derive(Clone, Debug)]
pub struct EtcdStore {
    shared: Arc<Shared>,
}

impl EtcdStore {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        EtcdStore { shared }
    }
}

impl Store for EtcdStore {
    /// The tenure is the term.
    fn begin_term(&mut self) -> Result<Epoch, StoreError> {
        Ok(self.shared.epoch)
    }

    fn load(&mut self) -> Result<Vec<Record>, StoreError> {
        let shared = self.shared.clone();
        self.shared.etcd.members.wait(async move { shared.load().await })
    }

    /// After a failure, changes up to any one of them may have been applied.
    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        let mut writes = Vec::with_capacity(changes.len());
        for change in changes {
            writes.push(match change {
                Change::Put(record) => (record.key().to_string(), Some(record.to_bytes()?)),
                Change::Delete(key) => (key.to_string(), None),
            });
        }
        let shared = self.shared.clone();
        self.shared.etcd.members.wait(async move { shared.commit(writes).await })
    }
}

impl Shared {
    async fn load(&self) -> Result<Vec<Record>, StoreError> {
        let (mut from, end) = (self.etcd.record_key(""), self.etcd.record_key("\u{10ffff}"));
        let prefix = from.clone();
        let mut records = Vec::new();
        let mut revision = 0;
        loop {
            let options = GetOptions::new().with_range(end.as_str()).with_limit(PAGE).with_revision(revision);
            let page = self.etcd.members.get("read", from.clone(), options).await?;
            // What follows is read as it was then.
            revision = page.header().map_or(0, |header| header.revision());
            for entry in page.kvs() {
                let key = String::from_utf8_lossy(entry.key());
                records.push(Record::from_bytes(key.strip_prefix(&prefix).unwrap_or(&key), entry.value())?);
                from = format!("{key}\0");
            }
            if !page.more() {
                return Ok(records);
            }
        }
    }

    async fn commit(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        let mut written = self.writes.lock().await;
        for transaction in transactions(writes) {
            self.write(&transaction, &mut written).await?;
        }
        Ok(())
    }

    /// Carries out one transaction, trying for as long as the tenure lasts.
    async fn write(
        &self,
        changes: &BTreeMap<String, Option<Vec<u8>>>,
        written: &mut i64,
    ) -> Result<(), StoreError> {
        let leader = self.etcd.leader_key();
        let epoch = i64::try_from(self.epoch.0).unwrap_or(i64::MAX);
        let leased = PutOptions::new().with_lease(self.lease);
        let mut operations = vec![TxnOp::put(leader.as_str(), self.address.as_str(), Some(leased))];
        operations.extend(changes.iter().map(|(key, record)| {
            let key = self.etcd.record_key(key);
            match record {
                Some(bytes) => TxnOp::put(key, bytes.clone(), None),
                None => TxnOp::delete(key, None),
            }
        }));
        let transaction = Txn::new()
            .when([
                Compare::create_revision(leader.as_str(), CompareOp::Equal, epoch),
                Compare::version(leader.as_str(), CompareOp::Equal, *written),
            ])
            .and_then(operations)
            .or_else([TxnOp::get(leader.as_str(), None)]);
        loop {
            if !self.lasts() {
                return Err(StoreError::Deposed);
            }
            let answer = match self.etcd.members.transact("write", transaction.clone()).await {
                Ok(answer) => answer,
                Err(StoreError::Unreachable { reason }) => {
                    tracing::warn!(reason, "the registry could not be written; trying again");
                    tokio::time::sleep(RETRY).await;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let is_earlier_try = found(answer.op_responses())
                .is_some_and(|leader| leader.create_revision() == epoch && leader.version() == *written + 1);
            if answer.succeeded() || is_earlier_try {
                *written += 1;
                return Ok(());
            }
            self.end();
            return Err(StoreError::Deposed);
        }
    }
}

/// Writes as transactions that etcd takes: each names a key once, the last write to it counts.
fn transactions(writes: Vec<Write>) -> Vec<BTreeMap<String, Option<Vec<u8>>>> {
    let mut all = Vec::new();
    let (mut current, mut bytes) = (BTreeMap::new(), 0);
    for (key, record) in writes {
        let size = key.len() + record.as_ref().map_or(0, Vec::len);
        if current.len() == CHANGES_PER_TRANSACTION || (bytes > 0 && bytes + size > BYTES_PER_TRANSACTION) {
            all.push(std::mem::take(&mut current));
            bytes = 0;
        }
        bytes += size;
        current.insert(key, record);
    }
    if !current.is_empty() {
        all.push(current);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transactions_are_as_large_as_etcd_takes_and_the_last_write_to_a_key_counts() {
        let mut writes: Vec<Write> = (0..250).map(|number| (format!("{number:03}"), None)).collect();
        writes.push(("249".to_owned(), Some(vec![1])));
        let all = transactions(writes);
        assert_eq!(all.iter().map(BTreeMap::len).collect::<Vec<_>>(), [100, 100, 50]);
        assert_eq!(all[2]["249"], Some(vec![1]));

        let large = vec![0; BYTES_PER_TRANSACTION / 2 + 1];
        let writes = vec![("a".to_owned(), Some(large.clone())), ("b".to_owned(), Some(large))];
        assert_eq!(transactions(writes).len(), 2);
        assert!(transactions(Vec::new()).is_empty());
    }
}
