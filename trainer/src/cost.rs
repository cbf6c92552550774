//! What a prediction costs on the board: multiply-accumulates and bytes of flash.

use serde::Serialize;

use fiberwalk_formats::{Artifact, Dense};

use crate::network::Architecture;

/// Bytes of a bias, as the artifact stores it.
const BIAS_BYTES: usize = 2;

/// Multiply-accumulates of an artifact's predictions, the decoding of drawn codes left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Work {
    /// Of the network alone.
    pub deterministic_pass: usize,
    /// Of all that the samples of a prediction share.
    pub shared_by_samples: usize,
    /// Of every sample.
    pub each_sample: usize,
}

impl Work {
    /// Counts the products of an artifact.
    pub fn of(artifact: &Artifact<'_>) -> Self {
        let products = |dense: &Dense<'_>| usize::from(dense.inputs) * usize::from(dense.outputs);
        let first = artifact.first_stochastic();
        let (mut pass, mut shared, mut each) = (0, 0, 0);
        for (index, layer) in artifact.layers.iter().enumerate() {
            let mean = products(&layer.mean);
            let projection =
                layer.factors.projection().map_or(0, |(projection, _)| products(projection));
            pass += mean;
            if index <= first {
                shared += mean + projection;
            } else {
                each += mean + projection;
            }
            each += layer.factors.modulations() * usize::from(layer.mean.outputs);
        }
        Self { deterministic_pass: pass, shared_by_samples: shared, each_sample: each }
    }

    /// Of a prediction by `samples` samples.
    pub fn of_samples(&self, samples: usize) -> usize {
        self.shared_by_samples + samples * self.each_sample
    }
}

/// Multiply-accumulates of one pass of the network: Σ inputs · outputs over its layers.
pub fn pass_products(architecture: &Architecture) -> usize {
    architecture.layers().map(|layer| layer.inputs * layer.outputs).sum()
}

/// Bytes of one network in int8: one a weight, two a bias, as in the artifact.
pub fn int8_bytes(architecture: &Architecture) -> usize {
    architecture.layers().map(|layer| layer.outputs * (layer.inputs + BIAS_BYTES)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Activation;

    #[test]
    fn a_network_costs_what_the_readme_says_of_the_digits() {
        let architecture =
            Architecture { widths: vec![64, 64, 32, 10], activation: Activation::Tanh };
        assert_eq!(pass_products(&architecture), 6464);
        assert_eq!(int8_bytes(&architecture), 6676);
    }
}
