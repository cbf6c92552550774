//! Predictions and their scores.

use std::path::Path;

use anyhow::anyhow;

use super::error::failed;
use crate::data::Data;
use crate::engine::{self, Draws, EngineKind};
use crate::ensemble;
use crate::error::Result;
use crate::excerpt::excerpt;
use crate::prediction_csv::write_predictions;
use crate::task::{Predictions, Scores};

/// Predicts: the artifact as on the board, bit for bit, or what it was made from.
pub struct Predictor(engine::Predictor);

impl Predictor {
    /// Opens the directory of a run, or a `.fwk` file, which holds the runtime's engine alone.
    ///
    /// # Errors
    /// A file that is missing, damaged, or something else.
    pub fn open(path: impl AsRef<Path>, engine: EngineKind, draws: Draws) -> Result<Self> {
        engine::Predictor::load(path.as_ref(), engine, draws).map(Self).map_err(failed)
    }

    /// Takes the bytes of a `.fwk` file.
    ///
    /// # Errors
    /// The bytes are no valid artifact.
    pub fn from_artifact(bytes: Vec<u8>, draws: Draws) -> Result<Self> {
        engine::Predictor::from_artifact(bytes, draws).map(Self).map_err(failed)
    }

    /// Names of the values of a row, in their order: columns, `column=category`, pixels, the readings of a window.
    pub fn features(&self) -> Vec<String> {
        self.0.schema.layout.names()
    }

    /// Name of what is predicted.
    pub fn target(&self) -> &str {
        &self.0.schema.target
    }

    /// Names of the classes, in the order of their probabilities; none of a number.
    pub fn classes(&self) -> Option<&[String]> {
        self.0.schema.task.names()
    }

    /// Predicts rows `[n, features]` in original units, row-major.
    ///
    /// # Errors
    /// A part of a row, a number that is not finite, or more samples than the artifact stores.
    pub fn predict(&self, rows: &[f32]) -> Result<Predictions> {
        let features = self.0.schema.layout.len();
        if !rows.len().is_multiple_of(features) {
            let found = rows.len();
            return Err(failed(anyhow!("found {found} values, expected {features} a row")));
        }
        if let Some(index) = rows.iter().position(|x| !x.is_finite()) {
            let name = excerpt(&self.features()[index % features]);
            let (row, found) = (index / features + 1, rows[index]);
            let message = anyhow!("row {row}, `{name}`: found {found}, expected a finite number");
            return Err(failed(message));
        }
        self.0.predict(rows).map_err(failed)
    }

    /// Predicts every row, image or window of `data`, whose target, if it has one, is ignored.
    ///
    /// # Errors
    /// Other features than the model was trained with; those of [`Self::predict`].
    pub fn predict_data(&self, data: &Data) -> Result<Predictions> {
        let raw =
            self.0.schema.read(&data.source, data.target_or(self.target())).map_err(failed)?;
        self.0.predict_all(&raw).map_err(failed)
    }

    /// Writes predictions of every row, image or window of `data` to a CSV file, a line each, some thousand rows at a
    /// time; `-` is standard output.
    ///
    /// # Errors
    /// The errors of [`Self::predict_data`], told before anything is written; a file that cannot be written.
    pub fn write_predictions(&self, data: &Data, path: impl AsRef<Path>) -> Result<()> {
        write_predictions(&self.0, data, path.as_ref()).map_err(failed)
    }

    /// Scores predictions of `data` against its targets, and how far its rows are told from `foreign` ones.
    ///
    /// # Errors
    /// No target, or a class that training did not see; those of [`Self::predict_data`].
    pub fn evaluate(&self, data: &Data, foreign: Option<&Data>) -> Result<Scores> {
        let target = data.target_or(self.target());
        let (raw, targets) = self.0.schema.read_labelled(&data.source, target).map_err(failed)?;
        let predictions = self.0.predict_all(&raw).map_err(failed)?;
        let foreign = foreign.map(|foreign| -> Result<_> {
            // Read as the rows are, so that a column of the same name is ignored.
            let raw = self.0.schema.read(&foreign.source, target).map_err(failed)?;
            self.0.predict_all(&raw).map_err(failed)
        });
        Ok(Scores::of(&predictions, &targets, foreign.transpose()?.as_ref()))
    }

    /// Writes the networks, stacked, to a safetensors file as PyTorch names and shapes their tensors; the runtime has
    /// none.
    ///
    /// # Errors
    /// The runtime's engine, or a file that cannot be written.
    pub fn write_networks(&self, path: impl AsRef<Path>) -> Result<()> {
        ensemble::write(&self.0, path.as_ref()).map_err(failed)
    }
}
