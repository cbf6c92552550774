//! Hyper-parameters chosen on held-out rows: noise, prior precision, kind of drift, temperature.
//!
//! The prior matters more than anything else, and MAP's own validation loss is a bad judge of it:
//! every candidate is scored by the cross-validated NLL of a small walk's predictive, after the
//! calibration that the final model gets too. The prior is scored at a middling temperature, then
//! drift and temperature under the best prior, then the neighbouring priors under those for as long as
//! one is better. Short walks score all but the kind of drift and the number of MAPs: particles that
//! drift like the data's noise wander on long after a short walk ends, so only full walks judge those.
//! Where all is given but the number of MAPs, full walks alone are left: they calibrate.

use std::cell::OnceCell;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use tracing::{debug, info};

use super::kept::Kept;
use super::record::{Candidate, Choices, FullWalk, likelihood};
use crate::data::Rows;
use crate::descent::{Descent, Schedule};
use crate::device::Device;
use crate::drift::{Drift, MOST_STEPS, Walk};
use crate::folds::{Fold, cross_validation, fold_count, held_out_targets, predict_held_out};
use crate::metrics::mean;
use crate::network::Architecture;
use crate::posterior::{self, Refine, Rest};
use crate::sampler::Sampler;
use crate::task::{Calibration, Likelihood, Predictive, Targets};

/// Particles of a walk that scores a prior at first.
const FIRST_PARTICLES: usize = 8;
/// Particles of a walk that scores drift, temperature and the neighbouring priors. The mixture of a
/// few particles does worse than that of many, the more so the more they spread: too few would
/// choose too cold a posterior.
const SCORING_PARTICLES: usize = 16;
/// Particles of a full walk that scores a kind of drift or a number of MAPs, and that the predictive is
/// calibrated with.
const FULL_PARTICLES: usize = 16;
/// Numbers of MAPs that are tried, with as many particles.
const MAPS: [usize; 2] = [1, 4];
/// A scoring walk takes this share of the full walk's steps, at a rate as much higher.
const STEP_SHARE: f32 = 0.3;
/// Prior precisions tried for the hidden layers and for the output layer.
const HIDDEN_PRECISIONS: [f32; 5] = [1.0, 3.0, 10.0, 30.0, 100.0];
const OUTPUT_PRECISIONS: [f32; 3] = [0.3, 1.0, 3.0];
/// Neighbours on that grid differ by no more than this factor in each.
const NEIGHBOUR: f32 = 4.0;
/// Posterior temperatures tried, from the plain posterior down.
const TEMPERATURES: [f32; 4] = [1.0, 0.3, 0.1, 0.01];
/// Where the prior is scored first.
const FIRST_TEMPERATURE: f32 = 0.3;
/// Noise that the search for the noise starts from, standardised target units.
const FIRST_NOISE_STD: f32 = 0.5;
/// Refinements of the noise: fit MAP, take the held-out error as the noise, fit again.
const NOISE_ROUNDS: usize = 2;
/// Prior precisions of the hidden layers and of the output layer that sampling starts from: weak ones, as particles come
/// from wide to narrow and not back.
const FIRST_PRECISIONS: [f32; 2] = [1.0, 0.3];
/// Noise is never assumed smaller than this, standardised target units.
const SMALLEST_NOISE_STD: f32 = 0.01;

/// Settings that the user fixed; `None` is chosen here.
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
    /// MAPs that the particles start from.
    pub maps: Option<usize>,
}

impl Fixed {
    /// The setting, where nothing about it is to be chosen.
    fn setting(&self) -> Option<Candidate> {
        let (prior, drift) = (self.prior_precision.as_ref()?, self.drift?);
        Some(unscored(prior, drift, self.temperature?))
    }

    /// Numbers of MAPs to try, the fewest first.
    fn map_counts(&self) -> Vec<usize> {
        self.maps.map_or(MAPS.to_vec(), |maps| vec![maps])
    }

