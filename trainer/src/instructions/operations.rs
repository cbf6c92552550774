//! What the runtime does in a prediction, counted by kind.

use fiberwalk_formats::{
    Activation as QuantisedActivation, Artifact, Bits, CodeSource, Dense, Factors, INPUT_GROUP,
    Normalisation, padded,
};

use crate::latent::LayerDecoder;
use crate::network::{Activation, Architecture};
use crate::quantise::Precision;

/// What the runtime does, by kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Begin and finish a classification.
    Classification,
    /// Begin and finish a regression.
    Regression,
    /// Summarise a class over the samples.
    ClassSummary,
    /// Normalise a feature given as a float.
    FloatInput,
    /// Normalise a raw reading.
    WholeInput,
    /// A sample of a classification, whatever its network.
    ClassSample,
    /// A sample of a regression, whatever its network.
    ValueSample,
    /// Softmax and entropy of a class in a sample.
    Softmax,
    /// Multiply by a matrix, whatever its size.
    Matrix,
    /// An output of a matrix.
    MatrixOutput,
    /// An int8 product in a group of eight rows.
    EightRows,
    /// An int8 product in a group of four rows that no other makes eight.
    FourRows,
    /// An int8 product in a row that belongs to no group.
    OneRow,
    /// An int4 product in a group of eight rows.
    EightRows4,
    /// An int4 product in a row that belongs to no group.
    OneRow4,
    /// Up to sixteen inputs of a group of eight int4 rows, besides their products.
    Chunk4,
    /// Activate a hidden layer, whatever its width.
    Hidden,
    /// tanh of a unit.
    Tanh,
    /// ReLU of a unit.
    Relu,
    /// A projected value B̃x or Ũx brought to 16 bits.
    Projected,
    /// A projected value modulated by a latent code.
    Modulated,
    /// An output of low-rank factors.
    FactorOutput,
    /// A product of up to eight factors with an output.
    FactorProduct,
    /// A product of more of them.
    LongFactorProduct,
    /// An output of dense factors.
    DenseOutput,
    /// A projected value of dense factors, modulated and added.
    DenseFactor,
}

impl Operation {
    /// All kinds, in the order of [`Counts`].
    pub const ALL: [Self; 26] = [
        Self::Classification,
        Self::Regression,
        Self::ClassSummary,
        Self::FloatInput,
        Self::WholeInput,
        Self::ClassSample,
        Self::ValueSample,
        Self::Softmax,
        Self::Matrix,
        Self::MatrixOutput,
        Self::EightRows,
        Self::FourRows,
        Self::OneRow,
        Self::EightRows4,
        Self::OneRow4,
        Self::Chunk4,
        Self::Hidden,
        Self::Tanh,
        Self::Relu,
        Self::Projected,
        Self::Modulated,
        Self::FactorOutput,
        Self::FactorProduct,
        Self::LongFactorProduct,
        Self::DenseOutput,
        Self::DenseFactor,
    ];
}

/// How often each [`Operation`] happens.
pub type Counts = [usize; Operation::ALL.len()];

/// Inputs that int4 rows take at a time.
const CHUNK: usize = 16;
/// Rows of a group of int4 weights, and of two groups of int8 weights.
const ROWS: usize = 8;
/// Rows of a group of int8 weights.
const HALF_ROWS: usize = 4;
/// Most factors of a layer whose modulated values stay in registers.
const FEW_FACTORS: usize = 2 * INPUT_GROUP;

/// Operations of predictions with one network and decoder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Operations {
    /// A prediction by one pass of the mean network.
    pub pass: Counts,
    /// What all samples share.
    pub shared: Counts,
    /// Each sample.
    pub each: Counts,
}

/// Shape of an integer matrix.
#[derive(Clone, Copy)]
struct Matrix {
    inputs: usize,
    outputs: usize,
    bits: Bits,
}

/// A layer as the runtime runs it.
struct Layer {
    mean: Matrix,
    decoder: LayerDecoder,
    projection: Option<Matrix>,
    /// None of the last layer.
    activation: Option<Activation>,
}

impl Operations {
    /// Of predictions with `artifact`, fed with what it was exported for, with codes from `source`.
    pub fn of(artifact: &Artifact<'_>, source: CodeSource) -> Self {
        let layers = artifact.layers.iter().map(Layer::of).collect();
        let input = match artifact.inputs.normalisation {
            Normalisation::Float { .. } => Operation::FloatInput,
            Normalisation::Whole { .. } => Operation::WholeInput,
        };
        let mut operations = Self::of_layers(layers, input);
        if let (Some(trunk), CodeSource::LowDiscrepancy | CodeSource::Normal) =
            (&artifact.trunk, source)
        {
            let each = &mut operations.each;
            Matrix::of(&trunk.hidden).count(each);
            add(each, Operation::Hidden, 1);
            add(each, Operation::Tanh, trunk.hidden.outputs.into());
            Matrix::of(&trunk.output).count(each);
            add(each, Operation::Projected, trunk.output.outputs.into());
        }
        operations
    }

