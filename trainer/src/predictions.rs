//! Predictions for many rows, and their CSV file.

use std::path::Path;

use anyhow::Context;
use fiberwalk_runtime::Prediction;

use crate::data::{Schema, Task};
use crate::predictive::Predictive;
use crate::run_dir::write_atomically;

/// Calibrated predictions of `n` rows.
#[derive(Clone, Debug, PartialEq)]
pub enum Predictions {
    /// Of a class.
    Classification {
        /// Number of classes C.
        classes: usize,
        /// Row-major `[n, C]`.
        probabilities: Vec<f32>,
        /// Entropy of the probabilities, nats, `[n]`.
        entropy: Vec<f32>,
        /// Mutual information between class and weights, nats, `[n]`.
        mutual_information: Vec<f32>,
        /// Conformal prediction sets, class indices, `[n]`.
        sets: Vec<Vec<usize>>,
        /// Out-of-distribution verdicts, `[n]`.
        out_of_distribution: Vec<bool>,
    },
    /// Of a number, in the target's own units; all `[n]`.
    Regression {
        /// Mean.
        mean: Vec<f32>,
        /// Total standard deviation.
        std: Vec<f32>,
        /// Epistemic standard deviation.
        epistemic_std: Vec<f32>,
        /// Lower end of the conformal interval.
        lower: Vec<f32>,
        /// Upper end of the conformal interval.
        upper: Vec<f32>,
        /// Out-of-distribution verdicts.
        out_of_distribution: Vec<bool>,
    },
}

/// Name of the column of verdicts.
const VERDICT: &str = "out_of_distribution";

impl Predictions {
    /// No rows yet: of `classes` classes, or of a number.
    pub fn empty(classes: Option<usize>) -> Self {
        match classes {
            Some(classes) => Self::Classification {
                classes,
                probabilities: Vec::new(),
                entropy: Vec::new(),
                mutual_information: Vec::new(),
                sets: Vec::new(),
                out_of_distribution: Vec::new(),
            },
            None => Self::Regression {
                mean: Vec::new(),
                std: Vec::new(),
                epistemic_std: Vec::new(),
                lower: Vec::new(),
                upper: Vec::new(),
                out_of_distribution: Vec::new(),
            },
        }
    }

    /// The predictive behind predictions that were made at the neutral calibration (see
    /// [`Calibration::neutral`](crate::predictive::Calibration::neutral)).
    pub fn uncalibrated(&self, schema: &Schema) -> Predictive {
        match (self, &schema.task) {
            (
                Self::Classification {
                    classes, probabilities, entropy, mutual_information, ..
                },
                _,
            ) => {
                let both = entropy.iter().zip(mutual_information);
                Predictive::Classification {
                    classes: *classes,
                    probabilities: probabilities.clone(),
                    expected_entropy: both.map(|(total, mutual)| total - mutual).collect(),
                }
            }
            (
                Self::Regression { mean, epistemic_std, .. },
                Task::Regression { mean: center, std },
            ) => Predictive::Regression {
                mean: mean.iter().map(|mean| (mean - center) / std).collect(),
                variance: epistemic_std.iter().map(|e| (e / std).powi(2)).collect(),
            },
            _ => unreachable!("predictions and schema are of one task"),
        }
    }

    /// What the runtime predicts of one row.
    pub fn of_row(prediction: &Prediction<'_>) -> Self {
        match prediction {
            Prediction::Classification(class) => Self::Classification {
                classes: class.probabilities.len(),
                probabilities: class.probabilities.to_vec(),
                entropy: vec![class.entropy],
                mutual_information: vec![class.mutual_information],
                sets: vec![class.set().collect()],
                out_of_distribution: vec![class.out_of_distribution],
            },
            Prediction::Regression(value) => Self::Regression {
                mean: vec![value.mean],
                std: vec![value.std()],
                epistemic_std: vec![value.epistemic_std()],
                lower: vec![value.lower],
                upper: vec![value.upper],
                out_of_distribution: vec![value.out_of_distribution],
            },
        }
    }

    /// Appends the rows of `other`, which is of the same model.
    pub fn append(&mut self, other: Self) {
        match (self, other) {
            (
                Self::Classification {
                    probabilities,
                    entropy,
                    mutual_information,
                    sets,
                    out_of_distribution,
                    ..
                },
                Self::Classification {
                    probabilities: p,
                    entropy: h,
                    mutual_information: i,
                    sets: set,
                    out_of_distribution: foreign,
                    ..
                },
            ) => {
                probabilities.extend(p);
                entropy.extend(h);
                mutual_information.extend(i);
                sets.extend(set);
                out_of_distribution.extend(foreign);
            }
            (
                Self::Regression { mean, std, epistemic_std, lower, upper, out_of_distribution },
                Self::Regression {
                    mean: m,
                    std: s,
                    epistemic_std: e,
                    lower: l,
                    upper: u,
                    out_of_distribution: foreign,
                },
            ) => {
                mean.extend(m);
                std.extend(s);
                epistemic_std.extend(e);
                lower.extend(l);
                upper.extend(u);
                out_of_distribution.extend(foreign);
            }
            _ => unreachable!("a model has one task"),
        }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.doubt().len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What out-of-distribution rows are told by: predictive entropy, or epistemic deviation.
    pub fn doubt(&self) -> &[f32] {
        match self {
            Self::Classification { entropy, .. } => entropy,
            Self::Regression { epistemic_std, .. } => epistemic_std,
        }
    }

    /// Out-of-distribution verdicts, `[n]`.
    pub fn out_of_distribution(&self) -> &[bool] {
        match self {
            Self::Classification { out_of_distribution, .. }
            | Self::Regression { out_of_distribution, .. } => out_of_distribution,
        }
    }

    /// Writes one row a prediction: `p0,p1,…,entropy,mutual_information,set,out_of_distribution` or
    /// `mean,std,epistemic_std,lower,upper,out_of_distribution`; the last is `true` or `false`.
    ///
    /// # Errors
    /// The file cannot be written; then nothing is left of it.
    pub fn write_csv(&self, path: &Path) -> anyhow::Result<()> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        match self {
            Self::Classification {
                classes,
                probabilities,
                entropy,
                mutual_information,
                sets,
                out_of_distribution,
            } => {
                let names = (0..*classes).map(|class| format!("p{class}"));
                let rest = ["entropy", "mutual_information", "set", VERDICT].map(str::to_owned);
                writer.write_record(names.chain(rest))?;
                for (row, p) in probabilities.chunks_exact(*classes).enumerate() {
                    let set: Vec<_> = sets[row].iter().map(usize::to_string).collect();
                    let numbers = p.iter().chain([&entropy[row], &mutual_information[row]]);
                    let answers = [set.join("|"), out_of_distribution[row].to_string()];
                    let fields = numbers.map(f32::to_string).chain(answers);
                    writer.write_record(fields)?;
                }
            }
            Self::Regression { mean, std, epistemic_std, lower, upper, out_of_distribution } => {
                let names = ["mean", "std", "epistemic_std", "lower", "upper", VERDICT];
                writer.write_record(names)?;
                for (row, foreign) in out_of_distribution.iter().enumerate() {
                    let columns = [mean, std, epistemic_std, lower, upper];
                    let numbers = columns.map(|column| column[row].to_string());
                    writer.write_record(numbers.into_iter().chain([foreign.to_string()]))?;
                }
            }
        }
        let bytes = writer.into_inner().context("cannot format the predictions")?;
        write_atomically(path, &bytes)
    }
}
