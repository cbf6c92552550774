//! The files of the export.

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::costs::PrecisionCandidate;
use crate::run_dir::RunDir;
use crate::task::{AnyTask, Thresholds};

/// Names of the records.
pub(super) const PRECISION: &str = "precision.json";
pub(super) const CALIBRATION: &str = "calibration.json";
/// The configuration with what was chosen filled in.
pub(super) const CONFIG: &str = "config.toml";
/// The artifact.
pub(super) const ARTIFACT: &str = "model.fwk";
/// The Rust module beside it.
pub(super) const MODULE: &str = "model.rs";

/// `precision.json`: the precisions tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PrecisionRecord {
    /// Bits of every layer's weights.
    pub weight_bits: Vec<u8>,
    /// Bits of the decoder's factors.
    pub factor_bits: u8,
    /// Whether the trunk was exported.
    pub trunk: bool,
    /// Bytes of the file with the trunk.
    pub bytes_with_trunk: usize,
    /// Bytes of the file of the network alone in int8.
    pub network_bytes: usize,
    /// Everything that was tried.
    pub candidates: Vec<PrecisionCandidate>,
}

/// `calibration.json`: every engine's thresholds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CalibrationRecord {
    /// The MAP network.
    pub map: Thresholds,
    /// The walked particles.
    pub particles: Thresholds,
    /// Draws from the decoder.
    pub float: Thresholds,
    /// The exported artifact.
    pub runtime: Thresholds,
}

impl PrecisionRecord {
    /// Reads that of a run whose artifact has so many layers.
    ///
    /// # Errors
    /// The file is missing or damaged.
    pub fn read(dir: &RunDir, depth: usize) -> anyhow::Result<Self> {
        dir.read_json(PRECISION, |record: &Self| record.check(depth))
    }

    fn check(&self, depth: usize) -> Result<(), String> {
        let tried = self.candidates.iter();
        let all = tried.map(|candidate| (&candidate.weight_bits, candidate.factor_bits));
        for (weights, factors) in all.chain([(&self.weight_bits, self.factor_bits)]) {
            let sound = weights.iter().chain([&factors]).all(|bits| matches!(bits, 4 | 8));
            if weights.len() != depth || !sound {
                return Err(format!(
                    "found weights of {weights:?} bits and factors of {factors}, expected 4 or 8, of \
                     {depth} layers"
                ));
            }
        }
        Ok(())
    }
}

impl CalibrationRecord {
    /// Reads that of a run.
    ///
    /// # Errors
    /// The file is missing or damaged.
    pub fn read(dir: &RunDir, task: &AnyTask) -> anyhow::Result<Self> {
        dir.read_json(CALIBRATION, |record: &Self| {
            let Self { map, particles, float, runtime } = record;
            [map, particles, float, runtime]
                .iter()
                .try_for_each(|thresholds| thresholds.check(task))
        })
    }
}

/// The settings of a run with what was chosen filled in.
///
/// # Errors
/// The file is missing or damaged.
pub fn read_config(dir: &RunDir) -> anyhow::Result<Config> {
    Config::read_from(dir, CONFIG)
}

/// The bytes of a run's artifact.
///
/// # Errors
/// The file cannot be read.
pub fn read_artifact(dir: &RunDir) -> anyhow::Result<Vec<u8>> {
    dir.read(ARTIFACT)
}
