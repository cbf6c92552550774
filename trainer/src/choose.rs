//! Hyper-parameters chosen on held-out rows: noise, prior precision, kind of drift, temperature.
//!
//! The prior matters more than anything else, and MAP's own validation loss is a bad judge of it:
//! every candidate is scored by the cross-validated NLL of a small walk's predictive, after the
//! calibration that the final model gets too.

use std::ops::Range;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::data::{Rows, Targets, folds};
use crate::descent::{Descent, Schedule, TrainingSet};
use crate::network::{Architecture, Batch, Likelihood};
use crate::predictive::{Calibration, Predictive, mean};
use crate::random::{Purpose, stream};
use crate::walk::{Drift, Walk};

/// Particles of a scoring walk.
const PARTICLES: usize = 16;
/// A scoring walk takes this share of the full walk's steps, at a rate as much higher.
const STEP_SHARE: f32 = 0.4;
/// Prior precisions tried for the hidden layers and for the output layer.
const HIDDEN_PRECISIONS: [f32; 3] = [1.0, 3.0, 10.0];
const OUTPUT_PRECISIONS: [f32; 3] = [0.1, 0.3, 1.0];
/// Posterior temperatures tried, from the plain posterior down.
const TEMPERATURES: [f32; 4] = [1.0, 0.3, 0.1, 0.01];
/// Noise that the search for the noise starts from, standardised target units.
const FIRST_NOISE_STD: f32 = 0.5;
/// Refinements of the noise: fit MAP, take the held-out error as the noise, fit again.
const NOISE_ROUNDS: usize = 2;
/// Noise is never assumed smaller than this, standardised target units.
const SMALLEST_NOISE_STD: f32 = 0.01;

/// What the user fixed; `None` is chosen here.
#[derive(Clone, Debug)]
pub struct Fixed {
    /// Prior precision of every layer.
    pub prior_precision: Option<Vec<f32>>,
    /// Noise of the Gaussian likelihood, standardised target units.
    pub noise_std: Option<f32>,
    /// Kind of drift.
    pub drift: Option<Drift>,
    /// Posterior temperature.
    pub temperature: Option<f32>,
}

/// One setting of everything that is chosen, with its score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// Prior precision of every layer.
    pub prior_precision: Vec<f32>,
    /// Kind of drift.
    pub drift: Drift,
    /// Posterior temperature.
    pub temperature: f32,
    /// Held-out NLL after calibration, nats a row.
    pub nll: f64,
    /// Standard error of that mean.
    pub standard_error: f64,
}

/// What was chosen, and from what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choices {
    /// The setting that the model is trained with.
    pub chosen: Candidate,
    /// Noise of the Gaussian likelihood, standardised target units; none for classification.
    pub noise_std: Option<f32>,
    /// Calibration of MAP on held-out rows.
    pub map_calibration: Calibration,
    /// Calibration of the particles' predictive on held-out rows.
    pub particle_calibration: Calibration,
    /// Everything that was tried, in order.
    pub candidates: Vec<Candidate>,
    /// Number of folds; 1 means a single held-out part.
    pub folds: usize,
}

impl Choices {
    /// Likelihood of a target under the chosen noise.
    pub fn likelihood(&self) -> Likelihood {
        likelihood(self.noise_std)
    }
}

/// The likelihood with this noise, or the categorical one.
fn likelihood(noise_std: Option<f32>) -> Likelihood {
    noise_std.map_or(Likelihood::Categorical, |noise_std| Likelihood::Gaussian { noise_std })
}

/// The search: data, network and schedules.
pub struct Search<'a> {
    /// Network.
    pub architecture: &'a Architecture,
    /// Training rows, cut into folds here.
    pub rows: &'a Rows,
    /// Schedule of the final MAP training.
    pub map_schedule: Schedule,
    /// Schedule of the final walk.
    pub walk_schedule: Schedule,
    /// Rows of a gradient step.
    pub batch_rows: usize,
    /// Seed of folds, initial weights and drifts.
    pub seed: u64,
}

/// Training and held-out rows of one fold.
struct Fold {
    training: TrainingSet,
    held_out: Batch,
    targets: Targets,
}

/// A candidate's held-out predictive.
struct Scored {
    candidate: Candidate,
    row_nll: Vec<f64>,
}

