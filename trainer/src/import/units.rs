//! Units that a description adds to a network: the layers and the rows that they are compared on change by the same
//! numbers.

use serde::{Deserialize, Serialize};

use super::layers::Layers;

/// The network was fed u = (x − mean) · factor, one of each a channel.
#[derive(Clone, Debug)]
pub struct InputUnits {
    /// Subtracted.
    pub mean: Vec<f64>,
    /// Then multiplied by.
    pub factor: Vec<f64>,
}

impl InputUnits {
    /// Makes layers of u those of x.
    pub fn add_to(&self, layers: &mut Layers) {
        layers.take_raw_inputs(&self.mean, &self.factor);
    }

    /// Returns u of rows of x, channels last.
    pub fn normalised(&self, x: &[f64]) -> Vec<f64> {
        let units = self.mean.iter().zip(&self.factor).cycle();
        x.iter().zip(units).map(|(x, (mean, factor))| (x - mean) * factor).collect()
    }

    /// Returns x of a channel's u.
    pub fn original(&self, channel: usize, u: f64) -> f64 {
        self.mean[channel] + u / self.factor[channel]
    }
}

/// The target is y = mean + std · f of the network's output f.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutputUnits {
    /// Added.
    pub mean: f64,
    /// Multiplied by before, above 0.
    pub std: f64,
}

impl OutputUnits {
    /// Units that change nothing.
    pub const NONE: Self = Self { mean: 0.0, std: 1.0 };

    /// Makes layers of f those of y.
    pub fn add_to(self, layers: &mut Layers) {
        layers.rescale_output(self.mean, self.std);
    }

    /// Returns y of f.
    pub fn original(self, f: f64) -> f64 {
        self.mean + self.std * f
    }

    /// Returns f of y.
    pub fn normalised(self, y: f64) -> f64 {
        (y - self.mean) / self.std
    }
}
