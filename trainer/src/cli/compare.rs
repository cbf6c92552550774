//! `fiberwalk compare`.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};

use fiberwalk::baselines::Hmc;
use fiberwalk::compare::{CompareOptions, Method, compare};
use fiberwalk::config::Config;
use fiberwalk::data::TaskKind;
use fiberwalk::run_dir::write_atomically;

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
    /// Folder for splits and runs, gone on with where they are there [default: the data file's name
    /// with `-compare`].
    #[arg(long)]
    out: Option<PathBuf>,
    /// Splits, 70 to 30, by seeds from `--seed` on.
    #[arg(long, default_value_t = 3)]
    repeats: u64,
    /// Only these methods [default: all].
    #[arg(long, value_enum, value_delimiter = ',')]
    methods: Vec<Method>,
    /// Members of the deep ensemble.
    #[arg(long, default_value_t = 5)]
    members: usize,
    #[command(flatten)]
    device: DeviceArgument,
    /// Seed of the first split and of everything random on it.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// File to write every figure to, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
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
            PathBuf::from(format!("{stem}-compare"))
        });
        let methods = match self.methods.is_empty() {
            true => Method::value_variants().to_vec(),
            false => self.methods,
        };
        let comparison = compare(&CompareOptions {
            data: self.data,
            target: self.target,
            task: self.task,
            config,
            out,
            repeats: self.repeats,
            methods,
            members: self.members,
            hmc: Hmc::REFERENCE,
            seed: self.seed,
            device: Arc::new(self.device.open()?),
            progress: super::progress(self.quiet),
        })?;
        println!("{comparison}");
        match self.json {
            None => Ok(()),
            Some(path) => {
                let text = serde_json::to_string_pretty(&comparison)?;
                write_atomically(&path, format!("{text}\n").as_bytes())
            }
        }
    }
}