impl Search<'_> {
    /// Number of gradient steps that [`Self::run`] reports at most.
    pub fn steps(&self, fixed: &Fixed) -> usize {
        let folds = fold_count(self.rows.n).max(1);
        let priors = self.priors(fixed).len();
        let noise = if self.needs_noise(fixed) { NOISE_ROUNDS } else { 0 };
        let temperatures = self.tempered(fixed, &[]).len();
        let scoring = self.scoring_schedule().steps * PARTICLES;
        let full = self.walk_schedule.steps * PARTICLES;
        folds
            * ((noise + priors) * self.map_schedule.steps
                + (priors + temperatures) * scoring
                + full)
    }

    /// Chooses what is not fixed. `report` is called with gradient steps done since its last call.
    pub fn run(&self, fixed: &Fixed, report: &(dyn Fn(usize) + Sync)) -> Choices {
        let folds = self.folds();
        let held_out = held_out_targets(&folds);
        let noise_std = match &self.rows.targets {
            Targets::Classes { .. } => None,
            Targets::Values(_) => {
                Some(fixed.noise_std.unwrap_or_else(|| self.noise(fixed, &folds, report)))
            }
        };
        let likelihood = likelihood(noise_std);
        let priors = self.priors(fixed);
        let maps: Vec<Vec<Vec<f32>>> =
            priors.par_iter().map(|prior| self.maps(prior, likelihood, &folds, report)).collect();

        let schedule = self.scoring_schedule();
        let score = |candidate: Candidate, maps: &[Vec<f32>]| {
            let predictive =
                self.walk_folds(&candidate, likelihood, &folds, maps, schedule, report);
            let row_nll = predictive.nll(&held_out, predictive.calibrate(&held_out));
            let (nll, standard_error) = (mean(&row_nll), standard_error(&row_nll));
            Scored { candidate: Candidate { nll, standard_error, ..candidate }, row_nll }
        };
        let drift = fixed.drift.unwrap_or(Drift::DataNoise);
        let temperature = fixed.temperature.unwrap_or(TEMPERATURES[0]);
        let mut scored: Vec<Scored> = priors
            .par_iter()
            .zip(&maps)
            .map(|(prior, maps)| score(unscored(prior, drift, temperature), maps))
            .collect();
        let best = best_of(&scored);
        let (prior, maps) = (&priors[best], &maps[best]);
        let tempered: Vec<Scored> = self
            .tempered(fixed, prior)
            .into_par_iter()
            .map(|candidate| score(candidate, maps))
            .collect();
        let first = scored.len();
        scored.extend(tempered);

        // Prior first, then the drift and temperature under it.
        let under_prior = std::iter::once(best).chain(first..scored.len());
        let chosen = hottest_within_one_standard_error(&scored, under_prior);
        let chosen = scored[chosen].candidate.clone();

        let full = self.walk_folds(&chosen, likelihood, &folds, maps, self.walk_schedule, report);
        let map = self.held_out(&folds, |fold| vec![maps[fold].clone()]);
        Choices {
            noise_std,
            map_calibration: map.calibrate(&held_out),
            particle_calibration: full.calibrate(&held_out),
            candidates: scored.into_iter().map(|scored| scored.candidate).collect(),
            folds: folds.len(),
            chosen,
        }
    }

    /// Priors to score: the fixed one, or every pair for (hidden layers, output layer).
    fn priors(&self, fixed: &Fixed) -> Vec<Vec<f32>> {
        if let Some(prior) = &fixed.prior_precision {
            return vec![prior.clone()];
        }
        let depth = self.architecture.depth();
        let pairs = HIDDEN_PRECISIONS
            .iter()
            .flat_map(|&hidden| OUTPUT_PRECISIONS.iter().map(move |&output| (hidden, output)));
        pairs
            .map(|(hidden, output)| {
                let mut prior = vec![hidden; depth];
                prior[depth - 1] = output;
                prior
            })
            .collect()
    }

    /// Candidates for drift and temperature under `prior`, besides the one already scored.
    fn tempered(&self, fixed: &Fixed, prior: &[f32]) -> Vec<Candidate> {
        let drifts = fixed.drift.map_or(vec![Drift::DataNoise, Drift::Isotropic], |d| vec![d]);
        let temperatures = fixed.temperature.map_or(TEMPERATURES.to_vec(), |t| vec![t]);
        drifts
            .iter()
            .flat_map(|&drift| temperatures.iter().map(move |&t| unscored(prior, drift, t)))
            .skip(1)
            .collect()
    }

    fn needs_noise(&self, fixed: &Fixed) -> bool {
        fixed.noise_std.is_none() && matches!(self.rows.targets, Targets::Values(_))
    }

    /// The noise: the held-out root mean square error of MAP, found by fixed-point iteration.
    fn noise(&self, fixed: &Fixed, folds: &[Fold], report: &(dyn Fn(usize) + Sync)) -> f32 {
        let priors = self.priors(fixed);
        let prior = &priors[priors.len() / 2];
        let targets = held_out_targets(folds);
        let mut noise_std = FIRST_NOISE_STD;
        for _ in 0..NOISE_ROUNDS {
            let maps = self.maps(prior, Likelihood::Gaussian { noise_std }, folds, report);
            let map = self.held_out(folds, |fold| vec![maps[fold].clone()]);
            if let Calibration::NoiseStd(std) = map.calibrate(&targets) {
                noise_std = (std as f32).max(SMALLEST_NOISE_STD);
            }
        }
        noise_std
    }

    /// One MAP a fold, `[folds][P]`.
    fn maps(
        &self,
        prior: &[f32],
        likelihood: Likelihood,
        folds: &[Fold],
        report: &(dyn Fn(usize) + Sync),
    ) -> Vec<Vec<f32>> {
        let prior_precision = self.architecture.per_parameter(prior);
        folds
            .par_iter()
            .map(|fold| {
                let mut rng = stream(self.seed, Purpose::Initialisation, 0);
                let descent = Descent {
                    architecture: self.architecture,
                    set: &fold.training,
                    likelihood,
                    prior_precision: &prior_precision,
                    drift: None,
                    control: None,
                    schedule: self.map_schedule,
                };
                descent.run(self.architecture.initialise(&mut rng), report)
            })
            .collect()
    }

    /// Held-out predictive of a small walk in every fold.
    fn walk_folds(
        &self,
        candidate: &Candidate,
        likelihood: Likelihood,
        folds: &[Fold],
        maps: &[Vec<f32>],
        schedule: Schedule,
        report: &(dyn Fn(usize) + Sync),
    ) -> Predictive {
        let prior_precision = self.architecture.per_parameter(&candidate.prior_precision);
        self.held_out(folds, |fold| {
            let walk = Walk {
                architecture: self.architecture,
                set: &folds[fold].training,
                likelihood,
                prior_precision: &prior_precision,
                drift: candidate.drift,
                temperature: candidate.temperature,
                schedule,
                seed: self.seed,
            };
            walk.run(&maps[fold..=fold], 0..PARTICLES, report)
        })
    }

    /// Predictive of every fold's own parameters at its held-out rows, in the folds' order.
    fn held_out(&self, folds: &[Fold], thetas: impl Fn(usize) -> Vec<Vec<f32>>) -> Predictive {
        let predictives = folds.iter().enumerate().map(|(index, fold)| {
            Predictive::of(self.architecture, &fold.targets, &thetas(index), &fold.held_out)
        });
        predictives
            .reduce(|mut all, next| {
                all.append(next);
                all
            })
            .expect("there is at least one fold")
    }

    /// A scoring walk covers the same ground in fewer, longer steps.
    fn scoring_schedule(&self) -> Schedule {
        Schedule {
            steps: (self.walk_schedule.steps as f32 * STEP_SHARE).ceil() as usize,
            learning_rate: self.walk_schedule.learning_rate / STEP_SHARE,
        }
    }

    fn folds(&self) -> Vec<Fold> {
        let features = self.architecture.inputs();
        let count = fold_count(self.rows.n);
        let parts = folds(&self.rows.targets, count.max(SINGLE_PARTS), self.seed);
        let used: Range<usize> = 0..count;
        parts[used]
            .iter()
            .map(|part| {
                let mut inside = vec![false; self.rows.n];
                part.iter().for_each(|&row| inside[row] = true);
                let rest: Vec<usize> = (0..self.rows.n).filter(|&row| !inside[row]).collect();
                let training = self.rows.subset(&rest);
                let held_out = self.rows.subset(part);
                Fold {
                    training: TrainingSet::new(
                        &training.x,
                        features,
                        &training.targets,
                        self.batch_rows,
                        self.seed,
                    ),
                    held_out: Batch::from_rows(&held_out.x, features),
                    targets: held_out.targets,
                }
            })
            .collect()
    }
}