    /// Of predictions with a network that is to be exported with this decoder and precision, for raw
    /// readings if `whole` and else for floats, with stored codes; one output is a regression's.
    pub fn planned(
        architecture: &Architecture,
        structure: &[LayerDecoder],
        precision: &Precision,
        whole: bool,
    ) -> Self {
        let depth = architecture.depth();
        let decoders = structure.iter().zip(&precision.layers);
        let layers = architecture.layers().zip(decoders).enumerate();
        let layers = layers.map(|(index, (layer, (&decoder, &bits)))| {
            let matrix = |outputs, bits| Matrix { inputs: layer.inputs, outputs, bits };
            Layer {
                mean: matrix(layer.outputs, bits),
                decoder,
                projection: match decoder {
                    LayerDecoder::Frozen => None,
                    LayerDecoder::LowRank(rank) => Some(matrix(rank, precision.factors)),
                    LayerDecoder::Dense(count) => {
                        Some(matrix(count * layer.outputs, precision.factors))
                    }
                },
                activation: (index + 1 < depth).then_some(architecture.blocks[index].activation),
            }
        });
        let input = if whole { Operation::WholeInput } else { Operation::FloatInput };
        Self::of_layers(layers.collect(), input)
    }

    fn of_layers(layers: Vec<Layer>, input: Operation) -> Self {
        let first = layers.iter().position(|layer| layer.decoder.is_stochastic());
        let first = first.unwrap_or(layers.len());
        let ends = layers.first().zip(layers.last());
        let (inputs, outputs) = ends.map_or((0, 0), |(a, b)| (a.mean.inputs, b.mean.outputs));
        let (mut once, mut sample) = (Counts::default(), Counts::default());
        add(&mut once, input, inputs);
        if outputs > 1 {
            add(&mut once, Operation::Classification, 1);
            add(&mut once, Operation::ClassSummary, outputs);
            add(&mut sample, Operation::ClassSample, 1);
            add(&mut sample, Operation::Softmax, outputs);
        } else {
            add(&mut once, Operation::Regression, 1);
            add(&mut sample, Operation::ValueSample, 1);
        }
        let mut pass = std::array::from_fn(|kind| once[kind] + sample[kind]);
        let (mut shared, mut each) = (once, sample);
        for (index, layer) in layers.iter().enumerate() {
            let products = if index <= first { &mut shared } else { &mut each };
            layer.mean.count(products);
            if let Some(projection) = layer.projection {
                projection.count(products);
                add(products, Operation::Projected, projection.outputs);
            }
            layer.mean.count(&mut pass);
            layer.count_activation(&mut pass);
            layer.count_activation(if index < first { &mut shared } else { &mut each });
            layer.count_factors(&mut each);
        }
        Self { pass, shared, each }
    }

    /// Of a prediction by `samples` samples.
    pub fn of_samples(&self, samples: usize) -> Counts {
        std::array::from_fn(|kind| self.shared[kind] + samples * self.each[kind])
    }
}

fn add(counts: &mut Counts, operation: Operation, times: usize) {
    counts[operation as usize] += times;
}

impl Matrix {
    fn of(dense: &Dense<'_>) -> Self {
        Self { inputs: dense.inputs.into(), outputs: dense.outputs.into(), bits: dense.bits }
    }

    /// Counts a multiplication by the matrix, as the kernels go through its rows.
    fn count(self, counts: &mut Counts) {
        let Self { inputs, outputs, bits } = self;
        let (eights, rest) = (outputs / ROWS, outputs % ROWS);
        add(counts, Operation::Matrix, 1);
        add(counts, Operation::MatrixOutput, outputs);
        match bits {
            Bits::Eight => {
                let (four, one) = (rest / HALF_ROWS * HALF_ROWS, rest % HALF_ROWS);
                add(counts, Operation::EightRows, eights * ROWS * padded(inputs));
                add(counts, Operation::FourRows, four * padded(inputs));
                add(counts, Operation::OneRow, one * padded(inputs));
            }
            Bits::Four => {
                add(counts, Operation::EightRows4, eights * ROWS * inputs);
                add(counts, Operation::OneRow4, rest * inputs);
                add(counts, Operation::Chunk4, eights * inputs.div_ceil(CHUNK));
            }
        }
    }
}

impl Layer {
    fn of(layer: &fiberwalk_formats::Layer<'_>) -> Self {
        Self {
            mean: Matrix::of(&layer.mean),
            decoder: match layer.factors {
                Factors::Frozen => LayerDecoder::Frozen,
                Factors::LowRank(_) => LayerDecoder::LowRank(layer.factors.modulations()),
                Factors::Dense(_) => LayerDecoder::Dense(layer.factors.modulations()),
            },
            projection: layer.factors.projection().map(|(projection, _)| Matrix::of(projection)),
            activation: match layer.activation {
                QuantisedActivation::Tanh(_) => Some(Activation::Tanh),
                QuantisedActivation::Relu(_) => Some(Activation::Relu),
                QuantisedActivation::Logits(_) | QuantisedActivation::Value(_) => None,
            },
        }
    }

    fn count_activation(&self, counts: &mut Counts) {
        let kind = match self.activation {
            None => return,
            Some(Activation::Tanh | Activation::HardSwish) => Operation::Tanh,
            Some(Activation::Identity | Activation::Relu | Activation::Relu6) => Operation::Relu,
        };
        add(counts, Operation::Hidden, 1);
        add(counts, kind, self.mean.outputs);
    }

    /// What the latent code adds to the layer's sums.
    fn count_factors(&self, counts: &mut Counts) {
        let outputs = self.mean.outputs;
        match self.decoder {
            LayerDecoder::Frozen => {}
            LayerDecoder::LowRank(rank) => {
                let product = if rank <= FEW_FACTORS {
                    Operation::FactorProduct
                } else {
                    Operation::LongFactorProduct
                };
                add(counts, Operation::Modulated, rank);
                add(counts, Operation::FactorOutput, outputs);
                add(counts, product, padded(rank) * outputs);
            }
            LayerDecoder::Dense(count) => {
                add(counts, Operation::DenseOutput, outputs);
                add(counts, Operation::DenseFactor, count * outputs);
            }
        }
    }
}
