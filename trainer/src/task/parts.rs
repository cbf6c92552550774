//! Parts of whichever task a data set is of: an enum a part, one variant a kind of task.
//!
//! **Invariant:** all parts that meet are of one task, which the schema of a run names. What is read from a
//! run's files is refused where it is of another ([`AnyTask::check`]); all else follows from such parts.

use std::ops::Range;
use std::path::Path;

use anyhow::Context;
use fiberwalk_formats::Output;
use fiberwalk_runtime::Prediction;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

use super::classification::{self, Categorical, Classes, Classification, Temperature};
use super::regression::{self, Gaussian, NoiseStd, Regression};
use super::{PerRow, Select, Task, Thresholds, Verdicts};
use crate::metrics::{auroc, average, mean};
use crate::network::{Architecture, Batch, outputs_of_each};
use crate::run_dir::write_atomically;

/// Name of the column of verdicts.
const VERDICT: &str = "out_of_distribution";

/// What is predicted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AnyTask {
    /// One of some classes.
    Classification(Classification),
    /// A number.
    Regression(Regression),
}

/// Targets, one a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Targets {
    /// Indices of classes.
    Classification(Classes),
    /// Values, `[n]`.
    Regression(Vec<f32>),
}

/// p(y | f): how outputs become a distribution of the target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Likelihood {
    /// Softmax over the outputs.
    Classification(Categorical),
    /// Normal with the output as mean.
    Regression(Gaussian),
}

/// An equal mixture of networks, at some inputs.
#[derive(Clone, Debug)]
pub enum Predictive {
    /// Mean class probabilities.
    Classification(classification::Predictive),
    /// Moments of the networks' outputs.
    Regression(regression::Predictive),
}

/// One number that makes a predictive match held-out rows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Calibration {
    /// Temperature of the averaged predictive.
    #[serde(rename = "temperature")]
    Classification(Temperature),
    /// Standard deviation of the noise.
    #[serde(rename = "noise_std")]
    Regression(NoiseStd),
}

/// Calibrated predictions of `n` rows.
#[derive(Clone, Debug, PartialEq)]
pub enum Predictions {
    /// Of a class.
    Classification(classification::Predictions),
    /// Of a number.
    Regression(regression::Predictions),
}

/// Scores of one set of predictions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Scores {
    /// Of a classifier.
    Classification(classification::Scores),
    /// Of a regressor.
    Regression(regression::Scores),
}

/// Evaluates an expression with parts as those of the kind of task that all of them are of; the expression
/// names that [`Task`] as the macro's caller does before the semicolon.
macro_rules! of_one_task {
    ($task:ident; $($part:ident: $enum:ident = $value:expr),+ => $result:expr) => {
        match ($($value,)+) {
            ($($enum::Classification($part),)+) => {
                #[allow(dead_code, reason = "not every expression names the task")]
                type $task = Classification;
                $result
            }
            ($($enum::Regression($part),)+) => {
                #[allow(dead_code, reason = "not every expression names the task")]
                type $task = Regression;
                $result
            }
            #[allow(unreachable_patterns, reason = "one part alone is always of one task")]
            _ => unreachable!("all parts that meet are of one task"),
        }
    };
}

/// A kind's own part becomes the variant of that kind.
macro_rules! from_parts {
    ($($enum:ident: $classification:ty, $regression:ty;)+) => {$(
        impl From<$classification> for $enum {
            fn from(part: $classification) -> Self {
                Self::Classification(part)
            }
        }

        impl From<$regression> for $enum {
            fn from(part: $regression) -> Self {
                Self::Regression(part)
            }
        }
    )+};
}

from_parts! {
    AnyTask: Classification, Regression;
    Targets: Classes, Vec<f32>;
    Likelihood: Categorical, Gaussian;
    Predictive: classification::Predictive, regression::Predictive;
    Calibration: Temperature, NoiseStd;
    Predictions: classification::Predictions, regression::Predictions;
    Scores: classification::Scores, regression::Scores;
}

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

    /// Refuses the calibration of another task, and one that is no number above 0.
    ///
    /// # Errors
    /// Says which calibration was found, and which expected.
    pub fn check(&self, calibration: Calibration) -> Result<(), String> {
        let value = match (self, calibration) {
            (Self::Classification(_), Calibration::Classification(Temperature(value)))
            | (Self::Regression(_), Calibration::Regression(NoiseStd(value))) => value,
            (Self::Classification(_), Calibration::Regression(_)) => {
                let found = "found a standard deviation of noise";
                return Err(format!("{found}, expected a temperature: a class is predicted"));
            }
            (Self::Regression(_), Calibration::Classification(_)) => {
                let found = "found a temperature";
                return Err(format!(
                    "{found}, expected a standard deviation of noise: a number is predicted"
                ));
            }
        };
        match value.is_finite() && value > 0.0 {
            true => Ok(()),
            false => Err(format!("found the calibration {value}, expected a number above 0")),
        }
    }

    /// The predictive behind predictions that were made at the neutral calibration
    /// ([`Calibration::neutral`]).
    pub fn uncalibrated(&self, predictions: &Predictions) -> Predictive {
        of_one_task!(T; task: Self = self, predictions: Predictions = predictions =>
            T::uncalibrated(task, predictions).into())
    }

    /// What was predicted under `calibration` as networks predict it that were trained with `likelihood` and not
    /// calibrated, with open thresholds.
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
        rows: usize,
        reference: &Predictive,
        weights: &[f32],
    ) -> (f64, Vec<Vec<f32>>) {
        of_one_task!(T; own: Self = self, reference: Predictive = reference =>
            T::divergence(own, draws, rows, reference, weights))
    }
}

