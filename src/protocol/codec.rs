//! The encoding of everything that is sent or stored: bincode, and length-prefixed frames of it.
//!
//! A frame is its body's length (`u32`, little-endian) and the body: one value, encoded. The one place that names bincode.
//!
//! Decoding is meant for bytes from strangers: it never panics, refuses trailing bytes, and no length that the bytes claim makes it
//! allocate more than [`MAX_FRAME_BYTES`]. A type whose elements take no bytes on the wire (`Vec<()>`) has no place in a message: its
//! length can't be bounded by the bytes that carry it.

use serde::{Serialize, de::DeserializeOwned};

/// The largest body of a frame, in bytes, and the most that decoding one value may claim.
pub const MAX_FRAME_BYTES: usize = 16 << 20;

/// Capacity that a decoder keeps after a large frame has passed.
const RETAINED_BYTES: usize = 1 << 20;

const LENGTH_BYTES: usize = size_of::<u32>();

/// Why a value could not be encoded or decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The value has no encoding, such as a sequence of unknown length.
    #[error("cannot encode {type_name}: {reason}")]
    Unencodable {
        /// The Rust type.
        type_name: &'static str,
        /// What the encoder objected to.
        reason: String,
    },
    /// The bytes are not an encoding of the expected type.
    #[error("not a valid {type_name}: {reason}")]
    Malformed {
        /// The Rust type that was expected.
        type_name: &'static str,
        /// What the decoder objected to.
        reason: String,
    },
    /// The bytes hold a value and then something else.
    #[error("{extra} bytes follow a valid {type_name}")]
    TrailingBytes {
        /// The Rust type that was decoded.
        type_name: &'static str,
        /// How many bytes were left over.
        extra: usize,
    },
    /// A frame's body is longer than its receiver takes.
    #[error("a frame of {length} bytes exceeds the limit of {limit}")]
    FrameTooLarge {
        /// Length of the body, in bytes.
        length: usize,
        /// The limit, in bytes.
        limit: usize,
    },
}

fn config() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<MAX_FRAME_BYTES>()
}

/// Appends the encoding of `value` to `out`.
///
/// # Errors
/// [`CodecError::Unencodable`]; `out` is then as it was.
pub fn encode<T: Serialize>(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let before = out.len();
    match bincode::serde::encode_into_std_write(value, out, config()) {
        Ok(_) => Ok(()),
        Err(error) => {
            out.truncate(before);
            Err(CodecError::Unencodable { type_name: std::any::type_name::<T>(), reason: error.to_string() })
        }
    }
}

/// Decodes the one value that `bytes` hold.
///
/// # Errors
/// [`CodecError::Malformed`] or [`CodecError::TrailingBytes`].
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let type_name = std::any::type_name::<T>;
    let (value, used) = bincode::serde::borrow_decode_from_slice(bytes, config())
        .map_err(|error| CodecError::Malformed { type_name: type_name(), reason: error.to_string() })?;
    match bytes.len() - used {
        0 => Ok(value),
        extra => Err(CodecError::TrailingBytes { type_name: type_name(), extra }),
    }
}

/// How many bytes `value` takes when it is encoded.
///
/// # Errors
/// [`CodecError::Unencodable`].
pub fn encoded_len<T: Serialize>(value: &T) -> Result<usize, CodecError> {
    let mut counted = bincode::enc::write::SizeWriter::default();
    match bincode::serde::encode_into_writer(value, &mut counted, config()) {
        Ok(()) => Ok(counted.bytes_written),
        Err(error) => {
            Err(CodecError::Unencodable { type_name: std::any::type_name::<T>(), reason: error.to_string() })
        }
    }
}

/// Appends `value` to `out` as one frame.
///
/// # Errors
/// [`CodecError::Unencodable`] or [`CodecError::FrameTooLarge`]; `out` is then as it was.
pub fn encode_frame<T: Serialize>(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let start = out.len();
    out.extend_from_slice(&[0; LENGTH_BYTES]);
    let body = out.len();
    if let Err(error) = encode(value, out) {
        out.truncate(start);
        return Err(error);
    }
    let length = out.len() - body;
    match u32::try_from(length) {
        Ok(prefix) if length <= MAX_FRAME_BYTES => {
            out[start..body].copy_from_slice(&prefix.to_le_bytes());
            Ok(())
        }
        _ => {
            out.truncate(start);
            Err(CodecError::FrameTooLarge { length, limit: MAX_FRAME_BYTES })
        }
    }
}

