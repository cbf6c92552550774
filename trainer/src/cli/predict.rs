//! `fiberwalk predict`.

use std::path::PathBuf;

use clap::Args;

use fiberwalk::data::Table;
use fiberwalk::engine::Predictor;

use super::EngineArguments;

#[derive(Args)]
pub struct Arguments {
    /// Directory of a run, or a `.fwk` file.
    model: PathBuf,
    /// CSV file with the feature columns; a target column is ignored.
    data: PathBuf,
    /// CSV file to write.
    #[arg(long)]
    out: PathBuf,
    #[command(flatten)]
    engine: EngineArguments,
}

impl Arguments {
    pub fn run(self) -> anyhow::Result<()> {
        let predictor = Predictor::load(&self.model, self.engine.engine, self.engine.draws())?;
        let table = Table::read(&self.data)?;
        let raw = predictor.schema.features.read(&table, &predictor.schema.target)?;
        predictor.predict(&raw)?.write_csv(&self.out)
    }
}
