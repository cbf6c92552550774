//! Scores of predicted classes.

use serde::{Deserialize, Serialize};

use super::super::{SMALLEST_PROBABILITY, Verdicts};
use super::{Classes, Predictions};
use crate::metrics::{auroc, average};

/// Bins of the expected calibration error, equally wide on the top probability.
const ECE_BINS: usize = 15;

/// Scores of one set of predictions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Mean −log p(y | x), nats.
    pub nll: f64,
    /// Share of rows whose likeliest class is right.
    pub accuracy: f64,
    /// Expected calibration error, 15 equal-width bins on the top probability.
    pub ece: f64,
    /// Mean squared distance of the probabilities from the one-hot label.
    pub brier: f64,
    /// Area under the ROC curve of predictive entropy, test rows against foreign rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ood_auroc: Option<f64>,
    /// Area under that of the mutual information of label and weights, which verdicts go by; none of a single
    /// network, which has no such information.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ood_auroc_mi: Option<f64>,
    /// Share of rows whose prediction set holds the label.
    pub set_coverage: f64,
    /// Mean number of classes in the prediction set.
    pub set_size: f64,
    /// Share of rows whose prediction set is empty.
    pub empty_sets: f64,
    /// Share of rows judged out of distribution.
    pub flagged: f64,
    /// Share of the foreign rows judged out of distribution.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ood_flagged: Option<f64>,
}

impl Scores {
    /// Scores `predictions` of rows with these targets.
    pub(super) fn of(
        predictions: &Predictions,
        Classes { labels, .. }: &Classes,
        foreign: Option<&Predictions>,
        Verdicts { ood_auroc, flagged, ood_flagged }: Verdicts,
    ) -> Self {
        let Predictions { sets, mutual_information, .. } = predictions;
        let rows: Vec<_> = predictions.each().zip(labels.iter().copied()).collect();
        let covered = sets.iter().zip(labels).map(|(set, &y)| set.contains(&(y as usize)));
        let informed = |foreign: &&Predictions| {
            foreign.mutual_information.iter().any(|&information| information > 0.0)
        };
        Self {
            nll: average(rows.iter().map(|&(p, y)| nll(p, y))),
            accuracy: average(rows.iter().map(|&(p, y)| f64::from(top(p).0 == y as usize))),
            ece: ece(&rows),
            brier: average(rows.iter().map(|&(p, y)| brier(p, y))),
            ood_auroc,
            ood_auroc_mi: foreign
                .filter(informed)
                .map(|foreign| auroc(mutual_information, &foreign.mutual_information)),
            set_coverage: average(covered.map(f64::from)),
            set_size: average(sets.iter().map(|set| set.len() as f64)),
            empty_sets: average(sets.iter().map(|set| f64::from(set.is_empty()))),
            flagged,
            ood_flagged,
        }
    }
}

/// Index and value of the largest probability.
fn top(p: &[f32]) -> (usize, f32) {
    p.iter().copied().enumerate().fold((0, f32::MIN), |a, b| if b.1 > a.1 { b } else { a })
}

fn nll(p: &[f32], label: u32) -> f64 {
    -f64::from(p[label as usize]).max(SMALLEST_PROBABILITY).ln()
}

fn brier(p: &[f32], label: u32) -> f64 {
    let squares = p.iter().enumerate().map(|(class, &p)| {
        let truth = if class == label as usize { 1.0 } else { 0.0 };
        (f64::from(p) - truth).powi(2)
    });
    squares.sum()
}

fn ece(rows: &[(&[f32], u32)]) -> f64 {
    let mut bins = [(0.0f64, 0.0f64); ECE_BINS];
    for (p, label) in rows {
        let (class, confidence) = top(p);
        let bin = ((confidence * ECE_BINS as f32) as usize).min(ECE_BINS - 1);
        bins[bin].0 += f64::from(confidence);
        bins[bin].1 += f64::from(class == *label as usize);
    }
    bins.iter().map(|(confidence, right)| (confidence - right).abs()).sum::<f64>()
        / rows.len() as f64
}

#[cfg(test)]
mod tests {
    use super::super::super::{Scores as Any, Targets};
    use super::*;

    fn close(value: f64, expected: f64) {
        assert!((value - expected).abs() < 1e-6, "found {value}, expected {expected}");
    }

    #[test]
    fn scores_by_hand() {
        let predictions = Predictions {
            classes: 2,
            probabilities: vec![0.75, 0.25, 0.5, 0.5],
            entropy: vec![0.1, 0.4],
            mutual_information: vec![0.0; 2],
            sets: vec![vec![0], vec![0, 1]],
            out_of_distribution: vec![false, true],
        };
        let targets = Targets::classes(vec![0, 1], 2);
        let predictions = predictions.into();
        let Any::Classification(scores) = Any::of(&predictions, &targets, Some(&predictions))
        else {
            panic!("classification");
        };
        close(scores.nll, -(0.75f64.ln() + 0.5f64.ln()) / 2.0);
        close(scores.accuracy, 0.5);
        // |0.75 − 1| and |0.5 − 0| in two bins of one row each.
        close(scores.ece, (0.25 + 0.5) / 2.0);
        close(scores.brier, (2.0 * 0.0625 + 2.0 * 0.25) / 2.0);
        close(scores.set_coverage, 1.0);
        close(scores.set_size, 1.5);
        close(scores.empty_sets, 0.0);
        close(scores.flagged, 0.5);
        assert_eq!(scores.ood_flagged, Some(scores.flagged));
    }

    #[test]
    fn rows_of_one_bin_share_their_calibration_error() {
        // Both in the bin from 12/15 to 13/15: |0.81 + 0.85 − 1| over two rows.
        let rows: [(&[f32], u32); 2] = [(&[0.81, 0.19], 0), (&[0.15, 0.85], 0)];
        close(ece(&rows), 0.66 / 2.0);
        // Certain and right, at the upper end of the last bin.
        close(ece(&[(&[1.0, 0.0], 0)]), 0.0);
    }

    #[test]
    fn an_impossible_class_costs_a_finite_score() {
        close(nll(&[1.0, 0.0], 1), 126.0 * 2.0f64.ln());
    }
}
