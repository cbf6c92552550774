//! Hamiltonian Monte Carlo (Neal 2011): the reference, for networks of a few thousand parameters.
//!
//! The step size is adapted by dual averaging (Hoffman & Gelman 2014, section 3.2), a diagonal mass matrix
//! by the variances of the warm-up; trajectories have random lengths, lest one resonate. Chains start
//! at MAPs from different initialisations.

use std::fmt;

use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use rand_xoshiro::Xoshiro256PlusPlus;
use rayon::prelude::*;
use serde::Serialize;

use super::{Baseline, Fitted, Problem};
use crate::network::{Likelihood, Tape, outputs};
use crate::random::{Purpose, stream};

/// Beyond this many parameters chains would not mix within any patience.
const MOST_PARAMETERS: usize = 5000;
/// Acceptance that dual averaging aims at; the best for trajectories of fixed length is 0.65, more
/// costs little and lasts on curved ground (Betancourt, Byrne & Girolami 2014).
const ACCEPTANCE: f64 = 0.8;
/// Step size to start the adaptation from, in standard deviations of the mass matrix.
const FIRST_STEP: f64 = 0.05;
/// Mean length of a trajectory in the same units: a quarter of a period of a standard normal.
const LENGTH: f64 = std::f64::consts::FRAC_PI_2;
/// Most steps of a trajectory.
const MOST_STEPS: usize = 200;
/// Draws' worth of weight that the prior's variance has in the mass matrix, as in Stan.
const SHRINKAGE: f64 = 5.0;
/// Share of the prior's variance that it shrinks to.
const SHRUNK: f64 = 1e-3;
/// Training rows whose outputs convergence is judged by.
const JUDGED_ROWS: usize = 32;

/// Several chains.
#[derive(Clone, Copy, Debug)]
pub struct Hmc {
    /// Number of chains.
    pub chains: usize,
    /// Draws of a chain to adapt on, which are left out.
    pub warm_up: usize,
    /// Draws of a chain.
    pub draws: usize,
}

/// Whether chains agree, over the network's outputs at training rows: weights need not, since they can
/// be permuted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Convergence {
    /// Largest split R-hat (Gelman et al. 2013, section 11.4); 1 where chains agree.
    pub r_hat: f64,
    /// Smallest effective sample size of all chains together.
    pub effective_samples: f64,
    /// Mean acceptance probability after warm-up.
    pub acceptance: f64,
}

impl fmt::Display for Convergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "R-hat at most {:.3}, at least {:.0} effective draws, {:.2} accepted",
            self.r_hat, self.effective_samples, self.acceptance
        )
    }
}

/// The draws of a chain, `[draws][P]`, and their mean acceptance probability.
type Chain = (Vec<Vec<f32>>, f64);

/// U(θ) = Σ −log p(y | x, θ) + ½ Σ α θ².
struct Potential<'a> {
    problem: &'a Problem<'a>,
    prior_precision: Vec<f32>,
    tape: Tape,
    theta: Vec<f32>,
    gradient: Vec<f32>,
}

impl<'a> Potential<'a> {
    fn new(problem: &'a Problem<'a>) -> Self {
        let prior_precision = problem.architecture.per_parameter(problem.prior_precision);
        let zeros = vec![0.0; prior_precision.len()];
        Self {
            problem,
            prior_precision,
            tape: Tape::default(),
            theta: zeros.clone(),
            gradient: zeros,
        }
    }

    /// U at `theta`; writes its gradient.
    fn at(&mut self, theta: &[f64], gradient: &mut [f64]) -> f64 {
        self.theta.iter_mut().zip(theta).for_each(|(narrow, &wide)| *narrow = wide as f32);
        self.gradient.fill(0.0);
        let Problem { set, architecture, likelihood, .. } = *self.problem;
        let nll: f64 = set
            .objectives(architecture, likelihood)
            .map(|objective| {
                objective.nll_gradient(&self.theta, &mut self.tape, &mut self.gradient)
            })
            .sum();
        let mut prior = 0.0;
        let parts = theta.iter().zip(&self.prior_precision).zip(&self.gradient);
        for (g, ((&value, &alpha), &own)) in gradient.iter_mut().zip(parts) {
            let alpha = f64::from(alpha);
            prior += 0.5 * alpha * value * value;
            *g = f64::from(own) + alpha * value;
        }
        nll + prior
    }
}

/// Dual averaging of the logarithm of the step size (Hoffman & Gelman 2014, algorithm 5).
struct DualAveraging {
    middle: f64,
    error: f64,
    log_mean: f64,
    count: f64,
}

impl DualAveraging {
    const GAMMA: f64 = 0.05;
    const T0: f64 = 10.0;
    const KAPPA: f64 = 0.75;

