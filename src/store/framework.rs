//! Where a framework's records are kept.

use std::path::Path;

use super::StoreError;
use super::file::RecordFile;
use crate::scheduler::{RecordChange, Records};

/// The version of the format; each record begins with it.
const FORMAT_VERSION: u8 = 1;

/// Keeps the [records](crate::scheduler::Records) of one framework in a file, which one process may have open at a time. Clones are handles
/// on the same file.
#[derive(Clone, Debug)]
pub struct FrameworkStore(RecordFile);

impl FrameworkStore {
    /// The store in the file at `path`, which is made, for its owner's eyes alone, if it does not exist; its folder must.
    ///
    /// # Errors
    /// When the file can't be used, is open elsewhere, or is no store.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        RecordFile::open(path, "framework").map(FrameworkStore)
    }

    /// All records.
    ///
    /// # Errors
    /// When the file can't be read, or another version of this program wrote it.
    pub fn load(&self) -> Result<Records, StoreError> {
        let each = self.0.read()?.into_iter().map(|(key, mut bytes)| match bytes.first() {
            Some(&FORMAT_VERSION) => Ok((key, bytes.split_off(1))),
            Some(&found) => Err(StoreError::Version { key, found, known: FORMAT_VERSION }),
            None => Err(StoreError::Corrupt { key, problem: "it is empty".to_owned() }),
        });
        each.collect()
    }

    /// Applies the changes in order. They are durable when this returns.
    ///
    /// # Errors
    /// When that is not certain.
    pub fn commit(&self, changes: &[RecordChange]) -> Result<(), StoreError> {
        let versioned =
            |value: &Option<Vec<u8>>| value.as_ref().map(|value| [&[FORMAT_VERSION], &value[..]].concat());
        let encoded: Vec<_> = changes.iter().map(|change| versioned(&change.value)).collect();
        let keys = changes.iter().map(|change| change.key.as_str());
        self.0.write(keys.zip(encoded.iter().map(Option::as_deref)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &str, value: &[u8]) -> RecordChange {
        RecordChange { key: key.to_owned(), value: Some(value.to_vec()) }
    }

    #[test]
    fn what_was_committed_is_there_when_the_file_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("framework.redb");
        let store = FrameworkStore::open(&path).unwrap();
        assert!(store.load().unwrap().is_empty());
        store.commit(&[put("a", b"1"), put("b", b"")]).unwrap();
        store.commit(&[RecordChange { key: "a".to_owned(), value: None }]).unwrap();
        assert!(matches!(FrameworkStore::open(&path), Err(StoreError::Open { .. })), "two on one file");
        drop(store);
        let found = FrameworkStore::open(&path).unwrap().load().unwrap();
        assert_eq!(found, [("b".to_owned(), Vec::new())].into());
    }

    #[test]
    fn records_of_another_version_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let store = FrameworkStore::open(&folder.path().join("framework.redb")).unwrap();
        store.0.write([("a", Some(&[9_u8][..]))]).unwrap();
        let error = store.load().unwrap_err();
        assert!(matches!(error, StoreError::Version { found: 9, .. }), "{error}");
    }
}
