//! Post-training quantisation: decoder and network in int8, ready for the artifact.
//!
//! Notation: a real value is its integer times its unit. Accumulators of output o count in units
//! U_o = (weight unit of row o) · (input unit); the decoder's factors are brought to the same
//! units, so that the runtime only adds.

use rayon::prelude::*;

use fiberwalk_formats::{
    Activation as QuantisedActivation, Dense, DenseFactors, F32s, Factors, I8s, I16s, I32s,
    INPUT_CLIP, INPUT_UNITS, LATENT_UNITS, Layer, LowRank, MAX_BIAS, Rescale, Shifts, TANH_UNITS,
    Trunk,
};

use crate::latent::{DecoderShape, LayerDecoder};
use crate::network::{Activation, Batch, LayerShape, Tape};

/// Largest magnitude of an int8 weight or activation; −128 is left out for symmetry.
const INT8: f32 = 127.0;
/// Largest magnitude of a 16-bit intermediate value.
const INT16: f32 = 32_767.0;
/// Ranges measured on samples are widened by this factor; what is beyond saturates.
const HEADROOM: f32 = 1.1;

/// An integer matrix with bias.
struct QuantisedDense {
    inputs: usize,
    outputs: usize,
    weights: Vec<u8>,
    bias: Vec<u8>,
    /// Real value of one accumulator unit of every output.
    units: Vec<f32>,
}

/// Multipliers and a shift.
struct QuantisedRescale {
    multiplier: Vec<u8>,
    shift: u8,
}

enum QuantisedFactors {
    Frozen,
    LowRank { projection: QuantisedDense, a: Vec<u8>, shifts: Shifts },
    Dense { count: usize, projection: QuantisedDense, shifts: Shifts },
}

enum QuantisedOutput {
    Hidden(QuantisedRescale),
    Last(Vec<u8>),
}

/// A network with its decoder, in integers.
pub struct Quantised {
    activation: Activation,
    layers: Vec<(QuantisedDense, QuantisedFactors, QuantisedOutput)>,
    hidden: QuantisedDense,
    hidden_rescale: QuantisedRescale,
    output: QuantisedDense,
    output_rescale: QuantisedRescale,
    stored: Vec<u8>,
}

/// A decoder to quantise, and what its ranges are measured on.
pub struct Source<'a> {
    /// Shapes.
    pub shape: &'a DecoderShape,
    /// Decoder parameters in the shape's layout.
    pub decoder: &'a [f32],
    /// Modulations of the codes to store, `[count][modulation_len]`.
    pub stored: &'a [Vec<f32>],
    /// Modulations of random codes, for ranges.
    pub sampled: &'a [Vec<f32>],
    /// Inputs, for ranges: training rows and others, standardised.
    pub batch: &'a Batch,
}

/// Largest magnitudes met while sampling.
struct Ranges {
    /// Of every layer's output, after the activation.
    activations: Vec<f32>,
    /// Of every modulation value.
    modulations: Vec<f32>,
}

