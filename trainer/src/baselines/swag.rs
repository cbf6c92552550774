//! SWAG (Maddox et al. 2019): a Gaussian through the iterates of stochastic gradient descent at a
//! constant rate.

use rand::seq::SliceRandom;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

use super::{Baseline, Fitted, Problem, Sizes, mini_batches, sizes};
use crate::network::Tape;
use crate::random::{Purpose, stream};
use crate::task::Objective;

/// Rows of a step. Full batches would leave SGD without the noise that SWAG lives on.
const BATCH_ROWS: usize = 32;
/// Deviations kept, K: the rank of the covariance beside its diagonal.
const RANK: usize = 20;
/// Fewest epochs whose last iterates are collected.
const FEWEST_EPOCHS: usize = 2 * RANK;

/// SWAG from MAP, as many steps as MAP training takes.
#[derive(Clone, Copy, Debug)]
pub struct Swag {
    /// Constant rate of SGD on the mean loss of a row.
    pub learning_rate: f32,
}

/// Moments of the iterates.
struct Moments {
    count: usize,
    mean: Vec<f64>,
    squares: Vec<f64>,
    /// The last deviations from the running mean, at most [`RANK`].
    deviations: Vec<Vec<f64>>,
}

impl Moments {
    fn new(parameters: usize) -> Self {
        let zeros = vec![0.0; parameters];
        Self { count: 0, mean: zeros.clone(), squares: zeros, deviations: Vec::new() }
    }

    /// Takes in one iterate (algorithm 1 of the paper).
    fn collect(&mut self, theta: &[f32]) {
        let share = 1.0 / (self.count as f64 + 1.0);
        for ((mean, square), &value) in self.mean.iter_mut().zip(&mut self.squares).zip(theta) {
            let value = f64::from(value);
            *mean += share * (value - *mean);
            *square += share * (value * value - *square);
        }
        let deviation = theta.iter().zip(&self.mean).map(|(&value, mean)| f64::from(value) - mean);
        self.deviations.push(deviation.collect());
        if self.deviations.len() > RANK {
            self.deviations.remove(0);
        }
        self.count += 1;
    }

    /// A draw from N(mean, ½ diag + ½ D Dᵀ / (K − 1)) (equation 1 of the paper).
    fn draw(&self, seed: u64, index: u64) -> Vec<f32> {
        let mut rng = stream(seed, Purpose::Swag, index);
        let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
        let mut theta: Vec<f64> = self
            .mean
            .iter()
            .zip(&self.squares)
            .map(|(mean, square)| mean + (0.5 * (square - mean * mean).max(0.0)).sqrt() * normal())
            .collect();
        let scale = (2.0 * (self.deviations.len() as f64 - 1.0).max(1.0)).sqrt().recip();
        for deviation in &self.deviations {
            let along = scale * normal();
            theta.iter_mut().zip(deviation).for_each(|(value, d)| *value += along * d);
        }
        theta.into_iter().map(|value| value as f32).collect()
    }
}

impl Swag {
    /// Networks drawn, as many as the walk has particles by default.
    pub const DRAWS: usize = 64;

    /// Descends from `theta` and collects the last iterate of every epoch.
    fn moments(self, problem: &Problem<'_>, mut theta: Vec<f32>) -> Moments {
        let mut rng = stream(problem.seed, Purpose::Swag, u64::MAX);
        let batches = mini_batches(problem.set, BATCH_ROWS, &mut rng);
        let prior_precision = problem.architecture.per_parameter(problem.prior_precision);
        let rows = problem.set.rows() as f32;
        let epochs = (problem.schedule.steps / batches.len()).max(FEWEST_EPOCHS);
        let mut order: Vec<usize> = (0..batches.len()).collect();
        let (mut tape, mut gradient) = (Tape::default(), vec![0.0; theta.len()]);
        let mut moments = Moments::new(theta.len());
        for _ in 0..epochs {
            order.shuffle(&mut rng);
            for &index in &order {
                let (batch, targets) = &batches[index];
                let Problem { architecture, likelihood, .. } = *problem;
                let objective = Objective { architecture, batch, targets, likelihood };
                gradient.fill(0.0);
                objective.nll_gradient(&theta, &mut tape, &mut gradient);
                let share = 1.0 / batch.rows() as f32;
                for ((value, &g), &alpha) in theta.iter_mut().zip(&gradient).zip(&prior_precision) {
                    *value -= self.learning_rate * (share * g + alpha / rows * *value);
                }
            }
            moments.collect(&theta);
        }
        moments
    }
}

impl Baseline for Swag {
    fn sizes(&self) -> Sizes {
        sizes([("learning_rate", self.learning_rate.into()), ("draws", Self::DRAWS as f64)])
    }

    fn fit(&self, problem: &Problem<'_>) -> anyhow::Result<Fitted> {
        let map = problem.maps(1)?.remove(0);
        let moments = self.moments(problem, map);
        let draw = |index| moments.draw(problem.seed, index);
        Ok(Fitted::Networks((0..Self::DRAWS as u64).into_par_iter().map(draw).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baselines::linear::Linear;

    /// Half of the covariance is the diagonal of the iterates', half that of their deviations.
    #[test]
    fn draws_have_the_covariance_of_the_paper() {
        let mut moments = Moments::new(2);
        moments.mean = vec![1.0, -2.0];
        moments.squares = vec![1.0 + 0.5, 4.0 + 2.0];
        moments.deviations = vec![vec![1.0, 1.0], vec![-1.0, 0.5], vec![0.0, -1.5]];
        // Σ d dᵀ / (K − 1), halved, with half the variances 0.5 and 2 on the diagonal.
        let expected = [[0.25 + 0.25 * 2.0, 0.25 * 0.5], [0.25 * 0.5, 1.0 + 0.25 * 3.5]];
        let count = 40_000;
        let draws: Vec<Vec<f32>> = (0..count).map(|index| moments.draw(7, index)).collect();
        for (i, row) in expected.iter().enumerate() {
            let mean = draws.iter().map(|t| f64::from(t[i])).sum::<f64>() / count as f64;
            assert!((mean - moments.mean[i]).abs() < 0.03, "{mean}");
            for (j, exact) in row.iter().enumerate() {
                let product = |t: &Vec<f32>| {
                    (f64::from(t[i]) - moments.mean[i]) * (f64::from(t[j]) - moments.mean[j])
                };
                let found = draws.iter().map(product).sum::<f64>() / count as f64;
                assert!((found - exact).abs() < 0.05, "({i}, {j}): {found}");
            }
        }
    }

    #[test]
    fn moments_of_iterates_by_hand() {
        let mut moments = Moments::new(1);
        [1.0, 3.0, 8.0].iter().for_each(|&value| moments.collect(&[value]));
        assert!((moments.mean[0] - 4.0).abs() < 1e-12);
        assert!((moments.squares[0] - 74.0 / 3.0).abs() < 1e-12);
        // From the running means 1, 2 and 4.
        assert_eq!(moments.deviations, [[0.0], [1.0], [4.0]]);
    }

    /// On a quadratic loss the iterates average to the mode.
    #[test]
    fn iterates_of_a_linear_model_average_to_its_mode() {
        let linear = Linear::new();
        let swag = Swag { learning_rate: 0.01 };
        let theta: Vec<f32> = linear.mean.iter().map(|&w| w as f32).collect();
        let moments = swag.moments(&linear.problem(), theta);
        for (found, expected) in moments.mean.iter().zip(linear.mean.iter()) {
            assert!((found - expected).abs() < 0.02, "{found} {expected}");
        }
    }
}
