//! Settings from files and text.

use std::path::Path;
use std::str::FromStr;

use super::error::failed;
use crate::config::Config;
use crate::error::{Error, Result};

impl Config {
    /// Reads a TOML file; what it does not set has its default.
    ///
    /// # Errors
    /// The file cannot be read; an unknown field, or one out of range.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        Self::read(path.as_ref()).map_err(failed)
    }
}

impl FromStr for Config {
    type Err = Error;

    fn from_str(toml: &str) -> Result<Self> {
        Self::parse(Path::new("settings"), toml).map_err(failed)
    }
}