impl Quantised {
    /// Quantises `source`.
    pub fn new(source: &Source) -> Self {
        let shape = source.shape;
        let ranges = Ranges::measure(source);
        let mut gains = vec![0.0; ranges.modulations.len()];
        let places = shape.factors();
        let mut input_unit = INPUT_CLIP / INPUT_UNITS;
        let depth = shape.architecture.depth();
        let mut layers = Vec::with_capacity(depth);
        for (index, layer) in shape.architecture.layers().enumerate() {
            let theta = &source.decoder[..shape.architecture.parameters()];
            let rows = augmented(&theta[layer.weights()], &theta[layer.biases()], layer);
            let mean = QuantisedDense::per_row(&rows, layer.inputs, input_unit);
            let factors = match places.iter().find(|place| place.layer == layer) {
                None => QuantisedFactors::Frozen,
                Some(place) => {
                    let span = place.modulation..place.modulation + place.decoder.modulations();
                    let values = &source.decoder[place.offset..place.offset + place.size()];
                    let largest = &ranges.modulations[span.clone()];
                    let gains = &mut gains[span];
                    match place.decoder {
                        LayerDecoder::Dense(_) => {
                            dense_factors(values, layer, &mean.units, input_unit, largest, gains)
                        }
                        _ => {
                            low_rank_factors(values, layer, &mean.units, input_unit, largest, gains)
                        }
                    }
                }
            };
            let (unit, scale) = match shape.architecture.activation {
                Activation::Tanh => (1.0 / INT8, TANH_UNITS),
                Activation::Relu => {
                    let unit = ranges.activations[index].max(f32::MIN_POSITIVE) / INT8;
                    (unit, 1.0 / unit)
                }
            };
            let output = if index + 1 == depth {
                QuantisedOutput::Last(bytes(mean.units.iter().map(|unit| unit.to_le_bytes())))
            } else {
                let factors = mean.units.iter().map(|unit| unit * scale).collect::<Vec<_>>();
                QuantisedOutput::Hidden(QuantisedRescale::new(&factors))
            };
            layers.push((mean, factors, output));
            input_unit = unit;
        }
        let stored = source.stored.iter().flat_map(|modulation| {
            modulation.iter().zip(&gains).map(|(&s, &gain)| round16(s * gain).to_le_bytes())
        });
        let trunk = shape.trunk();
        let theta = &source.decoder[shape.trunk_offset()..];
        let dense = |layer: LayerShape, unit: f32| {
            let rows = augmented(&theta[layer.weights()], &theta[layer.biases()], layer);
            QuantisedDense::per_row(&rows, layer.inputs, unit)
        };
        let mut trunk_layers = trunk.layers();
        let (first, second) = (trunk_layers.next(), trunk_layers.next());
        let (Some(first), Some(second)) = (first, second) else {
            unreachable!("the trunk has two layers")
        };
        let hidden = dense(first, 1.0 / LATENT_UNITS);
        let output = dense(second, 1.0 / INT8);
        let to_tanh: Vec<f32> = hidden.units.iter().map(|unit| unit * TANH_UNITS).collect();
        let to_modulation: Vec<f32> =
            output.units.iter().zip(&gains).map(|(unit, gain)| unit * gain).collect();
        Self {
            activation: shape.architecture.activation,
            stored: bytes(stored),
            layers,
            hidden_rescale: QuantisedRescale::new(&to_tanh),
            output_rescale: QuantisedRescale::new(&to_modulation),
            hidden,
            output,
        }
    }

    /// The layers as the artifact holds them.
    pub fn layers(&self) -> impl Iterator<Item = Layer<'_>> {
        self.layers.iter().map(|(mean, factors, output)| Layer {
            mean: mean.view(),
            factors: match factors {
                QuantisedFactors::Frozen => Factors::Frozen,
                QuantisedFactors::LowRank { projection, a, shifts } => Factors::LowRank(LowRank {
                    projection: projection.view(),
                    a: I8s::new(a),
                    shifts: *shifts,
                }),
                QuantisedFactors::Dense { count, projection, shifts } => {
                    let projection = projection.view();
                    Factors::Dense(DenseFactors {
                        count: *count as u8,
                        projection,
                        shifts: *shifts,
                    })
                }
            },
            activation: match (output, self.activation) {
                (QuantisedOutput::Last(scale), _) => {
                    QuantisedActivation::Identity(F32s::new(scale))
                }
                (QuantisedOutput::Hidden(rescale), Activation::Tanh) => {
                    QuantisedActivation::Tanh(rescale.view())
                }
                (QuantisedOutput::Hidden(rescale), Activation::Relu) => {
                    QuantisedActivation::Relu(rescale.view())
                }
            },
        })
    }

    /// The trunk as the artifact holds it.
    pub fn trunk(&self) -> Trunk<'_> {
        Trunk {
            hidden: self.hidden.view(),
            hidden_rescale: self.hidden_rescale.view(),
            output: self.output.view(),
            output_rescale: self.output_rescale.view(),
        }
    }

    /// Modulations of the stored codes.
    pub fn stored(&self) -> I16s<'_> {
        I16s::new(&self.stored)
    }
}

