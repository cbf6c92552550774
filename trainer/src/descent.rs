//! Gradient descent on L(θ) − dᵀθ, the one loop behind MAP training (d = 0) and the walk.

use rand::seq::SliceRandom;
use rayon::prelude::*;

use crate::data::Targets;
use crate::device::Device;
use crate::network::{
    Architecture, BETA1, BETA2, Batch, Likelihood, Objective, Tape, adam_step, outputs,
};
use crate::random::{Purpose, stream};
use crate::trace::Checkpoints;

/// Steps between two reports of progress.
const REPORT_EVERY: usize = 25;

/// The learning rate falls along a half cosine to this share of its start.
const FINAL_RATE: f32 = 0.02;

/// Length and pace of a descent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// Number of gradient steps.
    pub steps: usize,
    /// Adam's learning rate at the start; it decays along a half cosine.
    pub learning_rate: f32,
}

impl Schedule {
    /// Learning rate of a step.
    pub(crate) fn rate(&self, step: usize) -> f32 {
        let progress = step as f32 / self.steps as f32;
        let cosine = 0.5 * (1.0 + (std::f32::consts::PI * progress).cos());
        self.learning_rate * (FINAL_RATE + (1.0 - FINAL_RATE) * cosine)
    }
}

/// Corrections of Adam's moments for their start at zero.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AdamBias {
    decay1: f32,
    decay2: f32,
}

impl Default for AdamBias {
    fn default() -> Self {
        Self { decay1: 1.0, decay2: 1.0 }
    }
}

impl AdamBias {
    /// The next step's learning rate over the first moment's bias, and the inverse of the second's.
    pub fn next(&mut self, learning_rate: f32) -> (f32, f32) {
        self.decay1 *= BETA1;
        self.decay2 *= BETA2;
        (learning_rate / (1.0 - self.decay1), 1.0 / (1.0 - self.decay2))
    }
}

/// Adam (Kingma & Ba 2015): the moments of every parameter's gradient.
pub struct Adam {
    first: Vec<f32>,
    second: Vec<f32>,
    bias: AdamBias,
}

impl Adam {
    /// Moments at zero for `parameters` parameters.
    pub fn new(parameters: usize) -> Self {
        Self {
            first: vec![0.0; parameters],
            second: vec![0.0; parameters],
            bias: AdamBias::default(),
        }
    }

    /// One step down `gradient`.
    pub fn step(&mut self, theta: &mut [f32], gradient: &[f32], learning_rate: f32) {
        let (rate, correction) = self.bias.next(learning_rate);
        adam_step(theta, gradient, &mut self.first, &mut self.second, rate, correction);
    }
}

/// Training rows, whole or in mini-batches of a fixed partition that every particle shares.
pub struct TrainingSet {
    parts: Vec<(Batch, Targets)>,
    rows: usize,
    seed: u64,
}

impl TrainingSet {
    /// Cuts the rows into mini-batches of about `batch_rows`; one batch where they all fit.
    /// `x` is row-major `[rows, features]`.
    pub fn new(
        x: &[f32],
        features: usize,
        targets: &Targets,
        batch_rows: usize,
        seed: u64,
    ) -> Self {
        let all = Batch::from_rows(x, features);
        let rows = all.rows();
        let count = rows.div_ceil(batch_rows.max(1)).max(1);
        if count == 1 {
            return Self { parts: vec![(all, targets.clone())], rows, seed };
        }
        let mut order: Vec<usize> = (0..rows).collect();
        order.shuffle(&mut stream(seed, Purpose::Batches, u64::MAX));
        let parts = (0..count)
            .map(|part| {
                let chosen = &order[part * rows / count..(part + 1) * rows / count];
                (all.select(chosen), targets.subset(chosen))
            })
            .collect();
        Self { parts, rows, seed }
    }