    fn from(step: f64) -> Self {
        Self { middle: (10.0 * step).ln(), error: 0.0, log_mean: step.ln(), count: 0.0 }
    }

    /// Takes in an acceptance probability; returns the next step size.
    fn next(&mut self, acceptance: f64) -> f64 {
        self.count += 1.0;
        let share = 1.0 / (self.count + Self::T0);
        self.error += share * (ACCEPTANCE - acceptance - self.error);
        let log = self.middle - self.count.sqrt() / Self::GAMMA * self.error;
        let share = self.count.powf(-Self::KAPPA);
        self.log_mean += share * (log - self.log_mean);
        log.exp()
    }

    fn mean(&self) -> f64 {
        self.log_mean.exp()
    }
}

/// A chain under way.
struct Sampler<'a> {
    potential: Potential<'a>,
    rng: Xoshiro256PlusPlus,
    theta: Vec<f64>,
    gradient: Vec<f64>,
    energy: f64,
    /// Inverse of the mass matrix's diagonal.
    variances: Vec<f64>,
    step: f64,
}

impl<'a> Sampler<'a> {
    fn new(problem: &'a Problem<'a>, start: &[f32], rng: Xoshiro256PlusPlus) -> Self {
        let mut potential = Potential::new(problem);
        let theta: Vec<f64> = start.iter().map(|&value| f64::from(value)).collect();
        let mut gradient = vec![0.0; theta.len()];
        let energy = potential.at(&theta, &mut gradient);
        let variances = potential.prior_precision.iter().map(|&a| 1.0 / f64::from(a)).collect();
        Self { potential, rng, theta, gradient, energy, variances, step: FIRST_STEP }
    }

    /// One trajectory; returns its acceptance probability.
    fn advance(&mut self) -> f64 {
        let rng = &mut self.rng;
        let mut momentum: Vec<f64> = self
            .variances
            .iter()
            .map(|variance| {
                let normal: f64 = StandardNormal.sample(rng);
                normal / variance.sqrt()
            })
            .collect();
        let length = 2.0 * LENGTH * rng.random::<f64>();
        let threshold: f64 = rng.random();
        let steps = ((length / self.step).ceil() as usize).clamp(1, MOST_STEPS);
        let before = self.energy + kinetic(&momentum, &self.variances);
        let (mut theta, mut gradient) = (self.theta.clone(), self.gradient.clone());
        let mut energy = self.energy;
        for _ in 0..steps {
            energy = self.leapfrog(&mut theta, &mut momentum, &mut gradient);
            if !energy.is_finite() {
                return 0.0;
            }
        }
        let after = energy + kinetic(&momentum, &self.variances);
        if !after.is_finite() {
            return 0.0;
        }
        let acceptance = (before - after).exp().min(1.0);
        if threshold < acceptance {
            (self.theta, self.gradient, self.energy) = (theta, gradient, energy);
        }
        acceptance
    }

    /// One step of leapfrog; returns U at its end.
    fn leapfrog(&mut self, theta: &mut [f64], momentum: &mut [f64], gradient: &mut [f64]) -> f64 {
        let half = 0.5 * self.step;
        momentum.iter_mut().zip(&*gradient).for_each(|(p, g)| *p -= half * g);
        let moves = theta.iter_mut().zip(&*momentum).zip(&self.variances);
        moves.for_each(|((value, p), variance)| *value += self.step * variance * p);
        let energy = self.potential.at(theta, gradient);
        momentum.iter_mut().zip(&*gradient).for_each(|(p, g)| *p -= half * g);
        energy
    }

    /// `draws` draws while the step size adapts; returns them.
    fn adapt(&mut self, draws: usize) -> Vec<Vec<f64>> {
        let mut averaging = DualAveraging::from(self.step);
        let visited = (0..draws)
            .map(|_| {
                let acceptance = self.advance();
                self.step = averaging.next(acceptance);
                self.theta.clone()
            })
            .collect();
        self.step = averaging.mean();
        visited
    }

    /// Adapts the step, then the mass matrix, then the step again.
    fn warm_up(&mut self, draws: usize) {
        self.adapt(draws / 4);
        let visited = self.adapt(draws / 2);
        let count = visited.len() as f64;
        for (index, variance) in self.variances.iter_mut().enumerate() {
            let values = visited.iter().map(|theta| theta[index]);
            let mean = values.clone().sum::<f64>() / count;
            let own =
                values.map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
            *variance = (count * own + SHRINKAGE * SHRUNK * *variance) / (count + SHRINKAGE);
        }
        self.step = FIRST_STEP;
        self.adapt(draws - draws / 4 - draws / 2);
    }
}