impl Calibration {
    /// The calibration that leaves a likelihood as it is.
    pub fn of(likelihood: Likelihood) -> Self {
        of_one_task!(T; likelihood: Likelihood = likelihood => T::calibration(likelihood).into())
    }

    /// The likelihood that a predictive under this calibration stands for.
    pub fn likelihood(self) -> Likelihood {
        of_one_task!(T; own: Self = self => T::likelihood(own).into())
    }

    /// The calibration of the same kind that leaves class probabilities as they are.
    pub fn neutral(self) -> Self {
        of_one_task!(T; own: Self = self => T::neutral(own).into())
    }
}

impl Predictive {
    /// Evaluates `thetas: [N][P]` at every row of `batch`, for targets of this kind.
    pub fn of(
        architecture: &Architecture,
        targets: &Targets,
        thetas: &[Vec<f32>],
        batch: &Batch,
    ) -> Self {
        let outputs = outputs_of_each(architecture, thetas, batch);
        of_one_task!(T; _targets: Targets = targets => T::mixture(outputs, batch.rows()).into())
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        of_one_task!(T; own: Self = self => PerRow::rows(own))
    }

    /// The rows of the named indices.
    pub fn select(&self, indices: &[usize]) -> Self {
        of_one_task!(T; own: Self = self => Select::subset(own, indices).into())
    }

    /// Appends the rows of `other`, which is of the same task.
    pub fn append(&mut self, other: Self) {
        of_one_task!(T; own: Self = self, other: Self = other =>
            PerRow::append(own, other));
    }

    /// The mixture of the `own` networks of this predictive and the `its` networks of `other`, which
    /// is of the same task and rows.
    #[must_use]
    pub fn mixed(&self, own: usize, other: &Self, its: usize) -> Self {
        let share = its as f32 / (own + its) as f32;
        of_one_task!(T; own: Self = self, other: Self = other => T::mixed(own, other, share).into())
    }

    /// −log p(y | x) of every row after `calibration`, nats; regression in standardised units.
    pub fn nll(&self, targets: &Targets, calibration: Calibration) -> Vec<f64> {
        of_one_task!(T;
            own: Self = self,
            targets: Targets = targets,
            calibration: Calibration = calibration
            => T::nll(own, targets, calibration))
    }

    /// Root mean square error of the mean, standardised units; none for classification.
    pub fn rmse(&self, targets: &Targets) -> Option<f64> {
        of_one_task!(T; own: Self = self, targets: Targets = targets => T::rmse(own, targets))
    }

    /// The calibration of least mean NLL on held-out `targets`, for networks trained with `likelihood`.
    pub fn calibrate(&self, targets: &Targets, likelihood: Likelihood) -> Calibration {
        of_one_task!(T;
        own: Self = self,
        targets: Targets = targets,
        likelihood: Likelihood = likelihood
        => {
            let nll = |calibration| mean(&T::nll(own, targets, calibration));
            T::calibrate(likelihood, own.rows(), nll).into()
        })
    }

    /// The calibration under which this predictive comes closest to `reference` under its own, by
    /// the expected NLL of what the reference predicts at the same rows. No targets are needed.
    pub fn calibrate_to(&self, reference: &Self, calibration: Calibration) -> Calibration {
        of_one_task!(T;
        own: Self = self,
        reference: Self = reference,
        calibration: Calibration = calibration
        => {
            let nll = |candidate| {
                mean(&T::cross_entropy(own, candidate, reference, calibration))
            };
            T::calibrate(T::likelihood(calibration), usize::MAX, nll).into()
        })
    }

    /// Expected −log p(y | x) of every row, y drawn from `reference`, nats.
    pub fn cross_entropy(&self, own: Calibration, reference: &Self, its: Calibration) -> Vec<f64> {
        of_one_task!(T;
            predictive: Self = self,
            own: Calibration = own,
            reference: Self = reference,
            its: Calibration = its
            => T::cross_entropy(predictive, own, reference, its))
    }
}

impl Thresholds {
    /// Before any row was seen: every class is in the set and nothing is out of distribution.
    pub fn open(calibration: Calibration) -> Self {
        let conformal = of_one_task!(T; _calibration: Calibration = calibration => T::OPEN);
        Self { calibration, conformal, epistemic: f32::MAX }
    }

