//! Bytes and products of an artifact, or of a network in int8, on a board.

use std::iter;

use fiberwalk_formats::{Artifact, Bits, Dense, Factors, Members, Step};
use serde::Serialize;

use crate::config::{Choice, Export};
use crate::decoder::{DecoderShape, LayerDecoder};
use crate::network::{Architecture, PlacedBlock};

/// Bytes of a bias, as the artifact stores it.
const BIAS_BYTES: usize = 2;

/// Memory of an artifact, bytes.
#[derive(Clone, Debug, Serialize)]
pub struct Flash {
    /// Bytes of the whole file.
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
    /// Products that all samples share.
    pub shared_by_samples: usize,
    /// Each sample.
    pub each_sample: usize,
}

impl Flash {
    /// Returns the memory of an artifact whose file has `total` bytes.
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
    /// Returns the work of a prediction with this artifact.
    pub fn of(artifact: &Artifact<'_>) -> Self {
        let first = artifact.first_stochastic();
        let (mut pass, mut shared, mut each) = (0, 0, 0);
        let layers = artifact.layers.iter().zip(convolutions(artifact)).enumerate();
        for (index, (layer, convolution)) in layers {
            let positions = convolution.map_or(1, |step| step.positions());
            let mean = positions * dense_products(&layer.mean);
            let projection = layer
                .factors
                .projection()
                .map_or(0, |(projection, _)| positions * dense_products(projection));
            pass += mean;
            // The products of a first stochastic convolution are not kept for the next sample.
            // Nor are those of a mixture's members the same.
            let members = layer.factors.members().is_some();
            if index < first || index == first && convolution.is_none() && !members {
                shared += mean + projection;
            } else {
                each += mean + projection;
            }
            if !members {
                each += positions * layer.factors.modulations() * usize::from(layer.mean.outputs);
            }
        }
        Self { deterministic_pass: pass, shared_by_samples: shared, each_sample: each }
    }

    /// Returns the products of a prediction by `samples` samples.
    pub fn of_samples(&self, samples: usize) -> usize {
        self.shared_by_samples + samples * self.each_sample
    }
}

/// Returns the step over its map of every layer that is a convolution, one entry a layer.
pub fn convolutions<'f, 'a>(
    artifact: &'f Artifact<'a>,
) -> impl Iterator<Item = Option<Step<'f, 'a>>> {
    let steps = artifact.maps().into_iter().flat_map(|maps| maps.steps(&artifact.layers));
    steps.map(|step| step.block.window.map(|_| step)).chain(iter::repeat(None))
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
        Factors::Members(Members { weights, bias, multiplier, .. }) => {
            weights.bytes().len() + bias.bytes().len() + multiplier.bytes().len()
        }
        _ => projection,
    }
}

fn dense_products(dense: &Dense<'_>) -> usize {
    usize::from(dense.inputs) * usize::from(dense.outputs)
}

/// Multiply-accumulates of one pass of the network: Σ positions · inputs · outputs over its layers.
pub fn pass_products(architecture: &Architecture) -> usize {
    architecture.placed_blocks().iter().map(PlacedBlock::products).sum()
}

/// Bytes of one network in int8: one a weight, two a bias, as in the artifact.
pub fn int8_bytes(architecture: &Architecture) -> usize {
    architecture.layers().map(|layer| layer.outputs * (layer.inputs + BIAS_BYTES)).sum()
}

/// Bytes of the numbers that describe a matrix, at most: sizes, shifts and lengths.
const MATRIX_HEADER: usize = 18;

/// Bytes that a decoder adds to a network's file, at most: with the most bits that `export` leaves open,
/// and with the trunk where that is sure to be there.
pub fn decoder_bytes(shape: &DecoderShape, export: &Export) -> usize {
    let bits = match export.factor_bits {
        Choice::Fixed(4) => Bits::Four,
        _ => Bits::Eight,
    };
    let matrix = |inputs, outputs, bits: Bits| {
        MATRIX_HEADER + bits.len(inputs, outputs) + BIAS_BYTES * outputs
    };
    let weights = |layer: usize| match &export.weight_bits {
        Choice::Fixed(bits) if bits.get(layer) == Some(&4) => Bits::Four,
        _ => Bits::Eight,
    };
    let layers = shape.architecture.layers().zip(&shape.structure).enumerate();
    let factors = layers.map(|(index, (layer, &decoder))| match decoder {
        LayerDecoder::Frozen => 0,
        LayerDecoder::LowRank(rank) => {
            matrix(layer.inputs, rank, bits) + Bits::Eight.len(rank, layer.outputs)
        }
        LayerDecoder::Dense(count) => matrix(layer.inputs, count * layer.outputs, bits),
        LayerDecoder::Members(count) => {
            // Biases and multipliers.
            let member =
                weights(index).len(layer.inputs, layer.outputs) + 2 * BIAS_BYTES * layer.outputs;
            MATRIX_HEADER + (count - 1) * member
        }
    });
    // Its outputs have multipliers besides their biases.
    let trunk = shape.trunk();
    let trunk = trunk
        .iter()
        .flat_map(Architecture::layers)
        .map(|layer| matrix(layer.inputs, layer.outputs, Bits::Eight) + BIAS_BYTES * layer.outputs);
    let kept = export.codes.are_drawn() || export.trunk == Choice::Fixed(true);
    let trunk = if kept { trunk.sum() } else { 0 };
    let code: usize = shape.structure.iter().map(|layer| layer.code_bytes()).sum();
    factors.sum::<usize>() + shape.samples(export.samples) * code + trunk
}

