//! `fiberwalk predict`.

use std::io;
use std::path::PathBuf;

use clap::Args;

use fiberwalk::engine::Predictor;
use fiberwalk::prediction_csv::PredictionWriter;
use fiberwalk::run_dir::write_in_parts;

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
        let source = self.source.at(&self.data);
        let raw = predictor.schema.read(&source, &predictor.schema.target)?;
        let mut parts = predictor.predict_in_parts(&raw);
        // What cannot be predicted is told before anything is written.
        let mut first = parts.next().transpose()?;
        write_in_parts(&self.out, &mut |file| {
            let mut csv = PredictionWriter::new(file, &predictor.schema.task)?;
            for part in first.take().map(Ok).into_iter().chain(&mut parts) {
                csv.write(&part.map_err(io::Error::other)?)?;
            }
            csv.finish()
        })
    }
}
