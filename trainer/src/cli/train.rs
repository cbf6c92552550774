//! `fiberwalk train`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use crate::config::WalkedLayers;
use crate::map;
use crate::pipeline::{STAGES, TrainOptions, train_until};
use crate::progress::Progress;
use crate::run_dir::REQUESTED;
use crate::stage::Stage;

use super::interrupt::Resumption;
use super::{DeviceArgument, TableArguments};

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    table: TableArguments,
    /// A network trained elsewhere, as `fiberwalk import` wrote it: the walk starts from it instead of
    /// from a MAP that is trained here.
    #[arg(long, value_name = "FILE")]
    network: Option<PathBuf>,
    /// Walk these layers: `all`, `last`, how many of the last, or names with commas between them, in which `*`
    /// is any text: those of an imported network, else 0, 1, …. The others stay at MAP [default: the
    /// configuration's `walk.layers`].
    #[arg(long, value_name = "LAYERS")]
    walk_layers: Option<WalkedLayers>,
    /// Directory of the run [default: the data file's name with `-run`].
    #[arg(long)]
    out: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceArgument,
    /// Seed of everything random.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Go on with a run that was interrupted or stopped.
    #[arg(long)]
    resume: bool,
    /// Begin with the stages of another run of the same data and seed, as far as the settings agree.
    #[arg(long, value_name = "RUN")]
    from: Option<PathBuf>,
    /// Stop after a stage.
    #[arg(long, value_name = "STAGE", value_parser = stage_to_stop_after())]
    until: Option<&'static Stage>,
}

/// Reads the name of any stage but the last.
fn stage_to_stop_after() -> impl TypedValueParser<Value = &'static Stage> {
    let stages = &STAGES[..STAGES.len() - 1];
    let value = |stage: &&Stage| PossibleValue::new(stage.name).help(stage.about);
    PossibleValuesParser::new(stages.iter().map(value))
        .map(|name| *STAGES.iter().find(|stage| stage.name == name).expect("one of them"))
}

impl Arguments {
    pub fn run(self, progress: Progress) -> anyhow::Result<()> {
        let mut config = self.table.config()?;
        config.walk.layers = self.walk_layers.unwrap_or(config.walk.layers);
        let data = self.table.data()?;
        let out = self.out.unwrap_or_else(|| self.table.folder("run"));
        let begun = out.join(REQUESTED);
        Resumption { begun, flag: Some("--resume") }.on_interruption()?;
        let options = TrainOptions {
            config,
            seed: self.seed,
            device: Arc::new(self.device.open()?),
            network: self.network,
            resume: self.resume,
            from: self.from,
            progress,
        };
        train_until(&data, &out, &options, self.until)?;
        if let Some(stage) = self.until {
            options.progress.note(&how_to_go_on(&out, stage));
        }
        Ok(())
    }
}

/// Tells how to go on with the run in `out`, which stopped after `stage`.
fn how_to_go_on(out: &Path, stage: &Stage) -> String {
    let out = out.display();
    let all = format!("stopped; train with --resume and without --until goes on with {out}");
    if stage.name != map::STAGE.name {
        return all;
    }
    format!(
        "{all}; other machines can walk its particles: fiberwalk walk {out} --shard I/N, fiberwalk merge {out} \
         SHARD..."
    )
}
