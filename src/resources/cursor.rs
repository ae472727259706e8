//! Reading and writing the small pieces of the text form: words, numbers, ranges, sets.

use std::fmt;

use compact_str::CompactString;

use super::error::ParseReason;
use super::{ItemSet, ParseError, Range, Ranges, RangesError};

/// What ends a bare word; a word that holds one of these stands in double quotes.
fn is_delimiter(c: char) -> bool {
    c.is_whitespace() || c.is_control() || "()[]{}<>,:;\"".contains(c)
}

/// A name as it is written: bare where possible, quoted as in JSON otherwise.
pub(super) struct Word<'a>(pub(super) &'a str);

impl fmt::Display for Word<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.is_empty() && !self.0.contains(is_delimiter) {
            return f.write_str(self.0);
        }
        write!(f, "{}", serde_json::Value::from(self.0))
    }
}

/// A place in a text that is being read.
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Reads one thing that must be the whole text.
    pub(super) fn whole<T>(
        text: &'a str,
        read: impl FnOnce(&mut Self) -> Result<T, ParseError>,
    ) -> Result<T, ParseError> {
        let mut cursor = Self::new(text);
        let read = read(&mut cursor)?;
        if cursor.at_end() { Ok(read) } else { Err(cursor.expected("the end")) }
    }

    pub(super) const fn at(&self) -> usize {
        self.at
    }

    /// Where the next thing begins, after white space.
    pub(super) fn at_next(&mut self) -> usize {
        self.skip_space();
        self.at
    }

    /// Whether only white space is left; skips it.
    pub(super) fn at_end(&mut self) -> bool {
        self.skip_space().is_empty()
    }

    pub(super) fn expected(&self, expected: &'static str) -> ParseError {
        ParseError { at: self.at, reason: ParseReason::Expected { expected } }
    }

    /// Skips white space and then `token`, if that comes next.
    pub(super) fn eat(&mut self, token: &str) -> bool {
        let found = self.skip_space().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    pub(super) fn expect(&mut self, token: &'static str) -> Result<(), ParseError> {
        if self.eat(token) { Ok(()) } else { Err(self.expected(token)) }
    }

    /// Whether `token` comes next, after white space.
    pub(super) fn sees(&mut self, token: &str) -> bool {
        self.skip_space().starts_with(token)
    }

    /// Reads up to the next delimiter; may be empty.
    pub(super) fn bare(&mut self) -> &'a str {
        let rest = self.skip_space();
        let bare = &rest[..rest.find(is_delimiter).unwrap_or(rest.len())];
        self.at += bare.len();
        bare
    }

    /// Reads a name, bare or quoted.
    pub(super) fn word(&mut self, expected: &'static str) -> Result<CompactString, ParseError> {
        if self.sees("\"") {
            let mut quoted = serde_json::Deserializer::from_str(&self.text[self.at..]).into_iter();
            let word = match quoted.next() {
                Some(Ok(word)) => word,
                _ => return Err(self.expected("a quoted text that ends with '\"'")),
            };
            self.at += quoted.byte_offset();
            return Ok(word);
        }
        let bare = self.bare();
        if bare.is_empty() { Err(self.expected(expected)) } else { Ok(bare.into()) }
    }

    /// Reads `[1-2,5]`.
    pub(super) fn ranges(&mut self) -> Result<Ranges, ParseError> {
        self.list("[", "]", Self::range)
    }

    /// Reads `{a,b}`.
    pub(super) fn items(&mut self) -> Result<ItemSet, ParseError> {
        self.list::<CompactString, _>("{", "}", |cursor| cursor.word("an item or '}'"))
    }

    /// Reads items separated by commas between `open` and `close`.
    pub(super) fn list<T, L: FromIterator<T>>(
        &mut self,
        open: &'static str,
        close: &'static str,
        mut item: impl FnMut(&mut Self) -> Result<T, ParseError>,
    ) -> Result<L, ParseError> {
        self.expect(open)?;
        let mut items = Vec::new();
        if !self.eat(close) {
            loop {
                items.push(item(self)?);
                if self.eat(close) {
                    break;
                }
                self.expect(",")?;
            }
        }
        Ok(items.into_iter().collect())
    }

    fn range(&mut self) -> Result<Range, ParseError> {
        let start = self.at;
        let begin = self.number()?;
        let end = if self.eat("-") { self.number()? } else { begin };
        Range::new(begin, end).map_err(|error: RangesError| ParseError { at: start, reason: error.into() })
    }

    fn number(&mut self) -> Result<u64, ParseError> {
        let rest = self.skip_space();
        let digits = &rest[..rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())];
        let number = digits.parse().map_err(|_| self.expected("a number below 2^64"))?;
        self.at += digits.len();
        Ok(number)
    }

    fn skip_space(&mut self) -> &'a str {
        let rest = self.text[self.at..].trim_start();
        self.at = self.text.len() - rest.len();
        rest
    }
}
