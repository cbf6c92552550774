//! Training from a data file to an artifact, stage by stage. Every stage's result is files in the
//! run's directory; a stage whose files are there is not done again.

#[cfg(test)]
mod failures;
mod reuse;
mod start;

use std::path::PathBuf;
use std::sync::Arc;

use crate::config::Config;
use crate::data::{Source, TaskKind};
use crate::device::Device;
use crate::import::ImportedNetwork;
use crate::progress::Progress;
use crate::stage::Stage;
use crate::{choose, export, latent, map, report, walk};

/// The stages of a run, in order.
pub const STAGES: &[&Stage] =
    &[&choose::STAGE, &map::STAGE, &walk::STAGE, &latent::STAGE, &export::STAGE, &report::STAGE];

/// What to train on, and how.
#[derive(Clone)]
pub struct TrainOptions {
    /// Data file, and how to read it.
    pub data: Source,
    /// Name of the target column, or of the labels where they are apart from the features.
    pub target: String,
    /// Classification or regression.
    pub task: TaskKind,
    /// Settings.
    pub config: Config,
    /// A network trained elsewhere, as `fiberwalk import` wrote it: the walk starts from it.
    pub network: Option<PathBuf>,
    /// Directory of the run.
    pub out: PathBuf,
    /// What computes.
    pub device: Arc<Device>,
    /// Seed of everything random.
    pub seed: u64,
    /// Go on with a run that was interrupted.
    pub resume: bool,
    /// A run to take over stages from, as far as data and settings agree.
    pub from: Option<PathBuf>,
    /// The stage to stop after; none for the whole way.
    pub until: Option<&'static Stage>,
    /// How to show progress.
    pub progress: Progress,
}

/// Trains, or goes on training. The directory then holds the files of every stage.
///
/// # Errors
/// Bad data or configuration, another run in the directory, or a full disk; each names the cause.
pub fn train(options: &TrainOptions) -> anyhow::Result<()> {
    train_with(options, &mut |_| {})
}

/// Like [`train`]; `after` is called with the name of every stage that is done or was there.
///
/// # Errors
/// Those of [`train`].
pub fn train_with(
    options: &TrainOptions,
    after: &mut dyn FnMut(&'static str),
) -> anyhow::Result<()> {
    options.config.check()?;
    let mut options = options.clone();
    let imported = options.network.as_deref().map(ImportedNetwork::read).transpose()?;
    if let Some(network) = &imported {
        options.config = network.settings(&options.config)?;
    }
    let training = start::start(&options, imported.as_ref())?;
    for stage in STAGES {
        stage.complete(&training)?;
        after(stage.name);
        if options.until.is_some_and(|until| until.name == stage.name) {
            break;
        }
    }
    Ok(())
}