    /// The same rows and mini-batches behind the layers of `before` with the parameters `theta`.
    #[must_use]
    pub fn behind(&self, before: &Architecture, theta: &[f32]) -> Self {
        let part = |(batch, targets): &(Batch, Targets)| {
            let hidden = outputs(before, theta, batch);
            (Batch::from_features(hidden, before.outputs()), targets.clone())
        };
        Self { parts: self.parts.iter().map(part).collect(), rows: self.rows, seed: self.seed }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of mini-batches; 1 means full batches.
    pub fn parts(&self) -> usize {
        self.parts.len()
    }

    /// All inputs, row-major `[rows, features]`.
    pub(crate) fn to_rows(&self) -> Vec<f32> {
        self.parts.iter().flat_map(|(batch, _)| batch.to_rows()).collect()
    }

    /// Inputs and targets of a mini-batch.
    pub(crate) fn mini_batch(&self, part: usize) -> (&Batch, &Targets) {
        let (batch, targets) = &self.parts[part];
        (batch, targets)
    }

    /// Most rows that pass through the network together.
    pub(crate) fn largest_tile(&self, architecture: &Architecture) -> usize {
        let tiles = self.parts.iter().flat_map(|(batch, _)| batch.tiles(architecture));
        tiles.map(|tile| tile.len()).max().unwrap_or(0)
    }

    /// All rows over those of a mini-batch.
    pub(crate) fn scale(&self, part: usize) -> f32 {
        self.rows as f32 / self.parts[part].0.rows() as f32
    }

    /// The objective of each mini-batch.
    pub fn objectives<'a>(
        &'a self,
        architecture: &'a Architecture,
        likelihood: Likelihood,
    ) -> impl Iterator<Item = Objective<'a>> {
        self.parts.iter().map(move |(batch, targets)| Objective {
            architecture,
            batch,
            targets,
            likelihood,
        })
    }

    /// Σ −log p(y | x, θ) over all rows, in nats.
    pub fn nll(&self, architecture: &Architecture, likelihood: Likelihood, theta: &[f32]) -> f64 {
        self.objectives(architecture, likelihood).map(|objective| objective.nll(theta)).sum()
    }

    /// The mini-batch of a step: every epoch visits all of them in a new order.
    pub(crate) fn part(&self, step: usize) -> usize {
        let count = self.parts.len();
        if count == 1 {
            return 0;
        }
        let mut order: Vec<usize> = (0..count).collect();
        order.shuffle(&mut stream(self.seed, Purpose::Batches, (step / count) as u64));
        order[step % count]
    }
}

/// Gradients of every mini-batch at θ*, the control variate of a mini-batch walk: the estimate
/// (n / n_B) (∇L_B(θ) − ∇L_B(θ*)) + ∇L(θ*) stays unbiased and its noise vanishes at θ*.
pub struct ControlVariate {
    parts: Vec<Vec<f32>>,
    total: Vec<f32>,
}

impl ControlVariate {
    /// Evaluates the gradients at `anchor`. `None` for full batches, which have no such noise.
    pub fn at(
        anchor: &[f32],
        set: &TrainingSet,
        architecture: &Architecture,
        likelihood: Likelihood,
    ) -> Option<Self> {
        if set.parts() == 1 {
            return None;
        }
        let mut tape = Tape::default();
        let mut total = vec![0.0; anchor.len()];
        let parts = set
            .objectives(architecture, likelihood)
            .map(|objective| {
                let mut gradient = vec![0.0; anchor.len()];
                objective.nll_gradient(anchor, &mut tape, &mut gradient);
                total.iter_mut().zip(&gradient).for_each(|(sum, &g)| *sum += g);
                gradient
            })
            .collect();
        Some(Self { parts, total })
    }

    /// Gradient of a mini-batch at θ*, `[P]`.
    pub(crate) fn part(&self, part: usize) -> &[f32] {
        &self.parts[part]
    }

    /// Gradient of all rows at θ*, `[P]`.
    pub(crate) fn total(&self) -> &[f32] {
        &self.total
    }
}

