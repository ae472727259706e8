//! Records as bytes: a header, then batches of records, each of which is there as a whole or not at all.
//!
//! A batch is its length and its checksum (CRC-32), four bytes each, little-endian, and its records, encoded.

use super::checkpoint::{Checkpoint, Record};
use crate::protocol::codec::{self, CodecError};

/// What records begin with: the last byte is the version of their format.
pub(crate) const HEADER: [u8; 8] = *b"apagent\x01";

/// The bytes before a batch's records.
const PREFIX_BYTES: usize = 8;

/// Why bytes are no records of an agent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordsError {
    /// They begin with something else.
    #[error("they are no records of an agent")]
    Header,
    /// They were written by another version of this program.
    #[error(
        "they have format {found}, but this program knows format {known}; use the version that wrote them, or a newer one",
        known = HEADER[7]
    )]
    Version {
        /// Their format.
        found: u8,
    },
    /// A batch is whole, but not what it should be.
    #[error("the records at byte {at} can't be read: {error}")]
    Batch {
        /// Where it begins.
        at: usize,
        /// Why.
        error: CodecError,
    },
}

/// Appends a batch.
pub(crate) fn encode(records: &[Record], out: &mut Vec<u8>) -> Result<(), CodecError> {
    let start = out.len();
    out.extend_from_slice(&[0; PREFIX_BYTES]);
    let body = start + PREFIX_BYTES;
    let encoded = codec::encode(&records, out).and_then(|()| {
        let length = out.len() - body;
        u32::try_from(length)
            .ok()
            .filter(|_| length <= codec::MAX_FRAME_BYTES)
            .ok_or(CodecError::FrameTooLarge { length, limit: codec::MAX_FRAME_BYTES })
    });
    match encoded {
        Ok(length) => {
            let checksum = crc32fast::hash(&out[body..]);
            out[start..start + 4].copy_from_slice(&length.to_le_bytes());
            out[start + 4..body].copy_from_slice(&checksum.to_le_bytes());
            Ok(())
        }
        Err(error) => {
            out.truncate(start);
            Err(error)
        }
    }
}

impl Checkpoint {
    /// Adds the records that `bytes` hold, up to a batch whose end was never written. Returns how many bytes were whole.
    ///
    /// # Errors
    /// When the bytes are of another version, or no records.
    pub fn read(&mut self, bytes: &[u8]) -> Result<usize, RecordsError> {
        if bytes.len() < HEADER.len() {
            return if HEADER.starts_with(bytes) { Ok(0) } else { Err(RecordsError::Header) };
        }
        let (header, _) = bytes.split_at(HEADER.len());
        match header.split_last() {
            Some((version, name)) if name == &HEADER[..name.len()] => {
                if *version != HEADER[name.len()] {
                    return Err(RecordsError::Version { found: *version });
                }
            }
            _ => return Err(RecordsError::Header),
        }
        let mut at = HEADER.len();
        while let Some(body) = whole_batch(&bytes[at..]) {
            let records: Vec<Record> =
                codec::decode(body).map_err(|error| RecordsError::Batch { at, error })?;
            records.into_iter().for_each(|record| self.apply(record));
            at += PREFIX_BYTES + body.len();
        }
        Ok(at)
    }

    /// The fewest bytes that add up to this.
    ///
    /// # Errors
    /// When a task is larger than any message may be.
    pub fn to_bytes(&self) -> Result<Vec<u8>, CodecError> {
        let mut bytes = HEADER.to_vec();
        for record in self.records() {
            encode(std::slice::from_ref(&record), &mut bytes)?;
        }
        Ok(bytes)
    }
}

/// The records of the batch that the bytes begin with, if it is there as it was written.
fn whole_batch(bytes: &[u8]) -> Option<&[u8]> {
    let (prefix, rest) = bytes.split_at_checked(PREFIX_BYTES)?;
    let (length, checksum) = prefix.split_at(4);
    let number = |bytes: &[u8]| bytes.try_into().map(u32::from_le_bytes).ok();
    let body = rest.get(..number(length)? as usize)?;
    // A file that was grown and never written holds zeroes, whose checksum would be right.
    (!body.is_empty() && crc32fast::hash(body) == number(checksum)?).then_some(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(count: usize) -> Vec<Record> {
        let started = |number| Record::ExecutorStarted {
            framework: "f1".parse().unwrap(),
            role: "web".parse().unwrap(),
            executor: format!("e{number}").parse().unwrap(),
            info: None,
        };
        (0..count).map(started).collect()
    }

    fn sum(records: Vec<Record>) -> Checkpoint {
        let mut sum = Checkpoint::new("a1".parse().unwrap());
        records.into_iter().for_each(|record| sum.apply(record));
        sum
    }

    #[test]
    fn wherever_the_bytes_end_whole_batches_are_read_and_no_more() {
        let mut bytes = HEADER.to_vec();
        let mut ends = vec![(0, 0), (bytes.len(), 0)];
        for (number, record) in records(3).iter().enumerate() {
            encode(std::slice::from_ref(record), &mut bytes).unwrap();
            ends.push((bytes.len(), number + 1));
        }
        for length in 0..=bytes.len() {
            let (whole, count) = *ends.iter().rfind(|(end, _)| *end <= length).unwrap();
            let mut read = Checkpoint::new("a1".parse().unwrap());
            assert_eq!(read.read(&bytes[..length]), Ok(whole), "{length} bytes");
            assert_eq!(read, sum(records(count)));
        }
        let whole = bytes.len();
        bytes.resize(whole + 100, 0);
        assert_eq!(Checkpoint::new("a1".parse().unwrap()).read(&bytes), Ok(whole), "zeroes are no batch");
    }

    #[test]
    fn a_damaged_batch_ends_the_records() {
        let bytes = sum(records(1)).to_bytes().unwrap();
        for at in HEADER.len()..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            let mut read = Checkpoint::new("a1".parse().unwrap());
            assert_eq!(read.read(&damaged), Ok(HEADER.len()), "byte {at}");
            assert!(read.is_empty());
        }
    }

    #[test]
    fn other_files_and_other_versions_are_told_apart() {
        let mut checkpoint = Checkpoint::new("a1".parse().unwrap());
        assert_eq!(checkpoint.read(b"[registry]"), Err(RecordsError::Header));
        assert_eq!(checkpoint.read(b"x"), Err(RecordsError::Header));
        assert_eq!(checkpoint.read(b"apagent\x02"), Err(RecordsError::Version { found: 2 }));
    }
}
