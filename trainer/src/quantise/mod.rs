//! Post-training quantisation: decoder and network in integers, ready for the artifact.
//!
//! Notation: a real value is its integer times its unit. Accumulators of output o count in units
//! U_o = (weight unit of row o) · (input unit); the decoder's factors are brought to the same
//! units, so that the runtime only adds.

mod geometry;
mod matrix;

use rayon::prelude::*;

use fiberwalk_formats::{
    Activation as QuantisedActivation, Bits, DenseFactors, Factors, Geometry, HARD_SWISH_UNITS,
    HardSwish, I8s, I16s, INPUT_CLIP, INPUT_UNITS, LATENT_UNITS, LOGIT_BITS, Layer, LowRank,
    MAX_LEFT_SHIFT, Members, Shifts, TANH_UNITS, Trunk, U8s, pack,
};

use crate::decoder::{DecoderShape, LayerDecoder, modulation_len};
use crate::network::{Activation, Batch, LayerShape, Tape};
use geometry::{QuantisedGeometry, QuantisedSkip};
use matrix::{INT16, Input, QuantisedDense, QuantisedRescale, largest_integer, round, row_unit};

/// Largest magnitude of a modulation or modulated projection.
const INT8: f32 = 127.0;
/// Largest byte.
const BYTE: f32 = 255.0;
/// Ranges measured on samples are widened by this factor; what is beyond saturates.
const HEADROOM: f32 = 1.1;
/// Logits are given more room: those of foreign inputs go far.
const LOGIT_HEADROOM: f32 = 2.0;

/// Bits of the weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Precision {
    /// Bits of every layer's mean weights.
    pub layers: Vec<Bits>,
    /// Bits of the decoder's projections B̃ and dense factors Ũ.
    pub factors: Bits,
}

impl Precision {
    /// int8 everywhere, for a network of `depth` layers.
    pub fn eight(depth: usize) -> Self {
        Self { layers: vec![Bits::Eight; depth], factors: Bits::Eight }
    }
}

enum QuantisedFactors {
    Frozen,
    LowRank {
        projection: QuantisedDense,
        a: Vec<u8>,
        shifts: Shifts,
    },
    Dense {
        count: usize,
        projection: QuantisedDense,
        shifts: Shifts,
    },
    /// The layer's mean and scaling have the rows of all members, one member under another.
    Members(usize),
}

enum QuantisedOutput {
    Tanh(QuantisedRescale),
    Relu(QuantisedRescale),
    Linear(QuantisedRescale),
    /// Rescaling to r, rescaling from h to the byte, and the byte of 0.
    HardSwish(QuantisedRescale, QuantisedRescale, u8),
    Logits(QuantisedRescale),
    Value(f32),
}

struct QuantisedLayer {
    mean: QuantisedDense,
    factors: QuantisedFactors,
    output: QuantisedOutput,
}

/// A network with its decoder, in integers.
pub struct Quantised {
    geometry: Option<QuantisedGeometry>,
    layers: Vec<QuantisedLayer>,
    trunk: Option<QuantisedTrunk>,
    stored: Vec<u8>,
}

/// The trunk of a normal latent code.
struct QuantisedTrunk {
    hidden: QuantisedDense,
    hidden_rescale: QuantisedRescale,
    output: QuantisedDense,
    output_rescale: QuantisedRescale,
}