    /// Most MAPs that full walks start from: a MAP without a particle is not trained.
    fn most_maps(&self) -> usize {
        self.map_counts().into_iter().fold(1, usize::max).min(FULL_PARTICLES)
    }
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
    /// Whether each layer is walked.
    pub walked: &'a [bool],
    /// Refines particles and samples what is not fixed; none where that is searched for.
    pub sampler: Option<Sampler>,
    /// Seed of folds, initial weights and drifts.
    pub seed: u64,
    /// Device that computes.
    pub device: &'a Device,
    /// Tells the user what diverged.
    pub note: &'a (dyn Fn(&str) + Sync),
    /// Findings of an interrupted search.
    pub kept: Kept,
}

/// Parameters of MAPs, `[folds][count][P]`.
type Maps = Vec<Vec<Vec<f32>>>;

/// A candidate with its score.
struct Scored {
    candidate: Candidate,
    /// Held-out error of the walk's mean, standardised target units; none for classification.
    rmse: Option<f64>,
}

/// Scores of a candidate's walk on held-out rows.
#[derive(Serialize, Deserialize)]
struct Score {
    nll: f64,
    standard_error: f64,
    rmse: Option<f64>,
}

/// Scores of a full walk on held-out rows.
#[derive(Serialize, Deserialize)]
struct FullScore {
    calibration: Calibration,
    /// NLL of every held-out row after that, nats.
    row_nll: Vec<f64>,
}

/// Full walks that were compared.
struct FullWalks {
    /// The walks that did not diverge.
    walks: Vec<FullWalk>,
    /// Index of the one taken, among all.
    best: usize,
    score: FullScore,
}

/// Result of a search.
struct Searched {
    chosen: Candidate,
    /// Everything that was tried, in order.
    candidates: Vec<Candidate>,
    /// The best setting with either kind of drift.
    drift_candidates: Vec<FullWalk>,
}

/// Data that every part of the search needs.
struct Context<'a> {
    folds: Vec<Fold>,
    held_out: Targets,
    report: &'a (dyn Fn(usize) + Sync),
}

