//! The one error of the library, from those behind it.

use crate::config::ConfigError;
use crate::data::TableError;
use crate::error::{Error, ErrorKind};

/// The library's error, of the kind that its causes are of.
pub fn failed(error: impl Into<anyhow::Error>) -> Error {
    let error = error.into();
    let kind = if error.chain().any(|cause| cause.is::<TableError>()) {
        ErrorKind::Data
    } else if error.chain().any(|cause| cause.is::<ConfigError>()) {
        ErrorKind::Config
    } else {
        ErrorKind::Other
    };
    Error::new(kind, &error)
}