#[cfg(test)]
mod tests {
    use fiberwalk_formats::CodeSource;

    use super::*;
    use crate::data::{Column, Layout, Schema, Series};
    use crate::decoder::draw_modulations;
    use crate::export::NetworkExport;
    use crate::export::file::DecoderExport;
    use crate::network::{Activation, Batch};
    use crate::quantise::{Precision, Quantised, Ranges, Unquantised};
    use crate::random::{Purpose, stream};
    use crate::task::{AnyTask, Calibration, Classification, Temperature, Thresholds};

    #[test]
    fn a_network_costs_what_the_readme_says_of_the_digits() {
        let architecture = Architecture::perceptron(&[64, 64, 32, 10], Activation::Tanh);
        assert_eq!(pass_products(&architecture), 6464);
        assert_eq!(int8_bytes(&architecture), 6676);
    }

    /// The budget of flash holds for the file only if the prediction is never short, and wastes room if it is
    /// far off.
    #[test]
    fn a_decoder_adds_what_was_predicted_and_not_more() {
        use LayerDecoder::{Dense, Frozen, LowRank, Members};
        let architecture = Architecture::perceptron(&[7, 20, 3], Activation::Tanh);
        let schema = Schema {
            layout: Layout::Columns((0..7).map(|i| Column::Number(i.to_string())).collect()),
            mean: vec![0.0; 7],
            std: vec![1.0; 7],
            target: "y".to_owned(),
            task: AnyTask::Classification(Classification {
                classes: ["a", "b", "c"].map(str::to_owned).to_vec(),
            }),
            series: Series::default(),
        };
        let inputs = Batch::from_rows(&[0.5; 7], 7);
        let mut rng = stream(1, Purpose::Decoder, 0);
        let theta = architecture.initialise(&mut rng);
        let network = NetworkExport {
            architecture: &architecture,
            theta: &theta,
            inputs: &inputs,
            schema: &schema,
            calibration: Calibration::Classification(Temperature(1.0)),
            coverage: 0.9,
            reading: None,
            seed: 1,
        };
        let network = network.to_bytes().expect("within the limits").len();
        let starts: Vec<Vec<f32>> = (0..4).map(|_| architecture.initialise(&mut rng)).collect();
        for structure in [
            vec![Frozen, LowRank(6)],
            vec![LowRank(5), Dense(2)],
            vec![LowRank(16); 2],
            vec![Members(4); 2],
            vec![Frozen, Members(3)],
        ] {
            let shape =
                DecoderShape { architecture: architecture.clone(), structure, latent_dim: 4 };
            let decoder = shape.initialise(&starts, &mut rng);
            let sampled = draw_modulations(&shape, &decoder, 12, 5);
            let source = Unquantised {
                shape: &shape,
                decoder: &decoder,
                logits: true,
                stored: &sampled,
                sampled: &sampled,
                batch: &inputs,
            };
            let ranges = Ranges::measure(&source);
            for (factors, trunk) in [(Bits::Eight, true), (Bits::Eight, false), (Bits::Four, false)]
            {
                let precision = Precision { factors, ..Precision::eight(2) };
                let file = DecoderExport {
                    quantised: &Quantised::new(&source, &ranges, &precision),
                    schema: &schema,
                    thresholds: Thresholds::open(Calibration::Classification(Temperature(1.0))),
                    coverage: 0.9,
                    latent_dim: 4,
                    source: CodeSource::Stored,
                    samples: sampled.len(),
                    reading: None,
                    trunk,
                    seed: 1,
                    date: None,
                };
                let added = file.to_bytes().expect("within the limits").len() - network;
                let settings = Export {
                    samples: 12,
                    factor_bits: Choice::Fixed(factors.count()),
                    trunk: Choice::Fixed(trunk),
                    ..Export::default()
                };
                let predicted = decoder_bytes(&shape, &settings);
                let spare = 4 * MATRIX_HEADER;
                assert!((added..added + spare).contains(&predicted), "{added} {predicted}");
            }
        }
    }
}
