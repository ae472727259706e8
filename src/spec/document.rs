//! The text of a spec: parsed, and pointed into.

use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::de::DeTable;

use super::error::{SpecError, SpecErrors, reword};
use super::paths::Paths;

/// The text of a spec and the name of its file, for errors. It is JSON when the name ends with `.json` or the text begins
/// with `{`, and TOML otherwise.
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
        let is_json = file.ends_with(".json") || text.trim_start().starts_with('{');
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
            Format::Json => serde_json::from_str(&self.text).map_err(|error| self.json_error(&error).into()),
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
            return Err(SpecErrors(syntax.iter().map(|error| self.toml_error(error)).collect()));
        }
        toml::from_str(&self.text).map_err(|error| self.toml_error(&error).into())
    }

    fn toml_error(&self, error: &toml::de::Error) -> SpecError {
        let (message, suggestion) = reword(error.message());
        self.error(error.span().unwrap_or(0..0).start, message, suggestion)
    }

    fn json_error(&self, error: &serde_json::Error) -> SpecError {
        let text = error.to_string();
        let location = format!(" at line {} column {}", error.line(), error.column());
        let message = text.strip_suffix(location.as_str()).unwrap_or(&text);
        let start: usize =
            self.text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
        let at = (start + error.column()).min(self.text.len()).saturating_sub(1);
        // serde_json points to where it stopped reading; a key or value that it names stands before that.
        let named = message.split('`').nth(1).filter(|_| message.starts_with("unknown "));
        let quoted = named.map(|name| format!("\"{name}\""));
        let before = self.text.get(..=at).unwrap_or(&self.text);
        let at = quoted.and_then(|quoted| before.rfind(&quoted)).unwrap_or(at);
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
            message,
            suggestion,
            snippet: self.text[start..end].trim_end().to_owned(),
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
