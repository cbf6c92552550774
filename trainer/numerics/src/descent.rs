//! Gradient descent on L(θ) − dᵀθ, the one loop behind MAP training (d = 0) and the walk. Devices run it for
//! many particles: `device/runs.rs`.

use std::borrow::Cow;
use std::io;
use std::ops::Range;

use rand::seq::SliceRandom;

use crate::checkpoints::Checkpoints;
use crate::inputs::Inputs;
use crate::network::{Architecture, BETA1, BETA2, Batch, Tape, adam_step, outputs, tiles};
use crate::random::{Purpose, stream};
use crate::store::{Store, Writer};
use crate::task::{Likelihood, Objective, Targets};

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
    pub fn rate(&self, step: usize) -> f32 {
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

    /// Moments after so many steps.
    pub fn after(steps: usize, first: Vec<f32>, second: Vec<f32>) -> Self {
        let mut bias = AdamBias::default();
        (0..steps).for_each(|_| {
            bias.next(0.0);
        });
        Self { first, second, bias }
    }

    /// First and second moments.
    pub fn moments(&self) -> [&[f32]; 2] {
        [&self.first, &self.second]
    }

    /// One step down `gradient`.
    pub fn step(&mut self, theta: &mut [f32], gradient: &[f32], learning_rate: f32) {
        let (rate, correction) = self.bias.next(learning_rate);
        adam_step(theta, gradient, &mut self.first, &mut self.second, rate, correction);
    }
}

/// Most bytes of several mini-batches that are kept: of more rows they are made anew in every step.
pub const KEPT: usize = 512 << 20;

/// Rows that pass through a network together, with their targets.
#[derive(Clone, Debug)]
pub struct MiniBatch {
    /// Inputs, `[features, rows]`.
    pub batch: Batch,
    /// Targets, `[rows]`.
    pub targets: Targets,
}

/// Training rows, whole or in mini-batches of a fixed partition that every particle shares.
pub struct TrainingSet {
    x: Inputs,
    targets: Targets,
    /// The rows of all mini-batches, one after another.
    order: Vec<usize>,
    /// Number of mini-batches.
    count: usize,
    /// All of them, if that is not too much.
    kept: Option<Vec<MiniBatch>>,
    seed: u64,
}

impl TrainingSet {
    /// Cuts the rows into mini-batches of about `batch_rows`; one batch where they all fit.
    pub fn new(x: &Inputs, targets: &Targets, batch_rows: usize, seed: u64) -> Self {
        Self::keeping(KEPT, x, targets, batch_rows, seed)
    }

    /// Cuts the rows as [`Self::new`] does, keeping mini-batches of up to so many bytes.
    fn keeping(most: usize, x: &Inputs, targets: &Targets, batch_rows: usize, seed: u64) -> Self {
        let rows = targets.len();
        let count = rows.div_ceil(batch_rows.max(1)).max(1);
        let mut order: Vec<usize> = (0..rows).collect();
        if count > 1 {
            order.shuffle(&mut stream(seed, Purpose::Batches, u64::MAX));
        }
        let (x, targets) = (x.clone(), targets.clone());
        Self { x, targets, order, count, kept: None, seed }.kept(most)
    }

    /// Returns the set of row-major standardised `x: [rows, features]`.
    pub fn of(x: &[f32], features: usize, targets: &Targets, batch_rows: usize, seed: u64) -> Self {
        Self::new(&Inputs::standardised(x.to_vec(), features), targets, batch_rows, seed)
    }

    fn kept(mut self, most: usize) -> Self {
        let bytes = size_of::<f32>() * self.rows() * self.x.features();
        // One batch of all rows is shared; made anew, every particle would have its own.
        let keep = bytes <= most || self.count == 1;
        self.kept = keep.then(|| (0..self.count).map(|part| self.make(part)).collect());
        self
    }

