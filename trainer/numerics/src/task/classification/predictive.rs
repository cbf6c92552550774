//! Mean class probabilities of a mixture of networks, and their temperature.

use serde::{Deserialize, Serialize};

use super::super::minimum::minimum;
use super::super::{PerRow, SMALLEST_PROBABILITY, Select};
use super::Classes;
use crate::network::softmax;

/// Range searched for the temperature.
const TEMPERATURES: (f64, f64) = (0.05, 5.0);
/// Prior standard deviation of the logarithm of the temperature.
const LOG_TEMPERATURE_STD: f64 = 0.7;

/// An equal mixture of classifiers, at some inputs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Predictive {
    /// Number of classes C.
    pub classes: usize,
    /// Mean of the networks' probabilities, row-major `[n, C]`.
    pub probabilities: Vec<f32>,
    /// Mean of the networks' entropies, nats, `[n]`.
    pub expected_entropy: Vec<f32>,
}

/// p ∝ p̄^(1/T), T > 0: temperature of the averaged predictive.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Temperature(pub f64);

impl PerRow for Predictive {
    fn rows(&self) -> usize {
        self.expected_entropy.len()
    }

    fn append(&mut self, other: Self) {
        self.probabilities.extend(other.probabilities);
        self.expected_entropy.extend(other.expected_entropy);
    }
}

impl Select for Predictive {
    fn subset(&self, rows: &[usize]) -> Self {
        let each = rows.iter().map(|&row| row * self.classes..(row + 1) * self.classes);
        Self {
            classes: self.classes,
            probabilities: each.flat_map(|row| &self.probabilities[row]).copied().collect(),
            expected_entropy: rows.iter().map(|&row| self.expected_entropy[row]).collect(),
        }
    }
}

impl Predictive {
    /// Whether it is one of so many rows and classes, with probabilities that can be some.
    pub(in crate::task) fn is_sound(&self, rows: usize, classes: usize) -> bool {
        let sizes = [self.classes, self.probabilities.len(), self.expected_entropy.len()];
        sizes == [classes, rows * classes, rows]
            && self.probabilities.iter().all(|&p| p.is_finite() && p >= 0.0)
            && self.expected_entropy.iter().all(|entropy| entropy.is_finite())
    }

    /// The mixture of networks with these outputs, `[N][C, rows]`.
    pub(super) fn of(members: Vec<Vec<f32>>, rows: usize) -> Self {
        let classes = members[0].len() / rows;
        let weight = 1.0 / members.len() as f32;
        let mut probabilities = vec![0.0f32; rows * classes];
        let mut expected_entropy = vec![0.0f32; rows];
        for mut outputs in members {
            softmax(&mut outputs, rows);
            for (class, row) in outputs.chunks_exact(rows).enumerate() {
                for (index, &p) in row.iter().enumerate() {
                    probabilities[index * classes + class] += weight * p;
                    if p > 0.0 {
                        expected_entropy[index] -= weight * p * p.ln();
                    }
                }
            }
        }
        Self { classes, probabilities, expected_entropy }
    }

    /// The mixture with another one that has this share of the networks.
    pub(super) fn mixed(&self, other: &Self, share: f32) -> Self {
        let each = |one: &[f32], other: &[f32]| -> Vec<f32> {
            one.iter().zip(other).map(|(&a, &b)| a + share * (b - a)).collect()
        };
        Self {
            classes: self.classes,
            probabilities: each(&self.probabilities, &other.probabilities),
            expected_entropy: each(&self.expected_entropy, &other.expected_entropy),
        }
    }

    /// Probabilities of every row, `[C]`.
    pub(super) fn each(&self) -> impl Iterator<Item = &[f32]> {
        self.probabilities.chunks_exact(self.classes)
    }

    /// −log p(y | x) of every row after calibration, nats.
    pub(super) fn nll(&self, targets: &Classes, temperature: Temperature) -> Vec<f64> {
        let rows = self.each().zip(&targets.labels);
        rows.map(|(p, &label)| tempered_nll(p, label as usize, temperature)).collect()
    }