/// Parts that the rows are cut into where only one is held out.
const SINGLE_PARTS: usize = 5;

/// Folds that are evaluated: many rows need few.
fn fold_count(rows: usize) -> usize {
    match rows {
        ..=400 => 5,
        401..=2000 => 3,
        _ => 1,
    }
}

fn unscored(prior: &[f32], drift: Drift, temperature: f32) -> Candidate {
    let prior_precision = prior.to_vec();
    Candidate { prior_precision, drift, temperature, nll: f64::NAN, standard_error: f64::NAN }
}

fn held_out_targets(folds: &[Fold]) -> Targets {
    let mut all = folds[0].targets.clone();
    folds[1..].iter().for_each(|fold| all.append(&fold.targets));
    all
}

/// Index of the least NLL.
fn best_of(scored: &[Scored]) -> usize {
    let order = |index: &usize| scored[*index].candidate.nll;
    (0..scored.len()).min_by(|a, b| order(a).total_cmp(&order(b))).expect("there is a candidate")
}

/// The drift with the least NLL; under it the largest temperature whose NLL is within one standard
/// error (of the paired difference) of the least: more spread costs nothing in distribution and
/// buys out-of-distribution detection.
fn hottest_within_one_standard_error(
    scored: &[Scored],
    indices: impl Iterator<Item = usize> + Clone,
) -> usize {
    let nll = |index: usize| scored[index].candidate.nll;
    let best =
        indices.clone().min_by(|&a, &b| nll(a).total_cmp(&nll(b))).expect("there is a candidate");
    indices
        .filter(|&index| scored[index].candidate.drift == scored[best].candidate.drift)
        .filter(|&index| {
            let difference: Vec<f64> = scored[index]
                .row_nll
                .iter()
                .zip(&scored[best].row_nll)
                .map(|(a, b)| a - b)
                .collect();
            mean(&difference) <= standard_error(&difference)
        })
        .max_by(|&a, &b| {
            scored[a].candidate.temperature.total_cmp(&scored[b].candidate.temperature)
        })
        .unwrap_or(best)
}

/// Standard error of the mean.
fn standard_error(values: &[f64]) -> f64 {
    let (mean, count) = (mean(values), values.len() as f64);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (squares / (count * (count - 1.0).max(1.0))).sqrt()
}
