//! `fiberwalk merge`.

use std::path::PathBuf;

use clap::Args;

use fiberwalk::particles::merge;

#[derive(Args)]
pub struct Arguments {
    /// Directory of the run that the shards were walked from.
    run: PathBuf,
    /// Files of all its shards, in any order.
    #[arg(required = true)]
    shards: Vec<PathBuf>,
    /// No progress.
    #[arg(long)]
    quiet: bool,
}

impl Arguments {
    pub fn run(self) -> anyhow::Result<()> {
        merge(&self.run, &self.shards, super::progress(self.quiet))
    }
}
