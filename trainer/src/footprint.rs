//! What an artifact, or a network in int8, costs on a board: bytes and products.

use fiberwalk_formats::{Artifact, Dense, Factors};
use serde::Serialize;

use crate::network::Architecture;

/// Bytes of a bias, as the artifact stores it.
const BIAS_BYTES: usize = 2;

/// Memory of an artifact, bytes.
#[derive(Clone, Debug, Serialize)]
pub struct Flash {
    /// The whole file.
    pub total: usize,
    /// Weights and biases of the mean network.
    pub mean_weights: usize,
    /// Factors of the decoder.
    pub factors: usize,
    /// Trunk of the decoder; 0 where codes are stored decoded.
    pub trunk: usize,
    /// Stored latent codes.
    pub codes: usize,
    /// Working memory in RAM.
    #[serde(skip)]
    pub scratch: usize,
}

/// Multiply-accumulates of a prediction, the decoding of drawn codes left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Work {
    /// One pass of the mean network.
    pub deterministic_pass: usize,
    /// What all samples share.
    pub shared_by_samples: usize,
    /// Each sample.
    pub each_sample: usize,
}

impl Flash {
    /// Of an artifact whose file has `total` bytes.
    pub fn of(artifact: &Artifact<'_>, total: usize) -> Self {
        let trunk = artifact.trunk.iter();
        let trunk = trunk.map(|trunk| dense_bytes(&trunk.hidden) + dense_bytes(&trunk.output));
        Self {
            total,
            mean_weights: artifact.layers.iter().map(|layer| dense_bytes(&layer.mean)).sum(),
            factors: artifact.layers.iter().map(|layer| factor_bytes(&layer.factors)).sum(),
            trunk: trunk.sum(),
            codes: artifact.codes.stored.bytes().len(),
            scratch: 4 * artifact.scratch_len as usize,
        }
    }
}

impl Work {
    /// Of a prediction with this artifact.
    pub fn of(artifact: &Artifact<'_>) -> Self {
        let first = artifact.first_stochastic();
        let (mut pass, mut shared, mut each) = (0, 0, 0);
        for (index, layer) in artifact.layers.iter().enumerate() {
            let mean = dense_products(&layer.mean);
            let projection =
                layer.factors.projection().map_or(0, |(projection, _)| dense_products(projection));
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

/// Bytes of a layer's weights and biases.
pub fn dense_bytes(dense: &Dense<'_>) -> usize {
    dense.weights.bytes().len() + dense.bias.bytes().len()
}

/// Bytes of a layer's factors.
pub fn factor_bytes(factors: &Factors<'_>) -> usize {
    let projection = factors.projection().map_or(0, |(projection, _)| dense_bytes(projection));
    match factors {
        Factors::LowRank(factors) => projection + factors.a.bytes().len(),
        _ => projection,
    }
}

fn dense_products(dense: &Dense<'_>) -> usize {
    usize::from(dense.inputs) * usize::from(dense.outputs)
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
