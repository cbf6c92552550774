//! A number is predicted: a normal distribution about one output.

mod likelihood;
mod normal;
mod predictions;
mod predictive;
mod scores;

use std::ops::Range;

use fiberwalk_formats::Output;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

use super::{PerRow, Select, Share, Task, Thresholds, Verdicts};
use crate::metrics::mean;

pub use likelihood::Gaussian;
pub use predictions::Predictions;
pub use predictive::{NoiseStd, Predictive};
pub use scores::Scores;

/// A number is predicted. Networks learn it standardised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Regression {
    /// Mean of the training rows, original units.
    pub mean: f32,
    /// Standard deviation of the training rows, original units.
    pub std: f32,
}

impl PerRow for Vec<f32> {
    fn rows(&self) -> usize {
        self.len()
    }

    fn append(&mut self, other: Self) {
        self.extend(other);
    }
}

impl Select for Vec<f32> {
    fn subset(&self, rows: &[usize]) -> Self {
        rows.iter().map(|&row| self[row]).collect()
    }
}

impl Task for Regression {
    type Targets = Vec<f32>;
    type Likelihood = Gaussian;
    type Predictive = Predictive;
    type Calibration = NoiseStd;
    type Predictions = Predictions;
    type Scores = Scores;

    /// The interval reaches one standard deviation.
    const OPEN: f32 = 1.0;

    fn outputs(&self) -> usize {
        1
    }

    fn origin(&self) -> f32 {
        self.mean
    }

    fn unit(&self) -> f32 {
        self.std
    }

    fn standardise(&self, values: &Vec<f32>) -> Vec<f32> {
        values.iter().map(|value| (value - self.mean) / self.std).collect()
    }

    fn targets(&self, values: Vec<f32>) -> Result<Vec<f32>, String> {
        Ok(values)
    }

    fn values(values: &Vec<f32>) -> Vec<f32> {
        values.clone()
    }

    fn nll_gradient(
        Gaussian { noise_std }: Gaussian,
        values: &Vec<f32>,
        rows: Range<usize>,
        outputs: &mut [f32],
    ) -> f64 {
        likelihood::nll_gradient(noise_std, &values[rows], outputs)
    }

    fn sampled_gradient(
        Gaussian { noise_std }: Gaussian,
        outputs: &mut [f32],
        _: usize,
        rng: &mut Xoshiro256PlusPlus,
    ) {
        likelihood::sampled_gradient(noise_std, outputs, rng);
    }

    /// The residuals of a constant have variance 1.
    fn constant_nll(Gaussian { noise_std }: Gaussian, _: &Vec<f32>) -> f64 {
        let variance = f64::from(noise_std).powi(2);
        0.5 * (1.0 / variance + (std::f64::consts::TAU * variance).ln())
    }

    fn likelihood(NoiseStd(noise_std): NoiseStd) -> Gaussian {
        Gaussian { noise_std: noise_std as f32 }
    }

    fn mixture(outputs: Vec<Vec<f32>>, rows: usize) -> Predictive {
        Predictive::of(&outputs, rows)
    }

    fn is_finite(Predictive { mean, variance }: &Predictive) -> bool {
        mean.iter().chain(variance).all(|value| value.is_finite())
    }

    fn mixed(own: &Predictive, other: &Predictive, share: f32) -> Predictive {
        own.mixed(other, share)
    }

    fn divergence(
        Gaussian { noise_std }: Gaussian,
        draws: &[Vec<f32>],
        of: Share,
        _: usize,
        reference: &Predictive,
        weights: &[f32],
    ) -> (f64, Vec<Vec<f32>>) {
        let (mean, variance) = (&reference.mean, &reference.variance);
        likelihood::divergence(draws, of, mean, variance, weights, noise_std)
    }

    fn nll(predictive: &Predictive, values: &Vec<f32>, noise: NoiseStd) -> Vec<f64> {
        predictive.nll(values, noise)
    }

