//! A master's journal: what it was told, when, and a hash of what it decided; enough to replay it.
//!
//! A journal is bytes: a [header](HEADER) and frames of the [codec], each an [`Entry`]. The first is
//! [`Entry::Begin`] or, where a long journal was cut into several, [`Entry::Continue`]. It holds what frameworks and operators said,
//! with the environment of their tasks: whoever may read it reads that.
//!
//! A master that is handed the same records and inputs at the same times decides the same. So a replay compares the
//! [hash](OutputsHash) of its outputs with the recorded one after each input, and tells the first that differs.
//!
//! ```
//! use apportion::master::journal::{Entry, HEADER, JournalReader, OutputsHash};
//! use apportion::master::{Input, PingOptions};
//! use apportion::protocol::Epoch;
//! use apportion::protocol::codec::encode_frame;
//! use apportion::time::Time;
//!
//! let mut bytes = HEADER.to_vec();
//! encode_frame(&Entry::begin(Time::ZERO, Epoch::FIRST, None, PingOptions::default(), false), &mut bytes)?;
//! encode_frame(&Entry::input(Time::from_secs(1), &Input::Tick), &mut bytes)?;
//! encode_frame(&Entry::Outputs(OutputsHash::of(&[])), &mut bytes)?;
//! // A crash may cut the last entry off.
//! bytes.extend_from_slice(&[9, 0]);
//!
//! let mut reader = JournalReader::new(bytes.as_slice())?;
//! assert_eq!(reader.next_entry()?, Some(Entry::begin(Time::ZERO, Epoch::FIRST, None, PingOptions::default(), false)));
//! assert_eq!(reader.next_entry()?, Some(Entry::input(Time::from_secs(1), &Input::Tick)));
//! assert_eq!(reader.next_entry()?, Some(Entry::Outputs(OutputsHash::of(&[]))));
//! assert_eq!((reader.next_entry()?, reader.torn_bytes()), (None, 2));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::borrow::Cow;
use std::io::{self, Read};

use serde::{Deserialize, Serialize};

use super::{Input, Output, PingOptions};
use crate::allocator::DrfOptions;
use crate::protocol::Epoch;
use crate::protocol::codec::{self, CodecError, FrameDecoder};
use crate::store::Record;
use crate::time::Time;

/// The version of the format; the last byte of [`HEADER`].
pub const FORMAT_VERSION: u8 = 3;

/// What a journal begins with.
pub const HEADER: [u8; 9] = *b"apportj\n\x03";

/// How much is read at a time.
const CHUNK: usize = 64 << 10;

/// A part of a journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Entry<'a> {
    /// A master begins.
    Begin {
        /// When.
        at: Time,
        /// The version of the program.
        software: String,
        /// Its epoch.
        epoch: Epoch,
        /// What its allocator was made with, if it is a DRF allocator.
        allocator: Option<Box<DrfOptions>>,
        /// How it asks agents whether they are there.
        pings: PingOptions,
        /// Whether it has a registry. Its records follow.
        has_registry: bool,
    },
    /// A record of the registry that the master began with.
    Record(Cow<'a, Record>),
    /// What the journal before this one tells, goes on.
    Continue {
        /// How many inputs there were so far.
        inputs: u64,
    },
    /// The master is told something.
    Input {
        /// When.
        at: Time,
        /// What.
        input: Cow<'a, Input>,
    },
    /// What it answered the input before.
    Outputs(OutputsHash),
}

impl<'a> Entry<'a> {
    /// A master of this version begins.
    pub fn begin(
        at: Time,
        epoch: Epoch,
        allocator: Option<&DrfOptions>,
        pings: PingOptions,
        has_registry: bool,
    ) -> Self {
        let (software, allocator) = (env!("CARGO_PKG_VERSION").to_owned(), allocator.cloned().map(Box::new));
        Entry::Begin { at, software, epoch, allocator, pings, has_registry }
    }

    /// The master is told something.
    pub fn input(at: Time, input: &'a Input) -> Self {
        Entry::Input { at, input: Cow::Borrowed(input) }
    }
}

/// Tells whether two lists of outputs are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputsHash {
    /// How many outputs.
    pub count: u32,
    /// FNV-1a, of 64 bits, of their encodings.
    pub hash: u64,
}

impl OutputsHash {
    /// The hash of some outputs.
    pub fn of(outputs: &[Output]) -> Self {
        const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
        const PRIME: u64 = 0x0000_0100_0000_01b3;
        let (mut bytes, mut hash) = (Vec::new(), OFFSET);
        for output in outputs {
            bytes.clear();
            // What has no encoding can't have been sent, and counts.
            let _ = codec::encode(output, &mut bytes);
            hash = bytes.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME));
        }
        OutputsHash { count: u32::try_from(outputs.len()).unwrap_or(u32::MAX), hash }
    }
}