    /// Thresholds from predictions of the calibration rows, made with open thresholds, and those rows' targets
    /// in original units.
    pub fn fit(
        calibration: Calibration,
        predictions: &Predictions,
        targets: &Targets,
        coverage: f64,
    ) -> Self {
        of_one_task!(T;
            own: Calibration = calibration,
            predictions: Predictions = predictions,
            targets: Targets = targets
            => T::thresholds(own, predictions, targets, coverage).under(calibration))
    }

    /// Calibrated predictions of a task from a raw predictive.
    pub fn apply(&self, predictive: &Predictive, task: &AnyTask) -> Predictions {
        of_one_task!(T;
            task: AnyTask = task,
            predictive: Predictive = predictive,
            calibration: Calibration = self.calibration
            => T::predict(task, predictive, self.under(calibration)).into())
    }
}

impl Predictions {
    /// No rows yet: of `classes` classes, or of a number.
    pub fn empty(classes: Option<usize>) -> Self {
        match classes {
            Some(classes) => classification::Predictions::empty(classes).into(),
            None => regression::Predictions::default().into(),
        }
    }

    /// What the runtime predicts of one row.
    pub fn of_row(prediction: &Prediction<'_>) -> Self {
        match prediction {
            Prediction::Classification(prediction) => {
                classification::Predictions::of_row(prediction).into()
            }
            Prediction::Regression(prediction) => {
                regression::Predictions::of_row(prediction).into()
            }
        }
    }

    /// Appends the rows of `other`, which is of the same model.
    pub fn append(&mut self, other: Self) {
        of_one_task!(T; own: Self = self, other: Self = other =>
            PerRow::append(own, other));
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        of_one_task!(T; own: Self = self => PerRow::rows(own))
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// By what out-of-distribution rows are told: predictive entropy, or epistemic deviation, `[n]`.
    pub fn doubt(&self) -> &[f32] {
        of_one_task!(T; own: Self = self => T::doubt(own))
    }

    /// Out-of-distribution verdicts, `[n]`.
    pub fn out_of_distribution(&self) -> &[bool] {
        of_one_task!(T; own: Self = self => T::verdicts(own))
    }

    /// Writes one row a prediction: `p0,p1,…,entropy,mutual_information,set,out_of_distribution` or
    /// `mean,std,epistemic_std,lower,upper,out_of_distribution`; the last is `true` or `false`.
    ///
    /// # Errors
    /// The file cannot be written; then nothing is left of it.
    pub fn write_csv(&self, path: &Path) -> anyhow::Result<()> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        of_one_task!(T; own: Self = self => {
            writer.write_record(T::columns(own).iter().map(String::as_str).chain([VERDICT]))?;
            for (row, verdict) in T::verdicts(own).iter().enumerate() {
                let verdict = verdict.to_string();
                writer.write_record(T::fields(own, row).into_iter().chain([verdict]))?;
            }
        });
        let bytes = writer.into_inner().context("cannot format the predictions")?;
        write_atomically(path, &bytes)
    }
}

impl Scores {
    /// Scores `predictions` of rows with these targets, original units; `foreign` are predictions of rows from
    /// elsewhere.
    pub fn of(predictions: &Predictions, targets: &Targets, foreign: Option<&Predictions>) -> Self {
        let flagged = |of: &Predictions| {
            average(of.out_of_distribution().iter().map(|&foreign| f64::from(foreign)))
        };
        let verdicts = Verdicts {
            ood_auroc: foreign.map(|foreign| auroc(predictions.doubt(), foreign.doubt())),
            flagged: flagged(predictions),
            ood_flagged: foreign.map(flagged),
        };
        match foreign {
            None => of_one_task!(T;
                own: Predictions = predictions,
                targets: Targets = targets
                => T::score(own, targets, None, verdicts).into()),
            Some(foreign) => of_one_task!(T;
                own: Predictions = predictions,
                targets: Targets = targets,
                foreign: Predictions = foreign
                => T::score(own, targets, Some(foreign), verdicts).into()),
        }
    }

    /// Mean negative log-likelihood, nats.
    pub const fn nll(&self) -> f64 {
        match self {
            Self::Classification(scores) => scores.nll,
            Self::Regression(scores) => scores.nll,
        }
    }

    /// AUROC of telling foreign rows, where there were some.
    pub const fn ood_auroc(&self) -> Option<f64> {
        match self {
            Self::Classification(scores) => scores.ood_auroc,
            Self::Regression(scores) => scores.ood_auroc,
        }
    }
}

/// Mean total variation between two predictions of the same rows: ½ Σ |p − q| over classes, or between
/// the two normals.
pub fn total_variation(left: &Predictions, right: &Predictions) -> f64 {
    of_one_task!(T; left: Predictions = left, right: Predictions = right =>
        T::total_variation(left, right))
}
