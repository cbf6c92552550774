//! Scores of predicted numbers.

use serde::{Deserialize, Serialize};

use super::super::Verdicts;
use super::{Predictions, normal};
use crate::metrics::average;

/// Scores of one set of predictions, in the target's own units.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Mean negative log density of a normal with the predictive mean and total variance.
    pub nll: f64,
    /// Root mean square error of the mean.
    pub rmse: f64,
    /// Mean continuous ranked probability score of that normal.
    pub crps: f64,
    /// Area under the ROC curve of the epistemic deviation, test rows against foreign rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ood_auroc: Option<f64>,
    /// Share of rows within the conformal interval.
    pub coverage: f64,
    /// Mean width of the interval.
    pub mean_width: f64,
    /// Share of rows judged out of distribution.
    pub flagged: f64,
    /// Share of the foreign rows judged out of distribution.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ood_flagged: Option<f64>,
}

impl Scores {
    /// Scores `predictions` of rows with these values.
    pub(super) fn of(
        Predictions { mean, std, lower, upper, .. }: &Predictions,
        values: &[f32],
        Verdicts { ood_auroc, flagged, ood_flagged }: Verdicts,
    ) -> Self {
        let rows = mean.iter().zip(std).zip(values);
        let normals: Vec<_> =
            rows.map(|((&m, &s), &y)| (f64::from(m), f64::from(s), f64::from(y))).collect();
        let inside = lower.iter().zip(upper).zip(values);
        let widths = lower.iter().zip(upper).map(|(&l, &u)| f64::from(u - l));
        Self {
            nll: average(normals.iter().map(|&(m, s, y)| normal::nll(m, s, y))),
            rmse: average(normals.iter().map(|&(m, _, y)| (y - m).powi(2))).sqrt(),
            crps: average(normals.iter().map(|&(m, s, y)| normal::crps(m, s, y))),
            ood_auroc,
            coverage: average(inside.map(|((l, u), y)| f64::from(l <= y && y <= u))),
            mean_width: average(widths),
            flagged,
            ood_flagged,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::{Scores as Any, Targets};
    use super::*;

    fn close(value: f64, expected: f64) {
        assert!((value - expected).abs() < 1e-6, "found {value}, expected {expected}");
    }

    #[test]
    fn rows_by_hand() {
        let predictions = Predictions {
            mean: vec![0.0, 2.0],
            std: vec![1.0, 2.0],
            epistemic_std: vec![0.0; 2],
            lower: vec![-1.0, 0.0],
            upper: vec![1.0, 4.0],
            out_of_distribution: vec![false; 2],
        };
        // The first row lies on its interval's end, the second beyond.
        let targets = Targets::Regression(vec![1.0, 5.0]);
        let Any::Regression(scores) = Any::of(&predictions.into(), &targets, None) else {
            panic!("regression");
        };
        close(scores.nll, (0.5 + 1.125 + 2.0f64.ln()) / 2.0 + 0.918_938_533);
        close(scores.rmse, 5.0f64.sqrt());
        // The integrals of (Φ(t) − [t ≥ z])² for z = 1 and z = 1.5, the second times σ = 2.
        close(scores.crps, (0.602_441_358 + 2.0 * 0.994_424_004) / 2.0);
        close(scores.coverage, 0.5);
        close(scores.mean_width, 3.0);
    }
}
