//! Mixtures of networks, and their calibration.

use super::super::{PerRow, Select, Task, Thresholds};
use super::{
    AnyTask, Calibration, Classification, Likelihood, NoiseStd, Predictions, Predictive,
    Regression, Targets, Temperature,
};
use crate::metrics::mean;
use crate::network::{Architecture, Batch, outputs_of_each};

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

    /// Whether all of it is: networks that diverged predict nothing.
    pub fn is_finite(&self) -> bool {
        of_one_task!(T; own: Self = self => T::is_finite(own))
    }

    /// Checks that this is a predictive of a task, of so many rows and in range.
    ///
    /// # Errors
    /// A message that says what was expected.
    pub fn check(&self, task: &AnyTask, rows: usize) -> Result<(), String> {
        let is_sound = match (self, task) {
            (Self::Classification(own), AnyTask::Classification(Classification { classes })) => {
                own.is_sound(rows, classes.len())
            }
            (Self::Regression(own), AnyTask::Regression(_)) => own.is_sound(rows),
            _ => false,
        };
        let expected = || format!("found another predictive than one of the task and {rows} rows");
        is_sound.then_some(()).ok_or_else(expected)
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

    /// Checks that this is the calibration of a task, and in range.
    ///
    /// # Errors
    /// A message that says what was found, and what expected.
    pub fn check(self, task: &AnyTask) -> Result<(), String> {
        let expected = match task {
            AnyTask::Classification(_) => "a temperature",
            AnyTask::Regression(_) => "a standard deviation of noise",
        };
        let (found, value, is_of) = match self {
            Self::Classification(Temperature(value)) => ("a temperature", value, task.classifies()),
            Self::Regression(NoiseStd(value)) => {
                ("a standard deviation of noise", value, !task.classifies())
            }
        };
        match is_of && value.is_finite() && value > 0.0 {
            true => Ok(()),
            false => Err(format!("found {found} of {value}, expected {expected} above 0")),
        }
    }
}

impl Thresholds {
    /// Checks that they are those of a task's predictions.
    ///
    /// # Errors
    /// A message that says what was found, and what expected.
    pub fn check(&self, task: &AnyTask) -> Result<(), String> {
        self.calibration.check(task)?;
        // Where few rows are set aside a quantile may be infinite.
        match self.conformal.is_nan() || self.epistemic.is_nan() {
            true => Err("found a threshold that is no number".to_owned()),
            false => Ok(()),
        }
    }

    /// Thresholds before any row was seen: every class is in the set and nothing is out of distribution.
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