impl QuantisedTrunk {
    /// Quantises the trunk of `source` to modulations that `gains` bring into their integers; none of a mixture, whose
    /// codes are all stored.
    fn new(source: &Unquantised, gains: &[f32]) -> Option<Self> {
        let shape = source.shape;
        let trunk = shape.trunk()?;
        let theta = &source.decoder[shape.trunk_offset()..];
        let dense = |layer: LayerShape, input: Input| {
            let rows = augmented(&theta[layer.weights()], &theta[layer.biases()], layer);
            QuantisedDense::per_row(&rows, layer.inputs, input, Bits::Eight)
        };
        let mut layers = trunk.layers();
        let (first, second) = (layers.next(), layers.next());
        let (Some(first), Some(second)) = (first, second) else {
            unreachable!("the trunk has two layers")
        };
        let hidden = dense(first, Input::signed(1.0 / LATENT_UNITS));
        let output = dense(second, Input::signed(1.0 / INT8));
        let to_tanh: Vec<f32> = hidden.units.iter().map(|unit| unit * TANH_UNITS).collect();
        let to_modulation: Vec<f32> =
            output.units.iter().zip(gains).map(|(unit, gain)| unit * gain).collect();
        let hidden_rescale = QuantisedRescale::new(&to_tanh, BYTE + 1.0);
        let output_rescale = QuantisedRescale::new(&to_modulation, INT8 + 1.0);
        Some(Self {
            hidden: hidden.rounded(hidden_rescale.before()),
            output: output.rounded(output_rescale.before()),
            hidden_rescale,
            output_rescale,
        })
    }
}

/// A decoder to quantise, and what its ranges are measured on.
pub struct Unquantised<'a> {
    /// Shapes.
    pub shape: &'a DecoderShape,
    /// Decoder parameters in the shape's layout.
    pub decoder: &'a [f32],
    /// Whether the outputs are logits; else one is the standardised target.
    pub logits: bool,
    /// Modulations of the codes to store, `[count][modulation_len]`.
    pub stored: &'a [Vec<f32>],
    /// Modulations of random codes, for ranges; all of a mixture.
    pub sampled: &'a [Vec<f32>],
    /// Inputs, for ranges: training rows and others, standardised.
    pub batch: &'a Batch,
}

/// Largest magnitudes met while sampling.
pub struct Ranges {
    /// Largest magnitude of every layer's output, after the activation.
    activations: Vec<f32>,
    /// Largest magnitudes of every layer's projection B̃x, `[rank]`; empty where the layer has none.
    projections: Vec<Vec<f32>>,
}

