//! A run under way.

use std::sync::Arc;

use crate::config::Config;
use crate::data::{Rows, Values};
use crate::descent::TrainingSet;
use crate::device::Device;
use crate::network::Architecture;
use crate::progress::Progress;
use crate::run_data::DataRecord;
use crate::run_dir::RunDir;
use crate::task::Targets;
use crate::validation::Validation;

/// A run under way: data, network, settings, and where results go.
pub struct Training<'a> {
    /// Settings as the user gave them.
    pub config: &'a Config,
    /// Device that computes.
    pub device: &'a Device,
    /// How to show progress.
    pub progress: &'a Progress,
    /// Seed of everything random.
    pub seed: u64,
    /// The run's directory.
    pub dir: RunDir,
    /// Record of the data that the run is made from.
    pub record: DataRecord,
    /// Features of all rows, original units, `[n, features]`.
    pub raw: Arc<Values>,
    /// Targets of all rows, original units.
    pub targets: Targets,
    /// All rows, standardised.
    pub rows: Rows,
    /// The network that walks.
    pub architecture: Architecture,
    /// Whether each of its layers is walked.
    pub walked: Vec<bool>,
    /// The network that the decoder makes.
    pub decoded: Architecture,
    /// The parameters of a network trained elsewhere, `[P]`.
    pub imported: Option<Vec<f32>>,
}

impl Training<'_> {
    /// The rows to train on, standardised.
    pub fn training_rows(&self) -> Rows {
        self.rows.subset(&self.record.split.training)
    }

    /// Cuts `rows` into mini-batches.
    pub fn training_set(&self, rows: &Rows) -> TrainingSet {
        TrainingSet::new(&rows.x, &rows.targets, self.config.walk.batch_rows, self.seed)
    }

    /// The calibration rows, for the eyes of the user, before a network; none where nobody looks.
    pub fn validation<'n>(&self, architecture: &'n Architecture) -> Option<Validation<'n>> {
        let calibration = &self.record.split.calibration;
        self.progress.is_watched().then(|| Validation::new(architecture, &self.rows, calibration))
    }

    /// The named rows, original units.
    pub fn raw_rows(&self, rows: &[usize]) -> Vec<Vec<f32>> {
        let features = self.architecture.inputs();
        rows.iter().map(|&row| self.raw.row(row, features).into_owned()).collect()
    }

    /// Whether the target is a class.
    pub fn classifies(&self) -> bool {
        self.record.schema.task.classifies()
    }
}
