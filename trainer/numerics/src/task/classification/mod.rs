//! One of some classes is predicted: a softmax over C outputs.

mod likelihood;
mod predictions;
mod predictive;
mod scores;

use std::ops::Range;

use fiberwalk_formats::{MAX_INVERSE_TEMPERATURE, Names, Output, TEMPERATURE_BITS};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

use super::{PerRow, Select, Share, Task, Thresholds, Verdicts};

pub use likelihood::Categorical;
pub use predictions::Predictions;
pub use predictive::{Predictive, Temperature};
pub use scores::Scores;

/// One of these classes is predicted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Classification {
    /// Class names, in the order of their indices.
    pub classes: Vec<String>,
}

/// Classes of rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Classes {
    /// Index of each row's class, `[n]`.
    pub labels: Vec<u32>,
    /// Number of classes C.
    pub classes: usize,
}

impl PerRow for Classes {
    fn rows(&self) -> usize {
        self.labels.len()
    }

    fn append(&mut self, other: Self) {
        self.labels.extend(other.labels);
    }
}

impl Select for Classes {
    fn subset(&self, rows: &[usize]) -> Self {
        Self { labels: rows.iter().map(|&row| self.labels[row]).collect(), ..*self }
    }
}

impl Task for Classification {
    type Targets = Classes;
    type Likelihood = Categorical;
    type Predictive = Predictive;
    type Calibration = Temperature;
    type Predictions = Predictions;
    type Scores = Scores;

    /// Every class is in the set.
    const OPEN: f32 = 0.0;

    fn outputs(&self) -> usize {
        self.classes.len()
    }

    fn origin(&self) -> f32 {
        0.0
    }

    fn unit(&self) -> f32 {
        1.0
    }

    fn standardise(&self, targets: &Classes) -> Classes {
        targets.clone()
    }

    fn targets(&self, values: Vec<f32>) -> Result<Classes, String> {
        let classes = self.classes.len();
        if let Some(label) = values.iter().find(|&&label| !(0.0..classes as f32).contains(&label)) {
            return Err(format!("found class {label} of {classes}"));
        }
        Ok(Classes { labels: values.into_iter().map(|label| label as u32).collect(), classes })
    }

    /// Indices. There are at most as many classes as outputs, which a float tells apart.
    fn values(targets: &Classes) -> Vec<f32> {
        targets.labels.iter().map(|&label| label as f32).collect()
    }

    fn nll_gradient(
        _: Categorical,
        targets: &Classes,
        rows: Range<usize>,
        outputs: &mut [f32],
    ) -> f64 {
        likelihood::nll_gradient(&targets.labels[rows], outputs)
    }

    fn sampled_gradient(
        _: Categorical,
        outputs: &mut [f32],
        rows: usize,
        rng: &mut Xoshiro256PlusPlus,
    ) {
        likelihood::sampled_gradient(outputs, rows, rng);
    }

    /// The entropy of the classes' shares.
    fn constant_nll(_: Categorical, targets: &Classes) -> f64 {
        let rows = targets.rows() as f64;
        let share = |class: u32| {
            targets.labels.iter().filter(|&&label| label == class).count() as f64 / rows
        };
        let shares = (0..targets.classes as u32).map(share);
        shares.filter(|&p| p > 0.0).map(|p| -p * p.ln()).sum()
    }

    fn likelihood(_: Temperature) -> Categorical {
        Categorical
    }

    fn mixture(outputs: Vec<Vec<f32>>, rows: usize) -> Predictive {
        Predictive::of(outputs, rows)
    }

    fn is_finite(Predictive { probabilities, expected_entropy, .. }: &Predictive) -> bool {
        probabilities.iter().chain(expected_entropy).all(|value| value.is_finite())
    }

    fn mixed(own: &Predictive, other: &Predictive, share: f32) -> Predictive {
        own.mixed(other, share)
    }

    fn divergence(
        _: Categorical,
        draws: &[Vec<f32>],
        _: Share,
        rows: usize,
        reference: &Predictive,
        weights: &[f32],
    ) -> (f64, Vec<Vec<f32>>) {
        likelihood::divergence(draws, rows, &reference.probabilities, weights)
    }

    fn nll(predictive: &Predictive, targets: &Classes, temperature: Temperature) -> Vec<f64> {
        predictive.nll(targets, temperature)
    }

