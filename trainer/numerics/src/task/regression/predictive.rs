//! Moments of a mixture of networks, and the noise about them.

use serde::{Deserialize, Serialize};

use super::super::minimum::minimum;
use super::super::{PerRow, Select};

/// Calibration changes the noise by this factor at most.
const MOST_CHANGE: f64 = 2.0;

/// An equal mixture of regressors, at some inputs: moments of the networks' outputs, in standardised target
/// units.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Predictive {
    /// Mean, `[n]`.
    pub mean: Vec<f32>,
    /// Variance between networks (epistemic), `[n]`.
    pub variance: Vec<f32>,
}

/// Standard deviation of the noise, standardised target units.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct NoiseStd(pub f64);

impl PerRow for Predictive {
    fn rows(&self) -> usize {
        self.mean.len()
    }

    fn append(&mut self, other: Self) {
        self.mean.extend(other.mean);
        self.variance.extend(other.variance);
    }
}

impl Select for Predictive {
    fn subset(&self, rows: &[usize]) -> Self {
        Self { mean: self.mean.subset(rows), variance: self.variance.subset(rows) }
    }
}

impl Predictive {
    /// Whether it is one of so many rows, with moments that can be some.
    pub(in crate::task) fn is_sound(&self, rows: usize) -> bool {
        [self.mean.len(), self.variance.len()] == [rows; 2]
            && self.mean.iter().all(|mean| mean.is_finite())
            && self.variance.iter().all(|&variance| variance.is_finite() && variance >= 0.0)
    }

    /// The mixture of networks with these outputs, `[N][1, rows]`.
    pub(super) fn of(members: &[Vec<f32>], rows: usize) -> Self {
        let count = members.len() as f32;
        let mean: Vec<f32> = (0..rows)
            .map(|row| members.iter().map(|outputs| outputs[row]).sum::<f32>() / count)
            .collect();
        let variance = mean
            .iter()
            .enumerate()
            .map(|(row, mean)| {
                members.iter().map(|outputs| (outputs[row] - mean).powi(2)).sum::<f32>() / count
            })
            .collect();
        Self { mean, variance }
    }

    /// The mixture with another one that has this share of the networks.
    pub(super) fn mixed(&self, other: &Self, share: f32) -> Self {
        let between = |(&a, &b): (&f32, &f32)| a + share * (b - a);
        let means = || self.mean.iter().zip(&other.mean);
        let apart = means().map(|(a, b)| share * (1.0 - share) * (b - a).powi(2));
        let within = self.variance.iter().zip(&other.variance).map(between);
        Self {
            mean: means().map(between).collect(),
            variance: within.zip(apart).map(|(within, apart)| within + apart).collect(),
        }
    }

    /// Mean and variance between networks of every row.
    pub(super) fn moments(&self) -> impl Iterator<Item = (f32, f32)> {
        self.mean.iter().copied().zip(self.variance.iter().copied())
    }

    /// −log p(y | x) of every row after calibration, nats.
    pub(super) fn nll(&self, values: &[f32], NoiseStd(noise_std): NoiseStd) -> Vec<f64> {
        let row = |((mean, variance), &y): ((f32, f32), &f32)| {
            let total = f64::from(variance) + noise_std * noise_std;
            let residual = f64::from(y) - f64::from(mean);
            0.5 * (residual * residual / total + (std::f64::consts::TAU * total).ln())
        };
        self.moments().zip(values).map(row).collect()
    }

    /// Expected −log p(y | x) of every row, y drawn from `reference`, nats.
    pub(super) fn cross_entropy(
        &self,
        NoiseStd(own): NoiseStd,
        reference: &Self,
        NoiseStd(its): NoiseStd,
    ) -> Vec<f64> {
        let row = |((m, v), (its_m, its_v)): ((f32, f32), (f32, f32))| {
            let total = f64::from(v) + own * own;
            let error = f64::from(its_m - m).powi(2) + f64::from(its_v) + its * its;
            0.5 * (error / total + (std::f64::consts::TAU * total).ln())
        };
        self.moments().zip(reference.moments()).map(row).collect()
    }
}

impl NoiseStd {
    /// The noise of least `mean_nll`. It stays within a factor of 2 of `noise_std`, lest the spread between
    /// networks stand in for noise where that happens to fit.
    pub(super) fn of_least(mean_nll: impl Fn(Self) -> f64, noise_std: f32) -> Self {
        let loss = |log: f64| mean_nll(Self(log.exp()));
        let (middle, change) = (f64::from(noise_std).ln(), MOST_CHANGE.ln());
        Self(minimum(loss, middle - change, middle + change).exp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::mean;

    #[test]
    fn noise_calibration_recovers_the_residuals_spread() {
        let predictive = Predictive { mean: vec![0.0; 4], variance: vec![0.0; 4] };
        let nll = |noise| mean(&predictive.nll(&[0.3, -0.3, 0.3, -0.3], noise));
        let NoiseStd(std) = NoiseStd::of_least(nll, 0.2);
        assert!((std - 0.3).abs() < 1e-3, "{std}");
    }

    #[test]
    fn a_predictive_is_brought_close_to_another() {
        let predictive = |mean: f32, variance: f32| Predictive {
            mean: vec![mean; 3],
            variance: vec![variance; 3],
        };
        // Off by 0.3 and without spread: the noise must make up for both.
        let (own, reference) = (predictive(0.3, 0.0), predictive(0.0, 0.16));
        let nll = |noise| mean(&own.cross_entropy(noise, &reference, NoiseStd(0.5)));
        let NoiseStd(std) = NoiseStd::of_least(nll, 0.5);
        assert!((std - (0.09f64 + 0.16 + 0.25).sqrt()).abs() < 1e-3, "{std}");
    }
}