impl QuantisedDense {
    /// Quantises rows `[inputs + 1]` (weights, then the bias), one unit a row.
    fn per_row(rows: &[f32], inputs: usize, input_unit: f32) -> Self {
        let units: Vec<f32> =
            rows.chunks_exact(inputs + 1).map(|row| row_unit(row, input_unit)).collect();
        Self::new(rows, inputs, input_unit, units)
    }

    /// Quantises rows `[inputs + 1]` with the given accumulator units.
    fn new(rows: &[f32], inputs: usize, input_unit: f32, units: Vec<f32>) -> Self {
        let (mut weights, mut bias) = (Vec::with_capacity(rows.len()), Vec::new());
        for (row, unit) in rows.chunks_exact(inputs + 1).zip(&units) {
            let quantised = row[..inputs].iter().map(|weight| round8(weight * input_unit / unit));
            weights.extend(quantised.map(|weight| weight as u8));
            let limit = MAX_BIAS as f32;
            let value = (row[inputs] / unit).round().clamp(-limit, limit) as i32;
            bias.extend(value.to_le_bytes());
        }
        Self { inputs, outputs: units.len(), weights, bias, units }
    }

    fn view(&self) -> Dense<'_> {
        Dense {
            inputs: self.inputs as u16,
            outputs: self.outputs as u16,
            weights: I8s::new(&self.weights),
            bias: I32s::new(&self.bias),
        }
    }

    /// Largest magnitude that the accumulators can reach.
    fn bound(&self) -> f32 {
        let bias = self.bias.chunks_exact(4).map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        let rows = self.weights.chunks_exact(self.inputs);
        let reach = rows.zip(bias).map(|(row, bias)| {
            let sum: i64 = row.iter().map(|&w| i64::from((w as i8).unsigned_abs())).sum();
            127 * sum + i64::from(bias.unsigned_abs())
        });
        reach.max().unwrap_or(0) as f32
    }
}

impl QuantisedRescale {
    /// Multipliers for `factors`, as precise as 31 bits allow.
    fn new(factors: &[f32]) -> Self {
        let largest = factors.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
        let shift = (30.0 - largest.log2().ceil()).clamp(1.0, 62.0);
        let scale = f64::from(shift).exp2();
        let multiplier = factors.iter().map(|&factor| {
            let value = (f64::from(factor) * scale).round().min(f64::from(i32::MAX));
            (value as i32).to_le_bytes()
        });
        Self { multiplier: bytes(multiplier), shift: shift as u8 }
    }

    fn view(&self) -> Rescale<'_> {
        Rescale { multiplier: I32s::new(&self.multiplier), shift: self.shift }
    }
}

impl Ranges {
    fn measure(source: &Source) -> Self {
        let architecture = &source.shape.architecture;
        let widest = |a: Vec<f32>, b: Vec<f32>| -> Vec<f32> {
            a.iter().zip(&b).map(|(&a, &b)| a.max(b)).collect()
        };
        let activations = source
            .sampled
            .par_iter()
            .map(|modulation| {
                let theta = source.shape.decode(source.decoder, modulation);
                let mut tape = Tape::default();
                let mut largest = vec![0.0f32; architecture.depth()];
                for tile in source.batch.tiles() {
                    tape.forward(architecture, &theta, source.batch, tile);
                    largest = widest(largest, tape.largest());
                }
                largest
            })
            .reduce(|| vec![0.0; architecture.depth()], widest);
        let all = source.stored.iter().chain(source.sampled);
        let zero = vec![f32::MIN_POSITIVE; source.shape.trunk().outputs()];
        let modulations = all.fold(zero, |largest, modulation| {
            largest.iter().zip(modulation).map(|(&l, m)| l.max(HEADROOM * m.abs())).collect()
        });
        Self { activations, modulations }
    }
}

/// W̃ = [W b] row by row.
fn augmented(weights: &[f32], biases: &[f32], layer: LayerShape) -> Vec<f32> {
    let rows = weights.chunks_exact(layer.inputs).zip(biases);
    rows.flat_map(|(row, &bias)| row.iter().copied().chain([bias])).collect()
}

