//! Targets that networks learn, under the likelihood of their task.

use std::ops::Range;

use fiberwalk_formats::Output;
use rand_xoshiro::Xoshiro256PlusPlus;

use super::super::{PerRow, Select, Share, Task, Thresholds};
use super::{
    AnyTask, Calibration, Categorical, Classes, Classification, Gaussian, Likelihood, Predictions,
    Predictive, Regression, Targets,
};

impl AnyTask {
    /// Number of network outputs: classes, or 1.
    pub fn outputs(&self) -> usize {
        of_one_task!(T; task: Self = self => T::outputs(task))
    }

    /// A standardised target of 0 in original units; 0 of classes.
    pub fn origin(&self) -> f32 {
        of_one_task!(T; task: Self = self => T::origin(task))
    }

    /// One standardised unit of the target in original ones; 1 of classes.
    pub fn unit(&self) -> f32 {
        of_one_task!(T; task: Self = self => T::unit(task))
    }

    /// Names of the classes, in the order of their indices; none of a number.
    pub fn names(&self) -> Option<&[String]> {
        match self {
            Self::Classification(task) => Some(&task.classes),
            Self::Regression(_) => None,
        }
    }

    /// Whether a class is predicted.
    pub const fn classifies(&self) -> bool {
        matches!(self, Self::Classification(_))
    }

    /// Targets in the units that a network learns them in.
    pub fn standardise(&self, targets: &Targets) -> Targets {
        of_one_task!(T; task: Self = self, targets: Targets = targets =>
            T::standardise(task, targets).into())
    }

    /// Targets from numbers, one a row, as [`Targets::to_values`] has them.
    ///
    /// # Errors
    /// A number that is no target; a message says which.
    pub fn targets(&self, values: Vec<f32>) -> Result<Targets, String> {
        of_one_task!(T; task: Self = self => T::targets(task, values).map(Into::into))
    }

    /// The predictive behind predictions that were made at the neutral calibration
    /// ([`Calibration::neutral`]).
    pub fn uncalibrated(&self, predictions: &Predictions) -> Predictive {
        of_one_task!(T; task: Self = self, predictions: Predictions = predictions =>
            T::uncalibrated(task, predictions).into())
    }

    /// Undoes `calibration`: returns what networks trained with `likelihood` predict without it, with open thresholds.
    pub fn undo(
        &self,
        predictions: &Predictions,
        calibration: Calibration,
        likelihood: Likelihood,
    ) -> Predictions {
        of_one_task!(T;
            task: Self = self,
            predictions: Predictions = predictions,
            calibration: Calibration = calibration,
            likelihood: Likelihood = likelihood
            => T::undo(task, predictions, calibration, likelihood).into())
    }

    /// The output of an artifact for a `target` with this name; `classes` are the lines of [`Self::names`].
    pub fn output<'s>(
        &self,
        target: &'s str,
        classes: &'s str,
        thresholds: Thresholds,
        coverage: f32,
    ) -> Output<'s> {
        of_one_task!(T; task: Self = self, calibration: Calibration = thresholds.calibration =>
            T::output(task, target, classes, thresholds.under(calibration), coverage))
    }
}

impl Targets {
    /// Indices of classes of which there are so many.
    pub fn classes(labels: Vec<u32>, classes: usize) -> Self {
        Classes { labels, classes }.into()
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        of_one_task!(T; own: Self = self => PerRow::rows(own))
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Targets as numbers, one a row: values, or indices of classes.
    pub fn to_values(&self) -> Vec<f32> {
        of_one_task!(T; own: Self = self => T::values(own))
    }

    /// The targets of the named rows.
    pub fn subset(&self, rows: &[usize]) -> Self {
        of_one_task!(T; own: Self = self => Select::subset(own, rows).into())
    }

    /// Appends the rows of `other`, which is of the same task.
    pub fn append(&mut self, other: Self) {
        of_one_task!(T; own: Self = self, other: Self = other =>
            PerRow::append(own, other));
    }

    /// Mean −log p(y) of a model that ignores the inputs, nats, under the network's own likelihood: class
    /// frequencies, or a constant. Targets are standardised.
    pub fn constant_nll(&self, likelihood: Likelihood) -> f64 {
        of_one_task!(T; own: Self = self, likelihood: Likelihood = likelihood =>
            T::constant_nll(likelihood, own))
    }
}

impl Likelihood {
    /// Softmax over the outputs.
    pub const CATEGORICAL: Self = Self::Classification(Categorical);

    /// Normal with the output as mean and this standard deviation, standardised target units.
    pub const fn gaussian(noise_std: f32) -> Self {
        Self::Regression(Gaussian { noise_std })
    }

    /// Replaces `outputs: [C, rows]` by the gradient of Σ −log p(y | f) with respect to them and
    /// returns that sum, in nats. `rows` selects the targets.
    pub fn nll_gradient(self, targets: &Targets, rows: Range<usize>, outputs: &mut [f32]) -> f64 {
        of_one_task!(T; own: Self = self, targets: Targets = targets =>
            T::nll_gradient(own, targets, rows, outputs))
    }

    /// Replaces `outputs: [C, rows]` by the gradient of −log p(ỹ | f), ỹ ~ p(· | f).
    pub fn sampled_gradient(self, outputs: &mut [f32], rows: usize, rng: &mut Xoshiro256PlusPlus) {
        of_one_task!(T; own: Self = self => T::sampled_gradient(own, outputs, rows, rng));
    }

    /// The mixture of networks with these `outputs: [N][C, rows]`.
    pub fn mixture(self, outputs: Vec<Vec<f32>>, rows: usize) -> Predictive {
        of_one_task!(T; _own: Self = self => T::mixture(outputs, rows).into())
    }

    /// Expected −log p̄(y | x), y drawn from `reference` and p̄ the predictive of `draws`, averaged over rows x
    /// with these `weights`: up to a constant the divergence KL(reference ‖ p̄), least where the predictives are
    /// the same.
    ///
    /// `draws` are blocks `[C, rows]` of outputs, of which the first `weights.len()` rows count.
    /// A mixture of normals is scored as the normal of its moments. Returns the mean in nats and its
    /// gradient with respect to every draw.
    pub fn divergence(
        self,
        draws: &[Vec<f32>],
        of: Share,
        rows: usize,
        reference: &Predictive,
        weights: &[f32],
    ) -> (f64, Vec<Vec<f32>>) {
        of_one_task!(T; own: Self = self, reference: Predictive = reference =>
            T::divergence(own, draws, of, rows, reference, weights))
    }
}
