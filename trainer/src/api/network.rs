//! Networks that were trained elsewhere.

use std::path::Path;

use super::error::failed;
use crate::error::Result;
use crate::import::{self, Import};

/// A network that was trained elsewhere, understood and compared with the original.
pub struct Imported(Import);

/// Reads an `.onnx` model, or the `.safetensors` weights that the TOML file `description` says how to join, and
/// compares the network with the model's graph and with reference outputs that the description names.
///
/// # Errors
/// A file that cannot be read, what is not understood of it, each by its name, or outputs that are not those of the
/// original.
pub fn import(model: impl AsRef<Path>, description: Option<&Path>) -> Result<Imported> {
    import::import(model.as_ref(), description).map(Imported).map_err(failed)
}

impl Imported {
    /// Names of the layers with weights, as the source calls them.
    pub fn layers(&self) -> &[String] {
        self.0.network.layers()
    }

    /// Number of parameters.
    pub fn parameters(&self) -> usize {
        self.0.network.architecture().parameters()
    }

    /// Largest difference of its outputs from those of the original, over rows that were drawn or given; none where
    /// there was nothing to compare with.
    pub fn difference(&self) -> Option<f64> {
        let Import { computed, checked, .. } = &self.0;
        [computed, checked]
            .into_iter()
            .flatten()
            .map(|&(_, difference)| difference)
            .reduce(f64::max)
    }

    /// Writes the file that [`TrainOptions::network`](crate::TrainOptions::network) names.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        self.0.network.write(path.as_ref()).map_err(failed)
    }
}