/// Accumulator unit of a row `[inputs + 1]`: its largest weight becomes 127, and its bias stays
/// far inside the accumulator.
fn row_unit(row: &[f32], input_unit: f32) -> f32 {
    let (weights, bias) = row.split_at(row.len() - 1);
    let by_weight = input_unit * largest(weights) / INT8;
    let by_bias = bias[0].abs() / (MAX_BIAS as f32 / 2.0);
    by_weight.max(by_bias).max(f32::MIN_POSITIVE * 1e6)
}

/// Low-rank factors. Writes the gain of every modulation: integer = real · gain.
fn low_rank_factors(
    values: &[f32],
    layer: LayerShape,
    units: &[f32],
    input_unit: f32,
    modulations: &[f32],
    gains: &mut [f32],
) -> QuantisedFactors {
    let rank = gains.len();
    let (a, b) = values.split_at(layer.outputs * rank);
    let projection = QuantisedDense::per_row(b, layer.inputs, input_unit);
    // A in accumulator units of its output, one scale a column; the scale moves into the gain.
    let column_scale: Vec<f32> = (0..rank)
        .map(|k| {
            let column = units.iter().enumerate().map(|(o, unit)| (a[o * rank + k] / unit).abs());
            column.fold(f32::MIN_POSITIVE, f32::max) / INT8
        })
        .collect();
    let quantised = units.iter().enumerate().flat_map(|(output, unit)| {
        let row = &a[output * rank..(output + 1) * rank];
        row.iter().zip(&column_scale).map(move |(a, scale)| round8(a / unit / scale) as u8)
    });
    let a = quantised.collect();
    let scales: Vec<f32> =
        column_scale.iter().zip(&projection.units).map(|(column, unit)| column * unit).collect();
    let shifts = choose_shifts(projection.bound(), &scales, modulations, gains);
    QuantisedFactors::LowRank { projection, a, shifts }
}

/// Dense factors. Writes the gain of every modulation.
fn dense_factors(
    values: &[f32],
    layer: LayerShape,
    units: &[f32],
    input_unit: f32,
    modulations: &[f32],
    gains: &mut [f32],
) -> QuantisedFactors {
    let count = gains.len();
    let width = layer.inputs + 1;
    // Rows in accumulator units of their output; one scale a matrix moves into the gain.
    let in_units: Vec<f32> = values
        .chunks_exact(width)
        .zip(units.iter().cycle())
        .flat_map(|(row, unit)| row.iter().map(move |value| value / unit))
        .collect();
    let scales: Vec<f32> = in_units
        .chunks_exact(layer.outputs * width)
        .map(|matrix| {
            let rows = matrix.chunks_exact(width);
            rows.map(|row| row_unit(row, input_unit)).fold(f32::MIN_POSITIVE, f32::max)
        })
        .collect();
    let row_units = scales.iter().flat_map(|&scale| std::iter::repeat_n(scale, layer.outputs));
    let projection = QuantisedDense::new(&in_units, layer.inputs, input_unit, row_units.collect());
    let shifts = choose_shifts(projection.bound(), &scales, modulations, gains);
    QuantisedFactors::Dense { count, projection, shifts }
}

/// Shifts that use the 16 bits of projection, modulation and their product without overflowing
/// them. `bound` limits the projection's accumulators, `scales` turn (accumulator · modulation)
/// into units of the layer's accumulators, `modulations` are largest magnitudes.
fn choose_shifts(bound: f32, scales: &[f32], modulations: &[f32], gains: &mut [f32]) -> Shifts {
    let bits = |value: f32| value.max(f32::MIN_POSITIVE).log2();
    let projection = bits(bound / INT16).ceil().clamp(0.0, 31.0);
    // Largest product, in units of the layer's accumulators.
    let product = scales.iter().zip(modulations).map(|(s, m)| s * m * bound).fold(0.0, f32::max);
    let sum = bits(INT16 / product.max(f32::MIN_POSITIVE)).floor().clamp(0.0, 15.0);
    let gain = |scale: f32, modulation: f32| scale * (projection + sum + modulation).exp2();
    let largest =
        scales.iter().zip(modulations).map(|(&s, m)| gain(s, 0.0) * m).fold(0.0, f32::max);
    let modulation = bits(INT16 / largest.max(f32::MIN_POSITIVE)).floor().clamp(0.0, 31.0);
    for (own, &scale) in gains.iter_mut().zip(scales) {
        *own = gain(scale, modulation);
    }
    Shifts { projection: projection as u8, modulation: modulation as u8, sum: sum as u8 }
}

fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |largest, value| largest.max(value.abs()))
}

fn round8(value: f32) -> i8 {
    value.round().clamp(-INT8, INT8) as i8
}

fn round16(value: f32) -> i16 {
    value.round().clamp(-INT16, INT16) as i16
}

fn bytes<const N: usize>(values: impl Iterator<Item = [u8; N]>) -> Vec<u8> {
    values.flatten().collect()
}

#[cfg(test)]
mod tests {
    use fiberwalk_runtime::{Model, Prediction, Stored};
    use rand_distr::{Distribution, StandardNormal};

    use super::*;
    use crate::calibrate::Thresholds;
    use crate::data::{Features, Schema, Task};
    use crate::engine::draw_modulations;
    use crate::export::Export;
    use crate::network::{Architecture, outputs};
    use crate::predictive::Calibration;
    use crate::random::{Purpose, stream};

    /// One stored code at a time, the int8 regressor must follow the float one.
    fn follows_the_float_network(structure: Vec<LayerDecoder>, activation: Activation) {
        let architecture = Architecture { widths: vec![4, 20, 12, 1], activation };
        let shape = DecoderShape { architecture, structure, latent_dim: 3 };
        let mut rng = stream(1, Purpose::Decoder, 0);
        let theta = shape.architecture.initialise(&mut rng);
        let decoder = shape.initialise(&theta, &mut rng);
        let x: Vec<f32> = (0..4 * 200).map(|_| StandardNormal.sample(&mut rng)).collect();
        let batch = Batch::from_rows(&x, 4);
        let sampled = draw_modulations(&shape, &decoder, 64, 5);
        let schema = Schema {
            features: Features(["a", "b", "c", "d"].map(str::to_owned).to_vec()),
            mean: vec![0.0; 4],
            std: vec![1.0; 4],
            target: "y".to_owned(),
            task: Task::Regression { mean: 0.0, std: 1.0 },
        };
        let (mut error, mut spread) = (0.0f64, 0.0f64);
        for modulation in &sampled[..8] {
            let stored = vec![modulation.clone()];
            let quantised = Quantised::new(&Source {
                shape: &shape,
                decoder: &decoder,
                stored: &stored,
                sampled: &sampled,
                batch: &batch,
            });
            let export = Export {
                quantised: &quantised,
                schema: &schema,
                thresholds: Thresholds::open(Calibration::NoiseStd(0.1)),
                coverage: 0.9,
                latent_dim: 3,
                source: fiberwalk_formats::CodeSource::Stored,
                samples: 1,
                seed: 0,
                date: None,
            };
            let bytes = export.to_bytes().expect("within the format's limits");
            let model = Model::from_bytes(&bytes).expect("just written");
            let mut scratch = vec![0; model.scratch_len()];
            let exact = outputs(&shape.architecture, &shape.decode(&decoder, modulation), &batch);
            for (x, exact) in x.chunks_exact(4).zip(exact) {
                let prediction = model.predict(x, &mut Stored, 1, &mut scratch);
                let Ok(Prediction::Regression(value)) = prediction else { panic!("regression") };
                error += f64::from(value.mean - exact).powi(2);
                spread += f64::from(exact).powi(2);
            }
        }
        let relative = (error / spread).sqrt();
        assert!(relative < 0.03, "{relative}");
    }

    #[test]
    fn every_kind_of_decoder_survives_quantisation() {
        use LayerDecoder::{Dense, Frozen, LowRank};
        for activation in [Activation::Tanh, Activation::Relu] {
            follows_the_float_network(vec![Frozen, Frozen, LowRank(4)], activation);
            follows_the_float_network(vec![LowRank(3), LowRank(8), Dense(4)], activation);
            follows_the_float_network(vec![Dense(2), Frozen, LowRank(2)], activation);
        }
    }
}