impl Quantised {
    /// Quantises `source`, whose ranges were measured, to `precision`.
    pub fn new(source: &Unquantised, ranges: &Ranges, precision: &Precision) -> Self {
        let shape = source.shape;
        let modulations = source.largest_modulations();
        let mut gains = vec![0.0; modulations.len()];
        let places = shape.factors();
        let depth = shape.architecture.depth();
        // What every layer reads; the input of the first one comes first.
        let mut inputs = vec![Input::signed(INPUT_CLIP / INPUT_UNITS)];
        let (mut layers, mut skips) = (Vec::with_capacity(depth), Vec::with_capacity(depth));
        let blocks = shape.architecture.blocks.iter();
        for (index, (layer, block)) in shape.architecture.layers().zip(blocks).enumerate() {
            let theta = &source.decoder[..shape.architecture.parameters()];
            let mut rows = augmented(&theta[layer.weights()], &theta[layer.biases()], layer);
            let place = places.iter().find(|place| place.layer == layer);
            let members = place.and_then(|place| match place.decoder {
                LayerDecoder::Members(count) => Some(count),
                _ => None,
            });
            if let (Some(place), Some(_)) = (place, members) {
                // What is added to the first member makes another one.
                let first = rows.clone();
                let added = &source.decoder[place.offset..place.offset + place.size()];
                rows.extend(added.iter().zip(first.iter().cycle()).map(|(added, own)| own + added));
            }
            let input = inputs[index];
            let skipped = block.skip.map(|skip| (skip, inputs[skip + 1]));
            let least = skipped.map_or(0.0, |(_, added)| QuantisedSkip::least_unit(added));
            let grouped = block.is_grouped();
            let bits = if grouped { Bits::Eight } else { precision.layers[index] };
            let mean = match members {
                // Members share the unit of a value, which has no scaling.
                Some(_) if index + 1 == depth && !source.logits => {
                    let each = rows.chunks_exact(layer.inputs + 1);
                    let units = each.map(|row| row_unit(row, input.unit, bits));
                    let unit = units.fold(f32::MIN_POSITIVE, f32::max);
                    let units = vec![unit; rows.len() / (layer.inputs + 1)];
                    QuantisedDense::new(&rows, layer.inputs, input, bits, units)
                }
                _ => QuantisedDense::balanced(&rows, layer.inputs, input, bits, least),
            };
            let mean = match members {
                Some(members) => mean.split(members),
                None if grouped => mean.grouped(),
                None => mean,
            };
            let factors = match (place, members) {
                (None, _) => QuantisedFactors::Frozen,
                (_, Some(members)) => QuantisedFactors::Members(members),
                (Some(place), None) => {
                    let span = place.modulation..place.modulation + place.decoder.modulations();
                    let factors = FactorSource {
                        values: &source.decoder[place.offset..place.offset + place.size()],
                        layer,
                        units: &mean.units,
                        input,
                        bits: precision.factors,
                        modulations: &modulations[span.clone()],
                        projections: &ranges.projections[index],
                    };
                    match place.decoder {
                        LayerDecoder::Dense(_) => factors.dense(&mut gains[span]),
                        _ => factors.low_rank(&mut gains[span]),
                    }
                }
            };
            let scaled =
                |scale: f32| mean.units.iter().map(|unit| unit * scale).collect::<Vec<_>>();
            let reach = ranges.activations[index].max(f32::MIN_POSITIVE);
            let output = if index + 1 == depth {
                let per_nat = std::f32::consts::LOG2_E * (1 << LOGIT_BITS) as f32;
                if source.logits {
                    let reach = LOGIT_HEADROOM * reach * per_nat;
                    QuantisedOutput::Logits(QuantisedRescale::new(&scaled(per_nat), reach))
                } else {
                    QuantisedOutput::Value(mean.units[0])
                }
            } else {
                let (output, next) = match block.activation {
                    Activation::Tanh => {
                        let rescale = QuantisedRescale::new(&scaled(TANH_UNITS), BYTE + 1.0);
                        (QuantisedOutput::Tanh(rescale), Input::signed(1.0 / INT8))
                    }
                    // Of relu6 no larger value than 6 was met.
                    Activation::Relu | Activation::Relu6 => {
                        let unit = reach / BYTE;
                        let rescale = QuantisedRescale::new(&scaled(1.0 / unit), BYTE + 1.0);
                        (QuantisedOutput::Relu(rescale), Input::unsigned(unit))
                    }
                    Activation::Identity => {
                        let unit = reach / INT8;
                        let rescale = QuantisedRescale::new(&scaled(1.0 / unit), BYTE + 1.0);
                        (QuantisedOutput::Linear(rescale), Input::signed(unit))
                    }
                    Activation::HardSwish => hard_swish(&scaled(HARD_SWISH_UNITS as f32), reach),
                };
                inputs.push(next);
                output
            };
            let mean = mean.rounded(output.before());
            skips.push(skipped.map(|(skip, added)| QuantisedSkip::new(skip, added, &mean.units)));
            layers.push(QuantisedLayer { mean, factors, output });
        }
        let mut stored = Vec::new();
        for modulation in source.stored {
            for place in &places {
                let span = place.modulation..place.modulation + place.decoder.modulations();
                let own = &modulation[span.clone()];
                match place.decoder {
                    // The first member adds nothing to itself.
                    LayerDecoder::Members(_) => {
                        stored.push(own.iter().position(|&s| s > 0.5).map_or(0, |at| at as u8 + 1));
                    }
                    _ => {
                        let each = own.iter().zip(&gains[span]);
                        stored.extend(each.map(|(&s, &gain)| round(s * gain, Bits::Eight) as u8));
                    }
                }
            }
        }
        Self {
            geometry: QuantisedGeometry::new(&shape.architecture, &skips),
            stored,
            layers,
            trunk: QuantisedTrunk::new(source, &gains),
        }
    }

