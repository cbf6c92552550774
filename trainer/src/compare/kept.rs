//! Measurements of baselines on a split, kept for a comparison that goes on from there.

use std::collections::BTreeMap;
use std::fs;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::split::Split;
use super::{Column, Method};
use crate::baselines::{Baseline, Convergence, Sizes};
use crate::device::{Device, DeviceKind};
use crate::run_dir::RunDir;
use crate::task::{AnyTask, Calibration, Predictions, Predictive, Thresholds};

/// Folder of the records, a file a method, in the split's.
const FOLDER: &str = "baselines";

/// Settings that decide what is measured of a baseline, seconds aside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Settings {
    /// The baseline.
    method: Method,
    /// Sizes of each candidate that it is chosen from on held-out rows.
    candidates: Vec<Sizes>,
    /// Kind of device that it is fitted on.
    device: DeviceKind,
    /// Hash of the run beside it up to MAP: its settings, data, seed and chosen hyper-parameters.
    run: String,
    /// Hash of the test rows, their targets and the foreign rows.
    scored_rows: String,
}

/// Measurements of a baseline.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct OfBaseline {
    /// The method with its sizes.
    pub(super) name: String,
    pub(super) figures: BTreeMap<Column, f64>,
    pub(super) convergence: Option<Convergence>,
    pub(super) calibration: Calibration,
    /// Predictive at the test rows, before it is calibrated.
    pub(super) predictive: Predictive,
    /// Files for boards, which it left in the split's folder.
    pub(super) files: Vec<String>,
}

/// Contents of a file.
#[derive(Serialize, Deserialize)]
pub(super) struct Record {
    settings: Settings,
    pub(super) measured: OfBaseline,
}

/// The file of a baseline.
pub(super) struct Kept<'s> {
    dir: RunDir,
    file: String,
    settings: Settings,
    task: &'s AnyTask,
    /// Number of test rows.
    rows: usize,
}

impl<'s> Kept<'s> {
    /// Names the file of a method whose setting is chosen from these `candidates`.
    pub(super) fn new(
        split: &'s Split,
        method: Method,
        candidates: &[Box<dyn Baseline>],
        device: &Device,
    ) -> Self {
        let settings = Settings {
            method,
            candidates: candidates.iter().map(|candidate| candidate.sizes()).collect(),
            device: device.kind(),
            run: split.at_map.identity.clone(),
            scored_rows: split.scored_rows.clone(),
        };
        let file = format!("{FOLDER}/{}.json", method.word());
        let (task, rows) = (&split.schema().task, split.truth.len());
        Self { dir: RunDir::at(&split.folder), file, settings, task, rows }
    }

    /// Reads what was measured under these settings, if it was and all files that it left are there. Otherwise
    /// removes its record, before these files change.
    ///
    /// # Errors
    /// The record is damaged, or cannot be removed.
    pub(super) fn read(&self) -> anyhow::Result<Option<OfBaseline>> {
        if !self.dir.has(&self.file) {
            return Ok(None);
        }
        let check = |record: &Record| match record.settings == self.settings {
            true => record.measured.check(self.task, self.rows),
            false => Ok(()),
        };
        let Record { settings, measured } = self.dir.read_json(&self.file, check)?;
        let is_there = |file: &String| self.dir.has(file);
        if settings == self.settings && measured.files.iter().all(is_there) {
            return Ok(Some(measured));
        }
        let path = self.dir.path(&self.file);
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        Ok(None)
    }

    /// Keeps what was measured and returns it. What diverged is not kept: a number that is not finite is in no
    /// record.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn keep(&self, measured: OfBaseline) -> anyhow::Result<OfBaseline> {
        let record = Record { settings: self.settings.clone(), measured };
        if record.measured.check(self.task, self.rows).is_ok() {
            self.dir.write_json(&self.file, &record)?;
        }
        Ok(record.measured)
    }
}

impl OfBaseline {
    /// Calibrated predictions of the test rows.
    pub(super) fn predictions(&self, task: &AnyTask) -> Predictions {
        Thresholds::open(self.calibration).apply(&self.predictive, task)
    }

    /// Checks that it is of a task and of so many test rows, and finite.
    fn check(&self, task: &AnyTask, rows: usize) -> Result<(), String> {
        self.calibration.check(task)?;
        self.predictive.check(task, rows)?;
        if !self.figures.contains_key(&Column::Nll) {
            return Err("figures has no nll".to_owned());
        }
        let of_chains =
            |chains: &Convergence| [chains.r_hat, chains.effective_samples, chains.acceptance];
        let of_chains = self.convergence.iter().flat_map(of_chains);
        match self.figures.values().copied().chain(of_chains).find(|figure| !figure.is_finite()) {
            Some(figure) => Err(format!("found the figure {figure}")),
            None => Ok(()),
        }
    }
}
