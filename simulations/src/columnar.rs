//! Tables as Parquet, of the same columns as in CSV.
//!
//! Columns are optional. Numbers are doubles (`DOUBLE`); counts are whole (`INT64`), `gang` is `BOOLEAN`, and names are text (`BYTE_ARRAY`,
//! `UTF8`). What is empty in CSV is null. A table of jobs or nodes that is read is turned into CSV first: errors tell the number of
//! the row as that of a line, from 2 on.

use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{Compression, ConvertedType, Repetition, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::record::Field;
use parquet::schema::types::Type;

/// What Parquet files begin with.
pub const MAGIC: &[u8] = b"PAR1";

/// Rows of a group; readers go through one group at a time.
const GROUP: usize = 1 << 20;

/// Why a table can't be turned into another form.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ColumnarError {
    /// Parquet's reasons.
    #[error("as Parquet: {0}")]
    Parquet(#[from] ParquetError),
    /// Those of CSV.
    #[error("as CSV: {0}")]
    Csv(#[from] csv::Error),
    /// A field is not of its column's type.
    #[error("row {row}: '{column}' is \"{value}\", which is not {expected}")]
    Field {
        /// From 1.
        row: usize,
        /// The column.
        column: String,
        /// What is there.
        value: String,
        /// What should be.
        expected: &'static str,
    },
    /// A field that CSV has no form for.
    #[error("column '{column}' holds {value}, which is no number, text or truth value")]
    Nested {
        /// The column.
        column: String,
        /// What is there.
        value: String,
    },
}

/// The type of a column, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Text,
    Whole,
    Truth,
    Number,
}

impl Column {
    fn of(name: &str) -> Self {
        match name {
            "framework" | "role" | "job_id" | "agent" | "outcome" | "node_id" | "gpu_model"
            | "gpu_models" | "user" => Column::Text,
            "tasks" | "finished" | "failed" | "task" | "gpu_milli" => Column::Whole,
            "gang" => Column::Truth,
            _ => Column::Number,
        }
    }

    fn physical(self) -> Physical {
        match self {
            Column::Text => Physical::BYTE_ARRAY,
            Column::Whole => Physical::INT64,
            Column::Truth => Physical::BOOLEAN,
            Column::Number => Physical::DOUBLE,
        }
    }
}

/// A table of CSV as Parquet.
///
/// # Errors
/// When it is no table, or a field is not of its column's type.
pub fn from_csv(table: &[u8]) -> Result<Vec<u8>, ColumnarError> {
    let mut reader = csv::Reader::from_reader(table);
    let names: Vec<String> = reader.headers()?.iter().map(str::to_owned).collect();
    let field = |name: &String| {
        let column = Column::of(name);
        let converted = if column == Column::Text { ConvertedType::UTF8 } else { ConvertedType::NONE };
        let primitive = Type::primitive_type_builder(name, column.physical())
            .with_repetition(Repetition::OPTIONAL)
            .with_converted_type(converted);
        primitive.build().map(Arc::new)
    };
    let fields = names.iter().map(field).collect::<Result<Vec<_>, _>>()?;
    let schema = Arc::new(Type::group_type_builder("table").with_fields(fields).build()?);
    let properties = WriterProperties::builder()
        .set_compression(Compression::GZIP(Default::default()))
        .set_created_by(format!("apportion {}", env!("CARGO_PKG_VERSION")));
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties.build()))?;
    let mut records = reader.into_records();
    let mut first = 1;
    loop {
        let rows = records.by_ref().take(GROUP).collect::<Result<Vec<_>, _>>()?;
        if rows.is_empty() {
            return Ok(writer.into_inner()?);
        }
        let mut group = writer.next_row_group()?;
        for (place, name) in names.iter().enumerate() {
            let cells: Vec<&str> = rows.iter().map(|row| row.get(place).unwrap_or_default()).collect();
            write_column(&mut group, name, &cells, first)?;
        }
        group.close()?;
        first += rows.len();
    }
}

