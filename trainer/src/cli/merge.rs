//! `fiberwalk merge`.

use std::path::PathBuf;

use clap::Args;

use crate::progress::Progress;
use crate::walk::merge;

#[derive(Args)]
pub struct Arguments {
    /// Directory of the run that the shards were walked from.
    run: PathBuf,
    /// Files of all its shards, in any order.
    #[arg(required = true)]
    shards: Vec<PathBuf>,
}

impl Arguments {
    pub fn run(self, progress: Progress) -> anyhow::Result<()> {
        merge(&self.run, &self.shards, &progress)?;
        progress.note(&format!("train --resume goes on with {}", self.run.display()));
        Ok(())
    }
}
