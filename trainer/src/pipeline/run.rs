//! A finished run, for prediction.

use std::path::Path;

use anyhow::bail;

use crate::calibrate::Thresholds;
use crate::choose::Choices;
use crate::config::Config;
use crate::engine::{Draws, Engine, FLOAT_SAMPLES, Predictor, draw_networks};
use crate::network::Architecture;
use crate::particles::{self, CHOICES, MAP};
use crate::predictive::Calibration;
use crate::records::{CalibrationRecord, LATENT, LatentRecord};
use crate::run_data::{DATA, DataRecord};
use crate::run_dir::{REQUESTED, RunDir};

/// A finished run, for prediction.
pub struct Run {
    pub(super) dir: RunDir,
    pub(super) record: DataRecord,
}

impl Run {
    /// Opens the directory of a finished run.
    ///
    /// # Errors
    /// No run, or an unfinished one.
    pub fn open(root: &Path) -> anyhow::Result<Self> {
        let dir = RunDir::open(root)?;
        if !dir.has("model.rs") {
            bail!("the run in {} is not finished: go on with train --resume", root.display());
        }
        let record = dir.read_json(DATA)?;
        Ok(Self { dir, record })
    }

    /// Its directory.
    pub const fn dir(&self) -> &RunDir {
        &self.dir
    }

    /// What it was made from.
    pub const fn record(&self) -> &DataRecord {
        &self.record
    }

    /// The exported file.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn artifact(&self) -> anyhow::Result<Vec<u8>> {
        self.dir.read("model.fwk")
    }

    /// Draws from the decoder, in floats.
    ///
    /// # Errors
    /// A stage's file is missing or damaged.
    pub fn float_predictor(&self, draws: Draws) -> anyhow::Result<Predictor> {
        let record: LatentRecord = self.dir.read_json("latent.json")?;
        let decoder = self.dir.read_tensor(LATENT, "decoder")?.concat();
        let samples = draws.samples.unwrap_or(FLOAT_SAMPLES);
        if samples == 0 {
            bail!("found 0 samples, expected at least 1");
        }
        let thetas = draw_networks(&record.shape, &decoder, samples, draws.seed);
        self.networks(record.shape.architecture, thetas, |calibration| calibration.float)
    }

    /// The walked particles.
    ///
    /// # Errors
    /// A stage's file is missing or damaged.
    pub fn particle_predictor(&self) -> anyhow::Result<Predictor> {
        let thetas = particles::read(&self.dir)?;
        self.networks(self.architecture()?, thetas, |calibration| calibration.particles)
    }

    /// The MAP network.
    ///
    /// # Errors
    /// A stage's file is missing or damaged.
    pub fn map_predictor(&self) -> anyhow::Result<Predictor> {
        let maps = self.dir.read_tensor(MAP, "theta")?;
        self.networks(self.architecture()?, maps[..1].to_vec(), |calibration| calibration.map)
    }

    /// The network that walked.
    fn architecture(&self) -> anyhow::Result<Architecture> {
        self.record.architecture(&Config::read(&self.dir.path(REQUESTED))?)
    }

    /// The MAP network as it was trained: no temperature, and the noise of the likelihood.
    ///
    /// # Errors
    /// A stage's file is missing or damaged.
    pub fn uncalibrated_map_predictor(&self) -> anyhow::Result<Predictor> {
        let choices: Choices = self.dir.read_json(CHOICES)?;
        let mut predictor = self.map_predictor()?;
        if let Engine::Networks { thresholds, .. } = &mut predictor.engine {
            thresholds.calibration = Calibration::of(choices.likelihood());
        }
        Ok(predictor)
    }

    /// Every stage, from MAP to the exported file, each as it predicts by default.
    ///
    /// # Errors
    /// A stage's file is missing or damaged.
    pub fn stages(&self) -> anyhow::Result<[(&'static str, Predictor); 5]> {
        let draws = Draws::default();
        Ok([
            ("MAP", self.uncalibrated_map_predictor()?),
            ("MAP, calibrated", self.map_predictor()?),
            ("particles", self.particle_predictor()?),
            ("float decoder", self.float_predictor(draws)?),
            ("exported artifact", Predictor::from_artifact(self.artifact()?, draws)?),
        ])
    }

    fn networks(
        &self,
        architecture: Architecture,
        thetas: Vec<Vec<f32>>,
        thresholds: fn(&CalibrationRecord) -> Thresholds,
    ) -> anyhow::Result<Predictor> {
        let record: CalibrationRecord = self.dir.read_json("calibration.json")?;
        let engine = Engine::Networks { architecture, thetas, thresholds: thresholds(&record) };
        Ok(Predictor { schema: self.record.schema.clone(), engine })
    }
}