impl Search<'_> {
    /// Number of gradient steps that [`Self::run`] reports at most.
    pub fn steps(&self, fixed: &Fixed) -> usize {
        let trained = fixed.most_maps() * self.map_schedule.steps;
        let walked = FULL_PARTICLES * fixed.map_counts().len() * self.walk_schedule.steps;
        if let Some(sampler) = &self.sampler {
            let walked = FULL_PARTICLES * (MOST_STEPS + sampler.sweeps() * posterior::STEPS);
            let tuned = Refine::tuning_sweeps(FULL_PARTICLES) * posterior::STEPS;
            let (counts, folds) = (fixed.map_counts().len(), fold_count(self.rows.len()));
            let noise =
                if self.needs_noise(fixed) { NOISE_ROUNDS * self.map_schedule.steps } else { 0 };
            return folds * (noise + trained + counts * walked) + counts * tuned;
        }
        let search = if self.settled(fixed).is_some() { 0 } else { self.search_steps(fixed) };
        fold_count(self.rows.len()) * (trained + walked + search)
    }

    /// Most gradient steps of [`Self::search`] in a fold, with those of the noise.
    fn search_steps(&self, fixed: &Fixed) -> usize {
        let priors = self.priors(fixed).len();
        let noise = if self.needs_noise(fixed) { NOISE_ROUNDS + 1 } else { 0 };
        let scored = self.tempered(fixed, &[]).len() + priors - 1;
        let scoring = FIRST_PARTICLES * priors + SCORING_PARTICLES * scored;
        let drifts = if fixed.drift.is_none() { 2 } else { 0 };
        let walked = scoring * self.scoring_schedule().steps
            + FULL_PARTICLES * drifts * self.walk_schedule.steps;
        walked + (noise + 2 * priors + drifts / 2) * self.map_schedule.steps
    }

    /// Chooses what is not fixed. `report` is called with gradient steps done since its last call.
    ///
    /// # Errors
    /// The device fails, all that is tried diverges, or what is found cannot be kept.
    pub fn run(&self, fixed: &Fixed, report: &(dyn Fn(usize) + Sync)) -> anyhow::Result<Choices> {
        let folds = cross_validation(self.rows, self.batch_rows, self.seed);
        let context = Context { held_out: held_out_targets(&folds), folds, report };
        let mut noise_std = match &self.rows.targets {
            Targets::Classification(_) => None,
            Targets::Regression(_) => match fixed.noise_std {
                Some(noise_std) => Some(noise_std),
                None => Some(self.noise(fixed, &context)?),
            },
        };
        let Searched { mut chosen, candidates, drift_candidates } = match self.settled(fixed) {
            Some(chosen) => {
                Searched { chosen, candidates: Vec::new(), drift_candidates: Vec::new() }
            }
            None => self.search(fixed, &mut noise_std, &context)?,
        };
        let likelihood = likelihood(noise_std);
        let counts = fixed.map_counts();
        let prior = &chosen.prior_precision;
        let trained = OnceCell::new();
        let maps = || -> anyhow::Result<&Maps> {
            if trained.get().is_none() {
                let maps = self.maps(prior, likelihood, fixed.most_maps(), &context)?;
                let _ = trained.set(maps.with_context(|| self.all_diverged())?);
            }
            trained.get().context("trained above")
        };
        let finalists: Vec<_> = counts.iter().map(|&count| (&chosen, count)).collect();
        let full = self.walk_fully(&finalists, likelihood, &maps, &context)?;
        info!(maps = counts[full.best], "MAPs that the particles start from");
        let map_calibration = self.kept.batch().finding(0, || {
            let maps = maps()?;
            let map = self.held_out(&context.folds, |fold| Ok(maps[fold][..1].to_vec()))?;
            Ok(map.is_finite().then(|| map.calibrate(&context.held_out, likelihood)))
        })?;
        let map_calibration = map_calibration.with_context(|| self.all_diverged())?;
        if candidates.is_empty() {
            let row_nll = &full.score.row_nll;
            (chosen.nll, chosen.standard_error) = (mean(row_nll), standard_error(row_nll));
        }
        Ok(Choices {
            noise_std,
            maps: counts[full.best],
            maps_candidates: full.walks,
            drift_candidates,
            map_calibration,
            particle_calibration: full.score.calibration,
            candidates,
            folds: context.folds.len(),
            chosen,
        })
    }

    /// Searches for what is not fixed, but for the number of MAPs. Refines `noise_std` where that is not.
    fn search(
        &self,
        fixed: &Fixed,
        noise_std: &mut Option<f32>,
        context: &Context<'_>,
    ) -> anyhow::Result<Searched> {
        let drift = fixed.drift.unwrap_or(Drift::DataNoise);
        let temperature = fixed.temperature.unwrap_or(FIRST_TEMPERATURE);
        let priors = self.priors(fixed);
        let first: Vec<_> =
            priors.iter().map(|prior| unscored(prior, drift, temperature)).collect();
        let mut scored = self.score(&first, FIRST_PARTICLES, *noise_std, context)?;
        if scored.is_empty() {
            bail!(self.all_diverged());
        }
        let mut chosen = best_of(&scored);
        if self.needs_noise(fixed) {
            // The noise is at most the error of the best predictor so far, the walk's mean.
            *noise_std = scored[chosen].rmse.map(|error| (error as f32).max(SMALLEST_NOISE_STD));
            info!(?noise_std, "the held-out error of the best prior's mean");
        }

        let prior = scored[chosen].candidate.prior_precision.clone();
        info!(?prior, nll = scored[chosen].candidate.nll, "prior of the least NLL so far");
        let start = scored.len();
        let tempered = self.tempered(fixed, &prior);
        scored.extend(self.score(&tempered, SCORING_PARTICLES, *noise_std, context)?);
        let likelihood = likelihood(*noise_std);
        // Isotropic drift first: it makes functions that a small decoder follows more closely.
        let by_drift: Vec<usize> = [Drift::Isotropic, Drift::DataNoise]
            .into_iter()
            .filter_map(|drift| spread_at_little_cost(&scored[start..], drift))
            .map(|index| index + start)
            .collect();
        let mut drift_candidates = Vec::new();
        chosen = *by_drift.first().with_context(|| self.all_diverged())?;
        if by_drift.len() > 1 {
            let trained = OnceCell::new();
            let maps = || -> anyhow::Result<&Maps> {
                let maps = self.maps(&prior, likelihood, 1, context)?;
                let _ = trained.set(maps.with_context(|| self.all_diverged())?);
                trained.get().context("trained above")
            };
            let finalists: Vec<_> =
                by_drift.iter().map(|&index| (&scored[index].candidate, 1)).collect();
            let full = self.walk_fully(&finalists, likelihood, &maps, context)?;
            chosen = by_drift[full.best];
            drift_candidates = full.walks;
        }

        let Candidate { drift, temperature, .. } = scored[chosen].candidate;
        info!(%drift, %temperature, "the most spread within one standard error of the least NLL");
        let mut untried: Vec<_> = priors.into_iter().filter(|other| *other != prior).collect();
        loop {
            let best = scored[chosen].candidate.prior_precision.clone();
            let (others, rest): (Vec<_>, Vec<_>) =
                untried.into_iter().partition(|other| near(other, &best));
            let others: Vec<_> =
                others.iter().map(|prior| unscored(prior, drift, temperature)).collect();
            untried = rest;
            let start = scored.len();
            scored.extend(self.score(&others, SCORING_PARTICLES, *noise_std, context)?);
            let nll = |index: usize| scored[index].candidate.nll;
            let better = (start..scored.len())
                .fold(chosen, |best, other| if nll(other) < nll(best) { other } else { best });
            if better == chosen {
                break;
            }
            chosen = better;
        }

        let chosen = scored[chosen].candidate.clone();
        info!(prior = ?chosen.prior_precision, nll = chosen.nll, "prior of the least NLL");
        let candidates = scored.into_iter().map(|scored| scored.candidate).collect();
        Ok(Searched { chosen, candidates, drift_candidates })
    }

    /// Scores candidates by small walks from their own MAPs; those that diverge are left out.
    fn score(
        &self,
        candidates: &[Candidate],
        particles: usize,
        noise_std: Option<f32>,
        context: &Context<'_>,
    ) -> anyhow::Result<Vec<Scored>> {
        let batch = self.kept.batch();
        let mut by_prior: Vec<(&Vec<f32>, Vec<usize>)> = Vec::new();
        for (index, candidate) in candidates.iter().enumerate() {
            let prior = &candidate.prior_precision;
            match by_prior.iter_mut().find(|(other, _)| *other == prior) {
                Some((_, own)) => own.push(index),
                None => by_prior.push((prior, vec![index])),
            }
        }
        let scores = self.device.map(&by_prior, |_, (prior, own)| {
            let mut maps = None;
            if !own.iter().map(|&index| batch.has::<Score>(index)).all(|has| has.unwrap_or(false)) {
                maps = self.maps(prior, likelihood(noise_std), 1, context)?;
            }
            self.device.map(own, |_, &index| {
                let score = batch.finding(index, || {
                    let Some(maps) = &maps else { return Ok(None) };
                    self.walk_and_score(&candidates[index], maps, particles, noise_std, context)
                })?;
                Ok((index, score))
            })
        })?;
        let mut scores: Vec<(usize, Option<Score>)> = scores.into_iter().flatten().collect();
        scores.sort_by_key(|(index, _)| *index);
        let scored = scores.into_iter().zip(candidates).filter_map(|((_, score), candidate)| {
            let Candidate { prior_precision: prior, drift, temperature, .. } = candidate;
            let Some(Score { nll, standard_error, rmse }) = score else {
                (self.note)(&format!(
                    "note: choose: prior {prior:?} with {drift} drift at temperature {temperature} diverged and \
                     is left out"
                ));
                return None;
            };
            debug!(?prior, %drift, %temperature, particles, nll, standard_error, "scored");
            Some(Scored { candidate: Candidate { nll, standard_error, ..candidate.clone() }, rmse })
        });
        Ok(scored.collect())
    }

    /// Score of a short walk from `maps`; none where it diverges.
    fn walk_and_score(
        &self,
        candidate: &Candidate,
        maps: &Maps,
        particles: usize,
        noise_std: Option<f32>,
        context: &Context<'_>,
    ) -> anyhow::Result<Option<Score>> {
        let (likelihood, schedule) = (likelihood(noise_std), self.scoring_schedule());
        let predictive =
            self.walk_folds(candidate, likelihood, maps, schedule, particles, context)?;
        Ok(calibrated(&predictive, likelihood, context).map(|FullScore { row_nll, .. }| Score {
            nll: mean(&row_nll),
            standard_error: standard_error(&row_nll),
            rmse: predictive.rmse(&context.held_out),
        }))
    }

    /// Full walks of settings with numbers of MAPs, from `maps`, which are asked for where some walk is still to
    /// be done, and the first of them unless another is clearly better.
    fn walk_fully<'m>(
        &self,
        finalists: &[(&Candidate, usize)],
        likelihood: Likelihood,
        maps: &dyn Fn() -> anyhow::Result<&'m Maps>,
        context: &Context<'_>,
    ) -> anyhow::Result<FullWalks> {
        let batch = self.kept.batch();
        let mut there = (0..finalists.len()).map(|index| batch.has::<FullScore>(index));
        let maps = if there.all(|has| has.unwrap_or(false)) { None } else { Some(maps()?) };
        let walked = self.device.map(finalists, |index, &(setting, count)| {
            batch.finding(index, || {
                let maps = maps.context("trained where a walk is not there")?;
                let first = |maps: &Vec<Vec<f32>>| maps[..count.min(maps.len())].to_vec();
                let from: Maps = maps.iter().map(first).collect();
                let (schedule, particles) = (self.walk_schedule, FULL_PARTICLES);
                let predictive =
                    self.walk_folds(setting, likelihood, &from, schedule, particles, context)?;
                Ok(calibrated(&predictive, likelihood, context))
            })
        })?;
        let mut sound: Vec<(usize, FullScore)> = walked
            .into_iter()
            .enumerate()
            .filter_map(|(index, score)| Some((index, score?)))
            .collect();
        if sound.is_empty() {
            bail!(self.all_diverged());
        }
        let row_nll: Vec<&[f64]> = sound.iter().map(|(_, own)| own.row_nll.as_slice()).collect();
        let walk = |((index, _), own): (&(usize, FullScore), &&[f64])| {
            let (setting, maps) = finalists[*index];
            FullWalk {
                drift: setting.drift,
                temperature: setting.temperature,
                maps,
                nll: mean(own),
                standard_error: standard_error(&gains(row_nll[0], own)),
            }
        };
        let best = clearly_better(&row_nll);
        let walks = sound.iter().zip(&row_nll).map(walk).collect();
        let (best, score) = sound.swap_remove(best);
        Ok(FullWalks { walks, best, score })
    }

    /// Message where nothing is left to choose from.
    fn all_diverged(&self) -> String {
        format!(
            "choose: all that was tried diverged: lower map.learning_rate, found {:?}, or walk.learning_rate, \
             found {:?}, and see whether a fixed map.prior_precision or map.noise_std makes sense",
            self.map_schedule.learning_rate, self.walk_schedule.learning_rate
        )
    }

    /// Priors to score: the fixed one, or every pair for (hidden layers, output layer); where they are sampled, the one
    /// to start from.
    fn priors(&self, fixed: &Fixed) -> Vec<Vec<f32>> {
        if let Some(prior) = &fixed.prior_precision {
            return vec![prior.clone()];
        }
        let depth = self.architecture.depth();
        let grid: (&[f32], &[f32]) = match self.sampler {
            None => (&HIDDEN_PRECISIONS, &OUTPUT_PRECISIONS),
            Some(_) => (&FIRST_PRECISIONS[..1], &FIRST_PRECISIONS[1..]),
        };
        let (hidden, output) = grid;
        let pairs =
            hidden.iter().flat_map(|&hidden| output.iter().map(move |&output| (hidden, output)));
        pairs
            .map(|(hidden, output)| {
                let mut prior = vec![hidden; depth];
                prior[depth - 1] = output;
                prior
            })
            .collect()
    }

    /// Candidates for drift and temperature under `prior`.
    fn tempered(&self, fixed: &Fixed, prior: &[f32]) -> Vec<Candidate> {
        let drifts = fixed.drift.map_or(vec![Drift::DataNoise, Drift::Isotropic], |d| vec![d]);
        let temperatures = fixed.temperature.map_or(TEMPERATURES.to_vec(), |t| vec![t]);
        let each = |&drift: &Drift| temperatures.iter().map(move |&t| unscored(prior, drift, t));
        drifts.iter().flat_map(each).collect()
    }

    /// The setting, where there is nothing to search for.
    fn settled(&self, fixed: &Fixed) -> Option<Candidate> {
        if self.sampler.is_some() {
            let drift = fixed.drift.unwrap_or(Drift::DataNoise);
            let prior = &self.priors(fixed)[0];
            return Some(unscored(prior, drift, fixed.temperature.unwrap_or(1.0)));
        }
        fixed.setting().filter(|_| !self.needs_noise(fixed))
    }

    fn needs_noise(&self, fixed: &Fixed) -> bool {
        fixed.noise_std.is_none() && matches!(self.rows.targets, Targets::Regression(_))
    }

    /// A first guess of the noise: the held-out error of MAP, found by fixed-point iteration.
    fn noise(&self, fixed: &Fixed, context: &Context<'_>) -> anyhow::Result<f32> {
        let priors = self.priors(fixed);
        let prior = &priors[priors.len() / 2];
        let mut noise_std = FIRST_NOISE_STD;
        for _ in 0..NOISE_ROUNDS {
            let error = self.kept.batch().finding(0, || {
                let maps = self.maps(prior, Likelihood::gaussian(noise_std), 1, context)?;
                let Some(maps) = maps else { return Ok(None) };
                let map = self.held_out(&context.folds, |fold| Ok(maps[fold].clone()))?;
                Ok(map.rmse(&context.held_out).filter(|error| error.is_finite()))
            })?;
            // Where it diverges, other priors may not.
            if let Some(error) = error {
                noise_std = (error as f32).max(SMALLEST_NOISE_STD);
            }
        }
        Ok(noise_std)
    }

    /// `count` MAPs a fold, each from an initialisation of its own; none where one of them diverges.
    fn maps(
        &self,
        prior: &[f32],
        likelihood: Likelihood,
        count: usize,
        context: &Context<'_>,
    ) -> anyhow::Result<Option<Maps>> {
        let prior_precision = self.architecture.per_parameter(prior);
        let maps = self.device.map(&context.folds, |_, fold| {
            let descent = Descent {
                architecture: self.architecture,
                set: &fold.training,
                likelihood,
                prior_precision: &prior_precision,
                held: None,
                schedule: self.map_schedule,
            };
            let mut maps = descent.maps(self.device, count, self.seed, context.report)?;
            if self.sampler.is_some() {
                maps = posterior::modes(&descent, &maps).iter().map(Rest::narrow).collect();
            }
            let starts = descent.initialisations(count, self.seed);
            let diverged =
                starts.iter().zip(&maps).any(|(start, end)| descent.diverged(start, end));
            Ok((!diverged).then_some(maps))
        })?;
        Ok(maps.into_iter().collect())
    }

    /// Held-out predictive of a small walk in every fold, round its MAPs `[folds][_][P]`. Each fold has
    /// particles of its own, lest all held-out rows share the luck of a few drifts.
    fn walk_folds(
        &self,
        candidate: &Candidate,
        likelihood: Likelihood,
        maps: &Maps,
        schedule: Schedule,
        particles: usize,
        context: &Context<'_>,
    ) -> anyhow::Result<Predictive> {
        let prior_precision = self.architecture.per_parameter(&candidate.prior_precision);
        // Most rows of one fold are another's too, and chains go on tuning their steps.
        let tuned = OnceCell::new();
        self.held_out(&context.folds, |fold| {
            let walk = Walk {
                architecture: self.architecture,
                set: &context.folds[fold].training,
                likelihood,
                prior_precision: &prior_precision,
                drift: candidate.drift,
                temperature: candidate.temperature,
                schedule,
                second_order: self.sampler.is_some(),
                walked: self.walked,
                seed: self.seed,
            };
            let range = fold * particles..(fold + 1) * particles;
            let walked = walk.run(self.device, &maps[fold], range.clone(), context.report)?;
            let Some(sampler) = &self.sampler else { return Ok(walked) };
            let set = &context.folds[fold].training;
            let refine = sampler.on(self.architecture, set, likelihood, self.seed);
            let report = |sweeps: usize| (context.report)(sweeps * posterior::STEPS);
            if tuned.get().is_none() {
                let _ = tuned.set(refine.tune(&walked, &report)?);
            }
            let tuned = tuned.get().context("tuned above")?;
            let chains = refine.run(tuned, &walked, range.start, &report);
            let states = chains.into_iter().flat_map(|chain| chain.states);
            Ok(states.map(|state| state.theta).collect())
        })
    }

    /// Predictive of every fold's own parameters at its held-out rows, in the folds' order.
    fn held_out(
        &self,
        folds: &[Fold],
        thetas: impl Fn(usize) -> anyhow::Result<Vec<Vec<f32>>>,
    ) -> anyhow::Result<Predictive> {
        predict_held_out(folds, |index, fold| {
            let thetas = thetas(index)?;
            Ok(Predictive::of(self.architecture, &fold.targets, &thetas, &fold.held_out))
        })
    }

    /// A scoring walk covers the same ground in fewer, longer steps.
    fn scoring_schedule(&self) -> Schedule {
        Schedule {
            steps: (self.walk_schedule.steps as f32 * STEP_SHARE).ceil() as usize,
            learning_rate: self.walk_schedule.learning_rate / STEP_SHARE,
        }
    }
}

