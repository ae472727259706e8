//! 128-bit hashes of event streams and inputs.

use std::fmt;
use std::hash::Hasher;

use serde::{Serialize, Serializer};
use siphasher::sip128::{Hasher128, SipHasher13};

/// A 128-bit hash: SipHash-1-3 with a zero key. It tells runs apart; it is no protection against forgery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest(u128);

impl Digest {
    /// The hash of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let mut digester = Digester::default();
        digester.hasher.write(bytes);
        digester.finish()
    }
}

/// As 32 hexadecimal digits.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// So many bytes are hashed at once: each time costs as much as many bytes do.
const AT_ONCE: usize = 4096;

/// Hashes a stream of numbers as it goes by.
#[derive(Clone, Debug, Default)]
pub struct Digester {
    hasher: SipHasher13,
    /// What is still to be hashed.
    pending: Vec<u8>,
}

impl Digester {
    /// Adds numbers, in little-endian order whatever the machine.
    pub fn add<const N: usize>(&mut self, words: [u64; N]) {
        self.pending.extend_from_slice(words.map(u64::to_le_bytes).as_flattened());
        if self.pending.len() >= AT_ONCE {
            self.hasher.write(&self.pending);
            self.pending.clear();
        }
    }

    /// The hash of what was added so far.
    pub fn finish(&self) -> Digest {
        let mut hasher = self.hasher;
        hasher.write(&self.pending);
        let hash = hasher.finish128();
        Digest(u128::from(hash.h1) << 64 | u128::from(hash.h2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_hashed_as_its_bytes_are() {
        let words: Vec<u64> =
            (0..3000).map(|number: u64| number.wrapping_mul(0x9E37_79B9_7F4A_7C15)).collect();
        let mut digester = Digester::default();
        for (count, word) in words.iter().enumerate() {
            digester.add([*word]);
            if count % 500 == 0 {
                let bytes: Vec<u8> = words[..=count].iter().flat_map(|word| word.to_le_bytes()).collect();
                assert_eq!(digester.finish(), Digest::of(&bytes));
            }
        }
    }

    #[test]
    fn a_digest_depends_on_every_number_and_their_order() {
        let of = |words: [u64; 2]| {
            let mut digester = Digester::default();
            digester.add(words);
            digester.finish()
        };
        assert_eq!(of([1, 2]), of([1, 2]));
        assert_ne!(of([1, 2]), of([2, 1]));
        assert_eq!(Digest::of(b"").to_string().len(), 32);
    }
}
