//! The decoder: latent code z → modulation s(z) → parameters θ(z), and its derivative.

use rand_distr::{Distribution, StandardNormal};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

use super::structure::{LayerDecoder, Structure, members, modulation_len, samples_of};
use crate::network::{Activation, Architecture, Batch, LayerShape, dot, outputs};
use crate::task::Share;

/// Partial sums of a product of rows.
const LANES: usize = 8;
/// Width of the trunk's hidden layer.
const TRUNK_WIDTH: usize = 32;

/// Standard deviation of the initial A (and Ũ) relative to a weight matrix of unit gain. Small, so
/// that the first draws stay near θ*; not zero, so that gradients reach every factor.
const INITIAL_SPREAD: f32 = 0.3;

/// Shapes of a decoder, which fix the layout of its parameters:
/// `[W̃ (P) | factors of layer 0 | factors of layer 1 | … | trunk]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DecoderShape {
    /// The network whose parameters are decoded.
    pub architecture: Architecture,
    /// One entry a layer.
    pub structure: Structure,
    /// Dimension of a normal latent code.
    pub latent_dim: usize,
}

/// Law of the latent code z.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LatentLaw {
    /// N(0, I) of this dimension, through a trunk.
    Normal(usize),
    /// So many unit vectors, all equally likely, which are the modulations: a mixture of networks.
    UnitVectors(usize),
}

/// One stochastic layer's place in the decoder's parameters and in the modulation.
#[derive(Clone, Copy)]
pub struct FactorPlace {
    /// Kind and size of the factors.
    pub decoder: LayerDecoder,
    /// The layer in θ.
    pub layer: LayerShape,
    /// Start of the factors: A then B̃, or Ũ.
    pub offset: usize,
    /// Start of the layer's modulation.
    pub modulation: usize,
}

impl FactorPlace {
    /// Number of factor values.
    pub fn size(&self) -> usize {
        match self.decoder {
            LayerDecoder::Frozen => 0,
            LayerDecoder::LowRank(rank) => rank * (self.layer.outputs + self.layer.inputs + 1),
            LayerDecoder::Dense(_) | LayerDecoder::Members(_) => {
                self.decoder.modulations() * self.layer.outputs * (self.layer.inputs + 1)
            }
        }
    }
}

impl LatentLaw {
    /// What draws of the code are of it.
    pub fn draws(self) -> Share {
        match self {
            Self::Normal(_) => Share::Some,
            Self::UnitVectors(_) => Share::All,
        }
    }

    /// Dimension of the code.
    pub fn dimension(self) -> usize {
        match self {
            Self::Normal(dimension) => dimension,
            Self::UnitVectors(count) => count,
        }
    }
}

impl DecoderShape {
    /// Law of the latent code.
    pub fn law(&self) -> LatentLaw {
        match members(&self.structure) {
            None => LatentLaw::Normal(self.latent_dim),
            Some(members) => LatentLaw::UnitVectors(members),
        }
    }

    /// [`samples_of`] its structure.
    pub fn samples(&self, samples: usize) -> usize {
        samples_of(&self.structure, samples)
    }

    /// The trunk g: z → s, one hidden tanh layer; a mixture has none.
    pub fn trunk(&self) -> Option<Architecture> {
        let LatentLaw::Normal(dimension) = self.law() else { return None };
        let widths = [dimension, TRUNK_WIDTH, modulation_len(&self.structure)];
        Some(Architecture::perceptron(&widths, Activation::Tanh))
    }

    /// The stochastic layers in order.
    pub fn factors(&self) -> Vec<FactorPlace> {
        let mut offset = self.architecture.parameters();
        let mut modulation = 0;
        let mut places = Vec::new();
        for (layer, &decoder) in self.architecture.layers().zip(&self.structure) {
            if !decoder.is_stochastic() {
                continue;
            }
            let place = FactorPlace { decoder, layer, offset, modulation };
            offset += place.size();
            modulation += decoder.modulations();
            places.push(place);
        }
        places
    }

