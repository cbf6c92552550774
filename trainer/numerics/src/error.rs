//! The one error of the library.

use std::fmt;

use crate::excerpt::cut;

/// Characters of a message; names and fields in it are cut before.
const LONGEST: usize = 4000;

/// Why something could not be done.
///
/// Its message is one line that names the file, row, column or field, what was found and what was expected. It
/// does nothing to a terminal, whatever a file or its name holds.
pub struct Error {
    kind: ErrorKind,
    message: String,
}

/// Subject of an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The data: a file that cannot be read, a field, a column.
    Data,
    /// The settings: a field that is unknown or out of range.
    Config,
    /// Anything else: a run, a network, a device, the disk.
    Other,
}

/// Result of the library's functions.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// The error with its causes in one line.
    #[doc(hidden)]
    pub fn new(kind: ErrorKind, error: &anyhow::Error) -> Self {
        let line = format!("{error:#}").replace(['\n', '\r'], " ");
        Self { kind, message: cut(&line, LONGEST) }
    }

    /// Subject of the error.
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

// What `main` and `expect` show.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
