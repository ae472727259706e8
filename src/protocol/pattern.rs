//! Regular expressions of offer constraints.

use std::fmt;
use std::str::FromStr;

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

/// The most memory that a pattern may take, in bytes: frameworks send them, and the master keeps them.
const MAX_SIZE: usize = 256 << 10;

/// A regular expression that a whole text must match, as with RE2's full match. Two are equal when they are written alike.
///
/// ```
/// use apportion::protocol::Pattern;
///
/// let pattern: Pattern = "rack-[0-9]+".parse()?;
/// assert!(pattern.matches("rack-12"));
/// assert!(!pattern.matches("my-rack-12"));
/// # Ok::<(), apportion::protocol::PatternError>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern {
    source: String,
    regex: Regex,
}

/// A text is no pattern, or one that takes too much memory.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{pattern:?} can't be used as a regular expression: {reason}")]
pub struct PatternError {
    /// The text.
    pattern: String,
    /// Why, on one line.
    reason: String,
}

impl Pattern {
    /// Whether all of a text matches.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(pattern: &str) -> Result<Self, PatternError> {
        let build = |text: &str| {
            RegexBuilder::new(text).size_limit(MAX_SIZE).dfa_size_limit(MAX_SIZE).build().map_err(|error| {
                let told = error.to_string();
                let reason = told.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
                PatternError { pattern: pattern.to_owned(), reason }
            })
        };
        // Alone first: it must not end the group that is put around it.
        build(pattern)?;
        Ok(Pattern { source: pattern.to_owned(), regex: build(&format!("^(?:{pattern})$"))? })
    }
}

impl TryFrom<String> for Pattern {
    type Error = PatternError;

    fn try_from(pattern: String) -> Result<Self, PatternError> {
        pattern.parse()
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> String {
        pattern.source
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Pattern {}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_text_must_match() {
        let pattern: Pattern = "a|b+".parse().unwrap();
        for (text, matches) in [("a", true), ("bbb", true), ("ab", false), ("", false), ("a\n", false)] {
            assert_eq!(pattern.matches(text), matches, "{text:?}");
        }
        assert!("\\d{3}".parse::<Pattern>().unwrap().matches("123"));
    }

    #[test]
    fn what_is_wrong_or_too_large_is_refused() {
        let error = "a(".parse::<Pattern>().unwrap_err();
        assert_eq!(error.to_string(), "\"a(\" can't be used as a regular expression: unclosed group");
        assert!("(a{1000}){1000}".parse::<Pattern>().is_err());
        assert!("a)|(b".parse::<Pattern>().is_err(), "it must not end the group around it");
    }
}