    /// The layers as the artifact holds them.
    pub fn layers(&self) -> impl Iterator<Item = Layer<'_>> {
        self.layers.iter().map(QuantisedLayer::view)
    }

    /// The maps between the layers; none in a network of dense layers.
    pub fn geometry(&self) -> Option<Geometry<'_>> {
        self.geometry.as_ref().map(QuantisedGeometry::view)
    }

    /// The trunk as the artifact holds it; a mixture has none.
    pub fn trunk(&self) -> Option<Trunk<'_>> {
        self.trunk.as_ref().map(|trunk| Trunk {
            hidden: trunk.hidden.view(),
            hidden_rescale: trunk.hidden_rescale.view(),
            output: trunk.output.view(),
            output_rescale: trunk.output_rescale.view(),
        })
    }

    /// Modulations of the stored codes.
    pub fn stored(&self) -> I8s<'_> {
        I8s::new(&self.stored)
    }
}

impl QuantisedLayer {
    fn view(&self) -> Layer<'_> {
        let activation = self.output.view();
        let (mean, factors) = match &self.factors {
            QuantisedFactors::Frozen => (self.mean.view(), Factors::Frozen),
            QuantisedFactors::LowRank { projection, a, shifts } => {
                let (projection, a, shifts) = (projection.view(), U8s::new(a), *shifts);
                (self.mean.view(), Factors::LowRank(LowRank { projection, a, shifts }))
            }
            QuantisedFactors::Dense { count, projection, shifts } => {
                let (count, projection, shifts) = (*count as u8, projection.view(), *shifts);
                (self.mean.view(), Factors::Dense(DenseFactors { count, projection, shifts }))
            }
            QuantisedFactors::Members(count) => {
                let (mean, weights, bias) = self.mean.view_split(*count);
                let all = activation.rescale().map_or(I16s::default(), |all| all.multiplier);
                let (first, multiplier) = all.split_at(mean.outputs.into());
                let others = *count as u8 - 1;
                let factors = Factors::Members(Members { others, weights, bias, multiplier });
                return Layer { mean, factors, activation: activation.with_multiplier(first) };
            }
        };
        Layer { mean, factors, activation }
    }
}

impl QuantisedOutput {
    fn view(&self) -> QuantisedActivation<'_> {
        match self {
            Self::Tanh(rescale) => QuantisedActivation::Tanh(rescale.view()),
            Self::Relu(rescale) => QuantisedActivation::Relu(rescale.view()),
            Self::Linear(rescale) => QuantisedActivation::Linear(rescale.view()),
            Self::HardSwish(rescale, scale, zero) => {
                let own = scale.view();
                QuantisedActivation::HardSwish(HardSwish {
                    rescale: rescale.view(),
                    before: own.before,
                    multiplier: own.multiplier.get(0).unwrap_or(0),
                    after: own.after,
                    zero: *zero,
                })
            }
            Self::Logits(rescale) => QuantisedActivation::Logits(rescale.view()),
            Self::Value(unit) => QuantisedActivation::Value(*unit),
        }
    }

    /// The shift of accumulators before anything else.
    fn before(&self) -> u8 {
        match self {
            Self::Tanh(rescale)
            | Self::Relu(rescale)
            | Self::Linear(rescale)
            | Self::HardSwish(rescale, ..)
            | Self::Logits(rescale) => rescale.before(),
            Self::Value(_) => 0,
        }
    }
}

