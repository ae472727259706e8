//! What is measured: cpus, memory, ports, or anything with a name.

use std::fmt;
use std::str::FromStr;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::KindError;
use super::gpus::GPU_MILLI;

/// What a resource is an amount of. Well-known kinds sort first.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "CompactString", into = "CompactString")]
pub enum Kind {
    /// Processor cores; a scalar.
    Cpus,
    /// Memory in MiB; a scalar.
    Mem,
    /// Disk space in MiB; a scalar.
    Disk,
    /// Graphics processors that are not shared; a whole scalar. Shared ones are of the kind [`GPU_MILLI`].
    Gpus,
    /// Network ports; ranges.
    Ports,
    /// Anything else, of any type.
    Other(KindName),
}

/// The name of a kind that is not well known; made by parsing a [`Kind`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KindName(CompactString);

impl KindName {
    /// The name of the kind of shared GPUs.
    pub(super) const GPU_MILLI: Self = Self(CompactString::const_new(GPU_MILLI));

    /// The longest name, in bytes.
    pub const MAX_LEN: usize = 128;

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Kind {
    /// The well-known kinds, in order; the place of each is its [`Kind::well_known_index`].
    pub const WELL_KNOWN: [Self; 5] = [Self::Cpus, Self::Mem, Self::Disk, Self::Gpus, Self::Ports];

    /// The name as text forms spell it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Cpus => "cpus",
            Self::Mem => "mem",
            Self::Disk => "disk",
            Self::Gpus => "gpus",
            Self::Ports => "ports",
            Self::Other(name) => name.as_str(),
        }
    }

    /// Its place in dense vectors; `None` for a kind that is not well known.
    #[must_use]
    pub const fn well_known_index(&self) -> Option<usize> {
        match self {
            Self::Cpus => Some(0),
            Self::Mem => Some(1),
            Self::Disk => Some(2),
            Self::Gpus => Some(3),
            Self::Ports => Some(4),
            Self::Other(_) => None,
        }
    }
}

fn check_name(name: &str) -> Result<(), KindError> {
    if name.is_empty() {
        return Err(KindError::Empty);
    }
    if name.len() > KindName::MAX_LEN {
        return Err(KindError::TooLong { len: name.len() });
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/');
    if !name.as_bytes()[0].is_ascii_alphanumeric() || !name.bytes().all(allowed) {
        return Err(KindError::Invalid { name: name.into() });
    }
    Ok(())
}

impl FromStr for Kind {
    type Err = KindError;

    fn from_str(name: &str) -> Result<Self, KindError> {
        if let Some(kind) = Self::WELL_KNOWN.iter().find(|kind| kind.as_str() == name) {
            return Ok(kind.clone());
        }
        check_name(name)?;
        Ok(Self::Other(KindName(name.into())))
    }
}

impl TryFrom<CompactString> for Kind {
    type Error = KindError;

    fn try_from(name: CompactString) -> Result<Self, KindError> {
        name.parse()
    }
}

impl From<Kind> for CompactString {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Other(name) => name.0,
            well_known => well_known.as_str().into(),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_known_kinds_sort_first_and_know_their_place() {
        let mut kinds: Vec<Kind> = ["ports", "zeal", "cpus", "acres", "mem", "gpus", "disk"]
            .map(|name| name.parse().unwrap())
            .into();
        kinds.sort();
        let names: Vec<_> = kinds.iter().map(Kind::as_str).collect();
        assert_eq!(names, ["cpus", "mem", "disk", "gpus", "ports", "acres", "zeal"]);
        for (index, kind) in Kind::WELL_KNOWN.iter().enumerate() {
            assert_eq!(kind.well_known_index(), Some(index));
        }
    }

    #[test]
    fn names_are_checked_from_text_and_wire() {
        assert_eq!("".parse::<Kind>(), Err(KindError::Empty));
        assert_eq!("x".repeat(129).parse::<Kind>(), Err(KindError::TooLong { len: 129 }));
        for name in ["-x", "a b", "a:b", "é", "a;b", "a(b)"] {
            assert_eq!(name.parse::<Kind>(), Err(KindError::Invalid { name: name.into() }));
            assert!(serde_json::from_value::<Kind>(name.into()).is_err());
        }
        assert_eq!(serde_json::from_str::<Kind>("\"cpus\"").unwrap(), Kind::Cpus);
        assert_eq!(serde_json::to_string(&"fpga/x".parse::<Kind>().unwrap()).unwrap(), "\"fpga/x\"");
    }
}
