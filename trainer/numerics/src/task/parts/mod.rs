//! Parts of whichever task a data set is of: an enum a part, one variant a kind of task.
//!
//! **Invariant:** all parts that meet are of one task, which the schema of a run names: targets are read by it,
//! [`Calibration::check`] refuses a record of another, and all else follows from these.

use serde::{Deserialize, Serialize};

use super::classification::{self, Categorical, Classes, Classification, Temperature};
use super::regression::{self, Gaussian, NoiseStd, Regression};

/// A task of any kind: what is predicted.
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
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
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
    /// Predictions of a class.
    Classification(classification::Predictions),
    /// Predictions of a number.
    Regression(regression::Predictions),
}

/// Scores of one set of predictions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Scores {
    /// Scores of a classifier.
    Classification(classification::Scores),
    /// Scores of a regressor.
    Regression(regression::Scores),
}

/// Evaluates an expression with parts as those of the kind of task that all of them are of; the expression
/// names that [`Task`](super::Task) as the macro's caller does before the semicolon.
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

mod learning;
mod predictions;
mod predictive;

pub use predictions::total_variation;
