//! Scores of predictions on held-out rows.

use serde::{Deserialize, Serialize};

use crate::data::Target;
use crate::predictions::Predictions;

/// Bins of the expected calibration error, equally wide on the top probability.
const ECE_BINS: usize = 15;
/// Smallest probability whose logarithm is taken.
const SMALLEST_PROBABILITY: f64 = f32::MIN_POSITIVE as f64;

/// Standard deviations that differ by less than this share count as equal: the crossing of their
/// densities is then far away or lost in rounding.
const EQUAL_SCALES: f64 = 1e-7;

/// Scores of one set of predictions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Scores {
    /// Of a classifier.
    Classification {
        /// Mean −log p(y | x), nats.
        nll: f64,
        /// Share of rows whose likeliest class is right.
        accuracy: f64,
        /// Expected calibration error, 15 equal-width bins on the top probability.
        ece: f64,
        /// Mean squared distance of the probabilities from the one-hot label.
        brier: f64,
        /// Area under the ROC curve of predictive entropy, test rows against `--ood` rows.
        #[serde(skip_serializing_if = "Option::is_none")]
        ood_auroc: Option<f64>,
        /// The same of the mutual information of label and weights, which verdicts go by; none of a single
        /// network, which has none.
        #[serde(skip_serializing_if = "Option::is_none")]
        ood_auroc_mi: Option<f64>,
        /// Share of rows whose prediction set holds the label.
        set_coverage: f64,
        /// Mean number of classes in the prediction set.
        set_size: f64,
        /// Share of rows whose prediction set is empty.
        empty_sets: f64,
        /// Share of rows judged out of distribution.
        flagged: f64,
        /// The same of the `--ood` rows.
        #[serde(skip_serializing_if = "Option::is_none")]
        ood_flagged: Option<f64>,
    },
    /// Of a regressor, in the target's own units.
    Regression {
        /// Mean negative log density of a normal with the predictive mean and total variance.
        nll: f64,
        /// Root mean square error of the mean.
        rmse: f64,
        /// Mean continuous ranked probability score of that normal.
        crps: f64,
        /// Area under the ROC curve of the epistemic deviation, test rows against `--ood` rows.
        #[serde(skip_serializing_if = "Option::is_none")]
        ood_auroc: Option<f64>,
        /// Share of rows within the conformal interval.
        coverage: f64,
        /// Mean width of the interval.
        mean_width: f64,
        /// Share of rows judged out of distribution.
        flagged: f64,
        /// The same of the `--ood` rows.
        #[serde(skip_serializing_if = "Option::is_none")]
        ood_flagged: Option<f64>,
    },
}

impl Scores {
    /// Scores `predictions` of rows with these targets; `foreign` are predictions of rows from
    /// elsewhere.
    pub fn of(predictions: &Predictions, target: &Target, foreign: Option<&Predictions>) -> Self {
        let ood_auroc = foreign.map(|foreign| auroc(predictions.doubt(), foreign.doubt()));
        let verdicts = |of: &Predictions| {
            average(of.out_of_distribution().iter().map(|&foreign| f64::from(foreign)))
        };
        let (flagged, ood_flagged) = (verdicts(predictions), foreign.map(verdicts));
        match (predictions, target) {
            (
                Predictions::Classification {
                    classes,
                    probabilities,
                    sets,
                    mutual_information,
                    ..
                },
                Target::Classes(labels, _),
            ) => {
                let rows: Vec<_> = probabilities.chunks_exact(*classes).zip(labels).collect();
                let covered = sets.iter().zip(labels).map(|(set, &y)| set.contains(&(y as usize)));
                Self::Classification {
                    nll: average(rows.iter().map(|(p, y)| nll(p, **y))),
                    accuracy: average(
                        rows.iter().map(|(p, y)| f64::from(top(p).0 == **y as usize)),
                    ),
                    ece: ece(&rows),
                    brier: average(rows.iter().map(|(p, y)| brier(p, **y))),
                    ood_auroc,
                    ood_auroc_mi: foreign.and_then(|foreign| match foreign {
                        Predictions::Classification { mutual_information: of_foreign, .. }
                            if of_foreign.iter().any(|&information| information > 0.0) =>
                        {
                            Some(auroc(mutual_information, of_foreign))
                        }
                        _ => None,
                    }),
                    set_coverage: average(covered.map(f64::from)),
                    set_size: average(sets.iter().map(|set| set.len() as f64)),
                    empty_sets: average(sets.iter().map(|set| f64::from(set.is_empty()))),
                    flagged,
                    ood_flagged,
                }
            }
            (Predictions::Regression { mean, std, lower, upper, .. }, Target::Values(values)) => {
                let normals: Vec<_> = mean
                    .iter()
                    .zip(std)
                    .zip(values)
                    .map(|((&m, &s), &y)| (f64::from(m), f64::from(s), f64::from(y)))
                    .collect();
                let inside = lower.iter().zip(upper).zip(values);
                let widths = lower.iter().zip(upper).map(|(&l, &u)| f64::from(u - l));
                Self::Regression {
                    nll: average(normals.iter().map(|&(m, s, y)| gaussian_nll(m, s, y))),
                    rmse: average(normals.iter().map(|&(m, _, y)| (y - m).powi(2))).sqrt(),
                    crps: average(normals.iter().map(|&(m, s, y)| gaussian_crps(m, s, y))),
                    ood_auroc,
                    coverage: average(inside.map(|((l, u), y)| f64::from(l <= y && y <= u))),
                    mean_width: average(widths),
                    flagged,
                    ood_flagged,
                }
            }
            _ => unreachable!("predictions and target are of one task"),
        }
    }

