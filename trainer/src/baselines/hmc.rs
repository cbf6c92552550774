//! Hamiltonian Monte Carlo (Neal 2011): the reference, for networks of a few thousand parameters.
//!
//! The step size is adapted by dual averaging (Hoffman & Gelman 2014, section 3.2), a diagonal mass matrix
//! by the variances of the warm-up; trajectories have random lengths, lest one resonate. Chains start
//! at MAPs from different initialisations.
//!
//! The No-U-Turn sampler with Stan's defaults was tried in its place: it took 1.7 to 3.7 times as
//! many gradients for as many effective draws (`docs/comparing.md`).

use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use rand_xoshiro::Xoshiro256PlusPlus;
use rayon::prelude::*;

use super::convergence::{Convergence, convergence};
use super::{Baseline, Fitted, Problem, Sizes, sizes};
use crate::network::{Tape, outputs};
use crate::random::{Purpose, stream};
use crate::task::Likelihood;

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
/// Energy that a trajectory may gain before it counts as divergent, as in Stan.
const MOST_GAIN: f64 = 1000.0;
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

/// Draws and trajectories of a chain after its warm-up.
struct Chain {
    /// `[draws][P]`.
    draws: Vec<Vec<f32>>,
    trajectories: Vec<Trajectory>,
}

/// How a trajectory went.
#[derive(Clone, Copy)]
struct Trajectory {
    /// Probability that its end is accepted.
    acceptance: f64,
    /// Gradients that it took.
    steps: usize,
    /// Whether its energy was lost on the way.
    diverged: bool,
}

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
        let nll = set.each(architecture, likelihood, |objective| {
            objective.nll_gradient(&self.theta, &mut self.tape, &mut self.gradient)
        });
        let nll: f64 = nll.iter().sum();
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

    /// One trajectory, and on to its end where that is accepted.
    fn advance(&mut self) -> Trajectory {
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
        let (mut energy, mut after) = (self.energy, before);
        for step in 1..=steps {
            energy = self.leapfrog(&mut theta, &mut momentum, &mut gradient);
            after = energy + kinetic(&momentum, &self.variances);
            if after.is_nan() || after - before > MOST_GAIN {
                return Trajectory { acceptance: 0.0, steps: step, diverged: true };
            }
        }
        let acceptance = (before - after).exp().min(1.0);
        if threshold < acceptance {
            (self.theta, self.gradient, self.energy) = (theta, gradient, energy);
        }
        Trajectory { acceptance, steps, diverged: false }
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
                let Trajectory { acceptance, .. } = self.advance();
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
            let draw = |_| {
                let trajectory = sampler.advance();
                (sampler.theta.iter().map(|&value| value as f32).collect(), trajectory)
            };
            let (draws, trajectories) = (0..self.draws).map(draw).unzip();
            Chain { draws, trajectories }
        };
        Ok(starts.par_iter().enumerate().map(chain).collect())
    }
}

impl Baseline for Hmc {
    fn sizes(&self) -> Sizes {
        let Self { chains, warm_up, draws } = *self;
        let counts = [("chains", chains), ("warm_up", warm_up), ("draws", draws)];
        sizes(counts.map(|(name, count)| (name, count as f64)))
    }

    fn most_parameters(&self) -> Option<usize> {
        Some(MOST_PARAMETERS)
    }

    fn fit(&self, problem: &Problem<'_>) -> anyhow::Result<Fitted> {
        let chains = self.sample(problem)?;
        let functions: Vec<_> =
            chains.iter().map(|chain| functions(problem, &chain.draws)).collect();
        let (r_hat, effective_samples) = convergence(&functions);
        let all = || chains.iter().flat_map(|chain| &chain.trajectories);
        let accepted: f64 = all().map(|trajectory| trajectory.acceptance).sum();
        let convergence = Convergence {
            r_hat,
            effective_samples,
            acceptance: accepted / all().count() as f64,
            divergences: all().filter(|trajectory| trajectory.diverged).count(),
            gradients: all().map(|trajectory| trajectory.steps).sum(),
        };
        let thetas = chains.into_iter().flat_map(|chain| chain.draws).collect();
        Ok(Fitted::Sampled { thetas, convergence })
    }
}

/// Outputs of every draw at some training rows, logits centred over the classes, `[draws][functions]`.
fn functions(problem: &Problem<'_>, draws: &[Vec<f32>]) -> Vec<Vec<f64>> {
    let batch = &problem.set.mini_batch(0).batch;
    let rows = batch.rows().min(JUDGED_ROWS);
    let judged = batch.select(&(0..rows).collect::<Vec<_>>());
    let of_draw = |theta: &Vec<f32>| {
        let outputs = outputs(problem.architecture, theta, &judged);
        let mut values: Vec<f64> = outputs.iter().map(|&f| f64::from(f)).collect();
        if problem.likelihood == Likelihood::CATEGORICAL {
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

#[cfg(test)]
mod tests {
    use super::super::convergence::mixing;
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
            .map(|chain| {
                let wide = |theta: &Vec<f32>| theta.iter().map(|&w| f64::from(w)).collect();
                chain.draws.iter().map(wide).collect()
            })
            .collect();
        let (r_hat, effective) = convergence(&weights);
        assert!(r_hat < 1.01 && effective > 1000.0, "R-hat {r_hat}, {effective} effective draws");
        for Chain { trajectories, .. } in &chains {
            assert!(trajectories.iter().all(|trajectory| !trajectory.diverged));
            let accepted: f64 = trajectories.iter().map(|trajectory| trajectory.acceptance).sum();
            let acceptance = accepted / trajectories.len() as f64;
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
}
