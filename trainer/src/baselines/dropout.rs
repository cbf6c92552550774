//! MC dropout (Gal & Ghahramani 2016): hidden units are dropped at random in training and in prediction.
//!
//! A unit that is dropped is a column of zeros in the next layer's weights, so that every draw is a
//! network. In training the rows of a step are shared out over a few draws.

use rand::RngExt;
use rand_xoshiro::Xoshiro256PlusPlus;
use rayon::prelude::*;

use super::{Baseline, Fitted, Problem, Sizes, mini_batches, sizes};
use crate::descent::Adam;
use crate::network::{Architecture, Batch, Tape};
use crate::random::{Purpose, stream};
use crate::task::Objective;

/// Draws that the rows of a training step are shared out over: each row has one of these masks.
const MASKS: usize = 8;

/// Dropout on every hidden layer, trained as long as MAP is, by the same optimiser.
#[derive(Clone, Copy, Debug)]
pub struct Dropout {
    /// Probability that a hidden unit is dropped.
    pub rate: f32,
}

impl Dropout {
    /// Networks drawn, as many as the walk has particles by default.
    pub const DRAWS: usize = 64;

    /// Factors of every parameter, `[P]`: 0 for the weights of dropped units, 1 / (1 − rate) for those of
    /// the others, 1 for biases and for the first layer.
    fn mask(self, architecture: &Architecture, rng: &mut Xoshiro256PlusPlus) -> Vec<f32> {
        let kept = 1.0 / (1.0 - self.rate);
        let mut mask = vec![1.0; architecture.parameters()];
        for layer in architecture.layers().skip(1) {
            let units: Vec<f32> = (0..layer.inputs)
                .map(|_| if rng.random::<f32>() < self.rate { 0.0 } else { kept })
                .collect();
            mask[layer.weights()].chunks_exact_mut(layer.inputs).for_each(|row| {
                row.copy_from_slice(&units);
            });
        }
        mask
    }

    /// Minimises the expected Σ −log p(y | x, θ ∘ m) + ½ Σ α θ² over masks m.
    fn train(self, problem: &Problem<'_>) -> Vec<f32> {
        let Problem { architecture, likelihood, set, schedule, .. } = *problem;
        let mut rng = stream(problem.seed, Purpose::Initialisation, 0);
        let mut theta = architecture.initialise(&mut rng);
        let mut rng = stream(problem.seed, Purpose::Dropout, u64::MAX);
        let parts = mini_batches(set, set.rows().div_ceil(set.parts()), &mut rng);
        let prior_precision = architecture.per_parameter(problem.prior_precision);
        let (mut adam, mut tape) = (Adam::new(theta.len()), Tape::default());
        let (mut gradient, mut own) = (vec![0.0; theta.len()], vec![0.0; theta.len()]);
        for step in 0..schedule.steps {
            let (batch, targets) = &parts[step % parts.len()];
            let scale = set.rows() as f32 / batch.rows() as f32;
            for ((g, &value), &alpha) in gradient.iter_mut().zip(&theta).zip(&prior_precision) {
                *g = alpha * value;
            }
            for rows in shares(batch) {
                let mask = self.mask(architecture, &mut rng);
                let masked: Vec<f32> = theta.iter().zip(&mask).map(|(t, m)| t * m).collect();
                let (batch, targets) = (&batch.select(&rows), &targets.subset(&rows));
                let objective = Objective { architecture, batch, targets, likelihood };
                own.fill(0.0);
                objective.nll_gradient(&masked, &mut tape, &mut own);
                let pulled = gradient.iter_mut().zip(&own).zip(&mask);
                pulled.for_each(|((g, &own), &m)| *g += scale * own * m);
            }
            adam.step(&mut theta, &gradient, schedule.rate(step));
        }
        theta
    }

    /// `count` networks drawn by masking `theta`.
    fn draws(
        self,
        architecture: &Architecture,
        theta: &[f32],
        count: usize,
        seed: u64,
    ) -> Vec<Vec<f32>> {
        let draw = |index| {
            let mask = self.mask(architecture, &mut stream(seed, Purpose::Dropout, index));
            theta.iter().zip(&mask).map(|(value, m)| value * m).collect()
        };
        (0..count as u64).into_par_iter().map(draw).collect()
    }
}

/// The rows of a batch shared out over [`MASKS`] draws.
fn shares(batch: &Batch) -> impl Iterator<Item = Vec<usize>> {
    let rows = batch.rows();
    (0..MASKS.min(rows)).map(move |first| (first..rows).step_by(MASKS).collect())
}

impl Baseline for Dropout {
    fn sizes(&self) -> Sizes {
        sizes([("rate", self.rate.into()), ("draws", Self::DRAWS as f64)])
    }

    fn fit(&self, problem: &Problem<'_>) -> anyhow::Result<Fitted> {
        let theta = self.train(problem);
        Ok(Fitted::Networks(self.draws(problem.architecture, &theta, Self::DRAWS, problem.seed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baselines::linear::Linear;
    use crate::network::{Activation, outputs};
    use crate::task::{Likelihood, Predictive, regression};

    /// f = b + Σ_j w_j a_j m_j has mean f(θ) and variance p / (1 − p) Σ_j (w_j a_j)².
    #[test]
    fn the_predictive_of_one_hidden_layer_has_its_moments_in_closed_form() {
        let architecture = Architecture::perceptron(&[2, 5, 1], Activation::Tanh);
        let mut rng = stream(4, Purpose::Initialisation, 0);
        let theta = architecture.initialise(&mut rng);
        let batch = Batch::from_rows(&[0.7, -1.2], 2);
        let (rate, count) = (0.2f32, 40_000);
        let draws = Dropout { rate }.draws(&architecture, &theta, count, 1);
        let each = draws.iter().map(|theta| outputs(&architecture, theta, &batch)).collect();
        let likelihood = Likelihood::gaussian(1.0);
        let Predictive::Regression(regression::Predictive { mean, variance }) =
            likelihood.mixture(each, 1)
        else {
            panic!("regression");
        };
        let last = architecture.layers().nth(1).expect("two layers");
        let exact: f32 = (0..5)
            .map(|unit| {
                let w = &theta[2 * unit..2 * unit + 2];
                let a = (0.7 * w[0] - 1.2 * w[1]).tanh();
                (theta[last.weights()][unit] * a).powi(2) * rate / (1.0 - rate)
            })
            .sum();
        let whole = outputs(&architecture, &theta, &batch)[0];
        assert!((mean[0] - whole).abs() < 5.0 * (exact / count as f32).sqrt(), "{mean:?} {whole}");
        assert!((variance[0] / exact - 1.0).abs() < 0.05, "{variance:?} {exact}");
    }

    /// There is nothing to drop in a linear model: training must find its posterior's mode.
    #[test]
    fn a_linear_model_is_trained_to_its_mode() {
        let linear = Linear::new();
        let theta = Dropout { rate: 0.3 }.train(&linear.problem());
        for (found, expected) in theta.iter().zip(linear.mean.iter()) {
            assert!((f64::from(*found) - expected).abs() < 1e-3, "{theta:?}");
        }
    }
}
