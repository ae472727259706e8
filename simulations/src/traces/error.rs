//! What can be wrong with a trace.

use std::fmt;

/// A line that can't be read.
#[derive(Clone, Debug, PartialEq)]
pub struct LineError {
    /// The line, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub problem: Problem,
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.problem)
    }
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Problem {
    /// It has too few or too many fields.
    #[error("{found} fields instead of {expected}")]
    Fields {
        /// How many it has.
        found: usize,
        /// How many there should be.
        expected: usize,
    },
    /// A field is empty that must not be.
    #[error("'{column}' is empty")]
    Empty {
        /// The field's column.
        column: String,
    },
    /// A field is not what its column holds.
    #[error("'{column}' is \"{value}\", which is not {expected}")]
    Value {
        /// The field's column.
        column: String,
        /// What stands there.
        value: String,
        /// What should.
        expected: &'static str,
    },
    /// The text is not in UTF-8, or its quotes don't close.
    #[error("{0}")]
    Text(String),
}

impl Problem {
    /// The field of that column is empty.
    pub(super) fn empty(column: &str) -> Self {
        Problem::Empty { column: column.to_owned() }
    }
}

/// How many lines an error names; the rest are counted.
const LINES_NAMED: usize = 5;

/// Why a trace is not used.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The file can't be read.
    #[error("cannot read {file}: {error}")]
    Unreadable {
        /// The file.
        file: String,
        /// Why.
        error: std::io::Error,
    },
    /// The file is Parquet, but not as our own tables are.
    #[cfg(feature = "parquet")]
    #[error("cannot read {file}: {error}")]
    Columnar {
        /// The file.
        file: String,
        /// Why.
        error: crate::columnar::ColumnarError,
    },
    /// The file begins otherwise than files of its format do.
    #[error("{file} is not of format '{format}': {problem}")]
    NotThisFormat {
        /// The file.
        file: String,
        /// The format.
        format: &'static str,
        /// What is missing.
        problem: String,
    },
    /// Some of its lines can't be read.
    #[error("{file}: {}", first_of(lines))]
    Malformed {
        /// The file.
        file: String,
        /// The lines; at least one.
        lines: Vec<LineError>,
    },
    /// The format describes no nodes.
    #[error(
        "format '{format}' describes no nodes; 'csv', 'openb', 'google2011', 'google2019' and 'alibaba2018' do"
    )]
    NoNodes {
        /// The format.
        format: &'static str,
    },
}

fn first_of(lines: &[LineError]) -> String {
    let named: Vec<String> = lines.iter().take(LINES_NAMED).map(LineError::to_string).collect();
    let more = lines.len().saturating_sub(LINES_NAMED);
    let rest = if more == 0 { String::new() } else { format!("; and {more} lines more") };
    format!("{}{rest}", named.join("; "))
}
