//! A task: what is predicted of a row, and all that follows from it.
//!
//! [`Task`] lists what a kind of task consists of and what is computed with it; [`classification`] and
//! [`regression`] are the kinds. Data, runs and artifacts hold parts of whichever task they are of:
//! [`AnyTask`], [`Targets`], [`Likelihood`], … have one variant a kind, and their methods find the kind once
//! and go on with its types (`parts/`). Another kind is a folder beside these two and a variant of those.

pub mod classification;
mod minimum;
mod objective;
mod parts;
pub mod regression;
#[cfg(test)]
mod tests;
mod thresholds;

use std::ops::Range;

use fiberwalk_formats::Output;
use rand_xoshiro::Xoshiro256PlusPlus;

pub use classification::{Classes, Classification, Temperature};
pub use objective::Objective;
pub use parts::{
    AnyTask, Calibration, Likelihood, Predictions, Predictive, Scores, Targets, total_variation,
};
pub use regression::{Gaussian, NoiseStd, Regression};
pub use thresholds::Thresholds;

/// What share of its law a set of draws is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// Some independent draws: no two of them stand for the same.
    Some,
    /// All that the law has, equally likely: the second of two draws is the first as often as any other.
    All,
}

/// Smallest probability whose logarithm is taken.
const SMALLEST_PROBABILITY: f64 = f32::MIN_POSITIVE as f64;

/// Values of `n` rows.
pub trait PerRow: Sized {
    /// Number of rows n.
    fn rows(&self) -> usize;

    /// Appends the rows of `other`.
    fn append(&mut self, other: Self);
}

/// Values of rows of which some can be taken out.
pub trait Select: PerRow {
    /// The rows of these indices, in their order.
    fn subset(&self, rows: &[usize]) -> Self;
}

/// Scores that are the same figure in every task.
#[derive(Clone, Copy, Debug)]
pub struct Verdicts {
    /// Area under the ROC curve of the rows' doubt, test rows against foreign ones, where there are some.
    pub ood_auroc: Option<f64>,
    /// Share of the test rows judged out of distribution.
    pub flagged: f64,
    /// Share of the foreign rows judged out of distribution.
    pub ood_flagged: Option<f64>,
}

/// A kind of task. A value of it is what one data set's task adds: names of classes, units of the target.
///
/// Networks are functions to C outputs; blocks of outputs are `[C, rows]`. Targets are standardised where they
/// are learned from, and in original units where predictions are judged by them.
pub trait Task: Sized {
    /// Targets, one a row.
    type Targets: Select;
    /// p(y | f): how outputs f become a distribution of the target.
    type Likelihood: Copy;
    /// An equal mixture of networks at some rows, standardised units.
    type Predictive: Select;
    /// One number that makes a predictive match held-out rows.
    type Calibration: Copy;
    /// Calibrated predictions of some rows, original units.
    type Predictions: PerRow;
    /// Scores of predictions on rows whose targets are known.
    type Scores;

    /// Conformal threshold before any row was seen.
    const OPEN: f32;

    /// Number of network outputs C.
    fn outputs(&self) -> usize;

    /// A standardised target of 0 in original units.
    fn origin(&self) -> f32;

    /// One standardised unit of the target in original ones.
    fn unit(&self) -> f32;

    /// Targets in the units that a network learns them in.
    fn standardise(&self, targets: &Self::Targets) -> Self::Targets;

    /// Targets from numbers, one a row: the inverse of [`Self::values`].
    ///
    /// # Errors
    /// A number that is no target; a message says which.
    fn targets(&self, values: Vec<f32>) -> Result<Self::Targets, String>;

    /// Targets as numbers, one a row.
    fn values(targets: &Self::Targets) -> Vec<f32>;

    // Learning.

    /// Replaces `outputs: [C, rows]` by the gradient of Σ −log p(y | f) with respect to them and returns that
    /// sum, in nats. `rows` are those of the targets.
    fn nll_gradient(
        likelihood: Self::Likelihood,
        targets: &Self::Targets,
        rows: Range<usize>,
        outputs: &mut [f32],
    ) -> f64;

    /// Replaces `outputs: [C, rows]` by the gradient of −log p(ỹ | f), ỹ ~ p(· | f).
    fn sampled_gradient(
        likelihood: Self::Likelihood,
        outputs: &mut [f32],
        rows: usize,
        rng: &mut Xoshiro256PlusPlus,
    );

    /// Mean −log p(y) of a model that ignores the inputs, nats; targets standardised.
    fn constant_nll(likelihood: Self::Likelihood, targets: &Self::Targets) -> f64;

    /// The likelihood that a predictive under `calibration` stands for.
    fn likelihood(calibration: Self::Calibration) -> Self::Likelihood;

