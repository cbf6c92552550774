//! `fiberwalk evaluate`.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use crate::Predictor;
use crate::data::Data;
use crate::run_dir::write_atomically;

use super::{EngineArguments, SourceArguments};

#[derive(Args)]
pub struct Arguments {
    /// Directory of a run, or a `.fwk` file.
    model: PathBuf,
    /// CSV file with features and target, or images or arrays with labels.
    test: PathBuf,
    /// Name of the target column [default: the model's].
    #[arg(long)]
    target: Option<String>,
    #[command(flatten)]
    source: SourceArguments,
    /// File with rows from elsewhere, for out-of-distribution detection.
    #[arg(long)]
    ood: Option<PathBuf>,
    /// File to write the scores to.
    #[arg(long)]
    json: Option<PathBuf>,
    #[command(flatten)]
    engine: EngineArguments,
}

impl Arguments {
    pub fn run(self) -> anyhow::Result<()> {
        let predictor = Predictor::open(&self.model, self.engine.engine, self.engine.draws())?;
        let source = self.source.at(&self.test);
        let foreign = self.ood.as_ref().map(|path| Data::of(source.beside(path)));
        let data = Data { target: self.target, ..Data::of(source) };
        let scores = predictor.evaluate(&data, foreign.as_ref())?;
        let mut shown = std::io::stdout().lock();
        let json = serde_json::to_value(&scores).context("cannot format the scores")?;
        for (name, value) in json.as_object().into_iter().flatten() {
            writeln!(shown, "{name:14} {:>10.4}", value.as_f64().unwrap_or(f64::NAN))?;
        }
        match self.json {
            None => Ok(()),
            Some(path) => {
                let text = serde_json::to_string_pretty(&scores)?;
                write_atomically(&path, format!("{text}\n").as_bytes())
            }
        }
    }
}
