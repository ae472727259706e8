//! Sets of names.

use std::fmt;
use std::str::FromStr;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::ParseError;
use super::cursor::{Cursor, Word};

/// A set of names, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "Vec<CompactString>")]
pub struct ItemSet(Vec<CompactString>);

impl ItemSet {
    /// No items.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Whether there are no items.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many items there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The items, sorted.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> + '_ {
        self.0.iter().map(CompactString::as_str)
    }

    /// Whether this item is in here.
    #[must_use]
    pub fn has(&self, item: &str) -> bool {
        self.0.binary_search_by(|held| held.as_str().cmp(item)).is_ok()
    }

    /// Whether all of `other`'s items are in here.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        other.iter().all(|item| self.has(item))
    }

    /// The items in either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        self.0.iter().chain(&other.0).cloned().collect()
    }

    /// The items in both.
    #[must_use]
    pub fn intersect(&self, other: &Self) -> Self {
        Self(self.0.iter().filter(|item| other.has(item)).cloned().collect())
    }

    /// The items in here that are not in `removes`.
    #[must_use]
    pub fn subtract(&self, removes: &Self) -> Self {
        Self(self.0.iter().filter(|item| !removes.has(item)).cloned().collect())
    }
}

impl From<Vec<CompactString>> for ItemSet {
    fn from(mut items: Vec<CompactString>) -> Self {
        items.sort_unstable();
        items.dedup();
        Self(items)
    }
}

impl<T: Into<CompactString>> FromIterator<T> for ItemSet {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self::from(items.into_iter().map(Into::into).collect::<Vec<_>>())
    }
}

impl FromStr for ItemSet {
    type Err = ParseError;

    /// Reads `{a,b}`; names with punctuation stand in double quotes.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        Cursor::whole(text, Cursor::items)
    }
}

impl fmt::Display for ItemSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (index, item) in self.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{}", Word(item))?;
        }
        f.write_str("}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_sorted_and_unique() {
        let set: ItemSet = "{ b,a , b,\"c d\" }".parse().unwrap();
        assert_eq!(set.to_string(), "{a,b,\"c d\"}");
        assert_eq!(serde_json::from_str::<ItemSet>(r#"["b","a","c d","a"]"#).unwrap(), set);
        assert_eq!("{}".parse(), Ok(ItemSet::new()));
        assert_eq!("{a".parse::<ItemSet>().unwrap_err().to_string(), "at byte 2: expected ,");
        assert_eq!(
            "{\"a".parse::<ItemSet>().unwrap_err().to_string(),
            "at byte 1: expected a quoted text that ends with '\"'"
        );
    }

    #[test]
    fn operations_are_those_of_sets() {
        let set = |items: &str| items.parse::<ItemSet>().unwrap();
        let (left, right) = (set("{a,b}"), set("{b,c}"));
        assert_eq!(left.union(&right), set("{a,b,c}"));
        assert_eq!(left.intersect(&right), set("{b}"));
        assert_eq!(left.subtract(&right), set("{a}"));
        assert!(left.contains(&set("{a}")) && !left.contains(&right));
    }
}