/// The scalings of a hard-swish whose largest value is `reach`, and the bytes it gives: from accumulators
/// to r by `to_r`, from h = r · clamp(r + 3, 0, 6) (r in units) to x · relu6(x + 3) / 6.
fn hard_swish(to_r: &[f32], reach: f32) -> (QuantisedOutput, Input) {
    /// The least value, at −1.5.
    const LEAST: f32 = 0.375;
    let unit = (reach + LEAST) / BYTE;
    let zero = (LEAST / unit).round().min(BYTE);
    let per_h = 1.0 / (6.0 * (HARD_SWISH_UNITS * HARD_SWISH_UNITS) as f32 * unit);
    let output = QuantisedOutput::HardSwish(
        QuantisedRescale::new(to_r, HARD_SWISH_UNITS as f32 * reach.max(3.0)),
        QuantisedRescale::new(&[per_h], BYTE + 1.0),
        zero as u8,
    );
    (output, Input { unit, zero: zero as u8 })
}

impl Ranges {
    /// Measures on the source's inputs under its random codes.
    pub fn measure(source: &Unquantised) -> Self {
        let architecture = &source.shape.architecture;
        let widest = |a: Vec<f32>, b: Vec<f32>| -> Vec<f32> {
            a.iter().zip(&b).map(|(&a, &b)| a.max(b)).collect()
        };
        let depth = architecture.depth();
        let none = || {
            let layers = source.low_rank().zip(architecture.layers());
            let projections =
                layers.map(|(rows, layer)| vec![0.0f32; rows.len() / (layer.inputs + 1)]);
            (vec![0.0f32; depth], projections.collect::<Vec<_>>())
        };
        let merge = |a: (Vec<f32>, Vec<Vec<f32>>), b: (Vec<f32>, Vec<Vec<f32>>)| {
            let projections = a.1.into_iter().zip(b.1).map(|(a, b)| widest(a, b));
            (widest(a.0, b.0), projections.collect())
        };
        let (activations, projections) = source
            .sampled
            .par_iter()
            .map(|modulation| {
                let theta = source.shape.decode(source.decoder, modulation);
                let mut tape = Tape::default();
                let mut ranges = none();
                for tile in source.batch.tiles(architecture) {
                    tape.forward(architecture, &theta, source.batch, tile);
                    let projections = source.low_rank().enumerate().map(|(index, rows)| {
                        tape.largest_products(architecture, index, rows, source.batch)
                    });
                    let projections = projections.collect();
                    ranges = merge(ranges, (tape.largest(architecture), projections));
                }
                ranges
            })
            .reduce(none, merge);
        Self { activations, projections }
    }
}

impl Unquantised<'_> {
    /// Largest magnitude of every modulation value under all codes.
    fn largest_modulations(&self) -> Vec<f32> {
        let all = self.stored.iter().chain(self.sampled);
        let zero = vec![f32::MIN_POSITIVE; modulation_len(&self.shape.structure)];
        all.fold(zero, |largest, modulation| {
            largest.iter().zip(modulation).map(|(&l, m)| l.max(HEADROOM * m.abs())).collect()
        })
    }

    /// B̃ of every layer, `[rank, inputs + 1]`; empty where the layer is not low-rank.
    fn low_rank(&self) -> impl Iterator<Item = &[f32]> {
        let places = self.shape.factors();
        self.shape.architecture.layers().map(move |layer| {
            let place = places.iter().find(|place| place.layer == layer);
            place.map_or(&[][..], |place| match place.decoder {
                LayerDecoder::LowRank(rank) => {
                    let values = &self.decoder[place.offset..place.offset + place.size()];
                    &values[layer.outputs * rank..]
                }
                LayerDecoder::Frozen | LayerDecoder::Dense(_) | LayerDecoder::Members(_) => &[],
            })
        })
    }
}

/// W̃ = [W b] row by row.
fn augmented(weights: &[f32], biases: &[f32], layer: LayerShape) -> Vec<f32> {
    let rows = weights.chunks_exact(layer.inputs).zip(biases);
    rows.flat_map(|(row, &bias)| row.iter().copied().chain([bias])).collect()
}

