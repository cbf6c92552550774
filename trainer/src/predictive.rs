//! The posterior predictive of a set of parameter vectors, and its post-hoc calibration.

use serde::{Deserialize, Serialize};

use crate::data::Targets;
use crate::network::{Architecture, Batch, Likelihood, outputs_of_each, softmax};

/// Smallest probability whose logarithm is taken.
const SMALLEST_PROBABILITY: f64 = f32::MIN_POSITIVE as f64;

/// An equal mixture of networks, at some inputs.
#[derive(Clone, Debug)]
pub enum Predictive {
    /// Mean class probabilities.
    Classification {
        /// Number of classes C.
        classes: usize,
        /// Mean of the networks' probabilities, row-major `[n, C]`.
        probabilities: Vec<f32>,
        /// Mean of the networks' entropies, nats, `[n]`.
        expected_entropy: Vec<f32>,
    },
    /// Moments of the networks' outputs, in standardised target units.
    Regression {
        /// Mean, `[n]`.
        mean: Vec<f32>,
        /// Variance between networks (epistemic), `[n]`.
        variance: Vec<f32>,
    },
}

/// One number that makes a predictive match held-out rows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Calibration {
    /// p ∝ p̄^(1/T), T > 0: temperature of the averaged predictive.
    Temperature(f64),
    /// Standard deviation of the noise, standardised target units.
    NoiseStd(f64),
}

impl Calibration {
    /// The calibration that leaves a likelihood as it is.
    pub fn of(likelihood: Likelihood) -> Self {
        match likelihood {
            Likelihood::Categorical => Self::Temperature(1.0),
            Likelihood::Gaussian { noise_std } => Self::NoiseStd(f64::from(noise_std)),
        }
    }

    /// The calibration of the same kind that leaves class probabilities as they are.
    pub const fn neutral(self) -> Self {
        match self {
            Self::Temperature(_) => Self::Temperature(1.0),
            Self::NoiseStd(noise_std) => Self::NoiseStd(noise_std),
        }
    }
}

impl Predictive {
    /// Evaluates `thetas: [N][P]` at every row of `batch`, for targets of this kind.
    pub fn of(
        architecture: &Architecture,
        targets: &Targets,
        thetas: &[Vec<f32>],
        batch: &Batch,
    ) -> Self {
        match targets {
            Targets::Classes { classes, .. } => {
                Self::classify(architecture, *classes, thetas, batch)
            }
            Targets::Values(_) => Self::regress(architecture, thetas, batch),
        }
    }

    /// Evaluates classifiers `thetas: [N][P]` at every row of `batch`.
    pub fn classify(
        architecture: &Architecture,
        classes: usize,
        thetas: &[Vec<f32>],
        batch: &Batch,
    ) -> Self {
        average_softmax(outputs_of_each(architecture, thetas, batch), classes, batch.rows())
    }

    /// Evaluates regressors `thetas: [N][P]` at every row of `batch`.
    pub fn regress(architecture: &Architecture, thetas: &[Vec<f32>], batch: &Batch) -> Self {
        moments(&outputs_of_each(architecture, thetas, batch), batch.rows())
    }

    /// The mixture of networks with these `outputs: [N][C, rows]`.
    pub fn of_outputs(likelihood: Likelihood, outputs: Vec<Vec<f32>>, rows: usize) -> Self {
        match likelihood {
            Likelihood::Categorical => {
                let classes = outputs[0].len() / rows;
                average_softmax(outputs, classes, rows)
            }
            Likelihood::Gaussian { .. } => moments(&outputs, rows),
        }
    }

    /// The rows of the named indices.
    pub fn select(&self, indices: &[usize]) -> Self {
        let each = |values: &[f32]| indices.iter().map(|&index| values[index]).collect();
        match self {
            Self::Classification { classes, probabilities, expected_entropy } => {
                let rows = indices.iter().map(|&index| index * classes..(index + 1) * classes);
                Self::Classification {
                    classes: *classes,
                    probabilities: rows.flat_map(|row| &probabilities[row]).copied().collect(),
                    expected_entropy: each(expected_entropy),
                }
            }
            Self::Regression { mean, variance } => {
                Self::Regression { mean: each(mean), variance: each(variance) }
            }
        }
    }

