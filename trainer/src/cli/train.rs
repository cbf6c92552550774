//! `fiberwalk train`.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use fiberwalk::config::Config;
use fiberwalk::data::TaskKind;
use fiberwalk::pipeline::{TrainOptions, Until, train};

use super::DeviceArgument;

#[derive(Args)]
pub struct Arguments {
    /// CSV file with a header; every column but the target is a feature.
    data: PathBuf,
    /// Name of the target column.
    #[arg(long)]
    target: String,
    /// What to learn.
    #[arg(long, value_enum, default_value = "auto")]
    task: TaskKind,
    /// TOML file with settings; what it does not set is chosen.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Directory of the run [default: the data file's name with `-run`].
    #[arg(long)]
    out: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceArgument,
    /// Seed of everything random.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Go on with a run that was interrupted or stopped.
    #[arg(long)]
    resume: bool,
    /// Stop after a stage.
    #[arg(long, value_enum)]
    until: Option<Until>,
    /// No progress.
    #[arg(long)]
    quiet: bool,
}

impl Arguments {
    pub fn run(self) -> anyhow::Result<()> {
        let config = match &self.config {
            Some(path) => Config::read(path)?,
            None => Config::default(),
        };
        let out = self.out.unwrap_or_else(|| {
            let stem = self.data.file_stem().unwrap_or_default().to_string_lossy();
            PathBuf::from(format!("{stem}-run"))
        });
        train(&TrainOptions {
            data: self.data,
            target: self.target,
            task: self.task,
            config,
            out,
            device: Arc::new(self.device.open()?),
            seed: self.seed,
            resume: self.resume,
            until: self.until,
            progress: super::progress(self.quiet),
        })
    }
}