/// The factors of one layer, and what they act on.
struct FactorSource<'a> {
    /// A then B̃, or Ũ.
    values: &'a [f32],
    layer: LayerShape,
    /// Accumulator units of the layer's outputs.
    units: &'a [f32],
    input: Input,
    bits: Bits,
    /// Largest magnitudes of the modulations.
    modulations: &'a [f32],
    /// Largest magnitudes of the low-rank projection.
    projections: &'a [f32],
}

impl FactorSource<'_> {
    /// Low-rank factors. Writes the gain of every modulation: integer = real · gain.
    fn low_rank(&self, gains: &mut [f32]) -> QuantisedFactors {
        let rank = gains.len();
        let (a, b) = self.values.split_at(self.layer.outputs * rank);
        let projection = QuantisedDense::per_row(b, self.layer.inputs, self.input, self.bits);
        let projection_shift = bits_over(projection.bound, INT16);
        // A in accumulator units of its output, one scale a column; what the scale takes off the
        // column is left to the modulated projection v.
        let entry = |output: usize, k: usize| a[output * rank + k] / self.units[output];
        let mut scales: Vec<f32> = (0..rank)
            .map(|k| {
                let column = (0..self.layer.outputs).map(|output| entry(output, k).abs());
                column.fold(f32::MIN_POSITIVE, f32::max) / largest_integer(Bits::Eight)
            })
            .collect();
        // Largest v of every column, in units of its scale.
        let reach = |scales: &[f32]| {
            let ranges = self.modulations.iter().zip(self.projections).zip(scales);
            ranges.map(|((s, p), scale)| s * p * scale).fold(f32::MIN_POSITIVE, f32::max)
        };
        let sum = (INT8 / reach(&scales)).log2().floor();
        let sum = sum.clamp(-(MAX_LEFT_SHIFT as f32), 31.0);
        // Beyond the largest left shift: coarser columns.
        let excess = reach(&scales) * sum.exp2() / INT8;
        if excess > 1.0 {
            scales.iter_mut().for_each(|scale| *scale /= excess);
        }
        let weights: Vec<i8> = (0..self.layer.outputs)
            .flat_map(|output| {
                let column = scales.iter().enumerate();
                column.map(move |(k, scale)| round(entry(output, k) / scale, Bits::Eight))
            })
            .collect();
        let mut packed = vec![0; Bits::Eight.len(rank, self.layer.outputs)];
        pack(Bits::Eight, rank, &weights, &mut packed);
        // integer v = real v · scale · 2^sum, from 16-bit projections and 8-bit modulations.
        let exact: Vec<f32> = projection
            .units
            .iter()
            .zip(&scales)
            .map(|(unit, scale)| unit * scale * (f32::from(projection_shift) + sum).exp2())
            .collect();
        let modulation = modulation_shift(&exact, self.modulations, gains);
        let shifts = Shifts { projection: projection_shift, modulation, sum: sum as i8 };
        QuantisedFactors::LowRank {
            projection: projection.rounded(shifts.projection),
            a: packed,
            shifts,
        }
    }

    /// Dense factors. Writes the gain of every modulation.
    fn dense(&self, gains: &mut [f32]) -> QuantisedFactors {
        let count = gains.len();
        let width = self.layer.inputs + 1;
        // Rows in accumulator units of their output; one scale a matrix moves into the gain.
        let in_units: Vec<f32> = self
            .values
            .chunks_exact(width)
            .zip(self.units.iter().cycle())
            .flat_map(|(row, unit)| row.iter().map(move |value| value / unit))
            .collect();
        let scales: Vec<f32> = in_units
            .chunks_exact(self.layer.outputs * width)
            .map(|matrix| {
                let rows = matrix.chunks_exact(width);
                let units = rows.map(|row| row_unit(row, self.input.unit, self.bits));
                units.fold(f32::MIN_POSITIVE, f32::max)
            })
            .collect();
        let each = scales.iter().flat_map(|&scale| std::iter::repeat_n(scale, self.layer.outputs));
        let (inputs, units) = (self.layer.inputs, each.collect());
        let projection = QuantisedDense::new(&in_units, inputs, self.input, self.bits, units);
        let projection_shift = bits_over(projection.bound, INT16);
        // Largest product, in units of the layer's accumulators.
        let products = scales.iter().zip(self.modulations);
        let product = products.map(|(s, m)| s * m * projection.bound).fold(0.0, f32::max);
        let sum = (INT16 / product.max(f32::MIN_POSITIVE)).log2().floor().clamp(0.0, 15.0);
        let shift = (f32::from(projection_shift) + sum).exp2();
        let exact: Vec<f32> = scales.iter().map(|scale| scale * shift).collect();
        let modulation = modulation_shift(&exact, self.modulations, gains);
        let shifts = Shifts { projection: projection_shift, modulation, sum: sum as i8 };
        let projection = projection.rounded(shifts.projection);
        QuantisedFactors::Dense { count, projection, shifts }
    }
}

