//! Command-line arguments, one module a command.

mod bench;
mod compare;
mod devices;
mod evaluate;
mod export;
mod import;
mod inspect;
mod interrupt;
mod merge;
mod predict;
mod report;
mod train;
mod walk;

use std::path::PathBuf;

use anyhow::Context;
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use tracing::{Level, info};
use tracing_subscriber::fmt::time::uptime;

use fiberwalk::config::{Config, ConfigError};
use fiberwalk::data::TaskKind;
use fiberwalk::demo;
use fiberwalk::device::{Device, DeviceChoice};
use fiberwalk::engine::{Draws, EngineKind};
use fiberwalk::progress::{BesideBars, Progress};
use fiberwalk_runtime::CodeSource;

/// Bayesian neural networks for microcontrollers: train on a workstation, sample on the board.
#[derive(Parser)]
#[command(version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// No progress.
    #[arg(long, global = true)]
    quiet: bool,
    /// Log what is read, tried, chosen and written.
    #[arg(long, global = true)]
    verbose: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Train on a CSV file and export `model.fwk`.
    Train(train::Arguments),
    /// Take over a network trained elsewhere, for `train --network`.
    Import(import::Arguments),
    /// Walk one part of a run's particles, on any machine.
    Walk(walk::Arguments),
    /// Join the parts of a walk, for `train --resume` to go on with.
    Merge(merge::Arguments),
    /// Predict every row of a CSV file.
    Predict(predict::Arguments),
    /// Score predictions against the targets of a CSV file.
    Evaluate(evaluate::Arguments),
    /// Write a run's networks for PyTorch and others.
    Export(export::Arguments),
    /// Make a page with figures about a run.
    Report(report::Arguments),
    /// Show what a `.fwk` file holds.
    Inspect(inspect::Arguments),
    /// List what training can compute on.
    Devices(devices::Arguments),
    /// Train on handwritten digits, compare every stage, and show what the board would say.
    Demo(DemoArguments),
    /// Compare fiberwalk with other ways to a posterior predictive, on the same splits.
    Compare(compare::Arguments),
    /// Measure how fast particles walk, and how fast this machine could let them.
    Bench(bench::Arguments),
}

#[derive(Args)]
struct DemoArguments {
    /// Directory for data, run and artifact; emptied of an earlier demo.
    #[arg(long, default_value = "fiberwalk-demo")]
    out: PathBuf,
}

/// What to learn from: shared by `train` and `compare`.
#[derive(Args)]
struct TableArguments {
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
}

impl TableArguments {
    /// The settings of the file, or the defaults.
    fn config(&self) -> Result<Config, ConfigError> {
        self.config.as_deref().map_or_else(|| Ok(Config::default()), Config::read)
    }

    /// The data file's name with `suffix`.
    fn folder(&self, suffix: &str) -> PathBuf {
        let stem = self.data.file_stem().unwrap_or_default().to_string_lossy();
        PathBuf::from(format!("{stem}-{suffix}"))
    }
}

/// Where to compute: shared by `train`, `walk`, `compare` and `bench`.
#[derive(Args)]
struct DeviceArgument {
    /// Where to compute: `auto` (GPUs where there are any), `cpu`, `gpu` (all of the best kind) or
    /// `gpu:N` (number N of `fiberwalk devices`).
    #[arg(long, env = "FIBERWALK_DEVICE", default_value_t = DeviceChoice::Auto)]
    device: DeviceChoice,
}

impl DeviceArgument {
    fn open(&self) -> anyhow::Result<Device> {
        let device = self.device.open()?;
        info!(asked = %self.device, computes = device.describe(), "device");
        Ok(device)
    }
}

/// How to predict: shared by `predict` and `evaluate`.
#[derive(Args)]
struct EngineArguments {
    /// What predicts; all but `runtime` need the directory of a run.
    #[arg(long, value_enum, default_value = "runtime")]
    engine: EngineKind,
    /// Samples of a prediction [default: the artifact's own; 256 for `float`].
    #[arg(long)]
    samples: Option<usize>,
    /// Source of the runtime's latent codes [default: the artifact's own].
    #[arg(long, value_enum)]
    codes: Option<SourceArgument>,
    /// Seed of drawn codes.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

#[derive(Clone, Copy, ValueEnum)]
enum SourceArgument {
    /// Chosen by the trainer and stored in the file.
    Stored,
    /// A low-discrepancy sequence.
    LowDiscrepancy,
    /// Independent normal draws.
    Normal,
}

impl EngineArguments {
    fn draws(&self) -> Draws {
        let source = self.codes.map(|source| match source {
            SourceArgument::Stored => CodeSource::Stored,
            SourceArgument::LowDiscrepancy => CodeSource::LowDiscrepancy,
            SourceArgument::Normal => CodeSource::Normal,
        });
        Draws { samples: self.samples, source, seed: self.seed }
    }
}

impl Cli {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<()> {
        if self.quiet && self.verbose {
            // Not by `conflicts_with`, which misses the one before and the other after a command.
            let message = "--quiet and --verbose exclude each other";
            Self::command().error(ErrorKind::ArgumentConflict, message).exit();
        }
        if self.verbose {
            log()?;
        }
        let progress = if self.quiet { Progress::Quiet } else { Progress::Shown };
        match self.command {
            Command::Train(arguments) => arguments.run(progress),
            Command::Import(arguments) => arguments.run(),
            Command::Walk(arguments) => arguments.run(progress),
            Command::Merge(arguments) => arguments.run(progress),
            Command::Predict(arguments) => arguments.run(),
            Command::Evaluate(arguments) => arguments.run(),
            Command::Export(arguments) => arguments.run(),
            Command::Report(arguments) => arguments.run(),
            Command::Inspect(arguments) => arguments.run(),
            Command::Devices(arguments) => arguments.run(),
            Command::Demo(arguments) => demo::run(&arguments.out, progress),
            Command::Compare(arguments) => arguments.run(progress),
            Command::Bench(arguments) => arguments.run(),
        }
    }
}

/// Writes all events to standard error from now on, with the seconds since the start.
fn log() -> anyhow::Result<()> {
    let log = tracing_subscriber::fmt().with_max_level(Level::DEBUG).with_timer(uptime());
    let log = log.with_ansi(false).with_writer(BesideBars::default);
    log.try_init().map_err(anyhow::Error::from_boxed).context("cannot log")
}
