//! Thresholds set on calibration rows: conformal prediction and out-of-distribution verdicts.

use serde::{Deserialize, Serialize};

use crate::data::{Schema, Target, Task};
use crate::predictions::Predictions;
use crate::predictive::{Calibration, Predictive};

/// Share of the calibration rows that count as in distribution.
const IN_DISTRIBUTION: f64 = 0.95;

/// How one engine's raw predictive becomes a calibrated prediction.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Thresholds {
    /// Temperature or noise.
    pub calibration: Calibration,
    /// Classification: classes at least this likely are in the set. Regression: half width of the
    /// interval in total standard deviations.
    pub conformal: f32,
    /// Mutual information (nats), or epistemic over aleatoric standard deviation, above which a
    /// row counts as out of distribution.
    pub epistemic: f32,
}

impl Thresholds {
    /// Before any row was seen: every class is in the set and nothing is out of distribution.
    pub fn open(calibration: Calibration) -> Self {
        let conformal = match calibration {
            Calibration::Temperature(_) => 0.0,
            Calibration::NoiseStd(_) => 1.0,
        };
        Self { calibration, conformal, epistemic: f32::MAX }
    }

    /// Thresholds from predictions of the calibration rows, made with open thresholds.
    ///
    /// Split conformal prediction (Vovk et al. 2005): the score of a row is 1 − p of its class
    /// (Sadinle et al. 2019), or its residual in total standard deviations; the ⌈(n + 1)·coverage⌉-th
    /// smallest is the threshold, so that a new row conforms with probability at least `coverage`.
    pub fn fit(
        calibration: Calibration,
        predictions: &Predictions,
        target: &Target,
        coverage: f64,
    ) -> Self {
        let (scores, epistemic, sign): (Vec<f32>, Vec<f32>, f32) = match (predictions, target) {
            (
                Predictions::Classification { classes, probabilities, mutual_information, .. },
                Target::Classes(labels, _),
            ) => {
                let own = probabilities.chunks_exact(*classes).zip(labels);
                // Negated rather than 1 − p, which would round away what small p differ by.
                let scores = own.map(|(p, &label)| -p[label as usize]).collect();
                (scores, mutual_information.clone(), -1.0)
            }
            (Predictions::Regression { mean, std, epistemic_std, .. }, Target::Values(values)) => {
                let residuals = mean.iter().zip(std).zip(values);
                let scores = residuals.map(|((m, s), y)| (y - m).abs() / s).collect();
                let ratios = std.iter().zip(epistemic_std).map(|(&total, &epistemic)| {
                    let aleatoric = (total * total - epistemic * epistemic).max(0.0).sqrt();
                    epistemic / aleatoric.max(f32::MIN_POSITIVE)
                });
                (scores, ratios.collect(), 1.0)
            }
            _ => unreachable!("predictions and target are of one task"),
        };
        Self {
            calibration,
            conformal: sign * conformal_quantile(scores, coverage),
            epistemic: conformal_quantile(epistemic, IN_DISTRIBUTION),
        }
    }

    /// Calibrated predictions from a raw predictive.
    pub fn apply(&self, predictive: &Predictive, schema: &Schema) -> Predictions {
        match (predictive, self.calibration, &schema.task) {
            (
                Predictive::Classification { classes, probabilities, expected_entropy },
                Calibration::Temperature(temperature),
                _,
            ) => self.classify(*classes, probabilities, expected_entropy, temperature),
            (
                Predictive::Regression { mean, variance },
                Calibration::NoiseStd(noise),
                Task::Regression { mean: center, std: scale },
            ) => {
                let noise = noise as f32;
                let mean: Vec<f32> = mean.iter().map(|m| center + scale * m).collect();
                let epistemic_std: Vec<f32> = variance.iter().map(|v| scale * v.sqrt()).collect();
                let total = |v: &f32| scale * (v + noise * noise).sqrt();
                let std: Vec<f32> = variance.iter().map(total).collect();
                let ends = |sign: f32| {
                    mean.iter().zip(&std).map(|(m, s)| m + sign * self.conformal * s).collect()
                };
                let limit = self.epistemic * noise * scale;
                Predictions::Regression {
                    lower: ends(-1.0),
                    upper: ends(1.0),
                    out_of_distribution: epistemic_std.iter().map(|&e| e > limit).collect(),
                    mean,
                    std,
                    epistemic_std,
                }
            }
            _ => unreachable!("predictive, calibration and schema are of one task"),
        }
    }

    fn classify(
        &self,
        classes: usize,
        raw: &[f32],
        expected_entropy: &[f32],
        temperature: f64,
    ) -> Predictions {
        let mut probabilities = Vec::with_capacity(raw.len());
        let (mut entropies, mut information, mut sets) = (Vec::new(), Vec::new(), Vec::new());
        for (p, expected) in raw.chunks_exact(classes).zip(expected_entropy) {
            information.push((entropy(p) - expected).max(0.0));
            let p = temper(p, temperature);
            entropies.push(entropy(&p));
            sets.push((0..classes).filter(|&class| p[class] >= self.conformal).collect());
            probabilities.extend(p);
        }
        Predictions::Classification {
            classes,
            probabilities,
            entropy: entropies,
            out_of_distribution: information.iter().map(|&i| i > self.epistemic).collect(),
            mutual_information: information,
            sets,
        }
    }
}

/// The ⌈(n + 1)·coverage⌉-th smallest score, or the largest where there are too few.
fn conformal_quantile(mut scores: Vec<f32>, coverage: f64) -> f32 {
    scores.sort_by(f32::total_cmp);
    // Rounding must not ask for one score more.
    let rank = ((scores.len() + 1) as f64 * coverage - 1e-9).ceil() as usize;
    scores[rank.clamp(1, scores.len()) - 1]
}

/// p ∝ p^(1/T).
fn temper(p: &[f32], temperature: f64) -> Vec<f32> {
    let logs: Vec<f64> =
        p.iter().map(|&p| f64::from(p.max(f32::MIN_POSITIVE)).ln() / temperature).collect();
    let max = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logs.iter().map(|log| (log - max).exp()).sum();
    logs.iter().map(|log| ((log - max).exp() / sum) as f32).collect()
}

/// Entropy, nats.
fn entropy(p: &[f32]) -> f32 {
    -p.iter().filter(|&&p| p > 0.0).map(|&p| p * p.ln()).sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_conformal_rank_is_that_of_one_more_row() {
        let scores: Vec<f32> = (1..=19).map(|score| score as f32).collect();
        // ⌈20 · 0.9⌉ = 18.
        assert_eq!(conformal_quantile(scores, 0.9), 18.0);
        assert_eq!(conformal_quantile(vec![2.0, 1.0], 0.9), 2.0);
    }

    #[test]
    fn tempering_keeps_the_order_and_the_sum() {
        let p = temper(&[0.7, 0.2, 0.1], 0.5);
        assert!((p.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert!((p[0] / p[1] - 12.25).abs() < 1e-3);
    }
}
