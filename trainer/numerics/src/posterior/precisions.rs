//! Groups of parameters that share one prior precision, which is sampled with them.

use rand_distr::{Distribution, Gamma};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

use crate::network::Architecture;

/// Shape and rate of the Gamma prior of a precision.
const PRIOR: [f64; 2] = [0.5, 0.5];
/// Shape and rate of the Gamma prior of the noise's precision, in standardised units of the target.
const NOISE_PRIOR: [f64; 2] = [1.0, 1e-5];

/// What shares a prior precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grouping {
    /// All weights and biases of a layer.
    Layer,
    /// The weights of the first layer that read one input feature (relevance determination: MacKay 1994, Neal 1996);
    /// weights and biases of every other layer, and the first layer's biases.
    Feature,
}

impl std::fmt::Display for Grouping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Layer => "layer",
            Self::Feature => "feature",
        })
    }
}

/// The group of every parameter.
#[derive(Clone, Debug)]
pub struct Groups {
    /// `[P]`.
    of: Vec<usize>,
    /// Parameters in every group.
    counts: Vec<usize>,
}

impl Groups {
    /// Groups the parameters of a network.
    pub fn new(architecture: &Architecture, grouping: Grouping) -> Self {
        let mut of = vec![0; architecture.parameters()];
        let mut count = 0;
        for (index, layer) in architecture.layers().enumerate() {
            match grouping {
                Grouping::Layer => of[layer.parameters()].fill(index),
                Grouping::Feature => {
                    let shares = if index == 0 { layer.inputs } else { 1 };
                    for (place, group) in of[layer.weights()].iter_mut().enumerate() {
                        *group = count + place % shares;
                    }
                    of[layer.biases()].fill(count + shares);
                    count += shares + 1;
                }
            }
        }
        let mut counts = vec![0; of.iter().max().map_or(0, |last| last + 1)];
        of.iter().for_each(|&group| counts[group] += 1);
        Self { of, counts }
    }

    /// Number of groups.
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    /// Parameters in every group.
    pub fn counts(&self) -> &[usize] {
        &self.counts
    }

    /// Sums `values: [P]` over every group.
    pub fn sums(&self, values: impl Iterator<Item = f64>) -> Vec<f64> {
        let mut sums = vec![0.0; self.counts.len()];
        self.of.iter().zip(values).for_each(|(&group, value)| sums[group] += value);
        sums
    }

    /// Spreads one value a group over the parameters, `[P]`.
    pub fn spread<'s>(&'s self, values: &'s [f64]) -> impl Iterator<Item = f64> + 's {
        self.of.iter().map(|&group| values[group])
    }

    /// Draws every group's precision given the parameters: Gamma(½ + n_g / 2, ½ + ‖θ_g‖² / 2).
    pub fn draw(&self, theta: &[f64], rng: &mut Xoshiro256PlusPlus) -> Vec<f64> {
        let squares = self.sums(theta.iter().map(|value| value * value));
        let each = self.counts.iter().zip(squares);
        each.map(|(&count, squares)| draw(PRIOR, count, squares, rng)).collect()
    }
}

/// Draws the noise's standard deviation given the residuals' sum of squares over so many rows.
pub(super) fn draw_noise(rows: usize, squares: f64, rng: &mut Xoshiro256PlusPlus) -> f64 {
    1.0 / draw(NOISE_PRIOR, rows, squares, rng).sqrt()
}

/// Draws the precision of `count` normal values given their sum of squares.
fn draw([shape, rate]: [f64; 2], count: usize, squares: f64, rng: &mut Xoshiro256PlusPlus) -> f64 {
    let (shape, rate) = (shape + 0.5 * count as f64, rate + 0.5 * squares);
    Gamma::new(shape, 1.0 / rate).expect("above 0").sample(rng)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Activation;

    #[test]
    fn a_feature_has_its_weights_of_the_first_layer() {
        let architecture = Architecture::perceptron(&[2, 3, 1], Activation::Tanh);
        let features = Groups::new(&architecture, Grouping::Feature);
        assert_eq!(features.of, [0, 1, 0, 1, 0, 1, 2, 2, 2, 3, 3, 3, 4]);
        assert_eq!(features.counts(), [3, 3, 3, 3, 1]);
        let layers = Groups::new(&architecture, Grouping::Layer);
        assert_eq!(layers.counts(), [9, 4]);
        assert_eq!(layers.sums([1.0; 13].into_iter()), [9.0, 4.0]);
    }
}