    // The predictive and its calibration.

    /// The mixture of networks with these outputs, `[N][C, rows]`.
    fn mixture(outputs: Vec<Vec<f32>>, rows: usize) -> Self::Predictive;

    /// Whether all of a mixture is: networks that diverged predict nothing.
    fn is_finite(predictive: &Self::Predictive) -> bool;

    /// The mixture of two mixtures of the same rows, of which `other` has this share of the networks.
    fn mixed(own: &Self::Predictive, other: &Self::Predictive, share: f32) -> Self::Predictive;

    /// Expected −log p̄(y | x), y drawn from `reference` and p̄ the predictive of `draws`, blocks `[C, rows]`
    /// of outputs of which the first `weights.len()` rows count; averaged over rows with these `weights`.
    /// Returns the mean in nats and its gradient with respect to every draw.
    fn divergence(
        likelihood: Self::Likelihood,
        draws: &[Vec<f32>],
        of: Share,
        rows: usize,
        reference: &Self::Predictive,
        weights: &[f32],
    ) -> (f64, Vec<Vec<f32>>);

    /// −log p(y | x) of every row after `calibration`, nats; targets standardised.
    fn nll(
        predictive: &Self::Predictive,
        targets: &Self::Targets,
        calibration: Self::Calibration,
    ) -> Vec<f64>;

    /// Expected −log p(y | x) of every row under `own` calibration, y drawn from `reference` under `its`, nats.
    fn cross_entropy(
        predictive: &Self::Predictive,
        own: Self::Calibration,
        reference: &Self::Predictive,
        its: Self::Calibration,
    ) -> Vec<f64>;

    /// Root mean square error of the mean, standardised units; none where the target has no mean.
    fn rmse(predictive: &Self::Predictive, targets: &Self::Targets) -> Option<f64>;

    /// The calibration that leaves a likelihood as it is.
    fn calibration(likelihood: Self::Likelihood) -> Self::Calibration;

    /// The calibration under which [`Self::uncalibrated`] finds the predictive behind predictions.
    fn neutral(calibration: Self::Calibration) -> Self::Calibration;

    /// The calibration of least `mean_nll` over `rows` rows, for networks trained with `likelihood`.
    fn calibrate(
        likelihood: Self::Likelihood,
        rows: usize,
        mean_nll: impl Fn(Self::Calibration) -> f64,
    ) -> Self::Calibration;

    // Predictions.

    /// Calibrated predictions from a predictive.
    fn predict(
        &self,
        predictive: &Self::Predictive,
        thresholds: Thresholds<Self::Calibration>,
    ) -> Self::Predictions;

    /// The predictive behind predictions that were made at the [neutral](Self::neutral) calibration.
    fn uncalibrated(&self, predictions: &Self::Predictions) -> Self::Predictive;

    /// Undoes `calibration`: returns what networks trained with `likelihood` predict without it, with open thresholds.
    fn undo(
        &self,
        predictions: &Self::Predictions,
        calibration: Self::Calibration,
        likelihood: Self::Likelihood,
    ) -> Self::Predictions;

    /// Thresholds from predictions of the calibration rows, made with open thresholds.
    fn thresholds(
        calibration: Self::Calibration,
        predictions: &Self::Predictions,
        targets: &Self::Targets,
        coverage: f64,
    ) -> Thresholds<Self::Calibration>;

    /// Figure that tells out-of-distribution rows, `[n]`: the larger, the more doubtful is the row.
    fn doubt(predictions: &Self::Predictions) -> &[f32];

    /// Out-of-distribution verdicts, `[n]`.
    fn verdicts(predictions: &Self::Predictions) -> &[bool];

    /// Names of the columns of predictions, the verdict excepted.
    fn columns(&self) -> Vec<String>;

    /// Fields of a row of predictions under those names.
    fn fields(&self, predictions: &Self::Predictions, row: usize) -> Vec<String>;

    /// Scores predictions of rows with these targets, original units; `foreign` are predictions of rows from
    /// elsewhere.
    fn score(
        predictions: &Self::Predictions,
        targets: &Self::Targets,
        foreign: Option<&Self::Predictions>,
        verdicts: Verdicts,
    ) -> Self::Scores;

    /// Mean total variation between two predictions of the same rows: half of the integral of |p − q|.
    fn total_variation(left: &Self::Predictions, right: &Self::Predictions) -> f64;

    /// The output of an artifact with these thresholds. `classes` are the lines of [`AnyTask::names`].
    fn output<'s>(
        &self,
        target: &'s str,
        classes: &'s str,
        thresholds: Thresholds<Self::Calibration>,
        coverage: f32,
    ) -> Output<'s>;
}