/// A predictive's calibration, and the NLL of every held-out row after that; none where it is not finite.
fn calibrated(
    predictive: &Predictive,
    likelihood: Likelihood,
    context: &Context<'_>,
) -> Option<FullScore> {
    if !predictive.is_finite() {
        return None;
    }
    let calibration = predictive.calibrate(&context.held_out, likelihood);
    let row_nll = predictive.nll(&context.held_out, calibration);
    row_nll.iter().all(|nll| nll.is_finite()).then_some(FullScore { calibration, row_nll })
}

fn unscored(prior: &[f32], drift: Drift, temperature: f32) -> Candidate {
    let prior_precision = prior.to_vec();
    Candidate { prior_precision, drift, temperature, nll: f64::NAN, standard_error: f64::NAN }
}

/// Index of the least NLL.
fn best_of(scored: &[Scored]) -> usize {
    let order = |index: &usize| scored[*index].candidate.nll;
    (0..scored.len()).min_by(|a, b| order(a).total_cmp(&order(b))).expect("there is a candidate")
}

/// With one kind of drift, the largest temperature whose NLL is within one standard error of the least:
/// more spread costs little in distribution and buys out-of-distribution detection. None where nothing
/// was scored with that drift.
fn spread_at_little_cost(scored: &[Scored], drift: Drift) -> Option<usize> {
    let candidate = |index: usize| &scored[index].candidate;
    let own = || (0..scored.len()).filter(|&index| candidate(index).drift == drift);
    let best = own().min_by(|&a, &b| candidate(a).nll.total_cmp(&candidate(b).nll))?;
    let limit = candidate(best).nll + candidate(best).standard_error;
    own()
        .filter(|&index| candidate(index).nll <= limit)
        .max_by(|&a, &b| candidate(a).temperature.total_cmp(&candidate(b).temperature))
}

