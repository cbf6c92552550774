//! Refinement of particles: Hamiltonian Monte Carlo from where each of them is, prior precisions and noise sampled with
//! the parameters (Neal 1996), so that none of them is chosen.
//!
//! A sweep draws the precision of every group and the noise given the parameters, then follows one trajectory given
//! those. All particles share a metric and a first step length, which are tuned on some of them before; given both, a
//! particle depends on its number and its start alone. It goes on tuning its step length while it forgets its start: where
//! the curvature is another than the metric's, the others' would leave it where it is.

use anyhow::Context;
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use rand_xoshiro::Xoshiro256PlusPlus;
use rayon::prelude::*;

use super::precisions::draw_noise;
use super::{Groups, Metric, Potential, judged_functions};
use crate::descent::TrainingSet;
use crate::network::Architecture;
use crate::random::{Purpose, stream};
use crate::task::Likelihood;

/// Steps of a trajectory, in which a normal posterior is crossed at the usual step lengths.
pub const STEPS: usize = 25;
/// Step length to tune from, in standard deviations.
const FIRST_STEP: f64 = 0.15;
/// Mean acceptance that the step length is tuned to.
const ACCEPTANCE: f64 = 0.8;
/// Acceptance probability below which a trajectory counts as divergent.
const DIVERGENT: f64 = 1e-100;
/// Change of a step length's logarithm by an acceptance of 1 too much (Robbins & Monro 1951).
const GAIN: f64 = 0.5;
/// Shortest and longest step of a trajectory in tuned ones, lest one resonate.
const JITTER: [f64; 2] = [0.6, 1.2];
/// Particles that are tuned on, and sweeps of theirs.
const TUNED: usize = 16;
const TUNING_SWEEPS: usize = 40;
/// Sweeps of the tuning before which the metric is taken anew.
const METRICS: [usize; 8] = [0, 2, 4, 7, 10, 15, 20, 28];
/// Particles whose curvatures are averaged to a metric.
const METRIC_PARTICLES: usize = 4;

/// A refinement: all that its particles share.
pub struct Refine<'a> {
    /// Network.
    pub architecture: &'a Architecture,
    /// Training rows, one batch.
    pub set: &'a TrainingSet,
    /// Likelihood of a target; its noise is where the sampling of noise starts.
    pub likelihood: Likelihood,
    /// Parameters that share a precision.
    pub groups: &'a Groups,
    /// Precision of every group, which stays as it is; none where they are sampled.
    pub precisions: Option<&'a [f64]>,
    /// Whether the noise stays as it is.
    pub fixed_noise: bool,
    /// Sweeps of a particle, the first half to forget its start.
    pub sweeps: usize,
    /// States of a particle that are kept, spread evenly over the second half.
    pub kept: usize,
    /// Seed of everything random.
    pub seed: u64,
}

/// What particles share once it is tuned.
#[derive(Clone, Debug, PartialEq)]
pub struct Tuned {
    /// Metric.
    pub metric: Metric,
    /// Step length in it to start from.
    pub step: f64,
}

/// A sample of the posterior.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// Parameters, `[P]`.
    pub theta: Vec<f32>,
    /// Prior precision of every group.
    pub precisions: Vec<f32>,
    /// Noise, standardised target units; none for classification.
    pub noise_std: Option<f32>,
}

/// What a particle went through after the first half of its sweeps.
#[derive(Clone, Debug, PartialEq)]
pub struct Chain {
    /// States that are kept.
    pub states: Vec<State>,
    /// Mean acceptance probability.
    pub acceptance: f64,
    /// Trajectories whose energy was lost.
    pub divergences: usize,
    /// Gradients that were taken.
    pub gradients: usize,
    /// Outputs at some training rows after every sweep, logits centred over the classes, `[sweeps][functions]`.
    pub functions: Vec<Vec<f64>>,
}

