//! `fiberwalk compare`.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use crate::baselines::Hmc;
use crate::compare::{CompareOptions, Method, compare};
use crate::progress::Progress;
use crate::run_dir::write_atomically;

use super::interrupt::Resumption;
use super::{DeviceArgument, TableArguments};

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    table: TableArguments,
    /// Folder for splits, runs and what was measured of baselines, gone on with where they are there
    /// [default: the data file's name with `-compare`].
    #[arg(long)]
    out: Option<PathBuf>,
    /// Splits, 70 to 30, by seeds from `--seed` on; with `--test` trainings by these seeds.
    #[arg(long, default_value_t = 3)]
    repeats: u64,
    /// File of test rows, read as the data are: all rows of the data are trained on then.
    #[arg(long)]
    test: Option<PathBuf>,
    /// File of rows from elsewhere, for out-of-distribution detection [default: rows uniform in a box of
    /// 5 standard deviations round the training rows].
    #[arg(long)]
    ood: Option<PathBuf>,
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
}

impl Arguments {
    pub fn run(self, progress: Progress) -> anyhow::Result<()> {
        let config = self.table.config()?;
        let data = self.table.data()?;
        let out = self.out.unwrap_or_else(|| self.table.folder("compare"));
        Resumption { begun: out.clone(), flag: None }.on_interruption()?;
        let methods = match self.methods.is_empty() {
            true => Method::ALL.to_vec(),
            false => self.methods,
        };
        let comparison = compare(&CompareOptions {
            data,
            test: self.test,
            ood: self.ood,
            config,
            out,
            repeats: self.repeats,
            methods,
            members: self.members,
            hmc: Hmc::REFERENCE,
            seed: self.seed,
            device: Arc::new(self.device.open()?),
            progress,
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