    /// Returns the same rows and mini-batches behind the layers of `before` with the parameters `theta`.
    ///
    /// # Errors
    /// There are too many for memory, and no room elsewhere.
    pub fn behind(&self, before: &Architecture, theta: &[f32]) -> io::Result<Self> {
        let mut hidden = Writer::default();
        for part in 0..self.count {
            let values = outputs(before, theta, &self.mini_batch(part).batch);
            hidden.extend(&Batch::from_features(values, before.outputs()).to_rows())?;
        }
        let set = Self {
            x: Inputs::standardised(hidden.finish()?, before.outputs()),
            targets: self.targets.subset(&self.order),
            order: (0..self.rows()).collect(),
            count: self.count,
            kept: None,
            seed: self.seed,
        };
        Ok(set.kept(KEPT))
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.order.len()
    }

    /// Number of mini-batches; 1 means full batches.
    pub fn parts(&self) -> usize {
        self.count
    }

    /// All inputs, in the order of the mini-batches.
    pub fn inputs(&self) -> Inputs {
        self.x.subset(&self.order)
    }

    /// Rows of a mini-batch, as places in the order.
    fn range(&self, part: usize) -> Range<usize> {
        part * self.rows() / self.count..(part + 1) * self.rows() / self.count
    }

    fn make(&self, part: usize) -> MiniBatch {
        let chosen = &self.order[self.range(part)];
        MiniBatch { batch: self.x.batch(chosen), targets: self.targets.subset(chosen) }
    }

    /// Inputs and targets of a mini-batch.
    pub fn mini_batch(&self, part: usize) -> Cow<'_, MiniBatch> {
        match &self.kept {
            Some(kept) => Cow::Borrowed(&kept[part]),
            None => Cow::Owned(self.make(part)),
        }
    }

    /// Most rows that pass through the network together.
    pub fn largest_tile(&self, architecture: &Architecture) -> usize {
        let tiles = (0..self.count).flat_map(|part| tiles(self.range(part).len(), architecture));
        tiles.map(|tile| tile.len()).max().unwrap_or(0)
    }

    /// All rows over those of a mini-batch.
    pub(crate) fn scale(&self, part: usize) -> f32 {
        self.rows() as f32 / self.range(part).len() as f32
    }

    /// Applies `f` to the objective of each mini-batch.
    pub fn each<R>(
        &self,
        architecture: &Architecture,
        likelihood: Likelihood,
        mut f: impl FnMut(Objective<'_>) -> R,
    ) -> Vec<R> {
        let of = |part| {
            let MiniBatch { batch, targets } = &*self.mini_batch(part);
            f(Objective { architecture, batch, targets, likelihood })
        };
        (0..self.count).map(of).collect()
    }

    /// Σ −log p(y | x, θ) over all rows, in nats.
    pub fn nll(&self, architecture: &Architecture, likelihood: Likelihood, theta: &[f32]) -> f64 {
        self.each(architecture, likelihood, |objective| objective.nll(theta)).iter().sum()
    }

    /// The mini-batch of a step: every epoch visits all of them in a new order.
    pub(crate) fn part(&self, step: usize) -> usize {
        let count = self.count;
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
    /// `[parts, P]`.
    parts: Store<f32>,
    total: Vec<f32>,
}

impl ControlVariate {
    /// Evaluates the gradients at `anchor`. `None` for full batches, which have no such noise.
    ///
    /// # Errors
    /// There are too many for memory, and no room elsewhere.
    pub fn at(
        anchor: &[f32],
        set: &TrainingSet,
        architecture: &Architecture,
        likelihood: Likelihood,
    ) -> io::Result<Option<Self>> {
        if set.parts() == 1 {
            return Ok(None);
        }
        let (mut tape, mut parts) = (Tape::default(), Writer::default());
        let mut total = vec![0.0; anchor.len()];
        let mut gradient = vec![0.0; anchor.len()];
        let written = set.each(architecture, likelihood, |objective| {
            gradient.fill(0.0);
            objective.nll_gradient(anchor, &mut tape, &mut gradient);
            total.iter_mut().zip(&gradient).for_each(|(sum, &g)| *sum += g);
            parts.extend(&gradient)
        });
        written.into_iter().collect::<io::Result<()>>()?;
        Ok(Some(Self { parts: parts.finish()?, total }))
    }

    /// Gradient of a mini-batch at θ*, `[P]`.
    pub(crate) fn part(&self, part: usize) -> &[f32] {
        let parameters = self.total.len();
        &self.parts[part * parameters..(part + 1) * parameters]
    }

    /// Gradient of all rows at θ*, `[P]`.
    pub(crate) fn total(&self) -> &[f32] {
        &self.total
    }
}

/// A descent: all that its particles share.
pub struct Descent<'a> {
    /// Network.
    pub architecture: &'a Architecture,
    /// Rows that the likelihood is summed over.
    pub set: &'a TrainingSet,
    /// Likelihood of a target.
    pub likelihood: Likelihood,
    /// Prior precision α of every parameter, `[P]`.
    pub prior_precision: &'a [f32],
    /// Whether each parameter stays where it is, `[P]`; none where all move.
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
    /// Measurements at every checkpoint.
    pub trace: Vec<Measured>,
}