/// Turns a stream's bytes, in whatever chunks they come, into values.
///
/// Holds what was fed and not yet pulled, so pull until `None` after each feed. After an error the stream has lost its meaning: every
/// further pull gives the same error.
///
/// ```
/// use apportion::protocol::codec::{FrameDecoder, encode_frame};
///
/// let mut bytes = Vec::new();
/// encode_frame(&"offer", &mut bytes)?;
/// let (first, rest) = bytes.split_at(3);
///
/// let mut decoder = FrameDecoder::new();
/// decoder.feed(first);
/// assert_eq!(decoder.next_frame::<String>()?, None);
/// decoder.feed(rest);
/// assert_eq!(decoder.next_frame::<String>()?, Some("offer".to_owned()));
/// # Ok::<(), apportion::protocol::codec::CodecError>(())
/// ```
#[derive(Debug)]
pub struct FrameDecoder {
    buffer: Vec<u8>,
    /// Bytes at the buffer's beginning that belong to frames already pulled.
    consumed: usize,
    limit: usize,
}

impl Default for FrameDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl FrameDecoder {
    /// A decoder that takes frames up to [`MAX_FRAME_BYTES`].
    pub fn new() -> Self {
        Self::with_limit(MAX_FRAME_BYTES)
    }

    /// A decoder that takes frames with bodies up to `limit` bytes: less than [`MAX_FRAME_BYTES`], for peers that are not yet trusted.
    pub fn with_limit(limit: usize) -> Self {
        Self { buffer: Vec::new(), consumed: 0, limit: limit.min(MAX_FRAME_BYTES) }
    }

