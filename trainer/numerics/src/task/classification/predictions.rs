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

    /// The runtime's prediction of one row.
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

    /// Probabilities of a row, the likeliest class, entropy, mutual information and prediction set, in `classes`'
    /// names.
    pub(super) fn fields(&self, classes: &[String], row: usize) -> Vec<String> {
        let p = &self.probabilities[row * self.classes..(row + 1) * self.classes];
        let name = |class: usize| classes.get(class).map_or("", String::as_str);
        let set: Vec<String> = self.sets[row].iter().map(|&class| escaped(name(class))).collect();
        let doubt = [self.entropy[row], self.mutual_information[row]].map(|nats| nats.to_string());
        let fields = normalised(p).into_iter().map(|p| p.to_string());
        let fields = fields.chain([name(likeliest(p)).to_owned()]).chain(doubt);
        fields.chain([set.join(BETWEEN)]).collect()
    }
}

/// Stands between the classes of a prediction set.
const BETWEEN: &str = "|";

/// A name in a set: a backslash stands before what could end it.
fn escaped(name: &str) -> String {
    name.replace('\\', "\\\\").replace(BETWEEN, "\\|")
}

/// The probabilities over their sum: those of a board are as exact as its logarithms, and their sum is off by some
/// 10⁻⁵.
fn normalised(p: &[f32]) -> Vec<f32> {
    let sum: f64 = p.iter().copied().map(f64::from).sum();
    p.iter().map(|&p| (f64::from(p) / sum) as f32).collect()
}

/// The class of the largest probability, the first one of equals.
fn likeliest(p: &[f32]) -> usize {
    let mut best = 0;
    for class in 1..p.len() {
        if p[class] > p[best] {
            best = class;
        }
    }
    best
}

/// Entropy, nats.
fn entropy(p: &[f32]) -> f32 {
    -p.iter().filter(|&&p| p > 0.0).map(|&p| p * p.ln()).sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_add_up() {
        let p = [0.563_742_64f32, 0.436_241_4, 1e-30];
        let sum: f64 = normalised(&p).into_iter().map(f64::from).sum();
        assert!((sum - 1.0).abs() < f64::from(f32::EPSILON), "{sum}");
    }
}
