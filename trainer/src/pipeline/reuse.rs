//! A run that begins with the stages of another one: those whose data and settings are the same.

use std::path::Path;

use anyhow::bail;

use super::STAGES;
use crate::config::Config;
use crate::run_data::{DataRecord, imported_by};
use crate::run_dir::{REQUESTED, RunDir};
use crate::stage::{Stage, Training};

/// The first of `stages` that read the same in both settings.
fn agreeing<'s>(
    stages: &'s [&'static Stage],
    one: &'s Config,
    other: &'s Config,
) -> impl Iterator<Item = &'static Stage> + 's {
    let mut read = [Config::default(), Config::default()];
    stages.iter().copied().take_while(move |stage| {
        stage.reads.is_some_and(|reads| {
            read.iter_mut().zip([one, other]).for_each(|(read, settings)| reads(settings, read));
            read[0] == read[1]
        })
    })
}

/// A run with the stages of it that another one would do again with the same result on a device of the same
/// kind.
pub(super) struct Reusable {
    run: RunDir,
    stages: Vec<&'static Stage>,
}

impl Reusable {
    /// Reads what `training` can take over from the run in `from`. Writes nothing.
    ///
    /// # Errors
    /// No run, one of other data or another seed, or damaged records.
    pub(super) fn open(from: &Path, training: &Training<'_>) -> anyhow::Result<Self> {
        let Training { record, imported, .. } = training;
        let run = RunDir::open(from)?;
        let before = DataRecord::read(&run)?;
        let shown = from.display();
        if before.seed != record.seed {
            bail!("{shown} is a run with the `seed` {}, found {}", before.seed, record.seed);
        }
        if before.sha256 != record.sha256 || before.schema != record.schema {
            bail!("{shown} is a run of other data, target or task");
        }
        let settings = Config::read_from(&run, REQUESTED)?;
        let same_network = imported_by(&run)? == *imported;
        let mut stages = Vec::new();
        if before.split == record.split {
            for stage in agreeing(STAGES, &settings, training.config) {
                if !stage.is_done(&run)? || (stage.reads_network && !same_network) {
                    break;
                }
                stages.push(stage);
            }
        }
        Ok(Self { run, stages })
    }

    /// Directory of the run.
    pub(super) fn path(&self) -> &Path {
        self.run.root()
    }

    /// Copies the stages that `dir` does not have. Returns the names of all that it can have.
    ///
    /// # Errors
    /// A file cannot be copied.
    pub(super) fn copy_to(&self, dir: &RunDir) -> anyhow::Result<Vec<&'static str>> {
        for stage in &self.stages {
            if !stage.is_done(dir)? {
                for file in stage.left(&self.run)? {
                    dir.copy(&file, &self.run)?;
                }
            }
        }
        Ok(self.stages.iter().map(|stage| stage.name).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The stages that a run with `text` takes over from one with `before`, were both finished.
    fn taken(before: &str, text: &str) -> Vec<&'static str> {
        let [before, config]: [Config; 2] =
            [before, text].map(|text| toml::from_str(text).expect("settings"));
        agreeing(STAGES, &before, &config).map(|stage| stage.name).collect()
    }

    #[test]
    fn a_stage_is_done_again_where_it_or_one_before_reads_another_setting() {
        let all = ["choose", "map", "walk", "refine", "latent"];
        let decoder = "decoder = [\"frozen\", \"low-rank:2\"]";
        let fixed = format!("[latent]\n{decoder}\n");
        assert_eq!(taken("", ""), all);
        assert_eq!(taken("", "[map]\nsteps = 3"), [""; 0]);
        assert_eq!(taken("", "[calibration]\nfraction = 0.2"), [""; 0]);
        assert_eq!(taken("", "[walk]\nsteps = 3"), [""; 0]);
        assert_eq!(taken("", "[walk]\nmaps = 2"), [""; 0]);
        assert_eq!(taken("", "[walk]\nparticles = 32"), all[..2]);
        assert_eq!(taken("", "[refine]\nsweeps = 9"), [""; 0]);
        assert_eq!(taken("", "[latent]\ndim = 2"), all[..4]);
        assert_eq!(taken("", &fixed), all[..4]);
        assert_eq!(taken("", "[export]\ncost = 9.0"), all[..4]);
        assert_eq!(taken(&fixed, &format!("{fixed}[export]\ncost = 9.0")), all);
    }
}