/// A particle under way.
struct Walker<'a> {
    refine: &'a Refine<'a>,
    potential: Potential<'a>,
    rng: Xoshiro256PlusPlus,
    theta: Vec<f64>,
    precisions: Vec<f64>,
    step: f64,
    narrow: Vec<f32>,
    white: Vec<f64>,
    gradient: Vec<f64>,
    by: Vec<f64>,
}

impl<'a> Walker<'a> {
    fn new(
        refine: &'a Refine<'a>,
        start: &[f32],
        step: f64,
        purpose: Purpose,
        index: usize,
    ) -> Self {
        let Refine { architecture, set, likelihood, groups, seed, .. } = *refine;
        let precisions = refine.precisions.map_or_else(|| vec![1.0; groups.len()], <[f64]>::to_vec);
        let zeros = vec![0.0; start.len()];
        Self {
            refine,
            potential: Potential::new(architecture, set, likelihood, groups.spread(&precisions)),
            rng: stream(seed, purpose, index as u64),
            theta: start.iter().map(|&value| f64::from(value)).collect(),
            precisions,
            step,
            narrow: Vec::with_capacity(start.len()),
            white: zeros.clone(),
            gradient: zeros.clone(),
            by: zeros,
        }
    }

    /// Draws precisions and noise given the parameters.
    fn draw_hyper_parameters(&mut self) {
        let Refine { groups, set, .. } = *self.refine;
        if self.refine.precisions.is_none() {
            self.precisions = groups.draw(&self.theta, &mut self.rng);
            self.potential.prior_precision.clear();
            self.potential.prior_precision.extend(groups.spread(&self.precisions));
        }
        if let (Likelihood::Regression(gaussian), false) =
            (self.potential.likelihood, self.refine.fixed_noise)
        {
            let nll = self.potential.at(&self.theta, &mut self.gradient).nll;
            let squares = gaussian.squares(nll, set.rows());
            let noise = draw_noise(set.rows(), squares, &mut self.rng);
            self.potential.likelihood = Likelihood::gaussian(noise as f32);
        }
    }

    /// One sweep; returns the probability that its trajectory is accepted.
    fn sweep(&mut self, metric: &Metric) -> f64 {
        self.draw_hyper_parameters();
        let [least, most] = JITTER;
        let step = self.step * (least + (most - least) * self.rng.random::<f64>());
        let rng = &mut self.rng;
        let mut momentum: Vec<f64> =
            self.theta.iter().map(|_| StandardNormal.sample(rng)).collect();
        let threshold: f64 = rng.random();
        let kinetic = |momentum: &[f64]| 0.5 * momentum.iter().map(|p| p * p).sum::<f64>();
        let start = self.theta.clone();
        let mut energy = self.potential.at(&self.theta, &mut self.gradient).total();
        let before = energy + kinetic(&momentum);
        metric.whiten(&self.gradient, &mut self.narrow, &mut self.white);
        for _ in 0..STEPS {
            momentum.iter_mut().zip(&self.white).for_each(|(p, g)| *p -= 0.5 * step * g);
            metric.color(&momentum, &mut self.narrow, &mut self.by);
            self.theta.iter_mut().zip(&self.by).for_each(|(value, by)| *value += step * by);
            energy = self.potential.at(&self.theta, &mut self.gradient).total();
            metric.whiten(&self.gradient, &mut self.narrow, &mut self.white);
            momentum.iter_mut().zip(&self.white).for_each(|(p, g)| *p -= 0.5 * step * g);
        }
        let gain = energy + kinetic(&momentum) - before;
        let acceptance = if gain.is_finite() { (-gain).exp().min(1.0) } else { 0.0 };
        if threshold >= acceptance {
            self.theta = start;
        }
        acceptance
    }

    /// One sweep, after which the step length is nearer to the acceptance that is aimed at.
    fn tuning_sweep(&mut self, metric: &Metric) -> f64 {
        let acceptance = self.sweep(metric);
        self.step *= (GAIN * (acceptance - ACCEPTANCE)).exp();
        acceptance
    }

    fn narrow_theta(&self) -> Vec<f32> {
        self.theta.iter().map(|&value| value as f32).collect()
    }