/// Right shift that brings `bound` within `limit`.
fn bits_over(bound: f32, limit: f32) -> u8 {
    (bound / limit).max(f32::MIN_POSITIVE).log2().ceil().clamp(0.0, 31.0) as u8
}

/// The shift after the modulation, and the gains that use most of its 8 bits: `exact` are the gains
/// without a shift, `modulations` the largest magnitudes.
fn modulation_shift(exact: &[f32], modulations: &[f32], gains: &mut [f32]) -> u8 {
    let products = exact.iter().zip(modulations).map(|(gain, m)| gain * m);
    let reach = products.fold(f32::MIN_POSITIVE, f32::max);
    let shift = (INT8 / reach).log2().floor().clamp(1.0, 31.0);
    for (own, exact) in gains.iter_mut().zip(exact) {
        *own = exact * shift.exp2();
    }
    shift as u8
}

#[cfg(test)]
mod tests {
    use fiberwalk_runtime::{Model, Prediction, Stored};
    use rand_distr::{Distribution, StandardNormal};

    use super::*;
    use crate::data::{Layout, Schema, Series};
    use crate::decoder::draw_modulations;
    use crate::export::file::DecoderExport;
    use crate::network::{Architecture, LayerSpec, Shape, outputs};
    use crate::random::{Purpose, stream};
    use crate::task::{AnyTask, Calibration, NoiseStd, Regression, Thresholds};

