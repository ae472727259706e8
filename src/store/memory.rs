//! A store for tests and simulations.

use std::collections::BTreeMap;

use super::{Change, Record, Store, StoreError};
use crate::protocol::Epoch;

/// Keeps records, as bytes, for as long as it lives. A clone is what a crash at that moment leaves.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    terms: u64,
    records: BTreeMap<String, Vec<u8>>,
}

impl Store for MemoryStore {
    fn begin_term(&mut self) -> Result<Epoch, StoreError> {
        self.terms += 1;
        Ok(Epoch(self.terms))
    }

    fn load(&mut self) -> Result<Vec<Record>, StoreError> {
        self.records.iter().map(|(key, bytes)| Record::from_bytes(key, bytes)).collect()
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        let mut records = self.records.clone();
        for change in changes {
            match change {
                Change::Put(record) => records.insert(record.key().to_string(), record.to_bytes()?),
                Change::Delete(key) => records.remove(&key.to_string()),
            };
        }
        self.records = records;
        Ok(())
    }
}
