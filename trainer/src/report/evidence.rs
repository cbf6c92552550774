//! Evidence that a report shows: every engine's predictions of the held-out and of the foreign rows.

use std::sync::Arc;

use anyhow::bail;

use crate::data::{Rows, Schema, evenly};
use crate::engine::{Draws, Predictor};
use crate::random::{Purpose, stream};
use crate::run::{Run, RunRecords};
use crate::run_data::CALIBRATION_ROWS;
use crate::task::{Calibration, Likelihood, Predictions, Scores, Targets, Thresholds};

/// Foreign rows where no file is given.
const FOREIGN_ROWS: usize = 512;
/// Most calibration rows that a report is made of, since training waits for it.
const CALIBRATION_MOST: usize = 2000;

/// Rows with targets, which no model was trained on.
pub struct HeldOut {
    /// Original units, row-major `[n, features]`.
    pub raw: Vec<f32>,
    /// Their targets.
    pub targets: Targets,
    /// The file they are from; none for the run's own calibration rows.
    pub file: Option<String>,
}

impl HeldOut {
    /// Rows that the run was calibrated with, at most 2000 of them.
    ///
    /// # Errors
    /// The run was made before such rows were kept, or the file is damaged.
    pub fn calibration_rows(run: &Run) -> anyhow::Result<Self> {
        if !run.dir().has(CALIBRATION_ROWS) {
            bail!(
                "the run has no {CALIBRATION_ROWS}, which earlier versions did not write: give a \
                 test file"
            );
        }
        let (raw, targets) = run.record().read_calibration_rows(run.dir())?;
        let features = run.record().schema.layout.len();
        let chosen = evenly(raw.len() / features, CALIBRATION_MOST);
        let rows = chosen.iter().flat_map(|row| &raw[row * features..(row + 1) * features]);
        Ok(Self { raw: rows.copied().collect(), targets: targets.subset(&chosen), file: None })
    }
}

/// Rows from elsewhere, `[n, features]`, and the file they are from.
pub struct Foreign {
    /// Original units.
    pub raw: Vec<f32>,
    /// The file.
    pub file: String,
}

/// One engine's predictions.
pub struct Judged {
    /// Its name in the report's tables.
    pub name: String,
    /// Predictions of the held-out rows.
    pub own: Predictions,
    /// Predictions of the foreign rows.
    pub foreign: Predictions,
    /// Scores of both.
    pub scores: Scores,
}

/// All that is computed for a report.
pub struct Evidence<'a> {
    /// The run's files.
    pub records: RunRecords,
    /// Columns and classes.
    pub schema: &'a Schema,
    /// The held-out rows.
    pub held_out: &'a HeldOut,
    /// The foreign rows' file; none for the uniform box.
    pub foreign_file: Option<&'a str>,
    /// The exported file.
    pub artifact: Vec<u8>,
    /// The MAP network before calibration.
    pub map_before: Judged,
    /// The MAP network.
    pub map: Judged,
    /// The walked particles.
    pub particles: Judged,
    /// Draws from the decoder before calibration.
    pub float_before: Judged,
    /// Draws from the decoder.
    pub float: Judged,
    /// The exported artifact before calibration.
    pub exported_before: Judged,
    /// The exported artifact.
    pub exported: Judged,
}

impl<'a> Evidence<'a> {
    /// Predicts with every engine of `run`.
    ///
    /// # Errors
    /// A file of the run is missing or damaged.
    pub fn gather(
        run: &'a Run,
        held_out: &'a HeldOut,
        foreign: Option<&'a Foreign>,
    ) -> anyhow::Result<Self> {
        let records = RunRecords::read(run.dir())?;
        let schema = &run.record().schema;
        let uniform = || {
            let mut rng = stream(run.record().seed, Purpose::Foreign, 2);
            schema.foreign(FOREIGN_ROWS, &mut rng)
        };
        let foreign_rows = foreign.map_or_else(uniform, |foreign| foreign.raw.clone());
        let judge = |name: &str, predictor: &Predictor| -> anyhow::Result<Judged> {
            let own = predictor.predict(&held_out.raw)?;
            Ok(Judged::of(name, own, predictor.predict(&foreign_rows)?, &held_out.targets))
        };
        let artifact = run.artifact()?;
        let map = judge("MAP", &run.map_predictor()?)?;
        let float = judge("float decoder", &run.float_predictor(Draws::default())?)?;
        let runtime = Predictor::from_artifact(artifact.clone(), Draws::default())?;
        let exported = judge("exported artifact", &runtime)?;
        let calibration = &records.calibration;
        let before = |judged: &Judged, thresholds: &Thresholds| {
            judged.before(
                thresholds.calibration,
                records.choices.likelihood(),
                schema,
                &held_out.targets,
            )
        };
        Ok(Self {
            schema,
            held_out,
            foreign_file: foreign.map(|foreign| foreign.file.as_str()),
            particles: judge("walked particles", &run.particle_predictor()?)?,
            map_before: before(&map, &calibration.map),
            float_before: before(&float, &calibration.float),
            exported_before: before(&exported, &calibration.runtime),
            records,
            artifact,
            map,
            float,
            exported,
        })
    }

    /// The engines of the table, as they are calibrated; the plain MAP network first.
    pub fn engines(&self) -> [&Judged; 5] {
        [&self.map_before, &self.map, &self.particles, &self.float, &self.exported]
    }

    /// Standardised held-out rows.
    pub fn rows(&self) -> Rows {
        self.schema.rows(&Arc::new(self.held_out.raw.clone().into()), &self.held_out.targets)
    }
}

impl Judged {
    fn of(name: &str, own: Predictions, foreign: Predictions, targets: &Targets) -> Self {
        let scores = Scores::of(&own, targets, Some(&foreign));
        Self { name: name.to_owned(), own, foreign, scores }
    }

    /// Predictions of the engine before it was calibrated: class probabilities at temperature 1, or the
    /// noise that the network was trained with.
    fn before(
        &self,
        calibration: Calibration,
        likelihood: Likelihood,
        schema: &Schema,
        targets: &Targets,
    ) -> Self {
        let undo = |predictions| schema.task.undo(predictions, calibration, likelihood);
        let name = format!("{}, uncalibrated", self.name);
        Self::of(&name, undo(&self.own), undo(&self.foreign), targets)
    }
}
