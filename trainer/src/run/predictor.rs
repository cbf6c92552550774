//! Predictors from a path: the directory of a run, or an exported file.

use std::path::Path;

use anyhow::{Context, bail};

use super::Run;
use crate::data::Schema;
use crate::engine::{Draws, EngineKind, Predictor};
use crate::files;

impl Predictor {
    /// Loads an engine from the directory of a run or from a `.fwk` file.
    ///
    /// # Errors
    /// Unreadable or corrupt files, and engines that a lone `.fwk` file does not hold.
    pub fn load(path: &Path, kind: EngineKind, draws: Draws) -> anyhow::Result<Self> {
        if !path.is_dir() {
            if kind != EngineKind::Runtime {
                bail!(
                    "{} holds only the runtime's engine: give the directory of the run for the others",
                    path.display()
                );
            }
            let bytes = files::read(path, files::MOST_ARTIFACT)
                .with_context(|| format!("cannot read {}", path.display()))?;
            return Self::from_artifact(bytes, draws).with_context(|| path.display().to_string());
        }
        let run = Run::open(path)?;
        match kind {
            EngineKind::Runtime => {
                let predictor = Self::from_artifact(run.artifact()?, draws)
                    .with_context(|| path.display().to_string())?;
                // The run knows what its file does not hold.
                let Schema { layout, series, .. } = run.record().schema.clone();
                let (found, expected) = (predictor.schema.layout.len(), layout.len());
                if found != expected {
                    bail!(
                        "{}: the exported file reads {found} values, and the run is of {expected}",
                        path.display()
                    );
                }
                Ok(Self { schema: Schema { layout, series, ..predictor.schema }, ..predictor })
            }
            EngineKind::Float => run.float_predictor(draws),
            EngineKind::Particles => run.particle_predictor(),
            EngineKind::Map => run.map_predictor(),
        }
    }
}
