//! The files of the refinement.

use serde::{Deserialize, Serialize};

use crate::network::Architecture;
use crate::posterior::Convergence;
use crate::run_dir::RunDir;
use crate::walk;

/// States of the particles: `theta: [states, P]`.
pub(super) const STATES: &str = "refined.safetensors";
/// Name of their parameters in that file.
pub(super) const THETA: &str = "theta";
/// How the refinement went.
pub(super) const RECORD: &str = "refine.json";

/// How the refinement went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RefineRecord {
    /// What came of it; none where the particles stay where the walk ended.
    pub refined: Option<Refined>,
}

/// What came of a refinement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refined {
    /// Sweeps of a particle.
    pub sweeps: usize,
    /// States that were kept of all particles together.
    pub states: usize,
    /// Step length, in standard deviations of the metric.
    pub step: f64,
    /// Whether the particles agree on what they predict at training rows.
    pub convergence: Convergence,
    /// Median prior precision of every group, over all states.
    pub precisions: Vec<f32>,
    /// Median noise, standardised target units; none for classification.
    pub noise_std: Option<f32>,
}

impl RefineRecord {
    fn check(&self) -> Result<(), String> {
        let Some(refined) = &self.refined else { return Ok(()) };
        let positive = |value: &f32| value.is_finite() && *value > 0.0;
        let noise = refined.noise_std.iter();
        if !refined.precisions.iter().chain(noise).all(positive) {
            return Err("a precision or the noise is no number above 0".to_owned());
        }
        Ok(())
    }

    /// Reads that of a run.
    ///
    /// # Errors
    /// The file is missing or damaged.
    pub fn read(dir: &RunDir) -> anyhow::Result<Self> {
        dir.read_json(RECORD, Self::check)
    }
}

/// What came of a run's refinement; none where particles stay where the walk ended, as in runs that have no such stage.
///
/// # Errors
/// The file is damaged.
pub fn read_refined(dir: &RunDir) -> anyhow::Result<Option<Refined>> {
    Ok(if dir.has(RECORD) { RefineRecord::read(dir)?.refined } else { None })
}

/// Samples of a run's posterior, `[_][P]`: the refined states, or the `particles` where the walk left them.
///
/// # Errors
/// A file is missing or damaged.
pub fn read(
    dir: &RunDir,
    network: &Architecture,
    particles: usize,
) -> anyhow::Result<Vec<Vec<f32>>> {
    if read_refined(dir)?.is_some() {
        return dir.read_tensor(STATES, THETA, network.parameters());
    }
    walk::read(dir, network, particles)
}