/// Why a journal can't be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The bytes can't be had.
    #[error("it can't be read: {0}")]
    Io(#[from] io::Error),
    /// They begin otherwise.
    #[error("it is not a journal of a master")]
    NotOne,
    /// It was written by another version.
    #[error(
        "it has format {found}, but this program knows format {FORMAT_VERSION}; use the version that wrote it"
    )]
    Version {
        /// Its version.
        found: u8,
    },
    /// An entry in it can't be.
    #[error("entry {entry}, before byte {offset}, is damaged: {error}")]
    Damaged {
        /// Which, from 1.
        entry: u64,
        /// How far the bytes were read.
        offset: u64,
        /// What is wrong with it.
        error: CodecError,
    },
}

/// Reads a journal, entry by entry.
#[derive(Debug)]
pub struct JournalReader<R> {
    from: R,
    decoder: FrameDecoder,
    chunk: Vec<u8>,
    entries: u64,
    offset: u64,
    is_at_end: bool,
}

impl<R: Read> JournalReader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// When it can't be read, is none, or of another version.
    pub fn new(mut from: R) -> Result<Self, JournalError> {
        let mut header = [0; HEADER.len()];
        from.read_exact(&mut header).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => JournalError::NotOne,
            _ => JournalError::Io(error),
        })?;
        let (magic, version) = header.split_at(HEADER.len() - 1);
        if magic != &HEADER[..HEADER.len() - 1] {
            return Err(JournalError::NotOne);
        }
        if version[0] != FORMAT_VERSION {
            return Err(JournalError::Version { found: version[0] });
        }
        let offset = HEADER.len() as u64;
        let chunk = vec![0; CHUNK];
        Ok(JournalReader { from, decoder: FrameDecoder::new(), chunk, entries: 0, offset, is_at_end: false })
    }

    /// The next entry; `None` at the end, which may be within an entry: see [`JournalReader::torn_bytes`].
    ///
    /// # Errors
    /// When the bytes can't be had, or are no entry; then there is no further one.
    pub fn next_entry(&mut self) -> Result<Option<Entry<'static>>, JournalError> {
        loop {
            let frame = self.decoder.next_frame();
            let next = frame.map_err(|error| JournalError::Damaged {
                entry: self.entries + 1,
                offset: self.offset,
                error,
            })?;
            if next.is_some() {
                self.entries += 1;
                return Ok(next);
            }
            if self.is_at_end {
                return Ok(None);
            }
            match self.from.read(&mut self.chunk) {
                Ok(0) => self.is_at_end = true,
                Ok(read) => {
                    self.offset += read as u64;
                    self.decoder.feed(&self.chunk[..read]);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// How many bytes at the end are no whole entry: a crash cut it off.
    pub fn torn_bytes(&self) -> usize {
        self.decoder.pending()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::ConnectionId;
    use crate::protocol::codec::encode_frame;

    fn journal() -> (Vec<u8>, usize) {
        let mut bytes = HEADER.to_vec();
        let entries = [
            Entry::begin(Time::from_secs(7), Epoch::FIRST, None, PingOptions::default(), true),
            Entry::input(Time::from_secs(8), &Input::Disconnected { connection: ConnectionId(3) }),
            Entry::Outputs(OutputsHash::of(&[Output::Disconnect {
                connection: ConnectionId(3),
                reason: "why".to_owned(),
            }])),
            Entry::Continue { inputs: 9 },
        ];
        entries.iter().for_each(|entry| encode_frame(entry, &mut bytes).unwrap());
        (bytes, entries.len())
    }

    fn count(bytes: &[u8]) -> Result<usize, JournalError> {
        let mut reader = JournalReader::new(bytes)?;
        let mut count = 0;
        while reader.next_entry()?.is_some() {
            count += 1;
        }
        Ok(count)
    }

    #[test]
    fn other_files_are_told_apart() {
        assert!(matches!(count(b"apport"), Err(JournalError::NotOne)));
        assert!(matches!(count(b"something else"), Err(JournalError::NotOne)));
        let (mut bytes, _) = journal();
        bytes[HEADER.len() - 1] = 9;
        assert!(matches!(count(&bytes), Err(JournalError::Version { found: 9 })));
    }

    proptest! {
        #[test]
        fn a_torn_tail_ends_a_journal(cut in 0_usize..200) {
            let (bytes, entries) = journal();
            let end = bytes.len().saturating_sub(cut).max(HEADER.len());
            let read = count(&bytes[..end]).unwrap();
            prop_assert!(read <= entries && (cut > 0 || read == entries));
        }

        #[test]
        fn damage_is_an_error_or_another_journal(at in 0_usize..200, byte: u8) {
            let (mut bytes, _) = journal();
            let place = at % bytes.len();
            bytes[place] = byte;
            drop(count(&bytes));
        }
    }
}
