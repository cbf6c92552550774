//! Other ways to a posterior predictive, for comparison with the walk. Each is fitted to the same
//! rows under the same prior and likelihood, and calibrated by the same code on the same held-out rows.

mod artifacts;
mod dropout;
mod ensemble;
mod hmc;
mod laplace;
#[cfg(test)]
mod reference;
mod swag;

pub use artifacts::{Artifacts, EnsembleArtifact};
pub use dropout::Dropout;
pub use ensemble::Ensemble;
pub use hmc::Hmc;
pub use laplace::{Laplace, Linearised};
pub use swag::Swag;

use std::collections::BTreeMap;

use anyhow::Context;
use rand::seq::SliceRandom;
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::costs::footprint::{int8_bytes, pass_products};
use crate::costs::instructions::Core;
use crate::descent::{Descent, MiniBatch, Schedule, TrainingSet};
use crate::device::Device;
use crate::folds::{Fold, held_out_targets, predict_held_out};
use crate::metrics::mean;
use crate::network::{Architecture, Batch, outputs_of_each};
pub use crate::posterior::Convergence;
use crate::task::{Calibration, Likelihood, Predictive, Targets};

/// Rows that a method is fitted to, and the model.
#[derive(Clone, Copy)]
pub struct Problem<'a> {
    /// Network.
    pub architecture: &'a Architecture,
    /// Training rows.
    pub set: &'a TrainingSet,
    /// Likelihood of a target.
    pub likelihood: Likelihood,
    /// Prior precision of every layer, `[depth]`.
    pub prior_precision: &'a [f32],
    /// Length and pace of MAP training.
    pub schedule: Schedule,
    /// Seed of everything random.
    pub seed: u64,
    /// Device that descends.
    pub device: &'a Device,
}

impl Problem<'_> {
    /// MAP from `count` initialisations, `[count][P]`; the first is where fiberwalk's own MAP starts.
    ///
    /// # Errors
    /// The device fails.
    fn maps(&self, count: usize) -> anyhow::Result<Vec<Vec<f32>>> {
        let prior_precision = self.architecture.per_parameter(self.prior_precision);
        let descent = Descent {
            architecture: self.architecture,
            set: self.set,
            likelihood: self.likelihood,
            prior_precision: &prior_precision,
            held: None,
            schedule: self.schedule,
        };
        descent.maps(self.device, count, self.seed, &|_| {})
    }
}

/// Sizes and rates of a method, by name.
pub type Sizes = BTreeMap<String, f64>;

/// Sizes by these names.
fn sizes<const N: usize>(named: [(&str, f64); N]) -> Sizes {
    named.map(|(name, size)| (name.to_owned(), size)).into()
}

/// A method that makes a posterior predictive.
pub trait Baseline: Sync {
    /// All numbers that tell it from others of its kind, on the same problem.
    fn sizes(&self) -> Sizes;

    /// Fits the method.
    ///
    /// # Errors
    /// The device fails, or the problem is none for this method.
    fn fit(&self, problem: &Problem<'_>) -> anyhow::Result<Fitted>;

    /// Most parameters of a network that the method is for; none where it has no such limit.
    fn most_parameters(&self) -> Option<usize> {
        None
    }
}

/// Result of a fit.
pub enum Fitted {
    /// An equal mixture of networks, `[N][P]`.
    Networks(Vec<Vec<f32>>),
    /// Draws from the posterior, `[N][P]`, and how well their chains agree.
    Sampled {
        /// An equal mixture of networks.
        thetas: Vec<Vec<f32>>,
        /// Agreement of the chains.
        convergence: Convergence,
    },
    /// Gaussian outputs of the linearised network.
    Linearised(Linearised),
    /// An equal mixture of files that the runtime runs.
    Artifacts(Artifacts),
}

impl Fitted {
    /// Agreement of the chains, where there are any.
    pub fn convergence(&self) -> Option<Convergence> {
        match self {
            Self::Sampled { convergence, .. } => Some(*convergence),
            _ => None,
        }
    }

    /// The predictive at every row of `batch`.
    ///
    /// # Errors
    /// The runtime refuses an artifact.
    pub fn predictive(&self, problem: &Problem<'_>, batch: &Batch) -> anyhow::Result<Predictive> {
        let Problem { architecture, likelihood, .. } = *problem;
        Ok(match self {
            Self::Networks(thetas) | Self::Sampled { thetas, .. } => {
                let outputs = outputs_of_each(architecture, thetas, batch);
                likelihood.mixture(outputs, batch.rows())
            }
            Self::Linearised(linearised) => linearised.predictive(problem, batch),
            Self::Artifacts(artifacts) => artifacts.predictive(batch)?,
        })
    }

    /// Bytes of flash. A mixture of networks: N times the int8 weights and 16-bit biases. Linearised: one
    /// network, and the triangular factor of the posterior's precision in f32. Artifacts: the files.
    pub fn flash_bytes(&self, architecture: &Architecture) -> usize {
        match self {
            Self::Networks(thetas) | Self::Sampled { thetas, .. } => {
                thetas.len() * int8_bytes(architecture)
            }
            Self::Linearised(linearised) => linearised.flash_bytes(architecture),
            Self::Artifacts(artifacts) => artifacts.flash_bytes(),
        }
    }

    /// Multiply-accumulates of a prediction. A mixture of networks: N passes. Linearised: a pass, and for
    /// each output its Jacobian, a triangular solve and its products with the others. Artifacts: a sample
    /// of each.
    pub fn products(&self, architecture: &Architecture) -> usize {
        match self {
            Self::Networks(thetas) | Self::Sampled { thetas, .. } => {
                thetas.len() * pass_products(architecture)
            }
            Self::Linearised(linearised) => linearised.products(architecture),
            Self::Artifacts(artifacts) => artifacts.products(),
        }
    }

