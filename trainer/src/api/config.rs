//! Settings from files and text.

use std::path::Path;
use std::str::FromStr;

use super::{Error, Result};
use crate::config::Config;

impl Config {
    /// Reads a TOML file; what it does not set has its default.
    ///
    /// # Errors
    /// The file cannot be read; an unknown field, or one out of range.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        Ok(Self::read(path.as_ref())?)
    }
}

impl FromStr for Config {
    type Err = Error;

    fn from_str(toml: &str) -> Result<Self> {
        Ok(Self::parse(Path::new("settings"), toml)?)
    }
}
