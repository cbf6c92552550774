//! `fiberwalk predict`.

use std::path::PathBuf;

use clap::Args;

use crate::data::Data;
use crate::engine::Predictor;
use crate::prediction_csv::write_predictions;

use super::{EngineArguments, SourceArguments};

#[derive(Args)]
pub struct Arguments {
    /// Directory of a run, or a `.fwk` file.
    model: PathBuf,
    /// CSV file with the feature columns, images or arrays; a target column or labels are ignored.
    data: PathBuf,
    #[command(flatten)]
    source: SourceArguments,
    /// CSV file to write; - is standard output.
    #[arg(long)]
    out: PathBuf,
    #[command(flatten)]
    engine: EngineArguments,
}

impl Arguments {
    pub fn run(self) -> anyhow::Result<()> {
        let predictor = Predictor::load(&self.model, self.engine.engine, self.engine.draws())?;
        write_predictions(&predictor, &Data::of(self.source.at(&self.data)), &self.out)
    }
}
