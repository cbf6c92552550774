//! Contents of a data file: fields of text, checked for shape, and numbers beside them.

use std::collections::HashSet;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use thiserror::Error;

use super::fields::{Fields, FieldsWriter, Hashing};
use super::numbers::Numbers;
use super::records::{Record, RecordError, Records};
use super::value::{LARGEST, is_missing, number};
use crate::excerpt::{excerpt, list, nearest};
use crate::files;
use crate::seal::hexadecimal;

/// Error about a data file. Rows are counted from 1, the header not counted.
#[derive(Debug, Error)]
pub enum TableError {
    /// The file cannot be read.
    #[error("{}: {error}", path.display())]
    Unreadable {
        /// File.
        path: PathBuf,
        /// Cause.
        error: std::io::Error,
    },
    /// There is nothing in the file.
    #[error("{}: the file is empty; expected a header row and data rows", .0.display())]
    Empty(PathBuf),
    /// There is a header and nothing else.
    #[error("{}: found a header and no data rows", .0.display())]
    NoRows(PathBuf),
    /// The first row looks like data.
    #[error(
        "{}: the first row holds only numbers ({first}, …), expected column names; add a header row",
        path.display()
    )]
    NoHeader {
        /// File.
        path: PathBuf,
        /// First field.
        first: String,
    },
    /// Two columns have one name, or a column has none.
    #[error("{}: column {} is named `{name}`, like another one or like none; rename or remove it", path.display(), index + 1)]
    BadColumnName {
        /// File.
        path: PathBuf,
        /// Index of the column.
        index: usize,
        /// Its name.
        name: String,
    },
    /// The row has too few or too many fields, or is no text.
    #[error("{}: {message}", path.display())]
    Malformed {
        /// File.
        path: PathBuf,
        /// What is wrong, and where.
        message: String,
    },
    /// A field is empty or stands for a missing value.
    #[error(
        "{}: row {row}{}, column `{column}`: found a missing value (`{found}`); \
         remove the row or fill the value in",
        path.display(),
        at(*line)
    )]
    Missing {
        /// File.
        path: PathBuf,
        /// Data row.
        row: usize,
        /// Line of the file, if it has lines.
        line: Option<u64>,
        /// Column.
        column: String,
        /// Field.
        found: String,
    },
    /// A field is not what the column holds.
    #[error(
        "{}: row {row}{}, column `{column}`: found `{found}`, expected {expected}",
        path.display(),
        at(*line)
    )]
    BadField {
        /// File.
        path: PathBuf,
        /// Data row.
        row: usize,
        /// Line of the file, if it has lines.
        line: Option<u64>,
        /// Column.
        column: String,
        /// Field.
        found: String,
        /// Kind of field that the column holds.
        expected: String,
    },
    /// The file lacks a column.
    #[error("{}: there is no column `{column}`; the columns are {existing}", path.display())]
    NoColumn {
        /// File.
        path: PathBuf,
        /// Column asked for.
        column: String,
        /// Columns there are.
        existing: String,
    },
    /// The columns or their values cannot be used.
    #[error("{}: {message}", path.display())]
    Unusable {
        /// File.
        path: PathBuf,
        /// What is wrong, where, and what to do.
        message: String,
    },
}

/// Kind of a column's fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// Finite numbers.
    Numbers,
    /// Anything else.
    Text,
}

/// The rows of a data file: fields of named columns, every row as long as the header, and numbers
/// beside them where the file holds images or arrays, or was cut into windows.
#[derive(Debug)]
pub struct Table {
    /// Where it was read from.
    pub path: PathBuf,
    /// Column names.
    pub columns: Vec<String>,
    /// SHA-256 of what was read, hexadecimal.
    pub sha256: String,
    fields: Fields,
    numbers: Option<Numbers>,
}

/// A column that a table is made of.
pub(super) struct GivenColumn {
    pub name: String,
    /// Where its fields are from, which may be another file than the table's.
    pub path: PathBuf,
    /// A field a row.
    pub fields: Vec<String>,
}

/// Most columns of a file: as many as a map has values, which nothing may have more of.
const MOST_COLUMNS: usize = fiberwalk_formats::MAX_MAP;

/// The mark that some programs begin a file of UTF-8 text with.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