/// Index of the first, unless others have less NLL by more than one standard error of the difference: then
/// the best of those.
fn clearly_better(row_nll: &[&[f64]]) -> usize {
    let gain = |index: usize| {
        let gains = gains(row_nll[0], row_nll[index]);
        if mean(&gains) > standard_error(&gains) { mean(&gains) } else { 0.0 }
    };
    (1..row_nll.len()).fold(0, |best, other| if gain(other) > gain(best) { other } else { best })
}

/// Gain of every row over `first`.
fn gains(first: &[f64], other: &[f64]) -> Vec<f64> {
    first.iter().zip(other).map(|(first, other)| first - other).collect()
}

/// Whether two priors are neighbours on the grid.
fn near(left: &[f32], right: &[f32]) -> bool {
    left.iter().zip(right).all(|(l, r)| l / r < NEIGHBOUR && r / l < NEIGHBOUR)
}

/// Standard error of the mean.
fn standard_error(values: &[f64]) -> f64 {
    let (mean, count) = (mean(values), values.len() as f64);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (squares / (count * (count - 1.0).max(1.0))).sqrt()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::data::Inputs;
    use crate::network::Activation;
    use crate::run_dir::RunDir;
    use crate::stage::Scratch;

    const FOLDER: &str = "choose";

    /// Chooses for a class by the side of a line, going on from what `root` holds.
    fn chosen(root: &Path) -> anyhow::Result<Choices> {
        let x: Vec<f32> = (0..120).map(|value| 1.5 * (value as f32 * 0.77).sin()).collect();
        let labels = x.chunks_exact(2).map(|x| u32::from(x[0] > x[1])).collect();
        let rows = Rows {
            x: Inputs::standardised(x, 2),
            targets: Targets::classes(labels, 2),
            groups: None,
        };
        let search = Search {
            architecture: &Architecture::perceptron(&[2, 3, 2], Activation::Tanh),
            rows: &rows,
            map_schedule: Schedule { steps: 10, learning_rate: 0.05 },
            walk_schedule: Schedule { steps: 10, learning_rate: 0.05 },
            batch_rows: 100,
            walked: &[true, true],
            sampler: None,
            seed: 3,
            device: &Device::Cpu,
            note: &|_| {},
            kept: Kept::at(Scratch::new(&RunDir::at(root), FOLDER)),
        };
        let fixed = Fixed {
            prior_precision: None,
            noise_std: None,
            drift: None,
            temperature: Some(0.3),
            maps: Some(1),
        };
        search.run(&fixed, &|_| {})
    }

    /// Names of what was kept, in order.
    fn kept(root: &Path) -> Vec<String> {
        let entries = fs::read_dir(root.join(FOLDER)).expect("it keeps what it finds");
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_search_that_goes_on_chooses_the_same() {
        let [whole, part] = [(); 2].map(|()| tempfile::tempdir().expect("temporary folder"));
        let expected = chosen(whole.path()).expect("chosen");
        let names = kept(whole.path());
        fs::create_dir(part.path().join(FOLDER)).expect("writable");
        for name in names.iter().step_by(2) {
            let [from, to] = [whole.path(), part.path()].map(|root| root.join(FOLDER).join(name));
            fs::copy(from, to).expect("writable");
        }
        assert_eq!(chosen(part.path()).expect("chosen"), expected);
        assert_eq!(kept(part.path()), names);
    }

    #[test]
    fn what_diverges_is_left_out_unless_all_does() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let all = chosen(folder.path()).expect("chosen");
        let kept = Kept::at(Scratch::new(&RunDir::at(folder.path()), FOLDER));
        let batch = kept.batch();
        let diverge = |index: usize| {
            fs::remove_file(folder.path().join(FOLDER).join(format!("00-{index:02}.json")))
                .expect("it was kept");
            batch.finding::<Score>(index, || Ok(None)).expect("writable");
        };
        diverge(0);
        let fewer = chosen(folder.path()).expect("the others are sound");
        assert_eq!(fewer.candidates.len() + 1, all.candidates.len());
        assert_eq!(fewer.candidates[..14], all.candidates[1..15]);
        (1..15).for_each(diverge);
        let message = chosen(folder.path()).expect_err("nothing is left").to_string();
        assert!(message.contains("map.learning_rate, found 0.05"), "{message}");
    }
}
