//! Good inputs, damaged: bits flipped, parts cut, repeated or taken from another, and what decoders tend to stumble over.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// What is done to an input.
#[derive(Clone, Debug)]
enum Damage {
    Flip {
        at: Index,
        bit: u8,
    },
    Write {
        at: Index,
        bytes: Vec<u8>,
    },
    Insert {
        at: Index,
        bytes: Vec<u8>,
    },
    Remove {
        at: Index,
        length: usize,
    },
    /// A part of another input, or of this one.
    Graft {
        other: Index,
        from: Index,
        length: usize,
        at: Index,
    },
    Cut {
        at: Index,
    },
}

impl Damage {
    fn apply(&self, bytes: &mut Vec<u8>, samples: &[Vec<u8>]) {
        let place = |at: &Index| at.index(bytes.len() + 1);
        match self {
            Damage::Flip { at, bit } => {
                let at = place(at);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << bit;
                }
            }
            Damage::Write { at, bytes: written } => {
                let at = place(at);
                let end = bytes.len().min(at + written.len());
                bytes.splice(at..end, written.iter().copied());
            }
            Damage::Insert { at, bytes: inserted } => {
                let at = place(at);
                bytes.splice(at..at, inserted.iter().copied());
            }
            Damage::Remove { at, length } => {
                let at = place(at);
                let end = bytes.len().min(at + length);
                bytes.drain(at..end);
            }
            Damage::Graft { other, from, length, at } => {
                let (other, at) = (other.get(samples), place(at));
                let from = from.index(other.len() + 1);
                let part = &other[from..other.len().min(from + length)];
                bytes.splice(at..at, part.iter().copied());
            }
            Damage::Cut { at } => bytes.truncate(place(at)),
        }
    }
}

fn damage(stumbling_blocks: Vec<Vec<u8>>) -> impl Strategy<Value = Damage> {
    let at = any::<Index>;
    let bytes = || prop_oneof![vec(any::<u8>(), 1..8), select(stumbling_blocks.clone())];
    prop_oneof![
        (at(), 0..8_u8).prop_map(|(at, bit)| Damage::Flip { at, bit }),
        (at(), bytes()).prop_map(|(at, bytes)| Damage::Write { at, bytes }),
        (at(), bytes()).prop_map(|(at, bytes)| Damage::Insert { at, bytes }),
        (at(), 1..16_usize).prop_map(|(at, length)| Damage::Remove { at, length }),
        (at(), at(), 1..64_usize, at()).prop_map(|(other, from, length, at)| Damage::Graft {
            other,
            from,
            length,
            at
        }),
        at().prop_map(|at| Damage::Cut { at }),
    ]
}

fn damaged_by(samples: Vec<Vec<u8>>, stumbling_blocks: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    (any::<Index>(), vec(damage(stumbling_blocks), 0..6)).prop_map(move |(sample, damages)| {
        let mut bytes = sample.get(&samples).clone();
        for damage in &damages {
            damage.apply(&mut bytes, &samples);
        }
        bytes
    })
}

/// Encoded values, damaged; with lengths and numbers at their limits.
pub(crate) fn damaged(samples: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    // Variable-length integers begin with 251 to 254 when 2, 4, 8 or 16 bytes follow.
    let numbers = [251_u8, 252, 253, 254].into_iter().flat_map(|marker| {
        let width = 2_usize << (marker - 251);
        [vec![0; width], vec![0xff; width], [vec![0; width - 1], vec![0x7f]].concat()]
            .map(|digits| [vec![marker], digits].concat())
    });
    damaged_by(samples, numbers.collect())
}

/// Texts, damaged; with what means something to those who read them.
pub(crate) fn damaged_text(samples: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let blocks = [
        "[",
        "]",
        "[[",
        "]]",
        "{",
        "}",
        "\"",
        "\"\"\"",
        "'",
        "=",
        "\n",
        ",",
        ";",
        ":",
        "/",
        "-",
        "*",
        "${",
        "}",
        "\\u0000",
        "\u{0}",
        "\u{202e}",
        "ä",
        "0",
        "-1",
        "1e999",
        "99999999999999999999",
        "9223372036854775807",
        "0.0001",
        "nan",
        "true",
        "[REVOCABLE]",
        "1970-01-01",
        "0x",
        "..",
        "..=",
    ];
    damaged_by(samples, blocks.map(|block| block.as_bytes().to_vec()).to_vec())
}