/// What all particles of a descent share.
pub struct Descent<'a> {
    /// Network.
    pub architecture: &'a Architecture,
    /// Rows that the likelihood is summed over.
    pub set: &'a TrainingSet,
    /// Likelihood of a target.
    pub likelihood: Likelihood,
    /// Prior precision α of every parameter, `[P]`.
    pub prior_precision: &'a [f32],
    /// Of every parameter whether it stays where it is, `[P]`; none where all move.
    pub held: Option<&'a [bool]>,
    /// Number of steps and learning rate.
    pub schedule: Schedule,
}

/// Is called with a particle's parameters, `[P]`, at every checkpoint.
pub type Watch<'a> = &'a (dyn Fn(&[f32]) + Sync);

/// Where a particle starts, and what drives it.
pub struct Particle<'a> {
    /// Initial parameters, `[P]`.
    pub start: &'a [f32],
    /// Drift d, `[P]`; none for MAP. All particles of a descent have one or none has.
    pub drift: Option<Vec<f32>>,
    /// Control variate for mini-batches; all have one or none has.
    pub control: Option<&'a ControlVariate>,
    /// Who looks at the particle, if anybody.
    pub watch: Option<Watch<'a>>,
}

/// Where a particle ended, and how it got there.
#[derive(Clone, Debug, PartialEq)]
pub struct Descended {
    /// Its parameters, `[P]`.
    pub theta: Vec<f32>,
    /// What was measured at every checkpoint.
    pub trace: Vec<Measured>,
}

/// What is measured of a particle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// Mean −log p(y | x, θ) of the first mini-batch, nats: of all rows where there is one, else of a
    /// random sample of them.
    pub nll: f64,
    /// ½ Σ α θ², nats.
    pub prior: f64,
    /// Euclidean distance from the start.
    pub distance: f64,
}

