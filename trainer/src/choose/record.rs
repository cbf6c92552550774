//! Hyper-parameters that were chosen, and the candidates.

use serde::{Deserialize, Serialize};

use crate::config::{SCALES, STARTS};
use crate::drift::Drift;
use crate::run_dir::RunDir;
use crate::stage::Training;
use crate::task::{AnyTask, Calibration, Likelihood};

/// Hyper-parameters.
pub(super) const CHOICES: &str = "choices.json";

/// A full walk with its score.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FullWalk {
    /// Kind of drift.
    pub drift: Drift,
    /// Posterior temperature.
    pub temperature: f32,
    /// MAPs that the particles start from, shared out evenly.
    pub maps: usize,
    /// Held-out NLL after calibration, nats a row.
    pub nll: f64,
    /// Standard error of the difference from the NLL of the first that it was compared with.
    pub standard_error: f64,
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

impl Candidate {
    fn check(&self, depth: usize) -> Result<(), String> {
        let precisions = &self.prior_precision;
        let sound = |value: &f32| SCALES.contains(value);
        if precisions.len() != depth || !precisions.iter().all(sound) {
            return Err(format!(
                "prior_precision is {precisions:?}, expected a number above 0 for each of {depth} layers"
            ));
        }
        if !sound(&self.temperature) {
            return Err(format!("temperature is {}, expected a number above 0", self.temperature));
        }
        Ok(())
    }
}

/// Hyper-parameters that were chosen, and the candidates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choices {
    /// The setting that the model is trained with.
    pub chosen: Candidate,
    /// Noise of the Gaussian likelihood, standardised target units; none for classification.
    pub noise_std: Option<f32>,
    /// MAPs that the particles start from.
    pub maps: usize,
    /// Numbers of MAPs that were tried under the chosen setting, the fewest first.
    pub maps_candidates: Vec<FullWalk>,
    /// The best setting with either kind of drift, isotropic first; empty where the drift was given.
    pub drift_candidates: Vec<FullWalk>,
    /// Calibration of MAP on held-out rows.
    pub map_calibration: Calibration,
    /// Calibration of the particles' predictive on held-out rows.
    pub particle_calibration: Calibration,
    /// Everything that was tried, in order.
    pub candidates: Vec<Candidate>,
    /// Number of folds; each holds out a fifth of the rows.
    pub folds: usize,
}

impl Choices {
    /// Reads those of a run whose network has so many layers.
    ///
    /// # Errors
    /// The file is missing or damaged.
    pub fn read(dir: &RunDir, depth: usize, task: &AnyTask) -> anyhow::Result<Self> {
        dir.read_json(CHOICES, |choices: &Self| choices.check(depth, task))
    }

    /// Reads those of a run under way.
    ///
    /// # Errors
    /// The file is missing or damaged.
    pub fn of(training: &Training<'_>) -> anyhow::Result<Self> {
        Self::read(&training.dir, training.architecture.depth(), &training.record.schema.task)
    }

    fn check(&self, depth: usize, task: &AnyTask) -> Result<(), String> {
        if self.noise_std.is_none() != task.classifies()
            || !self.noise_std.is_none_or(|noise| noise.is_finite() && noise > 0.0)
        {
            return Err(format!("noise_std is {:?}, which is not the task's", self.noise_std));
        }
        self.map_calibration.check(task)?;
        self.particle_calibration.check(task)?;
        for candidate in [&self.chosen].into_iter().chain(&self.candidates) {
            candidate.check(depth)?;
        }
        let tried = self.maps_candidates.iter().chain(&self.drift_candidates);
        for maps in tried.map(|walk| walk.maps).chain([self.maps]) {
            if !STARTS.contains(&maps) {
                return Err(format!(
                    "maps is {maps}, expected {} to {}",
                    STARTS.start(),
                    STARTS.end()
                ));
            }
        }
        Ok(())
    }

    /// Likelihood of a target under the chosen noise.
    pub fn likelihood(&self) -> Likelihood {
        likelihood(self.noise_std)
    }

    /// Likelihood of a target as the particles' predictive is calibrated.
    pub fn calibrated_likelihood(&self) -> Likelihood {
        self.particle_calibration.likelihood()
    }
}

/// The likelihood with this noise, or the categorical one.
pub(super) fn likelihood(noise_std: Option<f32>) -> Likelihood {
    noise_std.map_or(Likelihood::CATEGORICAL, Likelihood::gaussian)
}
