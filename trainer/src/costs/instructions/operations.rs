//! Operations of the runtime in a prediction, counted by kind.

use fiberwalk_formats::{
    Activation as QuantisedActivation, Artifact, Bits, CodeSource, Dense, Factors, INPUT_GROUP,
    Normalisation, Step, padded,
};

use super::super::footprint::convolutions;
use crate::decoder::LayerDecoder;
use crate::network::{Activation, Architecture, PlacedBlock, Window};
use crate::quantise::Precision;

/// A kind of operation of the runtime.
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
    /// A position of a convolution, besides what follows.
    Position,
    /// A byte under the window of a convolution.
    PatchByte,
    /// A product at a position, in groups of four rows.
    WindowProduct,
}

impl Operation {
    /// All kinds, in the order of [`Counts`].
    pub const ALL: [Self; 29] = [
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
        Self::Position,
        Self::PatchByte,
        Self::WindowProduct,
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
    /// Operations that all samples share.
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
    /// Additional operations of a convolution; none of a dense layer.
    convolution: Option<Convolution>,
    mean: Matrix,
    decoder: LayerDecoder,
    projection: Option<Matrix>,
    /// None of the last layer.
    activation: Option<Activation>,
}

impl Operations {
    /// Counts those of predictions with `artifact`, fed with what it was exported for, with codes from `source`.
    pub fn of(artifact: &Artifact<'_>, source: CodeSource) -> Self {
        let layers = artifact.layers.iter().zip(convolutions(artifact));
        let layers = layers.map(|(layer, convolution)| Layer::of(layer, convolution)).collect();
        let input = match artifact.inputs.normalisation {
            Normalisation::Float { .. } => Operation::FloatInput,
            Normalisation::Whole { .. } => Operation::WholeInput,
        };
        let mut operations = Self::of_layers(layers, artifact.input_len(), input);
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

    /// Counts those of predictions with a network that is to be exported with this decoder and precision, for raw
    /// readings if `whole` and else for floats, with stored codes; one output is a regression's.
    pub fn planned(
        architecture: &Architecture,
        structure: &[LayerDecoder],
        precision: &Precision,
        whole: bool,
    ) -> Self {
        let depth = architecture.depth();
        let decoders = structure.iter().zip(&precision.layers);
        let layers = architecture.placed_blocks().into_iter().zip(decoders).enumerate();
        let layers = layers.map(|(index, (placed, (&decoder, &bits)))| {
            let layer = placed.layer;
            let matrix = |outputs, bits| Matrix { inputs: layer.inputs, outputs, bits };
            Layer {
                convolution: Convolution::planned(placed),
                mean: matrix(layer.outputs, bits),
                decoder,
                projection: match decoder {
                    LayerDecoder::Frozen | LayerDecoder::Members(_) => None,
                    LayerDecoder::LowRank(rank) => Some(matrix(rank, precision.factors)),
                    LayerDecoder::Dense(count) => {
                        Some(matrix(count * layer.outputs, precision.factors))
                    }
                },
                activation: (index + 1 < depth).then_some(placed.block.activation),
            }
        });
        let input = if whole { Operation::WholeInput } else { Operation::FloatInput };
        Self::of_layers(layers.collect(), architecture.inputs(), input)
    }

    fn of_layers(layers: Vec<Layer>, inputs: usize, input: Operation) -> Self {
        let first = layers.iter().position(|layer| layer.decoder.is_stochastic());
        let first = first.unwrap_or(layers.len());
        let outputs = layers.last().map_or(0, |layer| layer.mean.outputs);
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
            // Of a first stochastic convolution all but its input is computed anew for every sample, as a layer of a
            // mixture is.
            let members = matches!(layer.decoder, LayerDecoder::Members(_));
            let is_shared =
                index < first || index == first && layer.convolution.is_none() && !members;
            let products = if is_shared { &mut shared } else { &mut each };
            layer.count_products(products);
            if let Some(projection) = layer.projection {
                layer.at_every_position(products, |counts| {
                    projection.count(counts);
                    add(counts, Operation::Projected, projection.outputs);
                });
            }
            layer.count_products(&mut pass);
            layer.count_activation(&mut pass);
            layer.count_activation(if index < first { &mut shared } else { &mut each });
            layer.at_every_position(&mut each, |counts| layer.count_factors(counts));
        }
        Self { pass, shared, each }
    }