    fn cross_entropy(
        predictive: &Predictive,
        own: Temperature,
        reference: &Predictive,
        its: Temperature,
    ) -> Vec<f64> {
        predictive.cross_entropy(own, reference, its)
    }

    fn rmse(_: &Predictive, _: &Classes) -> Option<f64> {
        None
    }

    fn calibration(_: Categorical) -> Temperature {
        Temperature(1.0)
    }

    fn neutral(_: Temperature) -> Temperature {
        Temperature(1.0)
    }

    fn calibrate(
        _: Categorical,
        rows: usize,
        mean_nll: impl Fn(Temperature) -> f64,
    ) -> Temperature {
        Temperature::of_least(mean_nll, rows)
    }

    fn predict(&self, predictive: &Predictive, thresholds: Thresholds<Temperature>) -> Predictions {
        Predictions::of(predictive, thresholds)
    }

    fn uncalibrated(&self, predictions: &Predictions) -> Predictive {
        let both = predictions.entropy.iter().zip(&predictions.mutual_information);
        Predictive {
            classes: predictions.classes,
            probabilities: predictions.probabilities.clone(),
            expected_entropy: both.map(|(total, mutual)| total - mutual).collect(),
        }
    }

    /// At temperature 1: probabilities p^(1/T) to the power of T. The entropy that networks have by themselves
    /// is lost, and counts as 0.
    fn undo(
        &self,
        predictions: &Predictions,
        Temperature(temperature): Temperature,
        _: Categorical,
    ) -> Predictions {
        let calibrated = Predictive {
            classes: predictions.classes,
            probabilities: predictions.probabilities.clone(),
            expected_entropy: vec![0.0; predictions.rows()],
        };
        let calibration = Temperature(temperature.recip());
        let open = Thresholds { calibration, conformal: Self::OPEN, epistemic: f32::MAX };
        self.predict(&calibrated, open)
    }

    /// A row scores 1 − p of its class (Sadinle et al. 2019), and doubts by its mutual information.
    fn thresholds(
        calibration: Temperature,
        predictions: &Predictions,
        targets: &Classes,
        coverage: f64,
    ) -> Thresholds<Temperature> {
        let own = predictions.each().zip(&targets.labels);
        // Negated rather than 1 − p, which would round away what small p differ by.
        let scores = own.map(|(p, &label)| -p[label as usize]).collect();
        let information = predictions.mutual_information.clone();
        let thresholds = Thresholds::of_scores(calibration, scores, information, coverage);
        Thresholds { conformal: -thresholds.conformal, ..thresholds }
    }

    fn doubt(predictions: &Predictions) -> &[f32] {
        &predictions.entropy
    }

    fn verdicts(predictions: &Predictions) -> &[bool] {
        &predictions.out_of_distribution
    }

    fn columns(&self) -> Vec<String> {
        let probabilities = self.classes.iter().map(|class| format!("p({class})"));
        let rest = ["class", "entropy", "mutual_information", "set"];
        probabilities.chain(rest.map(str::to_owned)).collect()
    }

    fn fields(&self, predictions: &Predictions, row: usize) -> Vec<String> {
        predictions.fields(&self.classes, row)
    }

    fn score(
        predictions: &Predictions,
        targets: &Classes,
        foreign: Option<&Predictions>,
        verdicts: Verdicts,
    ) -> Scores {
        Scores::of(predictions, targets, foreign, verdicts)
    }

    /// ½ Σ |p − q| over classes.
    fn total_variation(left: &Predictions, right: &Predictions) -> f64 {
        let both = left.probabilities.iter().zip(&right.probabilities);
        both.map(|(p, q)| 0.5 * f64::from((p - q).abs())).sum::<f64>() / left.rows() as f64
    }

    fn output<'s>(
        &self,
        target: &'s str,
        classes: &'s str,
        thresholds: Thresholds<Temperature>,
        coverage: f32,
    ) -> Output<'s> {
        Output::Classification {
            target,
            classes: Names::new(classes),
            inverse_temperature: inverse_temperature(thresholds.calibration),
            set_threshold: thresholds.conformal,
            coverage,
            epistemic_threshold: thresholds.epistemic,
        }
    }
}

/// 1 / T in the artifact's units.
fn inverse_temperature(Temperature(temperature): Temperature) -> u32 {
    let units = f64::from(1u32 << TEMPERATURE_BITS) / temperature;
    units.round().clamp(1.0, f64::from(MAX_INVERSE_TEMPERATURE)) as u32
}