impl Table {
    /// Reads and checks a CSV file.
    ///
    /// # Errors
    /// [`TableError`] names the file and where in it.
    pub fn read(path: &Path) -> Result<Self, TableError> {
        let owned = || path.to_owned();
        let unreadable = |error| unreadable(path, error);
        let mut file = BufReader::new(files::open(path).map_err(unreadable)?);
        if file.fill_buf().map_err(unreadable)?.starts_with(BYTE_ORDER_MARK) {
            file.consume(BYTE_ORDER_MARK.len());
        }
        let mut hash = Sha256::new();
        let file = BufReader::new(Hashing::new(file, &mut hash));
        let mut records = Records::new(file);
        let stopped = |error| match error {
            RecordError::Unreadable(error) => unreadable(error),
            RecordError::Malformed(message) => TableError::Malformed { path: owned(), message },
        };
        let header = records.next().map_err(stopped)?.ok_or_else(|| TableError::Empty(owned()))?;
        check_header(path, &header)?;
        let columns: Vec<String> = header.fields().map(str::to_owned).collect();
        let mut fields = FieldsWriter::new(columns.len());
        while let Some(record) = records.next().map_err(stopped)? {
            if record.len() != columns.len() {
                let message = unequal(&columns, fields.rows + 1, &record);
                return Err(TableError::Malformed { path: owned(), message });
            }
            fields.push(record.fields(), Some(record.line)).map_err(unreadable)?;
        }
        if fields.rows == 0 {
            return Err(TableError::NoRows(owned()));
        }
        drop(records);
        let fields = fields.finish().map_err(unreadable)?;
        Ok(Self { path: owned(), columns, sha256: hexadecimal(hash), fields, numbers: None })
    }

    /// Columns of text, and numbers of as many rows beside them or none.
    ///
    /// # Errors
    /// There are no rows, a column has more or fewer than another or than the numbers, or names are no columns'.
    pub(super) fn of_columns(
        path: &Path,
        sha256: String,
        columns: Vec<GivenColumn>,
        numbers: Option<Numbers>,
    ) -> Result<Self, TableError> {
        check_names(path, &columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>())?;
        let beside = numbers.as_ref().map(|numbers| numbers.values.len() / numbers.layout.len());
        let rows = beside.or_else(|| columns.first().map(|column| column.fields.len()));
        let rows = rows.filter(|&rows| rows > 0);
        let rows = rows.ok_or_else(|| TableError::NoRows(path.to_owned()))?;
        if let Some(other) = columns.iter().find(|column| column.fields.len() != rows) {
            let (name, found) = (excerpt(&other.name), other.fields.len());
            let mut message = format!("column `{name}`: found {found} values for {rows} rows");
            if other.path != path {
                message += &format!(" of {}", path.display());
            }
            return Err(TableError::Malformed { path: other.path.clone(), message });
        }
        let mut written = FieldsWriter::new(columns.len());
        for row in 0..rows {
            let fields = || columns.iter().map(|column| column.fields[row].as_str());
            written.push(fields(), None).map_err(|error| unreadable(path, error))?;
        }
        let fields = written.finish().map_err(|error| unreadable(path, error))?;
        let columns = columns.into_iter().map(|column| column.name).collect();
        Ok(Self { path: path.to_owned(), columns, sha256, fields, numbers })
    }

    /// The named columns of the named rows, with numbers of as many rows.
    pub(super) fn condensed(
        &self,
        rows: &[usize],
        columns: &[usize],
        numbers: Numbers,
    ) -> Result<Self, TableError> {
        let fields = self.chosen(rows, columns);
        Ok(Self {
            path: self.path.clone(),
            columns: columns.iter().map(|&column| self.columns[column].clone()).collect(),
            sha256: self.sha256.clone(),
            fields: fields.map_err(|error| unreadable(&self.path, error))?,
            numbers: Some(numbers),
        })
    }

    /// The named rows alone, which are other data than all of them.
    pub(super) fn select(self, rows: &[usize]) -> Result<Self, TableError> {
        let mut hash = Sha256::new_with_prefix(&self.sha256);
        rows.iter().for_each(|&row| hash.update((row as u64).to_le_bytes()));
        let columns: Vec<usize> = (0..self.columns.len()).collect();
        let chosen = || -> io::Result<_> {
            let numbers = self.numbers.as_ref().map(|numbers| {
                let values = numbers.values.rows(rows, numbers.layout.len())?;
                io::Result::Ok(Numbers { values: Arc::new(values), ..numbers.clone() })
            });
            Ok((self.chosen(rows, &columns)?, numbers.transpose()?))
        };
        let (fields, numbers) = chosen().map_err(|error| unreadable(&self.path, error))?;
        Ok(Self { sha256: hexadecimal(hash), fields, numbers, ..self })
    }