    /// Index of the trunk's first parameter.
    pub fn trunk_offset(&self) -> usize {
        self.architecture.parameters() + self.factors().iter().map(FactorPlace::size).sum::<usize>()
    }

    /// Number of parameters of the decoder.
    pub fn parameters(&self) -> usize {
        self.trunk_offset() + self.trunk().map_or(0, |trunk| trunk.parameters())
    }

    /// Initial parameters: round the first of `thetas: [_][P]`, or as a mixture of as many as it has members.
    pub fn initialise(&self, thetas: &[Vec<f32>], rng: &mut Xoshiro256PlusPlus) -> Vec<f32> {
        match self.law() {
            LatentLaw::Normal(_) => self.round(&thetas[0], rng),
            LatentLaw::UnitVectors(count) => self.mixture_of(&thetas[..count]),
        }
    }

    /// The mixture of `thetas`.
    fn mixture_of(&self, thetas: &[Vec<f32>]) -> Vec<f32> {
        let (first, others) = thetas.split_first().expect("a mixture has members");
        let mut parameters = first.clone();
        for place in self.factors() {
            let (inputs, outputs) = (place.layer.inputs, place.layer.outputs);
            for other in others {
                let weights = place.layer.weights();
                for output in 0..outputs {
                    let row = weights.start + output * inputs;
                    let bias = place.layer.biases().start + output;
                    let own = (row..row + inputs).chain([bias]);
                    parameters.extend(own.map(|index| other[index] - first[index]));
                }
            }
        }
        parameters
    }

    fn round(&self, theta: &[f32], rng: &mut Xoshiro256PlusPlus) -> Vec<f32> {
        let mut parameters = theta.to_vec();
        for place in self.factors() {
            let (inputs, outputs) = (place.layer.inputs + 1, place.layer.outputs);
            let fan_in = (inputs as f32).sqrt();
            let mut normals = |count: usize, std: f32| {
                parameters.extend((0..count).map(|_| {
                    let normal: f32 = StandardNormal.sample(rng);
                    std * normal
                }));
            };
            match place.decoder {
                LayerDecoder::Frozen | LayerDecoder::Members(_) => {}
                LayerDecoder::LowRank(rank) => {
                    normals(outputs * rank, INITIAL_SPREAD / (rank as f32).sqrt());
                    normals(rank * inputs, 1.0 / fan_in);
                }
                LayerDecoder::Dense(count) => {
                    let std = INITIAL_SPREAD / (fan_in * (count as f32).sqrt());
                    normals(count * outputs * inputs, std);
                }
            }
        }
        parameters.extend(self.trunk().iter().flat_map(|trunk| trunk.initialise(rng)));
        parameters
    }

    /// The modulation of every code: `codes` is `[k, M]`, the result `[M][modulation_len]`.
    pub fn modulations(&self, parameters: &[f32], codes: &Batch) -> Vec<Vec<f32>> {
        match self.trunk() {
            Some(trunk) => {
                let values = outputs(&trunk, &parameters[self.trunk_offset()..], codes);
                columns(&values, trunk.outputs(), codes.rows())
            }
            None => self.own_modulations(codes),
        }
    }

    /// The modulations of a mixture's codes: of every layer all but the first member's, which is W̃.
    pub(super) fn own_modulations(&self, codes: &Batch) -> Vec<Vec<f32>> {
        let stochastic = self.factors().len();
        let codes = columns(codes.values(), self.law().dimension(), codes.rows());
        codes.into_iter().map(|code| code[1..].repeat(stochastic)).collect()
    }

