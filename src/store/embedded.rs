//! A store in a file of its own, by redb.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use redb::backends::FileBackend;
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};

use super::{Change, Record, Store, StoreError};
use crate::protocol::Epoch;

const REGISTRY: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("registry");

/// How many terms have begun, under the only key.
const TERMS: TableDefinition<'_, (), u64> = TableDefinition::new("terms");

/// Keeps records in one file, which one process may have open at a time. A commit is on disk when it returns, and whole or not there at
/// all. Clones are handles on the same file.
#[derive(Clone, Debug)]
pub struct RedbStore {
    database: Arc<Database>,
}

impl RedbStore {
    /// The store in the file at `path`, which is made, for its owner's eyes alone, if it does not exist; its folder must.
    ///
    /// # Errors
    /// When the file can't be used, is open elsewhere, or is no store.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let open = || -> Result<Database, redb::Error> {
            let mut options = OpenOptions::new();
            let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
            Ok(Database::builder().create_with_backend(FileBackend::new(file)?)?)
        };
        let database =
            open().map_err(|error| StoreError::Open { path: path.to_owned(), reason: error.to_string() })?;
        Ok(RedbStore { database: Arc::new(database) })
    }

    fn next_term(&self) -> Result<u64, redb::Error> {
        let mut transaction = self.database.begin_write()?;
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

    fn apply(&self, changes: &[(String, Option<Vec<u8>>)]) -> Result<(), redb::Error> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        {
            let mut registry = transaction.open_table(REGISTRY)?;
            for (key, record) in changes {
                match record {
                    Some(bytes) => registry.insert(key.as_str(), bytes.as_slice())?,
                    None => registry.remove(key.as_str())?,
                };
            }
        }
        Ok(transaction.commit()?)
    }

    fn read(&self) -> Result<Vec<(String, Vec<u8>)>, redb::Error> {
        let transaction = self.database.begin_read()?;
        let registry = match transaction.open_table(REGISTRY) {
            Ok(registry) => registry,
            // Nothing was ever committed.
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let each = registry.iter()?.map(|entry| {
            let (key, bytes) = entry?;
            Ok((key.value().to_owned(), bytes.value().to_vec()))
        });
        each.collect()
    }
}

impl Store for RedbStore {
    fn begin_term(&mut self) -> Result<Epoch, StoreError> {
        let term = self.next_term();
        term.map(Epoch)
            .map_err(|error| StoreError::Failed { action: "begin a term in", reason: error.to_string() })
    }

    fn load(&mut self) -> Result<Vec<Record>, StoreError> {
        let records =
            self.read().map_err(|error| StoreError::Failed { action: "read", reason: error.to_string() })?;
        records.iter().map(|(key, bytes)| Record::from_bytes(key, bytes)).collect()
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        let mut encoded = Vec::with_capacity(changes.len());
        for change in changes {
            encoded.push(match change {
                Change::Put(record) => (record.key().to_string(), Some(record.to_bytes()?)),
                Change::Delete(key) => (key.to_string(), None),
            });
        }
        self.apply(&encoded)
            .map_err(|error| StoreError::Failed { action: "write", reason: error.to_string() })
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
