//! Lines of tables: fields by the name of their column.

use apportion::resources::Scalar;

use super::{LineError, Problem, TraceError, TraceFile};
use crate::values::Span;

/// A line and its number.
pub(super) struct Line<'a> {
    number: u64,
    columns: &'a Columns,
    record: &'a csv::StringRecord,
}

/// Where each column is.
pub(super) struct Columns(Vec<String>);

impl Columns {
    /// The first of these columns that there is, to be looked up once for all lines.
    pub(super) fn column<const N: usize>(&self, names: [&str; N]) -> Column {
        Column(names.at(self))
    }
}

/// A column that was looked up; it may be missing.
pub(super) struct Column(Option<usize>);

/// What tells a column: the names that it may have, or where it was found.
pub(super) trait Locate {
    fn at(&self, columns: &Columns) -> Option<usize>;
}

impl<const N: usize> Locate for [&str; N] {
    fn at(&self, columns: &Columns) -> Option<usize> {
        self.iter().find_map(|name| columns.0.iter().position(|column| column == name))
    }
}

impl Locate for Column {
    fn at(&self, _columns: &Columns) -> Option<usize> {
        self.0
    }
}

/// Reads a table with a line of headings, of which those of `required` must be there. `row` is made once, for the columns that there
/// are.
pub(super) fn read_table<T, R: Fn(&Line<'_>) -> Result<T, Problem>>(
    file: &TraceFile,
    format: &'static str,
    required: &[&str],
    row: impl FnOnce(&Columns) -> R,
) -> Result<Vec<Result<T, LineError>>, TraceError> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(file.bytes());
    let not_this =
        |problem: String| TraceError::NotThisFormat { file: file.name().to_owned(), format, problem };
    let headings = reader.headers().map_err(|error| not_this(error.to_string()))?;
    let heading = |text: &str| text.trim_start_matches('\u{feff}').trim().to_owned();
    let columns = Columns(headings.iter().map(heading).collect());
    for column in required {
        if [*column].at(&columns).is_none() {
            return Err(not_this(format!("it has no column '{column}'")));
        }
    }
    let row = row(&columns);
    Ok(read_lines(reader, &columns, row))
}

/// Reads a table without headings, whose columns are these.
pub(super) fn read_plain<T>(
    file: &TraceFile,
    delimiter: u8,
    columns: &[&str],
    row: impl Fn(&Line<'_>) -> Result<T, Problem>,
) -> Vec<Result<T, LineError>> {
    let reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .from_reader(file.bytes());
    let columns = Columns(columns.iter().map(|column| (*column).to_owned()).collect());
    read_lines(reader, &columns, row)
}

fn read_lines<T>(
    mut reader: csv::Reader<&[u8]>,
    columns: &Columns,
    row: impl Fn(&Line<'_>) -> Result<T, Problem>,
) -> Vec<Result<T, LineError>> {
    let mut record = csv::StringRecord::new();
    let next = || match reader.read_record(&mut record) {
        Ok(false) => None,
        Ok(true) => {
            let number = record.position().map_or(0, csv::Position::line);
            let (found, expected) = (record.len(), columns.0.len());
            let read = if found == expected {
                row(&Line { number, columns, record: &record })
            } else {
                Err(Problem::Fields { found, expected })
            };
            Some(read.map_err(|problem| LineError { line: number, problem }))
        }
        Err(error) => {
            let line = error.position().map_or(0, csv::Position::line);
            Some(Err(LineError { line, problem: Problem::Text(error.to_string()) }))
        }
    };
    std::iter::from_fn(next).collect()
}

impl Line<'_> {
    /// The line's number, from 1.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The first of these columns that there is, without blanks around it; `None` when there is none of them or the field is empty.
    pub(super) fn text(&self, column: &impl Locate) -> Option<&str> {
        let field = self.record.get(column.at(self.columns)?)?.trim();
        (!field.is_empty()).then_some(field)
    }

    /// A field that must not be empty.
    pub(super) fn needed(&self, name: &str) -> Result<&str, Problem> {
        self.text(&[name]).ok_or_else(|| Problem::empty(name))
    }

    /// A whole number, if there is one.
    pub(super) fn whole(&self, column: &impl Locate) -> Result<Option<u64>, Problem> {
        self.parsed(column, "a whole number of at least 0", |text| text.parse().ok())
    }

    /// An amount with up to three decimals, if there is one.
    pub(super) fn amount(&self, column: &impl Locate) -> Result<Option<Scalar>, Problem> {
        self.parsed(column, "an amount of at least 0", |text| text.parse().ok())
    }

    /// An amount in thousandths, if there is one.
    pub(super) fn milli(&self, column: &impl Locate) -> Result<Option<Scalar>, Problem> {
        let read = |text: &str| text.parse().ok().and_then(|milli| Scalar::from_milli(milli).ok());
        self.parsed(column, "a whole number of thousandths of at least 0", read)
    }

    /// Seconds, if there are any.
    pub(super) fn seconds(&self, column: &impl Locate) -> Result<Option<Span>, Problem> {
        self.parsed(column, "a number of seconds of at least 0", seconds)
    }

    pub(super) fn parsed<T>(
        &self,
        column: &impl Locate,
        expected: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(column) else { return Ok(None) };
        match parse(text) {
            Some(value) => Ok(Some(value)),
            None => Err(self.wrong(column, expected)),
        }
    }

    /// The field is not what it should be.
    pub(super) fn wrong(&self, column: &impl Locate, expected: &'static str) -> Problem {
        let value = self.text(column).unwrap_or_default().to_owned();
        let column = column.at(self.columns).map_or(String::new(), |at| self.columns.0[at].clone());
        Problem::Value { column, value, expected }
    }
}

/// A number of seconds, rounded to nanoseconds.
pub(super) fn seconds(text: &str) -> Option<Span> {
    let seconds: f64 = text.parse().ok()?;
    (0.0..=Span::MAX.secs()).contains(&seconds).then(|| Span::from_secs_f64(seconds))
}
