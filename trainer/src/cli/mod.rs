//! The command `fiberwalk`: its arguments, one module a command, and what it shows.

mod bench;
mod compare;
mod demo;
mod devices;
mod evaluate;
mod export;
mod import;
mod inspect;
mod interrupt;
mod merge;
mod predict;
mod report;
mod terminal;
mod train;
mod walk;

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use tracing::{Level, info};
use tracing_subscriber::fmt::time::uptime;

use crate::api::failed;
use crate::config::{Config, ConfigError};
use crate::data::{ChannelAxis, Data, Selection, Series, Source, TaskKind};
use crate::device::{Device, DeviceChoice};
use crate::engine::{Draws, EngineKind};
use crate::progress::Progress;
use fiberwalk_runtime::CodeSource;
use terminal::BesideBars;
pub use terminal::Terminal;

/// Runs the command that this process was started as.
pub fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads has had enough.
        Err(error) if error.chain().any(is_closed_pipe) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", failed(error));
            ExitCode::FAILURE
        }
    }
}

fn is_closed_pipe(cause: &(dyn Error + 'static)) -> bool {
    let error = cause.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Bayesian neural networks for microcontrollers: train on a workstation, sample on the board.
#[derive(Parser)]
#[command(version)]
struct Cli {
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
    /// Train on a table, images or sensor series and export `model.fwk`.
    Train(train::Arguments),
    /// Take over a network trained elsewhere, for `train --network`.
    Import(import::Arguments),
    /// Walk one part of a run's particles, on any machine.
    Walk(walk::Arguments),
    /// Join the parts of a walk, for `train --resume` to go on with.
    Merge(merge::Arguments),
    /// Predict every row, image or window of a file.
    Predict(predict::Arguments),
    /// Score predictions against the targets of a file.
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
    /// CSV file with a header, every column but the target a feature; or images and arrays: idx (also .gz),
    /// .npz, .npy, or a folder with one subfolder of PNG files a class.
    data: PathBuf,
    /// Name of the target column; where labels are apart from the features, what to call them [default there:
    /// label].
    #[arg(long)]
    target: Option<String>,
    #[command(flatten)]
    source: SourceArguments,
    /// Take this many of the rows, images or windows, drawn by the seed; classes keep their shares.
    #[arg(long, value_name = "ROWS")]
    take: Option<usize>,
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

    /// The data file, and what to learn from it.
    fn data(&self) -> anyhow::Result<Data> {
        let selection = self.take.map_or(Selection::All, Selection::Take);
        let source = Source { selection, ..self.source.at(&self.data) };
        if self.target.is_none() && !source.has_labels_apart() {
            bail!("{}: which column is the target? name it by --target", self.data.display());
        }
        Ok(Data { target: self.target.clone(), task: self.task, ..Data::of(source) })
    }

    /// The data file's name with `suffix`.
    fn folder(&self, suffix: &str) -> PathBuf {
        let stem = self.data.file_stem().unwrap_or_default().to_string_lossy();
        PathBuf::from(format!("{stem}-{suffix}"))
    }
}

/// How to read a data file: shared by all commands that read one.
#[derive(Args)]
struct SourceArguments {
    /// Labels of an idx, .npy or .npz file, in an idx or .npy file [default: those beside idx images by the
    /// usual name].
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Arrays of features and labels in an .npz file [default: those with a usual name, such as x and y].
    #[arg(long, value_name = "X,Y", value_delimiter = ',')]
    arrays: Vec<String>,
    /// Arrays have their channels before height and width, as PyTorch does.
    #[arg(long)]
    channels_first: bool,
    /// Arrays have their channels last, and those of three axes are series: [n, readings, channels].
    #[arg(long, conflicts_with = "channels_first")]
    channels_last: bool,
    /// Cut consecutive rows of a CSV file into windows of this many.
    #[arg(long, value_name = "ROWS")]
    window: Option<usize>,
    /// Rows from the start of a window to that of the next [default: as many as a window has].
    #[arg(long, value_name = "ROWS")]
    stride: Option<usize>,
    /// Columns that name a group, such as a person or a recording: no features, and a group is held out as a
    /// whole. A run remembers groups and windows.
    #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
    group: Vec<String>,
}

impl SourceArguments {
    /// The file at `path`, read so.
    fn at(&self, path: &Path) -> Source {
        let Self { labels, arrays, channels_first, channels_last, window, stride, group } = self;
        Source {
            path: path.to_owned(),
            labels: labels.clone(),
            arrays: arrays.clone(),
            channels: match (channels_first, channels_last) {
                (true, _) => ChannelAxis::First,
                (false, true) => ChannelAxis::Last,
                (false, false) => ChannelAxis::Usual,
            },
            series: Series { window: *window, stride: *stride, group: group.clone() },
            ..Source::default()
        }
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
    fn run(self) -> anyhow::Result<()> {
        if self.quiet && self.verbose {
            // Not by `conflicts_with`, which misses the one before and the other after a command.
            let message = "--quiet and --verbose exclude each other";
            Self::command().error(ErrorKind::ArgumentConflict, message).exit();
        }
        if self.verbose {
            log()?;
        }
        let progress = if self.quiet { Progress::QUIET } else { Progress::to(Terminal) };
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