/// Measurements of a particle.
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
    /// The first `count` initialisations, `[count][P]`.
    pub fn initialisations(&self, count: usize, seed: u64) -> Vec<Vec<f32>> {
        let start =
            |index| self.architecture.initialise(&mut stream(seed, Purpose::Initialisation, index));
        (0..count as u64).map(start).collect()
    }

    /// One particle's descent, on the calling thread.
    pub(crate) fn descend(
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
        let first = || self.objective(&self.set.mini_batch(0)).nll(theta);
        Measured {
            nll: nll.unwrap_or_else(first) / self.set.range(0).len() as f64,
            prior: penalty(theta, self.prior_precision),
            distance: distance(theta, particle.start),
        }
    }

    /// Σ −log p(y | x, θ) + ½ Σ α θ², without the drift.
    pub fn loss(&self, theta: &[f32]) -> f64 {
        let nll = self.set.nll(self.architecture, self.likelihood, theta);
        nll + penalty(theta, self.prior_precision)
    }

    /// Whether a descent from `start` that came to `end` diverged: by far more loss than it began with.
    pub fn diverged(&self, start: &[f32], end: &[f32]) -> bool {
        is_divergence(self.loss(start), self.loss(end))
    }

    /// The objective of a mini-batch.
    fn objective<'m>(&'m self, MiniBatch { batch, targets }: &'m MiniBatch) -> Objective<'m> {
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
        let mini_batch = self.set.mini_batch(part);
        let nll = self.objective(&mini_batch).nll_gradient(theta, tape, gradient);
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

/// A loss that is so many times what it was at first is taken for a divergence; no useful descent comes near.
const DIVERGENCE: f64 = 10.0;

/// Whether a loss that began at `first` tells that a descent diverged.
pub fn is_divergence(first: f64, loss: f64) -> bool {
    !loss.is_finite() || loss > DIVERGENCE * (1.0 + first.abs())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Activation;

    #[test]
    fn mini_batches_that_are_made_anew_are_those_that_are_kept() {
        let x: Vec<f32> = (0..90).map(|value| (value as f32 * 0.7).sin()).collect();
        let x = Inputs::standardised(x, 3).subset(&(0..30).rev().collect::<Vec<_>>());
        let targets = Targets::Regression((0..30).map(|row| row as f32 / 15.0 - 1.0).collect());
        let architecture = Architecture::perceptron(&[3, 4, 1], Activation::Tanh);
        let likelihood = Likelihood::gaussian(0.3);
        let start = architecture.initialise(&mut stream(1, Purpose::Initialisation, 0));
        for batch_rows in [7, 15] {
            let ends = [KEPT, 0].map(|most| {
                let set = TrainingSet::keeping(most, &x, &targets, batch_rows, 5);
                assert_eq!(set.kept.is_some(), most > 0);
                let descent = Descent {
                    architecture: &architecture,
                    set: &set,
                    likelihood,
                    prior_precision: &vec![1.0; start.len()],
                    held: None,
                    schedule: Schedule { steps: 20, learning_rate: 0.01 },
                };
                let control = ControlVariate::at(&start, &set, &architecture, likelihood);
                let control = control.expect("few rows");
                let particle =
                    Particle { start: &start, drift: None, control: control.as_ref(), watch: None };
                let checkpoints = Checkpoints::of(20);
                descent.descend(&particle, &checkpoints, &|_| {})
            });
            assert_eq!(ends[0], ends[1]);
        }
    }
}
