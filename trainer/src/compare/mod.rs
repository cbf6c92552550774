//! Many ways to a posterior predictive on the same splits, network, prior and budget.
//!
//! Each repeat splits the rows 70 to 30, unless test rows have a file of their own, and trains fiberwalk
//! on the larger part. The other methods take
//! network, prior precision and noise from that run. Every method is calibrated on what the folds of the
//! training rows held out, and scored on the rows that none has seen.

mod kept;
mod measure;
mod method;
mod split;
mod table;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::bail;

use crate::baselines::Hmc;
use crate::choose;
use crate::config::Config;
use crate::data::{Data, Dataset};
use crate::device::Device;
use crate::progress::Progress;
use crate::task::{Predictions, total_variation};
use split::Split;
use table::summarise;

pub use method::Method;
pub use table::{Column, Comparison, Mean, Measured, Summary};

/// Methods to compare, and what they are compared on.
#[derive(Clone)]
pub struct CompareOptions {
    /// Rows to learn from.
    pub data: Data,
    /// A file of test rows: then all rows of the data are trained on. None to split them.
    pub test: Option<PathBuf>,
    /// A file of foreign rows; none for rows uniform in a box round the training rows.
    pub ood: Option<PathBuf>,
    /// Settings of fiberwalk.
    pub config: Config,
    /// Folder for splits, runs and what was measured of baselines, gone on with where they are there.
    pub out: PathBuf,
    /// Number of splits.
    pub repeats: u64,
    /// Methods to compare.
    pub methods: Vec<Method>,
    /// Members of the deep ensemble.
    pub members: usize,
    /// Length of the reference.
    pub hmc: Hmc,
    /// Seed of the first split; the next has the next.
    pub seed: u64,
    /// Device that computes.
    pub device: Arc<Device>,
    /// How to show progress.
    pub progress: Progress,
}

/// Runs the comparison.
///
/// # Errors
/// Bad data or settings, a folder that cannot be written, or a device that fails.
pub fn compare(options: &CompareOptions) -> anyhow::Result<Comparison> {
    if options.repeats == 0 {
        bail!("`repeats`: found 0, expected at least 1");
    }
    if options.members == 0 {
        bail!("`members`: found 0, expected at least 1");
    }
    let data = Dataset::read(&options.data, options.seed)?;
    data.notes.iter().for_each(|note| options.progress.note(note));
    let (mut splits, mut choose_seconds) = (Vec::new(), Vec::new());
    for seed in (0..options.repeats).map(|repeat| options.seed + repeat) {
        options.progress.note(&format!("split {seed}"));
        let split = Split::prepare(options, &data, seed)?;
        choose_seconds.push(split.seconds(&choose::STAGE));
        let predicted: Vec<(Measured, Predictions)> = options
            .methods
            .iter()
            .filter_map(|&method| split.measure(method, options).transpose())
            .collect::<anyhow::Result<_>>()?;
        splits.extend(beside_the_reference(predicted));
    }
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Comparison {
        data: name(&options.data.source.path),
        test: options.test.as_deref().map(name),
        target: data.target_name.clone(),
        device: options.device.describe(),
        repeats: options.repeats,
        choose_seconds: Mean::of(&choose_seconds),
        methods: summarise(&splits),
        splits,
    })
}

/// The measurements, each with its distance from HMC's predictions where HMC ran.
fn beside_the_reference(predicted: Vec<(Measured, Predictions)>) -> Vec<Measured> {
    let reference = predicted.iter().find(|(measured, _)| measured.method == Method::Hmc);
    let distances: Vec<Option<f64>> = predicted
        .iter()
        .map(|(_, own)| reference.map(|(_, reference)| total_variation(own, reference)))
        .collect();
    let with = |((mut measured, _), distance): ((Measured, Predictions), Option<f64>)| {
        measured.figures.extend(distance.map(|distance| (Column::TotalVariation, distance)));
        measured
    };
    predicted.into_iter().zip(distances).map(with).collect()
}
