//! A store in a file of its own, by redb.

use std::path::Path;

use redb::{Durability, ReadableTable, TableDefinition};

use super::file::RecordFile;
use super::{Change, Record, Store, StoreError};
use crate::protocol::Epoch;

/// How many terms have begun, under the only key.
const TERMS: TableDefinition<'_, (), u64> = TableDefinition::new("terms");

/// Keeps records in one file, which one process may have open at a time. A commit is on disk when it returns, and whole or not there at
/// all. Clones are handles on the same file.
#[derive(Clone, Debug)]
pub struct RedbStore(RecordFile);

impl RedbStore {
    /// The store in the file at `path`, which is made, for its owner's eyes alone, if it does not exist; its folder must.
    ///
    /// # Errors
    /// When the file can't be used, is open elsewhere, or is no store.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        RecordFile::open(path, "registry").map(RedbStore)
    }

    fn next_term(&self) -> Result<u64, redb::Error> {
        let mut transaction = self.0.database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        let term = {
            let mut terms = transaction.open_table(TERMS)?;
            let term = terms.get(())?.map_or(0, |last| last.value()) + 1;
            terms.insert((), term)?;
            term
        };
        transaction.commit()?;
        Ok(term)
    }
}

impl Store for RedbStore {
    fn begin_term(&mut self) -> Result<Epoch, StoreError> {
        let term = self.next_term();
        term.map(Epoch)
            .map_err(|error| StoreError::Failed { action: "begin a term in", reason: error.to_string() })
    }

    fn load(&mut self) -> Result<Vec<Record>, StoreError> {
        self.0.read()?.iter().map(|(key, bytes)| Record::from_bytes(key, bytes)).collect()
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        let mut encoded = Vec::with_capacity(changes.len());
        for change in changes {
            encoded.push(match change {
                Change::Put(record) => (record.key().to_string(), Some(record.to_bytes()?)),
                Change::Delete(key) => (key.to_string(), None),
            });
        }
        self.0.write(encoded.iter().map(|(key, bytes)| (key.as_str(), bytes.as_deref())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Weight;
    use crate::store::Key;

    #[test]
    fn what_was_committed_is_there_when_the_file_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registry.redb");
        let weight = |role: &str| Record::Weight { role: role.parse().unwrap(), weight: Weight::default() };
        let mut store = RedbStore::open(&path).unwrap();
        assert_eq!(store.load().unwrap(), []);
        store.commit(&[Change::Put(weight("a")), Change::Put(weight("b"))]).unwrap();
        store.commit(&[Change::Delete(Key::Weight("a".parse().unwrap()))]).unwrap();
        assert!(matches!(RedbStore::open(&path), Err(StoreError::Open { .. })), "two masters on one file");
        drop(store);
        assert_eq!(RedbStore::open(&path).unwrap().load().unwrap(), [weight("b")]);
    }
}