    /// Mean negative log-likelihood, nats.
    pub fn nll(&self) -> f64 {
        match self {
            Self::Classification { nll, .. } | Self::Regression { nll, .. } => *nll,
        }
    }

    /// AUROC of telling foreign rows, where there were some.
    pub fn ood_auroc(&self) -> Option<f64> {
        match self {
            Self::Classification { ood_auroc, .. } | Self::Regression { ood_auroc, .. } => {
                *ood_auroc
            }
        }
    }
}

fn average(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
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

fn ece(rows: &[(&[f32], &u32)]) -> f64 {
    let mut bins = [(0.0f64, 0.0f64); ECE_BINS];
    for (p, label) in rows {
        let (class, confidence) = top(p);
        let bin = ((confidence * ECE_BINS as f32) as usize).min(ECE_BINS - 1);
        bins[bin].0 += f64::from(confidence);
        bins[bin].1 += f64::from(class == **label as usize);
    }
    bins.iter().map(|(confidence, right)| (confidence - right).abs()).sum::<f64>()
        / rows.len() as f64
}

/// Probability that a foreign row is in more doubt than a test row, ties counting half.
pub fn auroc(test: &[f32], foreign: &[f32]) -> f64 {
    let mut sorted = test.to_vec();
    sorted.sort_by(f32::total_cmp);
    let wins: f64 = foreign
        .iter()
        .map(|doubt| {
            let below = sorted.partition_point(|value| value < doubt);
            let up_to = sorted.partition_point(|value| value <= doubt);
            0.5 * (below + up_to) as f64
        })
        .sum();
    wins / (test.len() * foreign.len()) as f64
}

/// Mean total variation between two predictions of the same rows: ½ Σ |p − q| over classes, or between
/// the two normals.
pub fn total_variation(left: &Predictions, right: &Predictions) -> f64 {
    match (left, right) {
        (
            Predictions::Classification { classes, probabilities: p, .. },
            Predictions::Classification { probabilities: q, .. },
        ) => {
            let rows = (p.len() / classes) as f64;
            p.iter().zip(q).map(|(p, q)| 0.5 * f64::from((p - q).abs())).sum::<f64>() / rows
        }
        (
            Predictions::Regression { mean, std, .. },
            Predictions::Regression { mean: other_mean, std: other_std, .. },
        ) => {
            let own = mean.iter().zip(std).map(|(&m, &s)| (f64::from(m), f64::from(s)));
            let other =
                other_mean.iter().zip(other_std).map(|(&m, &s)| (f64::from(m), f64::from(s)));
            average(own.zip(other).map(|(own, other)| gaussian_total_variation(own, other)))
        }
        _ => unreachable!("both sides are predictions of one task"),
    }
}

/// Total variation between two normals, given by mean and standard deviation: the difference of their
/// probabilities of where the narrower one is the denser.
fn gaussian_total_variation(one: (f64, f64), other: (f64, f64)) -> f64 {
    let ((mean, std), (wide_mean, wide_std)) =
        if one.1 <= other.1 { (one, other) } else { (other, one) };
    // In units of the narrower: N(0, 1) against N(shift, scale²).
    let (shift, scale) = ((wide_mean - mean) / std, wide_std / std);
    if scale - 1.0 < EQUAL_SCALES {
        return libm::erf(shift.abs() / 8.0f64.sqrt());
    }
    // Densities cross where x² − ((x − shift) / scale)² = 2 ln scale.
    let a = 1.0 - scale.powi(-2);
    let b = shift / (scale * scale);
    let c = -(shift / scale).powi(2) - 2.0 * scale.ln();
    let root = (b * b - a * c).sqrt();
    let (low, high) = ((-b - root) / a, (-b + root) / a);
    let below = |z: f64| 0.5 * libm::erfc(-z / std::f64::consts::SQRT_2);
    let wide = |x: f64| below((x - shift) / scale);
    (below(high) - below(low)) - (wide(high) - wide(low))
}

fn gaussian_nll(mean: f64, std: f64, y: f64) -> f64 {
    let z = (y - mean) / std;
    0.5 * z * z + std.ln() + 0.5 * std::f64::consts::TAU.ln()
}

/// CRPS of a normal distribution (Gneiting & Raftery 2007, eq. 21).
fn gaussian_crps(mean: f64, std: f64, y: f64) -> f64 {
    let z = (y - mean) / std;
    let density = (-0.5 * z * z).exp() / std::f64::consts::TAU.sqrt();
    let below = 0.5 * libm::erfc(-z / std::f64::consts::SQRT_2);
    std * (z * (2.0 * below - 1.0) + 2.0 * density - std::f64::consts::PI.sqrt().recip())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(value: f64, expected: f64) {
        assert!((value - expected).abs() < 1e-6, "found {value}, expected {expected}");
    }

    #[test]
    fn classification_scores_by_hand() {
        let predictions = Predictions::Classification {
            classes: 2,
            probabilities: vec![0.75, 0.25, 0.5, 0.5],
            entropy: vec![0.1, 0.4],
            mutual_information: vec![0.0; 2],
            sets: vec![vec![0], vec![0, 1]],
            out_of_distribution: vec![false, true],
        };
        let target = Target::Classes(vec![0, 1], vec!["a".into(), "b".into()]);
        let Scores::Classification {
            nll,
            accuracy,
            ece,
            brier,
            set_coverage,
            set_size,
            empty_sets,
            flagged,
            ood_flagged,
            ..
        } = Scores::of(&predictions, &target, Some(&predictions))
        else {
            panic!("classification");
        };
        close(nll, -(0.75f64.ln() + 0.5f64.ln()) / 2.0);
        close(accuracy, 0.5);
        // |0.75 − 1| and |0.5 − 0| in two bins of one row each.
        close(ece, (0.25 + 0.5) / 2.0);
        close(brier, (2.0 * 0.0625 + 2.0 * 0.25) / 2.0);
        close(set_coverage, 1.0);
        close(set_size, 1.5);
        close(empty_sets, 0.0);
        close(flagged, 0.5);
        assert_eq!(ood_flagged, Some(flagged));
    }

    #[test]
    fn rows_of_one_bin_share_their_calibration_error() {
        // Both in the bin from 12/15 to 13/15: |0.81 + 0.85 − 1| over two rows.
        let rows: [(&[f32], &u32); 2] = [(&[0.81, 0.19], &0), (&[0.15, 0.85], &0)];
        close(ece(&rows), 0.66 / 2.0);
        // Certain and right, at the upper end of the last bin.
        close(ece(&[(&[1.0, 0.0], &0)]), 0.0);
    }

    #[test]
    fn an_impossible_class_costs_a_finite_score() {
        close(nll(&[1.0, 0.0], 1), 126.0 * 2.0f64.ln());
    }

    #[test]
    fn regression_rows_by_hand() {
        let predictions = Predictions::Regression {
            mean: vec![0.0, 2.0],
            std: vec![1.0, 2.0],
            epistemic_std: vec![0.0; 2],
            lower: vec![-1.0, 0.0],
            upper: vec![1.0, 4.0],
            out_of_distribution: vec![false; 2],
        };
        // The first row lies on its interval's end, the second beyond.
        let target = Target::Values(vec![1.0, 5.0]);
        let Scores::Regression { nll, rmse, crps, coverage, mean_width, .. } =
            Scores::of(&predictions, &target, None)
        else {
            panic!("regression");
        };
        close(nll, (0.5 + 1.125 + 2.0f64.ln()) / 2.0 + 0.918_938_533);
        close(rmse, 5.0f64.sqrt());
        // The integrals of (Φ(t) − [t ≥ z])² for z = 1 and z = 1.5, the second times σ = 2.
        close(crps, (0.602_441_358 + 2.0 * 0.994_424_004) / 2.0);
        close(coverage, 0.5);
        close(mean_width, 3.0);
    }

    #[test]
    fn regression_scores_by_hand() {
        close(gaussian_nll(1.0, 2.0, 3.0), 0.5 + 2.0f64.ln() + 0.918_938_533);
        // At the mean: σ (2φ(0) − 1/√π).
        close(gaussian_crps(0.0, 2.0, 0.0), 2.0 * (0.797_884_560_8 - 0.564_189_583_5));
    }

    #[test]
    fn total_variation_of_normals_is_that_of_their_densities() {
        let normals = [(0.0, 1.0), (0.5, 1.0), (0.3, 2.5), (-4.0, 0.2), (0.5, 1.0 + 1e-9)];
        for (one, other) in normals.iter().flat_map(|one| normals.map(|other| (*one, other))) {
            let density = |x: f64, (mean, std): (f64, f64)| (-gaussian_nll(mean, std, x)).exp();
            const STEP: f64 = 1e-3;
            let each = (-15_000..15_000).map(|index| f64::from(index) * STEP);
            let integral =
                each.map(|x| 0.5 * STEP * (density(x, one) - density(x, other)).abs()).sum::<f64>();
            let found = gaussian_total_variation(one, other);
            assert!((found - integral).abs() < 1e-5, "{one:?} {other:?}: {found} but {integral}");
        }
    }

    #[test]
    fn auroc_counts_ties_half() {
        close(auroc(&[0.0, 1.0], &[1.0, 2.0]), 3.5 / 4.0);
        close(auroc(&[1.0, 1.0], &[1.0]), 0.5);
    }
}
