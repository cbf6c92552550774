//! `fiberwalk walk`.

use std::path::PathBuf;

use clap::Args;

use crate::progress::Progress;
use crate::walk::shard::parts_of;
use crate::walk::{Shard, walk_shard};

use super::DeviceArgument;
use super::interrupt::Resumption;

#[derive(Args)]
pub struct Arguments {
    /// Directory of a run whose MAP is trained (`train --until map`).
    run: PathBuf,
    /// Which part of the particles, of how many: 1/8 to 8/8.
    #[arg(long, value_name = "I/N")]
    shard: String,
    /// File to write [default: shard-I-of-N.safetensors].
    #[arg(long)]
    out: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceArgument,
}

impl Arguments {
    pub fn run(self, progress: Progress) -> anyhow::Result<()> {
        let shard: Shard = self.shard.parse()?;
        let out = self.out.unwrap_or_else(|| {
            format!("shard-{}-of-{}.safetensors", shard.index, shard.count).into()
        });
        Resumption { begun: parts_of(&out), flag: None }.on_interruption()?;
        walk_shard(&self.run, shard, &out, &self.device.open()?, &progress)
    }
}