    fn chosen(&self, rows: &[usize], columns: &[usize]) -> io::Result<Fields> {
        let mut chosen = FieldsWriter::new(columns.len());
        for &row in rows {
            let fields = columns.iter().map(|&column| self.field(row, column));
            chosen.push(fields, self.line(row))?;
        }
        chosen.finish()
    }

    /// The numbers beside the columns.
    pub(super) const fn numbers(&self) -> Option<&Numbers> {
        self.numbers.as_ref()
    }

    /// Number of data rows.
    pub fn len(&self) -> usize {
        self.fields.rows
    }

    /// Index of the column named `name`.
    ///
    /// # Errors
    /// [`TableError::NoColumn`] lists the columns that exist.
    pub fn column(&self, name: &str) -> Result<usize, TableError> {
        let found = self.columns.iter().position(|column| column == name);
        found.ok_or_else(|| match &self.numbers {
            Some(numbers) if self.columns.is_empty() => {
                self.unusable(format!("found no `{name}`: {}", numbers.labels))
            }
            _ => TableError::NoColumn {
                path: self.path.clone(),
                column: excerpt(name),
                existing: list(&nearest(name, &self.columns)),
            },
        })
    }

    /// A field.
    pub(super) fn field(&self, row: usize, column: usize) -> &str {
        self.fields.get(row, column)
    }

    /// Fields of a column.
    pub fn fields(&self, column: usize) -> impl Iterator<Item = &str> + Clone {
        (0..self.len()).map(move |row| self.field(row, column))
    }

    /// Kind of a column's fields.
    ///
    /// # Errors
    /// Most fields are numbers: the first that is none is named.
    pub(super) fn held(&self, column: usize) -> Result<Held, TableError> {
        let mut count = Counts::default();
        self.fields(column).enumerate().for_each(|(row, field)| count.meet(row, field));
        count.held(self, column)
    }

    /// The header and the named rows as CSV text; none where numbers lie beside the columns.
    pub fn to_csv(&self, rows: &[usize]) -> Option<Vec<u8>> {
        if self.numbers.is_some() {
            return None;
        }
        let mut writer = csv::Writer::from_writer(Vec::new());
        let grows = "a vector grows, and rows are as long as the header";
        writer.write_record(&self.columns).expect(grows);
        for &row in rows {
            writer.write_record(self.fields.row(row)).expect(grows);
        }
        Some(writer.into_inner().expect("a vector grows"))
    }

    /// A field as a finite number.
    ///
    /// # Errors
    /// The field is missing, or is none, or too large.
    pub(super) fn number(&self, row: usize, column: usize) -> Result<f64, TableError> {
        let field = self.field(row, column);
        match number(field) {
            Some(value) if value.abs() <= LARGEST => Ok(value),
            Some(_) => Err(self.bad_field(row, column, format!("a number within ± {LARGEST:e}"))),
            None if is_missing(field) => Err(self.missing(row, column)),
            None => Err(self.bad_field(row, column, "a finite number".to_owned())),
        }
    }

    /// A field that may be any text but an empty one.
    ///
    /// # Errors
    /// The field is empty.
    pub(super) fn text(&self, row: usize, column: usize) -> Result<&str, TableError> {
        match self.field(row, column) {
            "" => Err(self.missing(row, column)),
            field => Ok(field),
        }
    }

    fn missing(&self, row: usize, column: usize) -> TableError {
        TableError::Missing {
            path: self.path.clone(),
            row: row + 1,
            line: self.line(row),
            column: excerpt(&self.columns[column]),
            found: excerpt(self.field(row, column)),
        }
    }

    /// An error about one field.
    pub fn bad_field(&self, row: usize, column: usize, expected: String) -> TableError {
        TableError::BadField {
            path: self.path.clone(),
            row: row + 1,
            line: self.line(row),
            column: excerpt(&self.columns[column]),
            found: excerpt(self.field(row, column)),
            expected,
        }
    }