    /// θ(z) for the modulation s(z): `[P]`.
    pub fn decode(&self, parameters: &[f32], modulation: &[f32]) -> Vec<f32> {
        let mut theta = parameters[..self.architecture.parameters()].to_vec();
        for place in self.factors() {
            let (inputs, outputs) = (place.layer.inputs, place.layer.outputs);
            let factors = &parameters[place.offset..place.offset + place.size()];
            let s = &modulation[place.modulation..place.modulation + place.decoder.modulations()];
            let (weights, biases) = theta[place.layer.parameters()].split_at_mut(inputs * outputs);
            match place.decoder {
                LayerDecoder::Frozen => {}
                LayerDecoder::LowRank(rank) => {
                    let (a, b) = factors.split_at(outputs * rank);
                    for (output, a) in a.chunks_exact(rank).enumerate() {
                        let row = &mut weights[output * inputs..(output + 1) * inputs];
                        for ((&a, &s), b) in a.iter().zip(s).zip(b.chunks_exact(inputs + 1)) {
                            add_scaled(row, a * s, &b[..inputs]);
                            biases[output] += a * s * b[inputs];
                        }
                    }
                }
                LayerDecoder::Dense(_) | LayerDecoder::Members(_) => {
                    let matrices = s.iter().zip(factors.chunks_exact(outputs * (inputs + 1)));
                    for (&s, u) in matrices.filter(|(s, _)| place.decoder.reads(**s)) {
                        for (output, u) in u.chunks_exact(inputs + 1).enumerate() {
                            let row = &mut weights[output * inputs..(output + 1) * inputs];
                            add_scaled(row, s, &u[..inputs]);
                            biases[output] += s * u[inputs];
                        }
                    }
                }
            }
        }
        theta
    }

    /// Pulls `d_theta: [P]` back through [`Self::decode`]: adds to `gradient` (W̃ and factors) and
    /// returns the gradient with respect to the modulation.
    pub fn pull_back(
        &self,
        parameters: &[f32],
        modulation: &[f32],
        d_theta: &[f32],
        gradient: &mut [f32],
    ) -> Vec<f32> {
        add_scaled(&mut gradient[..d_theta.len()], 1.0, d_theta);
        let mut d_modulation = vec![0.0; modulation.len()];
        for place in self.factors() {
            let (inputs, outputs) = (place.layer.inputs, place.layer.outputs);
            let range = place.offset..place.offset + place.size();
            let factors = &parameters[range.clone()];
            let d_factors = &mut gradient[range];
            let span = place.modulation..place.modulation + place.decoder.modulations();
            let (s, d_s) = (&modulation[span.clone()], &mut d_modulation[span]);
            let (d_weights, d_biases) =
                d_theta[place.layer.parameters()].split_at(inputs * outputs);
            match place.decoder {
                LayerDecoder::Frozen => {}
                LayerDecoder::LowRank(rank) => {
                    let (a, b) = factors.split_at(outputs * rank);
                    let (d_a, d_b) = d_factors.split_at_mut(outputs * rank);
                    for output in 0..outputs {
                        let d_row = &d_weights[output * inputs..(output + 1) * inputs];
                        for k in 0..rank {
                            let b = &b[k * (inputs + 1)..(k + 1) * (inputs + 1)];
                            let d_b = &mut d_b[k * (inputs + 1)..(k + 1) * (inputs + 1)];
                            let a = a[output * rank + k];
                            let product =
                                dot::<LANES>(d_row, &b[..inputs]) + d_biases[output] * b[inputs];
                            d_a[output * rank + k] += s[k] * product;
                            d_s[k] += a * product;
                            add_scaled(&mut d_b[..inputs], s[k] * a, d_row);
                            d_b[inputs] += s[k] * a * d_biases[output];
                        }
                    }
                }
                LayerDecoder::Dense(_) | LayerDecoder::Members(_) => {
                    let size = outputs * (inputs + 1);
                    for j in (0..s.len()).filter(|&j| place.decoder.reads(s[j])) {
                        for output in 0..outputs {
                            let start = j * size + output * (inputs + 1);
                            let u = &factors[start..start + inputs + 1];
                            let d_u = &mut d_factors[start..start + inputs + 1];
                            let d_row = &d_weights[output * inputs..(output + 1) * inputs];
                            d_s[j] +=
                                dot::<LANES>(d_row, &u[..inputs]) + d_biases[output] * u[inputs];
                            add_scaled(&mut d_u[..inputs], s[j], d_row);
                            d_u[inputs] += s[j] * d_biases[output];
                        }
                    }
                }
            }
        }
        d_modulation
    }
}

