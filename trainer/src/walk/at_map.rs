//! A run whose MAP is trained: where every walk of it starts.

use std::path::Path;

use anyhow::bail;
use sha2::{Digest, Sha256};

use crate::checkpoints::Checkpoints;
use crate::config::Config;
use crate::network::Architecture;
use crate::run_data::{DataRecord, ROWS};
use crate::run_dir::{DATA, REQUESTED, RunDir};
use crate::seal::hexadecimal;
use crate::{choose, drift, map};

/// Settings and network of a run whose MAP is trained.
pub struct RunAtMap {
    /// The run's directory.
    pub dir: RunDir,
    /// Settings as the user gave them.
    pub config: Config,
    /// Record of the data that the run was made from.
    pub record: DataRecord,
    /// Network.
    pub architecture: Architecture,
    /// Whether each of its layers is walked.
    pub walked: Vec<bool>,
    /// Hash of all that its particles depend on, hexadecimal.
    pub identity: String,
}

impl RunAtMap {
    /// Opens the directory of a run.
    ///
    /// # Errors
    /// No run, one that is not as far, or files that cannot be read.
    pub fn open(root: &Path) -> anyhow::Result<Self> {
        let dir = RunDir::open(root)?;
        let [choices, maps] = [choose::STAGE.last_file(), map::STAGE.last_file()];
        for name in [choices, ROWS, maps] {
            if !dir.has(name) {
                bail!(
                    "{} has no {name}, expected a run whose MAP is trained: train it `until` {}",
                    root.display(),
                    map::STAGE.name
                );
            }
        }
        let config = Config::read_from(&dir, REQUESTED)?;
        let record = DataRecord::read(&dir)?;
        let architecture = record.architecture(&config)?;
        let walked = record.walked(&config, &architecture)?;
        let mut hash = Sha256::new();
        // The rows follow from the record, which has the hash of the CSV file.
        for name in [REQUESTED, DATA, choices, maps] {
            let bytes = dir.read_sealed(name)?;
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        }
        let identity = hexadecimal(hash);
        Ok(Self { dir, config, record, architecture, walked, identity })
    }

    /// Number of particles.
    pub fn particles(&self) -> usize {
        self.config.walk.particles
    }

    /// Whether particles go to rest by second order.
    pub fn second_order(&self) -> bool {
        let (rows, batch_rows) = (self.record.split.training.len(), self.config.walk.batch_rows);
        self.config.refine.sweeps > 0
            && drift::pays_second_order(&self.architecture, &self.walked, rows, batch_rows)
    }

    /// Checkpoints of the walk.
    pub fn checkpoints(&self) -> Checkpoints {
        Checkpoints::of(if self.second_order() {
            drift::MOST_STEPS
        } else {
            self.config.walk.steps
        })
    }
}
