//! The text of a table, and what reads a file.

use std::io::{self, Read};

use sha2::{Digest, Sha256};

use crate::store::{Store, Writer};

/// Fields of text, row by row.
#[derive(Debug)]
pub(super) struct Fields {
    /// All fields in UTF-8, one after another.
    text: Store<u8>,
    /// End of each field.
    ends: Store<u64>,
    /// Line of the file that each row starts in; empty where there are no lines.
    lines: Store<u64>,
    /// Fields of a row.
    columns: usize,
    pub rows: usize,
}

/// Fields that come row by row.
pub(super) struct FieldsWriter {
    text: Writer<u8>,
    ends: Writer<u64>,
    lines: Writer<u64>,
    columns: usize,
    pub rows: usize,
    end: u64,
}

impl Fields {
    pub fn get(&self, row: usize, column: usize) -> &str {
        let index = row * self.columns + column;
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        let text = &self.text[start as usize..self.ends[index] as usize];
        std::str::from_utf8(text).expect("what was written as text")
    }

    pub fn row(&self, row: usize) -> impl Iterator<Item = &str> {
        (0..self.columns).map(move |column| self.get(row, column))
    }

    pub fn line(&self, row: usize) -> Option<u64> {
        self.lines.get(row).copied()
    }
}

impl FieldsWriter {
    pub fn new(columns: usize) -> Self {
        let (text, ends, lines) = (Writer::default(), Writer::default(), Writer::default());
        Self { text, ends, lines, columns, rows: 0, end: 0 }
    }

    /// Appends a row, and the line that it starts in if its file has lines.
    pub fn push<'t>(
        &mut self,
        row: impl Iterator<Item = &'t str>,
        line: Option<u64>,
    ) -> io::Result<()> {
        for field in row {
            self.end += field.len() as u64;
            self.text.extend(field.as_bytes())?;
            self.ends.extend(&[self.end])?;
        }
        self.rows += 1;
        self.lines.extend(line.as_slice())
    }

    pub fn finish(self) -> io::Result<Fields> {
        let Self { text, ends, lines, columns, rows, .. } = self;
        let (text, ends, lines) = (text.finish()?, ends.finish()?, lines.finish()?);
        Ok(Fields { text, ends, lines, columns, rows })
    }
}

/// A reader that hashes what it reads.
pub(super) struct Hashing<'h, R> {
    file: R,
    hash: &'h mut Sha256,
}

impl<'h, R: Read> Hashing<'h, R> {
    pub fn new(file: R, hash: &'h mut Sha256) -> Self {
        Self { file, hash }
    }
}

impl<R: Read> Read for Hashing<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.hash.update(&buffer[..count]);
        Ok(count)
    }
}
