//! The text of a spec: parsed, and pointed into.

use std::ops::Range;

use serde::de::DeserializeOwned;
use serde_json::error::Category;
use toml::de::DeTable;

use super::error::{SpecError, SpecErrors, reword};
use super::paths::Paths;

/// The text of a spec and the name of its file, for errors. It is JSON or TOML when the name ends with `.json` or `.toml`;
/// with any other name it is JSON when the text begins with `{`, and TOML otherwise.
///
/// ```
/// use apportion::spec::Document;
///
/// #[derive(Debug, serde::Deserialize)]
/// #[serde(deny_unknown_fields)]
/// struct Spec {
///     replicas: u32,
/// }
///
/// let document = Document::new("web.toml", "replcas = 6\n");
/// let errors = document.parse::<Spec>().unwrap_err();
/// assert_eq!(
///     errors.to_string(),
///     "web.toml:1:1: unknown key 'replcas'; did you mean 'replicas'?\n    replcas = 6\n    ^",
/// );
/// ```
#[derive(Clone, Debug)]
pub struct Document {
    file: String,
    text: String,
    format: Format,
}

#[derive(Clone, Copy, Debug)]
enum Format {
    Toml,
    Json,
}

impl Document {
    /// A document; nothing is parsed yet.
    pub fn new(file_name: impl Into<String>, text: impl Into<String>) -> Self {
        let (file, text) = (file_name.into(), text.into());
        let begins_as_json = || text.trim_start().starts_with('{');
        let is_json = file.ends_with(".json") || (!file.ends_with(".toml") && begins_as_json());
        Document { file, text, format: if is_json { Format::Json } else { Format::Toml } }
    }

    /// The name of its file.
    pub fn file_name(&self) -> &str {
        &self.file
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Reads the document as a `T`.
    ///
    /// # Errors
    /// All mistakes of syntax in TOML; otherwise the first mistake.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, SpecErrors> {
        match self.format {
            Format::Toml => self.parse_toml(),
            Format::Json => self.parse_json(),
        }
    }

    /// A mistake in the value at a path of keys and of positions in lists (from 0), such as `["step", "2", "needs"]`. When
    /// the source does not have it, as with a default, the error points to the innermost table around it that it has.
    pub fn error_at(&self, path: &[&str], message: impl Into<String>) -> SpecError {
        let paths = self.paths();
        let place = (1..=path.len()).rev().find_map(|len| paths.get(&path[..len]));
        self.error(place.map_or(0, |place| place.key.start), message.into(), None)
    }

    pub(super) fn paths(&self) -> Paths {
        match self.format {
            Format::Toml => Paths::of_toml(&self.text),
            Format::Json => Paths::of_json(&self.text),
        }
    }

    fn parse_toml<T: DeserializeOwned>(&self) -> Result<T, SpecErrors> {
        let (_, syntax) = DeTable::parse_recoverable(&self.text);
        if !syntax.is_empty() {
            let mut errors: Vec<SpecError> = syntax.iter().map(|error| self.toml_error(error)).collect();
            errors.sort_by_key(|error| (error.line, error.column));
            return Err(SpecErrors(errors));
        }
        toml::from_str(&self.text).map_err(|error| self.toml_error(&error).into())
    }

    fn toml_error(&self, error: &toml::de::Error) -> SpecError {
        let (message, suggestion) = reword(error.message());
        self.error(error.span().unwrap_or(0..0).start, message, suggestion)
    }

    fn parse_json<T: DeserializeOwned>(&self) -> Result<T, SpecErrors> {
        // Serde would read a list as the fields of a struct, in order.
        let start = self.text.len() - self.text.trim_start().len();
        if self.text[start..].starts_with('[') {
            return Err(self
                .error(start, "wrong type: found a list, expected a table".to_owned(), None)
                .into());
        }
        serde_json::from_str(&self.text).map_err(|error| self.json_error(&error).into())
    }

    fn json_error(&self, error: &serde_json::Error) -> SpecError {
        let text = error.to_string();
        let location = format!(" at line {} column {}", error.line(), error.column());
        let message = text.strip_suffix(location.as_str()).unwrap_or(&text);
        let lines_before = self.text.split_inclusive('\n').take(error.line().saturating_sub(1));
        let read = lines_before.map(str::len).sum::<usize>() + error.column();
        let last = read.min(self.text.len()).saturating_sub(1);
        // When the syntax is right, serde_json points to where it stopped reading, and what is wrong stands before that.
        let is_about_key =
            ["unknown field ", "duplicate field "].iter().any(|start| message.starts_with(start));
        let at = match error.classify() {
            Category::Data if is_about_key => self.paths().last_key_before(last).unwrap_or(last),
            Category::Data => self.paths().innermost_value_at(last).unwrap_or(0),
            _ => last,
        };
        let (message, suggestion) = reword(message);
        self.error(at, message, suggestion)
    }

    fn error(&self, at: usize, message: String, suggestion: Option<String>) -> SpecError {
        let Range { start, end } = self.line_around(at);
        let column =
            self.text[start..].char_indices().take_while(|(offset, _)| start + offset < at).count() + 1;
        SpecError {
            file: self.file.clone(),
            line: self.text[..start].matches('\n').count() + 1,
            column,
            message: on_one_line(&message),
            suggestion,
            snippet: printable(self.text[start..end].trim_end()),
        }
    }

    /// The line that a byte is in, without its end.
    fn line_around(&self, at: usize) -> Range<usize> {
        let bytes = self.text.as_bytes();
        let at = at.min(bytes.len());
        let start = bytes[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        let end =
            bytes[at..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |offset| at + offset);
        start..end
    }
}

/// What a message quotes may have line breaks and other control characters.
fn on_one_line(message: &str) -> String {
    let escape = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    message.chars().map(escape).collect()
}

/// A line without characters that a terminal obeys; as many as before, so that columns stay.
fn printable(line: &str) -> String {
    line.chars().map(|c| if c.is_control() && c != '\t' { char::REPLACEMENT_CHARACTER } else { c }).collect()
}
