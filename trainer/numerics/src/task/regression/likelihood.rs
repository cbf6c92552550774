//! The Gaussian likelihood and its derivatives.

use rand_distr::{Distribution, StandardNormal};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::super::Share;

/// Normal with the output as mean and this standard deviation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gaussian {
    /// Standard deviation of the noise, standardised target units.
    pub noise_std: f32,
}

impl Gaussian {
    /// Sum of squared residuals of so many rows behind Σ −log p(y | f), nats.
    pub fn squares(self, nll: f64, rows: usize) -> f64 {
        2.0 * f64::from(self.noise_std).powi(2) * (nll - constant(self.noise_std) * rows as f64)
    }
}

/// −log of a density at its own mean, nats.
fn constant(noise_std: f32) -> f64 {
    f64::from(noise_std).ln() + 0.5 * (2.0 * std::f64::consts::PI).ln()
}

/// Replaces `outputs: [1, rows]` by the gradient of Σ −log p(y | f) and returns that sum, nats.
pub(super) fn nll_gradient(noise_std: f32, values: &[f32], outputs: &mut [f32]) -> f64 {
    let precision = 1.0 / (noise_std * noise_std);
    let mut squares = 0.0f64;
    for (f, &y) in outputs.iter_mut().zip(values) {
        let residual = *f - y;
        squares += f64::from(residual) * f64::from(residual);
        *f = residual * precision;
    }
    0.5 * f64::from(precision) * squares + constant(noise_std) * values.len() as f64
}

/// Replaces `outputs: [1, rows]` by the gradient of −log p(ỹ | f), ỹ ~ p(· | f).
pub(super) fn sampled_gradient(noise_std: f32, outputs: &mut [f32], rng: &mut Xoshiro256PlusPlus) {
    for f in outputs {
        let normal: f32 = StandardNormal.sample(rng);
        *f = normal / noise_std;
    }
}

/// Half of ((m̂ − m)² + v̂ + σ²) / t + ln 2πt with t = v + σ², where m and v are the draws' mean and
/// variance, unbiased where they are some of their law, and m̂ and v̂ the reference's.
pub(super) fn divergence(
    draws: &[Vec<f32>],
    of: Share,
    mean: &[f32],
    variance: &[f32],
    weights: &[f32],
    noise_std: f32,
) -> (f64, Vec<Vec<f32>>) {
    let (count, all) = (draws.len() as f32, weights.iter().sum::<f32>());
    let noise = noise_std * noise_std;
    let mut gradients: Vec<Vec<f32>> = draws.iter().map(|draw| vec![0.0; draw.len()]).collect();
    let mut loss = 0.0;
    for (row, weight) in weights.iter().enumerate() {
        let own_mean = draws.iter().map(|draw| draw[row]).sum::<f32>() / count;
        let squares: f32 = draws.iter().map(|draw| (draw[row] - own_mean).powi(2)).sum();
        let freedom = match of {
            Share::Some => (count - 1.0).max(1.0),
            Share::All => count,
        };
        let total = squares / freedom + noise;
        let error = (mean[row] - own_mean).powi(2) + variance[row] + noise;
        loss += f64::from(weight * 0.5 * (error / total + (std::f32::consts::TAU * total).ln()));
        let d_mean = weight * (own_mean - mean[row]) / (total * count * all);
        let d_total = weight * 0.5 * (1.0 - error / total) / (total * all);
        for (gradient, draw) in gradients.iter_mut().zip(draws) {
            gradient[row] = d_mean + d_total * 2.0 * (draw[row] - own_mean) / freedom;
        }
    }
    (loss / f64::from(all), gradients)
}