    /// Counts those of a prediction by `samples` samples.
    pub fn of_samples(&self, samples: usize) -> Counts {
        std::array::from_fn(|kind| self.shared[kind] + samples * self.each[kind])
    }
}

fn add(counts: &mut Counts, operation: Operation, times: usize) {
    counts[operation as usize] += times;
}

/// How often the parts of a convolution run.
#[derive(Clone, Copy)]
struct Convolution {
    /// Positions at which the weights are multiplied.
    positions: usize,
    /// Bytes under the window.
    patch: usize,
}

impl Convolution {
    fn of(step: Step<'_, '_>) -> Option<Self> {
        let patch = step.block.window?.values(step.input.channels);
        Some(Self { positions: step.positions(), patch })
    }

    fn planned(placed: PlacedBlock<'_>) -> Option<Self> {
        let Window { size, .. } = placed.block.window?;
        let positions = match placed.block.pool {
            None => placed.sums.positions(),
            Some(pool) => placed.output.positions() * pool.size[0] * pool.size[1],
        };
        Some(Self { positions, patch: size[0] * size[1] * placed.input.channels })
    }
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
    fn of(layer: &fiberwalk_formats::Layer<'_>, convolution: Option<Step<'_, '_>>) -> Self {
        Self {
            convolution: convolution.and_then(Convolution::of),
            mean: Matrix::of(&layer.mean),
            decoder: match layer.factors {
                Factors::Frozen => LayerDecoder::Frozen,
                Factors::LowRank(_) => LayerDecoder::LowRank(layer.factors.modulations()),
                Factors::Dense(_) => LayerDecoder::Dense(layer.factors.modulations()),
                Factors::Members(members) => LayerDecoder::Members(1 + usize::from(members.others)),
            },
            projection: layer.factors.projection().map(|(projection, _)| Matrix::of(projection)),
            activation: match layer.activation {
                QuantisedActivation::Tanh(_) => Some(Activation::Tanh),
                QuantisedActivation::Relu(_) | QuantisedActivation::Linear(_) => {
                    Some(Activation::Relu)
                }
                QuantisedActivation::HardSwish(_) => Some(Activation::HardSwish),
                QuantisedActivation::Logits(_) | QuantisedActivation::Value(_) => None,
            },
        }
    }

    /// Counts at every position of a convolution what `count` does at one.
    fn at_every_position(&self, counts: &mut Counts, count: impl Fn(&mut Counts)) {
        let positions = self.convolution.map_or(1, |convolution| convolution.positions);
        let mut own = Counts::default();
        count(&mut own);
        counts.iter_mut().zip(own).for_each(|(sum, own)| *sum += positions * own);
    }

    /// Counts the products with the mean weights, and what a convolution does beside them.
    fn count_products(&self, counts: &mut Counts) {
        let Some(Convolution { positions, patch }) = self.convolution else {
            return self.mean.count(counts);
        };
        let Matrix { inputs, outputs, .. } = self.mean;
        let rows = outputs.next_multiple_of(HALF_ROWS);
        add(counts, Operation::Position, positions);
        add(counts, Operation::PatchByte, positions * patch);
        add(counts, Operation::WindowProduct, positions * rows * padded(inputs));
    }

    fn count_activation(&self, counts: &mut Counts) {
        let kind = match self.activation {
            None => return,
            Some(Activation::Tanh | Activation::HardSwish) => Operation::Tanh,
            Some(Activation::Identity | Activation::Relu | Activation::Relu6) => Operation::Relu,
        };
        // A convolution's are in the price of its positions.
        if self.convolution.is_none() {
            add(counts, Operation::Hidden, 1);
            add(counts, kind, self.mean.outputs);
        }
    }

    /// Counts what the latent code adds to the layer's sums.
    fn count_factors(&self, counts: &mut Counts) {
        let outputs = self.mean.outputs;
        match self.decoder {
            LayerDecoder::Frozen | LayerDecoder::Members(_) => {}
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
