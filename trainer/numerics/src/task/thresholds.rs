//! Thresholds set on calibration rows: conformal prediction and out-of-distribution verdicts.

use serde::{Deserialize, Serialize};

use super::Calibration;

/// Share of the calibration rows that count as in distribution.
const IN_DISTRIBUTION: f64 = 0.95;

/// How one engine's raw predictive becomes a calibrated prediction.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Thresholds<K = Calibration> {
    /// Temperature or noise.
    pub calibration: K,
    /// Classification: classes at least this likely are in the set. Regression: half width of the
    /// interval in total standard deviations.
    pub conformal: f32,
    /// Mutual information (nats), or epistemic over aleatoric standard deviation, above which a
    /// row counts as out of distribution.
    pub epistemic: f32,
}

impl<K> Thresholds<K> {
    /// Thresholds from the calibration rows' conformity scores and their epistemic doubt.
    ///
    /// Split conformal prediction (Vovk et al. 2005): the ⌈(n + 1)·coverage⌉-th smallest score is the
    /// threshold, so that a new row conforms with probability at least `coverage`.
    pub(super) fn of_scores(
        calibration: K,
        scores: Vec<f32>,
        epistemic: Vec<f32>,
        coverage: f64,
    ) -> Self {
        Self {
            calibration,
            conformal: conformal_quantile(scores, coverage),
            epistemic: conformal_quantile(epistemic, IN_DISTRIBUTION),
        }
    }

    /// Returns the same thresholds under another calibration.
    pub fn under<L>(self, calibration: L) -> Thresholds<L> {
        Thresholds { calibration, conformal: self.conformal, epistemic: self.epistemic }
    }
}

/// The ⌈(n + 1)·coverage⌉-th smallest score, or the largest where there are too few.
fn conformal_quantile(mut scores: Vec<f32>, coverage: f64) -> f32 {
    scores.sort_by(f32::total_cmp);
    // Rounding must not ask for one score more.
    let rank = ((scores.len() + 1) as f64 * coverage - 1e-9).ceil() as usize;
    scores[rank.clamp(1, scores.len()) - 1]
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
}
