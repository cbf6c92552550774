//! `fiberwalk train`.

use std::path::PathBuf;

use anyhow::bail;
use clap::{Args, ValueEnum};

use fiberwalk::config::Config;
use fiberwalk::data::TaskKind;
use fiberwalk::pipeline::{TrainOptions, train};

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
    /// Where to compute.
    #[arg(long, value_enum, default_value = "auto")]
    device: Device,
    /// Seed of everything random.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Go on with a run that was interrupted.
    #[arg(long)]
    resume: bool,
    /// No progress.
    #[arg(long)]
    quiet: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Device {
    /// The fastest there is.
    Auto,
    /// The processor.
    Cpu,
    /// A graphics card.
    Gpu,
}

impl Arguments {
    pub fn run(self) -> anyhow::Result<()> {
        if matches!(self.device, Device::Gpu) {
            bail!("--device gpu: this version computes on the CPU only; use --device cpu");
        }
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
            seed: self.seed,
            resume: self.resume,
            progress: super::progress(self.quiet),
        })
    }
}