    /// Distance of the integer regressor from the float one, one stored code at a time.
    fn relative_error(
        architecture: Architecture,
        structure: Vec<LayerDecoder>,
        precision: Precision,
    ) -> f64 {
        let features = architecture.inputs();
        let shape = DecoderShape { architecture, structure, latent_dim: 3 };
        let mut rng = stream(1, Purpose::Decoder, 0);
        let theta = shape.architecture.initialise(&mut rng);
        let mut starts = vec![theta];
        let mut others = stream(1, Purpose::Decoder, 1);
        starts.extend((1..4).map(|_| shape.architecture.initialise(&mut others)));
        let decoder = shape.initialise(&starts, &mut rng);
        let x: Vec<f32> = (0..features * 200).map(|_| StandardNormal.sample(&mut rng)).collect();
        let batch = Batch::from_rows(&x, features);
        let sampled = draw_modulations(&shape, &decoder, 64, 5);
        let schema = Schema {
            layout: Layout::Image(Shape::flat(features)),
            mean: vec![0.0; features],
            std: vec![1.0; features],
            target: "y".to_owned(),
            task: AnyTask::Regression(Regression { mean: 0.0, std: 1.0 }),
            series: Series::default(),
        };
        let (mut error, mut spread) = (0.0f64, 0.0f64);
        for modulation in sampled.iter().take(8) {
            let stored = vec![modulation.clone()];
            let source = Unquantised {
                shape: &shape,
                decoder: &decoder,
                logits: false,
                stored: &stored,
                sampled: &sampled,
                batch: &batch,
            };
            let ranges = Ranges::measure(&source);
            let quantised = Quantised::new(&source, &ranges, &precision);
            let export = DecoderExport {
                quantised: &quantised,
                schema: &schema,
                thresholds: Thresholds::open(Calibration::Regression(NoiseStd(0.1))),
                coverage: 0.9,
                latent_dim: 3,
                source: fiberwalk_formats::CodeSource::Stored,
                samples: 1,
                reading: None,
                trunk: true,
                seed: 0,
                date: None,
            };
            let bytes = export.to_bytes().expect("within the format's limits");
            let model = Model::from_bytes(&bytes).expect("just written");
            let mut scratch = vec![0; model.scratch_len()];
            let exact = outputs(&shape.architecture, &shape.decode(&decoder, modulation), &batch);
            for (x, exact) in x.chunks_exact(features).zip(exact) {
                let prediction = model.predict(x, &mut Stored, 1, &mut scratch);
                let Ok(Prediction::Regression(value)) = prediction else { panic!("regression") };
                error += f64::from(value.mean - exact).powi(2);
                spread += f64::from(exact).powi(2);
            }
        }
        (error / spread).sqrt()
    }

    #[test]
    fn every_kind_of_decoder_survives_quantisation() {
        use LayerDecoder::{Dense, Frozen, LowRank, Members};
        for activation in [Activation::Tanh, Activation::Relu] {
            for structure in [
                vec![Frozen, Frozen, LowRank(4)],
                vec![LowRank(3), LowRank(8), Dense(4)],
                vec![Dense(2), Frozen, LowRank(2)],
                vec![Members(4); 3],
                vec![Frozen, Members(3), Members(3)],
            ] {
                let network = Architecture::perceptron(&[4, 20, 12, 1], activation);
                let error =
                    |precision| relative_error(network.clone(), structure.clone(), precision);
                let eight = error(Precision::eight(3));
                assert!(eight < 0.03, "{structure:?} {activation:?}: {eight}");
                let four = error(Precision { factors: Bits::Four, ..Precision::eight(3) });
                assert!(four < 0.1, "{structure:?} {activation:?}: {four}");
            }
        }
    }

    #[test]
    fn convolutions_survive_quantisation() {
        use LayerDecoder::{Frozen, LowRank};
        let plain = ["conv 3x3x6", "max 2", "conv 2x2x8", "average 2"];
        let residual = [
            "conv 3x3x8 stride 2 padding same",
            "conv 3x3x8 padding 1 groups 8 relu6",
            "conv 1x1x8 skip 0 identity",
            "average",
        ];
        let networks: [(&[&str], &[LayerDecoder]); 4] = [
            (&plain, &[Frozen, Frozen, LowRank(4)]),
            (&plain, &[LowRank(2), LowRank(4), LowRank(2)]),
            (&residual, &[Frozen, Frozen, Frozen, LowRank(4)]),
            (&residual, &[LowRank(3), Frozen, LowRank(4), LowRank(4)]),
        ];
        for activation in [Activation::Tanh, Activation::Relu, Activation::HardSwish] {
            for (hidden, structure) in networks {
                let shape = Shape { height: 8, width: 8, channels: 2 };
                let hidden: Vec<LayerSpec> =
                    hidden.iter().map(|layer| layer.parse().expect("a layer")).collect();
                let network = Architecture::of(shape, &hidden, activation, 1).expect("it fits");
                let precision = Precision::eight(network.depth());
                let error = relative_error(network, structure.to_vec(), precision);
                // Five layers of bytes round more than three.
                assert!(error < 0.08, "{hidden:?} {structure:?} {activation:?}: {error}");
            }
        }
    }
}