    fn cross_entropy(
        predictive: &Predictive,
        own: NoiseStd,
        reference: &Predictive,
        its: NoiseStd,
    ) -> Vec<f64> {
        predictive.cross_entropy(own, reference, its)
    }

    fn rmse(predictive: &Predictive, values: &Vec<f32>) -> Option<f64> {
        let squares = predictive.mean.iter().zip(values).map(|(m, y)| f64::from(y - m).powi(2));
        Some(mean(&squares.collect::<Vec<_>>()).sqrt())
    }

    fn calibration(Gaussian { noise_std }: Gaussian) -> NoiseStd {
        NoiseStd(f64::from(noise_std))
    }

    /// Any is neutral: mean and epistemic deviation do not depend on the noise.
    fn neutral(noise: NoiseStd) -> NoiseStd {
        noise
    }

    fn calibrate(
        Gaussian { noise_std }: Gaussian,
        _: usize,
        mean_nll: impl Fn(NoiseStd) -> f64,
    ) -> NoiseStd {
        NoiseStd::of_least(mean_nll, noise_std)
    }

    fn predict(&self, predictive: &Predictive, thresholds: Thresholds<NoiseStd>) -> Predictions {
        Predictions::of(predictive, self, thresholds)
    }

    fn uncalibrated(&self, predictions: &Predictions) -> Predictive {
        let Self { mean: center, std } = self;
        Predictive {
            mean: predictions.mean.iter().map(|mean| (mean - center) / std).collect(),
            variance: predictions.epistemic_std.iter().map(|e| (e / std).powi(2)).collect(),
        }
    }

    fn undo(&self, predictions: &Predictions, _: NoiseStd, likelihood: Gaussian) -> Predictions {
        let calibration = Self::calibration(likelihood);
        let open = Thresholds { calibration, conformal: Self::OPEN, epistemic: f32::MAX };
        self.predict(&self.uncalibrated(predictions), open)
    }

    /// A row scores its residual, and doubts by its epistemic deviation: in total and in aleatoric standard
    /// deviations.
    fn thresholds(
        calibration: NoiseStd,
        predictions: &Predictions,
        values: &Vec<f32>,
        coverage: f64,
    ) -> Thresholds<NoiseStd> {
        let residuals = predictions.mean.iter().zip(&predictions.std).zip(values);
        let scores = residuals.map(|((m, s), y)| (y - m).abs() / s).collect();
        Thresholds::of_scores(calibration, scores, predictions.epistemic_ratios(), coverage)
    }

    fn doubt(predictions: &Predictions) -> &[f32] {
        &predictions.epistemic_std
    }

    fn verdicts(predictions: &Predictions) -> &[bool] {
        &predictions.out_of_distribution
    }

    fn columns(&self) -> Vec<String> {
        Predictions::columns()
    }

    fn fields(&self, predictions: &Predictions, row: usize) -> Vec<String> {
        predictions.fields(row)
    }

    fn score(
        predictions: &Predictions,
        values: &Vec<f32>,
        _: Option<&Predictions>,
        verdicts: Verdicts,
    ) -> Scores {
        Scores::of(predictions, values, verdicts)
    }

    /// Mean total variation between the two normals of a row.
    fn total_variation(left: &Predictions, right: &Predictions) -> f64 {
        let both = left.normals().zip(right.normals());
        let each: Vec<f64> = both.map(|(l, r)| normal::total_variation(l, r)).collect();
        mean(&each)
    }

    fn output<'s>(
        &self,
        target: &'s str,
        _: &'s str,
        thresholds: Thresholds<NoiseStd>,
        coverage: f32,
    ) -> Output<'s> {
        let NoiseStd(noise) = thresholds.calibration;
        Output::Regression {
            target,
            mean: self.mean,
            std: self.std,
            noise_variance: (noise * noise) as f32,
            interval: thresholds.conformal.max(f32::MIN_POSITIVE),
            coverage,
            epistemic_threshold: thresholds.epistemic,
        }
    }
}
