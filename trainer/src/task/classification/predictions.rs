//! Calibrated predictions of classes.

use fiberwalk_runtime::Classification;

use super::super::{PerRow, Thresholds};
use super::{Predictive, Temperature};

/// Calibrated predictions of the classes of `n` rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Predictions {
    /// Number of classes C.
    pub classes: usize,
    /// Row-major `[n, C]`.
    pub probabilities: Vec<f32>,
    /// Entropy of the probabilities, nats, `[n]`.
    pub entropy: Vec<f32>,
    /// Mutual information between class and weights, nats, `[n]`.
    pub mutual_information: Vec<f32>,
    /// Conformal prediction sets, class indices, `[n]`.
    pub sets: Vec<Vec<usize>>,
    /// Out-of-distribution verdicts, `[n]`.
    pub out_of_distribution: Vec<bool>,
}

impl PerRow for Predictions {
    fn rows(&self) -> usize {
        self.out_of_distribution.len()
    }

    fn append(&mut self, other: Self) {
        self.probabilities.extend(other.probabilities);
        self.entropy.extend(other.entropy);
        self.mutual_information.extend(other.mutual_information);
        self.sets.extend(other.sets);
        self.out_of_distribution.extend(other.out_of_distribution);
    }
}

impl Predictions {
    /// No rows yet.
    pub(in crate::task) const fn empty(classes: usize) -> Self {
        Self {
            classes,
            probabilities: Vec::new(),
            entropy: Vec::new(),
            mutual_information: Vec::new(),
            sets: Vec::new(),
            out_of_distribution: Vec::new(),
        }
    }

    /// Calibrated predictions from a predictive.
    pub(super) fn of(predictive: &Predictive, thresholds: Thresholds<Temperature>) -> Self {
        let mut all = Self::empty(predictive.classes);
        for (p, expected) in predictive.each().zip(&predictive.expected_entropy) {
            let information = (entropy(p) - expected).max(0.0);
            all.mutual_information.push(information);
            all.out_of_distribution.push(information > thresholds.epistemic);
            let p = thresholds.calibration.temper(p);
            all.entropy.push(entropy(&p));
            let set = (0..p.len()).filter(|&class| p[class] >= thresholds.conformal);
            all.sets.push(set.collect());
            all.probabilities.extend(p);
        }
        all
    }

    /// What the runtime predicts of one row.
    pub(in crate::task) fn of_row(prediction: &Classification<'_>) -> Self {
        Self {
            classes: prediction.probabilities.len(),
            probabilities: prediction.probabilities.to_vec(),
            entropy: vec![prediction.entropy],
            mutual_information: vec![prediction.mutual_information],
            sets: vec![prediction.set().collect()],
            out_of_distribution: vec![prediction.out_of_distribution],
        }
    }

    /// Probabilities of every row, `[C]`.
    pub(super) fn each(&self) -> impl Iterator<Item = &[f32]> {
        self.probabilities.chunks_exact(self.classes)
    }

    /// `p0,p1,…,entropy,mutual_information,set`.
    pub(super) fn columns(&self) -> Vec<String> {
        let names = (0..self.classes).map(|class| format!("p{class}"));
        names.chain(["entropy", "mutual_information", "set"].map(str::to_owned)).collect()
    }

    /// Fields of a row under these names.
    pub(super) fn fields(&self, row: usize) -> Vec<String> {
        let p = &self.probabilities[row * self.classes..(row + 1) * self.classes];
        let numbers = p.iter().chain([&self.entropy[row], &self.mutual_information[row]]);
        let set: Vec<_> = self.sets[row].iter().map(usize::to_string).collect();
        numbers.map(f32::to_string).chain([set.join("|")]).collect()
    }
}

/// Entropy, nats.
fn entropy(p: &[f32]) -> f32 {
    -p.iter().filter(|&&p| p > 0.0).map(|&p| p * p.ln()).sum::<f32>()
}