/// `[rows]` vectors of length `width` from feature-major values `[width, rows]`.
pub(crate) fn columns(values: &[f32], width: usize, rows: usize) -> Vec<Vec<f32>> {
    (0..rows).map(|row| (0..width).map(|feature| values[feature * rows + row]).collect()).collect()
}

fn add_scaled(out: &mut [f32], scale: f32, values: &[f32]) {
    out.iter_mut().zip(values).for_each(|(out, &value)| *out += scale * value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decoder::draw_networks;
    use crate::random::{Purpose, stream};

    #[test]
    fn a_mixture_decodes_its_members() {
        let architecture = Architecture::perceptron(&[3, 4, 2], Activation::Tanh);
        let members: Vec<Vec<f32>> = (0..3)
            .map(|index| architecture.initialise(&mut stream(9, Purpose::Decoder, index)))
            .collect();
        let structure = vec![LayerDecoder::Members(3); 2];
        let shape = DecoderShape { architecture, structure, latent_dim: 4 };
        let parameters = shape.initialise(&members, &mut stream(9, Purpose::Decoder, 3));
        assert_eq!(parameters.len(), shape.parameters());
        let decoded = draw_networks(&shape, &parameters, 100, 1);
        for (decoded, member) in decoded.iter().zip(&members) {
            assert!(decoded.iter().zip(member).all(|(d, m)| (d - m).abs() < 1e-6));
        }
        assert_eq!(decoded.len(), members.len());
    }

    #[test]
    fn pull_back_is_the_derivative_of_decode() {
        let architecture = Architecture::perceptron(&[3, 4, 2], Activation::Tanh);
        let structure = vec![LayerDecoder::LowRank(2), LayerDecoder::Dense(3)];
        let shape = DecoderShape { architecture, structure, latent_dim: 2 };
        let mut rng = stream(5, Purpose::Decoder, 0);
        let theta = shape.architecture.initialise(&mut rng);
        let parameters = shape.initialise(std::slice::from_ref(&theta), &mut rng);
        let mut normals = |count: usize| -> Vec<f32> {
            (0..count).map(|_| StandardNormal.sample(&mut rng)).collect()
        };
        let (modulation, direction) = (normals(5), normals(theta.len()));
        // The value whose gradient is pulled back: directionᵀ θ(parameters, modulation), which is
        // linear in every single coordinate.
        let value = |parameters: &[f32], modulation: &[f32]| -> f64 {
            let theta = shape.decode(parameters, modulation);
            theta.iter().zip(&direction).map(|(&t, &d)| f64::from(t) * f64::from(d)).sum()
        };
        let mut gradient = vec![0.0; shape.trunk_offset()];
        let d_modulation = shape.pull_back(&parameters, &modulation, &direction, &mut gradient);
        let close = |found: f32, above: f64, below: f64| {
            let difference = above - below;
            assert!((f64::from(found) - difference).abs() < 2e-4, "{found} but {difference}");
        };
        for index in 0..shape.trunk_offset() {
            let (mut up, mut down) = (parameters.clone(), parameters.clone());
            up[index] += 0.5;
            down[index] -= 0.5;
            close(gradient[index], value(&up, &modulation), value(&down, &modulation));
        }
        for index in 0..modulation.len() {
            let (mut up, mut down) = (modulation.clone(), modulation.clone());
            up[index] += 0.5;
            down[index] -= 0.5;
            close(d_modulation[index], value(&parameters, &up), value(&parameters, &down));
        }
    }
}
