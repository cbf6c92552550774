//! Measures fiberwalk on public data sets and writes what came of it as Markdown and JSON.
//!
//! `cargo run --release -p fiberwalk-evaluate -- benchmark DATA WORK` compares it with other methods,
//! `… ablations DATA WORK` with itself under other settings, `… maps DATA WORK` walks from several MAPs. `DATA`
//! holds `NAME.csv` of every set, the target last; runs and every finished measurement stay in `WORK`, where a
//! later call goes on. The pages are written to `docs/`.

mod ablations;
mod benchmark;
mod markdown;
mod record;
mod sets;

use ablations::Study;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// fiberwalk's stages beside other ways to a posterior predictive.
    Benchmark(Places),
    /// fiberwalk under other settings.
    Ablations(Places),
    /// Walks from one MAP and from several.
    Maps(Places),
}

/// Where to read and to write.
#[derive(Args)]
struct Places {
    /// Folder of the data sets.
    data: PathBuf,
    /// Folder for runs and measurements.
    work: PathBuf,
    /// Folder of the page, and of the figures beside it.
    #[arg(long, default_value = "docs")]
    out: PathBuf,
    /// Only these sets; the page then has no others.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Benchmark(places) => benchmark::run(&places),
        Command::Ablations(places) => ablations::run(&Study::ablations(), &places),
        Command::Maps(places) => ablations::run(&Study::maps(), &places),
    }
}