fn kinetic(momentum: &[f64], variances: &[f64]) -> f64 {
    momentum.iter().zip(variances).map(|(p, variance)| 0.5 * variance * p * p).sum()
}

impl Hmc {
    /// The reference: 32 times as many networks as the walk has particles by default.
    pub const REFERENCE: Self = Self { chains: 4, warm_up: 500, draws: 512 };

    /// Chains from the MAPs of different initialisations, one a thread.
    fn sample(&self, problem: &Problem<'_>) -> anyhow::Result<Vec<Chain>> {
        let starts = problem.maps(self.chains)?;
        let chain = |(index, start): (usize, &Vec<f32>)| {
            let rng = stream(problem.seed, Purpose::Hmc, index as u64);
            let mut sampler = Sampler::new(problem, start, rng);
            sampler.warm_up(self.warm_up);
            let mut accepted = 0.0;
            let draws = (0..self.draws).map(|_| {
                accepted += sampler.advance();
                sampler.theta.iter().map(|&value| value as f32).collect()
            });
            let draws = draws.collect();
            (draws, accepted / self.draws as f64)
        };
        Ok(starts.par_iter().enumerate().map(chain).collect())
    }
}

impl Baseline for Hmc {
    fn most_parameters(&self) -> Option<usize> {
        Some(MOST_PARAMETERS)
    }

    fn fit(&self, problem: &Problem<'_>) -> anyhow::Result<Fitted> {
        let chains = self.sample(problem)?;
        let acceptance =
            chains.iter().map(|(_, acceptance)| acceptance).sum::<f64>() / chains.len() as f64;
        let functions: Vec<_> = chains.iter().map(|(draws, _)| functions(problem, draws)).collect();
        let (r_hat, effective_samples) = convergence(&functions);
        let thetas = chains.into_iter().flat_map(|(draws, _)| draws).collect();
        let convergence = Convergence { r_hat, effective_samples, acceptance };
        Ok(Fitted::Sampled { thetas, convergence })
    }
}

/// Outputs of every draw at some training rows, logits centred over the classes, `[draws][functions]`.
fn functions(problem: &Problem<'_>, draws: &[Vec<f32>]) -> Vec<Vec<f64>> {
    let (batch, _) = problem.set.mini_batch(0);
    let rows = batch.rows().min(JUDGED_ROWS);
    let judged = batch.select(&(0..rows).collect::<Vec<_>>());
    let of_draw = |theta: &Vec<f32>| {
        let outputs = outputs(problem.architecture, theta, &judged);
        let mut values: Vec<f64> = outputs.iter().map(|&f| f64::from(f)).collect();
        if problem.likelihood == Likelihood::Categorical {
            let classes = values.len() / rows;
            for row in 0..rows {
                let own = (0..classes).map(|class| class * rows + row);
                let mean = own.clone().map(|at| values[at]).sum::<f64>() / classes as f64;
                own.for_each(|at| values[at] -= mean);
            }
        }
        values
    };
    draws.par_iter().map(of_draw).collect()
}

/// Largest split R-hat and smallest effective sample size over functions, of `[chains][draws][functions]`.
fn convergence(chains: &[Vec<Vec<f64>>]) -> (f64, f64) {
    let count = chains[0].first().map_or(0, Vec::len);
    (0..count)
        .into_par_iter()
        .map(|function| {
            let halves: Vec<Vec<f64>> = chains
                .iter()
                .flat_map(|draws| {
                    let values: Vec<f64> = draws.iter().map(|draw| draw[function]).collect();
                    let half = values.len() / 2;
                    [values[..half].to_vec(), values[values.len() - half..].to_vec()]
                })
                .collect();
            mixing(&halves)
        })
        .reduce(|| (1.0, f64::INFINITY), |a, b| (a.0.max(b.0), a.1.min(b.1)))
}