    /// An error about the number `found` among those beside the columns.
    pub(super) fn bad_number(
        &self,
        row: usize,
        name: &str,
        found: f32,
        expected: String,
    ) -> TableError {
        TableError::BadField {
            path: self.path.clone(),
            row: row + 1,
            line: self.line(row),
            column: excerpt(name),
            found: found.to_string(),
            expected,
        }
    }

    /// An error about the file as a whole.
    pub fn unusable(&self, message: String) -> TableError {
        TableError::Unusable { path: self.path.clone(), message }
    }

    /// A row and its line, for a message.
    pub(super) fn place(&self, row: usize) -> String {
        format!("row {}{}", row + 1, at(self.line(row)))
    }

    fn line(&self, row: usize) -> Option<u64> {
        self.fields.line(row)
    }
}

/// Counts of what the fields of a column are.
#[derive(Default)]
pub(super) struct Counts {
    numbers: usize,
    missing: usize,
    text: usize,
    /// The first row whose field is no number.
    other: Option<usize>,
}

impl Counts {
    /// Counts the field of a row.
    pub fn meet(&mut self, row: usize, field: &str) {
        match number(field) {
            Some(_) => self.numbers += 1,
            None => {
                self.other = self.other.or(Some(row));
                let count = if is_missing(field) { &mut self.missing } else { &mut self.text };
                *count += 1;
            }
        }
    }

    /// The first row whose field is no number.
    pub const fn other(&self) -> Option<usize> {
        self.other
    }

    /// Kind of the column's fields, once all rows were met. Few texts among many numbers are mistakes: a sensor that
    /// overflowed, units below the header.
    pub fn held(&self, table: &Table, column: usize) -> Result<Held, TableError> {
        let Some(row) = self.other else { return Ok(Held::Numbers) };
        if self.numbers <= self.text {
            return Ok(Held::Text);
        }
        if is_missing(table.field(row, column)) {
            return Err(table.missing(row, column));
        }
        let expected = format!(
            "a finite number, as in {} of {} rows; correct or remove the row, or write categories as text in all \
             rows",
            self.numbers,
            table.len()
        );
        Err(table.bad_field(row, column, expected))
    }
}

/// A file that cannot be read, or kept elsewhere than in memory.
pub(super) fn unreadable(path: &Path, error: io::Error) -> TableError {
    TableError::Unreadable { path: path.to_owned(), error }
}

/// The line behind a row, for a message.
fn at(line: Option<u64>) -> String {
    line.map_or_else(String::new, |line| format!(" (line {line})"))
}

/// Refuses a header that names no columns.
fn check_header(path: &Path, header: &Record<'_>) -> Result<(), TableError> {
    let malformed = |message| TableError::Malformed { path: path.to_owned(), message };
    let first = header.fields().next().unwrap_or_default();
    if header.fields().all(|name| name.parse::<f64>().is_ok()) {
        return Err(TableError::NoHeader { path: path.to_owned(), first: excerpt(first) });
    }
    let separator =
        [(';', "`;`"), ('\t', "tabs")].into_iter().find(|&(mark, _)| first.contains(mark));
    if let (1, Some((_, found))) = (header.len(), separator) {
        return Err(malformed(format!(
            "line {}: found {found} between the columns, expected commas, and points in numbers",
            header.line
        )));
    }
    check_names(path, &header.fields().collect::<Vec<_>>())
}

/// Refuses too many columns, and names that are none or another column's.
fn check_names(path: &Path, names: &[&str]) -> Result<(), TableError> {
    if names.len() > MOST_COLUMNS {
        let message = format!("found {} columns, expected at most {MOST_COLUMNS}", names.len());
        return Err(TableError::Malformed { path: path.to_owned(), message });
    }
    let mut seen = HashSet::new();
    for (index, &name) in names.iter().enumerate() {
        if name.is_empty() || !seen.insert(name) {
            let name = excerpt(name);
            return Err(TableError::BadColumnName { path: path.to_owned(), index, name });
        }
    }
    Ok(())
}

/// A row that is longer or shorter than the header.
fn unequal(columns: &[String], row: usize, record: &Record<'_>) -> String {
    let comment = match columns[0].starts_with('#') {
        true => format!(", `{}`; remove comments above the header", excerpt(&columns[0])),
        false => String::new(),
    };
    let (line, found, expected) = (record.line, record.len(), columns.len());
    format!(
        "row {row} (line {line}) has {found} fields, expected {expected} as in the header{comment}"
    )
}

