//! The one error of the library.

use std::fmt;

use crate::config::ConfigError;
use crate::data::TableError;
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
    /// Subject of the error.
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl From<anyhow::Error> for Error {
    fn from(error: anyhow::Error) -> Self {
        let kind = if error.chain().any(|cause| cause.is::<TableError>()) {
            ErrorKind::Data
        } else if error.chain().any(|cause| cause.is::<ConfigError>()) {
            ErrorKind::Config
        } else {
            ErrorKind::Other
        };
        let line = format!("{error:#}").replace(['\n', '\r'], " ");
        Self { kind, message: cut(&line, LONGEST) }
    }
}

impl From<TableError> for Error {
    fn from(error: TableError) -> Self {
        anyhow::Error::from(error).into()
    }
}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        anyhow::Error::from(error).into()
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