    /// Root mean square error of the mean, standardised units; none for classification.
    pub fn rmse(&self, targets: &Targets) -> Option<f64> {
        let (Self::Regression { mean: predicted, .. }, Targets::Values(values)) = (self, targets)
        else {
            return None;
        };
        let squares = predicted.iter().zip(values).map(|(m, y)| f64::from(y - m).powi(2));
        Some(mean(&squares.collect::<Vec<_>>()).sqrt())
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        match self {
            Self::Classification { expected_entropy, .. } => expected_entropy.len(),
            Self::Regression { mean, .. } => mean.len(),
        }
    }

    /// Appends the rows of `other`, which is of the same kind.
    pub fn append(&mut self, other: Self) {
        match (self, other) {
            (
                Self::Classification { probabilities, expected_entropy, .. },
                Self::Classification { probabilities: p, expected_entropy: h, .. },
            ) => {
                probabilities.extend(p);
                expected_entropy.extend(h);
            }
            (Self::Regression { mean, variance }, Self::Regression { mean: m, variance: v }) => {
                mean.extend(m);
                variance.extend(v);
            }
            _ => unreachable!("both sides are predictives of one task"),
        }
    }

    /// The mixture of the `own` networks of this predictive and the `its` networks of `other`, which
    /// is of the same kind and rows.
    #[must_use]
    pub fn mixed(&self, own: usize, other: &Self, its: usize) -> Self {
        let share = its as f32 / (own + its) as f32;
        let between = |a: f32, b: f32| a + share * (b - a);
        let each = |one: &[f32], other: &[f32]| -> Vec<f32> {
            one.iter().zip(other).map(|(&a, &b)| between(a, b)).collect()
        };
        match (self, other) {
            (
                Self::Classification { classes, probabilities, expected_entropy },
                Self::Classification { probabilities: p, expected_entropy: h, .. },
            ) => Self::Classification {
                classes: *classes,
                probabilities: each(probabilities, p),
                expected_entropy: each(expected_entropy, h),
            },
            (Self::Regression { mean, variance }, Self::Regression { mean: m, variance: v }) => {
                let apart =
                    mean.iter().zip(m).map(|(a, b)| share * (1.0 - share) * (b - a).powi(2));
                let variance = each(variance, v).into_iter().zip(apart).map(|(v, apart)| v + apart);
                Self::Regression { mean: each(mean, m), variance: variance.collect() }
            }
            _ => unreachable!("both sides are predictives of one task"),
        }
    }

    /// −log p(y | x) of every row after `calibration`, nats; regression in standardised units.
    pub fn nll(&self, targets: &Targets, calibration: Calibration) -> Vec<f64> {
        match (self, targets, calibration) {
            (
                Self::Classification { classes, probabilities, .. },
                Targets::Classes { labels, .. },
                Calibration::Temperature(temperature),
            ) => probabilities
                .chunks_exact(*classes)
                .zip(labels)
                .map(|(p, &label)| tempered_nll(p, label as usize, temperature))
                .collect(),
            (
                Self::Regression { mean, variance },
                Targets::Values(values),
                Calibration::NoiseStd(noise_std),
            ) => mean
                .iter()
                .zip(variance)
                .zip(values)
                .map(|((&mean, &variance), &y)| {
                    let total = f64::from(variance) + noise_std * noise_std;
                    let residual = f64::from(y) - f64::from(mean);
                    0.5 * (residual * residual / total + (std::f64::consts::TAU * total).ln())
                })
                .collect(),
            _ => unreachable!("predictive, targets and calibration are of one task"),
        }
    }

    /// The calibration of least mean NLL on held-out `targets`. `noise_std` is what a regressor was
    /// trained with.
    pub fn calibrate(&self, targets: &Targets, noise_std: Option<f32>) -> Calibration {
        search(noise_std, self.rows(), |calibration| mean(&self.nll(targets, calibration)))
    }