fn write_column(
    group: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
    name: &str,
    cells: &[&str],
    first: usize,
) -> Result<(), ColumnarError> {
    fn parsed<T>(
        cells: &[&str],
        (name, first): (&str, usize),
        expected: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Vec<T>, ColumnarError> {
        let present = cells.iter().enumerate().filter(|(_, cell)| !cell.is_empty());
        let each = |(place, cell): (usize, &&str)| {
            parse(cell).ok_or_else(|| ColumnarError::Field {
                row: first + place,
                column: name.to_owned(),
                value: (*cell).to_owned(),
                expected,
            })
        };
        present.map(each).collect()
    }
    let levels: Vec<i16> = cells.iter().map(|cell| i16::from(!cell.is_empty())).collect();
    let Some(mut column) = group.next_column()? else { return Ok(()) };
    let whose = (name, first);
    match Column::of(name) {
        Column::Text => {
            let values = parsed(cells, whose, "a text", |cell| Some(ByteArray::from(cell)))?;
            column.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None)?;
        }
        Column::Whole => {
            let values = parsed(cells, whose, "a whole number", |cell| cell.parse().ok())?;
            column.typed::<Int64Type>().write_batch(&values, Some(&levels), None)?;
        }
        Column::Truth => {
            let values = parsed(cells, whose, "true or false", |cell| cell.parse().ok())?;
            column.typed::<BoolType>().write_batch(&values, Some(&levels), None)?;
        }
        Column::Number => {
            let values = parsed(cells, whose, "a number", |cell| cell.parse().ok())?;
            column.typed::<DoubleType>().write_batch(&values, Some(&levels), None)?;
        }
    }
    column.close()?;
    Ok(())
}

/// A table of Parquet as CSV.
///
/// # Errors
/// When it is none, or holds more than numbers, texts and truth values.
pub fn to_csv(table: Vec<u8>) -> Result<Vec<u8>, ColumnarError> {
    // The reader of Parquet panics on some damaged files.
    std::panic::catch_unwind(|| read_table(table)).unwrap_or_else(|_| {
        Err(ColumnarError::Parquet(ParquetError::General("the file is damaged".to_owned())))
    })
}

fn read_table(table: Vec<u8>) -> Result<Vec<u8>, ColumnarError> {
    let reader = SerializedFileReader::new(Bytes::from(table))?;
    let schema = reader.metadata().file_metadata().schema_descr();
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(schema.root_schema().get_fields().iter().map(|field| field.name()))?;
    for row in reader.get_row_iter(None)? {
        let row = row?;
        let texts = row.get_column_iter().map(|(name, field)| text(name, field));
        writer.write_record(texts.collect::<Result<Vec<_>, _>>()?)?;
    }
    writer.into_inner().map_err(|error| csv::Error::from(error.into_error()).into())
}

fn text(column: &str, field: &Field) -> Result<String, ColumnarError> {
    match field {
        Field::Null => Ok(String::new()),
        Field::Str(text) => Ok(text.clone()),
        Field::Bytes(bytes) => Ok(String::from_utf8_lossy(bytes.data()).into_owned()),
        Field::Double(number) => Ok(number.to_string()),
        Field::Float(number) => Ok(number.to_string()),
        Field::Group(_) | Field::ListInternal(_) | Field::MapInternal(_) => {
            Err(ColumnarError::Nested { column: column.to_owned(), value: field.to_string() })
        }
        other => Ok(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TABLE: &str = "job_id,submit_s,tasks,gang,role\n\"a,b\",1.5,3,true,x\nc,2,1,false,\n";

    #[test]
    fn a_table_goes_there_and_back() {
        let parquet = from_csv(TABLE.as_bytes()).unwrap();
        assert!(parquet.starts_with(MAGIC));
        assert_eq!(String::from_utf8(to_csv(parquet).unwrap()).unwrap(), TABLE);
        let error = from_csv(b"tasks\n1\nx\n").unwrap_err().to_string();
        assert_eq!(error, "row 2: 'tasks' is \"x\", which is not a whole number");
    }

    proptest! {
        #[test]
        fn damage_is_an_error_or_another_table(at in 0_usize..2000, byte: u8, cut in 0_usize..2000) {
            let mut parquet = from_csv(TABLE.as_bytes()).unwrap();
            let place = at % parquet.len();
            parquet[place] = byte;
            parquet.truncate(cut.max(8));
            drop(to_csv(parquet));
        }
    }
}
