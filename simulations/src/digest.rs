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
        digester.0.write(bytes);
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

/// Hashes a stream of numbers as it goes by.
#[derive(Clone, Debug)]
pub struct Digester(SipHasher13);

impl Default for Digester {
    fn default() -> Self {
        Digester(SipHasher13::new())
    }
}

impl Digester {
    /// Adds numbers, in little-endian order whatever the machine.
    pub fn add<const N: usize>(&mut self, words: [u64; N]) {
        self.0.write(words.map(u64::to_le_bytes).as_flattened());
    }

    /// The hash of what was added so far.
    pub fn finish(&self) -> Digest {
        let hash = self.0.finish128();
        Digest(u128::from(hash.h1) << 64 | u128::from(hash.h2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