/// R-hat and effective sample size of one quantity from sequences of one length (Gelman et al. 2013,
/// equations 11.1 to 11.8, with Geyer's initial monotone sequence).
fn mixing(sequences: &[Vec<f64>]) -> (f64, f64) {
    let (m, n) = (sequences.len() as f64, sequences[0].len() as f64);
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let means: Vec<f64> = sequences.iter().map(|values| mean(values)).collect();
    let grand = mean(&means);
    let between = means.iter().map(|own| (own - grand).powi(2)).sum::<f64>() * n / (m - 1.0);
    let squares = sequences.iter().zip(&means).map(|(values, mean)| {
        values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0)
    });
    let within = squares.sum::<f64>() / m;
    let total = (n - 1.0) / n * within + between / n;
    let correlation = |lag: usize| {
        let variogram = sequences.iter().map(|values| {
            let pairs = values.iter().zip(&values[lag..]);
            pairs.map(|(a, b)| (a - b).powi(2)).sum::<f64>() / (n - lag as f64)
        });
        1.0 - variogram.sum::<f64>() / m / (2.0 * total)
    };
    let (mut sum, mut last) = (0.0, f64::INFINITY);
    for lag in (0..sequences[0].len().saturating_sub(2)).step_by(2) {
        let pair = correlation(lag) + correlation(lag + 1);
        if pair.is_nan() || pair <= 0.0 {
            break;
        }
        last = pair.min(last);
        sum += last;
    }
    // The pair at lag 0 holds the correlation 1 of a draw with itself.
    let inefficiency = (2.0 * sum - 1.0).max(1.0 / (m * n).log10().max(1.0));
    ((total / within).sqrt(), m * n / inefficiency)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baselines::linear::Linear;

    /// The posterior of a linear model is N(m, Σ): mean and covariance of the chains must be within
    /// Monte Carlo error of it.
    #[test]
    fn a_linear_model_is_sampled_from_its_exact_posterior() {
        let linear = Linear::new();
        let hmc = Hmc { chains: 4, warm_up: 400, draws: 10_000 };
        let chains = hmc.sample(&linear.problem()).expect("the processor");
        let weights: Vec<Vec<Vec<f64>>> = chains
            .iter()
            .map(|(draws, _)| {
                let wide = |theta: &Vec<f32>| theta.iter().map(|&w| f64::from(w)).collect();
                draws.iter().map(wide).collect()
            })
            .collect();
        let (r_hat, effective) = convergence(&weights);
        assert!(r_hat < 1.01 && effective > 1000.0, "R-hat {r_hat}, {effective} effective draws");
        for (_, acceptance) in &chains {
            assert!((acceptance - ACCEPTANCE).abs() < 0.15, "accepted {acceptance}");
        }
        // Mean over all draws of a quantity, with its Monte Carlo error from its own effective sample
        // size: that of squares is smaller than that of the weights.
        let average = |quantity: &dyn Fn(&[f64]) -> f64| {
            let sequences: Vec<Vec<f64>> = weights
                .iter()
                .map(|draws| draws.iter().map(|draw| quantity(draw)).collect())
                .collect();
            let all = sequences.concat();
            let mean = all.iter().sum::<f64>() / all.len() as f64;
            let variance =
                all.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / all.len() as f64;
            (mean, (variance / mixing(&sequences).1).sqrt())
        };
        for i in 0..3 {
            let (found, error) = average(&|theta| theta[i]);
            let exact = linear.mean[i];
            println!("weight {i}: {found} ± {error}, exact {exact}");
            assert!((found - exact).abs() < 4.0 * error, "weight {i}");
            for j in 0..3 {
                let (found, error) =
                    average(&|theta| (theta[i] - linear.mean[i]) * (theta[j] - linear.mean[j]));
                let exact = linear.covariance[(i, j)];
                println!("covariance ({i}, {j}): {found} ± {error}, exact {exact}");
                assert!((found - exact).abs() < 4.0 * error, "({i}, {j})");
            }
        }
    }

    #[test]
    fn chains_that_disagree_are_told() {
        let mut rng = stream(0, Purpose::Hmc, 0);
        let mut chain = |mean: f64| -> Vec<Vec<f64>> {
            let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
            (0..500).map(|_| vec![mean + normal()]).collect()
        };
        let (r_hat, effective) = convergence(&[chain(0.0), chain(0.0), chain(0.0)]);
        assert!(r_hat < 1.02, "{r_hat}");
        assert!((1000.0..2500.0).contains(&effective), "{effective}");
        let (r_hat, effective) = convergence(&[chain(0.0), chain(0.0), chain(3.0)]);
        assert!(r_hat > 1.5 && effective < 50.0, "{r_hat} {effective}");
    }

    /// x_t = φ x_{t−1} + ε has n (1 − φ) / (1 + φ) effective draws.
    #[test]
    fn an_autoregressive_chain_has_its_known_effective_sample_size() {
        let (phi, count) = (0.9f64, 20_000);
        let sequences: Vec<Vec<f64>> = (0..4)
            .map(|index| {
                let mut rng = stream(index, Purpose::Hmc, 1);
                let mut x = 0.0;
                (0..count)
                    .map(|_| {
                        let normal: f64 = StandardNormal.sample(&mut rng);
                        x = phi * x + normal;
                        x
                    })
                    .collect()
            })
            .collect();
        let exact = 4.0 * count as f64 * (1.0 - phi) / (1.0 + phi);
        let (_, effective) = mixing(&sequences);
        assert!((effective / exact - 1.0).abs() < 0.15, "{effective} but {exact}");
    }
}
