//! `fiberwalk predict`.

use std::path::PathBuf;

use clap::Args;

use fiberwalk::engine::Predictor;

use super::{EngineArguments, SourceArguments};

#[derive(Args)]
pub struct Arguments {
    /// Directory of a run, or a `.fwk` file.
    model: PathBuf,
    /// CSV file with the feature columns, images or arrays; a target column or labels are ignored.
    data: PathBuf,
    #[command(flatten)]
    source: SourceArguments,
    /// CSV file to write.
    #[arg(long)]
    out: PathBuf,
    #[command(flatten)]
    engine: EngineArguments,
}

impl Arguments {
    pub fn run(self) -> anyhow::Result<()> {
        let predictor = Predictor::load(&self.model, self.engine.engine, self.engine.draws())?;
        let source = self.source.at(&self.data);
        let raw = predictor.schema.read(&source, &predictor.schema.target)?;
        predictor.predict_all(&raw)?.write_csv(&self.out)
    }
}
