//! A finished run.

use std::path::Path;

use super::Predictor;
use super::error::failed;
use crate::engine::{Draws, EngineKind};
use crate::error::Result;
use crate::export::rust_module;
use crate::report::{self, HeldOut};
use crate::run;

/// A finished run: the directory with all that training left.
pub struct Run(run::Run);

impl Run {
    /// Opens a run's directory.
    ///
    /// # Errors
    /// No run, or one that is not finished; a record of it that is damaged.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self> {
        run::Run::open(directory.as_ref()).map(Self).map_err(failed)
    }

    /// Its directory.
    pub fn directory(&self) -> &Path {
        self.0.dir().root()
    }

    /// The exported artifact: the bytes of the `.fwk` file that a board runs.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn artifact(&self) -> Result<Vec<u8>> {
        self.0.artifact().map_err(failed)
    }

    /// A Rust module that includes the artifact, whose file is called `file`, with its names and sizes.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn rust_module(&self, file: &str) -> Result<String> {
        rust_module(&self.artifact()?, file).map_err(failed)
    }

    /// Opens what predicts: the artifact as on the board, or what it was made from.
    ///
    /// # Errors
    /// A file of the run is missing or damaged.
    pub fn predictor(&self, engine: EngineKind, draws: Draws) -> Result<Predictor> {
        Predictor::open(self.directory(), engine, draws)
    }

    /// The page about the run, HTML, judged on the rows that it was calibrated with.
    ///
    /// # Errors
    /// A file of the run is missing or damaged.
    pub fn report(&self) -> Result<String> {
        let held_out = HeldOut::calibration_rows(&self.0).map_err(failed)?;
        report::html(&self.0, &held_out, None).map_err(failed)
    }
}
