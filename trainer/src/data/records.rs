//! Records of a CSV file, each one line.

use std::io::{self, BufRead};
use std::str;

use csv_core::ReadRecordResult;

/// Most bytes of a line: 64 of every column that a table may have.
const LONGEST_LINE: usize = 1 << 24;

/// Reads a file of lines, which end in `\n`, `\r\n` or `\r`. Blank lines are passed over.
pub(super) struct Records<R> {
    file: R,
    parser: csv_core::Reader,
    /// Number of the last line that was begun, from 1.
    line: u64,
    text: Vec<u8>,
    /// Whether the last line ended in `\r`: a `\n` after it belongs to the same end.
    returned: bool,
    fields: Vec<u8>,
    ends: Vec<usize>,
}

/// The fields of a line.
pub(super) struct Record<'r> {
    /// Number of the line, from 1.
    pub line: u64,
    fields: &'r [u8],
    ends: &'r [usize],
}

/// Why there is no next record.
#[derive(Debug)]
pub(super) enum RecordError {
    /// The file cannot be read.
    Unreadable(io::Error),
    /// The line is no record.
    Malformed(String),
}

impl From<io::Error> for RecordError {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error)
    }
}

impl Record<'_> {
    /// Number of fields.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Fields without the white space round them.
    pub fn fields(&self) -> impl Iterator<Item = &str> + Clone {
        let starts = [0].into_iter().chain(self.ends.iter().copied());
        starts.zip(self.ends).map(|(start, &end)| {
            // The line is, and quotes and commas are whole characters.
            str::from_utf8(&self.fields[start..end]).expect("UTF-8").trim()
        })
    }
}

impl<R: BufRead> Records<R> {
    /// Records of a file from its first line on.
    pub fn new(file: R) -> Self {
        let parser = csv_core::Reader::new();
        let (text, fields, ends) = (Vec::new(), Vec::new(), Vec::new());
        Self { file, parser, line: 0, text, returned: false, fields, ends }
    }

    /// The next record.
    ///
    /// # Errors
    /// The file cannot be read, or the line is too long, is not UTF-8 or ends within a quoted field.
    pub fn next(&mut self) -> Result<Option<Record<'_>>, RecordError> {
        loop {
            if !self.read_line()? {
                return Ok(None);
            }
            if !self.text.trim_ascii().is_empty() {
                break;
            }
        }
        let line = self.line;
        if str::from_utf8(&self.text).is_err() {
            return Err(RecordError::Malformed(format!(
                "line {line} is not UTF-8 text; save the file as UTF-8"
            )));
        }
        self.text.push(b'\n');
        let commas = self.text.iter().filter(|&&byte| byte == b',').count();
        self.fields.resize(self.text.len(), 0);
        self.ends.resize(commas + 1, 0);
        let (result, _, written, count) =
            self.parser.read_record(&self.text, &mut self.fields, &mut self.ends);
        match result {
            ReadRecordResult::Record => Ok(Some(Record {
                line,
                fields: &self.fields[..written],
                ends: &self.ends[..count],
            })),
            // The end of the line was taken for a part of the field.
            _ => Err(RecordError::Malformed(format!(
                "line {line}: found no end of the quoted field {}, expected it in the same line; remove the \
                 quote or close it",
                count + 1
            ))),
        }
    }

    /// Reads the next line without its end; returns whether there was one.
    fn read_line(&mut self) -> Result<bool, RecordError> {
        self.text.clear();
        let mut begun = false;
        loop {
            let buffer = self.file.fill_buf()?;
            let Some(first) = buffer.first() else { return Ok(begun) };
            if std::mem::take(&mut self.returned) && *first == b'\n' {
                self.file.consume(1);
                continue;
            }
            self.line += u64::from(!begun);
            begun = true;
            let end = buffer.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let part = &buffer[..end.unwrap_or(buffer.len())];
            if self.text.len() + part.len() > LONGEST_LINE {
                return Err(RecordError::Malformed(format!(
                    "line {} has more than {LONGEST_LINE} bytes, expected at most as many",
                    self.line
                )));
            }
            self.text.extend_from_slice(part);
            let used = end.map_or(buffer.len(), |end| end + 1);
            self.returned = end.is_some_and(|end| buffer[end] == b'\r');
            self.file.consume(used);
            if end.is_some() {
                return Ok(true);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records with their lines, and the message that ends them, read from buffers of so many bytes.
    fn all(text: &str, buffer: usize) -> (Vec<(u64, Vec<String>)>, Option<String>) {
        let mut records = Records::new(io::BufReader::with_capacity(buffer, text.as_bytes()));
        let mut found = Vec::new();
        loop {
            match records.next() {
                Ok(None) => return (found, None),
                Ok(Some(record)) => {
                    assert_eq!(record.len(), record.fields().count());
                    found.push((record.line, record.fields().map(str::to_owned).collect()));
                }
                Err(RecordError::Malformed(message)) => return (found, Some(message)),
                Err(RecordError::Unreadable(error)) => panic!("{error}"),
            }
        }
    }

    #[test]
    fn lines_are_counted_however_they_end() {
        for end in ["\n", "\r\n", "\r"] {
            let text = ["a, b ", "", "1,\"x, \"\"y\"\"\"", " ", "3,"].join(end);
            for (text, buffer) in [(text.clone(), 1), (text.clone() + end, 3), (text, 1000)] {
                let (records, message) = all(&text, buffer);
                let fields = |fields: [&str; 2]| fields.map(str::to_owned).to_vec();
                let expected = [
                    (1, fields(["a", "b"])),
                    (3, fields(["1", "x, \"y\""])),
                    (5, fields(["3", ""])),
                ];
                assert_eq!((&records[..], message), (&expected[..], None), "{text:?}");
            }
        }
        assert_eq!(all("\n\n \n", 10), (Vec::new(), None));
    }

    #[test]
    fn a_quote_is_closed_in_its_line() {
        for text in ["a,b\n1,\"x\n2,y\n", "a,b\n1,\"x", "a,b\r\n1,\"\"\"\r\n2,\"y\"\r\n"] {
            let (records, message) = all(text, 100);
            let message = message.expect("refused");
            assert_eq!(records.len(), 1);
            assert!(message.starts_with("line 2: found no end of the quoted field 2"), "{message}");
        }
    }

    #[test]
    fn what_is_no_line_of_text_is_refused() {
        let mut records = Records::new(&b"a,b\n\xc3,\xa9\n"[..]);
        assert!(records.next().is_ok());
        let Err(RecordError::Malformed(message)) = records.next() else { panic!("no text") };
        assert!(message.contains("line 2 is not UTF-8"), "{message}");
        let (_, message) = all(&format!("a\n{}", "x".repeat(LONGEST_LINE + 1)), 1 << 16);
        assert!(message.expect("too long").contains("line 2 has more than"));
    }
}