impl Descent<'_> {
    /// Minimises Σ −log p(y | x, θ) + ½ Σ α θ² − dᵀθ for every particle by Adam; returns where they
    /// end, `[N][P]`. `report` is called with the number of particle-steps done since its last call.
    ///
    /// # Errors
    /// The device fails.
    pub fn run(
        &self,
        device: &Device,
        particles: &[Particle<'_>],
        report: &(dyn Fn(usize) + Sync),
    ) -> anyhow::Result<Vec<Vec<f32>>> {
        let ends = self.run_traced(device, particles, &Checkpoints::none(), report)?;
        Ok(ends.into_iter().map(|end| end.theta).collect())
    }

    /// The first `count` initialisations, `[count][P]`.
    pub fn initialisations(&self, count: usize, seed: u64) -> Vec<Vec<f32>> {
        let start =
            |index| self.architecture.initialise(&mut stream(seed, Purpose::Initialisation, index));
        (0..count as u64).map(start).collect()
    }

    /// MAP from each of the first `count` initialisations, `[count][P]`; `report` as in [`Self::run`].
    ///
    /// # Errors
    /// The device fails.
    pub fn maps(
        &self,
        device: &Device,
        count: usize,
        seed: u64,
        report: &(dyn Fn(usize) + Sync),
    ) -> anyhow::Result<Vec<Vec<f32>>> {
        let starts = self.initialisations(count, seed);
        let particles: Vec<Particle<'_>> = starts
            .iter()
            .map(|start| Particle { start, drift: None, control: None, watch: None })
            .collect();
        self.run(device, &particles, report)
    }

    /// As [`Self::run`], to the same ends, and measures every particle at the checkpoints.
    ///
    /// # Errors
    /// The device fails.
    pub fn run_traced(
        &self,
        device: &Device,
        particles: &[Particle<'_>],
        checkpoints: &Checkpoints,
        report: &(dyn Fn(usize) + Sync),
    ) -> anyhow::Result<Vec<Descended>> {
        match device {
            Device::Cpu => {
                let each = particles.par_iter();
                Ok(each.map(|particle| self.descend(particle, checkpoints, report)).collect())
            }
            #[cfg(feature = "gpu")]
            Device::Gpu(gpus) => gpus.descend(self, particles, checkpoints, report),
        }
    }

    /// One particle's descent, on the calling thread.
    fn descend(
        &self,
        particle: &Particle<'_>,
        checkpoints: &Checkpoints,
        report: &(dyn Fn(usize) + Sync),
    ) -> Descended {
        let mut trace = Vec::with_capacity(checkpoints.steps().len());
        let mut theta = particle.start.to_vec();
        let mut adam = Adam::new(theta.len());
        let mut gradient = vec![0.0; theta.len()];
        let mut tape = Tape::default();
        for step in 0..self.schedule.steps {
            let part = self.set.part(step);
            let nll = self.gradient(particle, part, &theta, &mut tape, &mut gradient);
            if checkpoints.has(step) {
                trace.push(self.measure(particle, &theta, (part == 0).then_some(nll)));
            }
            adam.step(&mut theta, &gradient, self.schedule.rate(step));
            if (step + 1) % REPORT_EVERY == 0 {
                report(REPORT_EVERY);
            }
        }
        report(self.schedule.steps % REPORT_EVERY);
        if checkpoints.has(self.schedule.steps) {
            trace.push(self.measure(particle, &theta, None));
        }
        Descended { theta, trace }
    }

    /// Measures a particle that has come to `theta`. `nll` is the sum over the rows of the first
    /// mini-batch where it is known.
    fn measure(&self, particle: &Particle<'_>, theta: &[f32], nll: Option<f64>) -> Measured {
        if let Some(watch) = particle.watch {
            watch(theta);
        }
        let objective = self.objective(0);
        let nll = nll.unwrap_or_else(|| objective.nll(theta));
        Measured {
            nll: nll / objective.batch.rows() as f64,
            prior: penalty(theta, self.prior_precision),
            distance: distance(theta, particle.start),
        }
    }

    /// Σ −log p(y | x, θ) + ½ Σ α θ², without the drift.
    pub fn loss(&self, theta: &[f32]) -> f64 {
        let nll = self.set.nll(self.architecture, self.likelihood, theta);
        nll + penalty(theta, self.prior_precision)
    }

    /// The objective of a mini-batch.
    fn objective(&self, part: usize) -> Objective<'_> {
        let (batch, targets) = self.set.mini_batch(part);
        Objective { architecture: self.architecture, batch, targets, likelihood: self.likelihood }
    }

    /// Writes the gradient on a mini-batch and returns the likelihood's share of its value.
    fn gradient(
        &self,
        particle: &Particle<'_>,
        part: usize,
        theta: &[f32],
        tape: &mut Tape,
        gradient: &mut [f32],
    ) -> f64 {
        gradient.fill(0.0);
        let nll = self.objective(part).nll_gradient(theta, tape, gradient);
        let scale = self.set.scale(part);
        if let Some(control) = particle.control {
            for ((g, &own), &all) in
                gradient.iter_mut().zip(control.part(part)).zip(control.total())
            {
                *g = scale * (*g - own) + all;
            }
        } else if self.set.parts() > 1 {
            gradient.iter_mut().for_each(|g| *g *= scale);
        }
        for ((g, &theta), &alpha) in gradient.iter_mut().zip(theta).zip(self.prior_precision) {
            *g += alpha * theta;
        }
        if let Some(drift) = &particle.drift {
            gradient.iter_mut().zip(drift).for_each(|(g, &d)| *g -= d);
        }
        if let Some(held) = self.held {
            gradient.iter_mut().zip(held).filter(|(_, held)| **held).for_each(|(g, _)| *g = 0.0);
        }
        nll
    }
}

/// ½ Σ α θ².
pub(crate) fn penalty(theta: &[f32], prior_precision: &[f32]) -> f64 {
    let squares = theta.iter().zip(prior_precision);
    squares.map(|(&t, &a)| 0.5 * f64::from(a) * f64::from(t).powi(2)).sum()
}

/// Euclidean distance between two parameter vectors.
pub(crate) fn distance(one: &[f32], other: &[f32]) -> f64 {
    let squares = one.iter().zip(other).map(|(&a, &b)| f64::from(a - b).powi(2));
    squares.sum::<f64>().sqrt()
}
