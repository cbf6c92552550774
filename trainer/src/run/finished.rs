//! A finished run, for prediction.

use std::path::Path;

use anyhow::bail;

use crate::choose::Choices;
use crate::config::Config;
use crate::decoder::draw_networks;
use crate::engine::{Draws, Engine, FLOAT_SAMPLES, Predictor};
use crate::export::{self, CalibrationRecord};
use crate::latent::{self, LatentRecord};
use crate::map;
use crate::network::Architecture;
use crate::refine;
use crate::run_data::DataRecord;
use crate::run_dir::{REQUESTED, RunDir};
use crate::task::{Calibration, Thresholds};

/// A finished run, for prediction.
pub struct Run {
    dir: RunDir,
    record: DataRecord,
    /// Settings as they were given.
    config: Config,
}

impl Run {
    /// Opens the directory of a finished run.
    ///
    /// # Errors
    /// No run, or an unfinished one.
    pub fn open(root: &Path) -> anyhow::Result<Self> {
        let dir = RunDir::open(root)?;
        if !export::STAGE.is_done(&dir)? {
            bail!("the run in {} is not finished: `resume` its training", root.display());
        }
        let record = DataRecord::read(&dir)?;
        let config = Config::read_from(&dir, REQUESTED)?;
        Ok(Self { dir, record, config })
    }

    /// Its directory.
    pub const fn dir(&self) -> &RunDir {
        &self.dir
    }

    /// Data that it was made from.
    pub const fn record(&self) -> &DataRecord {
        &self.record
    }

    /// The exported file.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn artifact(&self) -> anyhow::Result<Vec<u8>> {
        export::read_artifact(&self.dir)
    }

    /// Draws from the decoder, in floats.
    ///
    /// # Errors
    /// A stage's file is missing or damaged.
    pub fn float_predictor(&self, draws: Draws) -> anyhow::Result<Predictor> {
        let decoded = self.record.decoded_architecture(&self.config)?;
        let record = LatentRecord::read(&self.dir, &decoded)?;
        let decoder = latent::read_decoder(&self.dir, &record.shape)?;
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
        let network = self.architecture()?;
        let thetas = refine::read(&self.dir, &network, self.config.walk.particles)?;
        self.networks(network, thetas, |calibration| calibration.particles)
    }

    /// The MAP network.
    ///
    /// # Errors
    /// A stage's file is missing or damaged.
    pub fn map_predictor(&self) -> anyhow::Result<Predictor> {
        let network = self.architecture()?;
        let maps = map::read(&self.dir, &network)?;
        self.networks(network, maps[..1].to_vec(), |calibration| calibration.map)
    }

    /// The network that walked.
    fn architecture(&self) -> anyhow::Result<Architecture> {
        self.record.architecture(&self.config)
    }

    /// The MAP network as it was trained: no temperature, and the noise of the likelihood.
    ///
    /// # Errors
    /// A stage's file is missing or damaged.
    pub fn uncalibrated_map_predictor(&self) -> anyhow::Result<Predictor> {
        let depth = self.architecture()?.depth();
        let choices = Choices::read(&self.dir, depth, &self.record.schema.task)?;
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
        let record = CalibrationRecord::read(&self.dir, &self.record.schema.task)?;
        let engine = Engine::Networks { architecture, thetas, thresholds: thresholds(&record) };
        Ok(Predictor { schema: self.record.schema.clone(), engine })
    }
}