    /// Instructions of a prediction on a Cortex-M4F, N passes of a mixture of networks; none where
    /// linearised, which the runtime does not implement.
    pub fn instructions(&self, architecture: &Architecture) -> Option<f64> {
        match self {
            Self::Networks(thetas) | Self::Sampled { thetas, .. } => {
                Some(thetas.len() as f64 * Core::M4f.of_pass(architecture))
            }
            Self::Linearised(_) => None,
            Self::Artifacts(artifacts) => Some(artifacts.instructions(Core::M4f)),
        }
    }
}

/// The rows of a set, shuffled and cut into mini-batches of about `rows`.
fn mini_batches(
    set: &TrainingSet,
    rows: usize,
    rng: &mut Xoshiro256PlusPlus,
) -> Vec<(Batch, Targets)> {
    let mut all = Vec::new();
    for part in 0..set.parts() {
        let MiniBatch { batch, targets } = &*set.mini_batch(part);
        let mut order: Vec<usize> = (0..batch.rows()).collect();
        order.shuffle(rng);
        let count = order.len().div_ceil(rows).max(1);
        all.extend((0..count).map(|part| {
            let chosen = &order[part * order.len() / count..(part + 1) * order.len() / count];
            (batch.select(chosen), targets.subset(chosen))
        }));
    }
    all
}

/// The best of some settings of a method by held-out NLL, and its calibration: each is fitted in every
/// fold of the training rows and calibrated on what the folds held out, as MAP and the particles are.
///
/// # Errors
/// The errors of the fit.
pub fn calibrate<'b>(
    settings: &'b [Box<dyn Baseline>],
    problem: &Problem<'_>,
    folds: &[Fold],
) -> anyhow::Result<(&'b dyn Baseline, Calibration)> {
    let targets = held_out_targets(folds);
    let mut best = (f64::INFINITY, None);
    for setting in settings {
        let held_out = predict_held_out(folds, |_, fold| {
            let problem = Problem { set: &fold.training, ..*problem };
            setting.fit(&problem)?.predictive(&problem, &fold.held_out)
        })?;
        let calibration = held_out.calibrate(&targets, problem.likelihood);
        let nll = mean(&held_out.nll(&targets, calibration));
        // A setting that diverges has no NLL; if all do, the first stands.
        if nll < best.0 || best.1.is_none() {
            best = (if nll.is_nan() { f64::INFINITY } else { nll }, Some((setting, calibration)));
        }
    }
    let (setting, calibration) = best.1.context("a method has at least one setting")?;
    Ok((setting.as_ref(), calibration))
}

/// A linear model with Gaussian noise, whose posterior N(m, (XᵀX/σ² + αI)⁻¹) is known in closed form.
#[cfg(test)]
pub(crate) mod linear {
    use nalgebra::{DMatrix, DVector};
    use rand_distr::{Distribution, StandardNormal};

    use super::*;
    use crate::network::Activation;
    use crate::random::{Purpose, stream};
    use crate::task::Targets;

    const ROWS: usize = 40;
    pub(crate) const NOISE_STD: f32 = 0.5;
    pub(crate) const ALPHA: f32 = 2.0;

    pub(crate) struct Linear {
        pub(crate) architecture: Architecture,
        pub(crate) set: TrainingSet,
        /// Rows with a 1 appended, `[ROWS, 3]`.
        pub(crate) design: DMatrix<f64>,
        pub(crate) values: DVector<f64>,
        /// Posterior mean, `[3]`: two weights and a bias.
        pub(crate) mean: DVector<f64>,
        /// Posterior covariance, `[3, 3]`.
        pub(crate) covariance: DMatrix<f64>,
    }

    impl Linear {
        pub(crate) fn new() -> Self {
            let mut rng = stream(11, Purpose::Probes, 0);
            let x: Vec<f32> = (0..2 * ROWS).map(|_| StandardNormal.sample(&mut rng)).collect();
            let values: Vec<f32> = x
                .chunks_exact(2)
                .map(|x| {
                    let noise: f32 = StandardNormal.sample(&mut rng);
                    0.8 * x[0] - 0.3 * x[1] + 0.5 + NOISE_STD * noise
                })
                .collect();
            let design = DMatrix::from_fn(ROWS, 3, |row, column| {
                if column < 2 { f64::from(x[2 * row + column]) } else { 1.0 }
            });
            let precision = design.tr_mul(&design) / f64::from(NOISE_STD).powi(2)
                + DMatrix::identity(3, 3) * f64::from(ALPHA);
            let covariance = precision.cholesky().expect("positive definite").inverse();
            let y = DVector::from_iterator(ROWS, values.iter().map(|&y| f64::from(y)));
            let mean = &covariance * design.tr_mul(&y) / f64::from(NOISE_STD).powi(2);
            Self {
                architecture: Architecture::perceptron(&[2, 1], Activation::Tanh),
                set: TrainingSet::of(&x, 2, &Targets::Regression(values), ROWS, 0),
                design,
                values: y,
                mean,
                covariance,
            }
        }

        pub(crate) fn problem(&self) -> Problem<'_> {
            Problem {
                architecture: &self.architecture,
                set: &self.set,
                likelihood: Likelihood::gaussian(NOISE_STD),
                prior_precision: &[ALPHA],
                schedule: Schedule { steps: 1000, learning_rate: 0.02 },
                seed: 3,
                device: &Device::Cpu,
            }
        }
    }
}