    fn state(&self) -> State {
        State {
            theta: self.narrow_theta(),
            precisions: self.precisions.iter().map(|&precision| precision as f32).collect(),
            noise_std: match self.potential.likelihood {
                Likelihood::Regression(gaussian) => Some(gaussian.noise_std),
                Likelihood::Classification(_) => None,
            },
        }
    }
}

impl Refine<'_> {
    /// Tunes metric and step length on some of the particles that start at `starts: [N][P]`. `report` hears of every
    /// sweep.
    ///
    /// # Errors
    /// A curvature is not positive definite: particles are where numbers have no meaning.
    pub fn tune(
        &self,
        starts: &[Vec<f32>],
        report: &(dyn Fn(usize) + Sync),
    ) -> anyhow::Result<Tuned> {
        let count = starts.len().min(TUNED);
        let chosen = (0..count).map(|index| index * starts.len() / count);
        let walker = |index: usize| {
            Walker::new(self, &starts[index], FIRST_STEP, Purpose::RefineTuning, index)
        };
        let mut walkers: Vec<Walker<'_>> = chosen.map(walker).collect();
        walkers.iter_mut().for_each(Walker::draw_hyper_parameters);
        let mut metric = self.metric(&walkers)?;
        for sweep in 0..TUNING_SWEEPS {
            if sweep > 0 && METRICS.contains(&sweep) {
                metric = self.metric(&walkers)?;
            }
            walkers.par_iter_mut().for_each(|walker| _ = walker.tuning_sweep(&metric));
            report(count);
        }
        let logarithms: f64 = walkers.iter().map(|walker| walker.step.ln()).sum();
        Ok(Tuned { metric, step: (logarithms / count as f64).exp() })
    }

    /// Number of sweeps that [`Self::tune`] reports of so many particles.
    pub fn tuning_sweeps(particles: usize) -> usize {
        TUNING_SWEEPS * particles.min(TUNED)
    }

    /// The metric of the mean curvature at some walkers.
    fn metric(&self, walkers: &[Walker<'_>]) -> anyhow::Result<Metric> {
        let count = walkers.len().min(METRIC_PARTICLES);
        let chosen: Vec<&Walker<'_>> =
            (0..count).map(|index| &walkers[index * walkers.len() / count]).collect();
        let mut sum = chosen[0].potential.curvature(&chosen[0].theta);
        for walker in &chosen[1..] {
            sum += walker.potential.curvature(&walker.theta);
        }
        Metric::new(sum / count as f64)
            .context("the curvature at the particles is not positive definite")
    }

    /// Refines particles of which the first has the number `first`. `report` hears of every sweep.
    pub fn run(
        &self,
        tuned: &Tuned,
        starts: &[Vec<f32>],
        first: usize,
        report: &(dyn Fn(usize) + Sync),
    ) -> Vec<Chain> {
        let particle = |(index, start): (usize, &Vec<f32>)| {
            let (purpose, number) = (Purpose::Refine, first + index);
            let mut walker = Walker::new(self, start, tuned.step, purpose, number);
            let half = self.sweeps / 2;
            let late = self.sweeps - half;
            let kept = self.kept.clamp(1, late.max(1));
            let mut chain = Chain {
                states: Vec::new(),
                acceptance: 0.0,
                divergences: 0,
                gradients: late * STEPS,
                functions: Vec::new(),
            };
            for sweep in 0..self.sweeps {
                report(1);
                if sweep < half {
                    walker.tuning_sweep(&tuned.metric);
                    continue;
                }
                let acceptance = walker.sweep(&tuned.metric);
                let done = sweep - half + 1;
                chain.acceptance += acceptance / late as f64;
                chain.divergences += usize::from(acceptance < DIVERGENT);
                chain.functions.push(judged_functions(
                    self.architecture,
                    self.set,
                    self.likelihood,
                    &walker.narrow_theta(),
                ));
                if done * kept / late > (done - 1) * kept / late {
                    chain.states.push(walker.state());
                }
            }
            chain
        };
        starts.par_iter().enumerate().map(particle).collect()
    }
}
