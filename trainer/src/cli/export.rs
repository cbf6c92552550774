//! `fiberwalk export`.

use std::path::PathBuf;

use clap::Args;

use crate::engine::{Draws, EngineKind, Predictor};
use crate::ensemble;

#[derive(Args)]
pub struct Arguments {
    /// Directory of a run.
    run: PathBuf,
    /// Safetensors file to write.
    #[arg(long)]
    out: PathBuf,
    /// Whose networks: `particles`, `float` (draws from the decoder) or `map`.
    #[arg(long, value_enum, default_value = "particles")]
    engine: EngineKind,
    /// Draws from the decoder [default: 256].
    #[arg(long)]
    samples: Option<usize>,
    /// Seed of the draws.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

impl Arguments {
    pub fn run(self) -> anyhow::Result<()> {
        let draws = Draws { samples: self.samples, source: None, seed: self.seed };
        ensemble::write(&Predictor::load(&self.run, self.engine, draws)?, &self.out)
    }
}
