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

use super::{Baseline, Fitted, Problem, Sizes, sizes};
use crate::posterior::{Convergence, Potential, convergence, judged_functions};
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
/// Energy that a trajectory may gain before it counts as divergent, as in Stan.
const MOST_GAIN: f64 = 1000.0;

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

/// Dual averaging of the logarithm of the step size (Hoffman & Gelman 2014, algorithm 5).
struct DualAveraging {
    target: f64,
    middle: f64,
    error: f64,
    log_mean: f64,
    count: f64,
}

impl DualAveraging {
    const GAMMA: f64 = 0.05;
    const T0: f64 = 10.0;
    const KAPPA: f64 = 0.75;

    /// Starts at a step size, towards this mean acceptance probability.
    fn from(step: f64, target: f64) -> Self {
        Self { target, middle: (10.0 * step).ln(), error: 0.0, log_mean: step.ln(), count: 0.0 }
    }

    /// Takes in an acceptance probability; returns the next step size.
    fn next(&mut self, acceptance: f64) -> f64 {
        self.count += 1.0;
        let share = 1.0 / (self.count + Self::T0);
        self.error += share * (self.target - acceptance - self.error);
        let log = self.middle - self.count.sqrt() / Self::GAMMA * self.error;
        let share = self.count.powf(-Self::KAPPA);
        self.log_mean += share * (log - self.log_mean);
        log.exp()
    }

    /// Returns the averaged step size, to go on with.
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
        let Problem { architecture, set, likelihood, .. } = *problem;
        let prior = architecture.per_parameter(problem.prior_precision).into_iter().map(f64::from);
        let mut potential = Potential::new(architecture, set, likelihood, prior);
        let theta: Vec<f64> = start.iter().map(|&value| f64::from(value)).collect();
        let mut gradient = vec![0.0; theta.len()];
        let energy = potential.at(&theta, &mut gradient).total();
        let variances = potential.prior_precision.iter().map(|alpha| 1.0 / alpha).collect();
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
        let energy = self.potential.at(theta, gradient).total();
        momentum.iter_mut().zip(&*gradient).for_each(|(p, g)| *p -= half * g);
        energy
    }

    /// `draws` draws while the step size adapts; returns them.
    fn adapt(&mut self, draws: usize) -> Vec<Vec<f64>> {
        let mut averaging = DualAveraging::from(self.step, ACCEPTANCE);
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
        let Problem { architecture, set, likelihood, .. } = *problem;
        let of_draw = |theta: &Vec<f32>| judged_functions(architecture, set, likelihood, theta);
        let functions: Vec<Vec<_>> =
            chains.iter().map(|chain| chain.draws.par_iter().map(of_draw).collect()).collect();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baselines::linear::Linear;
    use crate::posterior::mixing;

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