    /// Appends bytes as they came from the stream.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.reclaim();
        self.buffer.extend_from_slice(bytes);
    }

    /// The next value, or `None` when its frame is not complete yet.
    ///
    /// # Errors
    /// [`CodecError::FrameTooLarge`] as soon as a length says so; [`CodecError::Malformed`] or [`CodecError::TrailingBytes`] for a body.
    pub fn next_frame<M: DeserializeOwned>(&mut self) -> Result<Option<M>, CodecError> {
        let Some((prefix, rest)) = self.buffer[self.consumed..].split_first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*prefix) as usize;
        if length > self.limit {
            return Err(CodecError::FrameTooLarge { length, limit: self.limit });
        }
        let Some(body) = rest.get(..length) else { return Ok(None) };
        let message = decode(body)?;
        self.consumed += LENGTH_BYTES + length;
        Ok(Some(message))
    }

    /// How many bytes wait for the rest of their frame; zero at a frame's boundary.
    pub fn pending(&self) -> usize {
        self.buffer.len() - self.consumed
    }

    /// Up to `limit` bytes that follow the last pulled frame, as they are: for streams that go on in another form.
    pub fn take_bytes(&mut self, limit: usize) -> &[u8] {
        let start = self.consumed;
        self.consumed += limit.min(self.pending());
        &self.buffer[start..self.consumed]
    }

    /// Moves what is left to the front, only once it is the smaller part: so each byte is moved once on average.
    fn reclaim(&mut self) {
        if self.pending() <= self.consumed {
            self.buffer.drain(..self.consumed);
            self.consumed = 0;
            if self.buffer.len() < RETAINED_BYTES && self.buffer.capacity() > 2 * RETAINED_BYTES {
                self.buffer.shrink_to(RETAINED_BYTES);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::{collection::vec, prelude::*};
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    enum Message {
        Ping,
        Text(String),
        Offer { id: u64, scalars: Vec<i64>, labels: BTreeMap<String, Option<String>> },
        Bytes(Vec<u8>),
        Nested(Box<Message>),
    }

    fn message() -> impl Strategy<Value = Message> {
        let leaf = prop_oneof![
            Just(Message::Ping),
            ".{0,40}".prop_map(Message::Text),
            (
                any::<u64>(),
                vec(any::<i64>(), 0..8),
                proptest::collection::btree_map(".{0,5}", any::<Option<String>>(), 0..3)
            )
                .prop_map(|(id, scalars, labels)| Message::Offer { id, scalars, labels }),
            vec(any::<u8>(), 0..2000).prop_map(Message::Bytes),
        ];
        leaf.prop_recursive(3, 8, 1, |inner| inner.prop_map(|message| Message::Nested(Box::new(message))))
    }

    fn drain(decoder: &mut FrameDecoder, out: &mut Vec<Message>) -> Result<(), CodecError> {
        while let Some(message) = decoder.next_frame()? {
            out.push(message);
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn frames_survive_any_chunking(messages in vec(message(), 0..20), cuts in vec(1usize..700, 1..50)) {
            let mut bytes = Vec::new();
            for message in &messages {
                encode_frame(message, &mut bytes).unwrap();
            }
            let (mut decoder, mut decoded, mut rest) = (FrameDecoder::new(), Vec::new(), bytes.as_slice());
            for cut in cuts.iter().cycle() {
                let (chunk, after) = rest.split_at((*cut).min(rest.len()));
                decoder.feed(chunk);
                drain(&mut decoder, &mut decoded).unwrap();
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(decoded, messages);
            prop_assert_eq!(decoder.pending(), 0);
        }

        #[test]
        fn arbitrary_bytes_never_panic(chunks in vec(vec(any::<u8>(), 0..300), 0..20)) {
            let mut decoder = FrameDecoder::new();
            for chunk in &chunks {
                let _ = decode::<Message>(chunk);
                decoder.feed(chunk);
                if drain(&mut decoder, &mut Vec::new()).is_err() {
                    break;
                }
            }
            let fed: usize = chunks.iter().map(Vec::len).sum();
            prop_assert!(decoder.buffer.capacity() <= 2 * fed.max(RETAINED_BYTES));
        }

        #[test]
        fn damaged_encodings_never_panic(message in message(), position: prop::sample::Index, bit in 0u8..8) {
            let mut bytes = Vec::new();
            encode(&message, &mut bytes).unwrap();
            let index = position.index(bytes.len());
            bytes[index] ^= 1 << bit;
            let _ = decode::<Message>(&bytes);
            prop_assert!(decode::<Message>(&bytes[..index]).is_err());
        }
    }

    #[test]
    fn a_claimed_length_beyond_the_limit_is_refused_before_allocating() {
        let mut bytes = vec![1, 253];
        bytes.extend_from_slice(&(1u64 << 40).to_le_bytes());
        let error = decode::<Message>(&bytes).unwrap_err();
        assert!(matches!(error, CodecError::Malformed { .. }), "{error}");
    }

    #[test]
    fn trailing_bytes_are_refused() {
        let error = decode::<u8>(&[1, 2, 3]).unwrap_err();
        assert_eq!(error, CodecError::TrailingBytes { type_name: "u8", extra: 2 });
        assert_eq!(error.to_string(), "2 bytes follow a valid u8");
    }

    #[test]
    fn an_oversized_frame_is_refused_on_both_sides() {
        let mut out = vec![7];
        let error = encode_frame(&vec![0u8; MAX_FRAME_BYTES], &mut out).unwrap_err();
        assert!(matches!(error, CodecError::FrameTooLarge { limit: MAX_FRAME_BYTES, .. }), "{error}");
        assert_eq!(out, [7]);

        let mut decoder = FrameDecoder::with_limit(100);
        decoder.feed(&101u32.to_le_bytes());
        let refused = Err(CodecError::FrameTooLarge { length: 101, limit: 100 });
        assert_eq!(decoder.next_frame::<Message>(), refused);
        decoder.feed(&[0; 200]);
        assert_eq!(decoder.next_frame::<Message>(), refused);
    }

    #[test]
    fn a_large_frame_leaves_no_large_buffer() {
        let mut bytes = Vec::new();
        encode_frame(&Message::Bytes(vec![1; 8 << 20]), &mut bytes).unwrap();
        let mut decoder = FrameDecoder::new();
        for chunk in bytes.chunks(64 << 10) {
            decoder.feed(chunk);
        }
        assert!(decoder.next_frame::<Message>().unwrap().is_some());
        decoder.feed(&[]);
        assert!(decoder.buffer.capacity() <= 2 * RETAINED_BYTES);
    }
}
