//! Calibrated predictions of numbers.

use fiberwalk_runtime::Regression;

use super::super::{PerRow, Thresholds};
use super::{NoiseStd, Predictive};

/// Calibrated predictions of the target of `n` rows, in its own units; all `[n]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Predictions {
    /// Mean.
    pub mean: Vec<f32>,
    /// Total standard deviation.
    pub std: Vec<f32>,
    /// Epistemic standard deviation.
    pub epistemic_std: Vec<f32>,
    /// Lower end of the conformal interval.
    pub lower: Vec<f32>,
    /// Upper end of the conformal interval.
    pub upper: Vec<f32>,
    /// Out-of-distribution verdicts.
    pub out_of_distribution: Vec<bool>,
}

impl PerRow for Predictions {
    fn rows(&self) -> usize {
        self.out_of_distribution.len()
    }

    fn append(&mut self, other: Self) {
        self.mean.extend(other.mean);
        self.std.extend(other.std);
        self.epistemic_std.extend(other.epistemic_std);
        self.lower.extend(other.lower);
        self.upper.extend(other.upper);
        self.out_of_distribution.extend(other.out_of_distribution);
    }
}

impl Predictions {
    /// Calibrated predictions from a predictive of targets with this mean and standard deviation.
    pub(super) fn of(
        predictive: &Predictive,
        task: &super::Regression,
        thresholds: Thresholds<NoiseStd>,
    ) -> Self {
        let super::Regression { mean: center, std: scale } = *task;
        let NoiseStd(noise) = thresholds.calibration;
        let noise = noise as f32;
        let limit = thresholds.epistemic * noise * scale;
        let mut all = Self::default();
        for (mean, variance) in predictive.moments() {
            let mean = center + scale * mean;
            let std = scale * (variance + noise * noise).sqrt();
            let epistemic_std = scale * variance.sqrt();
            let end = |sign: f32| mean + sign * thresholds.conformal * std;
            all.lower.push(end(-1.0));
            all.upper.push(end(1.0));
            all.out_of_distribution.push(epistemic_std > limit);
            all.mean.push(mean);
            all.std.push(std);
            all.epistemic_std.push(epistemic_std);
        }
        all
    }

    /// The runtime's prediction of one row.
    pub(in crate::task) fn of_row(prediction: &Regression) -> Self {
        Self {
            mean: vec![prediction.mean],
            std: vec![prediction.std()],
            epistemic_std: vec![prediction.epistemic_std()],
            lower: vec![prediction.lower],
            upper: vec![prediction.upper],
            out_of_distribution: vec![prediction.out_of_distribution],
        }
    }

    /// Mean and total standard deviation of every row.
    pub(super) fn normals(&self) -> impl Iterator<Item = (f64, f64)> {
        self.mean.iter().zip(&self.std).map(|(&mean, &std)| (f64::from(mean), f64::from(std)))
    }

    /// Epistemic over aleatoric standard deviation of every row.
    pub(super) fn epistemic_ratios(&self) -> Vec<f32> {
        let ratio = |(&total, &epistemic): (&f32, &f32)| {
            let aleatoric = (total * total - epistemic * epistemic).max(0.0).sqrt();
            epistemic / aleatoric.max(f32::MIN_POSITIVE)
        };
        self.std.iter().zip(&self.epistemic_std).map(ratio).collect()
    }

    /// `mean,std,epistemic_std,lower,upper`.
    pub(super) fn columns() -> Vec<String> {
        ["mean", "std", "epistemic_std", "lower", "upper"].map(str::to_owned).to_vec()
    }

    /// Fields of a row under these names.
    pub(super) fn fields(&self, row: usize) -> Vec<String> {
        let columns = [&self.mean, &self.std, &self.epistemic_std, &self.lower, &self.upper];
        columns.map(|column| column[row].to_string()).to_vec()
    }
}