#[cfg(test)]
pub(crate) fn table_from(text: &str) -> Result<Table, TableError> {
    let file = tempfile::NamedTempFile::new().expect("temporary file");
    std::fs::write(file.path(), text).expect("temporary file");
    Table::read(file.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_row_and_column() {
        for (text, expected) in [
            ("", "the file is empty"),
            ("a,b\n", "no data rows"),
            ("1,2\n3,4\n", "add a header row"),
            ("a,a\n1,2\n", "column 2 is named `a`"),
            ("a,b\n1,2\n3\n", "row 2 (line 3) has 1 fields, expected 2"),
            ("a,b\n1,2\n3,\"4\n5,6\n", "line 3: found no end of the quoted field 2"),
            ("# made by x\na,b\n1,2\n", "header, `# made by x`; remove comments above"),
            ("a;b\n1,5;2\n", "line 1: found `;` between the columns, expected commas"),
            ("a\tb\n1\t2\n", "line 1: found tabs between the columns, expected commas"),
            ("a,b,\n1,2,\n", "column 3 is named ``"),
        ] {
            let message = table_from(text).expect_err(text).to_string();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn what_is_quoted_in_a_message_is_cut_and_harmless() {
        let long = "x".repeat(100_000);
        let table = table_from(&format!("a,\x1b[2J\n1,{long}\n")).expect("readable");
        let message = table.number(0, 1).expect_err("text").to_string();
        assert!(message.contains("`\\u{1b}[2J`") && message.contains("(100000 bytes in all)"));
        assert!(message.len() < 1000, "{message}");
    }

    #[test]
    fn columns_are_listed_nearest_first() {
        let names: Vec<String> = (0..30).map(|column| format!("sensor{column}")).collect();
        let table = table_from(&format!("{},label\n{}1\n", names.join(","), "1,".repeat(30)));
        let message = table.expect("readable").column("lable").expect_err("none").to_string();
        assert!(message.contains("the columns are `label`, `sensor"), "{message}");
        assert!(message.ends_with(" and 19 more"), "{message}");
    }

    #[test]
    fn some_rows_are_written_as_they_were_read() {
        let table = table_from("a,\"b,c\"\n1,x\n2,\"y, \"\"z\"\"\"\n3,w\n").expect("readable");
        let csv = table.to_csv(&[2, 1]).expect("fields alone");
        let again = table_from(std::str::from_utf8(&csv).expect("text"));
        let again = again.expect("readable");
        assert_eq!(again.columns, table.columns);
        assert_eq!(again.fields(1).collect::<Vec<_>>(), ["w", "y, \"z\""]);
    }

    #[test]
    fn what_is_no_number_is_refused_where_it_stands() {
        for (rows, expected) in [
            ("1\n\ninf\n", "row 2 (line 4), column `b`: found `inf`, expected a finite number"),
            ("1\n1e37\n", "row 2 (line 3), column `b`: found `1e37`, expected a number within"),
            ("1\n1e400\n", "row 2 (line 3), column `b`: found `1e400`, expected a finite number"),
            ("1\nn/a\n", "row 2 (line 3), column `b`: found a missing value (`n/a`)"),
        ] {
            let table = table_from(&format!("b\n{rows}").replace('\n', "\r\n")).expect("readable");
            let message = table.number(1, 0).expect_err(rows).to_string();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn a_column_that_is_mostly_numbers_has_no_categories() {
        for (rows, row, found) in [
            ("1\n2\novf\n", 3, "found `ovf`, expected a finite number, as in 2 of 3 rows"),
            ("degC\n1\n2\n", 1, "found `degC`, expected a finite number"),
            ("1\nNA\nNA\nNA\n", 2, "found a missing value (`NA`)"),
            ("1\n2\ninf\n", 3, "found `inf`, expected a finite number"),
        ] {
            let table = table_from(&format!("b\n{rows}")).expect("readable");
            let message = table.held(0).expect_err(rows).to_string();
            let expected = format!("row {row} (line {}), column `b`: {found}", row + 1);
            assert!(message.contains(&expected), "{message}");
        }
        for (rows, held) in
            [("1\n2.5\n", Held::Numbers), ("none\nNA\n", Held::Text), ("a\nb\n1\n", Held::Text)]
        {
            assert_eq!(
                table_from(&format!("b\n{rows}")).expect("readable").held(0).ok(),
                Some(held)
            );
        }
    }
}
