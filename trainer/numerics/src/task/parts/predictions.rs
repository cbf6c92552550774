//! Calibrated predictions, and their scores.

use fiberwalk_runtime::Prediction;

use super::super::{PerRow, Task, Verdicts};
use super::{
    AnyTask, Classification, Predictions, Regression, Scores, Targets, classification, regression,
};
use crate::metrics::{auroc, average};

/// Name of the column of verdicts.
const VERDICT: &str = "out_of_distribution";

impl Predictions {
    /// No rows yet: of `classes` classes, or of a number.
    pub fn empty(classes: Option<usize>) -> Self {
        match classes {
            Some(classes) => classification::Predictions::empty(classes).into(),
            None => regression::Predictions::default().into(),
        }
    }

    /// The runtime's prediction of one row.
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

    /// Figure that tells out-of-distribution rows: predictive entropy, or epistemic deviation, `[n]`.
    pub fn doubt(&self) -> &[f32] {
        of_one_task!(T; own: Self = self => T::doubt(own))
    }

    /// Out-of-distribution verdicts, `[n]`.
    pub fn out_of_distribution(&self) -> &[bool] {
        of_one_task!(T; own: Self = self => T::verdicts(own))
    }

    /// Fields of a row under the names that [`AnyTask::columns`] has.
    #[doc(hidden)]
    pub fn fields(&self, task: &AnyTask, row: usize) -> Vec<String> {
        of_one_task!(T; task: AnyTask = task, own: Self = self => {
            let verdict = T::verdicts(own)[row].to_string();
            [T::fields(task, own, row), vec![verdict]].concat()
        })
    }
}

impl AnyTask {
    /// Names of the fields that a prediction has in a file.
    pub fn columns(&self) -> Vec<String> {
        of_one_task!(T; task: Self = self => [T::columns(task), vec![VERDICT.to_owned()]].concat())
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