    /// Expected −log p(y | x) of every row, y drawn from `reference`, nats.
    pub(super) fn cross_entropy(
        &self,
        own: Temperature,
        reference: &Self,
        its: Temperature,
    ) -> Vec<f64> {
        let row = |(p, q): (&[f32], &[f32])| {
            let term = |class| (-tempered_nll(q, class, its)).exp() * tempered_nll(p, class, own);
            (0..self.classes).map(term).sum()
        };
        self.each().zip(reference.each()).map(row).collect()
    }
}

impl Temperature {
    /// The temperature of least `mean_nll` over `rows` rows. Few rows that are all classified right
    /// would ask for an ever lower temperature: log T has a prior N(0, s²).
    pub(super) fn of_least(mean_nll: impl Fn(Self) -> f64, rows: usize) -> Self {
        let prior = |log: f64| 0.5 * (log / LOG_TEMPERATURE_STD).powi(2) / rows as f64;
        let loss = |log: f64| mean_nll(Self(log.exp())) + prior(log);
        let (low, high) = TEMPERATURES;
        Self(minimum(loss, low.ln(), high.ln()).exp())
    }

    /// p ∝ p^(1/T).
    pub(super) fn temper(self, p: &[f32]) -> Vec<f32> {
        let logs: Vec<f64> =
            p.iter().map(|&p| f64::from(p.max(f32::MIN_POSITIVE)).ln() / self.0).collect();
        let max = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = logs.iter().map(|log| (log - max).exp()).sum();
        logs.iter().map(|log| ((log - max).exp() / sum) as f32).collect()
    }
}

/// −log p of a class after calibration.
fn tempered_nll(probabilities: &[f32], label: usize, Temperature(temperature): Temperature) -> f64 {
    let log = |p: f32| f64::from(p).max(SMALLEST_PROBABILITY).ln() / temperature;
    let max = probabilities.iter().map(|&p| log(p)).fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = probabilities.iter().map(|&p| (log(p) - max).exp()).sum();
    max + sum.ln() - log(probabilities[label])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::mean;

    fn predictive(probabilities: Vec<f32>) -> Predictive {
        let expected_entropy = vec![0.0; probabilities.len() / 2];
        Predictive { classes: 2, probabilities, expected_entropy }
    }

    #[test]
    fn temperature_calibration_softens_overconfident_predictions() {
        // Says 0.99 and is right three times out of four: T with 0.99^(1/T) / (…) = 0.75. There are
        // enough rows for the prior not to matter.
        let predictive = predictive([0.99, 0.01].repeat(100_000));
        let targets = Classes { labels: [0, 0, 0, 1].repeat(25_000), classes: 2 };
        let nll = |temperature| mean(&predictive.nll(&targets, temperature));
        let Temperature(t) = Temperature::of_least(nll, targets.rows());
        let exact = (0.99f64 / 0.01).ln() / 3.0f64.ln();
        assert!((t - exact).abs() < 1e-3, "{t} {exact}");
    }

    #[test]
    fn a_predictive_is_brought_close_to_another() {
        // Logit 2 at temperature 1 is logit 1 at temperature 1/2.
        let logistic = |f: f32| 1.0 / (1.0 + (-f).exp());
        let [own, reference] = [1.0, 2.0].map(|f| predictive(vec![logistic(f), 1.0 - logistic(f)]));
        let nll = |own_t| mean(&own.cross_entropy(own_t, &reference, Temperature(1.0)));
        let Temperature(t) = Temperature::of_least(nll, usize::MAX);
        assert!((t - 0.5).abs() < 1e-3, "{t}");
    }

    #[test]
    fn tempering_keeps_the_order_and_the_sum() {
        let p = Temperature(0.5).temper(&[0.7, 0.2, 0.1]);
        assert!((p.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert!((p[0] / p[1] - 12.25).abs() < 1e-3);
    }
}
