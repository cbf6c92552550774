//! Training from a data file to an artifact, stage by stage. Every stage's result is files in the
//! run's directory; a stage whose files are there is not done again.

#[cfg(test)]
mod failures;
mod reuse;
mod start;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::Config;
use crate::data::Data;
use crate::device::Device;
use crate::import::ImportedNetwork;
use crate::progress::Progress;
use crate::stage::Stage;
use crate::{choose, export, latent, map, refine, report, walk};

/// The stages of a run, in order.
pub const STAGES: &[&Stage] = &[
    &choose::STAGE,
    &map::STAGE,
    &walk::STAGE,
    &refine::STAGE,
    &latent::STAGE,
    &export::STAGE,
    &report::STAGE,
];

/// How to train.
#[derive(Clone, Debug)]
pub struct TrainOptions {
    /// Settings; what is left to fiberwalk is chosen on held-out rows.
    pub config: Config,
    /// Seed of everything random: the same one gives the same bytes on one kind of device.
    pub seed: u64,
    /// Device that computes.
    pub device: Arc<Device>,
    /// A network trained elsewhere, as its import wrote it: the walk starts from it.
    pub network: Option<PathBuf>,
    /// Go on with a run that was interrupted.
    pub resume: bool,
    /// A run to take over stages from, as far as data and settings agree.
    pub from: Option<PathBuf>,
    /// Who is told how far it is.
    pub progress: Progress,
}

impl Default for TrainOptions {
    /// Default settings and seed 0, on the processor, in silence.
    fn default() -> Self {
        Self {
            config: Config::default(),
            seed: 0,
            device: Arc::new(Device::Cpu),
            network: None,
            resume: false,
            from: None,
            progress: Progress::QUIET,
        }
    }
}

/// Trains, or goes on training, in the directory `out`, which then holds the files of every stage.
///
/// # Errors
/// Bad data or configuration, another run in the directory, or a full disk; each names the cause.
pub fn train(data: &Data, out: &Path, options: &TrainOptions) -> anyhow::Result<()> {
    train_until(data, out, options, None)
}

/// Trains like [`train`], up to the stage `until` where there is one.
///
/// # Errors
/// The errors of [`train`].
pub fn train_until(
    data: &Data,
    out: &Path,
    options: &TrainOptions,
    until: Option<&Stage>,
) -> anyhow::Result<()> {
    train_with(data, out, options, &mut |done| match until {
        Some(until) if until.name == done.name => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    })
}

/// Trains like [`train`], for as long as `after` says so, which meets every stage that is done or was there.
///
/// # Errors
/// The errors of [`train`].
pub fn train_with(
    data: &Data,
    out: &Path,
    options: &TrainOptions,
    after: &mut dyn FnMut(&'static Stage) -> ControlFlow<()>,
) -> anyhow::Result<()> {
    options.config.check()?;
    let mut options = options.clone();
    let imported = options.network.as_deref().map(ImportedNetwork::read).transpose()?;
    if let Some(network) = &imported {
        options.config = network.settings(&options.config)?;
    }
    let training = start::start(data, out, &options, imported.as_ref())?;
    for stage in STAGES {
        stage.complete(&training)?;
        if after(stage).is_break() {
            break;
        }
    }
    Ok(())
}
