//! Training, on one machine or several.

use std::path::{Path, PathBuf};

use anyhow::anyhow;

use super::Run;
use super::error::failed;
use crate::data::Data;
use crate::device::Device;
use crate::error::Result;
use crate::excerpt::{excerpt, list};
use crate::pipeline::{self, STAGES, TrainOptions};
use crate::progress::Progress;
use crate::walk::{self, Shard};

/// Trains on `data`, or goes on training, in the directory `out`, which keeps every stage.
///
/// # Errors
/// Data or settings that cannot be used, another run in the directory, or a file that cannot be written; nothing
/// that was finished is lost.
pub fn train(data: &Data, out: impl AsRef<Path>, options: &TrainOptions) -> Result<Run> {
    pipeline::train(data, out.as_ref(), options).map_err(failed)?;
    Run::open(out)
}

/// Trains up to one of the [`stages`]: `map`, say, which is what [`walk_shard`] needs. With
/// [`TrainOptions::resume`], [`train`] goes on from there.
///
/// # Errors
/// The errors of [`train`]; no such stage.
pub fn train_until(
    data: &Data,
    out: impl AsRef<Path>,
    options: &TrainOptions,
    stage: &str,
) -> Result<()> {
    let Some(until) = STAGES.iter().find(|known| known.name == stage) else {
        let names: Vec<&str> = STAGES.iter().map(|stage| stage.name).collect();
        let (found, expected) = (excerpt(stage), list(&names));
        return Err(failed(anyhow!("stage: found `{found}`, expected one of {expected}")));
    };
    pipeline::train_until(data, out.as_ref(), options, Some(until)).map_err(failed)
}

/// Names of the stages of a run, in order, each with what comes of it.
pub fn stages() -> impl Iterator<Item = (&'static str, &'static str)> {
    STAGES.iter().map(|stage| (stage.name, stage.about))
}

/// Walks part `index` of `count`, from 1, of the particles of a run whose MAP is trained, on any machine, to the
/// file `out`.
///
/// # Errors
/// No such run or part, another file in `out`, or a file that cannot be read or written.
pub fn walk_shard(
    run: impl AsRef<Path>,
    [index, count]: [usize; 2],
    out: impl AsRef<Path>,
    device: &Device,
    progress: &Progress,
) -> Result<()> {
    let shard = Shard::new(index, count).map_err(failed)?;
    walk::walk_shard(run.as_ref(), shard, out.as_ref(), device, progress).map_err(failed)
}

/// Joins the files of all parts of a walk, in any order; [`train`] with [`TrainOptions::resume`] goes on with them.
///
/// # Errors
/// A part that is missing, of another run, or damaged; a file that cannot be written.
pub fn merge_shards(run: impl AsRef<Path>, shards: &[PathBuf], progress: &Progress) -> Result<()> {
    walk::merge(run.as_ref(), shards, progress).map_err(failed)
}
