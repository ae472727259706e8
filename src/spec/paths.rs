//! Where in a source each key and element stands.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Bytes of a key (of an element of a list: its own) and of its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) key: Range<usize>,
    pub(super) value: Range<usize>,
    /// Whether it holds others: a table or a list of tables, and not an empty one.
    pub(super) is_branch: bool,
}

/// Every path of a document; elements of lists count from 0.
#[derive(Debug, Default)]
pub(super) struct Paths(BTreeMap<Vec<String>, Place>);

/// Nesting below this is not looked at; parsers refuse it before.
const MAX_DEPTH: usize = 128;

impl Paths {
    /// The paths of a TOML text; as many as can be found when it has mistakes.
    pub(super) fn of_toml(text: &str) -> Paths {
        let (root, _) = DeTable::parse_recoverable(text);
        let mut paths = Paths::default();
        paths.add_table(&mut Vec::new(), root.get_ref());
        paths
    }

    fn add_table(&mut self, path: &mut Vec<String>, table: &DeTable<'_>) {
        for (key, value) in table {
            self.add_value(path, key.get_ref(), key.span(), value);
        }
    }

    fn add_value(
        &mut self,
        path: &mut Vec<String>,
        key: &str,
        span: Range<usize>,
        value: &Spanned<DeValue<'_>>,
    ) {
        path.push(key.to_owned());
        let is_branch = match value.get_ref() {
            DeValue::Table(table) => {
                self.add_table(path, table);
                !table.is_empty()
            }
            DeValue::Array(list) => {
                for (index, element) in list.iter().enumerate() {
                    self.add_value(path, &index.to_string(), element.span(), element);
                }
                !list.is_empty() && list.iter().all(|element| element.get_ref().is_table())
            }
            _ => false,
        };
        self.0.insert(path.clone(), Place { key: span, value: value.span(), is_branch });
        path.pop();
    }

    /// The paths of a JSON text; those before its first mistake when it has one.
    pub(super) fn of_json(text: &str) -> Paths {
        let mut scan = JsonScan { text, at: 0, paths: Paths::default() };
        scan.value(&mut Vec::new());
        scan.paths
    }

    /// The place of a path.
    pub(super) fn get<S: AsRef<str>>(&self, path: &[S]) -> Option<&Place> {
        let path: Vec<String> = path.iter().map(|part| part.as_ref().to_owned()).collect();
        self.0.get(&path)
    }

    /// Where the last key begins that begins at or before a byte.
    pub(super) fn last_key_before(&self, at: usize) -> Option<usize> {
        self.0.values().map(|place| place.key.start).filter(|start| *start <= at).max()
    }

    /// Where the innermost value begins that a byte is in, or that begins right behind it.
    pub(super) fn innermost_value_at(&self, at: usize) -> Option<usize> {
        let holds = |place: &&Place| place.value.start <= at + 1 && at < place.value.end;
        self.0.values().filter(holds).map(|place| place.value.start).max()
    }

    /// All paths with their places.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[String], &Place)> {
        self.0.iter().map(|(path, place)| (path.as_slice(), place))
    }
}

struct JsonScan<'t> {
    text: &'t str,
    at: usize,
    paths: Paths,
}

impl JsonScan<'_> {
    /// Reads one value; `None` ends the scan.
    fn value(&mut self, path: &mut Vec<String>) -> Option<Range<usize>> {
        let first = self.peek()?;
        let start = self.at;
        match first {
            b'{' | b'[' if path.len() >= MAX_DEPTH => return None,
            b'{' => {
                self.members(b'}', |scan, _| {
                    let key = scan.string()?;
                    let name = serde_json::from_str(scan.text.get(key.clone())?).ok()?;
                    (scan.peek()? == b':').then(|| scan.at += 1)?;
                    scan.entry(path, name, Some(key))
                })?;
            }
            b'[' => self.members(b']', |scan, index| scan.entry(path, index.to_string(), None))?,
            b'"' => {
                self.string()?;
            }
            _ => {
                let ends = |byte: u8| byte.is_ascii_whitespace() || matches!(byte, b',' | b'}' | b']');
                let rest = &self.text.as_bytes()[self.at..];
                self.at += rest.iter().position(|byte| ends(*byte)).unwrap_or(rest.len());
            }
        }
        Some(start..self.at)
    }

    fn members(&mut self, end: u8, mut member: impl FnMut(&mut Self, usize) -> Option<()>) -> Option<()> {
        self.at += 1;
        for index in 0.. {
            if self.peek()? == end {
                break;
            }
            member(self, index)?;
            if self.peek()? == b',' {
                self.at += 1;
            }
        }
        self.at += 1;
        Some(())
    }

    fn entry(&mut self, path: &mut Vec<String>, name: String, key: Option<Range<usize>>) -> Option<()> {
        path.push(name);
        let is_branch = self.peek()? == b'{';
        let start = self.at;
        let value = self.value(path);
        let known = value.clone().unwrap_or(start..self.at);
        let key = key.unwrap_or(known.clone());
        self.paths.0.insert(path.clone(), Place { key, value: known, is_branch });
        path.pop();
        value.filter(|value| !value.is_empty()).map(|_| ())
    }

    /// The next byte that is not white space.
    fn peek(&mut self) -> Option<u8> {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest.iter().position(|byte| !byte.is_ascii_whitespace())?;
        Some(self.text.as_bytes()[self.at])
    }

    /// Reads a string with its quotes.
    fn string(&mut self) -> Option<Range<usize>> {
        (self.peek()? == b'"').then_some(())?;
        let start = self.at;
        let mut escaped = true; // The opening quote does not close.
        for (offset, byte) in self.text.as_bytes()[start..].iter().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => {
                    self.at = start + offset + 1;
                    return Some(start..self.at);
                }
                _ => {}
            }
        }
        None
    }
}
