//! Mistakes in specs, told as a compiler tells them.

use std::fmt;

/// One mistake, where it is and what to write instead.
///
/// It prints as `file:line:column: message; suggestion`, then the line of the source with a caret below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecError {
    /// The file's name, as the document was given it.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it, such as `did you mean 'replicas'?`.
    pub suggestion: Option<String>,
    /// The line of the source.
    pub snippet: String,
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        if let Some(suggestion) = &self.suggestion {
            write!(f, "; {suggestion}")?;
        }
        // Tabs are kept, so that the caret stands below its character however wide they are.
        let before = self.snippet.chars().take(self.column.saturating_sub(1));
        let indent: String = before.map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        write!(f, "\n    {}\n    {indent}^", self.snippet)
    }
}

impl std::error::Error for SpecError {}

/// All mistakes that were found in a spec; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecErrors(pub Vec<SpecError>);

impl fmt::Display for SpecErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for SpecErrors {}

impl From<SpecError> for SpecErrors {
    fn from(error: SpecError) -> Self {
        SpecErrors(vec![error])
    }
}

/// A message of a parser's in the words of people who write specs, and what to suggest.
pub(super) fn reword(message: &str) -> (String, Option<String>) {
    for (prefix, noun) in [("unknown field ", "key"), ("unknown variant ", "value")] {
        if let Some((wrong, known)) = message.strip_prefix(prefix).and_then(unknown_name) {
            return (format!("unknown {noun} '{wrong}'"), suggest(wrong, &known));
        }
    }
    for (prefix, replacement) in REWORDED {
        if let Some(rest) = message.strip_prefix(prefix) {
            return (format!("{replacement}{}", requote(&plain_types(rest))), None);
        }
    }
    (requote(message), None)
}

/// How messages of parsers begin, and what people are told instead.
const REWORDED: [(&str, &str); 8] = [
    ("missing field ", "missing key "),
    ("duplicate field ", "duplicate key "),
    ("invalid type: ", "wrong type: found "),
    ("invalid value: ", "wrong value: found "),
    ("wanted string or table", "wrong type: expected a string"),
    ("EOF while parsing a value", "the text ends where a value should be"),
    ("EOF while parsing ", "the text ends within "),
    ("expected value", "expected a value"),
];

/// Takes apart what serde says after "unknown field": "`x`, expected one of `a`, `b`". The name may itself have backticks.
fn unknown_name(rest: &str) -> Option<(&str, Vec<&str>)> {
    let rest = rest.strip_prefix('`')?;
    let (wrong, known) = rest.rsplit_once("`, expected ").or_else(|| rest.rsplit_once("`, there are no "))?;
    Some((wrong, known.split('`').skip(1).step_by(2).collect()))
}

/// The known name that was meant, or else all of them.
pub(super) fn suggest(wrong: &str, known: &[&str]) -> Option<String> {
    let distance = |name: &&&str| strsim::damerau_levenshtein(wrong, name);
    let close =
        known.iter().min_by_key(distance).filter(|name| distance(name) <= wrong.chars().count().div_ceil(3));
    match close {
        Some(name) => Some(format!("did you mean '{name}'?")),
        None if known.is_empty() => None,
        None => Some(format!("known are '{}'", known.join("', '"))),
    }
}

fn requote(message: &str) -> String {
    message.replace('`', "'").trim_end().to_owned()
}

/// Serde's and Rust's names of types in plain words.
fn plain_types(message: &str) -> String {
    let Some((found, expected)) = message.rsplit_once(", expected ") else {
        return message.to_owned();
    };
    // An integer that is not taken is outside the range.
    let is_about_range = found.starts_with("integer ");
    let found = match found {
        "map" => "a table",
        "sequence" => "a list",
        other => other,
    };
    let found = found.replacen("floating point ", "number ", 1);
    let expected = match expected {
        "u8" if is_about_range => "a whole number from 0 to 255",
        "u16" if is_about_range => "a whole number from 0 to 65535",
        "u32" if is_about_range => "a whole number from 0 to 4294967295",
        "u64" | "usize" if is_about_range => "a whole number, not below 0",
        "u8" | "u16" | "u32" | "u64" | "usize" | "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "a table",
        other if other.starts_with("struct ") => "a table",
        other => other,
    };
    format!("{found}, expected {expected}")
}