    /// The calibration under which this predictive comes closest to `reference` under its own, by
    /// the expected NLL of what the reference predicts at the same rows. No targets are needed.
    pub fn calibrate_to(&self, reference: &Self, calibration: Calibration) -> Calibration {
        let noise_std = match calibration {
            Calibration::Temperature(_) => None,
            Calibration::NoiseStd(noise_std) => Some(noise_std as f32),
        };
        search(noise_std, usize::MAX, |own| mean(&self.cross_entropy(own, reference, calibration)))
    }

    /// Expected −log p(y | x) of every row, y drawn from `reference`, nats.
    pub fn cross_entropy(&self, own: Calibration, reference: &Self, its: Calibration) -> Vec<f64> {
        match (self, reference, own, its) {
            (
                Self::Classification { classes, probabilities, .. },
                Self::Classification { probabilities: drawn, .. },
                Calibration::Temperature(own),
                Calibration::Temperature(its),
            ) => probabilities
                .chunks_exact(*classes)
                .zip(drawn.chunks_exact(*classes))
                .map(|(p, q)| {
                    let term =
                        |class| (-tempered_nll(q, class, its)).exp() * tempered_nll(p, class, own);
                    (0..*classes).map(term).sum()
                })
                .collect(),
            (
                Self::Regression { mean, variance },
                Self::Regression { mean: its_mean, variance: its_variance },
                Calibration::NoiseStd(own),
                Calibration::NoiseStd(its),
            ) => mean
                .iter()
                .zip(variance)
                .zip(its_mean.iter().zip(its_variance))
                .map(|((&m, &v), (&its_m, &its_v))| {
                    let total = f64::from(v) + own * own;
                    let error = f64::from(its_m - m).powi(2) + f64::from(its_v) + its * its;
                    0.5 * (error / total + (std::f64::consts::TAU * total).ln())
                })
                .collect(),
            _ => unreachable!("both sides are predictives of one task"),
        }
    }
}

/// The calibration of least `mean_nll` over `rows` rows. Few rows that are all classified right
/// would ask for an ever lower temperature: log T has a prior N(0, s²). The noise stays within a
/// factor of 2 of `noise_std`, lest the spread between networks stand in for noise where that
/// happens to fit.
fn search(
    noise_std: Option<f32>,
    rows: usize,
    mean_nll: impl Fn(Calibration) -> f64,
) -> Calibration {
    let (low, high) = TEMPERATURES;
    match noise_std {
        None => {
            let prior = |log: f64| 0.5 * (log / LOG_TEMPERATURE_STD).powi(2) / rows as f64;
            let loss = |log: f64| mean_nll(Calibration::Temperature(log.exp())) + prior(log);
            Calibration::Temperature(minimise(loss, low.ln(), high.ln()).exp())
        }
        Some(noise_std) => {
            let middle = f64::from(noise_std).ln();
            let loss = |log: f64| mean_nll(Calibration::NoiseStd(log.exp()));
            let factor = 2.0f64.ln();
            Calibration::NoiseStd(minimise(loss, middle - factor, middle + factor).exp())
        }
    }
}

/// Range searched for the temperature.
const TEMPERATURES: (f64, f64) = (0.05, 5.0);
/// Prior standard deviation of the logarithm of the temperature.
const LOG_TEMPERATURE_STD: f64 = 0.7;

/// Arithmetic mean.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Minimum of `f` on `[low, high]`: the best of a coarse grid, refined by golden sections.
fn minimise(f: impl Fn(f64) -> f64, low: f64, high: f64) -> f64 {
    const GRID: usize = 24;
    const REFINEMENTS: usize = 24;
    let step = (high - low) / GRID as f64;
    let best = (0..=GRID)
        .map(|index| low + step * index as f64)
        .map(|x| (f(x), x))
        .min_by(|a, b| a.0.total_cmp(&b.0))
        .map_or(low, |(_, x)| x);
    let (mut low, mut high) = ((best - step).max(low), (best + step).min(high));
    let golden = (5.0f64.sqrt() - 1.0) / 2.0;
    for _ in 0..REFINEMENTS {
        let (left, right) = (high - golden * (high - low), low + golden * (high - low));
        if f(left) < f(right) { high = right } else { low = left }
    }
    0.5 * (low + high)
}

