//! Bytes under keys in a file of their own, by redb.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use redb::backends::FileBackend;
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};

use super::StoreError;

/// A file that one process may have open at a time. A write is on disk when it returns, and whole or not there at all. Clones are
/// handles on the same file.
#[derive(Clone, Debug)]
pub(super) struct RecordFile {
    pub(super) database: Arc<Database>,
    table: &'static str,
}

impl RecordFile {
    /// Opens the file at `path`, which is made, for its owner's eyes alone, if it does not exist; its folder must.
    pub(super) fn open(path: &Path, table: &'static str) -> Result<Self, StoreError> {
        let open = || -> Result<Database, redb::Error> {
            let mut options = OpenOptions::new();
            let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
            Ok(Database::builder().create_with_backend(FileBackend::new(file)?)?)
        };
        let database =
            open().map_err(|error| StoreError::Open { path: path.to_owned(), reason: error.to_string() })?;
        Ok(RecordFile { database: Arc::new(database), table })
    }

    /// Puts and deletes, in order.
    pub(super) fn write<'a>(
        &self,
        changes: impl IntoIterator<Item = (&'a str, Option<&'a [u8]>)>,
    ) -> Result<(), StoreError> {
        let write = || -> Result<(), redb::Error> {
            let mut transaction = self.database.begin_write()?;
            transaction.set_durability(Durability::Immediate)?;
            {
                let mut table = transaction.open_table(definition(self.table))?;
                for (key, value) in changes {
                    match value {
                        Some(bytes) => table.insert(key, bytes)?,
                        None => table.remove(key)?,
                    };
                }
            }
            Ok(transaction.commit()?)
        };
        write().map_err(|error| StoreError::Failed { action: "write", reason: error.to_string() })
    }

    /// All that is there, by key.
    pub(super) fn read(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let read = || -> Result<Vec<_>, redb::Error> {
            let transaction = self.database.begin_read()?;
            let table = match transaction.open_table(definition(self.table)) {
                Ok(table) => table,
                // Nothing was ever written.
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
                Err(error) => return Err(error.into()),
            };
            let each = table.iter()?.map(|entry| {
                let (key, bytes) = entry?;
                Ok((key.value().to_owned(), bytes.value().to_vec()))
            });
            each.collect()
        };
        read().map_err(|error| StoreError::Failed { action: "read", reason: error.to_string() })
    }
}

fn definition(table: &'static str) -> TableDefinition<'static, &'static str, &'static [u8]> {
    TableDefinition::new(table)
}