fn tempered_nll(probabilities: &[f32], label: usize, temperature: f64) -> f64 {
    let log = |p: f32| f64::from(p).max(SMALLEST_PROBABILITY).ln() / temperature;
    let max = probabilities.iter().map(|&p| log(p)).fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = probabilities.iter().map(|&p| (log(p) - max).exp()).sum();
    max + sum.ln() - log(probabilities[label])
}

fn average_softmax(members: Vec<Vec<f32>>, classes: usize, rows: usize) -> Predictive {
    let weight = 1.0 / members.len() as f32;
    let mut probabilities = vec![0.0f32; rows * classes];
    let mut expected_entropy = vec![0.0f32; rows];
    for mut outputs in members {
        softmax(&mut outputs, rows);
        for (class, row) in outputs.chunks_exact(rows.max(1)).enumerate() {
            for (index, &p) in row.iter().enumerate() {
                probabilities[index * classes + class] += weight * p;
                if p > 0.0 {
                    expected_entropy[index] -= weight * p * p.ln();
                }
            }
        }
    }
    Predictive::Classification { classes, probabilities, expected_entropy }
}

fn moments(members: &[Vec<f32>], rows: usize) -> Predictive {
    let count = members.len() as f32;
    let mean: Vec<f32> = (0..rows)
        .map(|row| members.iter().map(|outputs| outputs[row]).sum::<f32>() / count)
        .collect();
    let variance = mean
        .iter()
        .enumerate()
        .map(|(row, mean)| {
            members.iter().map(|outputs| (outputs[row] - mean).powi(2)).sum::<f32>() / count
        })
        .collect();
    Predictive::Regression { mean, variance }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_calibration_recovers_the_residuals_spread() {
        let mean = vec![0.0; 4];
        let predictive = Predictive::Regression { mean, variance: vec![0.0; 4] };
        let targets = Targets::Values(vec![0.3, -0.3, 0.3, -0.3]);
        let Calibration::NoiseStd(std) = predictive.calibrate(&targets, Some(0.2)) else {
            panic!("kind")
        };
        assert!((std - 0.3).abs() < 1e-3, "{std}");
    }

    #[test]
    fn temperature_calibration_softens_overconfident_predictions() {
        // Says 0.99 and is right three times out of four: T with 0.99^(1/T) / (…) = 0.75. There are
        // enough rows for the prior not to matter.
        let probabilities = [0.99, 0.01].repeat(100_000);
        let predictive = Predictive::Classification {
            classes: 2,
            probabilities,
            expected_entropy: vec![0.0; 100_000],
        };
        let targets = Targets::Classes { labels: [0, 0, 0, 1].repeat(25_000), classes: 2 };
        let Calibration::Temperature(t) = predictive.calibrate(&targets, None) else {
            panic!("kind")
        };
        let exact = (0.99f64 / 0.01).ln() / 3.0f64.ln();
        assert!((t - exact).abs() < 1e-3, "{t} {exact}");
    }

    #[test]
    fn a_predictive_is_brought_close_to_another() {
        let regression = |mean: f32, variance: f32| Predictive::Regression {
            mean: vec![mean; 3],
            variance: vec![variance; 3],
        };
        // Off by 0.3 and without spread: the noise must make up for both.
        let own = regression(0.3, 0.0);
        let found = own.calibrate_to(&regression(0.0, 0.16), Calibration::NoiseStd(0.5));
        let Calibration::NoiseStd(std) = found else { panic!("kind") };
        assert!((std - (0.09f64 + 0.16 + 0.25).sqrt()).abs() < 1e-3, "{std}");

        let classification = |p: f32| Predictive::Classification {
            classes: 2,
            probabilities: vec![p, 1.0 - p],
            expected_entropy: vec![0.0],
        };
        // Logit 2 at temperature 1 is logit 1 at temperature 1/2.
        let logistic = |f: f32| 1.0 / (1.0 + (-f).exp());
        let own = classification(logistic(1.0));
        let reference = classification(logistic(2.0));
        let found = own.calibrate_to(&reference, Calibration::Temperature(1.0));
        let Calibration::Temperature(t) = found else { panic!("kind") };
        assert!((t - 0.5).abs() < 1e-3, "{t}");
    }
}
